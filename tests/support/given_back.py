# SPDX-License-Identifier: GPL-3.0-or-later
"""What EIPs leave on the lab that all tests share, in words: so that each file of tests can be held to give it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from support.eip_lab import BARE, CLAIMS, EIP, SNAT
from support.live import Live, eventually

KINDS = "vm,vmi,pod,deployment,ovn-eip,ovn-fip,ovn-snat-rule,ovn-dnat-rule,lease"
OBJECTS = frozenset({"OvnEip", "OvnFip", "OvnSnatRule", "OvnDnatRule"})
ROUTER_PORT = "lrp"  # the type of an OvnEip that Kube-OVN makes for a VPC's own router port
PATIENCE = 60.0  # seconds in which Kube-OVN must have done its part


def seen(live: Live) -> set[str]:
    """NAT rows, reroute policies, claims, annotations and objects of EIPs: of all routers and namespaces."""
    rules = ("--columns=type,external_ip,logical_ip", "list", "NAT")
    policies = ("--columns=match,nexthops", "find", "Logical_Router_Policy", "priority=29250")
    rows = live.nbctl(*BARE, *rules, "--", *policies).splitlines()
    items = json.loads(live.kubectl("get", KINDS, "-A", "-o", "json"))["items"]
    return {f"row of NB {row}" for row in rows if row} | {text for item in items for text in _told(item)}


def _told(item: dict[str, Any]) -> Iterator[str]:
    kind, metadata, spec = item["kind"], item["metadata"], item.get("spec") or {}
    name = f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
    if kind == "Lease":
        if metadata["namespace"] == CLAIMS:
            yield f"{name} of {spec.get('holderIdentity')}"
    elif kind in OBJECTS:
        if spec.get("type") != ROUTER_PORT:
            yield name
    else:
        template = (spec.get("template") or {}).get("metadata") or {}
        for notes in (metadata.get("annotations") or {}, template.get("annotations") or {}):
            yield from (f"{key}={notes[key]} of {name}" for key in (EIP, SNAT) if key in notes)


def settled(live: Live, before: set[str]) -> set[str]:
    """What is there; Kube-OVN is given the time to do its part, when it is not what was there before."""
    looks: list[set[str]] = []

    def look() -> set[str]:
        looks.append(seen(live))
        return looks[-1]

    with suppress(AssertionError):
        eventually(look, lambda now: now == before, PATIENCE)
    return looks[-1]
