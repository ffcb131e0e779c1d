# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The single steps of a plan for EIPs, in words and with what is needed to do them. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import lease_name
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import OBJECT_ORDER
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    SNAT,
    Claim,
    Claimant,
    Eip,
    Holder,
    NatRule,
    PodView,
    Rerouting,
    RoutePolicy,
    SourceRoute,
    Step,
    Workload,
)

# A step's action. Those of one kind are done side by side, the kinds in this order: the claim first, for it is the
# lock; then what blocks an address goes; then template, instance and pod, so that a run that is killed in between
# leaves nothing that a restart loses; a claim that is let go is the last that is left of an EIP.
HOME, CLAIM, CLEAN = "create_namespace", "claim", "clean"
TEMPLATE, INSTANCE, POD, REROUTE = "annotate_template", "annotate_instance", "annotate_pod", "reroute_pod"
RELEASE = "release_claim"
ORDER = (HOME, CLAIM, CLEAN, *OBJECT_ORDER, TEMPLATE, INSTANCE, POD, REROUTE, RELEASE)
KINDS = {"VirtualMachine": "virtual machine", "Deployment": "deployment", "Pod": "pod"}


def is_late(step: Step) -> bool:
    """Whether the step must wait until Kube-OVN's controller has done what the steps before it ask for."""
    return bool(step.data.get("late"))


def delayed(step: Step) -> Step:
    """The same step, later."""
    return replace(step, data={**step.data, "late": True})


def path_of(step: Step) -> str:
    """The option that a step is done for."""
    return str(step.data.get("path", ""))


# --- claims ---------------------------------------------------------------------------------------------------------


def home() -> Step:
    """The namespace in which claims are."""
    return Step(HOME, "create the namespace of the claims", None, {})


def claim_steps(eip: Eip, site: Site, reassign: bool = False, rivals: Iterable[Eip] = ()) -> Iterable[Step]:
    """The step that makes an address the holder's, when it is not yet.

    rivals: those with whom something of the address is left. The claim names them, so that a run which goes on where
    another one was killed knows whom to clean.
    """
    address, holder = eip.address or "", eip.holder
    claimant = Claimant(holder, site.uid_of(holder))
    old = site.claims.get(address)
    others = dict.fromkeys(Claimant(rival.holder, site.uid_of(rival.holder)) for rival in rivals)
    new = Claim(address, eip.kind, (claimant,), eip.previous, eip.rotation, tuple(others))
    words = f"claim {address} for {holder}"
    if old is None:
        yield _claim(eip, None, new, words, claimant)
    elif old.of(holder) and old.kind == eip.kind:
        yield from _renewed(eip, old, claimant, others, words)
    elif eip.kind == old.kind == SNAT:
        joined = replace(old, claimants=(*old.claimants, claimant), former=_all_former(old, others))
        yield _claim(eip, old, joined, f"{words} as well", claimant)
    elif reassign:
        names = ", ".join(str(one.holder) for one in old.claimants)
        left = dict.fromkeys((*(one for one in old.claimants if one.holder != holder), *old.former, *others))
        taken = replace(new, former=tuple(left), version=old.version)
        yield _claim(eip, old, taken, f"{words}, take it from {names}", claimant)


def _renewed(eip: Eip, old: Claim, claimant: Claimant, others: Iterable[Claimant], words: str) -> Iterable[Step]:
    """The step that keeps a holder's own claim true."""
    former = _all_former(old, others)
    if claimant.uid and old.uid_of(eip.holder) != claimant.uid:
        kept = tuple(claimant if one.holder == eip.holder else one for one in old.claimants)
        made_anew = replace(old, claimants=kept, former=former)
        yield _claim(eip, old, made_anew, f"{words}, which was made anew", claimant)
    elif former != old.former:
        names = ", ".join(str(one.holder) for one in others)
        yield _claim(eip, old, replace(old, former=former), f"{words}, take it from {names}", claimant)


def _all_former(old: Claim, others: Iterable[Claimant]) -> tuple[Claimant, ...]:
    known = {one.holder for one in old.former}
    return (*old.former, *(one for one in others if one.holder not in known))


def forget(eip: Eip, claim: Claim) -> Step:
    """The step that notes that nothing is left with those whom an address was taken from."""
    names = ", ".join(str(one.holder) for one in claim.former)
    words = f"note that nothing of {claim.address} is left with {names}"
    return _claim(eip, claim, replace(claim, former=()), words, Claimant(eip.holder, ""))


def merged(steps: Sequence[Step]) -> Step:
    """One step instead of several that change one and the same claim, as of a SNAT address with several holders."""
    first = steps[0]
    if len(steps) == 1:
        return first
    after = _joined(steps) if first.action == CLAIM else _left(steps)
    text = "; ".join(dict.fromkeys(step.text for step in steps))
    late = any(is_late(step) for step in steps)
    return replace(first, text=text, data={**first.data, "after": after, "late": late})


def _joined(steps: Sequence[Step]) -> Claim:
    """A claim with all who join it: each step adds, or makes anew, its own claimant only."""
    before: Claim | None = steps[0].data["before"]
    afters: list[Claim] = [step.data["after"] for step in steps]
    kept = before.claimants if before and before.kind == afters[0].kind else ()
    claimants = {one.holder: one for one in kept}
    for claimant in (step.data["claimant"] for step in steps):
        claimants[claimant.holder] = claimant if claimant.uid else claimants.get(claimant.holder, claimant)
    former = {one.holder: one for after in afters for one in after.former}
    return replace(afters[0], claimants=tuple(claimants.values()), former=tuple(former.values()))


def _left(steps: Sequence[Step]) -> Claim | None:
    """A claim without all who leave it."""
    before, leaving = steps[0].data["before"], {step.data["claimant"] for step in steps}
    rest = tuple(one for one in before.claimants if one.holder not in leaving) if None not in leaving else ()
    return replace(before, claimants=rest) if rest else None


def _claim(eip: Eip, old: Claim | None, new: Claim, words: str, claimant: Claimant) -> Step:
    data = {"holder": str(eip.holder), "path": eip.path, "before": old, "after": new, "name": lease_name(new.address)}
    return Step(CLAIM, words, None, {**data, "claimant": claimant})


def release_steps(
    eip: Eip, site: Site, only: str | None = None, but: str | None = None, late: bool = False
) -> Iterable[Step]:
    """The steps that let go of the holder's claims of this kind: of one address only, or of all but one."""
    for claim in site.claims_of(eip.holder, eip.kind):
        if claim.address == but or only not in (None, claim.address):
            continue
        yield release(eip.holder, claim, eip.path, late)


def release(holder: Holder | None, claim: Claim, path: str, late: bool = False) -> Step:
    """The step that takes a holder out of a claim; with the last one, or None for all, the claim goes."""
    rest = claim.without(holder) if holder else ()
    after = replace(claim, claimants=rest) if rest else None
    who = str(holder) if holder else ", ".join(str(one.holder) for one in claim.claimants)
    data = {"holder": who, "path": path, "before": claim, "after": after, "late": late, "claimant": holder}
    return Step(
        RELEASE, f"release the claim of {who} on {claim.address}", None, {**data, "name": lease_name(claim.address)}
    )


# --- annotations ----------------------------------------------------------------------------------------------------


def annotate_template(eip: Eip, workload: Workload, address: str | None, instance: bool = False) -> Step:
    """The step that sets, or takes away, the annotation of a template or of an instance."""
    old = workload.instance(eip.kind) if instance else workload.template(eip.kind)
    words = _words(eip.kind, old, address, f"the {'instance' if instance else 'template'} of {eip.holder}")
    uid = workload.instance_uid if instance else workload.uid
    data = _object(eip, workload.namespace, workload.name, uid, address)
    if workload.kind != "Deployment":
        return Step(INSTANCE if instance else TEMPLATE, words, None, data)
    interrupts = f"{eip.holder}: its pod ends, and then another one starts, since a changed template means new pods"
    return Step(TEMPLATE, words, interrupts if workload.replicas else None, data, lasting=True)


def annotate_pod(eip: Eip, pod: PodView, address: str | None) -> Step:
    """The step that sets, or takes away, a pod's annotation, and has Kube-OVN look at the pod."""
    old = pod.asks(eip.kind)
    where = f"pod {pod.namespace}/{pod.name}"
    words = _words(eip.kind, old, address, where) + ", null routed in the same patch"
    lost = f"; {_lost(old)}" if old and eip.kind != SNAT else ""
    interrupts = f"{eip.holder}: its connections to the outside get another source address{lost}"
    return Step(POD, words, interrupts, _object(eip, pod.namespace, pod.name, pod.uid, address))


def without_detours(steps: Sequence[Step]) -> list[Step]:
    """The steps without those that take an annotation which another one sets: done side by side, either could win.

    So it is when a task takes an address from a holder and gives that one another.
    """
    places = [None if is_late(step) else _annotation_of(step) for step in steps]
    given = {place for step, place in zip(steps, places, strict=True) if place and step.data["address"]}
    return [
        step
        for step, place in zip(steps, places, strict=True)
        if place is None or step.data["address"] or place not in given
    ]


def _annotation_of(step: Step) -> tuple[str, ...] | None:
    """The annotation that a step writes, if it writes one."""
    if step.action not in (TEMPLATE, INSTANCE, POD):
        return None
    return (step.action, *(step.data[name] for name in ("workload", "namespace", "name", "kind")))


def reroute(eip: Eip, pod: PodView) -> Step:
    """The step that has Kube-OVN look at a pod once more."""
    text = (
        f"null routed on pod {pod.namespace}/{pod.name}: NAT rule or policy of {eip.address} is not as it must be, "
        "and Kube-OVN looks again only then"
    )
    return Step(REROUTE, text, None, _object(eip, pod.namespace, pod.name, pod.uid, eip.address))


def _object(eip: Eip, namespace: str, name: str, uid: str | None, address: str | None) -> dict[str, Any]:
    names = {"namespace": namespace, "name": name, "uid": uid, "workload": eip.holder.kind}
    return {**names, "kind": eip.kind, "address": address, "holder": str(eip.holder), "path": eip.path}


def _words(kind: str, old: str | None, new: str | None, where: str) -> str:
    annotation = "snat" if kind == SNAT else "eip"
    if new is None:
        return f"remove {annotation} {old} from {where}"
    return f"set {annotation} {new} on {where}" + (f" (was {old})" if old else "")


# --- rows of OVN ----------------------------------------------------------------------------------------------------


def clean(
    holder: Holder | str,
    rules: Sequence[NatRule],
    policies: Sequence[Rerouting],
    reason: str,
    late: bool = False,
    path: str = "",
) -> Step:
    """One step for a holder's leftovers: they go in one transaction, so that no kill parts a rule from its policy."""
    what = [f"NAT rule {rule.external_ip} -> {rule.logical_ip}" for rule in rules]
    what += [_named(one) for one in policies]
    data = {"holder": str(holder), "path": path, "rules": tuple(rules), "policies": tuple(policies)}
    return Step(
        CLEAN, f"delete {', '.join(what)} of {holder}: {reason}", None, {**data, "reason": reason, "late": late}
    )


def with_interruptions(steps: Sequence[Step], site: Site, given: Collection[tuple[Holder, str]] = ()) -> list[Step]:
    """The steps; those that delete a NAT rule in use say whom it interrupts, unless another step says so already.

    given: who has which address in the end, so that Kube-OVN makes its rule anew.
    """
    going = {rule for step in steps for rule in step.data.get("rules", ())}
    told: dict[str, list[Step]] = {}
    for step in steps:
        if step.interrupts:
            told.setdefault(step.data.get("holder", ""), []).append(step)

    def words(rule: NatRule) -> str | None:
        ways = [one for one in site.rules_by_external.get(rule.external_ip, []) if one.logical_ip == rule.logical_ip]
        if not is_eip_rule(rule) or not site.is_in_use(rule.logical_ip) or any(one not in going for one in ways):
            return None
        holder = site.holders_at(rule.logical_ip)[0]
        others = told.get(str(holder), [])
        if any(one.action == TEMPLATE or _lost(rule.external_ip) in (one.interrupts or "") for one in others):
            return None
        if (holder, rule.external_ip) in given:
            return f"{holder}: {rule.external_ip} leads to it again when Kube-OVN has made its NAT rule anew"
        return f"{holder}: {_lost(rule.external_ip)}"

    def telling(step: Step) -> Step:
        found = dict.fromkeys(text for rule in step.data["rules"] if (text := words(rule)))
        return replace(step, interrupts="; ".join(found)) if found else step

    return [telling(step) if step.action == CLEAN else step for step in steps]


def _lost(address: str) -> str:
    return f"{address} leads no longer to it"


def _named(one: Rerouting) -> str:
    if isinstance(one, RoutePolicy):
        return f"policy {one.priority} {one.match}"
    return f"route {one.ip_prefix} (by source) via {one.nexthop}" if isinstance(one, SourceRoute) else one.uuid
