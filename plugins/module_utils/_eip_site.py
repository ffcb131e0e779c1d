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
from typing import TypeVar

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    DEFAULT_VPC,
    Holder,
    NatRule,
    Ovn,
    PodView,
    RoutePolicy,
    VmView,
)

EIP_RULE = "dnat_and_snat"
POLICY_MATCH = "ip4.src == "

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Observed:
    """One look at the cluster and at OVN, the cluster first: a pod that reads `routed` has its rows in OVN by then."""

    configured: bool  # the gateway's ConfigMap exists and does not say "false"
    next_hop: str | None  # the physical gateway that the ConfigMap names; None: it names none
    gateway_addresses: tuple[str, ...]  # addresses that the ConfigMap gives to the gateway itself
    pods: tuple[PodView, ...]
    vms: tuple[VmView, ...] | None  # None: the cluster has no KubeVirt
    ovn: Ovn
    ovn_eips: Mapping[str, str]  # address -> name of the OvnEip object that has it
    kept: Mapping[str, tuple[str, str]] | None  # overlay address -> (namespace, name) of its owner; None: not read


@dataclass(frozen=True)
class Claim:
    """An object that says which address its holder has."""

    holder: Holder
    where: str


def is_eip_rule(rule: NatRule) -> bool:
    """Whether a NAT rule is of the kind that an EIP annotation makes."""
    return rule.type == EIP_RULE


class Site:
    """An observation with its indexes. Built once for each look, whatever the number of EIPs."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.vms = {Holder("VirtualMachine", vm.namespace, vm.name): vm for vm in observed.vms or ()}
        self.rules_by_external = _group((rule.external_ip, rule) for rule in observed.ovn.nat_rules)
        self.rules_by_logical = _group((rule.logical_ip, rule) for rule in observed.ovn.nat_rules)
        self._policies = _group((policy.match, policy) for policy in observed.ovn.policies)
        self._named = {(pod.namespace, pod.name): pod for pod in observed.pods}
        alive = [pod for pod in observed.pods if pod.alive and not pod.host_network]
        self._pods = _group((self.holder_of(pod), pod) for pod in alive)
        self._pods_at = _group((address, pod) for pod in alive for address in addresses_of(pod))
        self._claims = _group(self._all_claims(alive))
        self._kept = _group((owner, address) for address, owner in (observed.kept or {}).items())

    def _all_claims(self, alive: Iterable[PodView]) -> Iterable[tuple[str, Claim]]:
        for pod in alive:
            if pod.eip:
                yield pod.eip, Claim(self.holder_of(pod), f"annotation of pod {pod.namespace}/{pod.name}")
        for holder, vm in self.vms.items():
            if vm.template_eip:
                yield vm.template_eip, Claim(holder, "annotation in its template")
            if vm.running and vm.instance_eip:
                yield vm.instance_eip, Claim(holder, "annotation of its instance")

    def holder_of(self, pod: PodView) -> Holder:
        """A launcher pod belongs to its VirtualMachine; every other pod is its own holder."""
        vm = Holder("VirtualMachine", pod.namespace, pod.vm or "")
        return vm if vm in self.vms else Holder("Pod", pod.namespace, pod.name)

    def pod_named(self, holder: Holder) -> PodView | None:
        """The pod that a holder of kind Pod names, in whatever state."""
        return self._named.get((holder.namespace, holder.name))

    def exists(self, holder: Holder) -> bool:
        """Whether the holder is there at all."""
        return holder in self.vms if holder.kind == "VirtualMachine" else self.pod_named(holder) is not None

    def pods_of(self, holder: Holder) -> list[PodView]:
        """The holder's live pods: two while a VM migrates, none while it is stopped."""
        return self._pods.get(holder, [])

    def pod_of(self, holder: Holder) -> PodView | None:
        """The pod that does the holder's work now."""
        vm = self.vms.get(holder)
        return max(
            self.pods_of(holder),
            key=lambda pod: (not pod.deleting, vm is not None and pod.node == vm.node, pod.phase == "Running"),
            default=None,
        )

    def logical_addresses(self, holder: Holder) -> tuple[str, ...]:
        """The holder's own overlay addresses: its pods', or those that Kube-OVN keeps for it while it is stopped."""
        seen = {address: None for pod in self.pods_of(holder) for address in addresses_of(pod)}
        return tuple(seen or self._kept.get((holder.namespace, holder.name), ()))

    def holders_at(self, logical_ip: str) -> list[Holder]:
        """Whose an overlay address is: the holders of the live pods that have it, or of whom it is kept for."""
        holders = [self.holder_of(pod) for pod in self._pods_at.get(logical_ip, [])]
        if not holders and self.observed.kept and logical_ip in self.observed.kept:
            namespace, name = self.observed.kept[logical_ip]
            vm = Holder("VirtualMachine", namespace, name)
            holders = [vm if vm in self.vms else Holder("Pod", namespace, name)]
        return holders

    def claims(self, address: str) -> list[Claim]:
        """The objects that claim an EIP."""
        return self._claims.get(address, [])

    def claims_of(self, holder: Holder) -> tuple[str, ...]:
        """The EIPs that the holder's objects claim, without repetition."""
        vm = self.vms.get(holder)
        found = [vm.template_eip, vm.instance_eip if vm.running else None] if vm else []
        found += [pod.eip for pod in self.pods_of(holder)]
        return tuple(dict.fromkeys(address for address in found if address))

    def policies_for(self, logical_ips: Collection[str]) -> list[RoutePolicy]:
        """The reroute policies of overlay addresses."""
        return [policy for address in logical_ips for policy in self._policies.get(POLICY_MATCH + address, [])]

    def own_rules(self, holder: Holder) -> list[NatRule]:
        """The EIP rules of the holder's own overlay addresses, without those that an OvnEip object has made."""
        return [
            rule
            for address in self.logical_addresses(holder)
            for rule in self.rules_by_logical.get(address, [])
            if is_eip_rule(rule) and rule.external_ip not in self.observed.ovn_eips
        ]

    def is_leftover(self, rule: NatRule, holder: Holder) -> bool:
        """Whether a rule is of nobody: its overlay address is neither in use nor kept for anyone.

        Proof that an EIP annotation had made it: its policy is still there, or the holder itself claims the address.
        Without proof it may be somebody's who wrote it by hand.
        """
        if not is_eip_rule(rule) or rule.external_ip in self.observed.ovn_eips or self.observed.kept is None:
            return False
        if self.holders_at(rule.logical_ip):
            return False
        claimed = any(claim.holder == holder for claim in self.claims(rule.external_ip))
        return claimed or bool(self.policies_for([rule.logical_ip]))

    def policy_right(self, logical_ip: str) -> bool:
        """Whether exactly one policy sends the address's packets to the physical gateway."""
        policies = self.policies_for([logical_ip])
        hop = self.observed.next_hop
        return (
            len(policies) == 1
            and policies[0].action == "reroute"
            and (bool(policies[0].nexthops) if hop is None else policies[0].nexthops == (hop,))
        )

    def rule_right(self, address: str, logical_ip: str) -> bool:
        """Whether exactly one rule has the external address, and it is the EIP rule of this overlay address."""
        rules = self.rules_by_external.get(address, [])
        return len(rules) == 1 and is_eip_rule(rules[0]) and rules[0].logical_ip == logical_ip


def addresses_of(pod: PodView) -> tuple[str, ...]:
    """A pod's overlay addresses in the default VPC: two when it is dual-stack.

    A pod of another VPC may have the same address and has nothing to do with the default VPC's rules.
    """
    if pod.vpc not in (None, DEFAULT_VPC):
        return ()
    return tuple(part.strip() for part in (pod.ip or "").split(",") if part.strip())


def _group(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)
