# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN central and kwok, together in one root: what a cluster knows as the ovn-central pod.

The root is an overlay over the lab's root file system. kwok runs in it too and answers the API server's exec for that
pod, so `kubectl exec ... -c ovn-central -- ovn-nbctl show` reaches this OVN by its unix sockets.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import mounts, processes, site
from .api import Api
from .cluster import MANIFESTS, documents
from .processes import LabError
from .site import Lab

DATABASES = {"nb": ("OVN_Northbound", site.NB_PORT), "sb": ("OVN_Southbound", site.SB_PORT)}


def make_root(lab: Lab) -> None:
    """Mount the root and put in it what its processes read."""
    mounts.overlay(lab, lab.rootfs, lab.central_root)
    mounts.bind(lab, lab.bin, lab.central_root / "opt" / "lab")
    for folder in ("run/ovn", "var/lib/ovn", "var/log/ovn", "var/log/kube-ovn", "run/openvswitch", "etc/lab"):
        (lab.central_root / folder).mkdir(parents=True, exist_ok=True)
    settings = lab.central_root / "etc" / "lab"
    for identity in ("kube-ovn-controller", "kwok"):
        shutil.copy(lab.kubeconfig(identity), settings / f"{identity}.kubeconfig")
    for name in ("server.crt", "server.key"):
        shutil.copy(lab.pki / name, settings / name)
    stages = (lab.cache / "manifests" / "kwok-stages.yaml").read_text()
    (settings / "kwok.yml").write_text((MANIFESTS / "kwok.yml").read_text() + stages)


def in_root(lab: Lab, *argv: object) -> list[object]:
    return ["chroot", lab.central_root, *argv]


def start_ovn(lab: Lab) -> None:
    """NB and SB, then northd, each its own process."""
    for short in DATABASES:
        _start_database(lab, short)
    for short in DATABASES:
        socket = lab.central_root / f"run/ovn/ovn{short}_db.sock"
        processes.wait_ready(lab, f"ovn-{short}", socket.exists, 15, f"OVN {short} listening")
    argv = in_root(lab, "ovn-northd", "--ovnnb-db=unix:/run/ovn/ovnnb_db.sock")
    argv += ["--ovnsb-db=unix:/run/ovn/ovnsb_db.sock", "-vconsole:info", "-vsyslog:off", "-vfile:off"]
    processes.start(lab, "ovn-northd", argv, netns=lab.netns("admin"), cwd=Path("/"))


def _start_database(lab: Lab, short: str) -> None:
    """One ovsdb-server; a socket that a killed one left is in the way of nobody but would be waited for."""
    if processes.alive(lab, f"ovn-{short}"):
        return
    schema, port = DATABASES[short]
    database = lab.central_root / f"var/lib/ovn/ovn{short}_db.db"
    (lab.central_root / f"run/ovn/ovn{short}_db.sock").unlink(missing_ok=True)
    if not database.exists():
        source = f"/usr/share/ovn/ovn-{short}.ovsschema"
        processes.run(in_root(lab, "ovsdb-tool", "create", f"/var/lib/ovn/ovn{short}_db.db", source))
    argv = in_root(
        lab,
        "ovsdb-server",
        f"--remote=punix:/run/ovn/ovn{short}_db.sock",
        f"--remote=db:{schema},{short.upper()}_Global,connections",
        f"--remote=ptcp:{port}:0.0.0.0",
        f"--unixctl=/run/ovn/ovn{short}_db.ctl",
        "-vconsole:info",
        "-vsyslog:off",
        "-vfile:off",
        f"/var/lib/ovn/ovn{short}_db.db",
    )
    processes.start(lab, f"ovn-{short}", argv, netns=lab.netns("admin"), cwd=Path("/"))


def control_argv(lab: Lab, tool: str, words: Sequence[str]) -> list[object]:
    """The command line of ovn-nbctl or ovn-sbctl where the databases are."""
    short = {"ovn-nbctl": "nb", "ovn-sbctl": "sb"}[tool]
    if not processes.alive(lab, f"ovn-{short}"):
        raise LabError(f"lab {lab.name} has no OVN {short} running; `lab up --name {lab.name}` starts it")
    return in_root(lab, tool, f"--db=unix:/run/ovn/ovn{short}_db.sock", *words)


def start_kwok(lab: Lab) -> None:
    """kwok plays one node, lab-central, and executes what is asked of its pod here."""
    argv = in_root(lab, "/opt/lab/kwok", "--config=/etc/lab/kwok.yml", "--kubeconfig=/etc/lab/kwok.kubeconfig")
    processes.start(lab, "kwok", argv, netns=lab.netns("admin"), cwd=Path("/"), env={"HOME": "/root"})


def start_pod(lab: Lab, api: Api) -> None:
    """The node and the ovn-central pod, Running once kwok has seen them."""
    node, pod = documents(MANIFESTS / "ovn-central.yml")
    api.apply(node)
    default = "/api/v1/namespaces/kube-system/serviceaccounts/default"
    processes.wait_until(lambda: api.get(default), 30, "kube-system's default ServiceAccount made")
    path = "/api/v1/namespaces/kube-system/pods/ovn-central-lab"
    if api.get(path) is None:
        api.create(pod)

    def running() -> bool:
        found = api.get(path)
        return found is not None and found["status"].get("phase") == "Running"

    processes.wait_ready(lab, "kwok", running, 30, "the ovn-central pod Running")
