# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is still not as asked of each EIP, with the probable cause. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.kubeovn.core.plugins.module_utils._eip import busy_rivals, is_unrouting
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import holds
from ansible_collections.kubeovn.core.plugins.module_utils._eip_reach import Reach
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import Leavers, leavers, objects_left
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ANNOTATIONS,
    CONFIG_MAP,
    ROUTED_ANNOTATION,
    SNAT,
    Eip,
    PodView,
    Problem,
)
from ansible_collections.kubeovn.core.plugins.module_utils._objects import SYNC_FLAG

LATE_HINT = "solve what else is missing, and run again"
CONTROLLER_HINT = "is kube-ovn-controller running? kubectl -n kube-system logs deployment/kube-ovn-controller"
OTHERS_HINT = "somebody else writes it too"
SYNC_HINT = f"virt-controller copies it from the instance ({SYNC_FLAG}): what does the instance say?"

Found = Iterable[tuple[str, str]]


def unfinished(desired: Sequence[Eip], wishes: Wishes, observed: Observed) -> dict[str, list[Problem]]:
    """What is still not as asked, by the option's path; nothing of an EIP that is as asked."""
    site, leaving, reach = Site(observed), leavers(desired, wishes), Reach(observed)
    found: dict[str, list[Problem]] = {}
    for eip in desired:
        check = (
            _not_attached(eip, wishes, site, reach)
            if wishes.state == "present"
            else _not_detached(eip, wishes, site, leaving)
        )
        name = f"{eip.address or 'EIP'} of {eip.holder}"
        problems = [Problem(name, text, hint) for text, hint in check]
        if problems:
            found.setdefault(eip.path, []).extend(problems)
    return found


def site_warnings(desired: Sequence[Eip], observed: Observed) -> list[str]:
    """What of the cluster will break the EIPs of machines sooner or later, though nothing of them is wrong now."""
    if ROUTED_ANNOTATION not in observed.synced or not any(eip.holder.kind == "VirtualMachine" for eip in desired):
        return []
    text = f"virt-controller copies {ROUTED_ANNOTATION} to launcher pods: take it out of its {SYNC_FLAG}"
    return [f"{text}, since Kube-OVN alone may say that it has routed a pod"]


def _not_attached(eip: Eip, wishes: Wishes, site: Site, reach: Reach) -> Found:
    holder, address, kind = eip.holder, eip.address or "", eip.kind
    if not site.exists(holder):
        yield "it is gone", "it was there when the run began: who deleted it?"
        return
    for rival in busy_rivals(eip, wishes, site):
        yield f"{rival.holder} has not let go of {address} yet", CONTROLLER_HINT
    if site.by_objects(eip):
        yield from _claim_missing(eip, site)
        yield from objects_left(eip, wishes, site, frozenset())
        yield from reach.of_objects(eip, site)
        return
    for reason in holds(eip, wishes, site):
        yield f"{address} is held by {reason}", "another run or person took it at the same time"
    yield from _claim_missing(eip, site)
    yield from _objects_not_attached(eip, site, reach)
    for rule in site.own_rules(holder, kind):
        if rule.external_ip != address:
            yield f"NAT rule {rule.external_ip} -> {rule.logical_ip} of its former EIP is still there", LATE_HINT


def _claim_missing(eip: Eip, site: Site) -> Found:
    claim = site.claims.get(eip.address or "")
    if claim is None or not claim.of(eip.holder):
        yield f"there is no claim of {eip.holder} on {eip.address}", "who deleted its Lease?"


def _objects_not_attached(eip: Eip, site: Site, reach: Reach) -> Found:
    """What of the holder's objects does not have the address: template, instance, pods."""
    holder, address, kind = eip.holder, eip.address or "", eip.kind
    workload = site.workloads.get(holder)
    if workload and workload.template(kind) != address:
        yield f"the template says {workload.template(kind)}", OTHERS_HINT
    if workload and workload.running and workload.instance(kind) != address:
        yield f"the instance says {workload.instance(kind)}", OTHERS_HINT
    pods = [pod for pod in site.pods_of(holder) if not pod.deleting]
    if not pods and (holder.kind == "Pod" or (workload and _must_run(eip, site))):
        hint = "is KubeVirt's virt-controller running?" if holder.kind == "VirtualMachine" else "it has ended"
        yield "it has no live pod", hint
    for pod in pods:
        yield from _pod_not_attached(pod, eip, site, reach)


def _must_run(eip: Eip, site: Site) -> bool:
    """Whether a holder with a template must have a pod: a stopped machine has none."""
    workload = site.workloads[eip.holder]
    return workload.running if workload.kind == "VirtualMachine" else workload.replicas > 0


def _pod_not_attached(pod: PodView, eip: Eip, site: Site, reach: Reach) -> Found:
    name, address, kind = f"pod {pod.namespace}/{pod.name}", eip.address or "", eip.kind
    if pod.asks(kind) != address:
        copied = ANNOTATIONS[kind] in site.observed.synced and eip.holder.kind == "VirtualMachine"
        yield f"{name} says {pod.asks(kind)}", SYNC_HINT if copied else OTHERS_HINT
    if pod.node is None:
        yield f"{name} is not scheduled to a node", f"kubectl -n {pod.namespace} describe pod {pod.name}"
        return
    if not pod.ip:
        yield f"{name} has no address from Kube-OVN yet", CONTROLLER_HINT
        return
    if not pod.routed:
        yield f"Kube-OVN has not routed {name}", _routing_hint(site.observed)
    if site.observed.blind:
        return
    rules = site.rival_rules(address, kind)
    if kind == SNAT:  # of the rules of a shared address only its own
        rules = [*rules, *(rule for rule in site.rules_by_logical.get(pod.ip, []) if is_eip_rule(rule, SNAT))]
    if not site.rule_right(address, pod.ip, kind):
        seen = ", ".join(f"{rule.type} {rule.external_ip} -> {rule.logical_ip}" for rule in rules) or "none"
        hint = "does kube-ovn-controller run with --enable-eip-snat, and is the pod on an overlay subnet?"
        yield (
            f"NAT rule {address} -> {pod.ip} is wanted once, seen: {seen}",
            hint if pod.routed else _routing_hint(site.observed),
        )
    if not site.policy_right(pod.ip):
        seen = ", ".join(", ".join(policy.nexthops) for policy in site.policies_for([pod.ip])) or "none"
        yield (
            f"a policy must reroute ip4.src == {pod.ip} via {site.observed.next_hop}, seen: {seen}",
            _routing_hint(site.observed),
        )
    own = [rule for rule in site.rules_by_logical.get(pod.ip, []) if rule.external_ip == address]
    yield from reach.of_pod(pod, next(iter(own), None))


def _routing_hint(observed: Observed) -> str:
    if not observed.configured:
        return f"ConfigMap {CONFIG_MAP} is missing: a pod with an EIP hangs until it is back"
    return CONTROLLER_HINT


def _not_detached(eip: Eip, wishes: Wishes, site: Site, leaving: Leavers) -> Found:
    holder, kind = eip.holder, eip.kind
    if site.by_objects(eip):
        yield from objects_left(eip, wishes, site, leaving)
    for asked in site.asked_by(holder, kind):
        if eip.address in (None, asked):
            yield f"an annotation still says {asked}", f"it is being deleted, or {OTHERS_HINT}"
    for pod in site.pods_of(holder):
        if pod.ip and pod.node and is_unrouting(pod, kind) and not pod.deleting:
            yield f"Kube-OVN has not routed pod {pod.namespace}/{pod.name} without it", _routing_hint(site.observed)
    for rule in site.own_rules(holder, kind):
        if eip.address in (None, rule.external_ip):
            yield f"NAT rule {rule.external_ip} -> {rule.logical_ip} is still there", CONTROLLER_HINT
    for claim in site.claims_of(holder, kind):
        if wishes.state == "absent" and eip.address in (None, claim.address):
            yield f"its claim on {claim.address} is still there", OTHERS_HINT
