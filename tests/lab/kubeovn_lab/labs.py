# SPDX-License-Identifier: GPL-3.0-or-later
"""Which labs there are, and what of one runs."""

from __future__ import annotations

import json

from . import processes
from .site import BOOTS, EXTERNAL_SWITCH, Boot, Lab, cache_dir


def load(name: str) -> Lab | None:
    """The lab of that name as its `up` described it; None when there is none."""
    try:
        found = json.loads(Lab(name).settings.read_text())
    except FileNotFoundError:
        return None
    boots: list[tuple[str, Boot]] = [(node, boot) for node, boot in found["boots"] if boot in BOOTS]
    return Lab(name, tuple(boots), found["worker"], found.get("switch", EXTERNAL_SWITCH), found["tree"])


def save(lab: Lab) -> None:
    """Remember what `up` was asked for."""
    settings = {
        "boots": [list(pair) for pair in lab.boots],
        "worker": lab.worker,
        "switch": lab.switch,
        "tree": lab.tree,
    }
    lab.state.mkdir(parents=True, exist_ok=True)
    temporary = lab.settings.with_suffix(".tmp")
    temporary.write_text(json.dumps(settings))
    temporary.rename(lab.settings)


def every() -> list[Lab]:
    """All labs of this cache that are up or half up."""
    found = (load(path.parent.name) for path in sorted((cache_dir() / "labs").glob("*/lab.json")))
    return [lab for lab in found if lab is not None]


def expected(lab: Lab) -> list[str]:
    """The processes a whole lab has."""
    parts = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-ovn-controller", "kwok"]
    parts += ["ovn-nb", "ovn-sb", "ovn-northd", "virt-controller", "door", "outside"]
    return sorted(parts + [f"machine-{node.short}" for node in lab.nodes])


def missing(lab: Lab) -> list[str]:
    return [name for name in expected(lab) if not processes.alive(lab, name)]


def describe(lab: Lab) -> str:
    return ", ".join(f"{node.name} by {lab.boot(node)}" for node in lab.nodes)
