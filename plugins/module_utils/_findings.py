# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a site's NAT and gateways: the one list of findings, each with its code. Pure.

What is left behind is not judged here again: it is what `ovn_eip state: pruned` would delete.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import (
    is_unexplained,
    prune,
    unexplained_policies,
    unexplained_rules,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site, addresses_of, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import CLEAN, RELEASE
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    FIP,
    GatewayChassis,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    RoutePolicy,
)

ERROR, WARNING = "error", "warning"
SITE = "ansible-playbook kubeovn.core.site"
PRUNE = "- kubeovn.core.ovn_eip: {state: pruned}"
WORKLOADS = {"VirtualMachine": "vm", "Pod": "pod", "Deployment": "deployment"}
NODES_KEY = "external-gw-nodes"

# code -> (severity, what it breaks)
CODES = {
    "duplicate_external_address": (
        ERROR,
        "which row counts is left to chance, and Kube-OVN gets done with no pod that asks for the address",
    ),
    "two_addresses_on_holder": (ERROR, "which address the holder's packets come from is left to chance"),
    "stale_row": (ERROR, "the address leads to nobody, or to a pod that did not ask for it"),
    "unexplained_row": (WARNING, "the address is taken, and nothing in Kubernetes asks for it"),
    "unexplained_policy": (WARNING, "the next pod with this overlay address is sent where nobody asked for"),
    "orphan_policy": (WARNING, "the next pod with this overlay address is sent to the physical gateway"),
    "claim_without_holder": (WARNING, "nobody else gets the address"),
    "stale_object": (ERROR, "the address leads to nobody, or to a pod that did not ask for it"),
    "orphan_ovn_eip": (WARNING, "nobody else gets the address"),
    "unexplained_object": (WARNING, "the address is taken for nobody"),
    "eip_without_row": (ERROR, "the holder does not have the address that its annotation names"),
    "row_elsewhere": (ERROR, "the address leads to somebody else than the holder that asks for it"),
    "missing_reroute": (ERROR, "no policy sends the holder's packets to the physical gateway"),
    "config_differs": (ERROR, "OVN does not do what the gateway's ConfigMap says"),
    "gateway_row_dead": (ERROR, "the row counts as a gateway that cannot take over"),
    "gateway_row_stranger": (ERROR, "a node that is no gateway may get the traffic"),
    "gateway_row_missing": (WARNING, "the node cannot take over"),
    "gateway_order": (WARNING, "another gateway takes the traffic than the one that is asked for first"),
    "gateway_alone": (WARNING, "no gateway is left when this one fails"),
    "survivor_without_peer": (ERROR, "the last gateway may not take the traffic: it has no live peer"),
    "no_active_gateway": (ERROR, "no EIP is reachable"),
    "gateway_unmapped": (ERROR, "the node swallows what it is to forward while it is the active gateway"),
    "port_disabled": (ERROR, "no packet passes between the overlay and the physical network"),
    "switch_detached": (ERROR, "no packet passes between the overlay and the physical network"),
    "no_localnet": (ERROR, "no packet passes between the overlay and the physical network"),
    "bfd_down": (ERROR, "each of the two may take the other for dead, and both or none may take the traffic"),
    "external_link_down": (ERROR, "OVN does not see it: the node swallows what it is to forward while it is active"),
    "eip_mtu": (WARNING, "packets of full size do not leave to the physical network"),
}
BY_ROW = frozenset({"duplicate_external_address", "two_addresses_on_holder", "unexplained_row"})  # repaired by identity


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    code: str
    text: str
    repair: str
    address: str | None = None
    holder: Holder | None = None
    node: str | None = None

    @property
    def severity(self) -> str:
        """error: traffic is lost or goes astray, now or at the next failure; warning: it is not as it should be."""
        return CODES[self.code][0]

    @property
    def breaks(self) -> str:
        """What it breaks."""
        return CODES[self.code][1]


def eip_findings(site: Site, config: Mapping[str, str] | None = None) -> list[Finding]:
    """What is wrong with NAT rules, policies and claims. The site's observation is one that prune() would take."""
    return [*_shared(site), *_left(site), *_asked(site), *_misplaced(site, config or {})]


def _misplaced(site: Site, config: Mapping[str, str]) -> Iterable[Finding]:
    """EIPs of pods that are translated elsewhere than the type says: Kube-OVN makes only new rules so.

    An OvnFip's rule is a distributed one whatever the type.
    """
    asked = config.get("type") == "distributed"
    rules = [rule for rule in site.observed.ovn.nat_rules if is_eip_rule(rule) and rule.distributed != asked]
    rules.sort(key=lambda rule: rule.external_ip)
    found = [one for one in rules if not is_unexplained(one, site) and one.external_ip not in site.observed.ovn_eips]
    found = [one for one in found if site.is_in_use(one.logical_ip)]
    if config and found:
        real = "centralized" if asked else "distributed"
        some = ", ".join([*(rule.external_ip for rule in found[:3]), *(["..."] if len(found) > 3 else [])])
        text = (
            f"type is {config.get('type') or 'centralized'} in ConfigMap {CONFIG_MAP}, in OVN EIPs are {real}: {some}"
        )
        yield Finding("config_differs", text, gateway_task(config))


def _shared(site: Site) -> Iterable[Finding]:
    """Addresses of two rules, and holders of two addresses."""
    for address, rules in site.rules_by_external.items():
        surplus = [rule for rule in rules if is_eip_rule(rule)] or _twins(rules) if len(rules) > 1 else []
        if surplus:
            ends = Counter(f"{rule.type} {rule.logical_ip}" for rule in rules)
            words = [end if count == 1 else f"{end} ({count} times)" for end, count in sorted(ends.items())]
            extra = next((rule for rule in surplus if is_unexplained(rule, site)), surplus[-1])
            text = f"{address} leads to {', '.join(words)}"
            yield Finding("duplicate_external_address", text, _deletion(extra), address)
    for logical, rules in site.rules_by_logical.items():
        addresses = sorted({rule.external_ip for rule in rules if is_eip_rule(rule)})
        if len(addresses) > 1:
            holder = next(iter(site.holders_at(logical)), None)
            asked = site.asked_by(holder) if holder else ()
            extra = next((one for one in rules if is_eip_rule(one) and one.external_ip not in asked), rules[-1])
            text = f"{holder or logical} has {' and '.join(addresses)}"
            yield Finding("two_addresses_on_holder", text, _deletion(extra), extra.external_ip, holder)


def _twins(rules: Sequence[NatRule]) -> list[NatRule]:
    """Of rules of one external address those of a single overlay address that is in more than one of a type.

    A SNAT address may have many holders, but each once. Rules for networks may differ in what is not read.
    """
    there = Counter((rule.type, rule.logical_ip) for rule in rules)
    return [rule for rule in rules if there[rule.type, rule.logical_ip] > 1 and "/" not in rule.logical_ip]


def _left(site: Site) -> Iterable[Finding]:
    """What pruning deletes, and the rows that it leaves because nothing tells whose they are."""
    going: set[NatRule] = set()
    for step in prune(site.observed)[0].steps:
        if step.action == CLEAN:
            going.update(step.data["rules"])
            for rule in step.data["rules"]:
                yield Finding("stale_row", f"NAT rule {_text(rule)} is left over", PRUNE, rule.external_ip)
            for way in step.data["policies"]:
                name = f"policy {way.match}" if isinstance(way, RoutePolicy) else f"route by source {way.ip_prefix}"
                yield Finding("orphan_policy", f"{name} is left over", PRUNE)
        elif step.action == RELEASE:
            claim = step.data["before"]
            gone = [one.holder for one in claim.claimants if not site.exists(one.holder)]
            text = f"{claim.address} is claimed by {', '.join(map(str, gone))}, which is gone"
            yield Finding("claim_without_holder", text, PRUNE, claim.address, gone[0] if gone else None)
    for rule in unexplained_rules(site, going):
        yield Finding("unexplained_row", f"nothing asks for NAT rule {_text(rule)}", _deletion(rule), rule.external_ip)
    for policy in unexplained_policies(site):
        text = f"nobody has the overlay address of policy {policy.match}, and Kube-OVN's mark is not on it"
        yield Finding("unexplained_policy", text, _removal("policies", policy.uuid))


def _asked(site: Site) -> Iterable[Finding]:
    """What annotations ask for, and OVN does not do. A pod that Kube-OVN has yet to look at is not judged."""
    for holder, kind, address in site.asked_at_all():
        pod = site.pod_of(holder)
        logical = next((one for one in addresses_of(pod) if ":" not in one), None) if pod else None
        # Without a gateway Kube-OVN never gets done with a new pod that asks.
        if pod is None or logical is None or pod.deleting or (site.observed.configured and not pod.routed):
            continue
        # Kube-OVN routes a pod of two addresses, or of two NICs in the VPC, wrongly: ovn_eip only takes its EIP away.
        state = "absent" if "," in (pod.ip or "") or pod.extra_nics else "present"
        repair = _attach(holder, kind, address, state)
        rules = [rule for rule in site.rules_by_external.get(address, []) if is_eip_rule(rule, kind)]
        own = next((rule for rule in rules if rule.logical_ip == logical), None)
        if pod.asks(kind) != address:
            if own is None and _is_behind(holder, site):
                text = f"{holder} asks for {address}, but its pod {pod.name} does not: Kube-OVN looks at pods only"
                yield Finding("eip_without_row", text, repair, address, holder)
        elif own and site.of_another_port(own):
            text = f"{address} is translated for port {own.logical_port}, and {holder} has {pod.logical_port}"
            yield Finding("row_elsewhere", text, repair, address, holder)
        elif own and not site.policy_right(logical):
            yield Finding("missing_reroute", f"{holder} has no policy for {logical}", repair, address, holder)
        elif own is None:
            yield _without_row(holder, kind, address, (logical, rules), site, repair)


def _without_row(
    holder: Holder, kind: str, address: str, real: tuple[str, Sequence[NatRule]], site: Site, repair: str
) -> Finding:
    """What is wrong where no rule of the address leads to the holder. real: its overlay address, and the rules."""
    logical, rules = real
    if rules and kind == FIP:
        there = [one for one in site.holders_at(rules[0].logical_ip) if one != holder]  # its own second NIC is not
        others = [one for one in there if address in site.asked_by(one, kind)]
        whose = f", {others[0]}, which asks for it as well" if others else ""
        text = f"{address} leads to {rules[0].logical_ip}{whose}, and {holder} has {logical}"
        # Of two that ask the one that does not have it has to stop: an address is taken from nobody unasked.
        return Finding(
            "row_elsewhere", text, _attach(holder, kind, address, "absent") if others else repair, address, holder
        )
    if not site.observed.configured:
        return Finding(
            "eip_without_row", f"{holder} asks for {address}, and no gateway is configured", SITE, address, holder
        )
    text = f"{holder} asks for {address}, and no NAT rule leads there"
    return Finding("eip_without_row", text, repair, address, holder)


def _is_behind(holder: Holder, site: Site) -> bool:
    """Whether a workload's one pod is not as its template, or its instance, says, and nothing is under way there."""
    workload = site.workloads.get(holder)
    return workload is not None and workload.settled and not workload.deleting and len(site.pods_of(holder)) == 1


def _text(rule: NatRule) -> str:
    return f"{rule.type} {rule.external_ip} -> {rule.logical_ip}"


def _deletion(rule: NatRule) -> str:
    """By its row: lr-nat-del takes every rule of the address, the right one among them."""
    return _removal("nat", rule.uuid)


def _removal(column: str, row: str) -> str:
    return f"kubectl ko nbctl remove Logical_Router {DEFAULT_VPC} {column} {row}"


def _attach(holder: Holder, kind: str, address: str, state: str) -> str:
    eip = {"address": address, WORKLOADS[holder.kind]: holder.name, "namespace": holder.namespace}
    options = {"kind": kind, "state": state, "eips": [eip]}
    if state == "present":
        del options["state"]  # as it is by default
    return f"- kubeovn.core.ovn_eip: {json.dumps(options)}"


# --- gateways


def gateway_findings(ovn: Ovn, nodes: Sequence[GatewayNode], config: Mapping[str, str] | None) -> list[Finding]:
    """What is wrong with the gateways. config: the ConfigMap's data, empty without one, None when it was not read."""
    found = [] if config is None else list(_config(ovn, config))
    if ovn.router_port is None:
        return found
    rows = ovn.router_port.gateway_chassis
    of_row = {row: node_of(row, ovn, nodes) for row in rows}
    asked = _wanted(config, nodes, [node.name for node in of_row.values() if node])
    alive = [row for row, node in of_row.items() if node is not None and node.ready and registered(row, ovn)]
    repair = gateway_task(config)
    found += _rows(of_row, alive, asked, repair)
    if not ovn.router_port.enabled:
        found.append(Finding("port_disabled", f"router port {ovn.router_port.name} is disabled", repair))
    if ovn.active_chassis is None:
        found.append(Finding("no_active_gateway", "no chassis holds the router port", repair))
    if len(rows) == 1:
        node = of_row[rows[0]]
        name = node.name if node else rows[0].chassis
        found.append(Finding("gateway_alone", f"{name} is the only gateway", repair, node=name))
    elif len(alive) == 1 and (last := of_row[alive[0]]):
        text = f"{last.name} is the only one of {len(rows)} gateways that lives"
        found.append(Finding("survivor_without_peer", text, gateway_task(config, rescue=True), node=last.name))
    return found


def _rows(
    of_row: Mapping[GatewayChassis, GatewayNode | None],
    alive: Sequence[GatewayChassis],
    asked: Sequence[str],
    repair: str,
) -> Iterable[Finding]:
    """Rows that should not be there, that lack, or that have another order than asked."""
    for row, node in of_row.items():
        name = node.name if node else None
        if row not in alive:
            why = f"node {name} is not ready, or its chassis is gone" if name else "no node has this chassis"
            text = f"gateway chassis {row.chassis}: {why}"
            yield Finding("gateway_row_dead", text, repair, node=name)
        elif asked and name not in asked:
            text = f"node {name} has a gateway chassis, and the ConfigMap does not list it"
            yield Finding("gateway_row_stranger", text, repair, node=name)
    there = [node.name for node in of_row.values() if node and node.name in asked]
    for name in asked:
        if name not in there:
            text = f"node {name} is listed in the ConfigMap, and has no gateway chassis"
            yield Finding("gateway_row_missing", text, repair, node=name)
    wanted = [name for name in asked if name in there]
    if there != wanted:
        text = f"the order is {', '.join(there)}, asked for is {', '.join(wanted)}"
        yield Finding("gateway_order", text, repair, node=there[0])


def _config(ovn: Ovn, config: Mapping[str, str]) -> Iterable[Finding]:
    port = ovn.router_port
    enabled = bool(config) and config.get("enable-external-gw") != "false"
    repair = gateway_task(config) if enabled else "- kubeovn.core.ovn_external_gw: {state: absent}"
    if enabled != (port is not None):
        said, real = ("asks for a gateway", "is not there") if enabled else ("asks for none", "is there")
        text = f"the ConfigMap {said}, and router port {ovn.names.router_port} {real}"
        yield Finding("config_differs", text, repair)
    elif port is not None:
        for key, values in (("nic-ip", port.networks), ("nic-mac", (port.mac.lower(),))):
            said = config.get(key, "").lower()  # of nic-ip there may be two, of IPv4 and IPv6
            if said and sorted(said.split(",")) != sorted(values):
                text = f"{key} is {said} in ConfigMap {CONFIG_MAP}, in OVN {','.join(values)}"
                yield Finding("config_differs", text, repair)


def asked_nodes(config: Mapping[str, str] | None) -> list[str]:
    """The nodes that the ConfigMap lists, in their order."""
    return [name.strip() for name in ((config or {}).get(NODES_KEY) or "").split(",") if name.strip()]


def _wanted(config: Mapping[str, str] | None, nodes: Sequence[GatewayNode], there: Sequence[str]) -> list[str]:
    """The nodes that are to be gateways, in their order.

    For a distributed gateway Kube-OVN goes by the label alone, and by the list not at all: where the two differ, no
    order is asked for.
    """
    listed = asked_nodes(config)
    labelled = {node.name for node in nodes if node.gateway_label == "true"}
    if (config or {}).get("type") != "distributed" or set(listed) == labelled:
        return listed
    return [*(name for name in there if name in labelled), *sorted(labelled - set(there))]


def node_of(row: GatewayChassis, ovn: Ovn, nodes: Sequence[GatewayNode]) -> GatewayNode | None:
    """The node of a gateway chassis: by its annotation, else by the host name that the chassis reports."""
    hosts = {one.name: one.hostname for one in ovn.chassis}
    by_chassis = next((node for node in nodes if node.chassis == row.chassis), None)
    return by_chassis or next((node for node in nodes if node.name == hosts.get(row.chassis)), None)


def registered(row: GatewayChassis, ovn: Ovn) -> bool:
    """Whether SB has its chassis."""
    return any(one.name == row.chassis for one in ovn.chassis)


def gateway_task(config: Mapping[str, str] | None, **more: Any) -> str:
    """The task that makes the gateway as the ConfigMap describes it; without one, the playbook that has the options."""
    names = {"nic": "external-gw-nic", "gateway": "external-gw-addr", "nic_ip": "nic-ip"}
    options: dict[str, Any] = {option: (config or {}).get(key) for option, key in names.items()}
    if not all(options.values()) or not asked_nodes(config):
        return SITE
    kind = (config or {}).get("type") or "centralized"
    task = {"type": kind, "nodes": asked_nodes(config), **options, **more}
    return f"- kubeovn.core.ovn_external_gw: {json.dumps(task)}"
