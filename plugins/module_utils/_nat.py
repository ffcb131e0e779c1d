# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NAT rows joined with who holds them, and the gateways in their order: what the read-only modules tell.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import SELECTOR, claims_of
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    IPS,
    LEASES,
    NODES,
    OVN_EIPS,
    PODS,
    SUBNETS,
    VMIS,
    VMS,
    VPCS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import (
    ERROR,
    Finding,
    eip_findings,
    gateway_findings,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    Claim,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    Problem,
    RoutePolicy,
    Workload,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    deployment_view,
    gateway_node,
    kept_addresses,
    overlay_networks,
    pod_view,
    vm_view,
)

ABSENT, FORBIDDEN = 404, 403


@dataclass(frozen=True)
class More:
    """What only the findings need. None: this identity may not read it."""

    deployments: tuple[Workload, ...] | None = ()
    ovn_eips: Mapping[str, str] | None = field(default_factory=dict)  # address -> name of the OvnEip that has it
    config: Mapping[str, str] | None = None  # the gateway's ConfigMap, empty when there is none
    declared_routes: frozenset[str] | None = frozenset()  # prefixes that the VPC's spec routes by source
    overlays: tuple[str, ...] = ()
    kubevirt: bool = True


@dataclass(frozen=True)
class Seen:
    """One look at the cluster and at OVN."""

    nodes: tuple[GatewayNode, ...]
    pods: tuple[PodView, ...]
    vms: tuple[Workload, ...]
    kept: dict[str, tuple[str, str]]  # overlay address -> (namespace, name) of its owner
    ovn: Ovn
    claims: tuple[Claim, ...] = ()
    more: More | None = None  # None: no findings are asked for


def observe(
    cluster: Cluster, northbound: Northbound, claims_namespace: str, configmap_namespace: str = "kube-system"
) -> Seen:
    """Read each kind once, whatever the number of rows; the claims first and OVN last, see Observed."""
    claims, _unreadable = claims_of(cluster.list(LEASES, claims_namespace, SELECTOR))
    instances = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item for item in cluster.list(VMIS, absent_ok=True)
    }
    machines = _known(cluster, VMS)
    subnets = cluster.list(SUBNETS, absent_ok=True)
    more = replace(_more(cluster, configmap_namespace, subnets), kubevirt=machines is not None)
    return Seen(
        nodes=tuple(gateway_node(item) for item in cluster.list(NODES)),
        pods=tuple(pod_view(item) for item in cluster.list(PODS)),
        vms=tuple(
            vm_view(item, instances.get((item["metadata"]["namespace"], item["metadata"]["name"])))
            for item in machines or ()
        ),
        kept=kept_addresses(cluster.list(IPS, absent_ok=True), subnets),
        ovn=northbound.observe(),
        claims=claims,
        more=more,
    )


def _more(cluster: Cluster, configmap_namespace: str, subnets: Sequence[Mapping[str, Any]]) -> More:
    deployments = _allowed(cluster, DEPLOYMENTS)
    eips = _allowed(cluster, OVN_EIPS)
    vpcs = _allowed(cluster, VPCS)
    specs = [vpc.get("spec") or {} for vpc in vpcs or () if vpc["metadata"]["name"] == DEFAULT_VPC]
    routes = [route for spec in specs for route in spec.get("staticRoutes") or []]
    try:
        config = (cluster.get(CONFIG_MAPS, configmap_namespace, CONFIG_MAP) or {}).get("data") or {}
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        config = None
    return More(
        deployments=None if deployments is None else tuple(deployment_view(item) for item in deployments),
        ovn_eips=None if eips is None else {ip: item["metadata"]["name"] for item in eips if (ip := _ovn_eip(item))},
        config=config,
        declared_routes=None if vpcs is None else frozenset(str(route.get("cidr") or "") for route in routes),
        overlays=overlay_networks(subnets),
    )


def _known(cluster: Cluster, kind: Resource) -> Sequence[Mapping[str, Any]] | None:
    """All objects of a kind; None when the cluster does not know it."""
    try:
        return cluster.list(kind)
    except ClusterError as error:
        if error.status != ABSENT:
            raise
        return None


def _allowed(cluster: Cluster, kind: Resource) -> Sequence[Mapping[str, Any]] | None:
    """All objects of a kind; None when this identity may not list them."""
    try:
        return cluster.list(kind, absent_ok=True)
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        return None


def _ovn_eip(item: Mapping[str, Any]) -> str:
    return str((item.get("status") or {}).get("v4Ip") or (item.get("spec") or {}).get("v4Ip") or "")


def findings(seen: Seen) -> tuple[list[Finding], list[str]]:
    """What is wrong, errors first; and what could not be judged, since this identity may not read what it needs."""
    more = seen.more or More()
    found = gateway_findings(seen.ovn, seen.nodes, more.config)
    unread = [] if more.config is not None else [f"ConfigMap {CONFIG_MAP}: whether OVN does what it says"]
    needed = {"deployments": more.deployments, "ovn-eips": more.ovn_eips, "vpcs": more.declared_routes}
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        unread.append(f"{', '.join(missing)}: what is left over, and which EIPs are wrong")
    else:
        found += eip_findings(_observed(seen, more))
    return sorted(found, key=_finding_key), unread


def _finding_key(one: Finding) -> tuple[bool, str, tuple[int, int, str], str]:
    return one.severity != ERROR, one.code, _sort_key(one.address or ""), one.text


def _observed(seen: Seen, more: More) -> Observed:
    """The observation that a plan for EIPs would have."""
    config = more.config or {}
    return Observed(
        configured=bool(config) and config.get("enable-external-gw") != "false",
        next_hop=config.get("external-gw-addr", "").partition("/")[0] or None,
        gateway_addresses=(),
        pods=seen.pods,
        vms=seen.vms if more.kubevirt else None,
        ovn=seen.ovn,
        ovn_eips=more.ovn_eips or {},
        kept=seen.kept,
        deployments=more.deployments or (),
        claims=seen.claims,
        overlays=more.overlays,
        declared_routes=more.declared_routes or frozenset(),
    )


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


def report(seen: Seen, addresses: Collection[str] = ()) -> dict[str, Any]:
    """All that the modules return. `addresses`: only the NAT rules of these external addresses; none means all."""
    wanted = {_sort_key(address) for address in addresses}
    rules = sorted(seen.ovn.nat_rules, key=lambda rule: (_sort_key(rule.external_ip), rule.type, rule.logical_ip))
    site = site_of(seen)
    found, unread = findings(seen)
    return {
        "gateways": gateways(seen.ovn, seen.nodes),
        "active_gateway": active_gateway(seen.ovn, seen.nodes),
        "router_port": router_port(seen.ovn),
        "external_switch": external_switch(seen.ovn),
        "nat_rules": [_nat_rule(rule, site) for rule in rules if not wanted or _sort_key(rule.external_ip) in wanted],
        "claims": [
            _claim(claim)
            for claim in sorted(seen.claims, key=lambda one: _sort_key(one.address))
            if not wanted or _sort_key(claim.address) in wanted
        ],
        "findings": [
            _finding(one) for one in found if not wanted or one.address is None or _sort_key(one.address) in wanted
        ],
        "unjudged": unread,
    }


def address_problems(addresses: Sequence[str]) -> list[Problem]:
    """What is wrong with option `addresses`."""
    return [
        Problem(f"addresses[{index}]", f"{text!r} is not an IP address", "an external address, as 10.4.19.101")
        for index, text in enumerate(addresses)
        if _address(text) is None
    ]


def node_name(chassis: str | None, ovn: Ovn, nodes: Sequence[GatewayNode]) -> str | None:
    """The Kubernetes node of a chassis: by Kube-OVN's annotation, else by the host name that the chassis reports."""
    if chassis is None:
        return None
    by_annotation = next((node.name for node in nodes if node.chassis == chassis), None)
    return by_annotation or next((row.hostname or None for row in ovn.chassis if row.name == chassis), None)


def gateways(ovn: Ovn, nodes: Sequence[GatewayNode]) -> list[dict[str, Any]]:
    """The router port's gateway chassis, highest priority first."""
    ready = {node.name: node.ready for node in nodes}
    found = []
    for row in ovn.router_port.gateway_chassis if ovn.router_port else ():
        node = node_name(row.chassis, ovn, nodes)
        found.append(
            {
                "node": node,
                "chassis": row.chassis,
                "priority": row.priority,
                "ready": ready.get(node or "", False),
                "active": row.chassis == ovn.active_chassis,
            }
        )
    return found


def active_gateway(ovn: Ovn, nodes: Sequence[GatewayNode]) -> str | None:
    """The node that holds the router port now."""
    return node_name(ovn.active_chassis, ovn, nodes)


def router_port(ovn: Ovn) -> dict[str, Any] | None:
    """The router port's name and addresses."""
    port = ovn.router_port
    return None if port is None else {"name": port.name, "mac": port.mac, "networks": list(port.networks)}


def external_switch(ovn: Ovn) -> dict[str, Any] | None:
    """The external switch with its ports."""
    if ovn.switch_uuid is None:
        return None
    ports = [{"name": port.name, "type": port.type, "options": dict(port.options)} for port in ovn.switch_ports]
    return {"name": ovn.names.switch, "ports": ports}


def site_of(seen: Seen) -> Site:
    """The index that knows whose an overlay address is; nothing else of it is used here."""
    return Site(Observed(True, None, (), seen.pods, seen.vms, seen.ovn, {}, seen.kept))


def _nat_rule(rule: NatRule, site: Site) -> dict[str, Any]:
    holders = site.holders_at(rule.logical_ip)
    holder = holders[0] if holders else None
    pod = site.pod_of(holder) if holder else None
    policies = site.policies_for([rule.logical_ip])
    return {
        "type": rule.type,
        "external_ip": rule.external_ip,
        "logical_ip": rule.logical_ip,
        "logical_port": rule.logical_port,
        "distributed": rule.distributed,
        "holder": _holder(holder) if holder else None,
        "pod": pod.name if pod else None,
        "node": pod.node if pod else None,
        "policy": _policy(policies[0]) if policies else None,
    }


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


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _sort_key(text: str) -> tuple[int, int, str]:
    """Addresses by their numbers, and equal however they are written; whatever else comes last, by its text."""
    address = _address(text)
    return (9, 0, text) if address is None else (address.version, int(address), "")
