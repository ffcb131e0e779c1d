# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a site's EIPs; and the one list of all findings, each with its code. Pure.

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
    ANNOTATIONS,
    CONFIG_MAP,
    DEFAULT_VPC,
    FIP,
    Holder,
    NatRule,
    PodView,
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
    "eip_pending": (WARNING, "until Kube-OVN gets done with the pod its holder does not have the address"),
    "eip_not_kept": (WARNING, "the holder loses the address when its pod is made anew, or migrates"),
    "row_elsewhere": (ERROR, "the address leads to somebody else than the holder that asks for it"),
    "missing_reroute": (ERROR, "no policy sends the holder's packets to the physical gateway"),
    "config_ignored": (ERROR, "no change of the gateway's ConfigMap has any effect, and no lost row comes back"),
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


def eip_findings(site: Site, config: Mapping[str, str] | None = None, recent: str | None = None) -> list[Finding]:
    """What is wrong with NAT rules, policies and claims. The site's observation is one that prune() would take.

    recent: what was asked for later than this is not judged before Kube-OVN got done with it, as the API writes times.
    """
    return [*_shared(site), *_left(site), *_asked(site, recent), *_misplaced(site, config or {})]


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


def _asked(site: Site, recent: str | None) -> Iterable[Finding]:
    """What annotations ask for, and OVN does not do."""
    for holder, kind, address in site.asked_at_all():
        pod = site.pod_of(holder)
        if pod is None or pod.deleting:
            continue
        if pod.vpc not in (None, DEFAULT_VPC):
            if pod.asks(kind) == address and address not in site.observed.ovn_eips:
                yield _elsewhere(holder, kind, address, pod)
            continue
        # From a pod that the annotation does not serve ovn_eip only takes it away.
        repair = _attach(holder, kind, address, "absent" if pod.unserved else "present")
        # Without a gateway Kube-OVN never gets done with a new pod that asks.
        if site.observed.configured and not pod.routed:
            since = pod.asked_since
            young = recent is not None and since is not None and since > recent
            if pod.asks(kind) == address and not young and not _works(address, kind, pod, site):
                when = f" since {since}" if since else ""
                text = f"{holder} asks for {address}{when}, and Kube-OVN has not done it yet, or cannot: see its log"
                yield Finding("eip_pending", text, repair, address, holder)
        else:
            yield from _judged(holder, kind, address, pod, site, repair)


def _rule_of(address: str, kind: str, pod: PodView, site: Site) -> tuple[str, NatRule | None, Sequence[NatRule]]:
    """A pod's overlay address, the rule that leads there, and all of that external address and kind."""
    logical = next((one for one in addresses_of(pod) if ":" not in one), pod.ip or "")
    rules = [rule for rule in site.rules_by_external.get(address, []) if is_eip_rule(rule, kind)]
    return logical, next((rule for rule in rules if rule.logical_ip == logical), None), rules


def _works(address: str, kind: str, pod: PodView, site: Site) -> bool:
    """Whether OVN has what makes an EIP, whatever Kube-OVN has still to do."""
    logical, own, _rules = _rule_of(address, kind, pod, site)
    return own is not None and not site.of_another_port(own) and site.policy_right(logical)


def _judged(holder: Holder, kind: str, address: str, pod: PodView, site: Site, repair: str) -> Iterable[Finding]:
    """What is wrong with the EIP of a pod with which Kube-OVN got done."""
    logical, own, rules = _rule_of(address, kind, pod, site)
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
    elif part := _forgetful(holder, kind, site):
        text = f"{holder} has {address} by its pod {pod.name}, and its {part} does not ask for any"
        yield Finding("eip_not_kept", text, repair, address, holder)


def _elsewhere(holder: Holder, kind: str, address: str, pod: PodView) -> Finding:
    """An EIP that is asked for by annotation where only objects make them: there ovn_eip takes no annotation away."""
    text = f"{holder} asks for {address} by annotation, and is in VPC {pod.vpc}, where Kube-OVN does not look at it"
    key = ANNOTATIONS[kind]
    repair = f"kubectl annotate pod {pod.name} -n {pod.namespace} {key}-"
    if holder.kind != "Pod":
        change = json.dumps({"spec": {"template": {"metadata": {"annotations": {key: None}}}}})
        owner = f"{holder.kind.lower()} {holder.name} -n {holder.namespace}"
        repair += f" && kubectl patch {owner} --type=merge -p '{change}'"
    return Finding("eip_without_row", text, repair, address, holder)


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


def _forgetful(holder: Holder, kind: str, site: Site) -> str | None:
    """The part of a workload that asks for no EIP though its pod does, and from which the next pod is made."""
    workload = site.workloads.get(holder)
    if workload is None or workload.deleting or not workload.settled:
        return None
    if workload.template(kind) is None:
        return "template"
    return "instance" if workload.running and workload.instance(kind) is None else None


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
    options = eip_options(holder, kind, address)
    if state != "present":  # as it is by default
        options["state"] = state
    return f"- kubeovn.core.ovn_eip: {json.dumps(options)}"


def eip_options(holder: Holder, kind: str, address: str) -> dict[str, Any]:
    """ovn_eip's options for one EIP."""
    return {
        "kind": kind,
        "eips": [{"address": address, WORKLOADS[holder.kind]: holder.name, "namespace": holder.namespace}],
    }


def asked_nodes(config: Mapping[str, str] | None) -> list[str]:
    """The nodes that the ConfigMap lists, in their order."""
    return [name.strip() for name in ((config or {}).get(NODES_KEY) or "").split(",") if name.strip()]


def gateway_task(config: Mapping[str, str] | None, **more: Any) -> str:
    """The task that makes the gateway as the ConfigMap describes it; without one, the playbook that has the options."""
    names = {"nic": "external-gw-nic", "gateway": "external-gw-addr", "nic_ip": "nic-ip"}
    options: dict[str, Any] = {option: (config or {}).get(key) for option, key in names.items()}
    if not all(options.values()) or not asked_nodes(config):
        return SITE
    kind = (config or {}).get("type") or "centralized"
    task = {"type": kind, "nodes": asked_nodes(config), **options, **more}
    return f"- kubeovn.core.ovn_external_gw: {json.dumps(task)}"
