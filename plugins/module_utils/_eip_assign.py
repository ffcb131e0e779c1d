# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which address each holder gets: the one that is named, the one it has, or the first free one of its pool. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from ansible_collections.kubeovn.core.plugins.module_utils._claims import PREFIX
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import vpcs_at
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_adopt import adopted_by_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ANNOTATION,
    DEFAULT_VPC,
    SNAT,
    Claim,
    Eip,
    Holder,
    Problem,
)
from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool, free

Sources = dict[tuple[Pool, str], "str | None"]  # the SNAT address that holders of one pool and VPC share


@dataclass(frozen=True)
class Wishes:
    """What a task asks for besides its EIPs."""

    state: str = "present"  # or detached, absent, pruned
    reassign: bool = False  # whether a holder that has the address loses it
    adopt: bool = False  # whether an address that was annotated by hand is taken over wherever it is
    rotate: bool = False  # whether each holder of a pool gets another address
    rotation: str | None = None  # the rotation's name: who has an address from it keeps that
    busy: frozenset[str] = frozenset()  # addresses that somebody on the wire answers for
    reserved: frozenset[str] = frozenset()  # addresses that other EIPs of the task name
    former: frozenset[str] = frozenset()  # addresses that were somebody's when the task began: drawn last


def adopted(site: Site) -> list[Eip]:
    """Every EIP of the cluster that annotations or objects ask for, as if it was asked for here: a hand-built site."""
    found: dict[tuple[Holder, str], Eip] = {}
    for holder, kind, _address in site.asked_at_all():
        pod = site.pod_of(holder)
        works = pod.asks(kind) if pod else None  # what Kube-OVN goes by
        address = works or site.asked_by(holder, kind)[0]
        eip = Eip(holder, address, f"adopted[{kind} of {holder}]", kind, backend=ANNOTATION)
        found.setdefault((holder, kind), eip)
    return [*found.values(), *adopted_by_objects(site)]


def assign(asked: Sequence[Eip], wishes: Wishes, site: Site) -> tuple[list[Eip], list[Problem]]:
    """The EIPs, each with its address where it needs one; and those for which a pool has none."""
    if wishes.state != "present":
        return list(asked), []
    named = {eip.address for eip in asked if eip.address}
    taken: set[str] = {
        *taken_addresses(site),
        *(address for address in named if address),
        *wishes.busy,
        *wishes.reserved,
    }
    desired, problems = [], []
    draws: dict[Pool, Iterator[str]] = {}
    sources: Sources = {}
    for eip in asked:
        if eip.address or eip.pool is None:
            desired.append(_named(eip, wishes, site))
            continue
        draw = draws.setdefault(eip.pool, _draw(eip.pool, taken, wishes.former, site))
        offers = _shared_ones(eip, eip.pool, wishes, site, sources) if eip.kind == SNAT else iter(())
        one = _from_pool(eip, eip.pool, wishes, site, chain(offers, draw))
        if isinstance(one, Problem):
            problems.append(one)
        else:
            taken.add(one.address or "")
            if eip.kind == SNAT:
                sources[eip.pool, vpc_of(eip, site)] = one.address
            desired.append(one)
    return desired, problems


def _draw(pool: Pool, taken: set[str], last: Collection[str], site: Site) -> Iterator[str]:
    """The pool's free addresses in their order; those that an earlier batch has freed come last.

    Names lead to them for a while yet. And so each batch draws what the task's plan has foretold, if that is enough.
    """
    yield from (address for address in free(pool, taken, site.network) if address not in last)
    if last:
        yield from free(pool, taken, site.network)


def vpc_of(eip: Eip, site: Site) -> str:
    """The VPC in which an EIP is, or will be."""
    objects = site.observed.objects
    if objects is None or not site.by_objects(eip):
        return DEFAULT_VPC
    return objects.vpc_of(eip.holder) or ""


def taken_addresses(site: Site) -> set[str]:
    """Every address of which anything says that it is somebody's."""
    observed = site.observed
    return {
        *site.infrastructure(),
        *site.rules_by_external,
        *site.foreign_rules,
        *observed.ovn_eips,
        *observed.ips,
        *site.claims,
        *(name.removeprefix(PREFIX) for name in observed.unreadable),
        *site.mentioned(),
    }


def _named(eip: Eip, wishes: Wishes, site: Site) -> Eip:
    """An EIP whose address the task names, with the one that it replaces."""
    old = [address for address in _current(eip, site) if address != eip.address]
    claim = site.claims.get(eip.address or "")
    before = claim.previous if claim and claim.of(eip.holder) else None
    return replace(eip, previous=old[0] if old else before, rotation=wishes.rotation if old else None)


def _current(eip: Eip, site: Site) -> list[str]:
    """The addresses that the holder has now: by annotations first, since these work."""
    claimed = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
    return list(dict.fromkeys([*site.asked_by(eip.holder, eip.kind), *claimed]))


def _from_pool(eip: Eip, pool: Pool, wishes: Wishes, site: Site, draw: Iterator[str]) -> Eip | Problem:
    claims = site.claims_of(eip.holder, eip.kind)
    current = _current(eip, site)
    newest = _newest(claims, current, wishes.rotation)
    kept = _kept(eip, pool, wishes, newest, current, site)
    if isinstance(kept, Problem):
        return kept
    if kept:
        claim = site.claims.get(kept)
        mine = claim if claim and claim.of(eip.holder) else None
        previous, rotation = (mine.previous, mine.rotation) if mine else (None, None)
        return replace(eip, address=kept, previous=previous, rotation=rotation)
    address = next(draw, None)
    if address is None:
        text = f"no address of {pool} is free: each is in use, claimed, or not of the gateway's subnet"
        return Problem(f"{eip.path}.pool", text, "widen the pool, or see who has them: kubeovn.core.ovn_nat_info")
    return replace(eip, address=address, previous=current[0] if current else None, rotation=wishes.rotation)


def _newest(claims: Sequence[Claim], current: Collection[str], rotation: str | None) -> Claim | None:
    """The claim that a holder is moving to, or has: a run that was killed may have left the one before it, too.

    Addresses of a pool come back, so that two claims may name each other as the one before: the later one counts.
    """

    def rank(claim: Claim) -> tuple[bool, bool, str]:
        return rotation is not None and claim.rotation == rotation, claim.previous in current, claim.created

    return max(claims, key=rank, default=None)


def _kept(
    eip: Eip, pool: Pool, wishes: Wishes, newest: Claim | None, current: Sequence[str], site: Site
) -> str | Problem | None:
    """The address that the holder has and keeps."""
    if newest is not None:
        unfinished = newest.previous in current
        given = wishes.rotation is not None and newest.rotation == wishes.rotation
        if wishes.rotate and not (unfinished or given):
            return None
        return newest.address if newest.address in pool or unfinished or given else None
    if not current or wishes.rotate:
        return None
    if wishes.adopt or current[0] in pool:
        return current[0]
    where = ", ".join(dict.fromkeys(one.where for one in site.mentions(current[0]) if one.holder == eip.holder))
    text = f"{eip.holder} has {current[0]}, which is not in the pool {pool} ({where})"
    return Problem(f"{eip.path}.pool", text, "adopt: true keeps that one, rotate: true gives another")


def _shared_ones(eip: Eip, pool: Pool, wishes: Wishes, site: Site, sources: Sources) -> Iterator[str]:
    """The SNAT address of the pool that others of the VPC have already, in this task or before: one is enough for all.

    sources: what was found, looked for once for each VPC.
    """
    place = (pool, vpc_of(eip, site))
    if place not in sources:
        claims = [claim for claim in site.claims.values() if claim.kind == SNAT and _may_be_shared(claim, wishes)]
        sources[place] = pool.first_of({claim.address for claim in claims if _is_of(claim, place[1], site)})
    if address := sources.get(place):
        yield address


def _may_be_shared(claim: Claim, wishes: Wishes) -> bool:
    """Whether a holder may join a SNAT address: in a rotation one of the same rotation, or of a batch before."""
    if not wishes.rotate:
        return True
    named = wishes.rotation is not None and claim.rotation == wishes.rotation
    return named or (bool(wishes.former) and claim.address not in wishes.former)


def _is_of(claim: Claim, vpc: str, site: Site) -> bool:
    """Whether a SNAT address is one of this VPC, and what makes it there is ours."""
    objects = site.observed.objects
    if objects is None:
        return vpc == DEFAULT_VPC and claim.address not in site.observed.ovn_eips
    eip = objects.eip_at(claim.address)
    if vpc == DEFAULT_VPC and eip is not None:
        return False
    used = vpcs_at(claim.address, [one.holder for one in claim.claimants], objects)
    return used <= {vpc} and (vpc == DEFAULT_VPC or bool(used)) and (eip is None or eip.managed)
