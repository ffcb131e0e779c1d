# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with Debian 12's userland and a kernel of its own: systemd 252, netplan 0.106, Python 3.11.

It has a NIC to be reached by and two more, and nothing of Kube-OVN's: enough for the network managers. The kernel and
its modules are those that the lab has extracted. All that runs does so in a namespace of processes that ends with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.commands import VENV, CommandFailed, cache_folder, run
from support.live import eventually

PACKAGES = "systemd,systemd-sysv,dbus,udev,kmod,iproute2,openssh-server,python3,netplan.io,network-manager,ifupdown"
SPACE, ADDRESS, HOST = "kubeovn-debian12", "10.99.12.2", "10.99.12.1/24"
NICS = ("enp1s0", "enp8s0f0", "enp8s0f1")
MANAGEMENT = f"[Match]\nName=enp1s0\n\n[Network]\nAddress={ADDRESS}/24\n"
MASKED = "NetworkManager NetworkManager-wait-online networking systemd-networkd-wait-online systemd-timesyncd"
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.gateway_nic
      vars: {variables}
"""


def image() -> Path:
    """The root file system, made once."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    found = cache_folder() / f"debian12-{digest}.ext4"
    if found.exists():
        return found
    for old in cache_folder().glob("debian12-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    tree = found.with_suffix(".tree")
    run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tree], timeout=900)
    _customise(tree)
    new = found.with_suffix(".new")
    run(["truncate", "-s", "2G", new])
    run(["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", tree, new])
    shutil.rmtree(tree)
    new.rename(found)
    return found


def _kernel() -> Path:
    return cache_folder() / "uml" / "linux"


def _customise(tree: Path) -> None:
    [modules] = (_kernel().parent / "modules").iterdir()
    shutil.copytree(modules, tree / "usr/lib/modules" / modules.name, symlinks=True)
    run(["chroot", tree, "depmod", modules.name])
    network = tree / "etc/systemd/network"
    for number, nic in enumerate(NICS):
        text = f"[Match]\nOriginalName=vec{number}\n\n[Link]\nName={nic}\n"
        (network / f"10-uml-vec{number}.link").write_text(text)
    (network / "10-management.network").write_text(MANAGEMENT)
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/fstab").write_text("")
    run(["chroot", tree, "systemctl", "enable", "systemd-networkd.service", "ssh.service"])
    for unit in MASKED.split():
        run(["chroot", tree, "systemctl", "mask", f"{unit}.service"])
    (tree / "root/.ssh").mkdir(mode=0o700, exist_ok=True)


class Debian12:
    """It, running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.ssh = [folder / "ssh", "-i", folder / "key", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
        self.ssh += ["-o", f"UserKnownHostsFile={folder}/known", "-o", "ConnectTimeout=5", f"root@{ADDRESS}"]

    def sh(self, script: str) -> str:
        """A shell script on it."""
        return run([*self.ssh, script], timeout=300)

    def answers(self) -> bool:
        """Whether one can log in."""
        with suppress(CommandFailed):
            return self.sh("echo yes").strip() == "yes"
        return False

    def role(self, **variables: Any) -> str:
        """What Ansible says of role gateway_nic."""
        named = {"internal_ips": [], "api_servers": [], "timeout": 90, "rollback": 900, "arp": "never", **variables}
        text = json.dumps({f"gateway_nic_{key}": value for key, value in named.items()})
        play = self.folder / "play.yml"
        play.write_text(PLAY.format(variables=text))
        argv = [VENV / "bin" / "ansible-playbook", "--inventory", self.folder / "hosts.yml", play]
        return run(argv, env={"ANSIBLE_NOCOLOR": "1"}, tail=400, timeout=900)

    def _write(self) -> None:
        (self.folder / "ssh").write_text(f'#!/bin/sh\nexec ip netns exec {SPACE} ssh "$@"\n')
        (self.folder / "ssh").chmod(0o755)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key"])
        host = {
            "ansible_host": ADDRESS,
            "ansible_user": "root",
            "ansible_ssh_executable": str(self.folder / "ssh"),
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={self.folder}/known",
            "ansible_ssh_pipelining": True,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        (self.folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"debian12": host}}}))

    @contextmanager
    def running(self) -> Iterator[Debian12]:
        """Boot it; what it writes goes to a disk that is thrown away."""
        self._write()
        self._make_disk(image())
        _unplug()
        try:
            _plug()
            self._boot()
            yield self
        finally:
            self._kill()
            _unplug()

    def power_cycle(self) -> None:
        """Hard, but what it has written is on its disk."""
        self.sh("sync")
        self._kill()
        self._boot()

    def _boot(self) -> None:
        env = {**os.environ, "HOME": str(self.folder), "TMPDIR": "/dev/shm"}  # noqa: S108 - where memory is mapped from
        with (self.folder / "console.log").open("ab") as log:
            command = self._command()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        eventually(self.answers, bool, 240, f"Debian 12 answers; see {self.folder}/console.log")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def _make_disk(self, base: Path) -> None:
        """A copy of its own, with the key that lets one in."""
        run(["cp", "--reflink=auto", "--sparse=always", base, self.folder / "disk"])
        text = self.folder / "authorized_keys"
        text.write_text((self.folder / "key.pub").read_text())
        run(["debugfs", "-w", "-R", f"write {text} /root/.ssh/authorized_keys", self.folder / "disk"])

    def _command(self) -> list[str]:
        nics = [f"vec{n}:transport=tap,ifname=tap{n},mac=02:4b:12:00:00:0{n},gro=0" for n in range(len(NICS))]
        kernel = [str(_kernel()), "mem=512M", f"ubd0={self.folder}/disk", "root=/dev/ubda", "rw", "quiet"]
        kernel += ["con=null", "con0=null,fd:1", "ssl=null", f"uml_dir={self.folder}/uml", *nics]
        alone = ["unshare", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", '"$@" & wait', "sh"]
        # Processes start several times faster when the kernel's own do not wander between cores.
        pinned = ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))]
        return ["ip", "netns", "exec", SPACE, *pinned, *alone, *kernel]


def _plug() -> None:
    run(["ip", "netns", "add", SPACE])
    for number in range(len(NICS)):
        run(["ip", "-n", SPACE, "tuntap", "add", "dev", f"tap{number}", "mode", "tap", "vnet_hdr"])
        run(["ip", "-n", SPACE, "link", "set", "dev", f"tap{number}", "up"])
    run(["ip", "-n", SPACE, "address", "add", HOST, "dev", "tap0"])
    for feature in (
        "tx",
        "sg",
        "tso",
        "gso",
        "gro",
    ):  # with them on, what goes to a machine like this is lost and sent again
        run(["ip", "netns", "exec", SPACE, "ethtool", "-K", "tap0", feature, "off"])


def _unplug() -> None:
    if Path("/run/netns", SPACE).exists():
        run(["ip", "netns", "delete", SPACE])
