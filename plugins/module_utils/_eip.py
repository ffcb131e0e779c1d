# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for EIPs: from what is asked and what was seen to the ordered steps. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import object_key
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import shown, wished
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import (
    Mention,
    Observed,
    Site,
    addresses_of,
    is_eip_rule,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import (
    CLAIM,
    CLEAN,
    ORDER,
    RELEASE,
    annotate_pod,
    annotate_template,
    claim_steps,
    clean,
    delayed,
    forget,
    home,
    is_late,
    merged,
    release_steps,
    reroute,
    with_interruptions,
    without_detours,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import (
    Leavers,
    attach_by_objects,
    detach_by_objects,
    leavers,
    let_go_of_objects,
    shown_by_objects,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    FIP,
    NAT_TYPES,
    SNAT,
    Eip,
    Holder,
    NatRule,
    Plan,
    PodView,
    Rerouting,
    Step,
)


def plan(desired: Sequence[Eip], wishes: Wishes, observed: Observed) -> Plan:
    """The steps to the state asked for. A late step waits until Kube-OVN has done its part: see `is_late`."""
    site = Site(observed)
    needed = frozenset(eip.address for eip in desired if eip.address) | wishes.reserved
    leaving = leavers(desired, wishes)
    each = [(eip, list(_steps(eip, wishes, site, needed, leaving))) for eip in desired]
    steps = [step for _eip, steps in each for step in steps]
    if any(step.action == CLAIM for step in steps) and not observed.claims_home:
        steps.insert(0, home())
    steps.sort(key=lambda step: (is_late(step), ORDER.index(step.action)))
    given = {(eip.holder, eip.address) for eip in desired if eip.address and wishes.state == "present"}
    steps = with_interruptions(_with_orphans(_each_once(without_detours(steps)), site), site, given)
    touched = [eip for eip, steps in each if steps]
    before = {str(eip.holder): shown(eip.holder, site) for eip in touched}
    before |= {
        str(eip.holder): shown_by_objects(eip, site, before[str(eip.holder)]) for eip in touched if site.by_objects(eip)
    }
    after = dict(before)
    own: dict[Holder, list[Eip]] = {}
    for eip in touched:
        own.setdefault(eip.holder, []).append(eip)
    for eip in touched:
        if site.by_objects(eip):
            after[str(eip.holder)] = shown_by_objects(eip, site, after[str(eip.holder)], wishes.state)
            continue
        going = _going(eip, site, own[eip.holder])
        after[str(eip.holder)] = wished(eip, wishes.state, after[str(eip.holder)], site, going)
    for rival in dict.fromkeys(rival for eip in touched for rival in rivals(eip, wishes, site)):
        name = str(rival.holder)
        if any(eip.kind == rival.kind for eip in own.get(rival.holder, ())):  # it gets another address
            after[name] = {**after[name], "claims": [one for one in after[name]["claims"] if one != rival.address]}
            continue
        before.setdefault(name, shown(rival.holder, site))
        if site.by_objects(rival):
            before[name] = shown_by_objects(rival, site, before[name])
            after[name] = shown_by_objects(rival, site, after.get(name, before[name]), "absent")
            continue
        after[name] = wished(rival, "absent", after.get(name, before[name]), site, _going(rival, site))
    return Plan(tuple(steps), before, after)


def _going(eip: Eip, site: Site, together: Sequence[Eip] = ()) -> list[Rerouting]:
    """The policies that go when an EIP is released. together: what the task releases of the holder, with this one."""
    rules = [
        rule
        for one in together or [eip]
        for rule in site.own_rules(one.holder, one.kind)
        if one.address in (None, rule.external_ip)
    ]
    return unneeded_policies(eip, rules, site, {one.kind for one in together if _is_last(one, site)})


def _is_last(eip: Eip, site: Site) -> bool:
    """Whether nothing of this kind is asked for besides the EIP."""
    return all(eip.address in (None, asked) for asked in site.asked_by(eip.holder, eip.kind))


def _steps(eip: Eip, wishes: Wishes, site: Site, needed: Collection[str], leaving: Leavers) -> Iterable[Step]:
    objects = site.by_objects(eip)
    if wishes.state != "present":
        keep = wishes.state == "detached"
        yield from detach_by_objects(eip, wishes, site, leaving) if objects else detach(eip, site, keep=keep)
        return
    busy = busy_rivals(eip, wishes, site)
    yield from claim_steps(eip, site, wishes.reassign, busy)
    for rival in busy:
        yield from _detach(rival, site)
    claim = site.claims.get(eip.address or "")
    if not busy and claim and claim.former and claim.of(eip.holder):
        yield forget(eip, claim)
    # The old holder is wholly clean before the new one begins: no moment has two, and Kube-OVN ignores a second one.
    own = list(attach_by_objects(eip, wishes, site, needed) if objects else attach(eip, site))
    yield from (delayed(step) for step in own) if busy else own


def busy_rivals(eip: Eip, wishes: Wishes, site: Site) -> list[Eip]:
    """Those of the rivals with whom something of the address is left."""
    return [one for one in rivals(eip, wishes, site) if any(_detach(one, site)) or _lingers(one, site)]


def rivals(eip: Eip, wishes: Wishes, site: Site) -> Iterable[Eip]:
    """The holders that must let go of an address first, as requests to release it."""
    if wishes.state != "present" or not eip.address:
        return
    claim = site.claims.get(eip.address)
    mine = claim if claim and claim.of(eip.holder) else None
    seen = {(one.holder, kind) for one in mine.former for kind in NAT_TYPES} if mine else set()
    if claim and wishes.reassign and not (claim.kind == eip.kind == SNAT):
        seen.update((one.holder, claim.kind) for one in claim.claimants)
    seen.update((one.holder, one.kind) for one in site.contenders(eip.address, eip.kind) if _is_to_lose(one, wishes))
    for rule in site.rival_rules(eip.address) if wishes.reassign else ():
        seen.update((holder, FIP) for holder in site.holders_at(rule.logical_ip) if is_eip_rule(rule))
    for holder, kind in sorted(seen, key=lambda pair: (str(pair[0]), pair[1])):
        if holder != eip.holder:
            yield Eip(holder, eip.address, eip.path, kind)


def _is_to_lose(one: Mention, wishes: Wishes) -> bool:
    return wishes.reassign and not one.outside


def _each_once(steps: Sequence[Step]) -> list[Step]:
    """The steps, with a row that two holders would delete in the first one only."""
    result: list[Step] = []
    taken: set[NatRule | Rerouting] = set()
    done: set[tuple[Any, ...]] = set()
    claims: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        if step.action in (CLAIM, RELEASE):
            claims.setdefault((step.action, step.data["name"]), []).append(step)
    for each in steps:
        step = each
        if step.action == CLEAN:
            rules = [row for row in step.data["rules"] if row not in taken]
            policies = [row for row in step.data["policies"] if row not in taken]
            taken.update(rules, policies)
            if rules or policies:
                data = step.data
                result.append(clean(data["holder"], rules, policies, data["reason"], data["late"], data["path"]))
            continue
        key = _name_of(step)
        if step.action in (CLAIM, RELEASE) and key not in done:
            step = merged(claims[step.action, step.data["name"]])
            if step.action == RELEASE and (CLAIM, step.data["name"]) in claims:
                step = delayed(step)  # the claim is another one by then
        if key not in done:  # two holders that take an address from one and the same, or share one
            done.add(key)
            result.append(step)
    return result


def _name_of(step: Step) -> tuple[Any, ...]:
    """What two holders' steps have in common that are to be done once: of a claim, an object, or by their words."""
    if step.action in (CLAIM, RELEASE):
        return (step.action, step.data["name"])
    return object_key(step) if "resource" in step.data else (step.action, step.text)


def _with_orphans(steps: Sequence[Step], site: Site) -> list[Step]:
    """The steps, with the policies of overlay addresses of nobody added to the step that takes their last rule."""
    result = list(steps)
    going = {rule: index for index, step in enumerate(steps) for rule in step.data.get("rules", ())}
    for address in dict.fromkeys(rule.logical_ip for rule in going if not site.holders_at(rule.logical_ip)):
        rules = site.rules_by_logical[address]
        if all(rule in going for rule in rules):
            last = max(going[rule] for rule in rules)
            data = result[last].data
            ways = [*site.policies_for([address]), *site.routes_for([address])]
            policies = dict.fromkeys((*data["policies"], *(way for way in ways if site.is_marked(way))))
            result[last] = clean(
                data["holder"], data["rules"], list(policies), data["reason"], data["late"], data["path"]
            )
    return result


def wants_kept(desired: Iterable[Eip], wishes: Wishes, observed: Observed) -> bool:
    """Whether the addresses that Kube-OVN keeps must be read.

    So it is for a holder without a pod, a rule of no live pod, or an address that is new to its holder.
    """
    site = Site(observed)
    for eip in desired:
        claimed = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
        if wishes.rotate or not site.logical_addresses(eip.holder):
            return True
        if eip.pool and not any(address in eip.pool for address in claimed):
            return True
        if wishes.state == "present" and eip.address and eip.address not in claimed:
            return True
        addresses = [eip.address] if eip.address else site.asked_by(eip.holder, eip.kind)
        rules = [rule for one in (*addresses, *claimed) for rule in site.idle_rules(one or "")]
        if any(
            any(is_eip_rule(rule, kind) for kind in NAT_TYPES) and not site.holders_at(rule.logical_ip)
            for rule in rules
        ):
            return True
    return False


# --- attach ---------------------------------------------------------------------------------------------------------


def attach(eip: Eip, site: Site) -> Iterable[Step]:
    """Steps that give a holder its EIP, and leave it no other of this kind."""
    holder, address, kind = eip.holder, eip.address or "", eip.kind
    in_the_way = _in_the_way(eip, site)
    if in_the_way:
        yield clean(holder, in_the_way, [], "it keeps Kube-OVN from making the right one", path=eip.path)
    yield from _annotate_workload(eip, site, lambda old: old != address, address)
    blocked = bool(_of_another(eip, site))
    settled = True
    for pod in _lasting_pods(holder, site, lambda old: old != address, kind):
        right = all(site.rule_right(address, ip, kind) and site.policy_right(ip) for ip in addresses_of(pod))
        settled = settled and right and pod.asks(kind) == address and bool(pod.ip) and pod.routed
        if pod.asks(kind) != address:
            yield annotate_pod(eip, pod, address)
        elif pod.routed and not right and not blocked:
            yield reroute(eip, pod)
    pods = [pod for pod in site.pods_of(holder) if not pod.deleting]
    settled = settled and all(pod.asks(kind) == address for pod in pods)
    own = dict.fromkeys([*site.own_rules(holder, kind), *left_behind(replace(eip, address=None), site)])
    stale = [rule for rule in own if rule.external_ip != address]
    if stale:
        why = f"Kube-OVN leaves it behind when the EIP becomes {address}"
        yield clean(holder, stale, [], why, late=not settled, path=eip.path)
    yield from release_steps(eip, site, but=address, late=bool(stale) or not settled)


def _lasting_pods(holder: Holder, site: Site, wrong: Callable[[str | None], bool], kind: str) -> list[PodView]:
    """The holder's pods that are worth a write: a Deployment's goes, when its template changes, or is about to."""
    workload = site.workloads.get(holder)
    if workload and workload.kind == "Deployment" and (wrong(workload.template(kind)) or not workload.settled):
        return []
    return [pod for pod in site.pods_of(holder) if not pod.deleting]


def _in_the_way(eip: Eip, site: Site) -> list[NatRule]:
    """Rules that keep Kube-OVN from making the right one: of nobody, or the holder's own beyond the first."""
    twice = list(dict.fromkeys([*_twice(eip, site), *_astray(eip, site)]))
    if eip.kind == SNAT:
        return twice
    own = site.logical_addresses(eip.holder)
    others = [rule for rule in site.rules_by_external.get(eip.address or "", []) if rule.logical_ip not in own]
    return twice + [rule for rule in others if site.is_leftover(rule, eip.holder)]


def _astray(eip: Eip, site: Site) -> list[NatRule]:
    """The holder's own distributed rules that name another port: made anew, they name its own."""
    rules = [rule for own in site.logical_addresses(eip.holder) for rule in site.rules_by_logical.get(own, [])]
    rules = [rule for rule in rules if rule.external_ip == eip.address]
    return [rule for rule in rules if is_eip_rule(rule, eip.kind) and site.of_another_port(rule)]


def _twice(eip: Eip, site: Site) -> list[NatRule]:
    """The holder's own rules beyond the first, of either kind: Kube-OVN gives up on a pod that has two of one."""
    own = site.logical_addresses(eip.holder)
    floating = {*site.asked_by(eip.holder, FIP), *([eip.address] if eip.kind == FIP and eip.address else [])}
    groups = [
        [rule for rule in site.rules_by_external.get(address, []) if is_eip_rule(rule) and rule.logical_ip in own]
        for address in sorted(floating)
    ]
    groups += [[rule for rule in site.rules_by_logical.get(ip, []) if is_eip_rule(rule, SNAT)] for ip in own]
    return [rule for group in groups for rule in group[1:]]


def _of_another(eip: Eip, site: Site) -> list[NatRule]:
    """Rules with the wanted external address that stay where they are: routing the pod anew could not help."""
    if eip.kind == SNAT:
        return []
    own, ours = site.logical_addresses(eip.holder), _in_the_way(eip, site)
    rules = site.rules_by_external.get(eip.address or "", [])
    return [rule for rule in rules if rule not in ours and not (is_eip_rule(rule) and rule.logical_ip in own)]


def _annotate_workload(
    eip: Eip, site: Site, wrong: Callable[[str | None], bool], address: str | None
) -> Iterable[Step]:
    workload = site.workloads.get(eip.holder)
    if workload is None:
        return
    if wrong(workload.template(eip.kind)):
        yield annotate_template(eip, workload, address)
    if workload.running and wrong(workload.instance(eip.kind)):
        yield annotate_template(eip, workload, address, instance=True)


# --- detach ---------------------------------------------------------------------------------------------------------


def detach(eip: Eip, site: Site, keep: bool) -> Iterable[Step]:
    """Steps that take an EIP from its holder, or all of its EIPs of this kind when none is named.

    keep: whether its claim stays, or is made, so that the address stays the holder's.
    """
    addresses = [eip.address] if eip.address else site.asked_by(eip.holder, eip.kind)
    if keep:
        for address in addresses:
            if address in site.asked_by(eip.holder, eip.kind):
                yield from claim_steps(replace(eip, address=address), site)
    steps = list(_detach(eip, site))
    yield from steps
    if not keep:
        yield from release_steps(eip, site, only=eip.address, late=bool(steps) or _lingers(eip, site))


def _lingers(eip: Eip, site: Site) -> bool:
    """Whether Kube-OVN has yet to do its part: the claim must not go before the NAT rule does."""
    if site.by_objects(eip):
        return any(let_go_of_objects(eip, site))
    rules = [rule for rule in site.own_rules(eip.holder, eip.kind) if eip.address in (None, rule.external_ip)]
    pods = [pod for pod in site.pods_of(eip.holder) if pod.ip and pod.node and not pod.deleting]
    return bool(rules) or any(is_unrouting(pod, eip.kind) for pod in pods)


def _detach(eip: Eip, site: Site) -> Iterable[Step]:
    holder, kind = eip.holder, eip.kind
    if site.by_objects(eip):
        yield from let_go_of_objects(eip, site)
        return

    def released(address: str | None) -> bool:
        return address is not None and eip.address in (None, address)

    # Before the annotations go: only they, and the claim, say that such a rule was the holder's.
    dead = left_behind(eip, site)
    if dead:
        yield clean(holder, dead, [], "Kube-OVN leaves it behind", path=eip.path)
    yield from _annotate_workload(eip, site, released, None)
    for pod in _lasting_pods(holder, site, released, kind):
        if released(pod.asks(kind)):
            yield annotate_pod(eip, pod, None)
    # Kube-OVN takes the NAT rules of a pod whose annotation is gone when it routes the pod anew; the policy it leaves.
    pods = site.pods_of(holder)
    waiting = any(pod.ip and (released(pod.asks(kind)) or is_unrouting(pod, kind)) for pod in pods)
    rules = [] if waiting else [rule for rule in site.own_rules(holder, kind) if released(rule.external_ip)]
    policies = unneeded_policies(eip, rules, site)
    if rules or policies:
        yield clean(holder, rules, policies, "Kube-OVN leaves it behind", late=waiting, path=eip.path)


def is_unrouting(pod: PodView, kind: str) -> bool:
    """Whether Kube-OVN has yet to take note that the pod has no address of this kind."""
    return pod.asks(kind) is None and not pod.routed


def unneeded_policies(eip: Eip, rules: Sequence[NatRule], site: Site, leaving: Collection[str] = ()) -> list[Rerouting]:
    """Policies, and routes, of the holder's own addresses, when nothing of the holder needs them any more.

    leaving: the kinds of which the holder has nothing in the end.
    """
    other = SNAT if eip.kind == FIP else FIP
    needed = other not in leaving and bool(site.asked_by(eip.holder, other))
    if not _is_last(eip, site) or needed or any(pod.north_gateway for pod in site.pods_of(eip.holder)):
        return []
    own = [one for one in site.logical_addresses(eip.holder) if _is_free(one, eip, rules, site)]
    ways = (*site.policies_for(own), *site.broken_policies_for(own), *site.routes_for(own))
    return [way for way in ways if site.is_marked(way)]


def _is_free(address: str, eip: Eip, rules: Sequence[NatRule], site: Site) -> bool:
    """Whether nobody else has this overlay address and no NAT rule of it remains."""
    staying = [rule for rule in site.rules_by_logical.get(address, []) if not _goes(rule, eip, rules, site)]
    # By name alone: an address kept for a machine that is gone does not tell that it was a machine's.
    own = (eip.holder.namespace, eip.holder.name)
    return not staying and all(
        holder == eip.holder or ((holder.namespace, holder.name) == own and not site.exists(holder))
        for holder in site.holders_at(address)
    )


def _goes(rule: NatRule, eip: Eip, rules: Sequence[NatRule], site: Site) -> bool:
    """Whether a rule of the holder's address is on its way out: by our hand, or by Kube-OVN's with the annotation."""
    if rule in rules or site.goes_with(rule, eip):
        return True
    released = eip.address in (None, rule.external_ip) and rule.external_ip not in site.observed.ovn_eips
    return released and is_eip_rule(rule, eip.kind)


def left_behind(eip: Eip, site: Site) -> list[NatRule]:
    """Rules of the holder's EIPs that lead to an overlay address of nobody: its own of a former life."""
    claimed = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
    wanted = [eip.address] if eip.address else [*site.asked_by(eip.holder, eip.kind), *claimed]
    # A floating address may lead to a pod that got the overlay address since; of a shared one that cannot be told.
    of = site.idle_rules if eip.kind == SNAT else lambda external: site.rules_by_external.get(external, [])
    rules = [rule for external in dict.fromkeys(wanted) for rule in of(external)]
    return [rule for rule in rules if site.is_leftover(rule, eip.holder, eip.kind)]
