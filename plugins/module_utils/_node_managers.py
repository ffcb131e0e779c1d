# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a node's network managers are made to take over, or to let go of, one NIC's files: commands, and nothing run.

Only the links that are named are reconfigured, nobody else's. Private to this collection: no promise is made to other
users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.kubeovn.core.plugins.module_utils._node_config import KEYFILES, connection

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    Command = list[str]

DOWN = "45"  # seconds for NetworkManager to take a connection down


@dataclass(frozen=True)
class Change:
    """What is about to happen to a manager's files."""

    nic: str
    links: tuple[str, ...]  # that are there now, the NIC's members among them
    written: tuple[str, ...] = ()  # paths
    removed: tuple[str, ...] = ()
    stanzas: tuple[str, ...] = ()  # links that ifupdown's other files name
    connections: Mapping[str, str] = field(default_factory=dict)  # link -> UUID of NetworkManager's earlier connection


def take_over(manager: str, change: Change, members: Iterable[str]) -> list[Command]:
    """After our files were written: have the manager go by them."""
    if manager in ("networkd", "netplan"):
        return [["networkctl", "reload"]]
    if manager == "networkmanager":
        return _connections(change) + _activate(change.nic, members)
    return [["ifup", "--force", change.nic]]


def reconfigure(manager: str, change: Change, members: Iterable[str]) -> list[Command]:
    """The files are right, and something else has changed the links."""
    if manager in ("networkd", "netplan"):
        return [["networkctl", "reconfigure", *change.links]]
    if manager == "networkmanager":
        return _activate(change.nic, members)
    return [["ifup", "--force", change.nic]]


def before_removal(managers: Iterable[str], change: Change) -> list[Command]:
    """Before our files go; NetworkManager would go on taking links away while another manager has them already."""
    found: list[Command] = [["ifdown", "--force", change.nic]] if "ifupdown" in managers else []
    if "networkmanager" in managers:
        names = sorted(connection(change.nic, link if link != change.nic else "") for link in change.links)
        found += [["nmcli", "--wait", DOWN, "connection", "down", "id", name] for name in reversed(names)]
    return found


def let_go(managers: Iterable[str], change: Change) -> list[Command]:
    """After our files went, or others came back: have each manager go by what is there now."""
    found: list[Command] = []
    for manager in sorted({"networkd" if name == "netplan" else name for name in managers}, reverse=True):
        if manager == "networkd":
            found += [["networkctl", "reload"], *(["networkctl", "reconfigure", link] for link in change.links)]
        elif manager == "networkmanager":
            found += [["nmcli", "connection", "reload"]]
            found += [
                ["nmcli", "--wait", "0", "connection", "up", "uuid", uuid, "ifname", link]
                for link, uuid in sorted(change.connections.items())
            ]
        else:
            found += [["ifup", "--force", link] for link in change.stanzas]
    return found


def _connections(change: Change) -> list[Command]:
    """Only these are read anew: others' files may have changes that nobody wants yet."""
    paths = [path for path in (*change.written, *change.removed) if path.startswith(KEYFILES)]
    return [["nmcli", "connection", "load", *paths]] if paths else []


def _activate(nic: str, members: Iterable[str]) -> list[Command]:
    """Begun, not waited for: who asked for it looks at the links, and at more than NetworkManager's word."""
    return [["nmcli", "--wait", "0", "connection", "up", "id", connection(nic, member)] for member in ("", *members)]
