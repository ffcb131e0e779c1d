# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lab status` and `lab logs` show."""

from __future__ import annotations

from pathlib import Path

from . import door, processes
from .labs import describe, expected, load
from .processes import LabError
from .site import Lab


def show(lab: Lab) -> None:
    """Every part with its state and log; the exit of the verb is not a test of health."""
    if load(lab.name) is None:
        print(f"lab {lab.name}: down")
        return
    print(f"lab {lab.name}: {describe(lab)}")
    for name in expected(lab):
        who = processes.identity(lab, name)
        state = f"running, pid {who.pid}" if who else "not running"
        print(f"  {name:26} {state:22} {processes.log_path(lab, name)}")
    print(f"  {'audit':26} {'':22} {lab.audit_log}")
    print("  127.0.0.1 ports: " + ", ".join(f"{name} {port}" for name, port in door.ports(lab).items()))


def log_of(lab: Lab, part: str) -> Path:
    """The log of a part, or of a machine by its name."""
    short = {node.name: f"machine-{node.short}" for node in lab.nodes}
    path = processes.log_path(lab, short.get(part, part))
    if not path.exists():
        known = sorted(one.stem for one in lab.logs.glob("*.log"))
        raise LabError(f"no log of {part!r}; there are {', '.join(known)}")
    return path
