# SPDX-License-Identifier: GPL-3.0-or-later
"""The door: loopback ports of the host that lead into the lab's admin namespace.

One process carries the connections (door_server); nothing else joins the two.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from . import processes, site
from .site import Lab

NAME = "door"


def targets(lab: Lab) -> dict[str, tuple[str, int]]:
    """Every place the door leads to."""
    places = {
        "api": (site.ADMIN_ADDRESS, site.API_PORT),
        "nb": (site.ADMIN_ADDRESS, site.NB_PORT),
        "sb": (site.ADMIN_ADDRESS, site.SB_PORT),
        "outside-host": (site.OUTSIDE_MGMT_ADDRESS, 22),
    }
    return places | {node.name: (node.mgmt_address, 22) for node in lab.nodes}


def ports_file(lab: Lab) -> Path:
    return lab.state / "door.json"


def ports(lab: Lab) -> dict[str, int]:
    """The door's port for each place; empty while there is none."""
    try:
        found: dict[str, int] = json.loads(ports_file(lab).read_text())
    except FileNotFoundError:
        return {}
    return found


def up(lab: Lab) -> dict[str, int]:
    """Start the door and return its ports, the same ones as before where they are still free."""
    if not processes.alive(lab, NAME):
        env = {"PYTHONPATH": str(Path(__file__).parents[1])}
        processes.start(lab, NAME, [sys.executable, "-m", "kubeovn_lab.door_server", lab.name, _flag(lab)], env=env)
    processes.wait_ready(lab, NAME, lambda: _answers(lab), 10, "the door's ports open")
    return ports(lab)


def _flag(lab: Lab) -> str:
    return "worker" if lab.worker else "no-worker"


def _answers(lab: Lab) -> bool:
    found = ports(lab)
    if set(found) != set(targets(lab)):
        return False
    try:
        socket.create_connection(("127.0.0.1", found["api"]), 1).close()
    except OSError:
        return False
    return True
