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
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import NodeSide, evidence_problems
from ansible_collections.kubeovn.core.plugins.module_utils._nat_filter import (
    ask,
    filters_of,
    query_problems,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import More, Seen

PORT = RouterPort(
    "lrp",
    "ovn-cluster-external",
    "16:52:f3:13:6a:25",
    ("10.4.19.254/24",),
    (GatewayChassis("g1", "a", "c1", 100), GatewayChassis("g2", "b", "c2", 99), GatewayChassis("g3", "c", "c9", 98)),
)
SWITCH_PORTS = (SwitchPort("s1", "localnet.external", "localnet", ("unknown",), {"network_name": "external"}, tag=12),)
VM = Workload("default", "testing", "u", "10.4.19.101", True, "10.4.19.101", node="w1")
LAUNCHER = PodView(
    "default", "launcher", "u", "w1", "Running", "10.253.0.11", "10.4.19.101", True, "testing", mac="0a:58:0a:fd:00:0b"
)
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
    chassis=(
        Chassis("u2", "c2", "n2", ("10.4.17.12",), {"external": "br-external"}),
        Chassis("u1", "c1", "other-name", (), {}),
    ),
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


def chosen(seen: Seen, **options: list[str]) -> dict[str, Any]:
    """What is told with these options of the modules."""
    filters, problems = filters_of(options)
    assert problems == []
    return report(seen, filters)


def test_gateways_come_in_their_order_with_their_nodes() -> None:
    told = report(SEEN)
    unseen: dict[str, Any] = {
        "bridge_mappings": {},
        "link": "unverified",
        "mtu": None,
        "bfd": "unverified",
        "bfd_peers": {},
    }
    assert told["gateways"] == [
        {"node": "n1", "chassis": "c1", "priority": 100, "ready": True, "active": False, **unseen},
        # No annotation: known by the host name that its chassis reports.
        {"node": "n2", "chassis": "c2", "priority": 99, "ready": False, "active": True, **unseen}
        | {"bridge_mappings": {"external": "br-external"}},
        # A chassis that nobody has any more.
        {"node": None, "chassis": "c9", "priority": 98, "ready": False, "active": False, **unseen},
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
        "localnet": {"port": "localnet.external", "network": "external", "tag": 12},
    }


def test_gateways_tell_what_their_nodes_show() -> None:
    shown = {
        "n1": NodeSide("enp8s0", True, 1500, {"10.4.17.12": "up"}),
        "n2": NodeSide("enp8s0", False, 9000, {"10.4.17.99": "down"}),
    }
    first, second, _third = report(replace(SEEN, nodes_show=shown))["gateways"]
    keys = ("link", "mtu", "bfd", "bfd_peers")
    assert [first[key] for key in keys] == ["up", 1500, "up", {"n2": "up"}]
    assert [second[key] for key in keys] == ["down", 9000, "none", {}]
    shown["n1"] = replace(shown["n1"], tunnels={"10.4.17.12": "init"})
    assert report(replace(SEEN, nodes_show=shown))["gateways"][0]["bfd"] == "init"


def test_a_machines_rule_names_machine_pod_and_node() -> None:
    assert rule_of(SEEN, "10.4.19.101") == {
        "type": "dnat_and_snat",
        "external_ip": "10.4.19.101",
        "logical_ip": "10.253.0.11",
        "logical_port": None,
        "external_mac": None,
        "distributed": False,
        "kind": "annotation",
        "mac": "0a:58:0a:fd:00:0b",
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
    some = chosen(SEEN, addresses=["10.4.19.103", "10.4.19.20", "10.4.19.77"])
    assert [rule["external_ip"] for rule in some["nat_rules"]] == ["10.4.19.20", "10.4.19.103"]
    assert len(some["gateways"]) == 3


def test_an_address_is_the_same_however_it_is_written() -> None:
    seen = replace(SEEN, ovn=replace(OVN, nat_rules=(eip("FD00::0:1", "fd01::1"),)))
    assert len(chosen(seen, addresses=["fd00::1"])["nat_rules"]) == 1
    assert chosen(seen, addresses=["fd00::2"])["nat_rules"] == []


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
        "versions": [],
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
    assert [claim["address"] for claim in chosen(seen, addresses=["10.4.19.20"])["claims"]] == ["10.4.19.20"]


def test_what_has_made_a_rule() -> None:
    objects = More(ovn_eips={"10.4.19.103": "eip", "10.4.19.254": "snat", "10.4.19.101": "both"})
    kinds = {rule["external_ip"]: rule["kind"] for rule in report(replace(SEEN, more=objects))["nat_rules"]}
    assert kinds == {
        "10.4.19.101": "annotation",
        "10.4.19.20": "annotation",
        "10.4.19.103": "OvnFip",
        "10.4.19.254": "OvnSnatRule",
    }
    assert rule_of(SEEN, "10.4.19.103")["kind"] == "foreign"
    unread = replace(SEEN, more=More(ovn_eips=None))
    assert [rule_of(unread, ip)["kind"] for ip in ("10.4.19.101", "10.4.19.103")] == ["annotation", "unverified"]


def test_a_distributed_rule_tells_its_port_and_its_mac() -> None:
    rule = eip("10.4.19.20", "10.253.0.12")._replace(logical_port="web.shop", external_mac="0a:58:0a:fd:00:0c")
    told = rule_of(replace(SEEN, ovn=replace(OVN, nat_rules=(rule,))), "10.4.19.20")
    assert (told["distributed"], told["logical_port"], told["external_mac"]) == (True, "web.shop", "0a:58:0a:fd:00:0c")


# --- what is chosen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"addresses": ["10.4.19.96/28"]}, ["10.4.19.101", "10.4.19.103"]),
        ({"addresses": ["10.4.19.96/28", "10.4.19.20"]}, ["10.4.19.20", "10.4.19.101", "10.4.19.103"]),
        ({"addresses": ["fd00::/64"]}, []),
        ({"holders": ["testing"]}, ["10.4.19.101"]),
        ({"holders": ["shop/web", "default/testing"]}, ["10.4.19.20", "10.4.19.101"]),
        ({"holders": ["Pod/shop/web", "Pod/default/testing"]}, ["10.4.19.20"]),
        ({"namespaces": ["shop"]}, ["10.4.19.20"]),
        ({"namespaces": ["shop"], "holders": ["testing"]}, []),
        ({"namespaces": ["default"], "addresses": ["10.4.19.20"]}, []),
        ({"findings": ["missing_reroute"]}, ["10.4.19.20"]),
        ({"findings": ["bfd_down"]}, []),
    ],
)
def test_rules_are_chosen_by_address_network_holder_namespace_and_finding(
    options: dict[str, list[str]], expected: list[str]
) -> None:
    assert [rule["external_ip"] for rule in chosen(SEEN, **options)["nat_rules"]] == expected


def test_findings_are_chosen_and_those_about_no_address_stay() -> None:
    def codes(**options: list[str]) -> set[tuple[str, str | None]]:
        return {(one["code"], one["address"]) for one in chosen(SEEN, **options)["findings"]}

    everything = codes()
    general = {one for one in everything if one[1] is None}
    assert general
    assert ("missing_reroute", "10.4.19.20") in everything
    assert codes(addresses=["10.4.19.20"]) == general | {("missing_reroute", "10.4.19.20")}
    assert codes(namespaces=["shop"]) == general | {("missing_reroute", "10.4.19.20")}
    assert codes(holders=["nobody"]) == general
    assert codes(findings=["missing_reroute"]) == {("missing_reroute", "10.4.19.20")}


def test_claims_are_chosen_by_any_of_their_holders() -> None:
    vm, pod = Holder("VirtualMachine", "default", "testing"), Holder("Pod", "shop", "web")
    shared = Claim("10.4.19.21", "snat", (Claimant(pod, "u"), Claimant(vm, "v")))
    seen = replace(SEEN, claims=(shared, Claim("10.4.19.22", "fip", (Claimant(pod, "u"),))))
    told = chosen(seen, namespaces=["default"])["claims"]
    assert [claim["address"] for claim in told] == ["10.4.19.21"]


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(("addresses", text) for text in ("10.4.19.300", "", "10.4.19.0/33", "10.4.19.1/24", "testing")),
        *(("holders", text) for text in ("", "/web", "a/b/c/d", "VirtualMachines/default/testing")),
        *(("namespaces", text) for text in ("", "Shop", "shop/web", "shop ")),
        ("findings", "stale"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_path(option: str, text: str) -> None:
    right = {"addresses": "fd00::1", "holders": "Pod/shop/web", "namespaces": "shop-1", "findings": "stale_row"}[option]
    _filters, problems = filters_of({option: [right, text, right]})
    [problem] = problems
    assert problem.path == f"{option}[1]"
    assert repr(text) in problem.text


def test_a_query_is_answered_from_what_is_told() -> None:
    told = report(SEEN)
    assert query_problems("nat_rules[?holder.namespace=='shop'].external_ip") == []
    assert ask("nat_rules[?holder.namespace=='shop'].external_ip", told) == (["10.4.19.20"], [])
    assert ask("length(nat_rules)", told) == (4, [])
    assert query_problems(None) == []


def test_a_query_that_is_none_is_refused_before_anything_is_read() -> None:
    [problem] = query_problems("nat_rules[?")
    assert problem.path == "query"
    assert "findings[?severity" in problem.hint


def test_a_query_that_asks_for_what_cannot_be_is_told() -> None:
    _answer, [problem] = ask("length(active_gateway.port)", report(SEEN))
    assert problem.path == "query"


@pytest.mark.parametrize(
    "query", ["&foo", "[&a]", "to_array(&a)", "nat_rules[::0]", "merge(@, `1`)", "to_number('1e999')", "`NaN`"]
)
def test_an_answer_that_is_no_data_is_told(query: str) -> None:
    assert query_problems(query) == []
    answer, [problem] = ask(query, report(SEEN))
    assert (answer, problem.path) == (None, "query")
    assert query in problem.text


def test_a_query_nested_deeper_than_can_be_read_is_refused() -> None:
    [problem] = query_problems("!" * 100_000 + "a")
    assert problem.path == "query"


@pytest.mark.parametrize(
    ("result", "part"),
    [
        ({"nic": "enp8s0"}, "nic"),
        ({"nic": {"name": "enp8s0", "mtu": "1500"}}, "nic"),
        ({"links": ["enp8s0"]}, "links"),
        ({"links": {"enp8s0": "up"}}, "links"),
        ({"links": {}, "ovs": "3.5"}, "ovs"),
        ({"links": {}, "ovs": {"tunnels": ["up"]}}, "ovs"),
        ({"links": {}, "gateway": True}, "gateway"),
        ({"links": {}, "gateway": {"tunnels_up": 2}}, "gateway"),
    ],
)
def test_evidence_of_another_kind_is_refused_with_its_path(result: dict[str, Any], part: str) -> None:
    [problem] = evidence_problems({"n1": result, "n2": {"unreachable": True}, "n3": None})
    assert problem.path == f"node_evidence.n1.{part}"


def test_evidence_whole_in_part_and_of_nodes_not_reached_is_taken() -> None:
    nic = {"name": "enp8s0", "exists": True, "up": True, "carrier": True, "mtu": 1500}
    whole = {"links": {"enp8s0": nic}, "nic": nic, "ovs": {"tunnels": [{"remote": "10.4.17.12", "bfd": "up"}]}}
    part: dict[str, Any] = {"nic": None, "gateway": {"tunnels_up": [], "tunnels_down": None}}
    assert evidence_problems({"n1": whole, "n2": part, "n3": {"msg": "timed out"}, "n4": "skipped"}) == []
