# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests for EIPs are refused, and what is still wrong after the writes. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip import is_unrouting
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site, addresses_of, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    Eip,
    Holder,
    PodView,
    Problem,
)

GATEWAY_HINT = "configure it first: kubeovn.core.ovn_external_gw"
RELEASE_HINT = "release it there first (state: absent), or choose another address"
CONTROLLER_HINT = "is kube-ovn-controller running? kubectl -n kube-system logs deployment/kube-ovn-controller"


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def requests(items: Sequence[Mapping[str, Any]], state: str) -> tuple[list[Eip], list[Problem]]:
    """Option `eips` as records, without the items that cannot be read; and what is wrong with these."""
    desired, found = [], []
    for index, item in enumerate(items):
        path = f"eips[{index}]"
        vm, pod, address = item.get("vm"), item.get("pod"), item.get("address")
        if bool(vm) == bool(pod):
            text = "both vm and pod are given" if vm else "neither vm nor pod is given"
            found.append(Problem(path, text, "name the one holder: vm: NAME or pod: NAME"))
            continue
        if not address and state == "present":
            found.append(Problem(f"{path}.address", "missing", "like 10.4.19.101"))
            continue
        holder = Holder("VirtualMachine" if vm else "Pod", str(item.get("namespace") or "default"), str(vm or pod))
        desired.append(Eip(holder, address or None, path))
    return desired, found


def syntax_problems(desired: Sequence[Eip]) -> list[Problem]:
    """What is wrong with a request whatever the cluster looks like."""
    problems = []
    holders: dict[Holder, str] = {}
    addresses: dict[str, str] = {}
    for eip in desired:
        if eip.holder in holders:
            text = f"{eip.holder} is named twice, in {holders[eip.holder]} too"
            problems.append(Problem(eip.path, text, "a holder has one EIP"))
        holders.setdefault(eip.holder, eip.path)
        if eip.address is None:
            continue
        if not _is_ipv4(eip.address):
            text = f"{eip.address!r} is not an IPv4 address"
            problems.append(Problem(f"{eip.path}.address", text, "like 10.4.19.101, without a prefix length"))
        elif eip.address in addresses:
            text = f"{eip.address} is asked for twice, in {addresses[eip.address]} too"
            problems.append(Problem(f"{eip.path}.address", text, "an EIP belongs to one holder"))
        addresses.setdefault(eip.address, eip.path)
    return problems


def problems(desired: Sequence[Eip], state: str, observed: Observed) -> list[Problem]:
    """Everything for which the request is refused before the first write, each with its option's path."""
    found = syntax_problems(desired)
    site = Site(observed)
    if state == "present" and desired:
        found += _gateway_problems(observed)
        network = _network(observed)
        for eip in desired:
            found += _holder_problems(eip, site)
            if network and eip.address and _is_ipv4(eip.address):
                found += _place_problems(eip, network, observed)
                found += _held_problems(eip, site)
    for eip in desired:
        found += _kind_problems(eip, site)
    return found


def _gateway_problems(observed: Observed) -> list[Problem]:
    if not observed.configured:
        text = f"no external gateway is configured: ConfigMap {CONFIG_MAP} is missing or says false"
        return [Problem("eips", text, GATEWAY_HINT)]
    if not observed.ovn.router_port or not _network(observed):
        text = "the router has no port on the external network, although the ConfigMap asks for one"
        return [Problem("eips", text, GATEWAY_HINT)]
    return []


def _network(observed: Observed) -> ipaddress.IPv4Network | None:
    """The gateway's subnet, as the router port in OVN has it."""
    port = observed.ovn.router_port
    for text in port.networks if port else ():
        interface = ipaddress.ip_interface(text)
        if isinstance(interface, ipaddress.IPv4Interface):
            return interface.network
    return None


def _place_problems(eip: Eip, network: ipaddress.IPv4Network, observed: Observed) -> list[Problem]:
    path, address = f"{eip.path}.address", ipaddress.IPv4Address(eip.address or "")
    port = observed.ovn.router_port
    own = {text.partition("/")[0] for text in (*observed.gateway_addresses, *(port.networks if port else ()))}
    if address not in network:
        return [Problem(path, f"{address} is not in the gateway's subnet {network}", "choose one of that subnet")]
    if address in (network.network_address, network.broadcast_address):
        return [Problem(path, f"{address} is the network or broadcast address of {network}", "choose another")]
    if str(address) in own:
        text = f"{address} belongs to the gateway (its own address, or the physical one's)"
        return [Problem(path, text, "choose another address of the subnet")]
    return []


def _kind_problems(eip: Eip, site: Site) -> list[Problem]:
    """Holders that are refused in both states: launcher pods by their own name, and those with an EIP by CRDs."""
    pod = site.pod_named(eip.holder) if eip.holder.kind == "Pod" else None
    if pod is not None and site.holder_of(pod).kind == "VirtualMachine":
        text = f"pod {pod.namespace}/{pod.name} is the launcher of VirtualMachine {pod.namespace}/{pod.vm}"
        return [Problem(f"{eip.path}.pod", text, f"use vm: {pod.vm}; an EIP on the pod alone is lost at a restart")]
    rules = [rule for ip in site.logical_addresses(eip.holder) for rule in site.rules_by_logical.get(ip, [])]
    return [
        Problem(
            eip.path,
            f"{eip.holder} has EIP {rule.external_ip} by OvnEip {site.observed.ovn_eips[rule.external_ip]}",
            "delete its OvnFip first: Kube-OVN cannot keep both apart",
        )
        for rule in rules
        if is_eip_rule(rule) and rule.external_ip in site.observed.ovn_eips
    ]


def _holder_problems(eip: Eip, site: Site) -> list[Problem]:
    holder, path = eip.holder, f"{eip.path}.{'vm' if eip.holder.kind == 'VirtualMachine' else 'pod'}"
    if holder.kind == "VirtualMachine" and site.observed.vms is None:
        return [Problem(path, "this cluster has no KubeVirt, so it has no VirtualMachine", "use pod: for a pod")]
    if not site.exists(holder):
        return [Problem(path, f"{holder} does not exist", "check name and namespace")]
    vm, pod = site.vms.get(holder), site.pod_named(holder) if holder.kind == "Pod" else None
    if (vm and vm.deleting) or (pod and pod.deleting):
        return [Problem(path, f"{holder} is being deleted", "wait until it is gone, or choose another")]
    if pod and not pod.alive:
        return [Problem(path, f"{holder} has ended ({pod.phase})", "only a live pod can have an EIP")]
    if pod and pod.host_network:
        text = f"{holder} uses its node's network (hostNetwork), so Kube-OVN gives it no address"
        return [Problem(path, text, "an EIP needs a pod on the overlay")]
    return [problem for pod in site.pods_of(holder) for problem in _network_problems(path, pod)]


def _network_problems(path: str, pod: PodView) -> list[Problem]:
    """Pods whose network the eip annotation does not serve."""
    name = f"pod {pod.namespace}/{pod.name}"
    if pod.vpc not in (None, DEFAULT_VPC):
        text = f"{name} is in VPC {pod.vpc}: the eip annotation works in {DEFAULT_VPC} only"
        return [Problem(path, text, "use OvnEip and OvnFip there")]
    if len(addresses_of(pod)) > 1 or ":" in (pod.ip or ""):
        text = f"{name} has address {pod.ip}: Kube-OVN's reroute policy never matches an IPv6 or dual-stack pod"
        return [Problem(path, text, "an EIP needs an IPv4 pod")]
    if pod.extra_nics:
        text = f"{name} has more NICs in {DEFAULT_VPC} ({', '.join(pod.extra_nics)}): the annotation would hit each"
        return [Problem(path, text, "an EIP needs a pod with one NIC there")]
    return []


def _held_problems(eip: Eip, site: Site) -> list[Problem]:
    """Who else has the address: by an object's annotation, an OvnEip, or a NAT rule."""
    address = eip.address or ""
    reasons = dict.fromkeys(_holds(eip.holder, address, site))
    return [Problem(f"{eip.path}.address", f"{address} is held by {reason}", RELEASE_HINT) for reason in reasons]


def _holds(holder: Holder, address: str, site: Site) -> Iterable[str]:
    named = set()
    for claim in site.claims(address):
        if claim.holder != holder and claim.holder not in named:
            named.add(claim.holder)
            yield f"{claim.holder} ({claim.where})"
    if address in site.observed.ovn_eips:
        yield f"OvnEip {site.observed.ovn_eips[address]}"
        return
    own = site.logical_addresses(holder)
    for rule in site.rules_by_external.get(address, []):
        if is_eip_rule(rule) and (rule.logical_ip in own or site.is_leftover(rule, holder)):
            continue
        owners = [other for other in site.holders_at(rule.logical_ip) if other not in named]
        words = f"(NAT rule {rule.type} {rule.external_ip} -> {rule.logical_ip})"
        if owners:
            yield f"{owners[0]} {words}"
        elif not site.holders_at(rule.logical_ip):
            yield f"a NAT rule that leads to no pod {words}"


def unfinished(desired: Sequence[Eip], state: str, observed: Observed) -> list[Problem]:
    """What is still not as asked, by holder and address, each with its probable cause."""
    site = Site(observed)
    check = _not_attached if state == "present" else _not_detached
    return [
        Problem(f"{eip.address or 'EIP'} of {eip.holder}", text, hint)
        for eip in desired
        for text, hint in check(eip, site)
    ]


def _not_attached(eip: Eip, site: Site) -> Iterable[tuple[str, str]]:
    holder, address = eip.holder, eip.address or ""
    if not site.exists(holder):
        yield "it is gone", "it was there when the run began: who deleted it?"
        return
    for reason in _holds(holder, address, site):
        yield f"{address} is held by {reason}", "another run or person took it at the same time"
    vm = site.vms.get(holder)
    if vm and vm.template_eip != address:
        yield f"the template says {vm.template_eip}", "somebody else writes it too"
    if vm and vm.running and vm.instance_eip != address:
        yield f"the instance says {vm.instance_eip}", "somebody else writes it too"
    pods = [pod for pod in site.pods_of(holder) if not pod.deleting]
    if not pods and (holder.kind == "Pod" or (vm and vm.running)):
        yield "it has no live pod", "is KubeVirt's virt-controller running?" if vm else "it has ended"
    for pod in pods:
        yield from _pod_not_attached(pod, address, site)
    for rule in site.own_rules(holder):
        if rule.external_ip != address:
            yield f"NAT rule {rule.external_ip} -> {rule.logical_ip} of its former EIP is still there", ""


def _pod_not_attached(pod: PodView, address: str, site: Site) -> Iterable[tuple[str, str]]:
    name = f"pod {pod.namespace}/{pod.name}"
    if pod.eip != address:
        yield f"{name} says {pod.eip}", "somebody else writes it too (a launcher-annotations-sync of virt-controller?)"
    if pod.node is None:
        yield f"{name} is not scheduled to a node", f"kubectl -n {pod.namespace} describe pod {pod.name}"
        return
    if not pod.ip:
        yield f"{name} has no address from Kube-OVN yet", CONTROLLER_HINT
        return
    if not pod.routed:
        yield f"Kube-OVN has not routed {name}", _routing_hint(site.observed)
    rules = site.rules_by_external.get(address, [])
    if not site.rule_right(address, pod.ip):
        seen = ", ".join(f"{rule.type} {rule.external_ip} -> {rule.logical_ip}" for rule in rules) or "none"
        hint = "does kube-ovn-controller run with --enable-eip-snat, and is the pod on an overlay subnet?"
        yield f"NAT rule {address} -> {pod.ip} is wanted once, seen: {seen}", hint if pod.routed else ""
    if not site.policy_right(pod.ip):
        seen = ", ".join(", ".join(policy.nexthops) for policy in site.policies_for([pod.ip])) or "none"
        yield f"a policy must reroute ip4.src == {pod.ip} via {site.observed.next_hop}, seen: {seen}", ""
    if pod.logical_port not in site.observed.ovn.bound_ports:
        hint = f"does ovn-controller run on {pod.node}, and has its CNI plugged the pod?"
        yield f"logical port {pod.logical_port} is bound to no chassis", hint


def _routing_hint(observed: Observed) -> str:
    if not observed.configured:
        return f"ConfigMap {CONFIG_MAP} is missing: a pod with an EIP hangs until it is back"
    return CONTROLLER_HINT


def _not_detached(eip: Eip, site: Site) -> Iterable[tuple[str, str]]:
    holder = eip.holder
    for claimed in site.claims_of(holder):
        if eip.address in (None, claimed):
            yield f"an annotation still says {claimed}", "it is being deleted, or somebody else writes it too"
    for pod in site.pods_of(holder):
        if pod.ip and pod.node and is_unrouting(pod) and not pod.deleting:
            yield f"Kube-OVN has not routed pod {pod.namespace}/{pod.name} without it", _routing_hint(site.observed)
    for rule in site.own_rules(holder):
        if eip.address in (None, rule.external_ip):
            yield f"NAT rule {rule.external_ip} -> {rule.logical_ip} is still there", CONTROLLER_HINT
