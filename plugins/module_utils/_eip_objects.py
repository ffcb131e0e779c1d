# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for EIPs in custom VPCs: OvnEips, and the OvnFips, OvnSnatRules and OvnDnatRules that use them. Pure.

Kube-OVN does what such an object says when it is created, and never again: whatever is to change is deleted, waited for
and created anew. An object goes only when its row in OVN is there to be deleted, so one whose row is lost hangs.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    ADDRESS_LABEL,
    DNATS,
    EIPS,
    FIPS,
    HOLDER_ANNOTATION,
    KINDS,
    MANAGED_BY,
    MANAGED_LABEL,
    PORT_LABEL,
    RULES,
    SNATS,
    Objects,
    OvnEipView,
    Port,
    Request,
    RuleView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Step

# A step's action, in the order in which one plan's steps are done. An OvnEip is deleted before its rules: Kube-OVN
# keeps it until they are gone, and so no kill in between leaves an OvnEip that nobody remembers.
ADOPT, REMIND, FREE = "adopt_object", "remind_object", "free_object"
DELETE_ADDRESS, DELETE, CREATE_ADDRESS, CREATE = "delete_address", "delete_object", "create_address", "create_object"
OBJECT_ORDER = (ADOPT, REMIND, FREE, DELETE_ADDRESS, DELETE, CREATE_ADDRESS, CREATE)
NAME_LIMIT = 253


@dataclass(frozen=True)
class Wanted:
    """A rule as it has to be."""

    resource: str
    name: str
    eip: str  # name of its OvnEip
    vpc: str
    logical_ip: str
    ip_name: str  # not empty: the rule follows the logical port, and NAT is done on its node
    port: Port | None = None


# --- plan -----------------------------------------------------------------------------------------------------------


def attach_objects(
    request: Request, seen: Objects, adopt: bool = False, needed: Collection[str] = ()
) -> Iterable[Step]:
    """Steps that give a holder its EIP, and leave it no other of that kind.

    needed: all addresses that the task asks for. Their OvnEips stay, whoever has them now.
    """
    address, eip = request.address or "", seen.eip_at(request.address)
    going = eip is not None and eip.deleting  # then whatever uses it has to go and to come again
    wanted = wanted_rules(request, seen)
    mine = own_rules(request, seen, adopt)
    matches = [None if going else _best(rule for rule in mine if fits(rule, one, request, seen)) for one in wanted]
    kept = [rule for rule in matches if rule is not None]
    missing = [one for one, match in zip(wanted, matches, strict=True) if match is None]
    if adopt:
        yield from _adopt([*([eip] if eip and not going else []), *kept], request)
    stale = [rule for rule in mine if rule not in kept and _replaced(rule, request, seen)]
    blocking = [rule for rule in stale if any(_blocks(rule, one) for one in wanted)]
    if eip and going:
        blocking = list(dict.fromkeys([*stale, *(rule for rule in seen.users_of(eip) if rule.deleting)]))
    staying = needed if address in needed else {address, *needed}
    yield from _delete(blocking, seen, request, staying)
    if eip is None:
        late = seen.eip_named(eip_name(address)) is not None
        yield _create(EIPS, eip_name(address), eip_body(request, seen), request, late)
    elif going:
        yield _remind(eip, request)
        yield _create(EIPS, eip_name(address), eip_body(request, seen), request, late=True)
    ready = eip is not None and eip.ready and not eip.deleting
    for one in missing:
        near = seen.rules_near(one.resource, one.name, one.eip, (one.vpc, one.logical_ip))
        late = not ready or any(_blocks(rule, one) for rule in near)
        yield _create(one.resource, one.name, rule_body(one, request), request, late)
    settled = not missing and all(rule.ready for rule in kept) and bool(wanted or not seen.ip_of(request.holder))
    others = [rule for rule in stale if rule not in blocking]
    yield from _delete(others, seen, request, staying, late=not settled)


def _best(rules: Iterable[RuleView]) -> RuleView | None:
    """Of rules that do the same, the one to keep."""
    return max(rules, key=lambda rule: (rule.ready, rule.managed), default=None)


def detach_objects(request: Request, seen: Objects, keep_address: bool, adopt: bool = False) -> Iterable[Step]:
    """Steps that take an EIP from its holder, or all of its EIPs when none is named."""
    mine = [rule for rule in own_rules(request, seen, adopt) if request.address in (None, seen.address_of(rule))]
    yield from _delete(mine, seen, request, keep_addresses=keep_address)
    eip = seen.eip_at(request.address)
    if eip and not mine and not keep_address and eip.managed and not seen.users_of(eip):
        yield _remind(eip, request) if eip.deleting else _delete_one(eip, request)


def own_rules(request: Request, seen: Objects, adopt: bool = False) -> list[RuleView]:
    """The holder's rules that the collection made; with adopt, also those of others that lead to it."""
    others = [rule for rule in seen.rules_to(request.holder) if not rule.managed] if adopt else []
    return [*seen.managed_of(request.holder), *others]


def held_addresses(holder: Holder, seen: Objects) -> tuple[str, ...]:
    """The addresses of the holder's rules: what is released when none is named, to be kept from the first look on."""
    own = seen.managed_of(holder)
    return tuple(dict.fromkeys(address for rule in own if (address := seen.address_of(rule))))


def leads_to(rule: RuleView, holder: Holder, seen: Objects) -> bool:
    """Whether a rule is about the holder's address."""
    ip = seen.ip_of(holder)
    place = (rule.done_vpc or rule.vpc, rule.done_ip or rule.logical_ip)
    return rule.ip_name == seen.port_of(holder) or (ip is not None and place == (seen.vpc_of(holder), ip.v4))


def vpcs_at(address: str, holders: Iterable[Holder], seen: Objects, but: Holder | None = None) -> set[str]:
    """The VPCs whose routers an address is used by, or will be once these holders have it. but: who does not count."""
    eip = seen.eip_at(address)
    users = [rule for rule in (seen.users_of(eip) if eip else []) if rule.holder != str(but)]
    found = {rule.done_vpc or rule.vpc for rule in users}
    return {vpc for vpc in (*found, *(seen.vpc_of(one) for one in holders if one != but)) if vpc}


def wanted_rules(request: Request, seen: Objects) -> list[Wanted]:
    """The rules that the EIP needs: none before the holder has an overlay address."""
    ip, vpc = seen.ip_of(request.holder), seen.vpc_of(request.holder)
    if ip is None or vpc is None or not request.address:
        return []
    eip = seen.eip_at(request.address)
    name = eip.name if eip else eip_name(request.address)
    own = eip_name(request.address)
    if request.kind == "dnat":
        return [
            Wanted(DNATS, f"{own}-{port.protocol}-{port.external}", name, vpc, ip.v4, "", port)
            for port in request.ports
        ]
    if request.kind == "snat":
        return [Wanted(SNATS, _short(f"{own}.{ip.name}"), name, vpc, ip.v4, "")]
    # An OvnFip that names an IP object is always done on the holder's node, whatever the gateway's type is.
    return [Wanted(FIPS, own, name, vpc, ip.v4, ip.name if seen.distributed else "")]


def fits(rule: RuleView, wanted: Wanted, request: Request, seen: Objects) -> bool:
    """Whether a rule is the wanted one, and, if Kube-OVN says that it is done, has what it must have in OVN."""
    if rule.deleting or (rule.resource, rule.eip, rule.port) != (wanted.resource, wanted.eip, wanted.port):
        return False
    if not _leads_as(rule, wanted, request, seen):
        return False
    if not rule.ready:
        return True
    done = (rule.done_vpc, rule.done_eip, rule.done_ip)
    return done == (wanted.vpc, request.address, wanted.logical_ip) and seen.rows_right(rule)


def _leads_as(rule: RuleView, wanted: Wanted, request: Request, seen: Objects) -> bool:
    named = rule.ip_name == seen.port_of(request.holder)
    if rule.resource != FIPS:
        return named or (not rule.ip_name and (rule.vpc, rule.logical_ip) == (wanted.vpc, wanted.logical_ip))
    if wanted.ip_name:
        return named
    if rule.ip_name:  # by hand, or for a distributed gateway: good enough where its node has a bridge to the outside
        ip, nodes = seen.ip_of(request.holder), seen.external_nodes
        return named and ip is not None and (nodes is None or ip.node in nodes)
    return (rule.vpc, rule.logical_ip) == (wanted.vpc, wanted.logical_ip)


def _replaced(rule: RuleView, request: Request, seen: Objects) -> bool:
    """Whether a rule of the holder gives way to the request: it is of the same kind, or an obstacle at the address."""
    if rule.resource == RULES[request.kind]:
        return True
    here = seen.address_of(rule) == request.address
    return here and FIPS in (rule.resource, RULES[request.kind])


def _blocks(rule: RuleView, wanted: Wanted) -> bool:
    """Whether a rule must be gone before the wanted one is made.

    Kube-OVN finds a SNAT row by where it leads to alone, so that the second rule of a holder makes none and says ready.
    """
    if (rule.resource, rule.name) == (wanted.resource, wanted.name):
        return True
    if rule.eip == wanted.eip:
        if FIPS in (rule.resource, wanted.resource):
            return True
        if rule.resource == wanted.resource == DNATS and rule.port and wanted.port:
            return (rule.port.protocol, rule.port.external) == (wanted.port.protocol, wanted.port.external)
    if rule.resource == wanted.resource == SNATS:
        return (rule.done_vpc or rule.vpc, rule.done_ip or rule.logical_ip) == (wanted.vpc, wanted.logical_ip)
    return False


# --- steps ----------------------------------------------------------------------------------------------------------


def _adopt(found: Sequence[OvnEipView | RuleView], request: Request) -> Iterable[Step]:
    for one in found:
        if one.managed:
            continue
        change: dict[str, Any] = {"uid": one.uid, "labels": {MANAGED_LABEL: MANAGED_BY}}
        if isinstance(one, RuleView):
            change["annotations"] = {HOLDER_ANNOTATION: str(request.holder)}
        text = f"take over {KINDS[one.resource]} {one.name} for {request.holder}"
        yield _step(ADOPT, text, one, request, {"metadata": change})


def _delete(
    rules: Sequence[RuleView],
    seen: Objects,
    request: Request,
    needed: Collection[str] = (),
    late: bool = False,
    keep_addresses: bool = False,
) -> Iterable[Step]:
    """Steps that delete rules and the OvnEips that nobody else uses, or see to it that Kube-OVN does so in the end."""
    if not rules:
        return
    for name in dict.fromkeys(rule.eip for rule in rules if not keep_addresses):
        eip = seen.eip_named(name)
        users = seen.users_of(eip) if eip else []
        if (
            eip is None
            or not eip.managed
            or not users
            or eip.address in needed
            or not all(rule in rules for rule in users)
        ):
            continue
        yield _remind(eip, request) if eip.deleting else _delete_one(eip, request, late)
    for rule in rules:
        if not rule.deleting:
            yield _delete_one(rule, request, late, _lost(rule, seen))
        elif rule.finalizers and seen.routers is not None and rule.resource != DNATS and not seen.rows_of(rule):
            body = {"metadata": {"uid": rule.uid, "resourceVersion": rule.version, "finalizers": None}}
            text = f"release {rule}, which is being deleted: Kube-OVN waits for a NAT row that is not there"
            yield _step(FREE, text, rule, request, body)
        else:
            yield _remind(rule, request)


def abandoned_rule(rule: RuleView, request: Request, seen: Objects) -> Iterable[Step]:
    """Steps that delete a rule whose holder is gone: nobody's traffic ends with it. Its OvnEip is not touched."""
    for step in _delete([rule], seen, request, keep_addresses=True):
        yield replace(step, interrupts=None, lasting=False)


def abandoned_address(eip: OvnEipView, request: Request) -> Step:
    """The step that deletes an OvnEip whose holders are gone, or sees to it that Kube-OVN does so in the end."""
    return _remind(eip, request) if eip.deleting else _delete_one(eip, request)


def _lost(rule: RuleView, seen: Objects) -> str | None:
    """Whose traffic ends with a rule."""
    if not rule.ready or not seen.rows_right(rule):
        return None
    address = seen.address_of(rule)
    if rule.resource == SNATS:
        return f"{rule.holder or rule.done_ip}: its connections to the outside get another source address"
    what = f"{address}:{rule.port.external}" if rule.port else address
    return f"{rule.holder or rule.done_ip}: {what} leads no longer to it"


def _delete_one(
    one: OvnEipView | RuleView, request: Request, late: bool = False, interrupts: str | None = None
) -> Step:
    text = f"delete {KINDS[one.resource]} {one.name} of {request.holder}"
    address = one.resource == EIPS
    step = _step(DELETE_ADDRESS if address else DELETE, text, one, request, late=late, interrupts=interrupts)
    # A rule is made anew for another holder, under the same name. An OvnEip stays, and Kube-OVN writes to it then.
    return replace(step, data={**step.data, "version": one.version if address else None})


def _remind(one: OvnEipView | RuleView, request: Request) -> Step:
    """Kube-OVN forgets what was deleted while it did not run, until the object is written again."""
    body = {"metadata": {"uid": one.uid, "annotations": {"kubeovn.core/reminded": one.version}}}
    text = f"remind Kube-OVN of {KINDS[one.resource]} {one.name}, which is being deleted"
    return _step(REMIND, text, one, request, body)


def _step(
    action: str,
    text: str,
    one: OvnEipView | RuleView,
    request: Request,
    body: Mapping[str, Any] | None = None,
    late: bool = False,
    interrupts: str | None = None,
) -> Step:
    data = _data(one.resource, one.name, one.uid, request)
    return Step(action, text, interrupts, data | {"body": body, "late": late}, lasting=interrupts is not None)


def _create(resource: str, name: str, body: Mapping[str, Any], request: Request, late: bool) -> Step:
    data = _data(resource, name, None, request) | {"body": body, "late": late}
    text = f"create {KINDS[resource]} {name}"
    if resource == EIPS:
        return Step(CREATE_ADDRESS, f"{text} with {request.address}", None, data)
    interrupts = f"{request.holder}: its connections to the outside may get another source address"
    return Step(CREATE, f"{text} that leads to {request.holder}", interrupts, data)


def _data(resource: str, name: str, uid: str | None, request: Request) -> dict[str, Any]:
    names = {"resource": resource, "namespace": None, "name": name, "uid": uid}
    return {**names, "kind": request.kind, "holder": str(request.holder), "path": request.path}


def object_key(step: Step) -> tuple[Any, ...]:
    """What makes a step the same one in two plans. An object whose deletion this run asked for needs no reminder."""
    ends = step.action in (REMIND, DELETE, DELETE_ADDRESS)
    return (DELETE if ends else step.action, step.data["resource"], step.data["name"], step.data["uid"])


# --- objects --------------------------------------------------------------------------------------------------------


def eip_name(address: str) -> str:
    """The name of an address' OvnEip and OvnFip, and the beginning of all others."""
    return "eip-" + address.replace(".", "-").replace(":", "-")


def _short(name: str) -> str:
    """A name that Kubernetes takes: one that is too long ends with its digest."""
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 17].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def eip_body(request: Request, seen: Objects) -> dict[str, Any]:
    """An OvnEip."""
    address = request.address or ""
    subnet = seen.subnet_for(address, seen.vpc_of(request.holder) or "")
    spec = {"externalSubnet": subnet.name if subnet else "", "v4Ip": address, "type": "nat"}
    return _body(EIPS, eip_name(address), {}, {}, spec)


def rule_body(wanted: Wanted, request: Request) -> dict[str, Any]:
    """A rule. The labels are those that Kube-OVN adds later: with them from the start it sees second users at once."""
    spec: dict[str, str] = {"ovnEip": wanted.eip}
    if wanted.ip_name:
        spec["ipName"] = wanted.ip_name
    else:
        spec |= {"vpc": wanted.vpc, "v4IpCidr" if wanted.resource == SNATS else "v4Ip": wanted.logical_ip}
    labels = {ADDRESS_LABEL: request.address or ""}
    if wanted.port:
        port = wanted.port
        spec |= {"externalPort": str(port.external), "internalPort": str(port.internal), "protocol": port.protocol}
        labels[PORT_LABEL] = str(port.external)
    return _body(wanted.resource, wanted.name, labels, {HOLDER_ANNOTATION: str(request.holder)}, spec)


def _body(
    resource: str, name: str, labels: Mapping[str, str], notes: Mapping[str, str], spec: Mapping[str, str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {MANAGED_LABEL: MANAGED_BY, **labels}}
    if notes:
        metadata["annotations"] = dict(notes)
    return {"apiVersion": "kubeovn.io/v1", "kind": KINDS[resource], "metadata": metadata, "spec": dict(spec)}
