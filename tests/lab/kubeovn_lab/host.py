# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs of the machine it runs on: said plainly when missing, installed where Debian has it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from .processes import LabError
from .report import say
from .site import Lab

# command (or file) that must be there -> Debian package that brings it; none of them starts a service
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
    "mkfs.ext4": "e2fsprogs",
    "gcc": "gcc",
    "/usr/include/features.h": "libc6-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
DISK_GIB = {"first": 16, "later": 3}  # free space: for the one-time builds, and for one more lab


def check(lab: Lab) -> None:
    """Refuse at once a machine that cannot serve, naming everything that is wrong."""
    wrong = []
    if platform.system() != "Linux":
        raise LabError(f"the lab needs Linux; this is {platform.system()}")
    if platform.machine() != "x86_64":
        wrong.append(f"an x86-64 machine is needed; this is {platform.machine()}")
    if not Path("/etc/debian_version").exists() or not shutil.which("apt-get"):
        wrong.append("Debian or one of its family is needed, with apt-get")
    if os.geteuid() != 0:
        wrong.append("root is needed, for namespaces, mounts and machines: run it with sudo")
    wrong += _disk(lab)
    if not Path("/dev/net/tun").exists():
        wrong.append("/dev/net/tun is missing (modprobe tun)")
    if "\toverlay\n" not in Path("/proc/filesystems").read_text() and subprocess.call(["modprobe", "overlay"]) != 0:
        wrong.append("the kernel has no overlay file system")
    if wrong:
        raise LabError("this machine cannot run the lab:\n" + "\n".join(f"  - {line}" for line in wrong))


def _disk(lab: Lab) -> list[str]:
    folder = lab.cache
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    need = DISK_GIB["later" if any(lab.bin.glob("kube-apiserver")) else "first"]
    return [] if free >= need else [f"{need} GiB of free disk are needed in {lab.cache}; there are {free:.1f}"]


def missing_packages() -> list[str]:
    """Packages whose command or file is not there."""
    return sorted({package for what, package in NEEDED.items() if not _there(what)})


def _there(what: str) -> bool:
    if what.startswith("/"):
        return Path(what).exists()
    return shutil.which(what, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def install_packages(log: Path) -> None:
    """Install what is missing, and nothing when nothing is."""
    packages = missing_packages()
    if not packages:
        return
    say(f"installing Debian packages: {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        for argv in (["apt-get", "update", "-q"], install):
            if subprocess.call(argv, env=env, stdout=out, stderr=out) != 0:
                raise LabError(f"{' '.join(argv)} failed:\n{log.read_text()[-2000:]}")
    still = missing_packages()
    if still:
        raise LabError(f"still missing after installation: {', '.join(still)}")
