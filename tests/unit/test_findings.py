# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: each from a world in which just that is wrong, and none from a healthy one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import prune
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import (
    CODES,
    Finding,
    eip_findings,
    gateway_findings,
)
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import link_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    GatewayChassis,
    GatewayNode,
    Holder,
    HolderPort,
    Ovn,
    RouterPort,
    SubnetMtu,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import NodeSide, sides
from ansible_collections.kubeovn.core.plugins.module_utils._nat_filter import ask, filters_of
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import More, Seen
from ansible_collections.kubeovn.core.plugins.module_utils._nat_path import path
from ansible_collections.kubeovn.core.plugins.modules import ovn_nat_facts, ovn_nat_info
from hypothesis import given
from hypothesis import strategies as st
from support.commands import TOP
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
OVN = Ovn("r", PORT, "s", (LOCALNET,), (), (), CHASSIS, "c1")


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


def test_a_healthy_world_has_none() -> None:
    assert found(world()) == []
    assert gateway_findings(OVN, NODES, CONFIG) == []


def without_rule(one: World) -> None:
    one.rules = [rule for rule in one.rules if rule.external_ip != EIP]


def elsewhere(one: World) -> None:
    one.rules = [rule._replace(logical_ip="10.253.0.77") if rule.external_ip == EIP else rule for rule in one.rules]


def without_policy(one: World) -> None:
    one.policies = [policy for policy in one.policies if not policy.match.endswith(IP)]


def vm_gone(one: World) -> None:
    one.delete_vm("testing")


def claimant_gone(one: World) -> None:
    one.delete_pod("default", "web")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (without_rule, ["eip_without_row"]),
        (elsewhere, ["row_elsewhere", "stale_row"]),
        (without_policy, ["missing_reroute"]),
        (vm_gone, ["claim_without_holder", "orphan_policy", "stale_row"]),
        (claimant_gone, ["claim_without_holder"]),
        (lambda one: one.add_rule("10.4.19.150", "10.253.9.9"), ["unexplained_row"]),
        (lambda one: one.add_policy("10.253.9.9"), ["orphan_policy"]),
        (lambda one: one.add_rule(EIP, "10.253.9.9"), ["duplicate_external_address", "stale_row"]),
        (lambda one: one.add_rule("10.4.19.150", IP), ["two_addresses_on_holder", "unexplained_row"]),
    ],
)
def test_each_fault_of_eips_is_found(spoil: Callable[[World], None], expected: list[str]) -> None:
    one = world()
    spoil(one)
    assert codes(one) == expected


def test_what_a_finding_of_an_eip_says() -> None:
    one = world()
    without_rule(one)
    [finding] = found(one)
    assert (finding.severity, finding.address, finding.holder) == (
        "error",
        EIP,
        Holder("VirtualMachine", "default", "testing"),
    )
    [task] = yaml.safe_load(finding.repair)
    eip = {"address": EIP, "vm": "testing", "namespace": "default"}
    assert task == {"kubeovn.core.ovn_eip": {"kind": "fip", "eips": [eip]}}


@pytest.mark.parametrize(
    ("code", "external", "logical"),
    [("two_addresses_on_holder", "10.4.19.99", IP), ("duplicate_external_address", EIP, "10.253.0.1")],
)
@pytest.mark.parametrize("first", [True, False])
def test_of_two_rules_the_one_that_nobody_asks_for_is_to_go(
    code: str, external: str, logical: str, first: bool
) -> None:
    one = world()
    one.add_rule(external, logical)
    extra = one.rules[-1]
    if first:
        one.rules.insert(0, one.rules.pop())
    [finding] = [finding for finding in found(one) if finding.code == code]
    assert finding.repair == f"kubectl ko nbctl remove Logical_Router ovn-cluster nat {extra.uuid}"


def port(*rows: GatewayChassis, **more: Any) -> Ovn:
    return replace(OVN, router_port=replace(PORT, gateway_chassis=rows, **more))


def dead(name: str) -> tuple[GatewayNode, ...]:
    return tuple(replace(node, ready=node.name != name) for node in NODES)


STRANGER = GatewayChassis("g3", "c", "c3", 98)
NOBODY = GatewayChassis("g9", "d", "c9", 97)
SWAPPED = (GatewayChassis("g2", "b", "c2", 100), GatewayChassis("g1", "a", "c1", 99))


@pytest.mark.parametrize(
    ("ovn", "nodes", "config", "expected"),
    [
        (OVN, dead("n2"), CONFIG, ["gateway_row_dead", "survivor_without_peer"]),
        (port(*ROWS, NOBODY), NODES, CONFIG, ["gateway_row_dead"]),
        (replace(OVN, chassis=CHASSIS[1:]), NODES, CONFIG, ["gateway_row_dead", "survivor_without_peer"]),
        (port(*ROWS, STRANGER), NODES, CONFIG, ["gateway_row_stranger"]),
        (port(*SWAPPED), NODES, CONFIG, ["gateway_order"]),
        (port(ROWS[0]), NODES, CONFIG, ["gateway_alone", "gateway_row_missing"]),
        (replace(OVN, active_chassis=None), NODES, CONFIG, ["no_active_gateway"]),
        (port(*ROWS, networks=("10.4.19.253/24",)), NODES, CONFIG, ["config_differs"]),
        (port(*ROWS, mac="00:00:00:00:00:01"), NODES, CONFIG, ["config_differs"]),
        (OVN, NODES, {}, ["config_differs"]),
        (replace(OVN, router_port=None), NODES, CONFIG, ["config_differs"]),
        (replace(OVN, router_port=None), NODES, {}, []),
        (port(*SWAPPED), NODES, None, []),
    ],
)
def test_each_fault_of_gateways_is_found(ovn: Ovn, nodes: Any, config: Any, expected: list[str]) -> None:
    assert sorted(one.code for one in gateway_findings(ovn, nodes, config)) == expected


def test_a_gateways_repair_is_a_whole_task() -> None:
    [finding] = [one for one in gateway_findings(OVN, dead("n2"), CONFIG) if one.code == "survivor_without_peer"]
    [task] = yaml.safe_load(finding.repair)
    assert task["kubeovn.core.ovn_external_gw"] == {
        "type": "centralized",
        "nodes": ["n1", "n2"],
        "nic": "enp8s0",
        "gateway": "10.4.19.1/24",
        "nic_ip": "10.4.19.254/24",
        "rescue": True,
    }


# --- what nodes show

UP = NodeSide("enp8s0", True, 1500, {"10.4.17.11": "up", "10.4.17.12": "up"}, 1400)


@pytest.mark.parametrize(
    ("ovn", "nodes", "sides", "expected"),
    [
        (OVN, NODES, {"n1": UP, "n2": UP}, []),
        (OVN, NODES, {}, []),
        (replace(OVN, switch_ports=()), NODES, {}, [("no_localnet", None)]),
        (
            replace(OVN, chassis=(replace(CHASSIS[0], bridge_mappings={}), *CHASSIS[1:])),
            NODES,
            {},
            [("gateway_unmapped", "n1")],
        ),
        (OVN, NODES, {"n1": replace(UP, link_up=False)}, [("external_link_down", "n1")]),
        (OVN, dead("n1"), {"n1": replace(UP, link_up=False)}, []),
        (OVN, NODES, {"n1": replace(UP, link_up=None)}, []),
        (OVN, NODES, {"n1": replace(UP, tunnels={"10.4.17.12": "down"}), "n2": UP}, [("bfd_down", "n1")]),
        # A dead gateway's session is down on the others, and none of OVN's tunnels to workers has one.
        (OVN, dead("n2"), {"n1": replace(UP, tunnels={"10.4.17.12": "down"})}, []),
        (OVN, NODES, {"n1": replace(UP, tunnels={"10.4.17.99": "down"})}, []),
        (replace(OVN, router_port=None), NODES, {"n1": replace(UP, link_up=False)}, []),
    ],
)
def test_each_fault_between_ovn_and_the_physical_network_is_found(
    ovn: Ovn, nodes: Any, sides: Any, expected: list[tuple[str, str | None]]
) -> None:
    assert [(one.code, one.node) for one in link_findings(ovn, nodes, CONFIG, sides)] == expected


def test_the_gateway_without_link_or_session_is_taken_aside_and_never_the_active_one_for_another() -> None:
    [link] = link_findings(OVN, NODES, CONFIG, {"n1": replace(UP, link_up=False)})
    assert yaml.safe_load(link.repair)[0]["kubeovn.core.ovn_external_gw"]["drained"] == ["n1"]
    sides = {"n1": replace(UP, tunnels={"10.4.17.12": "down"}), "n2": replace(UP, tunnels={"10.4.17.11": "init"})}
    for one in link_findings(OVN, NODES, CONFIG, sides):
        assert yaml.safe_load(one.repair)[0]["kubeovn.core.ovn_external_gw"]["drained"] == ["n2"]
    alone = port(ROWS[0])
    [link] = link_findings(alone, NODES, CONFIG, {"n1": replace(UP, link_up=False)})
    assert link.repair == 'ansible n1 --become -m ansible.builtin.command -a "ip link set enp8s0 up"'


@pytest.mark.parametrize(
    ("mtu", "outside", "overlay", "expected"),
    [
        (0, 1500, 1400, []),
        (0, 1500, 8900, ["10.4.19.101", "10.4.19.102"]),
        (1400, 1500, 8900, []),
        (1500, 1500, 1400, []),
        (1501, 1500, 1400, ["10.4.19.101", "10.4.19.102"]),
        (9000, None, 1400, []),  # nobody shows what the NIC takes
    ],
)
def test_a_network_with_a_larger_mtu_than_the_nics(
    mtu: int, outside: int | None, overlay: int, expected: list[str]
) -> None:
    other = SubnetMtu("other", "10.99.0.0/16", 9000)
    more = replace(MORE, mtus=(SubnetMtu("ovn-default", "10.253.0.0/16", mtu), other))
    evidence = {"n1": replace(UP, mtu=outside, overlay_mtu=overlay), "n9": replace(UP, mtu=100)}
    told = report(replace(seen(world(), more), nodes_show=evidence))["findings"]
    assert [one["address"] for one in told] == expected
    for one in told:
        assert (one["code"], one["holder"]["namespace"]) == ("eip_mtu", "default")
        assert one["repair"] == """kubectl patch subnet ovn-default --type=merge -p '{"spec": {"mtu": 1500}}'"""


LINK = {"up": True, "carrier": True, "mtu": 1500}
TUNNELS = [
    {"remote": "10.4.17.12", "bfd": "up", "error": None},
    {"remote": "10.4.17.13", "bfd": "init", "error": None},
    {"remote": "10.4.17.14", "bfd": None, "error": None},
]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        # All that the module returns with option nic, and without.
        (
            {
                "links": {"ovn0": {"mtu": 1400}},
                "nic": {"name": "enp8s0", "exists": True, **LINK},
                "ovs": {"tunnels": TUNNELS},
            },
            NodeSide("enp8s0", True, 1500, {"10.4.17.12": "up", "10.4.17.13": "init"}, 1400),
        ),
        ({"links": {"enp8s0": LINK}, "ovs": {"tunnels": []}}, NodeSide("enp8s0", True, 1500)),
        ({"links": {"enp8s0": LINK | {"carrier": False}}}, NodeSide("enp8s0", False, 1500)),
        ({"links": {"enp9s0": LINK}}, NodeSide("enp8s0", False)),
        # What role external_gateway keeps of it.
        (
            {"links": {}, "nic": {"name": "bond0", "exists": False, "up": False, "carrier": False, "mtu": 0}},
            NodeSide("bond0", False),
        ),
        (
            {"links": {}, "gateway": {"tunnels_up": ["10.4.17.12"], "tunnels_down": ["10.4.17.13"]}},
            NodeSide("enp8s0", None, None, {"10.4.17.13": "down", "10.4.17.12": "up"}),
        ),
    ],
)
def test_evidence_is_read_whole_and_in_part(result: dict[str, Any], expected: NodeSide) -> None:
    shown = sides({"n1": result, "n2": {"unreachable": True, "msg": "timed out"}, "n3": None}, "enp8s0")
    assert shown == {"n1": expected}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["vm", "pod", "rule", "policy", "gone", "claim", "stop"]), st.integers(0, 4), st.integers(0, 4)
    ),
    max_size=12,
)


@given(STEPS)
def test_what_is_left_over_is_what_pruning_deletes_and_tells_of(steps: list[tuple[str, int, int]]) -> None:
    one = World()
    for what, first, second in steps:
        act(one, what, first, second)
        one.settle()
    observed = one.observed(kept=True)
    plan, unclear = prune(observed)
    told = eip_findings(Site(observed))
    rules = [rule.external_ip for step in plan.steps for rule in step.data.get("rules", ())]
    ways = [way for step in plan.steps for way in step.data.get("policies", ())]
    claims = [step.data["before"].address for step in plan.steps if step.action == "release_claim"]
    assert sorted(rules) == sorted(str(finding.address) for finding in told if finding.code == "stale_row")
    assert len(ways) == sum(finding.code == "orphan_policy" for finding in told)
    assert sorted(claims) == sorted(str(finding.address) for finding in told if finding.code == "claim_without_holder")
    rows = [problem for problem in unclear if problem.path.startswith("NAT rule ")]
    assert len(rows) == sum(finding.code == "unexplained_row" for finding in told)


def act(one: World, what: str, first: int, second: int) -> None:
    """One thing that happens in a cluster."""
    overlay, external = f"10.253.0.{10 + first}", f"10.4.19.{100 + second}"
    name = f"w{first}"
    there = ("default", name) in one.vms
    if what == "vm" and not there and overlay not in {pod.ip for pod in one.pods.values()}:
        one.add_vm(name, overlay, external)
    elif what == "pod" and not there and ("default", name) not in one.pods:
        one.add_pod(name, overlay, external)
    elif what == "rule":
        one.add_rule(external, overlay)
    elif what == "policy":
        one.add_policy(overlay)
    elif what == "gone" and there:
        one.delete_vm(name)
    elif what == "stop" and there:
        one.stop(name)
    elif what == "claim" and external not in one.claims:
        one.add_claim(external, Holder("VirtualMachine", "default", name), uid="u")


def seen(one: World, more: More) -> Seen:
    observed = one.observed(kept=True)
    ovn = replace(OVN, nat_rules=observed.ovn.nat_rules, policies=observed.ovn.policies)
    kept = dict(observed.kept or {})
    return Seen(NODES, observed.pods, observed.vms or (), kept, ovn, observed.claims, more)


MORE = More(config=CONFIG, overlays=("10.253.0.0/16",))


def test_a_healthy_site_is_reported_without_findings() -> None:
    told = report(seen(world(), MORE))
    assert (told["findings"], told["unjudged"]) == ([], [])


def test_errors_come_first_and_an_address_chooses() -> None:
    one = world()
    one.add_rule("10.4.19.150", "10.253.9.9")
    without_rule(one)
    told = report(seen(one, MORE))["findings"]
    assert [finding["code"] for finding in told] == ["eip_without_row", "unexplained_row"]
    chosen = report(seen(one, MORE), filters_of({"addresses": ["10.4.19.150"]})[0])["findings"]
    assert [finding["code"] for finding in chosen] == ["unexplained_row"]


@pytest.mark.parametrize("name", ["deployments", "ovn_eips", "declared_routes"])
def test_without_the_right_to_read_nothing_is_called_left_over(name: str) -> None:
    one = world()
    vm_gone(one)
    unread: dict[str, Any] = {name: None}
    told = report(seen(one, replace(MORE, **unread)))
    assert told["findings"] == []
    assert len(told["unjudged"]) == 1


# --- what is documented is what is told


def keys_of(value: Any, path: str = "") -> set[str]:
    """Every key of a result, by its path."""
    if isinstance(value, list):
        return {key for child in value for key in keys_of(child, path)}
    if isinstance(value, dict):
        return {f"{path}.{key}" for key in value} | {
            key for name, child in value.items() for key in keys_of(child, f"{path}.{name}")
        }
    return set()


def documented(contents: dict[str, Any], path: str = "") -> set[str]:
    return {f"{path}.{name}" for name in contents} | {
        key for name, entry in contents.items() for key in documented(entry.get("contains", {}), f"{path}.{name}")
    }


def test_every_key_is_documented_and_every_documented_key_is_told() -> None:
    one = world()
    without_rule(one)
    look = seen(one, MORE)
    told = {**report(look), "path": path(look, EIP, None), "queried": ask("findings[0].code", report(look))[0]}
    one.settle()
    one.add_rule(EIP, IP)
    told["path"] = path(seen(one, MORE), EIP, HolderPort("testing.default", "0a:00:00:00:00:01", "c2"))
    json.dumps(told)
    info = {
        name: entry for name, entry in yaml.safe_load(ovn_nat_info.RETURN).items() if entry["returned"] != "failure"
    }
    facts = yaml.safe_load(ovn_nat_facts.RETURN)["ansible_facts"]["contains"]
    # Told in words:
    free = (".claims.holders.", ".findings.holder.", ".external_switch.ports.options.", ".gateways.bridge_mappings.")
    real = {key for key in keys_of(told) if not key.startswith(free)}
    assert real == documented(info) - {".cluster"}
    assert documented(facts) == {f".kubeovn_{key[1:]}" for key in documented(info)}


def test_every_code_is_provoked_on_the_lab() -> None:
    text = (TOP / "tests" / "integration" / "test_findings.py").read_text()
    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_every_code_has_its_line_in_the_guide() -> None:
    lines = (TOP / "docs" / "findings.md").read_text().splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| `") and line.count("|") == 5]
    assert {row[1].strip(" `"): row[2].strip() for row in rows} == {
        code: severity for code, (severity, _) in CODES.items()
    }


def test_ten_thousand_pods_are_joined_by_one_pass() -> None:
    one = World()
    for number in range(10_000):
        one.add_pod(f"p{number}", f"10.{number // 250}.{number % 250}.1", None)
    one.add_pod("web", "10.253.0.12", "10.4.19.102")
    one.settle()
    looks = Counted(seen(one, MORE).pods)
    told = report(replace(seen(one, MORE), pods=looks))
    assert [rule["holder"]["name"] for rule in told["nat_rules"]] == ["web"]
    assert looks.passes <= 6


class Counted(tuple):  # type: ignore[type-arg]
    """Pods that count how often somebody goes through all of them."""

    passes = 0

    def __iter__(self) -> Any:
        self.passes += 1
        return super().__iter__()
