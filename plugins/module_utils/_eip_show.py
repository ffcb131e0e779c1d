# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs as people see them: a holder before and after a run, and each EIP in the result. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import lease_name
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site, addresses_of, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import told_by_objects
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    FIP,
    NAT_TYPES,
    SNAT,
    Eip,
    Holder,
    NatRule,
    Problem,
    RoutePolicy,
)

NAMES = {FIP: "eip", SNAT: "snat"}  # of the annotations, without their prefix


def shown(holder: Holder, site: Site) -> dict[str, Any]:
    """A holder as the diff shows it."""
    workload = site.workloads.get(holder)
    view: dict[str, Any] = {}
    if workload:
        view["template"] = {NAMES[kind]: workload.template(kind) for kind in NAT_TYPES}
    if workload and workload.running:
        view["instance"] = {NAMES[kind]: workload.instance(kind) for kind in NAT_TYPES}
    view["pods"] = {pod.name: {NAMES[kind]: pod.asks(kind) for kind in NAT_TYPES} for pod in site.pods_of(holder)}
    own = site.logical_addresses(holder)
    view["nat_rules"] = _texts(_rules(holder, site))
    view["policies"] = _shown(site.policies_for(own))
    view["claims"] = sorted(claim.address for kind in NAT_TYPES for claim in site.claims_of(holder, kind))
    return view


def _rules(holder: Holder, site: Site) -> list[NatRule]:
    """The rules of the holder's overlay addresses, and those of its EIPs that lead to no live pod."""
    own = site.logical_addresses(holder)
    found: list[NatRule] = []
    for kind in NAT_TYPES:
        found += site.own_rules(holder, kind)
        named = {*site.asked_by(holder, kind), *(claim.address for claim in site.claims_of(holder, kind))}
        rules = [
            rule for address in own for rule in site.rules_by_logical.get(address, []) if rule.external_ip in named
        ]
        rules += [rule for address in sorted(named) for rule in site.idle_rules(address)]
        found += [rule for rule in rules if is_eip_rule(rule, kind)]
    return found


def _texts(rules: Iterable[NatRule]) -> list[str]:
    return sorted({f"{rule.type} {rule.external_ip} -> {rule.logical_ip}" for rule in rules})


def _shown(policies: Iterable[RoutePolicy]) -> list[str]:
    return [f"{policy.match} via {', '.join(policy.nexthops)}" for policy in policies]


def wished(
    eip: Eip, state: str, before: Mapping[str, Any], site: Site, unneeded: Sequence[object] = ()
) -> dict[str, Any]:
    """The same view after the steps and what Kube-OVN does then. unneeded: policies that go with the EIP."""
    name, kind = NAMES[eip.kind], NAT_TYPES[eip.kind]
    present = state == "present"

    def new(old: str | None) -> str | None:
        if present:
            return eip.address
        return None if eip.address in (None, old) else old

    def changed(notes: Mapping[str, str | None]) -> dict[str, str | None]:
        return {**notes, name: new(notes[name])}

    view = dict(before)
    for part in ("template", "instance"):
        if part in view:
            view[part] = changed(view[part])
    leaving = {pod.name for pod in site.pods_of(eip.holder) if pod.deleting}
    view["pods"] = {pod: notes if pod in leaving else changed(notes) for pod, notes in before["pods"].items()}
    going = _texts(rule for rule in _rules(eip.holder, site) if _goes(rule, eip, state, site))
    rules = [text for text in before["nat_rules"] if text not in going]
    claims = set(before["claims"])
    if present:
        live = list(dict.fromkeys(address for pod in site.pods_of(eip.holder) for address in addresses_of(pod)))
        rules += [f"{kind} {eip.address} -> {address}" for address in live]
        claims -= {claim.address for claim in site.claims_of(eip.holder, eip.kind)}
        claims.add(eip.address or "")
    view["policies"] = _policies_after(eip, before, view, site, () if present else unneeded)
    if state == "absent":
        claims -= {one.address for one in site.claims_of(eip.holder, eip.kind) if eip.address in (None, one.address)}
    if state == "detached":
        asked = [one for one in site.asked_by(eip.holder, eip.kind) if eip.address in (None, one)]
        claims |= {one for one in asked if _can_claim(one, eip, site)}
    view["nat_rules"], view["claims"] = sorted(set(rules)), sorted(claims)
    return view


def _policies_after(
    eip: Eip, before: Mapping[str, Any], view: Mapping[str, Any], site: Site, unneeded: Sequence[object]
) -> list[str]:
    """The policies then: Kube-OVN makes them right of each pod that it looks at, if that has an address of any kind."""
    hop = site.observed.next_hop or "the gateway"
    found: list[str] = []
    for address in site.logical_addresses(eip.holder):
        names = [pod.name for pod in site.pods_of(eip.holder) if address in addresses_of(pod)]
        wanted = [any(view["pods"][name].values()) for name in names]
        looked_at = [
            view["pods"][name] != before["pods"][name] or view["pods"][name][NAMES[eip.kind]] for name in names
        ]
        if any(wanted) and any(looked_at):
            found.append(f"ip4.src == {address} via {hop}")
        else:
            found += _shown(policy for policy in site.policies_for([address]) if policy not in unneeded)
    return found


def _can_claim(address: str, eip: Eip, site: Site) -> bool:
    claim = site.claims.get(address)
    return claim is None or (claim.kind == eip.kind and (claim.of(eip.holder) or eip.kind == SNAT))


def _goes(rule: NatRule, eip: Eip, state: str, site: Site) -> bool:
    """Whether a rule that is shown goes, or is the holder's no more when neither annotation nor claim names it."""
    if not is_eip_rule(rule, eip.kind):
        return False
    if state != "present" and site.goes_with(rule, eip):
        return True
    if state == "detached" and rule.logical_ip not in site.logical_addresses(eip.holder):
        return site.is_leftover(rule, eip.holder, eip.kind) and eip.address in (None, rule.external_ip)
    return state == "present" or eip.address in (None, rule.external_ip)


# --- the result -----------------------------------------------------------------------------------------------------


def report(
    desired: Sequence[Eip], first: Observed, last: Observed, problems: Mapping[str, Sequence[Problem]]
) -> list[dict[str, Any]]:
    """Each EIP as it is now, with what is wrong with it."""
    before, site = Site(first), Site(last)
    return [_report(eip, before, site, problems.get(eip.path, ())) for eip in desired]


def _report(eip: Eip, before: Site, site: Site, problems: Sequence[Problem]) -> dict[str, Any]:
    holder, kind = eip.holder, eip.kind
    pod = site.pod_of(holder)
    asked = before.asked_by(holder, kind)
    address = eip.address or next(iter(asked), None)
    own = site.logical_addresses(holder)
    rule = next((rule for rule in site.own_rules(holder, kind) if rule.external_ip == address), None)
    policy = next(iter(site.policies_for(own)), None)
    named = address is not None and address in site.asked_by(holder, kind)
    works = named and pod is not None and (rule is not None or (site.observed.blind and pod.routed))
    claim = site.claims.get(address or "")
    mine = claim is not None and claim.of(holder)
    told = told_by_objects(eip, site) if site.by_objects(eip) or before.by_objects(eip) else {"objects": []}
    return {
        "address": address,
        "kind": kind,
        "holder": {"kind": holder.kind, "namespace": holder.namespace, "name": holder.name},
        "previous": next((old for old in asked if old != address), eip.previous),
        "claim": lease_name(address) if address and mine else None,
        "pod": pod.name if pod else None,
        "node": pod.node if pod else None,
        "logical_ip": own[0] if own else None,
        "logical_port": pod.logical_port if pod else None,
        "nat_rule": _row(rule, "type", "external_ip", "logical_ip", "logical_port") if rule else None,
        "policy": _row(policy, "priority", "match", "action", "nexthops") if policy else None,
        "status": "attached" if works else "pending" if named else "claimed" if mine else "detached",
        **told,
        "problems": [{"path": one.path, "text": one.text, "hint": one.hint} for one in problems],
    }


def _row(record: object, *names: str) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
