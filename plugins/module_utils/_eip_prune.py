# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Kube-OVN leaves behind in a whole cluster: what can be deleted, and what is nobody's to delete. Pure.

Only what something proves to be a leftover is deleted: a policy that bears Kube-OVN's mark, or a claim. A row that a
person may have made by hand is told of.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_gone import gone_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import OBJECT_ORDER
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_prune import prune_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import KINDS
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import (
    KUBE_OVN,
    Observed,
    Site,
    is_eip_rule,
    rerouted,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import (
    CLEAN,
    RELEASE,
    clean,
    merged,
    release,
    with_interruptions,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    FIP,
    NAT_TYPES,
    SNAT,
    Claim,
    Holder,
    NatRule,
    Plan,
    Problem,
    Rerouting,
    RoutePolicy,
    SourceRoute,
    Step,
)


def prune(observed: Observed) -> tuple[Plan, list[Problem]]:
    """The steps that leave no leftover, and what is left because nothing tells whose it is."""
    site = Site(observed)
    if observed.blind:
        text = "what is left in OVN is not seen, so no claim can be told to be free"
        return Plan((), {}, {}), [Problem("state", text, "give access to OVN: see ovn_connection")]
    steps = with_interruptions(list(_cleaning(site)), site)
    going = {row for step in steps for row in step.data["rules"]}
    objects = prune_objects(site)
    unclear = [*_unclear(site, going), *objects.unclear]
    steps += sorted(objects.steps, key=lambda step: OBJECT_ORDER.index(step.action))
    for claim in observed.claims:
        gone, doubt = _abandoned(claim, site)
        staying = [rule for rule in site.rules_by_external.get(claim.address, []) if rule not in going]
        if doubt:
            unclear.append(doubt)
        elif gone and _some_stay(gone, claim):
            late = any((claim.address, str(holder)) in objects.used for holder in gone)
            steps.append(merged([release(holder, claim, "", late) for holder in gone]))
        elif gone and claim.address in objects.going:
            steps.append(release(None, claim, "", late=True))
        elif gone and (why := objects.staying.get(claim.address) or _elsewhere(claim, site)):
            text = f"{why}, and {gone[0]} is gone"
            unclear.append(Problem(f"claim {claim.address}", text, "release it by holder and address: state: absent"))
        elif gone and not staying:
            steps.append(release(None, claim, ""))
    return Plan(tuple(steps), *(_views(site, steps) if steps else ({}, {}))), unclear


def _views(site: Site, steps: Sequence[Step]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that may be left over, before and after the steps."""
    observed, objects = site.observed, site.observed.objects
    names: set[tuple[str, str]] = set()
    if objects:
        names = {(one.resource, one.name) for one in objects.eips} | {(one.resource, one.name) for one in objects.rules}
    ends = {(one.data["resource"], one.data["name"]) for one in steps if one.action in OBJECT_ORDER}
    dropped = {row for step in steps if step.action == CLEAN for row in (*step.data["rules"], *step.data["policies"])}
    freed = {step.data["before"].address for step in steps if step.action == RELEASE and step.data["after"] is None}
    before = {
        "nat_rules": _texts(observed.ovn.nat_rules),
        "policies": [one.match for one in observed.ovn.policies],
        "claims": sorted(site.claims),
    }
    after = {
        "nat_rules": _texts(rule for rule in observed.ovn.nat_rules if rule not in dropped),
        "policies": [one.match for one in observed.ovn.policies if one not in dropped],
        "claims": sorted(set(site.claims) - freed),
    }
    if ends:
        before["objects"], after["objects"] = _named(names), _named(names - ends)
    return before, after


def _named(objects: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(f"{KINDS[resource]} {name}" for resource, name in objects)


def _elsewhere(claim: Claim, site: Site) -> str | None:
    """The rule of another router at a claimed address that no object explains."""
    rules = site.foreign_rules.get(claim.address, [])
    return f"another router has NAT rule {rules[0].type} -> {rules[0].logical_ip}" if rules else None


def _texts(rules: Iterable[NatRule]) -> list[str]:
    return sorted(f"{rule.type} {rule.external_ip} -> {rule.logical_ip}" for rule in rules)


def _cleaning(site: Site) -> Iterable[Step]:
    """One step per overlay address, so that a rule and its policy go together."""
    rules: dict[str, list[NatRule]] = {}
    for rule in site.observed.ovn.nat_rules:
        if _is_stale(rule, site):
            rules.setdefault(rule.logical_ip, []).append(rule)
    policies: dict[str, list[Rerouting]] = {}
    for policy in site.observed.ovn.policies:
        address = rerouted(policy)
        if policy.vendor == KUBE_OVN and _is_idle(address, rules.get(address, []), site):
            policies.setdefault(address, []).append(policy)
    for route in site.observed.ovn.routes:
        address = route.ip_prefix.partition("/")[0]
        if _is_left(route, rules.get(address, []), site):
            policies.setdefault(address, []).append(route)
    for address in dict.fromkeys((*rules, *policies)):
        holders = site.holders_at(address)
        holder = holders[0] if holders else f"overlay address {address}, which nobody has"
        why = "Kube-OVN has left it behind"
        yield clean(holder, rules.get(address, []), policies.get(address, []), why)


def _is_left(route: SourceRoute, stale: list[NatRule], site: Site) -> bool:
    """Whether a route by source is one that Kube-OVN has made for a NAT rule that is no more.

    Nothing marks such a route. One that the VPC's spec asks for, or that a rule for a whole subnet can use, is not it;
    nor is one of a whole subnet, since Kube-OVN makes them for single addresses.
    """
    address = route.ip_prefix.removesuffix("/32")
    if "/" in address or route.nexthop != site.observed.next_hop or not _is_idle(address, stale, site):
        return False
    declared = {prefix.removesuffix("/32") for prefix in site.observed.declared_routes}
    return address not in declared and not site.is_in_wide_rule(address)


def _is_stale(rule: NatRule, site: Site) -> bool:
    """Whether something proves that an annotation had made a rule, and that no annotation asks for it any more."""
    kind = next((kind for kind in NAT_TYPES if is_eip_rule(rule, kind)), None)
    if kind is None or rule.external_ip in site.observed.ovn_eips or "/" in rule.logical_ip:
        return False
    holders = site.holders_at(rule.logical_ip)
    claim = site.claims.get(rule.external_ip)
    gone = _abandoned(claim, site)[0] if claim and claim.kind == kind else []
    if not holders:
        marked = any(policy.vendor == KUBE_OVN for policy in site.policies_for([rule.logical_ip]))
        return marked or bool(gone) or (kind == FIP and _was_claimed(rule.external_ip, None, site))
    asked = {address for holder in holders for address in site.asked_by(holder, kind)}
    if claim and kind == FIP and gone and not _some_stay(gone, claim):
        return rule.external_ip not in asked  # its overlay address is another pod's by now
    # With another address asked for, a claim proves that the holder once had this one.
    return rule.external_ip not in asked and any(_was_claimed(rule.external_ip, one, site) for one in holders)


def _was_claimed(address: str, holder: Holder | None, site: Site) -> bool:
    """Whether a claim says that an address is the holder's (None: anybody's), or was it before the present one."""
    claim = site.claims.get(address)
    if claim is not None and (holder is None or claim.of(holder)):
        return True
    if holder is None:
        return address in site.formers
    return any(one.previous == address for kind in (FIP, SNAT) for one in site.claims_of(holder, kind))


def _is_idle(address: str, stale: list[NatRule], site: Site) -> bool:
    """Whether nothing needs the reroute policy of an overlay address."""
    if any(rule not in stale for rule in site.rules_by_logical.get(address, [])):
        return False
    for holder in site.holders_at(address):
        pods = site.pods_of(holder)
        if any(pod.north_gateway or not pod.routed for pod in pods):
            return False
        if any(site.asked_by(holder, kind) for kind in NAT_TYPES):
            return False
    return True


def _abandoned(claim: Claim, site: Site) -> tuple[list[Holder], Problem | None]:
    """The claim's holders that are gone; or why that cannot be told."""
    gone, doubt = gone_of([one.holder for one in claim.claimants], site)
    return gone, Problem(f"claim {claim.address}", *doubt) if doubt else None


def _some_stay(gone: list[Holder], claim: Claim) -> bool:
    return len(gone) < len(claim.claimants)


def _unclear(site: Site, going: set[NatRule]) -> Iterable[Problem]:
    """Rules and policies that may be somebody's."""
    for rule in unexplained_rules(site, going):
        holders = site.holders_at(rule.logical_ip)
        text = f"leads to {holders[0]}, which does not ask for it" if holders else "leads to nobody"
        name = f"NAT rule {rule.type} {rule.external_ip} -> {rule.logical_ip}"
        yield Problem(name, text, "somebody may have made it by hand: delete it with ovn-nbctl lr-nat-del")
    for policy in unexplained_policies(site):
        text = "reroutes an overlay address of nobody, and does not say that Kube-OVN made it"
        yield Problem(f"policy {policy.priority} {policy.match}", text, "delete it with ovn-nbctl lr-policy-del")


def unexplained_rules(site: Site, going: Collection[NatRule]) -> list[NatRule]:
    """The EIPs' rules that nothing asks for, without those that are going."""
    return [rule for rule in site.observed.ovn.nat_rules if rule not in going and is_unexplained(rule, site)]


def is_unexplained(rule: NatRule, site: Site) -> bool:
    """Whether an EIP's rule is one that neither an annotation nor an object asks for."""
    kind = next((kind for kind in NAT_TYPES if is_eip_rule(rule, kind)), None)
    if kind is None or rule.external_ip in site.observed.ovn_eips or "/" in rule.logical_ip:
        return False
    return not any(rule.external_ip in site.asked_by(one, kind) for one in site.holders_at(rule.logical_ip))


def unexplained_policies(site: Site) -> list[RoutePolicy]:
    """The reroute policies of overlay addresses of nobody without Kube-OVN's mark."""
    policies = site.observed.ovn.policies
    return [one for one in policies if one.vendor != KUBE_OVN and not site.holders_at(rerouted(one))]
