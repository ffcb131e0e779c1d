# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs in custom VPCs whose holders are gone: what is deleted of their objects, and what is told of. Pure.

A rule of this collection names its holder and goes with it. An OvnEip goes when its claim tells that nobody is left.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.kubeovn.core.plugins.module_utils._eip_gone import gone_of, holder_named
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    abandoned_address,
    abandoned_rule,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    KINDS,
    Objects,
    OvnEipView,
    RuleView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import Claim, Eip, Holder, Problem, Step

HAND_HINT = "somebody may have made it by hand: delete it with kubectl"


@dataclass(frozen=True)
class Pruned:
    """What comes of the objects."""

    steps: tuple[Step, ...]
    unclear: tuple[Problem, ...]
    going: frozenset[str]  # addresses whose OvnEips go with these steps
    staying: dict[str, str]  # why the OvnEip of an address stays, though its claim's holders are gone
    used: frozenset[tuple[str, str]]  # (address, holder): rules that are still there


def prune_objects(site: Site) -> Pruned:
    """Steps for the rules of holders that are gone, and for the OvnEips that then are nobody's."""
    seen = site.observed.objects
    if seen is None:
        names = site.observed.ovn_eips
        return Pruned((), (), frozenset(), {one: f"OvnEip {names[one]} still has it" for one in names}, frozenset())
    rules = dict(_abandoned(seen, site))
    steps = [
        step for rule, holder in rules.items() for step in abandoned_rule(rule, _request(rule, holder, seen), seen)
    ]
    unclear = [Problem(f"{KINDS[one.resource]} {one.name}", text, HAND_HINT) for one, text in unexplained_objects(site)]
    unclear += _doubtful(seen, site)
    going, staying = set(), {}
    for eip in seen.eips:
        claim = site.claims.get(eip.address)
        gone = _all_gone(claim, site)
        if eip.type != "nat" or claim is None or not gone:
            continue
        if why := _why_kept(eip, rules, seen):
            staying[eip.address] = why
        else:
            going.add(eip.address)
            steps.append(abandoned_address(eip, Eip(gone[0], eip.address, "", claim.kind)))
    used = {(seen.address_of(rule) or "", rule.holder or "") for rule in seen.rules if rule.managed}
    return Pruned(tuple(steps), tuple(unclear), frozenset(going), staying, frozenset(used))


def _request(rule: RuleView, holder: Holder, seen: Objects) -> Eip:
    return Eip(
        holder, seen.address_of(rule), "", {"ovn-fips": "fip", "ovn-snat-rules": "snat"}.get(rule.resource, "dnat")
    )


def _abandoned(seen: Objects, site: Site) -> Iterable[tuple[RuleView, Holder]]:
    """The collection's rules whose holders are gone."""
    for rule in seen.rules:
        holder = _noted(rule)
        if holder is not None and gone_of([holder], site)[0]:
            yield rule, holder


def _all_gone(claim: Claim | None, site: Site) -> Sequence[Holder]:
    """The claim's holders, if all of them are gone."""
    holders = [one.holder for one in claim.claimants] if claim else []
    gone = gone_of(holders, site)[0]
    return gone if len(gone) == len(holders) else []


def _why_kept(eip: OvnEipView, going: Collection[RuleView], seen: Objects) -> str | None:
    """Why an OvnEip is not to be deleted, though its claim's holders are gone."""
    if not eip.managed:
        return f"OvnEip {eip.name}, which this collection has not made, still has it"
    others = [rule for rule in seen.users_of(eip) if rule not in going]
    return f"{others[0]} still uses OvnEip {eip.name}" if others else None


def unexplained_objects(site: Site) -> Iterable[tuple[OvnEipView | RuleView, str]]:
    """Rules that lead to nobody and do not say whose they are, and our OvnEips of nobody; with what is odd of each."""
    seen = site.observed.objects or Objects()
    for rule in seen.rules:
        if not rule.deleting and not _noted(rule) and leads_nowhere(rule, seen):
            where = rule.ip_name or rule.done_ip or rule.logical_ip
            yield rule, f"{seen.address_of(rule) or f'OvnEip {rule.eip}'} leads to {where}, which nobody has"
    going = dict(_abandoned(seen, site))
    for eip in seen.eips:
        free = eip.type == "nat" and eip.managed and eip.address not in site.claims
        if free and all(rule in going for rule in seen.users_of(eip)):
            yield eip, f"{eip.address} is claimed for nobody"


def _noted(rule: RuleView) -> Holder | None:
    """The holder that one of the collection's rules names."""
    return holder_named(rule.holder) if rule.managed else None


def _doubtful(seen: Objects, site: Site) -> Iterable[Problem]:
    """Rules of which it cannot be told whether their holder is gone, where no claim is told of for that."""
    for rule in seen.rules:
        noted = _noted(rule)
        doubt = gone_of([noted], site)[1] if noted else None
        if doubt and (seen.address_of(rule) or "") not in site.claims:
            yield Problem(str(rule), *doubt)


def leads_nowhere(rule: RuleView, seen: Objects) -> bool:
    """Whether nobody has what a rule leads to. A rule for a whole Subnet leads to whoever is there.

    Vips are not read: who has one that a rule names is not known.
    """
    if rule.to_vip:
        return False
    if rule.ip_name:
        return rule.ip_name not in seen.ips
    address = rule.done_ip or rule.logical_ip
    if not address or "/" in address or address in seen.subnets:
        return False
    vpc = rule.done_vpc or rule.vpc
    there = [seen.subnets.get(ip.subnet) for ip in seen.ips_at.get(address, ())]
    return not any(subnet is not None and subnet.vpc == vpc for subnet in there)
