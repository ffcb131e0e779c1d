# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way of a packet from outside to the holder of an EIP and back, as NB and SB have it: nodes, tunnel, NAT. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._model import Chassis, HolderPort, NatRule, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen, address_of, node_name, sort_key

OUTSIDE = "outside"


@dataclass(frozen=True)
class Way:
    """What both directions share. None: OVN does not have it, and the way ends there."""

    eip: str
    rule: NatRule | None
    port: HolderPort | None  # the holder's logical port
    gateway: Chassis | None  # where the address is translated: the active gateway, or the holder's own node
    home: Chassis | None  # where the holder's port is bound
    next_hop: str | None


def rule_of(seen: Seen, eip: str) -> NatRule | None:
    """The NAT rule of an EIP. Of two it is left to chance which one OVN takes; here it is the first of their order."""
    rules = [one for one in seen.ovn.nat_rules if is_eip_rule(one) and sort_key(one.external_ip) == sort_key(eip)]
    return min(rules, key=lambda one: sort_key(one.logical_ip), default=None)


def port_name(seen: Seen, eip: str) -> str | None:
    """The logical port of the EIP's holder, to be looked up in NB and SB."""
    rule = rule_of(seen, eip)
    holder = next(iter(seen.site.holders_at(rule.logical_ip)), None) if rule else None
    pod = seen.site.pod_of(holder) if holder else None
    return pod.logical_port if pod else None


def path(seen: Seen, eip: str, port: HolderPort | None) -> dict[str, Any]:
    """Both directions as lists of hops, as far as they go, and what they lack."""
    way, ovn = _way(seen, eip, port), seen.ovn
    lacks = _lacks(way, seen)
    inbound, outbound = _inbound(way, seen), _outbound(way, seen)
    return {
        "eip": eip,
        "logical_ip": way.rule.logical_ip if way.rule else None,
        "logical_port": way.port.name if way.port else None,
        "gateway": _node(way.gateway, seen),
        "node": _node(way.home, seen),
        "distributed": way.rule.distributed if way.rule else None,
        "router_mac": (way.rule.external_mac if way.rule and way.rule.distributed else None)
        or (ovn.router_port.mac if ovn.router_port else None),
        "complete": not lacks,
        "lacks": lacks,
        "inbound": inbound,
        "outbound": outbound,
    }


def _way(seen: Seen, eip: str, port: HolderPort | None) -> Way:
    rule, ovn = rule_of(seen, eip), seen.ovn
    by_name = {one.name: one for one in ovn.chassis}
    home = by_name.get(port.chassis or "") if port else None
    gateway = home if rule and rule.distributed else by_name.get(ovn.active_chassis or "")
    policies = seen.site.policies_for([rule.logical_ip]) if rule else []
    hops = policies[0].nexthops if policies and policies[0].action == "reroute" else ()
    return Way(eip, rule, port, gateway, home, hops[0] if hops else None)


def _lacks(way: Way, seen: Seen) -> list[str]:
    """Why a packet does not get through, in its order."""
    ovn = seen.ovn
    network, port = ovn.network, ovn.router_port
    off = [f"router port {port.name}"] if port and not port.enabled else []
    off += [f"port {one.name} of switch {ovn.names.switch}" for one in ovn.switch_ports if not one.enabled]
    off += [f"port {way.port.name}"] if way.port and not way.port.enabled else []
    return [
        text
        for wrong, text in (
            (way.rule is None, f"no NAT rule of the default VPC has {way.eip}"),
            (ovn.router_port is None, f"there is no router port {ovn.names.router_port}"),
            (
                ovn.router_port is not None and not ovn.joined,
                f"switch {ovn.names.switch} has no port to the router port",
            ),
            (_localnet(ovn) is None, f"switch {ovn.names.switch} has no port of type localnet"),
            (bool(off), f"disabled: {', '.join(off)}"),
            (way.gateway is None, "no chassis translates the address: there is no active gateway, or no bound port"),
            (
                way.gateway is not None and network not in way.gateway.bridge_mappings,
                f"{_node(way.gateway, seen)} maps no bridge to network {network}",
            ),
            (way.rule is not None and way.port is None, "no logical port has the overlay address"),
            (way.port is not None and way.home is None, "the holder's logical port is bound to no chassis"),
            (
                way.rule is not None and seen.site.of_another_port(way.rule),
                f"the rule is for port {way.rule.logical_port if way.rule else None}, which is not the holder's",
            ),
            (way.rule is not None and way.next_hop is None, "no policy sends the holder's packets to the gateway"),
            (
                _astray(way, ovn),
                f"the policy sends the holder's packets to {way.next_hop}, which is on no network of the router port",
            ),
        )
        if wrong
    ]


def _astray(way: Way, ovn: Ovn) -> bool:
    """Whether the next hop is not on a network of the router port."""
    hop = address_of(way.next_hop or "")
    networks = [ip_interface(text).network for text in ovn.router_port.networks] if ovn.router_port else []
    return hop is not None and bool(networks) and not any(hop in network for network in networks)


def _localnet(ovn: Ovn) -> str | None:
    return next((port.name for port in ovn.switch_ports if port.type == "localnet"), None)


def _node(chassis: Chassis | None, seen: Seen) -> str | None:
    return node_name(chassis.name, seen.ovn, seen.nodes) if chassis else None


def _hop(action: str, node: str | None, via: str | None, source: str, destination: str) -> dict[str, Any]:
    return {"action": action, "node": node, "via": via, "source": source, "destination": destination}


def _inbound(way: Way, seen: Seen) -> list[dict[str, Any]]:
    rule, gateway, port = way.rule, way.gateway, way.port
    if rule is None or gateway is None or seen.ovn.router_port is None:
        return []
    node = _node(gateway, seen)
    hops = [
        _hop("enter", node, _bridge(gateway, seen.ovn), OUTSIDE, way.eip),
        _hop("dnat", node, seen.ovn.router_port.name, OUTSIDE, rule.logical_ip),
    ]
    if way.home is not None and port is not None:
        hops += _tunnel(gateway, way.home, seen, OUTSIDE, rule.logical_ip)
        hops.append(_hop("deliver", _node(way.home, seen), port.name, OUTSIDE, rule.logical_ip))
    return hops


def _outbound(way: Way, seen: Seen) -> list[dict[str, Any]]:
    rule, home, port = way.rule, way.home, way.port
    if rule is None or home is None or port is None:
        return []
    hops = [_hop("send", _node(home, seen), port.name, rule.logical_ip, OUTSIDE)]
    if way.next_hop is None or seen.ovn.router_port is None:
        return hops
    hops.append(_hop("reroute", _node(home, seen), way.next_hop, rule.logical_ip, OUTSIDE))
    if way.gateway is not None:
        node = _node(way.gateway, seen)
        hops += _tunnel(home, way.gateway, seen, rule.logical_ip, OUTSIDE)
        hops.append(_hop("snat", node, seen.ovn.router_port.name, way.eip, OUTSIDE))
        hops.append(_hop("leave", node, _bridge(way.gateway, seen.ovn), way.eip, OUTSIDE))
    return hops


def _bridge(chassis: Chassis, ovn: Ovn) -> str | None:
    return chassis.bridge_mappings.get(ovn.network)


def _tunnel(one: Chassis, other: Chassis, seen: Seen, source: str, destination: str) -> Sequence[dict[str, Any]]:
    """From one chassis to another; no hop when it is the same."""
    if one.name == other.name:
        return ()
    ends = [next(iter(end.encap_ips), "?") for end in (one, other)]
    return (_hop("tunnel", _node(other, seen), " -> ".join(ends), source, destination),)
