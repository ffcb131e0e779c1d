# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy site as findings judge it: two gateways, a machine and a pod with an EIP each."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import (
    Finding,
    eip_findings,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    GatewayChassis,
    GatewayNode,
    Ovn,
    RouterPort,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import More, Seen

from support.eip_world import World

IP, EIP = "10.253.0.11", "10.4.19.101"
CONFIG = {
    "enable-external-gw": "true",
    "type": "centralized",
    "external-gw-nodes": "n1,n2",
    "external-gw-nic": "enp8s0",
    "external-gw-addr": "10.4.19.1/24",
    "nic-ip": "10.4.19.254/24",
    "nic-mac": "16:52:f3:13:6a:25",
}
NODES = (
    GatewayNode("n1", True, "true", "c1"),
    GatewayNode("n2", True, "true", "c2"),
    GatewayNode("n3", True, None, "c3"),
)
ROWS = (GatewayChassis("g1", "a", "c1", 100), GatewayChassis("g2", "b", "c2", 99))
MAPPED = {"external": "br-external"}
CHASSIS = tuple(Chassis(f"u{n}", f"c{n}", f"n{n}", (f"10.4.17.1{n}",), MAPPED) for n in (1, 2, 3))
LOCALNET = SwitchPort("s1", "localnet.external", "localnet", (), {"network_name": "external"})
PORT = RouterPort("lrp", "ovn-cluster-external", "16:52:F3:13:6a:25", ("10.4.19.254/24",), ROWS)
PATCH = SwitchPort("s2", "external-ovn-cluster", "router", ("router",), {"router-port": "ovn-cluster-external"})
OVN = Ovn("r", PORT, "s", (PATCH, LOCALNET), (), (), CHASSIS, "c1")


def world() -> World:
    """A machine and a pod, each with its EIP and its claim, as Kube-OVN has made them."""
    one = World()
    vm = one.add_vm("testing", IP, EIP)
    pod = one.add_pod("web", "10.253.0.12", "10.4.19.102")
    one.add_claim(EIP, vm)
    one.add_claim("10.4.19.102", pod)
    assert one.settle()
    return one


def found(one: World) -> list[Finding]:
    return eip_findings(Site(one.observed(kept=True)))


def codes(one: World) -> list[str]:
    return sorted(finding.code for finding in found(one))


def seen(one: World, more: More) -> Seen:
    observed = one.observed(kept=True)
    ovn = replace(OVN, nat_rules=observed.ovn.nat_rules, policies=observed.ovn.policies)
    kept = dict(observed.kept or {})
    return Seen(NODES, observed.pods, observed.vms or (), kept, ovn, observed.claims, more)


MORE = More(config=CONFIG, overlays=("10.253.0.0/16",))
