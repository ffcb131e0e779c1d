# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines with an EIP as hosts of an inventory: which, under which address, in which groups."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_hosts import (
    EipHost,
    Unseen,
    format_problems,
    groups_of,
    host_name,
    hosts_of,
    pools_of,
    pools_with,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    Claim,
    Claimant,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    Workload,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._objects import vm_view

NODES = (GatewayNode("g1", True, "true", "c1"), GatewayNode("g2", True, "true", "c2"))
CHASSIS = (Chassis("u1", "c1", "g1", (), {}), Chassis("u2", "c2", "g2", (), {}))
EMPTY = replace(Unseen().observe(), router_uuid="r", chassis=CHASSIS, active_chassis="c2")
MACHINE = Workload("default", "testing", "u1", None, True, None, node="w1", labels=(("app", "web"),))
LAUNCHER = PodView("default", "launcher", "p1", "w1", "Running", "10.253.0.11", None, True, "testing")
EIP = "10.4.19.101"


def rule(external: str = EIP, logical: str = "10.253.0.11", **more: Any) -> NatRule:
    return NatRule(f"{external}-{logical}", more.pop("type", "dnat_and_snat"), external, logical, **more)


def claim(address: str, kind: str = "fip", name: str = "testing") -> Claim:
    return Claim(address, kind, (Claimant(Holder("VirtualMachine", "default", name), "u1"),))


def seen(
    *rules: NatRule,
    vms: tuple[Workload, ...] = (MACHINE,),
    pods: tuple[PodView, ...] = (LAUNCHER,),
    ovn: Ovn = EMPTY,
    **more: Any,
) -> Seen:
    return Seen(NODES, pods, vms, more.pop("kept", {}), replace(ovn, nat_rules=rules), **more)


def only(one: Seen, ovn_was_read: bool = True) -> EipHost:
    [host] = hosts_of(one, ovn_was_read)
    return host


def test_a_machine_with_a_rule_is_a_host_under_its_address() -> None:
    assert only(seen(rule(), rule("10.4.19.20", "10.253.0.99"))) == EipHost(
        namespace="default",
        vm="testing",
        uid="u1",
        address=EIP,
        addresses=(EIP,),
        source="ovn",
        attached=True,
        running=True,
        overlay_address="10.253.0.11",
        pod="launcher",
        node="w1",
        gateway="g2",
        labels=(("app", "web"),),
    )


def test_a_distributed_rule_goes_through_the_machines_own_node() -> None:
    assert only(seen(rule(logical_port="testing.default", external_mac="0a:00:00:00:00:01"))).gateway == "w1"


def test_a_distributed_rule_of_a_stopped_machine_goes_through_nobody() -> None:
    distributed = rule(logical_port="testing.default", external_mac="0a:00:00:00:00:01")
    stopped = replace(MACHINE, running=False, node=None, template_eip=EIP)
    host = only(seen(distributed, vms=(stopped,), pods=(), kept={"10.253.0.11": ("default", "testing")}))
    assert (host.attached, host.gateway) == (True, None)


def test_machines_without_an_eip_and_plain_pods_are_no_hosts() -> None:
    plain = PodView("default", "plain", "p2", "w1", "Running", "10.253.0.12", "10.4.19.20", True, None)
    assert hosts_of(seen(rule("10.4.19.20", "10.253.0.12"), pods=(LAUNCHER, plain)), True) == []


@pytest.mark.parametrize("vpc", [None, "tenant"])
@pytest.mark.parametrize("kind", ["snat", "dnat"])
def test_an_address_that_leads_not_to_the_machine_alone_is_none(kind: str, vpc: str | None) -> None:
    pod = replace(LAUNCHER, vpc=vpc)
    assert hosts_of(seen(rule(type=kind), pods=(pod,), claims=(claim(EIP, kind),)), True) == []


def test_a_stopped_machine_keeps_its_rule_by_the_address_that_is_kept_for_it() -> None:
    stopped = replace(MACHINE, running=False, node=None, template_eip=EIP)
    host = only(seen(rule(), vms=(stopped,), pods=(), kept={"10.253.0.11": ("default", "testing")}))
    assert (host.source, host.attached, host.running, host.pod, host.node) == ("ovn", True, False, None, None)


@pytest.mark.parametrize("ovn_was_read", [True, False])
@pytest.mark.parametrize("where", ["template_eip", "instance_eip", "pod"])
def test_without_a_rule_annotations_tell(where: str, ovn_was_read: bool) -> None:
    annotation: dict[str, Any] = {"eip" if where == "pod" else where: EIP}
    machine = MACHINE if where == "pod" else replace(MACHINE, **annotation)
    pod = replace(LAUNCHER, **annotation) if where == "pod" else LAUNCHER
    host = only(seen(vms=(machine,), pods=(pod,)), ovn_was_read)
    assert (host.address, host.source, host.gateway) == (EIP, "annotation", None)
    assert host.attached is (False if ovn_was_read else None)


def test_what_the_running_pod_says_counts_before_the_template() -> None:
    machine, pod = replace(MACHINE, template_eip="10.4.19.102"), replace(LAUNCHER, eip=EIP)
    assert only(seen(vms=(machine,), pods=(pod,)), False).addresses == (EIP, "10.4.19.102")


def test_of_two_rules_the_claimed_one_counts_then_the_one_asked_for() -> None:
    two = (rule("10.4.19.9"), rule(EIP))
    assert only(seen(*two)).address == "10.4.19.9"
    assert only(seen(*two, pods=(replace(LAUNCHER, eip=EIP),))).address == EIP
    claimed = only(seen(*two, pods=(replace(LAUNCHER, eip=EIP),), claims=(claim("10.4.19.9"),)))
    assert (claimed.address, set(claimed.addresses)) == ("10.4.19.9", {EIP, "10.4.19.9"})


def test_a_claim_alone_makes_no_host_since_it_may_be_detached() -> None:
    assert hosts_of(seen(claims=(claim(EIP),)), True) == []


def test_in_a_custom_vpc_the_claim_tells_and_that_vpcs_rule_proves_it() -> None:
    pod = replace(LAUNCHER, vpc="tenant")
    assert only(seen(pods=(pod,), claims=(claim(EIP),)), False).source == "claim"
    assert only(seen(pods=(pod,), claims=(claim(EIP),))).attached is False
    elsewhere = replace(EMPTY, foreign_rules=(rule(), rule("10.4.19.7")))
    host = only(seen(pods=(pod,), claims=(claim(EIP),), ovn=elsewhere))
    assert (host.source, host.attached, host.addresses) == ("ovn", True, (EIP,))


def test_labels_are_the_machines_and_its_templates() -> None:
    metadata = {"namespace": "default", "name": "testing", "uid": "u", "labels": {"app": "web", "tier": "front"}}
    template = {"metadata": {"labels": {"kubevirt.io/domain": "testing", "tier": "back"}}}
    view = vm_view({"metadata": metadata, "spec": {"template": template}}, None)
    assert dict(view.labels) == {"app": "web", "tier": "back", "kubevirt.io/domain": "testing"}


# --- names, variables, groups ---

HOST = only(seen(rule()))


def test_names_are_kubevirts_unless_another_form_is_asked_for() -> None:
    assert host_name(HOST, "{namespace}-{name}") == "default-testing"
    assert host_name(HOST, "{name}.east") == "testing.east"
    assert host_name(HOST, "{uid}") == "u1"


@pytest.mark.parametrize("bad", ["{cluster}-{name}", "{name", "{}", "all", "{name.x}"])
def test_a_form_that_cannot_be_filled_in_is_refused(bad: str) -> None:
    [problem] = format_problems(bad)
    assert (problem.path, bad in problem.text) == ("host_format", True)


def test_a_form_that_can_is_not() -> None:
    assert format_problems("{namespace}-{name}") == []


def test_variables_say_what_is_known_of_the_address() -> None:
    assert HOST.variables(["web"]) == {
        "ansible_host": EIP,
        "kubeovn_eip_address": EIP,
        "kubeovn_eip_addresses": [EIP],
        "kubeovn_eip_source": "ovn",
        "kubeovn_eip_attached": True,
        "kubeovn_eip_running": True,
        "kubeovn_eip_namespace": "default",
        "kubeovn_eip_vm": "testing",
        "kubeovn_eip_uid": "u1",
        "kubeovn_eip_overlay_address": "10.253.0.11",
        "kubeovn_eip_pod": "launcher",
        "kubeovn_eip_node": "w1",
        "kubeovn_eip_gateway": "g2",
        "kubeovn_eip_labels": {"app": "web"},
        "kubeovn_eip_pools": ["web"],
    }


def test_what_a_cache_keeps_comes_back_the_same() -> None:
    assert EipHost.from_cache(json.loads(json.dumps(HOST.to_cache()))) == HOST


def test_groups() -> None:
    every = ["namespace", "label", "gateway", "pool"]
    assert groups_of(HOST, every, ["web"]) == ["namespace_default", "label_app_web", "gateway_g2", "pool_web"]
    assert groups_of(HOST, ["gateway"], ["web"]) == ["gateway_g2"]
    assert groups_of(replace(HOST, gateway=None), every, []) == ["namespace_default", "label_app_web"]


def test_pools_are_those_of_the_module() -> None:
    pools, problems = pools_of({"web": "10.4.19.100-110", "lab": ["10.4.19.0/24", "!10.4.19.101"], "one": EIP})
    assert problems == []
    assert pools_with(EIP, pools) == ["web", "one"]
    assert pools_with("10.4.19.5", pools) == ["lab"]


def test_a_bad_pool_is_named() -> None:
    pools, problems = pools_of({"web": "10.4.19.300", "lab": 5})
    assert (pools, [one.path for one in problems]) == ({}, ["pools.web", "pools.lab"])
