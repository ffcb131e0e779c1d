# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT rules joined with their holders, and gateways with their nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    Claim,
    Claimant,
    GatewayChassis,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    RoutePolicy,
    RouterPort,
    SwitchPort,
    Workload,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat import Seen, address_problems, report

PORT = RouterPort(
    "lrp",
    "ovn-cluster-external",
    "16:52:f3:13:6a:25",
    ("10.4.19.254/24",),
    (GatewayChassis("g1", "a", "c1", 100), GatewayChassis("g2", "b", "c2", 99), GatewayChassis("g3", "c", "c9", 98)),
)
SWITCH_PORTS = (SwitchPort("s1", "localnet.external", "localnet", ("unknown",), {"network_name": "external"}),)
VM = Workload("default", "testing", "u", "10.4.19.101", True, "10.4.19.101", node="w1")
LAUNCHER = PodView("default", "launcher", "u", "w1", "Running", "10.253.0.11", "10.4.19.101", True, "testing")
PLAIN = PodView("shop", "web", "u", "n2", "Running", "10.253.0.12", "10.4.19.20", True, None)


def eip(external: str, logical: str) -> NatRule:
    return NatRule(f"{external}-{logical}", "dnat_and_snat", external, logical)


def policy(logical: str) -> RoutePolicy:
    return RoutePolicy(f"p-{logical}", 29250, f"ip4.src == {logical}", "reroute", ("10.4.19.1",))


OVN = Ovn(
    router_uuid="r",
    router_port=PORT,
    switch_uuid="s",
    switch_ports=SWITCH_PORTS,
    nat_rules=(
        eip("10.4.19.101", "10.253.0.11"),
        eip("10.4.19.20", "10.253.0.12"),
        NatRule("x", "snat", "10.4.19.254", "10.253.0.0/16"),
        eip("10.4.19.103", "10.253.0.99"),
    ),
    policies=(policy("10.253.0.11"), policy("10.253.0.99")),
    chassis=(Chassis("u2", "c2", "n2", ("10.4.17.12",), {}), Chassis("u1", "c1", "other-name", (), {})),
    active_chassis="c2",
)
NODES = (
    GatewayNode("n1", True, "true", "c1"),
    GatewayNode("n2", False, "true", None),
    GatewayNode("w1", True, None, "c3"),
)
SEEN = Seen(NODES, (LAUNCHER, PLAIN), (VM,), {}, OVN)


def rule_of(seen: Seen, external: str) -> dict[str, Any]:
    [found] = [rule for rule in report(seen)["nat_rules"] if rule["external_ip"] == external]
    return dict(found)


def test_gateways_come_in_their_order_with_their_nodes() -> None:
    told = report(SEEN)
    assert told["gateways"] == [
        {"node": "n1", "chassis": "c1", "priority": 100, "ready": True, "active": False},
        # No annotation: known by the host name that its chassis reports.
        {"node": "n2", "chassis": "c2", "priority": 99, "ready": False, "active": True},
        # A chassis that nobody has any more.
        {"node": None, "chassis": "c9", "priority": 98, "ready": False, "active": False},
    ]
    assert told["active_gateway"] == "n2"
    assert told["router_port"] == {
        "name": "ovn-cluster-external",
        "mac": "16:52:f3:13:6a:25",
        "networks": ["10.4.19.254/24"],
    }
    assert told["external_switch"] == {
        "name": "external",
        "ports": [{"name": "localnet.external", "type": "localnet", "options": {"network_name": "external"}}],
    }


def test_a_machines_rule_names_machine_pod_and_node() -> None:
    assert rule_of(SEEN, "10.4.19.101") == {
        "type": "dnat_and_snat",
        "external_ip": "10.4.19.101",
        "logical_ip": "10.253.0.11",
        "logical_port": None,
        "distributed": False,
        "holder": {"kind": "VirtualMachine", "namespace": "default", "name": "testing"},
        "pod": "launcher",
        "node": "w1",
        "policy": {
            "priority": 29250,
            "match": "ip4.src == 10.253.0.11",
            "action": "reroute",
            "nexthops": ["10.4.19.1"],
        },
    }


def test_a_plain_pods_rule_without_policy() -> None:
    rule = rule_of(SEEN, "10.4.19.20")
    assert rule["holder"] == {"kind": "Pod", "namespace": "shop", "name": "web"}
    assert (rule["pod"], rule["node"], rule["policy"]) == ("web", "n2", None)


def test_a_leftover_rule_has_no_holder() -> None:
    rule = rule_of(SEEN, "10.4.19.103")
    assert (rule["holder"], rule["pod"], rule["node"]) == (None, None, None)
    assert rule["policy"]["match"] == "ip4.src == 10.253.0.99"


def test_a_stopped_machines_rule_is_its_own_still() -> None:
    stopped = replace(
        SEEN, pods=(PLAIN,), vms=(replace(VM, running=False),), kept={"10.253.0.11": ("default", "testing")}
    )
    rule = rule_of(stopped, "10.4.19.101")
    assert rule["holder"] == {"kind": "VirtualMachine", "namespace": "default", "name": "testing"}
    assert (rule["pod"], rule["node"]) == (None, None)


def test_while_a_machine_migrates_its_pod_is_where_it_runs() -> None:
    target = replace(LAUNCHER, name="target", node="w2")
    for pods in ((LAUNCHER, target, PLAIN), (target, LAUNCHER, PLAIN)):
        assert rule_of(replace(SEEN, pods=pods), "10.4.19.101")["pod"] == "launcher"
        moved = replace(SEEN, pods=pods, vms=(replace(VM, node="w2"),))
        assert rule_of(moved, "10.4.19.101")["pod"] == "target"


def test_the_same_address_in_another_vpc_is_somebody_else() -> None:
    stranger = replace(PLAIN, name="stranger", ip="10.253.0.11", vpc="vpc1")
    for pods in ((stranger, LAUNCHER), (LAUNCHER, stranger)):
        assert rule_of(replace(SEEN, pods=pods), "10.4.19.101")["pod"] == "launcher"
    assert rule_of(replace(SEEN, pods=(stranger,), vms=()), "10.4.19.101")["holder"] is None


def test_rules_are_sorted_by_number_and_chosen_by_address() -> None:
    order = [rule["external_ip"] for rule in report(SEEN)["nat_rules"]]
    assert order == ["10.4.19.20", "10.4.19.101", "10.4.19.103", "10.4.19.254"]
    chosen = report(SEEN, ["10.4.19.103", "10.4.19.20", "10.4.19.77"])
    assert [rule["external_ip"] for rule in chosen["nat_rules"]] == ["10.4.19.20", "10.4.19.103"]
    assert len(chosen["gateways"]) == 3


def test_an_address_is_the_same_however_it_is_written() -> None:
    seen = replace(SEEN, ovn=replace(OVN, nat_rules=(eip("FD00::0:1", "fd01::1"),)))
    assert len(report(seen, ["fd00::1"])["nat_rules"]) == 1
    assert report(seen, ["fd00::2"])["nat_rules"] == []


def test_nothing_configured_is_told_as_nothing() -> None:
    empty = Seen((), (), (), {}, Ovn(None, None, None, (), (), (), (), None))
    assert report(empty) == {
        "gateways": [],
        "active_gateway": None,
        "router_port": None,
        "external_switch": None,
        "nat_rules": [],
        "claims": [],
        "findings": [],
        "unjudged": ["ConfigMap ovn-external-gw-config: whether OVN does what it says"],
    }


def test_claims_are_told_in_the_order_of_their_addresses_attached_or_not() -> None:
    vm, pod = Holder("VirtualMachine", "default", "testing"), Holder("Pod", "shop", "web")
    first = Claim("10.4.19.20", "snat", (Claimant(pod, "u"), Claimant(vm, "v")))
    second = Claim("10.4.19.101", "fip", (Claimant(vm, "v"),), previous="10.4.19.99", rotation="november")
    seen = replace(SEEN, claims=(second, first))
    told = report(seen)["claims"]
    assert [claim["address"] for claim in told] == ["10.4.19.20", "10.4.19.101"]
    assert told[0]["holders"] == [
        {"kind": "Pod", "namespace": "shop", "name": "web"},
        {"kind": "VirtualMachine", "namespace": "default", "name": "testing"},
    ]
    assert (told[1]["previous"], told[1]["rotation"], told[1]["kind"]) == ("10.4.19.99", "november", "fip")
    assert [claim["address"] for claim in report(seen, ["10.4.19.20"])["claims"]] == ["10.4.19.20"]


@pytest.mark.parametrize("text", ["10.4.19.300", "", "10.4.19.0/24", "testing"])
def test_a_wrong_address_is_refused_with_its_path(text: str) -> None:
    [problem] = address_problems(["10.4.19.101", text, "fd00::1"])
    assert problem.path == "addresses[1]"
    assert repr(text) in problem.text
