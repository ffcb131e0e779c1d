# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a cluster and at OVN for who only reads, each kind of object once, and the judgement of what was seen.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
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
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import RULE_RESOURCES, objects_seen
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import (
    BY_ROW,
    ERROR,
    Finding,
    eip_findings,
)
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import gateway_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import link_findings, mtu_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_objects import object_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    NAT_TYPES,
    Claim,
    GatewayNode,
    Ovn,
    PodView,
    SubnetMtu,
    Workload,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import NodeSide, sides
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    deployment_view,
    extra_subnets,
    gateway_node,
    kept_addresses,
    kube_ovn_versions,
    overlay_mtus,
    overlay_networks,
    pod_view,
    vm_view,
)

ABSENT, FORBIDDEN = 404, 403
# Of so many EIPs a NAT row each is read with its identity, so that one that is there twice comes twice: the pods that
# have them take far longer to list. Of more it would cost the server half as much again.
FEW_RULES = 5000
RECENT = 60  # seconds: so long Kube-OVN's controller may need, with some hundred pods before this one

Listed = Mapping[Resource, "Sequence[Mapping[str, Any]] | None"]


@dataclass(frozen=True)
class More:
    """What only the findings need. None: this identity may not read it."""

    deployments: tuple[Workload, ...] | None = ()
    ovn_eips: Mapping[str, str] | None = field(default_factory=dict)  # address -> name of the OvnEip that has it
    config: Mapping[str, str] | None = None  # the gateway's ConfigMap, empty when there is none
    declared_routes: frozenset[str] | None = frozenset()  # prefixes that the VPC's spec routes by source
    extra_subnets: tuple[str, ...] = ()  # fields of the default VPC for which Kube-OVN ignores the ConfigMap
    overlays: tuple[str, ...] = ()
    kubevirt: bool = True
    mtus: tuple[SubnetMtu, ...] = ()
    objects: Objects | None = None  # the OvnEips with what uses them; None: there are none, or not all were read
    unlisted: tuple[str, ...] = ()  # kinds of what uses OvnEips that this identity may not list


@dataclass(frozen=True)
class Seen:
    """One look at the cluster and at OVN."""

    nodes: tuple[GatewayNode, ...]
    pods: tuple[PodView, ...]
    vms: tuple[Workload, ...]
    kept: dict[str, tuple[str, str]]  # overlay address -> (namespace, name) of its owner
    ovn: Ovn
    claims: tuple[Claim, ...] = ()
    more: More | None = None  # None: nothing is asked for that needs it
    nodes_show: Mapping[str, NodeSide] = field(default_factory=dict)  # what nodes showed of themselves
    versions: tuple[str, ...] = ()  # of Kube-OVN
    recent: str | None = None  # when the last minute began: what was asked for since may be under way

    @cached_property
    def site(self) -> Site:
        """The index that knows whose an overlay address is."""
        return Site(_observed(self, self.more or More()))

    @cached_property
    def judged(self) -> tuple[list[Finding], list[str]]:
        """What is wrong, errors first; and what could not be judged, as this identity may not read what it needs."""
        return findings(self)


def observe(
    cluster: Cluster,
    northbound: Northbound,
    claims_namespace: str,
    configmap_namespace: str = "kube-system",
    evidence: Mapping[str, Any] | None = None,
) -> Seen:
    """Read each kind once, whatever the number of rows; the claims first and OVN last, see Observed.

    Very many NAT rows are read by their addresses alone.
    """
    # What names a holder comes before the holders: one that is made meanwhile must not look like one that is gone.
    claims, _unreadable = claims_of(cluster.list(LEASES, claims_namespace, SELECTOR))
    made = _made(cluster)
    instances = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item for item in cluster.list(VMIS, absent_ok=True)
    }
    machines = _known(cluster, VMS)
    subnets = cluster.list(SUBNETS, absent_ok=True)
    ips = cluster.list(IPS, absent_ok=True)
    more = _more(cluster, configmap_namespace, made, subnets, ips)
    nic = (more.config or {}).get("external-gw-nic")
    recent = datetime.now(UTC) - timedelta(seconds=RECENT)
    items = cluster.list(PODS)
    pods = tuple(pod_view(item) for item in items)
    asking = sum(1 for pod in pods for kind in NAT_TYPES if pod.asks(kind))
    return Seen(
        nodes=tuple(gateway_node(item) for item in cluster.list(NODES)),
        pods=pods,
        vms=tuple(
            vm_view(item, instances.get((item["metadata"]["namespace"], item["metadata"]["name"])))
            for item in machines or ()
        ),
        kept=kept_addresses(ips, subnets),
        ovn=northbound.observe(identities=asking + len(claims) + len(more.ovn_eips or ()) <= FEW_RULES),
        claims=claims,
        more=replace(more, kubevirt=machines is not None),
        nodes_show=sides(evidence or {}, nic),
        versions=kube_ovn_versions(items),
        recent=recent.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def named(seen: Seen, northbound: Northbound) -> Seen:
    """The same look; but where a finding is to name a NAT row, OVN is looked at again, rows with their identities."""
    nameless = any(not rule.uuid for rule in seen.ovn.nat_rules)
    by_row = nameless and any(one.code in BY_ROW for one in seen.judged[0])
    return replace(seen, ovn=northbound.observe()) if by_row else seen


def _made(cluster: Cluster) -> Listed:
    """OvnEips and, where there are any, what uses them."""
    eips = _allowed(cluster, OVN_EIPS)
    return {OVN_EIPS: eips, **{kind: _allowed(cluster, kind) for kind in RULE_RESOURCES.values() if eips}}


def _objects(made: Listed, subnets: Sequence[Mapping[str, Any]], ips: Sequence[Mapping[str, Any]]) -> Objects | None:
    """What can be told of leftovers: where they are in OVN is not asked."""
    listed = {kind: items for kind, items in made.items() if items is not None}
    if len(listed) < len(made) or not made[OVN_EIPS]:
        return None
    return objects_seen({**listed, SUBNETS: subnets, IPS: ips, VPCS: ()}, None, None, {}, distributed=False)


def _more(
    cluster: Cluster,
    configmap_namespace: str,
    made: Listed,
    subnets: Sequence[Mapping[str, Any]],
    ips: Sequence[Mapping[str, Any]],
) -> More:
    deployments, eips = _allowed(cluster, DEPLOYMENTS), made[OVN_EIPS]
    vpcs = _allowed(cluster, VPCS)
    own = next((vpc for vpc in vpcs or () if vpc["metadata"]["name"] == DEFAULT_VPC), {})
    routes = (own.get("spec") or {}).get("staticRoutes") or []
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
        extra_subnets=extra_subnets(own),
        overlays=overlay_networks(subnets),
        mtus=overlay_mtus(subnets),
        objects=_objects(made, subnets, ips),
        unlisted=tuple(kind.plural for kind, items in made.items() if items is None and kind != OVN_EIPS),
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
    found = gateway_findings(seen.ovn, seen.nodes, more.config, more.extra_subnets)
    unread = [] if more.config is not None else [f"ConfigMap {CONFIG_MAP}: whether OVN does what it says"]
    needed = {"deployments": more.deployments, "ovn-eips": more.ovn_eips, "vpcs": more.declared_routes}
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        unread.append(f"{', '.join(missing)}: what is left over, and which EIPs are wrong")
    else:
        found += [*eip_findings(seen.site, more.config, seen.recent), *object_findings(seen.site)]
    if more.unlisted:
        unread.append(f"{', '.join(more.unlisted)}: what is wrong with EIPs that objects make")
    found += link_findings(seen.ovn, seen.nodes, more.config, seen.nodes_show)
    found += mtu_findings(seen.site, more.mtus, seen.nodes, seen.nodes_show)
    return sorted(found, key=_finding_key), unread


def _finding_key(one: Finding) -> tuple[bool, str, tuple[int, int, str], str]:
    return one.severity != ERROR, one.code, sort_key(one.address or ""), one.text


def _observed(seen: Seen, more: More) -> Observed:
    """The observation that a plan for EIPs would have."""
    config = more.config or {}
    return Observed(
        configured=more.config is None or (bool(config) and config.get("enable-external-gw") != "false"),
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
        objects=more.objects,
    )


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is; None when it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def sort_key(text: str) -> tuple[int, int, str]:
    """Addresses by their numbers, and equal however they are written; whatever else comes last, by its text."""
    address = address_of(text)
    return (9, 0, text) if address is None else (address.version, int(address), "")


def node_name(chassis: str | None, ovn: Ovn, nodes: Sequence[GatewayNode]) -> str | None:
    """The Kubernetes node of a chassis: by Kube-OVN's annotation, else by the host name that the chassis reports."""
    if chassis is None:
        return None
    by_annotation = next((node.name for node in nodes if node.chassis == chassis), None)
    return by_annotation or next((row.hostname or None for row in ovn.chassis if row.name == chassis), None)
