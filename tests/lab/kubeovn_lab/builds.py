# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time builds, shared by all labs: Go programs, the manifests their modules carry, the root file system, UML."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import golang, host
from .labs import every
from .processes import LabError, run
from .report import say, step
from .site import Lab

IMAGE = Path(__file__).parents[1] / "image"
SUITE = "trixie"
UML_SUITE = "bookworm"  # its UML kernel 6.1 is the one that was booted
CENTRAL_PACKAGES = ("etcd-server",)  # of the admin side, which lives in the same tree
CENTRAL_UNITS = ("etcd.service",)  # must not start in the machines
STRIPPED = ("doc", "man", "locale")

KWOK_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-delete.yaml",
)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """One at a time; says when it has to wait. The lock ends with its holder, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run of the lab works on {what}: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ensure(lab: Lab) -> None:
    """Make everything that is missing, the Go programs beside the file systems."""
    host.check(lab)
    with locked(lab.cache / "builds.lock", "the one-time builds"):
        host.install_packages(lab.cache / "logs" / "apt.log")
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(_programs, lab), pool.submit(_file_systems, lab)]
        for job in jobs:
            job.result()


def _programs(lab: Lab) -> None:
    golang.build_all(lab)
    manifests(lab)


def manifests(lab: Lab) -> None:
    """Kube-OVN's and KubeVirt's CRDs and kwok's stages, from the very modules that the programs are built of."""
    stamp = lab.cache / "manifests" / "stamp"
    sources = [golang.BUILDS / module / "go.mod" for module in ("kube-ovn", "kubevirt", "kwok")]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.parent.mkdir(parents=True, exist_ok=True)
    kube_ovn = golang.module_folder(lab, "kube-ovn", "github.com/kubeovn/kube-ovn")
    shutil.copyfile(kube_ovn / "charts/kube-ovn-v2/crds/kube-ovn-crd.yaml", stamp.parent / "kube-ovn-crd.yaml")
    kwok = golang.module_folder(lab, "kwok", "sigs.k8s.io/kwok") / "kustomize" / "stage"
    stages = "".join(f"\n---\n{(kwok / stage).read_text()}" for stage in KWOK_STAGES)
    (stamp.parent / "kwok-stages.yaml").write_text(stages)
    (stamp.parent / "kubevirt.json").write_text(run([lab.bin / "kubevirt-crds"]))
    stamp.write_text(wanted)


def _file_systems(lab: Lab) -> None:
    """UML's kernel first, since its modules go into the root file system."""
    _uml_kernel(lab)
    _uml_registers(lab)
    _root(lab)
    if any(lab.boot(node) == "uml" for node in lab.nodes):
        _uml_image(lab)


def packages() -> list[str]:
    """The Debian packages of the root file system."""
    lines = (IMAGE / "packages.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def fingerprint() -> str:
    """Names a root file system: changes with anything that goes into it."""
    digest = hashlib.sha256(repr((SUITE, UML_SUITE, CENTRAL_PACKAGES, CENTRAL_UNITS, STRIPPED)).encode())
    for path in sorted(IMAGE.rglob("*")):
        if path.is_file() and not any("cache" in part for part in path.relative_to(IMAGE).parts[:-1]):
            digest.update(f"{path.relative_to(IMAGE)} {path.stat().st_mode}".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _uml_kernel(lab: Lab) -> None:
    """User-mode Linux and its modules, extracted from its package, not installed."""
    if lab.uml_kernel.exists():
        return
    with step("user-mode Linux kernel extracted"):
        tree = lab.cache / "uml.tmp"
        shutil.rmtree(tree, ignore_errors=True)
        _mmdebstrap(lab, "uml", ["--variant=extract", "--include=user-mode-linux", UML_SUITE, str(tree)])
        (modules,) = (tree / "usr/lib/uml/modules").iterdir()
        kept = lab.uml_kernel.parent
        kept.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(kept / "modules", ignore_errors=True)
        shutil.copytree(modules, kept / "modules" / modules.name, symlinks=True)
        shutil.copy(tree / "usr/bin/linux.uml", lab.uml_kernel.with_suffix(".tmp"))
        lab.uml_kernel.with_suffix(".tmp").rename(lab.uml_kernel)
        shutil.rmtree(tree)


def _uml_registers(lab: Lab) -> None:
    """What is preloaded to UML's kernel. It takes a moment, so nobody asks whether the one that is there is older."""
    new = lab.uml_registers.with_suffix(".tmp")
    run(["gcc", "-O2", "-shared", "-fPIC", "-o", new, golang.BUILDS / "uml" / "xstate.c", "-ldl"])
    new.rename(lab.uml_registers)


def _root(lab: Lab) -> None:
    """The root file system: Debian's packages (kept apart, since they take longest), then the lab's own files."""
    if lab.rootfs.exists():
        return
    _remove_old(lab)
    (modules,) = (lab.uml_kernel.parent / "modules").iterdir()
    new = lab.cache / "rootfs.new"
    shutil.rmtree(new, ignore_errors=True)
    with step("root file system made"):
        run(["cp", "-a", "--reflink=auto", f"{_base(lab)}/.", new])
        run([IMAGE / "customise", new, modules])
        for unit in CENTRAL_UNITS:
            (new / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (new / "etc/systemd/system" / unit).symlink_to("/dev/null")
        new.rename(lab.rootfs)


def _base(lab: Lab) -> Path:
    """Debian with the packages and nothing of the lab's; made anew only when the list changes."""
    names = [*packages(), *CENTRAL_PACKAGES]
    base = lab.cache / f"debian-{hashlib.sha256(repr((SUITE, STRIPPED, names)).encode()).hexdigest()[:12]}"
    if base.exists():
        return base
    say(f"root file system: installing {len(names)} Debian packages and what they need")
    new = lab.cache / "debian.tmp"
    shutil.rmtree(new, ignore_errors=True)
    options = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in STRIPPED]
    _mmdebstrap(lab, "rootfs", ["--variant=minbase", f"--include={','.join(names)}", *options, SUITE, str(new)])
    for old in lab.cache.glob("debian-*"):
        shutil.rmtree(old)
    new.rename(base)
    return base


def _remove_old(lab: Lab) -> None:
    """Remove earlier builds that no lab stands on; a lab's disks are layers over the very build it began with."""
    kept = {one.tree for one in every()}
    for tree in lab.cache.glob("rootfs-*"):
        if tree.name.removeprefix("rootfs-") not in kept:
            shutil.rmtree(tree)
    for image in lab.uml_kernel.parent.glob("rootfs-*.ext4"):
        if image.stem.removeprefix("rootfs-") not in kept:
            image.unlink()


def _uml_image(lab: Lab) -> None:
    """The same tree as an ext4 image under copy-on-write disks, never changed in place; it outlives hard power-offs."""
    if lab.uml_image.exists():
        return
    with step("image for user-mode Linux made"):
        lab.uml_image.parent.mkdir(parents=True, exist_ok=True)
        new = lab.uml_image.with_suffix(".tmp")
        new.unlink(missing_ok=True)
        run(["truncate", "-s", "3G", new])
        options = ["-J", "size=16", "-E", "lazy_itable_init=1,root_owner=0:0"]
        run(["mke2fs", "-q", "-t", "ext4", *options, "-d", lab.rootfs, new])
        new.rename(lab.uml_image)


def _mmdebstrap(lab: Lab, name: str, words: list[str]) -> None:
    log = lab.cache / "logs" / f"build-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        done = subprocess.call([*golang.WITH_US, "mmdebstrap", *words], stdout=out, stderr=out)
    if done != 0:
        raise LabError(f"mmdebstrap failed\n--- the end of {log}\n{log.read_text(errors='replace')[-2000:]}")
