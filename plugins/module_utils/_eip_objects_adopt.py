# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EIPs of custom VPCs that are there already, as if they were asked for: a hand-built site. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    FIPS,
    RULES,
    Objects,
    RuleView,
    grouped,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC, OBJECTS, Eip, Holder

KIND_OF = {resource: kind for kind, resource in RULES.items()}


def adopted_by_objects(site: Site) -> Iterable[Eip]:
    """Every EIP that objects make and that nobody has claimed.

    What cannot be one EIP is given as several of one path, so that all of them are refused, and none is deleted in
    favour of another: a holder with two addresses of one kind, and an OvnFip's address that others use as well.
    """
    seen = site.observed.objects
    if seen is None:
        return
    found = list(_found(seen, site))
    at, of = grouped((one.address, one) for one in found), grouped(((one.holder, one.kind), one) for one in found)
    for eip in found:
        mixed = any(one.kind == KIND_OF[FIPS] for one in at[eip.address]) and len(at[eip.address]) > 1
        alone = len(of[eip.holder, eip.kind]) == 1
        claim = site.claims.get(eip.address or "")
        if claim and claim.of(eip.holder) and alone and not mixed:
            continue
        what = eip.address if mixed else f"{eip.kind} of {eip.holder}"
        yield Eip(eip.holder, eip.address, f"adopted[{what}]", eip.kind, ports=eip.ports, backend=OBJECTS)


def _found(seen: Objects, site: Site) -> Iterable[Eip]:
    """Each holder's EIPs in custom VPCs, an address of single ports once."""
    names = _ports(seen, site)
    rules = [(rule, holder) for rule in seen.rules if (holder := _holder(rule, names, seen)) and _counts(rule, seen)]
    together = grouped(((holder, KIND_OF[rule.resource], seen.address_of(rule)), rule) for rule, holder in rules)
    for (holder, kind, address), group in together.items():
        ports = tuple(rule.port for rule in group if rule.port)
        yield Eip(holder, address, "", kind, ports=ports)


def _counts(rule: RuleView, seen: Objects) -> bool:
    """Whether a rule makes an EIP: one that uses the address of a router port does not."""
    eip = seen.eip_named(rule.eip)
    return not rule.deleting and eip is not None and eip.type == "nat" and bool(seen.address_of(rule))


def _ports(seen: Objects, site: Site) -> Mapping[str, Holder]:
    """The holders in custom VPCs by their logical ports."""
    pods = {pod.logical_port: site.holder_of(pod) for pod in site.observed.pods if pod.alive}
    stopped = {seen.port_of(one): one for one in site.workloads if one.kind == "VirtualMachine"}
    named = {**stopped, **pods}
    return {port: holder for port, holder in named.items() if _vpc(port, seen) not in (None, DEFAULT_VPC)}


def _vpc(port: str, seen: Objects) -> str | None:
    ip = seen.ips.get(port)
    subnet = seen.subnets.get(ip.subnet) if ip else None
    return subnet.vpc if subnet else None


def _holder(rule: RuleView, names: Mapping[str, Holder], seen: Objects) -> Holder | None:
    """Whose a rule is: of whom it names, or who has the address that it leads to."""
    if rule.ip_name:
        return names.get(rule.ip_name)
    vpc, address = rule.done_vpc or rule.vpc, rule.done_ip or rule.logical_ip
    ports = [ip.name for ip in seen.ips_at.get(address, ()) if _vpc(ip.name, seen) == vpc]
    return names.get(ports[0]) if ports else None
