# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What taking a hand-built site over comes to: which EIPs need a claim and nothing else, and what differs. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CLAIMING = ("create_namespace", "claim")  # steps that an adoption takes, too
OPTIONS = {"VirtualMachine": "vm", "Pod": "pod", "Deployment": "deployment"}


def adoptable(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The EIPs of a plan to adopt that need their claim and nothing else, as the module's option takes them."""
    changes = _changes(plan)
    return [
        {
            "address": eip["address"],
            "kind": eip["kind"],
            OPTIONS[eip["holder"]["kind"]]: eip["holder"]["name"],
            "namespace": eip["holder"]["namespace"],
        }
        for eip in plan.get("eips") or ()
        if changes.get(_name(eip["holder"])) == {"claims"}
    ]


def adoption(
    plan: Mapping[str, Any],
    gateway: Mapping[str, Any],
    nodes: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The claims that were to be made, and what differs from what the inventory asks for: `asked`, its EIPs' plan."""
    differences = [f"gateway: {step['text']}" for step in gateway.get("plan") or ()]
    for node, result in nodes.items():
        if "gateway" not in result:
            differences.append(f"{node}: could not be asked: {result.get('msg') or 'no answer'}")
            continue
        differences += [f"{node}: {text}" for text in result["gateway"]["missing"]]
        differences += [f"{node}: {result['nic']['name']} {text}" for text in result["nic"]["unprepared"]]
    for holder, parts in _changes(plan).items():
        more = ", ".join(sorted(parts - {"claims"}))
        if more:
            differences.append(f"{holder}: {more} would change, so it was not taken over; give it to ovn_eip")
    differences += [f"{one['path']}: {one['text']}" for one in plan.get("problems") or ()]
    differences += _of_inventory(plan.get("eips") or (), asked or {})
    claims = [eip["address"] for eip in adoptable(plan)]
    return {"cluster": plan.get("cluster"), "claims": claims, "differences": differences}


def _of_inventory(annotated: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> list[str]:
    """What the inventory's EIPs would change but claims, and which addresses it does not know."""
    steps = [step for step in asked.get("plan") or () if step["action"] not in CLAIMING]
    known = {(_name(eip["holder"]), eip["kind"]) for eip in asked.get("eips") or ()}
    refused = "problems" in asked and "eips" not in asked  # as a whole, so that nobody knows who is in it
    strange = [eip for eip in annotated if (_name(eip["holder"]), eip["kind"]) not in known and not refused]
    return [
        *(f"kubeovn_eips: {step['text']}" for step in steps),
        *(f"kubeovn_eips: {one['path']}: {one['text']}" for one in asked.get("problems") or ()),
        *(f"kubeovn_eips: {_name(eip['holder'])} has {eip['address']}, and is not in it" for eip in strange),
    ]


def _changes(plan: Mapping[str, Any]) -> dict[str, set[str]]:
    """Of each holder that the plan changes something of, what."""
    diff = plan.get("diff") or {}
    before, after = diff.get("before") or {}, diff.get("after") or {}
    return {
        holder: {
            part for part in {*before[holder], *after[holder]} if before[holder].get(part) != after[holder].get(part)
        }
        for holder in before
        if holder in after
    }


def _name(holder: Mapping[str, Any]) -> str:
    return f"{holder['kind']} {holder['namespace']}/{holder['name']}"
