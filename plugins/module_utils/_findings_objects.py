# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about OvnEips and what uses them: objects that are left over, and those that do not work. Pure.

What is left over is not judged here: it is what `ovn_eip state: pruned` would delete, and what it tells of and leaves.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ansible_collections.kubeovn.core.plugins.module_utils._eip_gone import holder_named
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_prune import prune_objects, unexplained_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    EIPS,
    KINDS,
    RULES,
    Objects,
    OvnEipView,
    RuleView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import PRUNE, Finding, eip_options
from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC, NAT_TYPES, Holder


def object_findings(site: Site) -> Iterable[Finding]:
    """What is wrong with OvnEips and with what uses them; nothing where they were not read."""
    seen = site.observed.objects or Objects()
    every: list[OvnEipView | RuleView] = [*seen.eips, *seen.rules]
    views = {(one.resource, one.name): one for one in every}
    for step in prune_objects(site).steps:
        one = views[step.data["resource"], step.data["name"]]
        holder = holder_named(step.data["holder"])
        code = "stale_object" if isinstance(one, RuleView) else "orphan_ovn_eip"
        text = f"{KINDS[one.resource]} {one.name} is left over: {holder} is gone"
        yield Finding(code, text, PRUNE, _address(one, seen), holder)
    for one, odd in unexplained_objects(site):
        repair = f"kubectl delete {one.resource}.kubeovn.io {one.name}"
        yield Finding("unexplained_object", f"{KINDS[one.resource]} {one.name}: {odd}", repair, _address(one, seen))
    for rule in seen.rules:
        there = rule.done_vpc == DEFAULT_VPC and not rule.deleting and site.is_in_use(rule.done_ip)
        if there and not site.policy_right(rule.done_ip):
            yield _unrouted(rule, seen, site)


def _unrouted(rule: RuleView, seen: Objects, site: Site) -> Finding:
    """A rule in the default VPC: there Kube-OVN makes policies for annotations, and none for objects."""
    holder, address = site.holders_at(rule.done_ip)[0], seen.address_of(rule)
    text = f"{holder} has no policy for {rule.done_ip}: Kube-OVN makes none for {rule}"
    return Finding("missing_reroute", text, _by_annotation(rule, holder, seen, site), address, holder)


def _by_annotation(rule: RuleView, holder: Holder, seen: Objects, site: Site) -> str:
    """The command that makes an annotation of a rule; where none can take its place, the one that deletes it."""
    commands = [f"kubectl delete {rule.resource}.kubeovn.io {rule.name}"]
    eip, pod = seen.eip_named(rule.eip), site.pod_of(holder)
    kind = next((kind for kind in NAT_TYPES if RULES[kind] == rule.resource), None)
    alone = eip is not None and eip.type == "nat" and seen.users_of(eip) == [rule]
    if kind and alone and pod and not pod.unserved:
        options = eip_options(holder, kind, seen.address_of(rule) or "")
        commands.append(f"kubectl delete {EIPS}.kubeovn.io {rule.eip}")  # it would keep the address from the other
        commands.append(f"ansible localhost -m kubeovn.core.ovn_eip -a '{json.dumps(options)}'")
    return " && ".join(commands)


def _address(one: OvnEipView | RuleView, seen: Objects) -> str | None:
    return seen.address_of(one) if isinstance(one, RuleView) else one.address or None
