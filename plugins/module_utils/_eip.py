# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for EIPs: from what is asked and what was seen to the ordered steps. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site, addresses_of, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Eip,
    Holder,
    NatRule,
    Plan,
    PodView,
    RoutePolicy,
    Step,
)

# A step's action. Those of one kind are done side by side, the kinds in this order: what blocks an address goes first,
# then a VM's template, instance and pod, so that a run that is killed in between leaves nothing that a restart loses.
CLEAN, TEMPLATE, INSTANCE, POD, REROUTE = "clean", "annotate_vm", "annotate_instance", "annotate_pod", "reroute_pod"
ORDER = (CLEAN, TEMPLATE, INSTANCE, POD, REROUTE)


def plan(desired: Sequence[Eip], state: str, observed: Observed) -> Plan:
    """The steps to `state` (present, absent). A late step waits until Kube-OVN has done its part: see `is_late`."""
    site = Site(observed)
    one = attach if state == "present" else detach
    each = [(eip, list(one(eip, site))) for eip in desired]
    steps = [step for _eip, steps in each for step in steps]
    steps.sort(key=lambda step: (is_late(step), ORDER.index(step.action)))
    steps = _with_orphans(_each_once(steps), site)
    touched = [eip for eip, steps in each if steps]
    before = {str(eip.holder): shown(eip.holder, site) for eip in touched}
    after = {str(eip.holder): shown(eip.holder, site) for eip in touched}
    for eip in touched:
        after[str(eip.holder)] = _wished(eip, state, after[str(eip.holder)], site)
    return Plan(tuple(steps), before, after)


def is_late(step: Step) -> bool:
    """Whether the step must wait until Kube-OVN's controller has done what the steps before it ask for."""
    return bool(step.data.get("late"))


def _each_once(steps: Sequence[Step]) -> list[Step]:
    """The steps, with a rule that two holders would delete in the first one only."""
    result: list[Step] = []
    taken: set[NatRule] = set()
    for step in steps:
        rules = tuple(rule for rule in step.data.get("rules", ()) if rule not in taken)
        taken.update(rules)
        if step.action != CLEAN or rules == step.data["rules"]:
            result.append(step)
        elif rules or step.data["policies"]:
            data = step.data
            result.append(_clean(data["holder"], rules, data["policies"], data["reason"], data["late"]))
    return result


def _with_orphans(steps: Sequence[Step], site: Site) -> list[Step]:
    """The steps, with the policies of overlay addresses of nobody added to the step that takes their last rule."""
    result = list(steps)
    going = {rule: index for index, step in enumerate(steps) for rule in step.data.get("rules", ())}
    for address in dict.fromkeys(rule.logical_ip for rule in going if not site.holders_at(rule.logical_ip)):
        rules = site.rules_by_logical[address]
        if all(rule in going for rule in rules):
            last = max(going[rule] for rule in rules)
            data = result[last].data
            policies = (*data["policies"], *site.policies_for([address]))
            result[last] = _clean(data["holder"], data["rules"], policies, data["reason"], data["late"])
    return result


def wants_kept(desired: Iterable[Eip], observed: Observed) -> bool:
    """Whether the addresses that Kube-OVN keeps must be read: for a holder without a pod, or a rule of no live pod."""
    site = Site(observed)
    for eip in desired:
        if not site.logical_addresses(eip.holder):
            return True
        addresses = [eip.address] if eip.address else site.claims_of(eip.holder)
        rules = [rule for address in addresses for rule in site.rules_by_external.get(address, [])]
        if any(is_eip_rule(rule) and not site.holders_at(rule.logical_ip) for rule in rules):
            return True
    return False


def attach(eip: Eip, site: Site) -> Iterable[Step]:
    """Steps that give a holder its EIP, and leave it no other."""
    holder, address = eip.holder, eip.address or ""
    pods = [pod for pod in site.pods_of(holder) if not pod.deleting]
    in_the_way = _in_the_way(holder, address, site)
    if in_the_way:
        yield _clean(holder, in_the_way, [], "it keeps Kube-OVN from making the right one")
    yield from _annotate_vm(holder, site, lambda old: old != address, address)
    taken = _of_another(holder, address, site)
    settled = True
    for pod in pods:
        right = all(site.rule_right(address, ip) and site.policy_right(ip) for ip in addresses_of(pod))
        settled = settled and right and pod.eip == address and bool(pod.ip)
        if pod.eip != address:
            yield _annotate_pod(holder, pod, address)
        elif pod.routed and not right and not taken:
            yield _reroute(pod, address)
    stale = [rule for rule in site.own_rules(holder) if rule.external_ip != address]
    if stale:
        yield _clean(holder, stale, [], f"Kube-OVN leaves it behind when the EIP becomes {address}", late=not settled)


def detach(eip: Eip, site: Site) -> Iterable[Step]:
    """Steps that take an EIP from its holder, or all of its EIPs when none is named."""
    holder = eip.holder

    def released(address: str | None) -> bool:
        return address is not None and eip.address in (None, address)

    # Before the annotations go: only they say that such a rule was the holder's.
    dead = _left_behind(holder, eip.address, site)
    if dead:
        yield _clean(holder, dead, [], "Kube-OVN leaves it behind")
    yield from _annotate_vm(holder, site, released, None)
    for pod in site.pods_of(holder):
        if released(pod.eip) and not pod.deleting:
            yield _annotate_pod(holder, pod, None)
    # Kube-OVN takes the NAT rules of a pod whose eip is gone when it routes the pod anew; the policy it leaves.
    waiting = any(pod.ip and (released(pod.eip) or is_unrouting(pod)) for pod in site.pods_of(holder))
    rules = [] if waiting else [rule for rule in site.own_rules(holder) if released(rule.external_ip)]
    policies = _unneeded_policies(eip, rules, site)
    if rules or policies:
        yield _clean(holder, rules, policies, "Kube-OVN leaves it behind", late=waiting)


def is_unrouting(pod: PodView) -> bool:
    """Whether Kube-OVN has yet to take note that the pod has no EIP."""
    return pod.eip is None and not pod.routed


def _unneeded_policies(eip: Eip, rules: Sequence[NatRule], site: Site) -> list[RoutePolicy]:
    """Policies of the holder's own addresses, when nothing of the holder needs them any more."""
    pods = site.pods_of(eip.holder)
    kept_eip = any(eip.address not in (None, claimed) for claimed in site.claims_of(eip.holder))
    if kept_eip or any(pod.snat or pod.north_gateway for pod in pods):
        return []
    own = site.logical_addresses(eip.holder)
    return site.policies_for([address for address in own if _is_free(address, eip, rules, site)])


def _is_free(address: str, eip: Eip, rules: Sequence[NatRule], site: Site) -> bool:
    """Whether nobody else has this overlay address and no NAT rule of it remains."""
    staying = [rule for rule in site.rules_by_logical.get(address, []) if not _goes(rule, eip, rules, site)]
    # By name alone: an address kept for a machine that is gone does not tell that it was a machine's.
    own = (eip.holder.namespace, eip.holder.name)
    return not staying and all((holder.namespace, holder.name) == own for holder in site.holders_at(address))


def _goes(rule: NatRule, eip: Eip, rules: Sequence[NatRule], site: Site) -> bool:
    """Whether a rule of the holder's address is on its way out: by our hand, or by Kube-OVN's with the annotation."""
    if rule in rules:
        return True
    released = eip.address in (None, rule.external_ip) and rule.external_ip not in site.observed.ovn_eips
    return released and is_eip_rule(rule)


def _left_behind(holder: Holder, address: str | None, site: Site) -> list[NatRule]:
    """Rules of the holder's EIPs that lead to an overlay address of nobody: its own of a former life."""
    wanted = [address] if address else site.claims_of(holder)
    rules = [rule for external in wanted for rule in site.rules_by_external.get(external, [])]
    return [rule for rule in rules if site.is_leftover(rule, holder)]


def _in_the_way(holder: Holder, address: str, site: Site) -> list[NatRule]:
    """Rules with the wanted external address that are of nobody, or the holder's own beyond the first."""
    own = site.logical_addresses(holder)
    rules = [rule for rule in site.rules_by_external.get(address, []) if is_eip_rule(rule)]
    twice = [rule for rule in rules if rule.logical_ip in own][1:]
    return twice + [rule for rule in rules if rule.logical_ip not in own and site.is_leftover(rule, holder)]


def _of_another(holder: Holder, address: str, site: Site) -> list[NatRule]:
    """Rules with the wanted external address that stay where they are: routing the pod anew could not help."""
    own, ours = site.logical_addresses(holder), _in_the_way(holder, address, site)
    rules = site.rules_by_external.get(address, [])
    return [rule for rule in rules if rule not in ours and not (is_eip_rule(rule) and rule.logical_ip in own)]


def _annotate_vm(
    holder: Holder, site: Site, wrong: Callable[[str | None], bool], address: str | None
) -> Iterable[Step]:
    vm = site.vms.get(holder)
    if vm is None:
        return
    if wrong(vm.template_eip):
        data = {"namespace": vm.namespace, "name": vm.name, "uid": vm.uid, "eip": address}
        yield Step(TEMPLATE, _words(vm.template_eip, address, f"the template of {holder}"), None, data)
    if vm.running and wrong(vm.instance_eip):
        data = {"namespace": vm.namespace, "name": vm.name, "uid": vm.instance_uid, "eip": address}
        yield Step(INSTANCE, _words(vm.instance_eip, address, f"the instance of {holder}"), None, data)


def _annotate_pod(holder: Holder, pod: PodView, address: str | None) -> Step:
    words = _words(pod.eip, address, f"pod {pod.namespace}/{pod.name}") + ", null routed in the same patch"
    lost = f"; {pod.eip} leads no longer to it" if pod.eip else ""
    interrupts = f"{holder}: its connections to the outside get another source address{lost}"
    return Step(POD, words, interrupts, _pod_data(pod) | {"eip": address})


def _reroute(pod: PodView, address: str) -> Step:
    text = (
        f"null routed on pod {pod.namespace}/{pod.name}: NAT rule or policy of {address} is not as it must be, "
        "and Kube-OVN looks again only then"
    )
    return Step(REROUTE, text, None, _pod_data(pod))


def _pod_data(pod: PodView) -> dict[str, Any]:
    return {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def _clean(
    holder: Holder | str, rules: Sequence[NatRule], policies: Sequence[RoutePolicy], reason: str, late: bool = False
) -> Step:
    """One step for a holder's leftovers: they go in one transaction, so that no kill parts a rule from its policy."""
    what = [f"NAT rule {rule.external_ip} -> {rule.logical_ip}" for rule in rules]
    what += [f"policy {policy.priority} {policy.match}" for policy in policies]
    data = {"holder": str(holder), "rules": tuple(rules), "policies": tuple(policies), "reason": reason, "late": late}
    return Step(CLEAN, f"delete {', '.join(what)} of {holder}: {reason}", None, data)


def _words(old: str | None, new: str | None, where: str) -> str:
    if new is None:
        return f"remove eip {old} from {where}"
    return f"set eip {new} on {where}" + (f" (was {old})" if old else "")


def shown(holder: Holder, site: Site) -> dict[str, Any]:
    """A holder as the diff shows it."""
    vm = site.vms.get(holder)
    own = site.logical_addresses(holder)
    view: dict[str, Any] = {}
    if vm:
        view["template"] = vm.template_eip
        view["instance"] = vm.instance_eip if vm.running else None
    view["pods"] = {pod.name: pod.eip for pod in site.pods_of(holder)}
    rules = dict.fromkeys(site.own_rules(holder) + _left_behind(holder, None, site))
    view["nat_rules"] = [f"{rule.external_ip} -> {rule.logical_ip}" for rule in rules]
    view["policies"] = [f"{policy.match} via {', '.join(policy.nexthops)}" for policy in site.policies_for(own)]
    return view


def _wished(eip: Eip, state: str, before: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """The same view after the steps and what Kube-OVN does then."""

    def new(old: str | None) -> str | None:
        if state == "present":
            return eip.address
        return None if eip.address in (None, old) else old

    view = dict(before)
    vm = site.vms.get(eip.holder)
    if vm:
        view["template"] = new(vm.template_eip)
        view["instance"] = new(vm.instance_eip) if vm.running else None
    pods = site.pods_of(eip.holder)
    view["pods"] = {pod.name: pod.eip if pod.deleting else new(pod.eip) for pod in pods}
    own = [address for pod in pods for address in addresses_of(pod)]
    if state == "present":
        view["nat_rules"] = [f"{eip.address} -> {address}" for address in dict.fromkeys(own)]
        hop = site.observed.next_hop or "the gateway"
        view["policies"] = [f"ip4.src == {address} via {hop}" for address in dict.fromkeys(own)] or view["policies"]
        return view
    rules = [rule for rule in site.own_rules(eip.holder) if eip.address not in (None, rule.external_ip)]
    view["nat_rules"] = [f"{rule.external_ip} -> {rule.logical_ip}" for rule in rules]
    going = _unneeded_policies(eip, _left_behind(eip.holder, eip.address, site), site)
    left = [policy for policy in site.policies_for(site.logical_addresses(eip.holder)) if policy not in going]
    view["policies"] = [f"{policy.match} via {', '.join(policy.nexthops)}" for policy in left]
    return view
