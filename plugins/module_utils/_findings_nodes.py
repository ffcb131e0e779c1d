# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about what is between OVN's rows and the physical network: mappings, links, tunnels, MTU. Pure.

SB tells the mappings. The rest only nodes can show: without evidence of a node nothing is found there.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._findings import Finding, gateway_task
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import nodes_by_row, registered
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    GatewayChassis,
    GatewayNode,
    Ovn,
    SubnetMtu,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import NodeSide

Gateways = Mapping[GatewayChassis, GatewayNode]
Sides = Mapping[str, NodeSide]


def link_findings(
    ovn: Ovn, nodes: Sequence[GatewayNode], config: Mapping[str, str] | None, sides: Sides
) -> list[Finding]:
    """What is wrong between the router port and the physical network, on gateways that live."""
    rows = ovn.router_port.gateway_chassis if ovn.router_port else ()
    nodes_of = nodes_by_row(rows, ovn, nodes)
    alive = {row: node for row, node in nodes_of.items() if node and node.ready and registered(row, ovn)}
    found = [*_unmapped(ovn, alive, config), *_links(alive, config, sides), *_bfd(ovn, alive, config, sides)]
    for port in ovn.switch_ports if rows else ():
        if not port.enabled:
            text = f"port {port.name} of switch {ovn.names.switch} is disabled"
            found.append(Finding("port_disabled", text, gateway_task(config)))
    if rows and ovn.switch_uuid is not None and not ovn.joined:
        text = f"switch {ovn.names.switch} has no port to router port {ovn.names.router_port}"
        found.append(Finding("switch_detached", text, gateway_task(config)))
    if rows and not any(port.type == "localnet" for port in ovn.switch_ports):
        text = f"switch {ovn.names.switch} has no port of type localnet"
        found.append(Finding("no_localnet", text, gateway_task(config)))
    return found


def _unmapped(ovn: Ovn, alive: Gateways, config: Mapping[str, str] | None) -> Iterable[Finding]:
    mapped = {one.name: one.bridge_mappings for one in ovn.chassis}
    for row, node in alive.items():
        if ovn.network not in mapped[row.chassis]:
            text = f"the chassis of {node.name} maps no bridge to network {ovn.network}"
            yield Finding("gateway_unmapped", text, gateway_task(config), node=node.name)


def _links(alive: Gateways, config: Mapping[str, str] | None, sides: Sides) -> Iterable[Finding]:
    for node in alive.values():
        side = sides.get(node.name)
        if side and side.link_up is False:
            nic = side.nic or "its NIC"
            up = f'ansible {node.name} --become -m ansible.builtin.command -a "ip link set {nic} up"'
            repair = gateway_task(config, drained=[node.name]) if len(alive) > 1 else up
            yield Finding("external_link_down", f"{nic} on {node.name} has no link", repair, node=node.name)


def _bfd(ovn: Ovn, alive: Gateways, config: Mapping[str, str] | None, sides: Sides) -> Iterable[Finding]:
    """Of gateways that both live. The session to a dead one is down on each of the others, and should be."""
    for row, node in alive.items():
        for other, state in peer_states(row, alive, ovn, sides.get(node.name)).items():
            if state != "up":
                aside = other if row.chassis == ovn.active_chassis else node.name
                text = f"{node.name} says that its BFD session with {other} is {state}"
                yield Finding("bfd_down", text, gateway_task(config, drained=[aside]), node=node.name)


def peer_states(row: GatewayChassis, gateways: Gateways, ovn: Ovn, side: NodeSide | None) -> dict[str, str]:
    """The state of a gateway's BFD sessions with the other gateways, by their nodes, as the gateway itself says."""
    ends = {one.name: one.encap_ips for one in ovn.chassis}
    found = {}
    for other, node in gateways.items():
        states = [side.tunnels[ip] for ip in ends.get(other.chassis, ()) if ip in side.tunnels] if side else []
        if other != row and states:
            found[node.name] = "up" if "up" in states else states[0]
    return found


def mtu_findings(
    site: Site, mtus: Sequence[SubnetMtu], nodes: Sequence[GatewayNode], sides: Sides
) -> Iterable[Finding]:
    """EIPs whose holders may send larger packets than some gateway's NIC takes."""
    names = {node.name for node in nodes}
    known = {name: side for name, side in sides.items() if name in names}
    outside = [(side.mtu, name) for name, side in known.items() if side.mtu]
    defaults = [side.overlay_mtu for side in known.values() if side.overlay_mtu]
    if not outside:
        return
    most, gateway = min(outside)
    too_large = [
        (ip_network(one.network, strict=False), one.subnet, mtu)
        for one in mtus
        if (mtu := one.mtu or min(defaults, default=0)) > most
    ]
    for rule in site.observed.ovn.nat_rules if too_large else ():
        if is_eip_rule(rule):
            address = _single(rule.logical_ip)
            for network, subnet, mtu in too_large:
                if address is not None and address in network:
                    repair = f"kubectl patch subnet {subnet} --type=merge -p '{json.dumps({'spec': {'mtu': most}})}'"
                    text = f"{rule.external_ip}: subnet {subnet} has MTU {mtu}, the NIC of {gateway} {most}"
                    holder = next(iter(site.holders_at(rule.logical_ip)), None)
                    yield Finding("eip_mtu", text, repair, rule.external_ip, holder)


def _single(text: str) -> IPv4Address | IPv6Address | None:
    """The one address that a rule leads to. OVN lets anybody write a row with a network there, or any text."""
    try:
        return ip_address(text)
    except ValueError:
        return None
