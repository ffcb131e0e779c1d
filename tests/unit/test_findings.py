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
    eip_findings,
)
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import gateway_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Holder,
    HolderPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_filter import ask, filters_of
from ansible_collections.kubeovn.core.plugins.module_utils._nat_path import path
from ansible_collections.kubeovn.core.plugins.modules import ovn_nat_facts, ovn_nat_info
from hypothesis import given
from hypothesis import strategies as st
from support.commands import TOP
from support.eip_world import World
from support.findings_site import (
    CONFIG,
    EIP,
    IP,
    MORE,
    NODES,
    OVN,
    codes,
    found,
    seen,
    world,
)


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


def policy_by_hand(one: World) -> None:
    one.add_policy("10.253.9.9")
    one.policies[-1] = replace(one.policies[-1], vendor=None)


def translated_for(one: World, port: str) -> None:
    """The EIP's rule as a distributed one."""
    mac = "0a:58:0a:fd:00:0b"
    one.rules = [
        rule._replace(logical_port=port, external_mac=mac) if rule.external_ip == EIP else rule for rule in one.rules
    ]


def of_another_port(one: World) -> None:
    translated_for(one, "other.default")


def template_alone(one: World) -> None:
    """The annotation is in the template of a machine that runs, and nothing has restarted it."""
    without_rule(one)
    one.pods = {key: replace(pod, eip=None) if pod.eip == EIP else pod for key, pod in one.pods.items()}


def without(one: World, **fields: Any) -> None:
    """Another machine than Kube-OVN's pod says."""
    one.vms = {key: replace(vm, **fields) if key[1] == "testing" else vm for key, vm in one.vms.items()}


def on_the_pod_alone(one: World) -> None:
    without(one, template_eip=None, instance_eip=None)


def not_on_the_instance(one: World) -> None:
    without(one, instance_eip=None)


def never_routed(one: World) -> None:
    one.add_pod("new", "10.253.0.13", "10.4.19.103")


def routed_anew(one: World) -> None:
    """Somebody took `routed` away; rule and policy are there."""
    one.pods = {key: replace(pod, routed=False) for key, pod in one.pods.items()}


def refused_by_kube_ovn(one: World) -> None:
    """Two SNAT rules of the pod, by hand: UpdateSnat gives up, and nothing tells."""
    one.add_pod("new", "10.253.0.13", snat="10.4.19.103")
    one.add_rule("10.4.19.151", "10.253.0.13", "snat")
    one.add_rule("10.4.19.152", "10.253.0.13", "snat")
    assert not one.settle()


def rule_without_policy_yet(one: World) -> None:
    never_routed(one)
    one.add_rule("10.4.19.103", "10.253.0.13")


def without_address(one: World) -> None:
    one.add_pod("new", None, "10.4.19.103")


def in_a_vlan(one: World) -> None:
    one.add_pod("new", "10.253.0.13", "10.4.19.103", underlay="provider", routed=True)


def of_ipv6_alone(one: World) -> None:
    one.add_pod("new", "fd00::13", "10.4.19.103", routed=True)


def in_another_vpc(one: World) -> None:
    one.add_pod("new", "10.9.0.13", "10.4.19.103", vpc="shop", routed=True)


def in_another_vpc_by_objects(one: World) -> None:
    in_another_vpc(one)
    one.ovn_eips["10.4.19.103"] = "eip-10-4-19-103"


def no_gateway(one: World) -> None:
    never_routed(one)
    one.configured = False


def asked_twice(one: World) -> None:
    one.add_pod("second", "10.253.0.13", EIP)
    assert one.settle()


def two_stacks(one: World) -> None:
    both = f"{IP},fd00::b"
    one.pods = {key: replace(pod, ip=both) if pod.ip == IP else pod for key, pod in one.pods.items()}
    match = f"ip4.src == {both}"
    one.policies = [replace(way, match=match) if way.match.endswith(IP) else way for way in one.policies]


def two_nics(one: World) -> None:
    """Kube-OVN routes the second NIC first, which so gets the rule."""
    pods = {key: pod for key, pod in one.pods.items() if pod.ip == IP}
    nics, ips = ("net1.default.ovn",), ("10.251.0.2",)
    one.pods |= {key: replace(pod, extra_nics=nics, extra_ips=ips) for key, pod in pods.items()}
    one.rules = [rule._replace(logical_ip="10.251.0.2") if rule.logical_ip == IP else rule for rule in one.rules]
    one.add_policy("10.251.0.2")


def test_a_rule_at_a_second_nic_is_told_as_the_holders_own() -> None:
    one = world()
    two_nics(one)
    [finding] = found(one)
    assert finding.text == f"{EIP} leads to 10.251.0.2, and VirtualMachine default/testing has {IP}"


def sources(one: World) -> None:
    """A SNAT address of two holders, for one of which it is there twice."""
    one.add_pod("other", "10.253.0.14", snat="10.4.19.110")
    one.add_pod("source", "10.253.0.13", snat="10.4.19.110")
    assert one.settle()
    assert found(one) == []
    one.add_rule("10.4.19.110", "10.253.0.13", "snat")


@pytest.mark.parametrize(
    ("spoil", "repair"),
    [
        (asked_twice, {"state": "absent", "eips": [{"address": EIP, "pod": "second", "namespace": "default"}]}),
        (two_stacks, {"state": "absent", "eips": [{"address": EIP, "vm": "testing", "namespace": "default"}]}),
        (two_nics, {"state": "absent", "eips": [{"address": EIP, "vm": "testing", "namespace": "default"}]}),
        (in_a_vlan, {"state": "absent", "eips": [{"address": "10.4.19.103", "pod": "new", "namespace": "default"}]}),
        (
            of_ipv6_alone,
            {"state": "absent", "eips": [{"address": "10.4.19.103", "pod": "new", "namespace": "default"}]},
        ),
        (never_routed, {"eips": [{"address": "10.4.19.103", "pod": "new", "namespace": "default"}]}),
        (on_the_pod_alone, {"eips": [{"address": EIP, "vm": "testing", "namespace": "default"}]}),
        (of_another_port, {"eips": [{"address": EIP, "vm": "testing", "namespace": "default"}]}),
        (template_alone, {"eips": [{"address": EIP, "vm": "testing", "namespace": "default"}]}),
    ],
)
def test_a_repair_is_what_the_module_does_not_refuse(spoil: Callable[[World], None], repair: dict[str, Any]) -> None:
    one = world()
    spoil(one)
    [finding] = found(one)
    assert yaml.safe_load(finding.repair) == [{"kubeovn.core.ovn_eip": {"kind": "fip", **repair}}]


@pytest.mark.parametrize(
    ("since", "recent", "expected"),
    [
        ("2026-11-29T00:10:00Z", "2026-11-29T00:09:00Z", []),
        ("2026-11-29T00:10:00Z", "2026-11-29T00:10:00Z", ["eip_pending"]),
        ("2026-11-29T00:10:00Z", None, ["eip_pending"]),
        (None, "2026-11-29T00:10:00Z", ["eip_pending"]),
    ],
)
def test_a_pod_that_has_just_been_annotated_is_not_a_defect(
    since: str | None, recent: str | None, expected: list[str]
) -> None:
    one = world()
    one.add_pod("new", "10.253.0.13", "10.4.19.103", asked_since=since)
    told = eip_findings(Site(one.observed()), None, recent)
    assert [finding.code for finding in told] == expected
    assert all((f" since {since}," in finding.text) == (since is not None) for finding in told)
    assert [one["code"] for one in report(replace(seen(one, MORE), recent=recent))["findings"]] == expected


@pytest.mark.parametrize(("settled", "expected"), [(True, ["eip_not_kept"]), (False, [])])
def test_a_deployment_whose_pod_alone_asks_loses_it_unless_that_pod_is_going_already(
    settled: bool, expected: list[str]
) -> None:
    one = world()
    one.add_deployment("shop", "10.253.0.20", settled=settled)
    one.pods = {
        key: replace(pod, eip="10.4.19.103") if pod.deployment == "shop" else pod for key, pod in one.pods.items()
    }
    assert one.settle()
    assert codes(one) == expected
    one.deployments["default", "shop"] = replace(one.deployments["default", "shop"], template_eip="10.4.19.103")
    assert codes(one) == []


@pytest.mark.parametrize(
    ("fields", "part"), [({"template_eip": None}, "template"), ({"instance_eip": None}, "instance")]
)
def test_what_does_not_ask_for_an_eip_that_the_pod_has_is_named(fields: dict[str, None], part: str) -> None:
    one = world()
    without(one, **fields)
    [finding] = found(one)
    assert finding.text.endswith(f"and its {part} does not ask for any")


def test_an_annotation_in_another_vpc_is_taken_away_where_it_is_written() -> None:
    one = world()
    in_another_vpc(one)
    one.add_vm("far", "10.9.0.14", "10.4.19.104")
    one.pods = {key: replace(pod, vpc="shop") if pod.vm == "far" else pod for key, pod in one.pods.items()}
    pod, vm = sorted(found(one), key=lambda finding: str(finding.address))
    assert pod.repair == "kubectl annotate pod new -n default ovn.kubernetes.io/eip-"
    patch = '{"spec": {"template": {"metadata": {"annotations": {"ovn.kubernetes.io/eip": null}}}}}'
    [launcher] = [pod.name for pod in one.pods.values() if pod.vm == "far"]
    assert vm.repair.split(" && ") == [
        f"kubectl annotate pod {launcher} -n default ovn.kubernetes.io/eip-",
        f"kubectl patch virtualmachine far -n default --type=merge -p '{patch}'",
    ]
    assert "VPC shop" in vm.text


def test_while_a_rollout_or_a_migration_is_under_way_a_template_is_not_judged() -> None:
    one = world()
    template_alone(one)
    launcher = next(pod for pod in one.pods.values() if pod.vm == "testing")
    one.pods["default", "target"] = replace(launcher, name="target")
    assert codes(one) == []


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
        (lambda one: one.add_rule(EIP, IP), ["duplicate_external_address"]),
        (sources, ["duplicate_external_address"]),
        (lambda one: one.add_rule("10.4.19.150", IP), ["two_addresses_on_holder", "unexplained_row"]),
        (policy_by_hand, ["unexplained_policy"]),
        (of_another_port, ["row_elsewhere"]),
        (template_alone, ["eip_without_row"]),
        (on_the_pod_alone, ["eip_not_kept"]),
        (not_on_the_instance, ["eip_not_kept"]),
        (lambda one: without(one, template_eip=None, instance_eip=None, deleting=True), []),
        (never_routed, ["eip_pending"]),
        (without_address, ["eip_pending"]),
        (rule_without_policy_yet, ["eip_pending"]),
        (refused_by_kube_ovn, ["eip_pending", "unexplained_row", "unexplained_row"]),
        (routed_anew, []),
        (in_a_vlan, ["eip_without_row"]),
        (of_ipv6_alone, ["eip_without_row"]),
        (in_another_vpc, ["eip_without_row"]),
        (in_another_vpc_by_objects, []),
        (no_gateway, ["eip_without_row"]),
        (asked_twice, ["row_elsewhere"]),
        (two_stacks, ["missing_reroute"]),
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


@pytest.mark.parametrize("spoil", [lambda one: one.add_rule(EIP, IP), sources])
def test_a_rule_that_is_there_twice_is_told_so_and_one_of_the_two_is_to_go(spoil: Callable[[World], None]) -> None:
    one = world()
    spoil(one)
    [finding] = found(one)
    assert finding.text.endswith(
        ("dnat_and_snat 10.253.0.11 (2 times)", "snat 10.253.0.13 (2 times), snat 10.253.0.14")
    )
    row = finding.repair.split()[-1]
    [gone] = [rule for rule in one.rules if rule.uuid == row]
    one.rules.remove(gone)
    assert found(one) == []


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
    left = [problem for problem in unclear if problem.path.startswith("policy ")]
    assert len(left) == sum(finding.code == "unexplained_policy" for finding in told)


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
        one.policies[-1] = replace(one.policies[-1], vendor=one.policies[-1].vendor if second % 2 else None)
    elif what == "gone" and there:
        one.delete_vm(name)
    elif what == "stop" and there:
        one.stop(name)
    elif what == "claim" and external not in one.claims:
        one.add_claim(external, Holder("VirtualMachine", "default", name), uid="u")


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


@pytest.mark.parametrize(
    ("kind", "distributed", "object_too", "expected"),
    [
        ("centralized", False, False, []),
        ("centralized", True, False, ["config_differs"]),
        ("centralized", True, True, []),
        ("distributed", False, False, ["config_differs"]),
        ("", False, False, []),
    ],
)
def test_eips_on_another_side_than_the_type_says(
    kind: str, distributed: bool, object_too: bool, expected: list[str]
) -> None:
    one = world()
    if distributed:
        translated_for(one, "testing.default")
    eips = {EIP: "fip"} if object_too else {}
    told = report(seen(one, replace(MORE, config=CONFIG | {"type": kind}, ovn_eips=eips)))["findings"]
    assert [finding["code"] for finding in told] == expected
    assert all(EIP in finding["text"] for finding in told)


def test_a_config_map_that_may_not_be_read_is_not_taken_for_none() -> None:
    one = world()
    never_routed(one)
    told = report(seen(one, replace(MORE, config=None)))["findings"]
    assert [finding["code"] for finding in told] == ["eip_pending"], "and not: no gateway is configured"


def test_a_row_of_a_network_that_is_none_does_not_end_the_look() -> None:
    one = world()
    one.rules = [*one.rules, one.rules[0]._replace(type="snat", external_ip="10.4.19.5", logical_ip="a/b", uuid="odd")]
    assert found(one) == []


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
    files = (TOP / "tests" / "integration").glob("test_findings*.py")
    text = "".join(path.read_text() for path in files)
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
