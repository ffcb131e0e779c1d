# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the external NIC of a bridge becomes another one: which OVSDB operations stage the new one and switch over.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._node import STAGED, Ovs


def steps(ovs: Ovs, nic: str, bridge: str, old: Iterable[str], switch: bool) -> list[str]:
    """What staging, or switching over, would do now, in words; empty: nothing.

    A bridge without any other NIC is left alone: to give a gateway its first NIC is Kube-OVN's.
    """
    old, there = list(old), nic in ovs.bridges.get(bridge, ())
    if not switch:
        return [f"put {nic} into {bridge}, carrying nothing yet"] if old and not there else []
    found = [f"put {nic} into {bridge}"] if old and not there else []
    if nic in ovs.staged and there:
        found.append(f"let {nic} in {bridge} carry traffic")
    return found + [f"take {name} out of {bridge}" for name in old]


def after(ovs: Ovs, nic: str, bridge: str, old: Iterable[str], switch: bool) -> Ovs:
    """As it is to be then."""
    old, ports = set(old), set(ovs.bridges.get(bridge, ()))
    new = {nic} - ports if old else set()
    if switch:
        ports, staged = (ports | new) - old, ovs.staged - old - {nic}
    else:
        ports, staged = ports | new, ovs.staged | new
    return replace(ovs, bridges={**ovs.bridges, bridge: tuple(sorted(ports))}, staged=staged)


def operations(
    ovs: Ovs, nic: str, bridge: str, old: Iterable[str], switch: bool, uuids: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One transaction for it: there is no moment with both NICs, or with none; `uuids` are the ports' rows by name.

    Open vSwitch's own guard does: a port that another has added meanwhile makes the name a duplicate, and all fails.
    A staged port is a trunk of the one VLAN that cannot be. Unlike OpenFlow's port configuration that is in force from
    the port's first moment, and is kept when ovs-vswitchd starts anew.
    """
    found: list[dict[str, Any]] = []
    ports: list[list[Any]] = []
    old, there = list(old), nic in ovs.bridges.get(bridge, ())
    if old and not there:
        blocked = {} if switch else {"trunks": STAGED, "vlan_mode": "trunk"}
        found.append({"op": "insert", "table": "Interface", "row": {"name": nic}, "uuid-name": "interface"})
        row = {"name": nic, "interfaces": ["named-uuid", "interface"], **blocked}
        found.append({"op": "insert", "table": "Port", "row": row, "uuid-name": "port"})
        ports.append(["ports", "insert", ["named-uuid", "port"]])
    if switch and there and nic in ovs.staged:
        found.append(
            {
                "op": "update",
                "table": "Port",
                "where": [["name", "==", nic]],
                "row": {"trunks": ["set", []], "vlan_mode": ["set", []]},
            }
        )
    gone = [["uuid", uuids[name]] for name in old if switch and name in uuids]
    if gone:
        ports.append(["ports", "delete", ["set", gone]])
    if ports:
        found.append({"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": ports})
    return found
