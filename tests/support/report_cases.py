# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites for the report's tests, of any size: results as ovn_nat_info gives them."""

from __future__ import annotations

import ipaddress
from typing import Any

GATEWAYS = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
WORKER = "jah-k3s-l40s-{:03}"
MEASURED: tuple[dict[str, Any], ...] = (
    {
        "from": GATEWAYS[0],
        "to": GATEWAYS[1],
        "way": "power off",
        "targets": [
            {"address": "10.4.19.254", "sent": 300, "lost": 30, "silence": 3.1, "answers_at_the_end": True},
            {"address": "10.4.19.101", "sent": 300, "lost": 31, "silence": 3.2, "answers_at_the_end": True},
        ],
    },
)


def rule(number: int, *, workers: int) -> dict[str, Any]:
    """The NAT rule of one machine."""
    logical = str(ipaddress.ip_address("10.253.0.10") + number)
    hop = {"priority": 29250, "match": f"ip4.src == {logical}", "action": "reroute", "nexthops": ["10.4.19.1"]}
    name = f"vm-{number:04}" if number else "testing"
    return {
        "type": "dnat_and_snat",
        "external_ip": str(ipaddress.ip_address("10.4.19.101") + number),
        "logical_ip": logical,
        "logical_port": None,
        "distributed": False,
        "holder": {"kind": "VirtualMachine", "namespace": "default", "name": name},
        "pod": f"virt-launcher-{name}-x7k2p",
        "node": WORKER.format(number % workers + 1),
        "policy": hop,
    }


def finding(code: str, severity: str, text: str, **about: Any) -> dict[str, Any]:
    """A finding as the modules give it."""
    base = {"address": None, "holder": None, "node": None, "repair": "- kubeovn.core.ovn_eip: {state: pruned}"}
    return {"code": code, "severity": severity, "text": text, "breaks": "what it breaks", **base, **about}


def nat(eips: int, sick: int = 0, **changes: Any) -> dict[str, Any]:
    """A site with so many EIPs, of which some are not as they should be: each third one has a warning only."""
    rules = [rule(number, workers=max(1, eips // 100 + 2)) for number in range(eips)]
    findings = []
    for number, one in enumerate(rules[1 : sick + 1]):
        address = one["external_ip"]
        if number % 3:
            text = f"VirtualMachine default/{one['holder']['name']} has no policy for {one['logical_ip']}"
            task = f'- kubeovn.core.ovn_eip: {{"eips": [{{"address": "{address}", "vm": "{one["holder"]["name"]}"}}]}}'
            findings.append(finding("missing_reroute", "error", text, address=address, repair=task))
        else:
            findings.append(finding("unexplained_row", "warning", f"nothing asks for {address}", address=address))
    rows = [
        {"node": name, "chassis": f"chassis-{name}", "priority": 100 - place, "ready": True, "active": place == 0}
        for place, name in enumerate(GATEWAYS)
    ]
    claims = [
        {"address": one["external_ip"], "kind": "fip", "holders": [one["holder"]], "previous": None, "rotation": None}
        for one in rules
    ]
    return {
        "cluster": "https://10.4.18.1:6443",
        "gateways": rows,
        "active_gateway": GATEWAYS[0],
        "router_port": {
            "name": "ovn-cluster-external",
            "mac": "16:52:f3:13:6a:25",
            "networks": ["10.4.19.254/16" if eips > 150 else "10.4.19.254/24"],
        },
        "external_switch": {"name": "external", "ports": []},
        "nat_rules": rules,
        "claims": claims,
        "findings": sorted(findings, key=lambda one: one["severity"]),
        "unjudged": [],
        **changes,
    }
