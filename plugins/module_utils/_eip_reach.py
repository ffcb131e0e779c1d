# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What keeps traffic away from an EIP whose NAT row and policy are right: its port, its node, the gateway. Pure.

Neither row nor policy tells: Kube-OVN makes both for a pod on a node without power, and while no gateway lives.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import grouped
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import gateway_findings, owners
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import link_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Eip,
    NatRule,
    Ovn,
    PodView,
    RouterPort,
    SwitchPort,
)

GATEWAY_HINT = "kubeovn.core.ovn_external_gw says which part of the gateway is at fault, and why"
CLAIM_HINT = f"does ovn-controller run on the gateways, and are their tunnels up? {GATEWAY_HINT}"
LABEL_HINT = "Kube-OVN gives it the nodes with label ovn.kubernetes.io/external-gw=true: is there one?"
NODE_HINT = "it comes back with the node; elsewhere it has to be started anew"
CAUSES = frozenset({"gateway_row_dead", "survivor_without_peer"})  # findings for which nobody may hold a router port
SOME = 3  # of many causes so many are named

Found = Iterable[tuple[str, str]]


def _leads_to(port: SwitchPort) -> str | None:
    """The router port that a port of the external switch leads to; None: to the physical network. Empty: neither."""
    return None if port.type == "localnet" else port.options.get("router-port", "")


class Reach:
    """What keeps traffic away, for one look. What many EIPs have in common is judged once, whatever their number."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._owners = owners(observed.ovn, observed.nodes)
        self._nodes = {node.name: node for node in observed.nodes}
        self._chassis = {one.name: one for one in observed.ovn.chassis}
        self._others = {port.name: port for port in observed.ovn.other_ports}
        self._network = observed.ovn.network
        self._switch_ports = grouped((_leads_to(port), port) for port in observed.ovn.switch_ports)
        self._faults: dict[str, list[tuple[str, str]]] = {}  # by router port

    def of_pod(self, pod: PodView, rule: NatRule | None) -> Found:
        """Of a pod in the default VPC. rule: the one that gives it its address, if there is one."""
        ovn = self._observed.ovn
        chassis = ovn.bound_ports.get(pod.logical_port)
        yield from self._of_port(pod.logical_port, chassis, pod.node)
        if rule is not None and rule.distributed and chassis is not None:
            yield from self._unbridged(chassis)
        yield from self._of_router_port(ovn.names.router_port, ovn.router_port, ovn.names.switch)

    def of_objects(self, eip: Eip, site: Site) -> Found:
        """Of a holder in a custom VPC that runs: its own port, and its VPC's router port."""
        objects = self._observed.objects
        if objects is None or objects.bound is None or not eip.address:
            return
        port, ip, vpc = objects.port_of(eip.holder), objects.ip_of(eip.holder), objects.vpc_of(eip.holder)
        made = objects.eip_at(eip.address)
        named = objects.subnets.get(made.subnet) if made else None
        subnet = named or objects.subnet_for(eip.address, vpc or "")  # which looks at all of them
        if ip is None or vpc is None or subnet is None or port not in objects.bound:
            return
        pod = site.pod_of(eip.holder)
        yield from self._of_port(port, objects.bound[port], pod.node if pod else ip.node)
        name = f"{vpc}-{subnet.name}"
        yield from self._of_router_port(name, self._others.get(name), subnet.name)

    def _of_port(self, port: str, chassis: str | None, node: str | None) -> Found:
        """Of a logical port. It counts where it is bound: of a machine that has moved another pod may be left."""
        if chassis is None:
            hint = f"does ovn-controller run on {node or 'its node'}, and has its CNI plugged the pod?"
            yield f"logical port {port} is bound to no chassis", hint
        owner = self._owners.get(chassis or "") or self._nodes.get(node or "")
        if owner is None:
            if node and self._nodes and chassis is None:
                yield f"its node {node} is gone", NODE_HINT
        elif not owner.ready:
            what = f"its node {owner.name}" if owner.name == node else f"{owner.name}, where port {port} is bound,"
            yield f"{what} is not Ready", f"kubectl describe node {owner.name}; {NODE_HINT}"

    def _unbridged(self, chassis: str) -> Found:
        """Of the chassis that does the translation."""
        one = self._chassis.get(chassis)
        if one is not None and self._network not in one.bridge_mappings:
            node = self._owners.get(chassis)
            text = f"{node.name if node else one.hostname} translates it, and maps no bridge to network {self._network}"
            yield text, GATEWAY_HINT

    def _of_router_port(self, name: str, port: RouterPort | None, switch: str) -> Found:
        if name not in self._faults:
            self._faults[name] = list(self._judged(name, port, switch))
        return self._faults[name]

    def _judged(self, name: str, port: RouterPort | None, switch: str) -> Found:
        """Of a router port: who holds it, and what is between it and the physical network."""
        own = self._observed.ovn.names
        if port is None or not port.gateway_chassis:
            text = f"router port {name} has no gateway chassis" if port else f"there is no router port {name}"
            yield text, GATEWAY_HINT if name == own.router_port else f"{LABEL_HINT} {GATEWAY_HINT}"
            return
        seen = self._observed.ovn
        holder = seen.active_chassis if name == own.router_port else seen.redirects.get(f"cr-{name}")
        ovn = replace(seen, router_port=port, active_chassis=holder)
        if holder is None:
            yield f"no gateway holds router port {name}", self._nobodys(ovn)
        if not port.enabled:
            yield f"router port {name} is disabled", GATEWAY_HINT
        owner = self._owners.get(holder or "")
        if owner is not None and not owner.ready:
            text = f"router port {name} is held by {owner.name}, which is not Ready"
            yield text, f"no other gateway has taken over: {self._nobodys(ovn)}"
        if switch == own.switch:
            yield from self._of_switch(ovn)
            if holder is not None:
                yield from self._unbridged(holder)

    def _nobodys(self, ovn: Ovn) -> str:
        """The probable cause for which no live gateway holds a router port."""
        found = gateway_findings(ovn, self._observed.nodes, None) if self._nodes else []
        causes = [one.text for one in found if one.code in CAUSES]
        some = "; ".join(causes[:SOME]) + ("; ..." if len(causes) > SOME else "")
        return f"{some}. {GATEWAY_HINT}" if causes else CLAIM_HINT

    def _of_switch(self, ovn: Ovn) -> Found:
        """Of the external switch, as far as a router port needs it: another VPC's port to it does not count."""
        name, default = ovn.router_port.name if ovn.router_port else "", ovn.names.router_port
        codes = {"no_localnet"} | ({"switch_detached"} if name == default else set())
        ports = (*self._switch_ports.get(None, ()), *self._switch_ports.get(name, ()))  # there is one more for each VPC
        for one in link_findings(replace(ovn, switch_ports=ports, chassis=()), (), None, {}):
            if one.code in codes:
                yield one.text, GATEWAY_HINT
        for port in ports:
            if not port.enabled:
                yield f"port {port.name} of switch {ovn.names.switch} is disabled", GATEWAY_HINT
