# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows of NB and SB as typed records. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    GatewayChassis,
    HolderPort,
    NatRule,
    RoutePolicy,
    RouterPort,
    SourceRoute,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import Row, many, one


def router_port(row: Row, gateways: Sequence[Row]) -> RouterPort:
    """A router port with its gateway chassis, highest priority first."""
    own = set(many(row["gateway_chassis"]))
    chassis = [
        GatewayChassis(gateway["_uuid"], gateway["name"], gateway["chassis_name"], gateway["priority"])
        for gateway in gateways
        if gateway["_uuid"] in own
    ]
    ordered = tuple(sorted(chassis, key=lambda item: (-item.priority, item.name)))
    networks = tuple(sorted(many(row["networks"])))
    return RouterPort(row["_uuid"], row["name"], row["mac"], networks, ordered, enabled(row))


def enabled(row: Row) -> bool:
    """Whether a port is in service. OVN takes one that says nothing for enabled."""
    return one(row.get("enabled")) is not False


def nat_rule(row: Row) -> NatRule:
    """A NAT row, with its identity if that was read."""
    port, mac = one(row["logical_port"]), one(row["external_mac"])
    stateless = (row.get("options") or {}).get("stateless") == "true"
    return NatRule(row.get("_uuid", ""), row["type"], row["external_ip"], row["logical_ip"], port, mac, stateless)


def policy(row: Row) -> RoutePolicy:
    """A routing policy."""
    # `nexthop` is the older column; `nexthops` may be missing altogether in an old schema.
    nexthops = tuple(sorted({*many(row.get("nexthops")), *many(row.get("nexthop"))}))
    vendor = (row.get("external_ids") or {}).get("vendor")
    return RoutePolicy(row["_uuid"], row["priority"], row["match"], row["action"], nexthops, vendor)


def source_route(row: Row) -> SourceRoute:
    """A static route by source address."""
    return SourceRoute(row["_uuid"], row["ip_prefix"], row["nexthop"])


def switch_port(row: Row) -> SwitchPort:
    """A logical switch port."""
    addresses = tuple(sorted(many(row["addresses"])))
    kind, up, tag = row["type"], one(row["up"]), one(row.get("tag"))
    return SwitchPort(row["_uuid"], row["name"], kind, addresses, row["options"], up, tag, enabled(row))


def chassis(row: Row, addresses: Mapping[str, str]) -> Chassis:
    """A chassis; `addresses` are those of SB's Encap rows."""
    # Older ovn-controllers report the mappings in external_ids, newer ones in other_config.
    texts = ((row.get(column) or {}).get("ovn-bridge-mappings") for column in ("other_config", "external_ids"))
    text = next((item for item in texts if item), "")
    pairs = (item.split(":", 1) for item in text.split(",") if ":" in item)
    mappings = {network.strip(): bridge.strip() for network, bridge in pairs}
    ips = tuple(sorted({addresses[key] for key in many(row["encaps"]) if key in addresses}))
    return Chassis(row["_uuid"], row["name"], row["hostname"], ips, mappings)


def bound_to(binding: Row, names: Mapping[str, str]) -> str | None:
    """The chassis that a port is bound to, of those named by identity.

    After a migration whose end Kube-OVN overlooks, the VM's new chassis stays an additional one beside none, and
    packets reach it: unless it waits for the VM's first packet, before which it passes none on (ovn-nb(5), rarp).
    """
    options = binding.get("options") or {}
    ready = options.get("additional-chassis-activated", "").split(",") if "activation-strategy" in options else None
    additional = (names.get(key) for key in many(binding.get("additional_chassis")))
    found = [names.get(key) for key in many(binding["chassis"])]
    found += [name for name in additional if ready is None or name in ready]
    return next((name for name in found if name is not None), None)


def holder_ports(rows: Sequence[Row], logical_ips: Collection[str]) -> dict[str, HolderPort]:
    """The pods' ports that have these overlay addresses, by address. OVN writes addresses as "MAC IP IP"."""
    found = {}
    for row in sorted(rows, key=lambda row: str(row["name"])):
        for text in many(row["addresses"]):
            mac, *ips = text.split() or [""]
            found.update({ip: HolderPort(row["name"], mac) for ip in ips if ip in logical_ips})
    return found
