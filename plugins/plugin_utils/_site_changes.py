# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between two looks at a site: before and after an upgrade of Kube-OVN, say. Pure.

Told is what people would want to be told; row numbers, chassis and pods that were made anew are no difference.
Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import Eip, SiteView

# What a change is of; in this order they are told.
ROUTER_PORT, GATEWAY, EIP, POLICY, CLAIM, FINDING = "router_port", "gateway", "eip", "policy", "claim", "finding"


def changes(
    before: tuple[SiteView, Mapping[str, Any]], after: tuple[SiteView, Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Each difference: what it is of, its name, and what it was and is now in words (empty: it was not, or is gone)."""
    kinds = {
        ROUTER_PORT: _router_port,
        GATEWAY: _gateways,
        EIP: _eips,
        POLICY: _policies,
        CLAIM: _claims,
        FINDING: _findings,
    }
    found = []
    for kind, tell in kinds.items():
        was, now = tell(*before), tell(*after)
        found += [
            {"of": kind, "name": name, "before": was.get(name, ""), "after": now.get(name, "")}
            for name in [*was, *(name for name in now if name not in was)]
            if was.get(name, "") != now.get(name, "")
        ]
    return found


def _router_port(view: SiteView, _nat: Mapping[str, Any]) -> dict[str, str]:
    if not view.router_port:
        return {}
    return {view.router_port: " ".join([view.router_mac, *view.router_networks])}


def _gateways(view: SiteView, _nat: Mapping[str, Any]) -> dict[str, str]:
    """By their place in the order, since priorities may be renumbered without any difference."""
    found = {}
    for place, one in enumerate(view.gateways, 1):
        words = ["active" if one.active else "stands by", *([] if one.ready else ["not ready"])]
        found[one.name] = f"{place}. of {len(view.gateways)}, {', '.join(words)}"
    return found


def _eips(view: SiteView, _nat: Mapping[str, Any]) -> dict[str, str]:
    return _told((eip.address, _eip(eip)) for eip in view.eips if eip.overlay)


def _eip(eip: Eip) -> str:
    kind = "distributed" if eip.distributed else "centralized"
    return f"{eip.use}, {kind}, to {eip.overlay} of {eip.holder or 'nobody'}" + (f" on {eip.node}" if eip.node else "")


def _policies(_view: SiteView, nat: Mapping[str, Any]) -> dict[str, str]:
    return _told(
        (str(rule["external_ip"]), f"{one['priority']} {one['match']} {one['action']} {','.join(one['nexthops'])}")
        for rule in nat["nat_rules"]
        if (one := rule["policy"])
    )


def _claims(_view: SiteView, nat: Mapping[str, Any]) -> dict[str, str]:
    return _told((str(claim["address"]), f"{claim['kind']} of {_holders(claim['holders'])}") for claim in nat["claims"])


def _holders(holders: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(sorted(f"{one['kind']} {one['namespace']}/{one['name']}" for one in holders)) or "nobody"


def _findings(view: SiteView, _nat: Mapping[str, Any]) -> dict[str, str]:
    return _told(
        (f"{one['code']} {one['address'] or one['node'] or ''}".strip(), f"{one['severity']}: {one['text']}")
        for one in view.findings
    )


def _told(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Words by name; what has one name, together."""
    found: dict[str, list[str]] = {}
    for name, words in pairs:
        found.setdefault(name, []).append(words)
    return {name: "; ".join(sorted(words)) for name, words in found.items()}
