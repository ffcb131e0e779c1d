# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs in custom VPCs: what is refused, what is still wrong after the writes, and how it is shown. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    Wanted,
    eip_name,
    fits,
    leads_to,
    own_rules,
    wanted_rules,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    DNATS,
    FIPS,
    KINDS,
    RULES,
    SNATS,
    TYPES,
    Objects,
    OvnEipView,
    Request,
    RuleView,
    SubnetView,
    networks,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC, Problem

ADOPT_HINT = "adopt: true takes it over; or delete it first"
HELD_HINT = "release it there first (state: absent), or choose another address"
LOG_HINT = "kubectl -n kube-system logs deployment/kube-ovn-controller says why"


def object_problems(
    request: Request, seen: Objects, adopt: bool = False, leaving: Collection[str] = ()
) -> list[Problem]:
    """Everything for which an EIP by objects is refused before the first write. leaving: holders that let go of it."""
    found = list(_port_problems(request))
    vpc, ip = seen.vpc_of(request.holder), seen.ip_of(request.holder)
    if vpc is None or ip is None:
        text = f"{request.holder} has had no address from Kube-OVN yet, so nobody can tell its VPC"
        return [*found, Problem(request.path, text, "start it once")]
    if vpc == DEFAULT_VPC:
        text = f"{request.holder} is in {DEFAULT_VPC}: what an OvnFip sends back from there leaves without NAT"
        return [*found, Problem(request.path, text, "leave the backend to the module: annotations work there")]
    overlay = seen.subnets[ip.subnet]
    if overlay.vlan:
        text = f"{request.holder} is in the underlay Subnet {overlay.name}: it has an address of the physical network"
        return [*found, Problem(request.path, text, "an EIP needs a holder on the overlay")]
    if not ip.v4:
        return [*found, Problem(request.path, f"{request.holder} has no IPv4 address", "an EIP needs one")]
    if seen.distributed and request.kind == "fip" and ip.node and ip.node not in (seen.external_nodes or {ip.node}):
        text = f"{request.holder} runs on {ip.node}, which has no bridge to the outside: with a distributed gateway"
        found.append(Problem(request.path, f"{text} nobody would answer for it", "move it to a gateway node"))
    if request.address:
        found += _place_problems(request, request.address, vpc, seen)
        found += [Problem(f"{request.path}.address", *one) for one in _taken(request, seen, adopt, leaving)]
    return found


def _port_problems(request: Request) -> Iterable[Problem]:
    path = f"{request.path}.ports"
    if request.kind != "dnat":
        if request.ports:
            yield Problem(path, f"ports are given, but kind is {request.kind}", "kind: dnat leads single ports")
        return
    if not request.ports:
        yield Problem(path, "missing", "kind: dnat leads single ports: {external: 80, internal: 8080, protocol: tcp}")
    named = [(port.protocol, port.external) for port in request.ports]
    for protocol, external in dict.fromkeys(one for one in named if named.count(one) > 1):
        yield Problem(path, f"{protocol} port {external} is named twice", "a port leads to one place")


def _place_problems(request: Request, address: str, vpc: str, seen: Objects) -> Iterable[Problem]:
    """Whether the VPC has a way outside at that address."""
    subnet = seen.subnet_for(address, vpc)
    path = f"{request.path}.address"
    if subnet is None:
        text = f"no Subnet has {address}: an OvnEip takes its address from one"
        hint = "make a Subnet named like the external switch (external), with a vlan, for the physical network"
        yield Problem(path, text, hint)
        return
    if not seen.connected(vpc, subnet.name):
        yield Problem(path, f"VPC {vpc} has no router port in Subnet {subnet.name}", _unconnected(vpc, subnet, seen))
    place = ipaddress.ip_address(address)
    for net in networks(subnet.cidr):
        if place in net and place in (net.network_address, net.broadcast_address):
            yield Problem(path, f"{address} is the network or broadcast address of {net}", "choose another")
    if address in subnet.gateway.split(","):
        yield Problem(path, f"{address} is the physical gateway of Subnet {subnet.name}", "choose another")
    for ip in seen.ips_at.get(address, ()):
        if ip.subnet == subnet.name:
            yield Problem(path, f"{address} is the address of {ip.name} in Subnet {subnet.name}", "choose another")


def _unconnected(vpc: str, subnet: SubnetView, seen: Objects) -> str:
    view = seen.vpcs.get(vpc)
    if view is None or not view.external:
        return f'kubectl patch vpc {vpc} --type=merge -p \'{{"spec": {{"enableExternal": true}}}}\''
    if view.extra and subnet.name not in view.extra:
        return f"its extraExternalSubnets are {', '.join(view.extra)}"
    return f"enableExternal is set; is a node labelled ovn.kubernetes.io/external-gw=true? {LOG_HINT}"


def _taken(request: Request, seen: Objects, adopt: bool, leaving: Collection[str]) -> Iterable[tuple[str, str]]:
    """Who or what is in the way at the address."""
    address = request.address or ""
    eip, mine = seen.eip_at(address), own_rules(request, seen, adopt)
    mine += [rule for name in sorted(leaving) for rule in seen.managed_of_name(name) if rule not in mine]
    named = seen.eip_named(eip_name(address))
    if named is not None and named.address not in ("", address):
        yield f"OvnEip {named.name} exists, with {named.address}", "delete it first"
    if eip is not None:
        yield from _eip_taken(eip, adopt)
        for rule in seen.users_of(eip):
            if rule not in mine and _excludes(rule, request):
                yield _held(rule, address, request, seen)
            elif eip.deleting and not rule.deleting and (rule not in mine or rule.resource != RULES[request.kind]):
                yield f"OvnEip {eip.name} is being deleted, and {rule} still uses it", "delete that, or wait"
    for rule in seen.rules_to(request.holder):
        if rule not in mine and rule.resource == RULES[request.kind] == SNATS:
            yield f"{rule} is a SNAT of {request.holder} already", ADOPT_HINT if not rule.managed else HELD_HINT
    yield from _foreign_rows(request, address, seen)


def _eip_taken(eip: OvnEipView, adopt: bool) -> Iterable[tuple[str, str]]:
    if eip.type != "nat":
        what = "a router port's" if eip.type == "lrp" else "a node's"
        yield f"{eip.address} is {what}, by OvnEip {eip.name}", "choose another address"
    elif not eip.managed and not adopt:
        yield f"{eip.address} is of OvnEip {eip.name}, which this collection has not made", ADOPT_HINT


def _excludes(rule: RuleView, request: Request) -> bool:
    """Whether another's rule and this request cannot share an address."""
    if FIPS in (rule.resource, RULES[request.kind]):
        return True
    if rule.resource == DNATS and rule.port:
        taken = (rule.port.protocol, rule.port.external)
        return any((port.protocol, port.external) == taken for port in request.ports)
    return False


def _held(rule: RuleView, address: str, request: Request, seen: Objects) -> tuple[str, str]:
    what = f"{address}:{rule.port.external}" if rule.port else address
    if rule.managed:
        return f"{what} is held by {rule.holder} ({rule})", HELD_HINT
    lead = rule.done_ip or rule.logical_ip or rule.ip_name
    hint = ADOPT_HINT if leads_to(rule, request.holder, seen) else HELD_HINT
    return f"{what} is held by {rule}, which this collection has not made and which leads to {lead}", hint


def _foreign_rows(request: Request, address: str, seen: Objects) -> Iterable[tuple[str, str]]:
    """Rows in OVN that no object has made: Kube-OVN takes them for its own and says ready."""
    vpc, ip = seen.vpc_of(request.holder), seen.ip_of(request.holder)
    logical, router = ip.v4 if ip else "", seen.router_of(vpc)
    for row in dict.fromkeys((*router.by_external.get(address, ()), *router.by_logical.get(logical, ()))):
        if request.kind == "snat":
            concerned = row.type == "snat" and row.logical_ip == logical and row.external_ip != address
        else:
            leads_there = request.kind == "fip" and row.type == TYPES[FIPS] and row.logical_ip == logical
            concerned = row.type != "snat" and row.external_ip == address and not leads_there
        if concerned and (row.type, vpc, row.external_ip, row.logical_ip) not in seen.made:
            words = f"NAT rule {row.type} {row.external_ip} -> {row.logical_ip}"
            yield f"router {vpc} has {words}, which no object asks for", f"whose is it? ovn-nbctl lr-nat-list {vpc}"
    for balancer in router.balancers_at.get(address, ()):
        if seen.rule_named(DNATS, balancer.name) is None:
            hint = f"whose is it? ovn-nbctl lr-lb-list {vpc}"
            yield f"router {vpc} has load balancer {balancer.name} at {balancer.vip}, which no object asks for", hint


# --- after the writes -----------------------------------------------------------------------------------------------


def unfinished_objects(request: Request, state: str, seen: Objects) -> Iterable[tuple[str, str]]:
    """What is still not as asked (present, detached, absent), each with its probable cause."""
    if state == "present":
        yield from _not_attached(request, seen)
    else:
        for rule in own_rules(request, seen):
            if request.address in (None, seen.address_of(rule)):
                yield f"{rule} is still there", _deleting_hint(rule.deleting)
        eip = seen.eip_at(request.address)
        if state == "absent" and eip and eip.managed and eip.deleting and not seen.users_of(eip):
            yield f"OvnEip {eip.name} is still there", _deleting_hint(True)


def _not_attached(request: Request, seen: Objects) -> Iterable[tuple[str, str]]:
    eip, wanted = seen.eip_at(request.address), wanted_rules(request, seen)
    if eip is None or not eip.ready or eip.deleting:
        subnet = seen.subnet_for(request.address or "", seen.vpc_of(request.holder) or "")
        hint = f"is the address free in Subnet {subnet.name if subnet else '?'}? {LOG_HINT}"
        yield f"OvnEip {eip.name if eip else eip_name(request.address or '')} is not ready", hint
    mine = own_rules(request, seen, adopt=True)
    for one in wanted:
        match = next((rule for rule in mine if fits(rule, one, request, seen)), None)
        if match is None or not match.ready:
            yield _not_there(one, match, mine, seen)
    for rule in mine:
        former = rule.resource == RULES[request.kind] and seen.address_of(rule) != request.address
        if rule.managed and former:
            yield f"{rule} of its former EIP is still there", _deleting_hint(rule.deleting)


def _not_there(wanted: Wanted, match: RuleView | None, mine: Sequence[RuleView], seen: Objects) -> tuple[str, str]:
    name = f"{KINDS[wanted.resource]} {wanted.name}"
    if match is not None:
        return f"{name} is not ready", LOG_HINT
    found = next((rule for rule in mine if (rule.resource, rule.name) == (wanted.resource, wanted.name)), None)
    if found is None:
        return f"{name} is not there", ""
    if found.deleting:
        return f"{name} is being deleted, to be made anew", _deleting_hint(True)
    if found.ready and not seen.rows_right(found):
        return f"{name} says ready, and OVN has not what it says", "it will be made anew"
    return f"{name} leads to {found.done_ip or found.logical_ip or found.ip_name}, not to {wanted.logical_ip}", ""


def _deleting_hint(deleting: bool) -> str:
    return LOG_HINT if deleting else "somebody makes it again?"


def object_warnings(request: Request, seen: Objects) -> list[str]:
    """What works, but less than one expects."""
    vpc = seen.vpc_of(request.holder)
    view = seen.vpcs.get(vpc or "")
    found = []
    if view is not None and view.name != DEFAULT_VPC and not view.default_route:
        text = f"VPC {vpc} has no static route 0.0.0.0/0"
        found.append(f"{text}: {request.address} answers hosts of the external Subnet, and nobody farther away")
    return found


def status_of_objects(request: Request, seen: Objects) -> str:
    """attached, pending or detached."""
    rules = [rule for rule in own_rules(request, seen, adopt=True) if seen.address_of(rule) == request.address]
    wanted = wanted_rules(request, seen)
    if wanted and all(any(fits(rule, one, request, seen) and rule.ready for rule in rules) for one in wanted):
        return "attached"
    eip = seen.eip_at(request.address)
    return "pending" if rules or (eip is not None and eip.managed and not eip.deleting) else "detached"


def shown_objects(request: Request, seen: Objects) -> dict[str, Any]:
    """A holder's objects as the diff shows them."""
    rules = sorted(own_rules(request, seen, adopt=True), key=str)
    return {
        "objects": [
            f"{rule}: {seen.address_of(rule)}" + (f" {rule.port}" if rule.port else "")
            for rule in rules
            if not rule.deleting
        ],
        "ovn_eip": getattr(seen.eip_at(request.address), "name", None),
    }
