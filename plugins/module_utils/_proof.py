# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that a site works: from what was asked for and what was seen to one verdict per step. Pure.

A step is `ok` only when it was seen to be right, `failed` when it was seen to be wrong, and `unverified` when nothing
could see it. Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import EXTERNAL_SWITCH, FIP, Names
from ansible_collections.kubeovn.core.plugins.module_utils._probe import parse_ping

OK, FAILED, UNVERIFIED = "ok", "failed", "unverified"
BRIDGE = "br-external"
LOCALNET_PORT, ROUTER_PORT = Names().localnet_port, Names().router_port
PATCH_PORT = f"patch-{LOCALNET_PORT}-to-br-int"


@dataclass(frozen=True)
class Check:
    """One step of the proof: its verdict and what it was drawn from."""

    name: str
    status: str
    evidence: str


@dataclass(frozen=True)
class Expected:
    """What the site should look like. nic_mac and TTLs are compared only when given."""

    nodes: tuple[str, ...]
    nic: str
    gateway: str
    nic_ip: str
    nic_mac: str | None
    eips: tuple[Mapping[str, Any], ...]
    ttl: Mapping[str, int] = field(default_factory=dict)  # router_port, eip
    hostnames: Mapping[str, str] = field(default_factory=dict)  # EIP -> hostname

    @property
    def router_address(self) -> str:
        return self.nic_ip.partition("/")[0]

    @property
    def gateway_address(self) -> str:
        return self.gateway.partition("/")[0]


@dataclass(frozen=True)
class Seen:
    """What was seen. A missing entry means that nobody could look."""

    nat: Mapping[str, Any]  # result of ovn_nat_info
    nodes: Mapping[str, Mapping[str, Any]]  # node -> result of ovn_gateway_node_info
    pings: Mapping[str, Mapping[str, Any]]  # address -> result of ping on the outside host
    hostnames: Mapping[str, Mapping[str, Any]]  # EIP -> result of `hostname` over ssh
    guest_pings: Mapping[str, Mapping[str, Any]]  # EIP -> result of ping over ssh
    sent_before: Mapping[str, int]  # node -> packets its external NIC had sent before the probe
    sent_after: Mapping[str, int]
    probes: int = 0  # packets of the probe between the two
    pending: tuple[str, ...] = ()  # EIPs whose VM is stopped


def prove(expected: Expected, seen: Seen) -> list[Check]:
    """Every step, in the order in which one would look for a fault."""
    checks = [_external_switch(seen), _router_port(expected, seen)]
    checks += [_node(expected, seen, node) for node in expected.nodes]
    checks.append(_active_gateway(expected, seen))
    checks.append(
        _ping("router port answers from outside", expected.router_address, expected.ttl.get("router_port"), seen)
    )
    for eip in expected.eips:
        address = str(eip["address"])
        checks.append(_nat_rule(eip, seen))
        if address not in seen.pending:
            checks.append(_ping(f"EIP {address} answers from outside", address, expected.ttl.get("eip"), seen))
            checks.append(_ssh(address, expected.hostnames.get(address), seen))
            checks.append(_guest_ping(address, expected.gateway_address, seen))
    checks.append(_traffic(expected, seen))
    return checks


def _external_switch(seen: Seen) -> Check:
    name = f"NB has switch {EXTERNAL_SWITCH} with port {LOCALNET_PORT}"
    switch = seen.nat.get("external_switch")
    if not switch:
        return Check(name, FAILED, f"there is no switch {EXTERNAL_SWITCH}")
    ports = {port["name"]: port for port in switch["ports"]}
    localnet = ports.get(LOCALNET_PORT)
    right = localnet is not None and localnet["type"] == "localnet"
    return Check(name, OK if right else FAILED, f"ports of {EXTERNAL_SWITCH}: {', '.join(sorted(ports)) or 'none'}")


def _router_port(expected: Expected, seen: Seen) -> Check:
    name = f"NB has router port {ROUTER_PORT} with {len(expected.nodes)} gateway chassis"
    port = seen.nat.get("router_port")
    if not port:
        return Check(name, FAILED, f"there is no router port {ROUTER_PORT}")
    gateways = seen.nat["gateways"]
    order = [row["node"] or row["chassis"] for row in gateways]
    wrong = []
    if expected.nic_mac and port["mac"].lower() != expected.nic_mac.lower():
        wrong.append(f"MAC should be {expected.nic_mac}")
    if list(port["networks"]) != [expected.nic_ip]:
        wrong.append(f"network should be {expected.nic_ip}")
    if order != list(expected.nodes):
        wrong.append(f"gateways should be {', '.join(expected.nodes)}")
    rows = ", ".join(f"{row['node'] or row['chassis']} {row['priority']}" for row in gateways)
    evidence = f"{port['mac']} {' '.join(port['networks'])}; {rows or 'no gateway chassis'}"
    return Check(name, FAILED if wrong else OK, "; ".join([evidence, *wrong]))


def _node(expected: Expected, seen: Seen, node: str) -> Check:
    name = f"{node} has {BRIDGE} with NIC and patch port, mapped to {EXTERNAL_SWITCH}"
    result = seen.nodes.get(node) or {}
    ovs = result.get("ovs") or {"problem": result.get("msg") or "the node could not be asked"}
    if ovs.get("problem"):
        return Check(name, UNVERIFIED, str(ovs["problem"]))
    ports = ovs["bridges"].get(BRIDGE)
    mapping = ovs["bridge_mappings"].get(EXTERNAL_SWITCH)
    right = ports is not None and {expected.nic, PATCH_PORT} <= set(ports) and mapping == BRIDGE
    held = ", ".join(port for port in ports if port != BRIDGE) or f"{BRIDGE} is empty" if ports else f"no {BRIDGE}"
    mapped = f"{EXTERNAL_SWITCH}:{mapping}" if mapping else f"{EXTERNAL_SWITCH} is not mapped"
    return Check(name, OK if right else FAILED, f"{held}; {mapped}")


def _active_gateway(expected: Expected, seen: Seen) -> Check:
    name = "one gateway has the router port"
    active = seen.nat.get("active_gateway")
    if active is None:
        return Check(name, FAILED, "no chassis has claimed the router port")
    return Check(name, OK if active in expected.nodes else FAILED, f"active: {active}")


def _ping(name: str, address: str, ttl: int | None, seen: Seen) -> Check:
    result = seen.pings.get(address)
    if result is None:
        return Check(name, UNVERIFIED, "no outside host to ping from (group `outside`)")
    ping = parse_ping(str(result.get("stdout") or ""))
    if ping.sent is None:
        return Check(name, UNVERIFIED, _why(result, "ping said nothing"))
    if not ping.received:
        hint = "; an EIP's replies go to the physical gateway, which must forward them back onto its own subnet"
        return Check(name, FAILED, f"no answer to {ping.sent} packets" + (hint if name.startswith("EIP") else ""))
    evidence = f"{ping.received} of {ping.sent} answered, TTL {', '.join(map(str, ping.ttls))}"
    if ttl is not None and ping.ttls != (ttl,):
        return Check(name, FAILED, f"{evidence}, should be {ttl}")
    return Check(name, OK, evidence)


def _why(result: Mapping[str, Any], otherwise: str) -> str:
    """The reason that a command itself gave, else Ansible's."""
    return str(result.get("stderr") or (result.get("msg") if result.get("unreachable") else "") or otherwise).strip()


def proven_eips(eips: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The floating EIPs with their addresses: of those drawn from a pool the claim knows it. Others are left out."""
    claimed = {
        _key(holder): str(claim["address"]) for claim in claims if claim["kind"] == FIP for holder in claim["holders"]
    }
    found = []
    for eip in eips:
        address = eip.get("address") or claimed.get(_holder(eip))
        if address and (eip.get("kind") or FIP) == FIP:
            found.append({**eip, "address": str(address)})
    return found


def _key(holder: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(holder["kind"]), str(holder["namespace"]), str(holder["name"])


def _holder(eip: Mapping[str, Any]) -> tuple[str, str, str]:
    kinds = {"vm": "VirtualMachine", "pod": "Pod", "deployment": "Deployment"}
    kind, name = next(((kinds[key], eip[key]) for key in kinds if eip.get(key)), ("Pod", None))
    return kind, str(eip.get("namespace") or "default"), str(name)


def _leads_to(rule: Mapping[str, Any], kind: str, namespace: str, name: str) -> bool:
    """Whether a rule's holder is this one."""
    owner = rule.get("holder")
    return owner is not None and _key(owner) == (kind, namespace, name)


def _nat_rule(eip: Mapping[str, Any], seen: Seen) -> Check:
    address = str(eip["address"])
    kind, namespace, holder = _holder(eip)
    name = f"NB has one NAT rule {address} for {kind} {namespace}/{holder}"
    rules = [rule for rule in seen.nat.get("nat_rules", ()) if rule["external_ip"] == address]
    if not rules and address in seen.pending:
        return Check(name, UNVERIFIED, f"{kind} {namespace}/{holder} is stopped; it gets the EIP when it starts")
    texts = []
    for rule in rules:
        owner = rule.get("holder")
        to = f"{owner['kind']} {owner['namespace']}/{owner['name']} on {rule.get('node')}" if owner else "nobody"
        texts.append(f"{rule['type']} {address} -> {rule['logical_ip']}, {to}")
    right = (
        len(rules) == 1
        and rules[0]["type"] == "dnat_and_snat"
        and _leads_to(rules[0], kind, namespace, holder)
        and rules[0].get("policy") is not None
    )
    if len(rules) == 1 and rules[0].get("policy") is None:
        texts.append("without its reroute policy")
    return Check(name, OK if right else FAILED, "; ".join(texts) or "there is none")


def _ssh(address: str, hostname: str | None, seen: Seen) -> Check:
    name = f"ssh over {address} prints the guest's hostname"
    result = seen.hostnames.get(address)
    if result is None:
        return Check(name, UNVERIFIED, "no ssh key given (kubeovn_proof_ssh_key)")
    printed = str(result.get("stdout") or "").strip()
    if result.get("rc") != 0 or not printed:
        return Check(name, FAILED, _why(result, "no answer"))
    if hostname is not None and printed != hostname:
        return Check(name, FAILED, f"{printed}, should be {hostname}")
    return Check(name, OK, printed)


def _guest_ping(address: str, gateway: str, seen: Seen) -> Check:
    name = f"the guest of {address} pings {gateway}"
    result = seen.guest_pings.get(address)
    if result is None:
        return Check(name, UNVERIFIED, "no ssh key given (kubeovn_proof_ssh_key)")
    ping = parse_ping(str(result.get("stdout") or ""))
    if not ping.received:
        return Check(name, FAILED, _why(result, f"no answer to {ping.sent} packets"))
    return Check(name, OK, f"{ping.received} of {ping.sent} answered")


def _traffic(expected: Expected, seen: Seen) -> Check:
    """What a gateway sends decides: answers leave through the active one, while every NIC receives broadcasts."""
    active = seen.nat.get("active_gateway")
    name = f"only the active gateway's {expected.nic} carries the traffic"
    counted = [node for node in expected.nodes if node in seen.sent_before and node in seen.sent_after]
    if not seen.probes or active not in counted:
        return Check(name, UNVERIFIED, "no probe from outside, or the active gateway could not be asked")
    sent = {node: seen.sent_after[node] - seen.sent_before[node] for node in counted}
    evidence = f"{seen.probes} probes; packets sent: " + ", ".join(f"{node} {sent[node]}" for node in counted)
    loud = [node for node in counted if node != active and sent[node] > _own_packets(seen, node)]
    if sent[active] < seen.probes // 2 or loud:
        return Check(name, FAILED, evidence)
    missing = [node for node in expected.nodes if node not in counted]
    if missing:
        return Check(name, UNVERIFIED, f"{evidence}; could not be asked: {', '.join(missing)}")
    return Check(name, OK, evidence)


def _own_packets(seen: Seen, node: str) -> int:
    """Packets that a gateway without traffic may send: with fast LACP one a second by each member of its bond."""
    bond = (seen.nodes[node].get("nic") or {}).get("bond") or {}
    return seen.probes * 3 // 4 if bond.get("mode") == "802.3ad" else seen.probes // 10


def verdict(checks: Sequence[Check]) -> str:
    """failed when anything failed, else unverified when anything could not be seen, else ok."""
    statuses = {check.status for check in checks}
    return FAILED if FAILED in statuses else UNVERIFIED if UNVERIFIED in statuses else OK
