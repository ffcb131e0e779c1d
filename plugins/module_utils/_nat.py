# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the read-only modules tell: gateways in their order, NAT rules with who holds them, claims, findings. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._findings import Finding
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import nodes_by_row
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import peer_states
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ANNOTATIONS,
    Claim,
    GatewayChassis,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    RoutePolicy,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_filter import Filters, chosen
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import More, Seen, node_name, sort_key

UNVERIFIED = "unverified"
NO_FILTERS = Filters()


def report(seen: Seen, filters: Filters = NO_FILTERS) -> dict[str, Any]:
    """All that the modules return, or that part of the rules, claims and findings that is wanted."""
    found, unread = seen.judged
    wanted = chosen(found, filters)
    about = {sort_key(one.address) for one in wanted if one.address} if filters.codes else None

    def wants(address: str, holders: Sequence[Holder]) -> bool:
        return filters.wants(address, holders) and (about is None or sort_key(address) in about)

    rules = sorted(
        (rule for rule in seen.ovn.nat_rules if wants(rule.external_ip, seen.site.holders_at(rule.logical_ip))),
        key=lambda rule: (sort_key(rule.external_ip), rule.type, sort_key(rule.logical_ip), rule.logical_port or ""),
    )
    claims = [one for one in seen.claims if wants(one.address, [claimant.holder for claimant in one.claimants])]
    return {
        "gateways": gateways(seen),
        "active_gateway": node_name(seen.ovn.active_chassis, seen.ovn, seen.nodes),
        "router_port": router_port(seen.ovn),
        "external_switch": external_switch(seen.ovn),
        "nat_rules": [_nat_rule(rule, seen) for rule in rules],
        "claims": [_claim(claim) for claim in sorted(claims, key=lambda one: sort_key(one.address))],
        "findings": [_finding(one) for one in wanted],
        "unjudged": unread,
        "versions": list(seen.versions),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "severity": one.severity,
        "text": one.text,
        "breaks": one.breaks,
        "repair": one.repair,
        "address": one.address,
        "holder": _holder(one.holder) if one.holder else None,
        "node": one.node,
    }


def _holder(one: Holder) -> dict[str, str]:
    return {"kind": one.kind, "namespace": one.namespace, "name": one.name}


# --- gateways


def gateways(seen: Seen) -> list[dict[str, Any]]:
    """The router port's gateway chassis, highest priority first."""
    rows = seen.ovn.router_port.gateway_chassis if seen.ovn.router_port else ()
    nodes = {row: node for row, node in nodes_by_row(rows, seen.ovn, seen.nodes).items() if node}
    return [_gateway(row, nodes, seen) for row in rows]


def _gateway(row: GatewayChassis, nodes: dict[GatewayChassis, GatewayNode], seen: Seen) -> dict[str, Any]:
    node = nodes.get(row)
    side = seen.nodes_show.get(node.name) if node else None
    mappings = next((one.bridge_mappings for one in seen.ovn.chassis if one.name == row.chassis), {})
    peers = peer_states(row, nodes, seen.ovn, side)
    link = {True: "up", False: "down", None: UNVERIFIED}[side.link_up if side else None]
    return {
        "node": node_name(row.chassis, seen.ovn, seen.nodes),
        "chassis": row.chassis,
        "priority": row.priority,
        "ready": node.ready if node else False,
        "active": row.chassis == seen.ovn.active_chassis,
        "bridge_mappings": dict(mappings),
        "link": link,
        "mtu": side.mtu if side else None,
        "bfd": _summary(list(peers.values())) if side else UNVERIFIED,
        "bfd_peers": peers,
    }


def _summary(states: list[str]) -> str:
    """Of several sessions the worst; none where OVN asks for none."""
    return next((state for state in states if state != "up"), "up") if states else "none"


def router_port(ovn: Ovn) -> dict[str, Any] | None:
    """The router port's name and addresses."""
    port = ovn.router_port
    return None if port is None else {"name": port.name, "mac": port.mac, "networks": list(port.networks)}


def external_switch(ovn: Ovn) -> dict[str, Any] | None:
    """The external switch with its ports."""
    if ovn.switch_uuid is None:
        return None
    ports = [{"name": port.name, "type": port.type, "options": dict(port.options)} for port in ovn.switch_ports]
    localnet = next((port for port in ovn.switch_ports if port.type == "localnet"), None)
    network = localnet and {"port": localnet.name, "network": localnet.options.get("network_name"), "tag": localnet.tag}
    return {"name": ovn.names.switch, "ports": ports, "localnet": network}


# --- NAT rules


def _nat_rule(rule: NatRule, seen: Seen) -> dict[str, Any]:
    site = seen.site
    holder = next(iter(site.holders_at(rule.logical_ip)), None)
    pod = site.pod_of(holder) if holder else None
    policies = site.policies_for([rule.logical_ip])
    return {
        "type": rule.type,
        "external_ip": rule.external_ip,
        "logical_ip": rule.logical_ip,
        "logical_port": rule.logical_port,
        "external_mac": rule.external_mac,
        "distributed": rule.distributed,
        "kind": _kind(rule, holder, seen),
        "holder": _holder(holder) if holder else None,
        "pod": pod.name if pod else None,
        "node": pod.node if pod else None,
        "mac": _mac(pod, rule),
        "policy": _policy(policies[0]) if policies else None,
    }


def _kind(rule: NatRule, holder: Holder | None, seen: Seen) -> str:
    """What has made a rule: an annotation, an object of Kube-OVN's, or somebody else."""
    kind = next((one for one in ANNOTATIONS if is_eip_rule(rule, one)), None)
    if kind and holder and rule.external_ip in seen.site.asked_by(holder, kind):
        return "annotation"
    objects = (seen.more or More()).ovn_eips
    if objects is None:
        return UNVERIFIED
    if rule.external_ip in objects:
        return {"dnat_and_snat": "OvnFip", "snat": "OvnSnatRule"}.get(rule.type, "OvnDnatRule")
    return "foreign"


def _mac(pod: PodView | None, rule: NatRule) -> str | None:
    """The holder's own MAC, as its pod's first NIC has it."""
    return pod.mac if pod and pod.ip and rule.logical_ip in pod.ip.split(",") else None


def _claim(claim: Claim) -> dict[str, Any]:
    holders = [one.holder for one in claim.claimants]
    return {
        "address": claim.address,
        "kind": claim.kind,
        "holders": [_holder(one) for one in holders],
        "previous": claim.previous,
        "rotation": claim.rotation,
    }


def _policy(policy: RoutePolicy) -> dict[str, Any]:
    return {
        "priority": policy.priority,
        "match": policy.match,
        "action": policy.action,
        "nexthops": list(policy.nexthops),
    }
