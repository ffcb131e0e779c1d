# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about EIPs in custom VPCs: objects that are left over. Pure.

They are not judged here: it is what `ovn_eip state: pruned` would delete, and what it tells of and leaves.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.kubeovn.core.plugins.module_utils._eip_gone import holder_named
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_prune import prune_objects, unexplained_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    KINDS,
    Objects,
    OvnEipView,
    RuleView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import PRUNE, Finding


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


def _address(one: OvnEipView | RuleView, seen: Objects) -> str | None:
    return seen.address_of(one) if isinstance(one, RuleView) else one.address or None
