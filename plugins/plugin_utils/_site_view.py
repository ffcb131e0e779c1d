# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site as people look at it: each EIP with its holder and its health, from the result of ovn_nat_info. Pure.

Report, metrics and comparisons all start from here. Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# An EIP's health, the worst first. `claimed` is an address that is kept for its holder and not attached, `unjudged` one
# of which not everything could be read.
ERROR, WARNING, UNJUDGED, CLAIMED, OK = "error", "warning", "unjudged", "claimed", "ok"
HEALTHS = (ERROR, WARNING, UNJUDGED, CLAIMED, OK)

FLOATING, SOURCE, PORTS = "floating", "source", "ports"  # what an address does for its holder
USES = {"dnat_and_snat": FLOATING, "snat": SOURCE, "dnat": PORTS, "fip": FLOATING}
NEEDED = ("cluster", "gateways", "active_gateway", "router_port", "nat_rules", "claims", "findings", "unjudged")
NO_GATEWAY = "no_active_gateway"
UNSEEN = "unverified"  # what only the node itself can show, and nobody asked it


@dataclass(frozen=True)
class Eip:
    """One address with one of its holders."""

    address: str
    use: str
    health: str
    codes: tuple[str, ...] = ()  # of the findings that make it so
    kind: str = ""
    namespace: str = ""
    name: str = ""
    overlay: str = ""
    node: str = ""
    pod: str = ""
    distributed: bool = False

    @property
    def holder(self) -> str:
        """The holder in words; empty when nobody has the address."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.name else ""


@dataclass(frozen=True)
class Gateway:
    """One gateway chassis of the router port."""

    name: str
    priority: int
    ready: bool
    active: bool
    link: str = UNSEEN  # of its external NIC, as its node showed it
    tunnels: str = UNSEEN  # the worst of its BFD sessions with the other gateways


@dataclass(frozen=True)
class SiteView:
    """All that is told of a site."""

    cluster: str
    gateways: tuple[Gateway, ...]
    active: str
    router_port: str
    router_mac: str
    router_networks: tuple[str, ...]
    next_hops: tuple[str, ...]  # the physical gateways that policies send packets to
    eips: tuple[Eip, ...]
    findings: tuple[Mapping[str, Any], ...]
    unjudged: tuple[str, ...]

    @property
    def healths(self) -> dict[str, int]:
        """How many EIPs have which health; all of them, so that a number is never missing."""
        counted = Counter(eip.health for eip in self.eips)
        return {health: counted[health] for health in HEALTHS}

    def severity(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(1 for finding in self.findings if finding["severity"] == severity)


def site_view(nat: Mapping[str, Any]) -> SiteView:
    """The result of ovn_nat_info as a view. A result that is none raises ValueError, and says what is missing."""
    missing = [key for key in NEEDED if key not in nat]
    if missing:
        raise ValueError(f"this is no result of kubeovn.core.ovn_nat_info: it has no {', '.join(missing)}")
    port = nat["router_port"] or {}
    policies = [rule["policy"] for rule in nat["nat_rules"] if rule["policy"]]
    hops = Counter(str(hop) for policy in policies for hop in policy["nexthops"])
    return SiteView(
        cluster=str(nat["cluster"]),
        gateways=tuple(_gateway(row) for row in nat["gateways"]),
        active=str(nat["active_gateway"] or ""),
        router_port=str(port.get("name") or ""),
        router_mac=str(port.get("mac") or ""),
        router_networks=tuple(map(str, port.get("networks") or ())),
        next_hops=tuple(hop for hop, _count in hops.most_common()),
        eips=tuple(_eips(nat)),
        findings=tuple(nat["findings"]),
        unjudged=tuple(map(str, nat["unjudged"])),
    )


def _gateway(row: Mapping[str, Any]) -> Gateway:
    return Gateway(
        name=str(row["node"] or row["chassis"]),
        priority=int(row["priority"]),
        ready=bool(row["ready"]),
        active=bool(row["active"]),
        link=str(row.get("link", UNSEEN)),
        tunnels=str(row.get("bfd", UNSEEN)),
    )


class _Judge:
    """Which findings are about an address or its holder."""

    def __init__(self, nat: Mapping[str, Any]) -> None:
        self.about: dict[object, list[Mapping[str, Any]]] = defaultdict(list)
        for finding in nat["findings"]:
            if finding["address"]:
                self.about[finding["address"]].append(finding)
            if finding["holder"]:
                self.about[_key(finding["holder"])].append(finding)
        self.silent = nat["router_port"] is not None and not nat["active_gateway"]
        self.unjudged = bool(nat["unjudged"])

    def health(
        self, address: str, holder: Mapping[str, Any] | None, at_rest: str, *, centralized: bool = False
    ) -> tuple[str, tuple[str, ...]]:
        """Health and codes. `at_rest`: what it is when nothing is wrong."""
        own = [*self.about[address], *(self.about[_key(holder)] if holder else ())]
        codes = list(dict.fromkeys(str(finding["code"]) for finding in own))
        severities = {finding["severity"] for finding in own}
        if self.silent and centralized:
            codes.append(NO_GATEWAY)
            severities.add(ERROR)
        worst = next((health for health in (ERROR, WARNING) if health in severities), None)
        if worst is None and self.unjudged and at_rest == OK:
            worst = UNJUDGED
        return worst or at_rest, tuple(dict.fromkeys(codes))


def _eips(nat: Mapping[str, Any]) -> Iterable[Eip]:
    """Rows of NAT rules, of claims that have none, and of annotations that ask in vain; by address."""
    judge = _Judge(nat)
    found = [_of_rule(rule, judge) for rule in nat["nat_rules"]]
    there = {eip.address for eip in found}
    for claim in nat["claims"]:
        if claim["address"] not in there:
            use = USES.get(claim["kind"], str(claim["kind"]))
            for holder in claim["holders"] or [None]:
                judged = judge.health(claim["address"], holder, CLAIMED)
                found.append(Eip(str(claim["address"]), use, *judged, *_key(holder)))
    there |= {eip.address for eip in found}
    for finding in nat["findings"]:
        address, holder = finding["address"], finding["holder"]
        if address and address not in there:
            there.add(address)
            judged = judge.health(address, holder, OK)
            found.append(Eip(str(address), FLOATING, *judged, *_key(holder)))
    return sorted(found, key=lambda eip: (sort_key(eip.address), eip.use, eip.holder))


def _of_rule(rule: Mapping[str, Any], judge: _Judge) -> Eip:
    address, holder, distributed = str(rule["external_ip"]), rule["holder"], bool(rule["distributed"])
    health, codes = judge.health(address, holder, OK, centralized=not distributed)
    kind, namespace, name = _key(holder)
    return Eip(
        address=address,
        use=USES.get(rule["type"], str(rule["type"])),
        health=health,
        codes=codes,
        kind=kind,
        namespace=namespace,
        name=name,
        overlay=str(rule["logical_ip"]),
        node=str(rule["node"] or ""),
        pod=str(rule["pod"] or ""),
        distributed=distributed,
    )


def _key(holder: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Kind, namespace and name; empty for nobody."""
    if not holder:
        return "", "", ""
    return str(holder["kind"]), str(holder["namespace"]), str(holder["name"])


def sort_key(address: str) -> tuple[int, int, str]:
    """Addresses by their numbers; whatever else comes last, by its text."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return 9, 0, address
    return parsed.version, int(parsed), ""


def by_node(eips: Sequence[Eip]) -> dict[str, list[Eip]]:
    """The EIPs of each node, most first; those whose holder runs nowhere stand under an empty name, last."""
    nodes: dict[str, list[Eip]] = defaultdict(list)
    for eip in eips:
        nodes[eip.node].append(eip)
    return dict(sorted(nodes.items(), key=lambda item: (not item[0], -len(item[1]), item[0])))
