# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The external gateway as users see it: the diff of a plan, and the result of a run. Pure.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    NODES_KEY,
    Observed,
    Texts,
    changed_data,
    coming_rows,
    hand_labelled,
    in_order,
    makes_anew,
    misplaced_rules,
    missing_rows,
    old_policies,
    outranked,
    rows_of,
    tears_down,
    written_data,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import FIRST_CHASSIS_PRIORITY, ExternalGateway

# A gateway that did the NAT of an EIP asks for the physical gateway with the router port's MAC some 10 s after it lost
# that EIP, although it is not the active one, and the physical switch believes it (seen on OVN 25.03).
AGAIN = 30  # seconds, from before the change
BFD_OPTIONS = ("bfd-min-rx", "bfd-min-tx", "bfd-mult")


def shape(seen: Observed) -> dict[str, Any]:
    """What the plan may change, as it is."""
    port = seen.ovn.router_port
    return {
        "config_map": dict(seen.config_map) if seen.config_map is not None else None,
        "router_port": {"mac": port.mac, "networks": list(port.networks)} if port else None,
        "gateways": [f"{seen.node_of(row.chassis)} priority {row.priority}" for row in seen.rows],
        "labels": {node.name: node.gateway_label for node in seen.nodes if node.gateway_label is not None},
        "switch_ports": sorted(one.name for one in seen.ovn.switch_ports),
        "localnet": localnet(seen),
        "nexthops": sorted({hop for policy in seen.ovn.policies for hop in policy.nexthops}),
        "distributed": sorted(rule.external_ip for rule in seen.ovn.nat_rules if rule.distributed),
        "bfd": {key: seen.ovn.options[key] for key in BFD_OPTIONS if key in seen.ovn.options},
    }


def localnet(seen: Observed) -> dict[str, Any] | None:
    """The physical network that the localnet port is tied to."""
    port = next((one for one in seen.ovn.switch_ports if one.name == seen.ovn.names.localnet_port), None)
    return {"network_name": port.options.get("network_name"), "tag": port.tag} if port else None


def after(gateway: ExternalGateway | None, seen: Observed, before: Mapping[str, Any], bfd: Texts) -> dict[str, Any]:
    """The same when the plan has been carried out."""
    names = seen.ovn.names
    pair = {names.switch_router_port}
    if gateway is None:
        kept = sorted(one.name for one in seen.ovn.switch_ports if seen.underlay and one.name not in pair)
        by_hand = dict.fromkeys(hand_labelled(None, seen), "true")
        options = {key: value for key, value in before["bfd"].items() if bfd.get(key) != value}
        nothing: dict[str, Any] = {
            "config_map": None,
            "router_port": None,
            "gateways": [],
            "labels": by_hand,
            "bfd": options,
        }
        return {**before, **nothing, "switch_ports": kept, "localnet": before["localnet"] if kept else None}
    data = dict(seen.config_map or {}) | written_data(gateway, seen)
    options = {**before["bfd"], **gateway.bfd}
    labels = {node.name: "false" for node in seen.nodes if node.gateway_label is not None}
    labels |= dict.fromkeys(hand_labelled(gateway, seen), "true")
    if not gateway.enabled:
        ports = sorted(one.name for one in seen.ovn.switch_ports if one.name not in pair)
        gone = {"router_port": None, "gateways": [], "switch_ports": ports}
        return {**before, **gone, "config_map": data, "labels": labels, "bfd": options}
    return {
        **before,
        "config_map": data,
        "router_port": {"mac": gateway.nic_mac, "networks": [gateway.nic_ip]},
        "gateways": _gateways_after(gateway, seen),
        "labels": labels | dict.fromkeys(gateway.nodes, "true"),
        "switch_ports": sorted({one.name for one in seen.ovn.switch_ports} | pair | {names.localnet_port}),
        "localnet": _localnet_after(seen),
        "nexthops": _hops_after(gateway, seen),
        "distributed": _distributed_after(gateway, seen, before["distributed"]),
        "bfd": options,
    }


def _gateways_after(gateway: ExternalGateway, seen: Observed) -> list[str]:
    settled = in_order(gateway, seen) and not missing_rows(gateway, seen) and not outranked(gateway, seen)
    remade = tears_down(seen) and NODES_KEY in changed_data(gateway, seen.config_map)
    raised = bool(changed_data(gateway, seen.config_map) and coming_rows(gateway, seen))
    if settled and not remade and not raised and not makes_anew(gateway, seen):
        return [f"{seen.node_of(row.chassis)} priority {row.priority}" for row in rows_of(gateway, seen)]
    order = seen.members(gateway).order
    return [f"{name} priority {FIRST_CHASSIS_PRIORITY - index}" for index, name in enumerate(order)]


def _localnet_after(seen: Observed) -> dict[str, Any]:
    now = localnet(seen) or {"tag": None}
    return {"network_name": seen.network, "tag": now["tag"] if seen.vlan is None else seen.vlan or None}


def _hops_after(gateway: ExternalGateway, seen: Observed) -> list[str]:
    old = old_policies(gateway, seen)
    hops = {hop for policy in seen.ovn.policies if policy not in old for hop in policy.nexthops}
    return sorted(hops | ({gateway.gateway.split("/")[0]} if old else set()))


def _distributed_after(gateway: ExternalGateway, seen: Observed, now: list[str]) -> list[str]:
    changed = {rule.external_ip: port is not None for rule, port in misplaced_rules(gateway, seen)}
    return sorted({*(ip for ip in now if changed.get(ip, True)), *(ip for ip, there in changed.items() if there)})


def report(seen: Observed) -> dict[str, Any]:
    """The gateway as it was seen last, in OVN's own names."""
    port, active = seen.ovn.router_port, seen.ovn.active_chassis
    chassis = [
        {
            "node": seen.node_of(row.chassis),
            "chassis": row.chassis,
            "priority": row.priority,
            "active": row.chassis == active,
        }
        for row in seen.rows
    ]
    values = {"name": port.name, "mac": port.mac, "networks": list(port.networks)} if port else {}
    switch = {"name": seen.ovn.names.switch, "localnet": localnet(seen)} if seen.ovn.switch_uuid else None
    return {
        "config_map": dict(seen.config_map) if seen.config_map is not None else None,
        "router_port": {**values, "gateway_chassis": chassis} if port else None,
        "switch": switch,
        "active_node": seen.active if port else None,
    }


def predicted(gateway: ExternalGateway | None, seen: Observed) -> dict[str, Any]:
    """What check mode can say of the result: the ConfigMap as it will be, OVN as it is."""
    data = None if gateway is None else {**(seen.config_map or {}), **written_data(gateway, seen)}
    return {**report(seen), "config_map": data}


def announcement(gateway: ExternalGateway | None, seen: Observed) -> dict[str, Any] | None:
    """What the neighbours have to learn when the router port gets another MAC or another gateway becomes active.

    ovn-controller tells them of a new active gateway one second after it has claimed the port, and of a new MAC, the
    router port's or that of an EIP which is no more distributed, not at all (OVN 25.03): until then they send to where
    it was.
    """
    port = seen.ovn.router_port
    if gateway is None or not gateway.enabled or port is None:
        return None
    first = seen.members(gateway).first
    remade = port.mac.lower() != gateway.nic_mac
    back = {rule.external_ip for rule, holder in misplaced_rules(gateway, seen) if holder is None}
    if not remade and first == seen.active and not back:
        return None
    eips = {rule.external_ip for rule in seen.ovn.nat_rules if not rule.distributed} | back
    return {
        "mac": gateway.nic_mac,
        "addresses": sorted({gateway.nic_ip.split("/")[0], *eips}),
        "tag": _localnet_after(seen)["tag"],
        "not_from": None if remade or first == seen.active else seen.active,
        "again": AGAIN if back else None,
    }
