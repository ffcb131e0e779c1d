# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs in custom VPCs as part of a task: objects and claims together. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes, vpc_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    attach_objects,
    detach_objects,
    held_addresses,
    own_rules,
    vpcs_at,
    wanted_rules,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_check import (
    object_problems,
    object_warnings,
    shown_objects,
    status_of_objects,
    unfinished_objects,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import KINDS, Objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import (
    annotate_pod,
    annotate_template,
    claim_steps,
    release_steps,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import FIP, SNAT, Eip, Holder, Problem, Step

Leavers = frozenset[tuple[Holder, str, str]]  # the address: empty for all of the holder's
HELD_HINT = "release it there first (state: absent), or choose another address"


def objects_of(site: Site) -> Objects:
    """What was seen of the objects; nothing where they were not read."""
    return site.observed.objects or Objects()


def attach_by_objects(eip: Eip, wishes: Wishes, site: Site, needed: Collection[str]) -> Iterable[Step]:
    """Steps that give a holder its EIP by objects, once it is claimed. needed: addresses that the task asks for."""
    steps = list(attach_objects(eip, objects_of(site), wishes.adopt, needed))
    steps += _unannotate(replace(eip, address=None), site)
    yield from steps
    yield from release_steps(eip, site, but=eip.address, late=bool(steps))


def let_go_of_objects(eip: Eip, site: Site) -> Iterable[Step]:
    """Steps that take an EIP from a holder that somebody else gets it from: the OvnEip stays."""
    yield from detach_objects(eip, objects_of(site), keep_address=True)
    yield from _unannotate(eip, site)


def _unannotate(eip: Eip, site: Site) -> Iterable[Step]:
    """Steps that take away what the holder's own annotations say: they do nothing there, and stand in others' way."""

    def going(old: str | None) -> bool:
        return old is not None and eip.address in (None, old)

    workload = site.workloads.get(eip.holder)
    renewed = False
    if workload and going(workload.template(eip.kind)):
        renewed = workload.kind == "Deployment"
        yield annotate_template(eip, workload, None)
    if workload and going(workload.instance(eip.kind)):
        yield annotate_template(eip, workload, None, instance=True)
    for pod in () if renewed else site.pods_of(eip.holder):
        if going(pod.asks(eip.kind)) and not pod.deleting:
            yield replace(annotate_pod(eip, pod, None), interrupts=None)


def has_by_objects(eip: Eip, site: Site) -> bool:
    """Whether a rule gives the holder this address already, also one that somebody has made by hand."""
    objects = objects_of(site)
    return any(objects.address_of(rule) == eip.address for rule in own_rules(eip, objects, adopt=True))


def leavers(desired: Iterable[Eip], wishes: Wishes) -> Leavers:
    """Who lets go of what in a task: an OvnEip that several share goes when the last of them does."""
    return frozenset((eip.holder, eip.kind, eip.address or "") for eip in desired if wishes.state == "absent")


def detach_by_objects(eip: Eip, wishes: Wishes, site: Site, leaving: Leavers) -> Iterable[Step]:
    """Steps that take an EIP from its holder, or all of its EIPs when none is named; the claim goes last."""
    steps: list[Step] = []
    for one in _each(eip, site):
        if wishes.state == "detached" and one.address in held_addresses(eip.holder, objects_of(site)):
            yield from claim_steps(one, site)
        keep = wishes.state == "detached" or _shared(one, site, leaving)
        steps += detach_objects(one, objects_of(site), keep_address=keep)
    steps += _unannotate(eip, site)
    yield from steps
    if wishes.state == "absent":
        left = any(objects_left(eip, wishes, site, leaving))
        yield from release_steps(eip, site, only=eip.address, late=bool(steps) or left)


def objects_left(eip: Eip, wishes: Wishes, site: Site, leaving: Leavers) -> Iterable[tuple[str, str]]:
    """What of an EIP's objects is still not as asked."""
    for one in [eip] if wishes.state == "present" else _each(eip, site):
        state = "detached" if wishes.state != "present" and _shared(one, site, leaving) else wishes.state
        yield from unfinished_objects(one, state, objects_of(site))


def _each(eip: Eip, site: Site) -> list[Eip]:
    """The request once for each address that it is about."""
    if eip.address:
        return [eip]
    claimed = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
    addresses = dict.fromkeys([*held_addresses(eip.holder, objects_of(site)), *claimed])
    return [replace(eip, address=address) for address in addresses]


def _shared(eip: Eip, site: Site, leaving: Leavers) -> bool:
    """Whether somebody besides the holder has the address and keeps it."""
    claim = site.claims.get(eip.address or "")
    others = [one.holder for one in claim.claimants if one.holder != eip.holder] if claim else []
    return any(not leaving & {(other, eip.kind, eip.address or ""), (other, eip.kind, "")} for other in others)


def objects_refused(eip: Eip, wishes: Wishes, site: Site) -> list[Problem]:
    """Why an EIP by objects is refused, but for what claims say."""
    leaving: set[str] = set()
    claim = site.claims.get(eip.address or "")
    if claim and (wishes.reassign or claim.of(eip.holder)):
        leaving = {str(one.holder) for one in (*claim.claimants, *claim.former)}
    found = object_problems(eip, objects_of(site), wishes.adopt, leaving)
    path = f"{eip.path}.address"
    for rule in site.rules_by_external.get(eip.address or "", []):
        text = f"{eip.address} is held by the default VPC (NAT rule {rule.type} -> {rule.logical_ip})"
        found.append(Problem(path, text, HELD_HINT))
    return [*found, *_held_elsewhere(eip, site), *_of_another_vpc(eip, site)]


def _held_elsewhere(eip: Eip, site: Site) -> Iterable[Problem]:
    """A NAT rule of yet another VPC's router at the address, which no object has made: two routers would answer."""
    objects = objects_of(site)
    own = objects.router_of(objects.vpc_of(eip.holder)).by_external.get(eip.address or "", ())
    known = {(rule.type, rule.external_ip, rule.logical_ip) for rule in own}
    known |= {(kind, address, ip) for kind, _vpc, address, ip in objects.made if address == eip.address}
    for rule in site.foreign_rules.get(eip.address or "", []):
        if (rule.type, rule.external_ip, rule.logical_ip) not in known:
            text = f"{eip.address} is held by another router (NAT rule {rule.type} -> {rule.logical_ip})"
            yield Problem(f"{eip.path}.address", text, HELD_HINT)


def _of_another_vpc(eip: Eip, site: Site) -> Iterable[Problem]:
    """A SNAT address is shared inside of one VPC only: of two routers with it, one gets what the other waits for."""
    claim, objects = site.claims.get(eip.address or ""), objects_of(site)
    if eip.kind != SNAT or claim is None:
        return
    used = vpcs_at(claim.address, [one.holder for one in claim.claimants], objects, but=eip.holder)
    for vpc in sorted(used - {objects.vpc_of(eip.holder)}):
        text = f"{eip.address} is a SNAT address of VPC {vpc}, and can be of one VPC only"
        yield Problem(f"{eip.path}.address", text, "choose another address for this VPC")


def torn(desired: Iterable[Eip], site: Site) -> Iterable[Problem]:
    """SNAT addresses that one task asks for in several VPCs."""
    asked = [(eip, vpc_of(eip, site)) for eip in desired if eip.kind == SNAT and eip.address]
    places: dict[str | None, set[str]] = {}
    for eip, vpc in asked:
        places.setdefault(eip.address, set()).add(vpc)
    for eip, _vpc in asked:
        if len(places[eip.address]) > 1:
            text = f"{eip.address} is asked for in VPCs {', '.join(sorted(places[eip.address]))}"
            yield Problem(f"{eip.path}.address", text, "a SNAT address can be of one VPC only")


def warnings(desired: Iterable[Eip], site: Site) -> list[str]:
    """What will work less than one expects, of all EIPs that objects make."""
    mine = [eip for eip in desired if eip.address and site.by_objects(eip)]
    return list(dict.fromkeys(text for eip in mine for text in object_warnings(eip, objects_of(site))))


def shown_by_objects(eip: Eip, site: Site, before: Mapping[str, Any], state: str | None = None) -> dict[str, Any]:
    """A holder as the diff shows it, with its objects; state: as it will be then."""
    objects, claims = objects_of(site), set(before.get("claims", ()))
    if state is None:
        return {**before, "objects": shown_objects(eip, objects)["objects"]}
    own = {claim.address for claim in site.claims_of(eip.holder, eip.kind)}
    before = _unannotated(before, replace(eip, address=None) if state == "present" else eip)
    if state == "present":
        texts = [
            f"{KINDS[one.resource]} {one.name}: {eip.address}" + (f" {one.port}" if one.port else "")
            for one in wanted_rules(eip, objects)
        ]
        claims = (claims - own) | {eip.address or ""}
    else:
        going = {one.address for one in _each(eip, site)}
        texts = [text for text in shown_objects(eip, objects)["objects"] if text.split()[2] not in going]
        claims = claims - (going & own) if state == "absent" else claims | {address or "" for address in going}
    return {**before, "objects": texts, "claims": sorted(claims)}


def _unannotated(view: Mapping[str, Any], eip: Eip) -> dict[str, Any]:
    """The view without what annotations of this kind say."""
    name = {FIP: "eip", SNAT: "snat"}.get(eip.kind)

    def without(notes: Mapping[str, Any]) -> dict[str, Any]:
        return {key: None if key == name and eip.address in (None, old) else old for key, old in notes.items()}

    parts = {part: without(view[part]) for part in ("template", "instance") if part in view}
    return {**view, **parts, "pods": {pod: without(notes) for pod, notes in view["pods"].items()}}


def told_by_objects(eip: Eip, site: Site) -> dict[str, Any]:
    """What the result says of an EIP by objects."""
    objects = objects_of(site)
    one = next(iter(_each(eip, site)), eip)
    status = status_of_objects(one, objects)
    claim = site.claims.get(one.address or "")
    if status == "detached" and claim and claim.of(eip.holder):
        status = "claimed"
    if status == "pending" and wanted_rules(one, objects) and not held_addresses(eip.holder, objects):
        status = "claimed" if claim and claim.of(eip.holder) else "detached"
    ip = objects.ip_of(eip.holder)
    shown = shown_objects(one, objects)["objects"]
    return {"address": one.address, "status": status, "objects": shown, "logical_ip": ip.v4 if ip else None}
