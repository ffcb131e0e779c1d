# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: one look at the cluster and at OVN.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import claims_of
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    DEFINITIONS,
    DEPLOYMENTS,
    IPS,
    LEASES,
    NAMESPACES,
    NODES,
    OVN_EIPS,
    PODS,
    STATEFUL_SETS,
    SUBNETS,
    VMIS,
    VMS,
    VPCS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip import wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_home import homes_of, nics_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import LISTS, objects_seen, read_routers
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import MANAGED_BY, MANAGED_LABEL
from ansible_collections.kubeovn.core.plugins.module_utils._eip_outside import lone, outside_mentions
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    AUTO,
    CONFIG_MAP,
    DEFAULT_VPC,
    DNAT,
    OBJECTS,
    Claim,
    Eip,
    Ovn,
    PodView,
    RouterPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    deployment_view,
    gateway_node,
    kept_addresses,
    launcher_sync,
    overlay_networks,
    pod_view,
    vm_view,
)

Objects = list[dict[str, Any]]
ABSENT = 404
FORBIDDEN = 403
NARROW_NICS = "of other namespaces: only the Subnets tell which NICs come of them"
NARROW = "of other namespaces: who else has an address is seen by its claim only"


@dataclass
class Eyes:
    """Where to look. northbound: None when OVN cannot be reached, so that Kubernetes alone has to do."""

    cluster: Cluster
    northbound: Northbound | None
    config_namespace: str
    claims_namespace: str
    without: str = ""  # how to do without OVN, for who lacks the rights to look at it

    def observe(self, desired: Sequence[Eip], wishes: Wishes) -> Observed:
        """One LIST of each kind that matters, all at once, then one read of OVN: in this order, see Observed."""
        namespaces = sorted({eip.holder.namespace for eip in desired})
        unseen: list[str] = []
        narrow: list[str] = []  # kinds that are seen in the task's namespaces only
        (pods, vms, vmis, deployments, nodes, ovn_eips, stateful_sets, leases, config) = self._lists(
            namespaces, unseen, narrow
        )
        unseen += [f"{kind} {NARROW}" for kind in narrow]
        instances = {_key(item): item for item in vmis or ()}
        claims, unreadable = claims_of(leases or ())
        observed = _with_config(
            Observed(
                configured=True,
                next_hop=None,
                gateway_addresses=(),
                pods=tuple(pod_view(item) for item in pods or ()),
                vms=None if vms is None else tuple(vm_view(item, instances.get(_key(item))) for item in vms),
                ovn=_nothing(),
                ovn_eips={address: item["metadata"]["name"] for item in ovn_eips or () if (address := _address(item))},
                kept=None,
                deployments=tuple(deployment_view(item) for item in deployments or ()),
                synced=launcher_sync(deployments or ()),
                claims=claims,
                unreadable=unreadable,
                nodes=tuple(gateway_node(item) for item in nodes or ()),
                unseen=tuple(unseen),
                blind=self.northbound is None,
                namespaces=frozenset(namespaces) if narrow else None,
                outside=tuple(outside_mentions(stateful_sets or (), lone(vmis or (), vms or ()))),
            ),
            config,
        )
        observed = self._with_ovn(observed, desired)
        observed = self._with_home(observed)
        distributed = (config or {}).get("type") == "distributed"
        whole = wishes.state == "pruned" or (wishes.adopt and not desired)
        made = any(_managed(item) for item in ovn_eips or ())
        if wants_objects(desired, observed, made, whole):
            observed = self._with_objects(observed, desired, distributed)
        observed = self._with_declared(observed) if wishes.state == "pruned" else observed
        if whole or wants_kept(desired, wishes, observed):
            observed = self._with_kept(observed, desired, wishes)
        away = observed.homes.elsewhere if observed.homes and observed.objects is None else ()
        if any((eip.holder.namespace, eip.holder.name) in away for eip in desired if eip.backend == AUTO):
            observed = self._with_objects(observed, desired, distributed)
        return observed

    def claims(self) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
        """The claims alone, after another run was faster. Without selector: a Lease that only looks like one counts."""
        return claims_of(self.cluster.list(LEASES, self.claims_namespace))

    def _lists(self, namespaces: Sequence[str], unseen: list[str], narrow: list[str]) -> Sequence[Any]:
        """All that is listed, in the order of these calls; None for a kind that the cluster does not know."""
        cluster = self.cluster
        kinds = (PODS, VMS, VMIS, DEPLOYMENTS)
        calls: list[Callable[[], Any]] = [partial(self._wide, kind, namespaces, narrow) for kind in kinds]
        calls += [partial(self._optional, kind, unseen) for kind in (NODES, OVN_EIPS)]
        calls.append(partial(self._tolerated, STATEFUL_SETS, namespaces, unseen))
        # First: a machine that is made and claimed meanwhile must not look like one that is gone.
        leases = cluster.list(LEASES, self.claims_namespace)
        answers = cluster.together([*calls, partial(self._config, unseen)])
        for answer in answers:
            if isinstance(answer, ClusterError):
                raise answer
        return [*answers[:-1], leases, answers[-1]]

    def _wide(self, kind: Resource, namespaces: Sequence[str], narrow: list[str]) -> Objects | None:
        """All objects of a kind; with rights in single namespaces only, those of the task's."""
        try:
            return self._known(kind, None)
        except ClusterError as error:
            if error.status != FORBIDDEN or not namespaces:
                raise
        narrow.append(kind.plural)
        answers = [self._known(kind, namespace) for namespace in namespaces]
        return None if None in answers else [item for answer in answers for item in answer or ()]

    def _tolerated(self, kind: Resource, namespaces: Sequence[str], unseen: list[str]) -> Objects | None:
        """As much as this identity may list of what has no EIP itself, though it has a say in EIPs."""
        narrow: list[str] = []
        try:
            found = self._wide(kind, namespaces, narrow)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            unseen.append(f"{kind.plural}: this identity may not list them")
            return None
        unseen += [f"{kind.plural} {NARROW_NICS if kind is DEFINITIONS else NARROW}"] if narrow else []
        return found

    def _known(self, kind: Resource, namespace: str | None) -> Objects | None:
        try:
            return self.cluster.list(kind, namespace)
        except ClusterError as error:
            if error.status == ABSENT:
                return None
            raise

    def _optional(self, kind: Resource, unseen: list[str]) -> Objects | None:
        """A kind without which the rest goes on, so that a tenant's rights are enough."""
        try:
            return self._known(kind, None)
        except ClusterError as error:
            self._refuse(error)
            unseen.append(f"{kind.plural}: this identity may not list them")
            return None

    def _config(self, unseen: list[str]) -> Mapping[str, str] | None:
        """The gateway's ConfigMap; None when this identity may not read it."""
        try:
            return ((self.cluster.get(CONFIG_MAPS, self.config_namespace, CONFIG_MAP) or {}).get("data")) or {}
        except ClusterError as error:
            self._refuse(error)
            unseen.append(f"ConfigMap {CONFIG_MAP}: this identity may not read it")
            return None

    def _refuse(self, error: ClusterError) -> None:
        """Without access to OVN a tenant's rights are enough; with it all of them are needed."""
        if error.status == FORBIDDEN and self.northbound is None:
            return
        if error.status == FORBIDDEN and self.without:
            raise ClusterError(str(error), FORBIDDEN, self.without) from error
        raise error

    def _with_ovn(self, observed: Observed, desired: Sequence[Eip]) -> Observed:
        if self.northbound is None:
            unseen = "NAT rules, policies and ports: OVN was not looked at (ovn_connection: none)"
            return replace(observed, unseen=(*observed.unseen, unseen))
        holders = {(eip.holder.namespace, eip.holder.name) for eip in desired}
        ports = {pod.logical_port for pod in observed.pods if _names(pod) & holders}
        return replace(observed, ovn=self.northbound.observe(ports))

    def _with_objects(self, observed: Observed, desired: Sequence[Eip], distributed: bool) -> Observed:
        """What makes EIPs in other VPCs: seven LISTs more, and their routers."""
        answers = self.cluster.together([partial(self.cluster.list, kind) for kind in LISTS])
        for answer in answers:
            if isinstance(answer, ClusterError):
                raise answer
        site = Site(observed)
        everybody = [site.holder_of(pod) for pod in observed.pods if pod.vpc not in (None, DEFAULT_VPC)]
        pods = {holder: site.pods_of(holder) for holder in ([eip.holder for eip in desired] or everybody)}
        first = {holder: [site.pod_of(holder), *group] for holder, group in pods.items() if group}
        holders = {holder: [pod for pod in group if pod] for holder, group in first.items()}
        routers = read_routers(self.northbound.nb) if self.northbound else None
        listed = dict(zip(LISTS, answers, strict=True))
        ovn = observed.ovn if self.northbound else None
        return replace(observed, objects=objects_seen(listed, routers, ovn, holders, distributed))

    def _with_home(self, observed: Observed) -> Observed:
        """Whether the claims' namespace is there: a claim tells, and so does a look."""
        if observed.claims:
            return observed
        try:
            there = self.cluster.get(NAMESPACES, None, self.claims_namespace) is not None
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            there = True  # a tenant may not look, and a create would say so
        return replace(observed, claims_home=there)

    def _with_declared(self, observed: Observed) -> Observed:
        """The routes by source that the default VPC's spec asks for: they are somebody's, whatever they look like."""
        spec = (self.cluster.get(VPCS, None, DEFAULT_VPC) or {}).get("spec") or {}
        routes = spec.get("staticRoutes") or []
        return replace(observed, declared_routes=frozenset(str(route.get("cidr") or "") for route in routes))

    def _definitions(
        self, site: Site, desired: Sequence[Eip], wishes: Wishes, unseen: list[str]
    ) -> Sequence[Mapping[str, Any]] | None:
        """NetworkAttachmentDefinitions, where a template names some and no pod shows yet what comes of them."""
        holders = [eip.holder for eip in desired] or list(site.workloads)
        idle = [one for one in holders if one in site.workloads and not site.pods_of(one)]
        if wishes.state != "present" or not any(site.workloads[one].networks for one in idle):
            return None
        return self._tolerated(DEFINITIONS, sorted({one.namespace for one in idle}), unseen)

    def _with_kept(self, observed: Observed, desired: Sequence[Eip], wishes: Wishes) -> Observed:
        unseen: list[str] = []
        ips = self._optional(IPS, unseen) or []
        subnets = self._optional(SUBNETS, unseen) or []
        site, hidden, hidden_nics = Site(observed), list[str](), list[str]()
        strangers = any(not site.has_address(eip.holder) for eip in desired)
        others = strangers and any(
            (item.get("spec") or {}).get("vpc") not in (None, "", DEFAULT_VPC) for item in subnets
        )
        vpcs = (self._optional(VPCS, hidden) or []) if others else []
        nics = None if unseen else nics_of(subnets, self._definitions(site, desired, wishes, hidden_nics), ips)
        apart = {item["metadata"]["name"] for item in subnets if _is_apart(item.get("spec") or {})}
        specs = [item.get("spec") or {} for item in ips]
        addresses = tuple(one.get("v4IpAddress") or "" for one in specs if one.get("subnet") not in apart)
        return replace(
            observed,
            kept=None if unseen else kept_addresses(ips, subnets),
            ips=tuple(address for address in addresses if address),
            overlays=overlay_networks(subnets),
            homes=homes_of(subnets, vpcs, ips) if others and not (unseen or hidden) else None,
            nics=nics,
            unseen=(*observed.unseen, *unseen, *hidden, *hidden_nics),
        )


def _with_config(observed: Observed, config: Mapping[str, str] | None) -> Observed:
    if config is None:
        return observed
    addresses = [config.get(key, "").partition("/")[0] for key in ("external-gw-addr", "nic-ip")]
    port = RouterPort("", "", "", (config["nic-ip"],)) if observed.blind and config.get("nic-ip") else None
    return replace(
        observed,
        configured=bool(config) and config.get("enable-external-gw") != "false",
        next_hop=addresses[0] or None,
        gateway_addresses=tuple(address for address in addresses if address),
        ovn=replace(observed.ovn, router_port=port),
    )


def wants_objects(desired: Sequence[Eip], observed: Observed, managed: bool, whole: bool = False) -> bool:
    """Whether an EIP may be made of objects. managed: whether the collection has made an OvnEip in this cluster.

    whole: what is asked is about all that the cluster has.
    """
    if whole and observed.ovn_eips:
        return True
    site = Site(observed)
    others = managed or any(pod.vpc not in (None, DEFAULT_VPC) for pod in observed.pods)
    for eip in desired:
        pods = site.pods_of(eip.holder)
        if eip.backend == OBJECTS or eip.kind == DNAT or any(pod.vpc not in (None, DEFAULT_VPC) for pod in pods):
            return True
        if others and not pods:
            return True
    return False


def _managed(item: Mapping[str, Any]) -> bool:
    return ((item.get("metadata") or {}).get("labels") or {}).get(MANAGED_LABEL) == MANAGED_BY


def _is_apart(subnet: Mapping[str, Any]) -> bool:
    """Whether a Subnet is inside another VPC, where addresses may be the same as those of the outside."""
    return subnet.get("vpc") not in (None, "", DEFAULT_VPC) and not subnet.get("vlan")


def _nothing() -> Ovn:
    return Ovn(None, None, None, (), (), (), (), None)


def _names(pod: PodView) -> set[tuple[str, str]]:
    """What a task may call a pod's holder."""
    return {(pod.namespace, name) for name in (pod.name, pod.vm, pod.deployment) if name}


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _address(ovn_eip: Mapping[str, Any]) -> str:
    status, spec = ovn_eip.get("status") or {}, ovn_eip.get("spec") or {}
    return str(status.get("v4Ip") or spec.get("v4Ip") or "")
