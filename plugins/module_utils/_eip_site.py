# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was seen of a cluster's EIPs, and the questions that plan and checks ask of it. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import TypeVar

from ansible_collections.kubeovn.core.plugins.module_utils._eip_home import Homes, Nics
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Objects
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    AUTO,
    DEFAULT_VPC,
    DNAT,
    FIP,
    NAT_TYPES,
    OBJECTS,
    SNAT,
    Claim,
    Eip,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    Rerouting,
    RoutePolicy,
    SourceRoute,
    Workload,
)

POLICY_MATCH = "ip4.src == "
KUBE_OVN = "kube-ovn"  # how it marks its policies (util.CniTypeName of v1.14)

K = TypeVar("K")
V = TypeVar("V")


def rerouted(policy: RoutePolicy) -> str:
    """The overlay address that a reroute policy is for; of a dual-stack pod's the first."""
    return policy.match.removeprefix(POLICY_MATCH).partition(",")[0]


@dataclass(frozen=True)
class Mention:
    """An object whose annotation says which address its holder has."""

    holder: Holder
    kind: str
    where: str
    outside: bool = False  # of an object that nothing here writes to, so that nobody can take the address from it


@dataclass(frozen=True)
class Observed:
    """One look at the cluster and at OVN, the cluster first: a pod that reads `routed` has its rows in OVN by then."""

    configured: bool  # the gateway's ConfigMap exists and does not say "false"
    next_hop: str | None  # the physical gateway that the ConfigMap names; None: it names none
    gateway_addresses: tuple[str, ...]  # addresses that the ConfigMap gives to the gateway itself
    pods: tuple[PodView, ...]
    vms: tuple[Workload, ...] | None  # None: the cluster has no KubeVirt
    ovn: Ovn
    ovn_eips: Mapping[str, str]  # address -> name of the OvnEip object that has it
    kept: Mapping[str, tuple[str, str]] | None  # overlay address -> (namespace, name) of its owner; None: not read
    deployments: tuple[Workload, ...] = ()
    claims: tuple[Claim, ...] = ()
    unreadable: tuple[str, ...] = ()  # names of Leases that should be claims
    claims_home: bool = True  # the namespace of the claims exists
    nodes: tuple[GatewayNode, ...] = ()
    ips: tuple[str, ...] = ()  # addresses of Kube-OVN's IP objects, read together with `kept`
    overlays: tuple[str, ...] = ()  # the default VPC's own networks, read together with `kept`
    declared_routes: frozenset[str] = frozenset()  # prefixes that the VPC's spec routes by source, read with `kept`
    unseen: tuple[str, ...] = ()  # what could not be looked at, in words; OVN's rows among them when it is blind
    blind: bool = False  # nobody looked into OVN
    synced: frozenset[str] = frozenset()  # annotations that virt-controller copies to launcher pods by itself
    namespaces: frozenset[str] | None = None  # the only ones whose pods and machines may be seen; None: all of them
    outside: tuple[tuple[str, Mention], ...] = ()  # addresses that objects name which are no holders
    homes: Homes | None = None  # where those will be that have no address yet, read together with `kept`
    nics: Nics | None = None  # what those will have that have no pod, read together with `kept`
    objects: Objects | None = None  # OvnEips and what uses them; None: not read, since no holder is in a custom VPC


def is_eip_rule(rule: NatRule, kind: str = FIP) -> bool:
    """Whether a NAT rule is of the type that an annotation of this kind makes."""
    return rule.type == NAT_TYPES.get(kind)


class Site:
    """An observation with its indexes. Built once for each look, whatever the number of EIPs."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.workloads = {one.holder: one for one in (*(observed.vms or ()), *observed.deployments)}
        self.rules_by_external = _group((rule.external_ip, rule) for rule in observed.ovn.nat_rules)
        self.rules_by_logical = _group((rule.logical_ip, rule) for rule in observed.ovn.nat_rules)
        self.foreign_rules = _group((rule.external_ip, rule) for rule in observed.ovn.foreign_rules)
        self._policies = _group((policy.match, policy) for policy in observed.ovn.policies)
        self._broken = _group((rerouted(one), one) for one in observed.ovn.policies if "," in one.match)
        self._routes = _group((route.ip_prefix.partition("/")[0], route) for route in observed.ovn.routes)
        self._overlays = [ip_network(text, strict=False) for text in observed.overlays]
        self._wide = [net for one in self.rules_by_logical if "/" in one and (net := _network(one)) is not None]
        self._named = {(pod.namespace, pod.name): pod for pod in observed.pods}
        alive = [pod for pod in observed.pods if pod.alive and not pod.host_network]
        self._pods = _group((self.holder_of(pod), pod) for pod in alive)
        self._pods_at = _group((address, pod) for pod in alive for address in addresses_of(pod))
        self._mentions = _group(self._all_mentions(alive))
        # A SNAT address may have any number of holders, so that each of them must not look at all the others.
        self._sole = _group(
            (where, one) for where, group in self._mentions.items() for one in group if one.kind != SNAT
        )
        self._mentioned = {(address, holder) for holder, _kind, address in self.asked_at_all()}
        self._unshared = _group((one.external_ip, one) for one in observed.ovn.nat_rules if not is_eip_rule(one, SNAT))
        self._idle = _group(
            (one.external_ip, one) for one in observed.ovn.nat_rules if one.logical_ip not in self._pods_at
        )
        self._kept = _group((owner, address) for address, owner in (observed.kept or {}).items())
        self.claims = {claim.address: claim for claim in observed.claims}
        self.formers = {claim.previous for claim in observed.claims if claim.previous}  # addresses that were somebody's
        self._claims_of = _group((one.holder, claim) for claim in observed.claims for one in claim.claimants)

    def _all_mentions(self, alive: Iterable[PodView]) -> Iterable[tuple[str, Mention]]:
        yield from self.observed.outside
        for kind in NAT_TYPES:
            for pod in alive:
                if address := pod.asks(kind):
                    yield address, Mention(self.holder_of(pod), kind, f"annotation of pod {pod.namespace}/{pod.name}")
            for holder, workload in self.workloads.items():
                if address := workload.template(kind):
                    yield address, Mention(holder, kind, "annotation in its template")
                if address := workload.instance(kind):
                    yield address, Mention(holder, kind, "annotation of its instance")

    # --- holders

    def holder_of(self, pod: PodView) -> Holder:
        """A launcher pod belongs to its VirtualMachine, a replica to its Deployment; any other is its own holder."""
        if pod.vm and (vm := Holder("VirtualMachine", pod.namespace, pod.vm)) in self.workloads:
            return vm
        if pod.deployment and (deployment := Holder("Deployment", pod.namespace, pod.deployment)) in self.workloads:
            return deployment
        return Holder("Pod", pod.namespace, pod.name)

    def pod_named(self, holder: Holder) -> PodView | None:
        """The pod that a holder of kind Pod names, in whatever state."""
        return self._named.get((holder.namespace, holder.name))

    def exists(self, holder: Holder) -> bool:
        """Whether the holder is there at all."""
        return self.pod_named(holder) is not None if holder.kind == "Pod" else holder in self.workloads

    def is_seen(self, holder: Holder) -> bool:
        """Whether the holder would be seen if it was there."""
        namespaces = self.observed.namespaces
        return namespaces is None or holder.namespace in namespaces

    def uid_of(self, holder: Holder) -> str:
        """The holder's uid; empty when it is not there."""
        found = self.pod_named(holder) if holder.kind == "Pod" else self.workloads.get(holder)
        return found.uid if found else ""

    def pods_of(self, holder: Holder) -> list[PodView]:
        """The holder's live pods: two while a VM migrates, none while it is stopped."""
        return self._pods.get(holder, [])

    def pod_of(self, holder: Holder) -> PodView | None:
        """The pod that does the holder's work now."""
        workload = self.workloads.get(holder)
        return max(
            self.pods_of(holder),
            key=lambda pod: (not pod.deleting, bool(workload and pod.node == workload.node), pod.phase == "Running"),
            default=None,
        )

    def logical_addresses(self, holder: Holder) -> tuple[str, ...]:
        """The holder's own overlay addresses: its pods', or those that Kube-OVN keeps for it while it is stopped."""
        seen = {address: None for pod in self.pods_of(holder) for address in addresses_of(pod)}
        vm = Holder("VirtualMachine", holder.namespace, holder.name)
        # An IP object tells the name of its owner, and not the kind: with a machine of that name it is the machine's.
        if holder.kind == "Deployment" or (holder != vm and vm in self.workloads):
            return tuple(seen)
        kept = self._kept.get((holder.namespace, holder.name), ())
        return tuple(seen or (address for address in kept if address not in self._pods_at))  # not a namesake's

    def has_address(self, holder: Holder) -> bool:
        """Whether Kube-OVN has given the holder an overlay address, in whatever VPC."""
        ips = self.observed.objects
        live = any(pod.ip for pod in self.pods_of(holder))
        return live or bool(self.logical_addresses(holder)) or (ips is not None and ips.ip_of(holder) is not None)

    def holders_at(self, logical_ip: str) -> list[Holder]:
        """Whose an overlay address is: the holders of the live pods that have it, or of whom it is kept for."""
        holders = [self.holder_of(pod) for pod in self._pods_at.get(logical_ip, [])]
        if not holders and self.observed.kept and logical_ip in self.observed.kept:
            namespace, name = self.observed.kept[logical_ip]
            vm = Holder("VirtualMachine", namespace, name)
            holders = [vm if vm in self.workloads else Holder("Pod", namespace, name)]
        return holders

    def is_overlay(self, logical_ip: str) -> bool:
        """Whether an address is one that Kube-OVN gives to pods of the default VPC: no annotation leads elsewhere."""
        try:
            return any(ip_address(logical_ip) in network for network in self._overlays)
        except ValueError:
            return False

    def is_marked(self, way: Rerouting) -> bool:
        """Whether Kube-OVN has made a policy or a route: it marks policies, and its routes lead to the gateway."""
        if isinstance(way, RoutePolicy):
            return way.vendor == KUBE_OVN or (way.vendor is None and way.nexthops == (self.observed.next_hop,))
        return isinstance(way, SourceRoute) and way.nexthop == self.observed.next_hop

    def is_in_use(self, logical_ip: str) -> bool:
        """Whether a live pod has an overlay address."""
        return logical_ip in self._pods_at

    def by_objects(self, eip: Eip) -> bool:
        """Whether objects make this EIP, and not annotations: so it is where the holder is not in the default VPC."""
        objects = self.observed.objects
        if objects is None or (eip.backend != AUTO and eip.kind != DNAT):
            return objects is not None and eip.backend == OBJECTS
        vpc = objects.vpc_of(eip.holder)
        if vpc is None:
            kept = objects.eip_at(eip.address) if eip.address else None
            mine = bool(objects.managed_of(eip.holder))
            return eip.kind == DNAT or mine or (kept is not None and kept.managed)
        return eip.kind == DNAT or vpc != DEFAULT_VPC

    # --- who says that an address is whose

    def mentions(self, address: str) -> list[Mention]:
        """The objects whose annotations name an address."""
        return self._mentions.get(address, [])

    def mentioned(self) -> Collection[str]:
        """All addresses that annotations name."""
        return self._mentions.keys()

    def contenders(self, address: str, kind: str) -> list[Mention]:
        """Those of the mentions with which an address of this kind cannot be shared."""
        return (self._sole if kind == SNAT else self._mentions).get(address, [])

    def asked_by(self, holder: Holder, kind: str = FIP) -> tuple[str, ...]:
        """The addresses that the holder's annotations of this kind name, without repetition."""
        workload = self.workloads.get(holder)
        found = [workload.template(kind), workload.instance(kind)] if workload else []
        found += [pod.asks(kind) for pod in self.pods_of(holder)]
        return tuple(dict.fromkeys(address for address in found if address))

    def claims_of(self, holder: Holder, kind: str = FIP) -> list[Claim]:
        """The holder's claims of this kind."""
        return [claim for claim in self._claims_of.get(holder, []) if claim.kind == kind]

    def asked_at_all(self) -> list[tuple[Holder, str, str]]:
        """Every (holder, kind, address) that an annotation names, each once, in the order of their names."""
        found = {
            (one.holder, one.kind, address)
            for address, group in self._mentions.items()
            for one in group
            if not one.outside
        }
        return sorted(found, key=lambda one: (one[0].namespace, one[0].kind, one[0].name, one[1], one[2]))

    # --- rows

    def rival_rules(self, address: str, kind: str = SNAT) -> list[NatRule]:
        """The rules of an external address with which it cannot be shared."""
        return (self._unshared if kind == SNAT else self.rules_by_external).get(address, [])

    def idle_rules(self, address: str) -> list[NatRule]:
        """The rules of an external address that lead to no live pod."""
        return self._idle.get(address, [])

    def policies_for(self, logical_ips: Collection[str]) -> list[RoutePolicy]:
        """The reroute policies of overlay addresses."""
        return [policy for address in logical_ips for policy in self._policies.get(POLICY_MATCH + address, [])]

    def broken_policies_for(self, logical_ips: Collection[str]) -> list[RoutePolicy]:
        """Those of dual-stack pods: Kube-OVN writes both addresses into one match, which is that of no packet."""
        return [policy for address in logical_ips for policy in self._broken.get(address, [])]

    def routes_for(self, logical_ips: Collection[str]) -> list[SourceRoute]:
        """The routes by source that Kube-OVN has made for NAT rules of overlay addresses."""
        return [route for address in logical_ips for route in self._routes.get(address, [])]

    def own_rules(self, holder: Holder, kind: str = FIP) -> list[NatRule]:
        """The rules of this kind of the holder's overlay addresses, without those that an OvnEip object has made."""
        return [
            rule
            for address in self.logical_addresses(holder)
            for rule in self.rules_by_logical.get(address, [])
            if is_eip_rule(rule, kind) and rule.external_ip not in self.observed.ovn_eips
        ]

    def goes_with(self, rule: NatRule, eip: Eip) -> bool:
        """Whether Kube-OVN deletes a rule when an EIP is released.

        A pod without an address of a kind has no rule of it at all then (DeleteNats in pkg/controller/pod.go of v1.14).
        """
        pods = [pod for pod in self.pods_of(eip.holder) if rule.logical_ip in addresses_of(pod)]
        asked = [pod.asks(eip.kind) for pod in pods if not pod.deleting]
        return is_eip_rule(rule, eip.kind) and any(one is not None and eip.address in (None, one) for one in asked)

    def is_leftover(self, rule: NatRule, holder: Holder, kind: str = FIP) -> bool:
        """Whether a rule is of nobody: its overlay address is neither in use nor kept for anyone.

        Proof that an EIP annotation had made it: its policy is still there, or the holder itself has the address by
        annotation or claim. Without proof it may be somebody's who wrote it by hand. Where Kube-OVN has given the
        overlay address to another pod since, which does not ask for the EIP, the claim of a holder that is gone proves
        it: else that pod would answer at a released address.
        """
        if not is_eip_rule(rule, kind) or rule.external_ip in self.observed.ovn_eips or self.observed.kept is None:
            return False
        if not self.is_overlay(rule.logical_ip):
            return False
        claim = self.claims.get(rule.external_ip)
        claimed = claim is not None and claim.kind == kind and claim.of(holder)
        others = self.holders_at(rule.logical_ip)
        if others:
            asked = any(rule.external_ip in self.asked_by(other, kind) for other in others)
            used = self.is_in_use(rule.logical_ip)
            return used and claimed and kind == FIP and not asked and not self.exists(holder)
        mentioned = (rule.external_ip, holder) in self._mentioned
        marked = bool(self.policies_for([rule.logical_ip]))
        # A SNAT address may serve others as well, so that it proves nothing while its holder is there.
        return marked or ((mentioned or claimed) and (kind == FIP or not self.exists(holder)))

    def policy_right(self, logical_ip: str) -> bool:
        """Whether exactly one policy sends the address's packets to the physical gateway."""
        policies = self.policies_for([logical_ip])
        hop = self.observed.next_hop
        return self.observed.blind or (
            len(policies) == 1
            and policies[0].action == "reroute"
            and (bool(policies[0].nexthops) if hop is None else policies[0].nexthops == (hop,))
        )

    def rule_right(self, address: str, logical_ip: str, kind: str = FIP) -> bool:
        """Whether the one rule that must be there is there, and none beside it.

        Of a floating address there is one rule. Of a SNAT address each holder has one, and no other SNAT rule.
        """
        if self.observed.blind:
            return True
        if kind == SNAT:
            own = [rule for rule in self.rules_by_logical.get(logical_ip, []) if is_eip_rule(rule, SNAT)]
            floating = any(is_eip_rule(rule) for rule in self.rival_rules(address))
            return [rule.external_ip for rule in own] == [address] and not floating
        rules = self.rules_by_external.get(address, [])
        right = len(rules) == 1 and is_eip_rule(rules[0]) and rules[0].logical_ip == logical_ip
        return right and not self.of_another_port(rules[0])

    def of_another_port(self, rule: NatRule) -> bool:
        """Whether a distributed rule names another port than that of the pod it leads to.

        OVN translates on the chassis of the port that the rule names; Kube-OVN corrects it on distributed gateways
        only (UpdateDnatAndSnat in pkg/ovs/ovn-nb-nat.go of v1.14).
        """
        ports = {pod.logical_port for pod in self._pods_at.get(rule.logical_ip, [])}
        return bool(rule.logical_port and ports) and rule.logical_port not in ports

    def is_in_wide_rule(self, address: str) -> bool:
        """Whether a NAT rule for a whole network serves an overlay address."""
        return any(ip_address(address) in network for network in self._wide)

    # --- the network

    @property
    def network(self) -> IPv4Network | None:
        """The gateway's subnet, as the router port in OVN has it."""
        port = self.observed.ovn.router_port
        for text in port.networks if port else ():
            interface = ip_interface(text)
            if isinstance(interface, IPv4Interface):
                return interface.network
        return None

    def infrastructure(self) -> dict[str, str]:
        """Addresses that are no EIPs' whoever asks, and whose they are."""
        observed = self.observed
        ports = [observed.ovn.router_port] if observed.ovn.router_port else []
        found = {address: f"node {node.name}" for node in observed.nodes for address in _all(node)}
        for port in (*ports, *observed.ovn.other_ports):
            found.update({text.partition("/")[0]: f"router port {port.name}" for text in port.networks})
        return found | dict.fromkeys(observed.gateway_addresses, "the gateway (its own address, or the physical one's)")


def addresses_of(pod: PodView) -> tuple[str, ...]:
    """A pod's overlay addresses in the default VPC: several when it is dual-stack, or has further NICs there.

    A pod of another VPC may have the same address and has nothing to do with the default VPC's rules.
    """
    if pod.vpc not in (None, DEFAULT_VPC):
        return ()
    texts = (pod.ip or "", *pod.extra_ips)
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """The network of a rule. OVN lets anybody write any text there."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _group(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)


def _all(node: GatewayNode) -> tuple[str, ...]:
    return (*node.internal_ips, *node.external_ips)
