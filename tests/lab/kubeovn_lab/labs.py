# SPDX-License-Identifier: GPL-3.0-or-later
"""Which labs there are, and what of one runs."""

from __future__ import annotations

import json

from . import processes
from .site import BOOTS, Boot, Lab, cache_dir


def load(name: str) -> Lab | None:
    """The lab of that name as its `up` described it; None when there is none."""
    try:
        found = json.loads(Lab(name).settings.read_text())
    except FileNotFoundError:
        return None
    boots: list[tuple[str, Boot]] = [(node, boot) for node, boot in found["boots"] if boot in BOOTS]
    return Lab(name, tuple(boots), found["worker"])


def running_labs() -> list[str]:
    """Labs that have a process running, of this cache."""
    labs = (Lab(path.name) for path in (cache_dir() / "labs").glob("*") if (path / "run").is_dir())
    return sorted(lab.name for lab in labs if any(processes.alive(lab, name) for name in processes.names(lab)))


def expected(lab: Lab) -> list[str]:
    """The processes a whole lab has."""
    parts = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-ovn-controller", "kwok"]
    parts += ["ovn-nb", "ovn-sb", "ovn-northd", "virt-controller", "door", "outside"]
    return sorted(parts + [f"machine-{node.short}" for node in lab.nodes])


def missing(lab: Lab) -> list[str]:
    return [name for name in expected(lab) if not processes.alive(lab, name)]


def describe(lab: Lab) -> str:
    return ", ".join(f"{node.name} by {lab.boot(node)}" for node in lab.nodes)
