# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for EIPs that are refused, all of what is wrong at once, each with its option's path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_ask import requests
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Problem
from support.eip_cases import ask, refusals, vm_and_pod, wish
from support.eip_world import World

WEB = Holder("Pod", "default", "web")
VM = Holder("VirtualMachine", "default", "testing")


@pytest.fixture
def world() -> World:
    """A running VM and a pod, without EIPs."""
    return vm_and_pod()


def refused(world: World, holder: Holder, address: str | None, state: str = "present") -> list[tuple[str, str]]:
    """Path and text of each problem with one EIP."""
    found = refusals([Eip(holder, address, "eips[0]")], state, world.observed())
    assert all(problem.hint for problem in found), "what to do about it is always said"
    return [(problem.path, problem.text) for problem in found]


def missing(asked: list[Eip], observed: Observed) -> list[Problem]:
    """What is not as asked."""
    return [problem for found in unfinished(asked, wish(), observed).values() for problem in found]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.4.19.0", "the address of network 10.4.19.0/24 itself"),
        ("10.4.19.255", "the broadcast address"),
        ("10.4.19.1", "belongs to the gateway"),
        ("10.4.19.254", "belongs to the gateway"),
        ("10.4.20.7", "not in network 10.4.19.0/24"),
        ("10.4.19.101/24", "not an IPv4 address"),
        ("10.4.19.0101", "not an IPv4 address"),
        ("fd00::1", "not an IPv4 address"),
        ("web", "not an IPv4 address"),
    ],
)
def test_addresses_that_cannot_be_an_eip(world: World, address: str, words: str) -> None:
    ((path, text),) = refused(world, WEB, address)
    assert path == "eips[0].address"
    assert words in text


def test_the_router_ports_real_address_is_refused_too_when_the_configmap_says_another(world: World) -> None:
    observed = world.observed()
    port = replace(observed.ovn.router_port or pytest.fail("the model has one"), networks=("10.4.19.250/24",))
    observed = replace(observed, ovn=replace(observed.ovn, router_port=port))
    for address in ("10.4.19.250", "10.4.19.254"):
        (problem,) = refusals([Eip(WEB, address, "eips[0]")], "present", observed)
        assert "belongs to" in problem.text


def test_all_that_is_wrong_is_said_at_once(world: World) -> None:
    asked = [
        Eip(WEB, "10.4.20.1", "eips[0]"),
        Eip(Holder("Pod", "default", "nobody"), "10.4.19.105", "eips[1]"),
        Eip(VM, "10.4.19.105", "eips[2]"),
        Eip(VM, "10.4.19.106", "eips[3]"),
    ]
    found = refusals(asked, "present", world.observed())
    assert [problem.path for problem in found] == ["eips[2].address", "eips[3]", "eips[0].address", "eips[1].pod"]
    assert "in eips[1] too" in found[0].text
    assert "VirtualMachine default/testing is named twice, in eips[2] too" in found[1].text


def test_items_that_cannot_be_read_are_named_beside_the_others() -> None:
    items = [
        {"address": "10.4.19.101", "vm": "a", "pod": "b"},
        {"address": "10.4.19.102"},
        {"vm": "testing"},
        {"address": "10.4.19.104", "pod": "web", "namespace": "shop"},
    ]
    desired, found = requests(items, wish())
    assert [problem.path for problem in found] == ["eips[0]", "eips[1]", "eips[2].address"]
    assert desired == [Eip(Holder("Pod", "shop", "web"), "10.4.19.104", "eips[3]")]
    assert requests(items[2:3], wish("absent"))[0] == [Eip(VM, None, "eips[0]")]


def test_without_a_gateway_nothing_is_attached_but_everything_can_be_released(world: World) -> None:
    world.configured = False
    ((path, text),) = refused(world, WEB, "10.4.19.101")
    assert path == "eips"
    assert "no external gateway is configured" in text
    assert not refused(world, WEB, None, "absent")
    world.configured = True
    observed = world.observed()
    observed = replace(observed, ovn=replace(observed.ovn, router_port=None))
    (problem,) = refusals([Eip(WEB, "10.4.19.101", "eips[0]")], "present", observed)
    assert "no port on the external network" in problem.text


def test_holders_that_cannot_have_one(world: World) -> None:
    key = ("default", "web")
    pod = world.pods[key]
    for changed, words in (
        (replace(pod, host_network=True), "hostNetwork"),
        (replace(pod, phase="Succeeded"), "has ended"),
        (replace(pod, deleting=True), "is being deleted"),
        (replace(pod, vpc="tenant"), "is in VPC tenant"),
        (replace(pod, underlay="external"), "is on provider network external itself"),
        (replace(pod, ip="10.253.0.3,fd00::3"), "dual-stack"),
        (replace(pod, extra_nics=("net1.default.ovn",)), "more NICs"),
    ):
        world.pods[key] = changed
        ((path, text),) = refused(world, WEB, "10.4.19.101")
        assert path == "eips[0].pod"
        assert words in text


@pytest.mark.parametrize("kind", ["fip", "snat"])
@pytest.mark.parametrize(("more", "words"), [({"host_network": True}, "hostNetwork"), ({"paused": True}, "is paused")])
def test_deployments_whose_pods_could_not_have_one(world: World, kind: str, more: dict[str, Any], words: str) -> None:
    shop = world.add_deployment("shop", None, **more)
    (problem,) = refusals(ask((shop, "10.4.19.101"), kind=kind), "present", world.observed())
    assert problem.path == "eips[0].deployment"
    assert words in problem.text
    assert not refusals(ask((shop, "10.4.19.101"), kind=kind), "absent", world.observed())


def test_a_paused_deployment_that_has_its_eip_keeps_it(world: World) -> None:
    shop = world.add_deployment("shop", "10.253.0.4", "10.4.19.101", paused=True)
    assert not refusals(ask((shop, "10.4.19.101")), "present", world.observed())


def test_a_launcher_pod_is_asked_for_by_its_machine(world: World) -> None:
    launcher = next(pod.name for pod in world.pods.values() if pod.vm)
    for state in ("present", "absent"):
        ((path, text),) = refused(world, Holder("Pod", "default", launcher), "10.4.19.101", state)
        assert path == "eips[0].pod"
        assert "is the launcher of VirtualMachine default/testing" in text


def test_unknown_machines_and_clusters_without_kubevirt(world: World) -> None:
    nobody = Holder("VirtualMachine", "default", "nobody")
    assert refused(world, nobody, "10.4.19.101") == [
        ("eips[0].vm", "VirtualMachine default/nobody does not exist"),
    ]
    assert not refused(world, nobody, "10.4.19.101", "absent"), "who is gone has no EIP"
    world.kubevirt = False
    ((path, text),) = refused(world, VM, "10.4.19.101")
    assert (path, "no KubeVirt" in text) == ("eips[0].vm", True)
    assert not refused(world, WEB, "10.4.19.101"), "pods need no KubeVirt"


@pytest.mark.parametrize("how", ["pod", "template", "instance", "ovn_eip", "rule", "snat_rule", "kept", "by_hand"])
def test_a_held_address_is_refused_and_its_holder_named(world: World, how: str) -> None:
    address, other = "10.4.19.101", "VirtualMachine default/other"
    world.add_vm("other", "10.253.0.9", running=how in ("instance", "rule"))
    if how == "pod":
        other = str(world.add_pod("other", "10.253.0.8", address))
    elif how == "template":
        world.vms["default", "other"] = replace(world.vms["default", "other"], template_eip=address)
    elif how == "instance":
        world.vms["default", "other"] = replace(world.vms["default", "other"], instance_eip=address)
    elif how == "ovn_eip":
        world.ovn_eips[address], other = "shared", "OvnEip shared"
    elif how in ("rule", "kept"):
        world.add_rule(address, "10.253.0.9")
        world.add_policy("10.253.0.9")
    elif how == "snat_rule":
        world.add_rule(address, "10.253.0.0/16", "snat")
        other = "NAT rule snat 10.4.19.101 -> 10.253.0.0/16"
    else:
        world.add_rule(address, "10.253.0.200")
        other = "NAT rule that leads to no pod"
    ((path, text),) = refused(world, WEB, address)
    assert path == "eips[0].address"
    assert other in text


def test_one_holder_is_named_once_however_many_objects_say_so(world: World) -> None:
    world.add_vm("other", "10.253.0.9", "10.4.19.101")
    world.controller()
    assert len(refused(world, WEB, "10.4.19.101")) == 1
    assert not refused(world, Holder("VirtualMachine", "default", "other"), "10.4.19.101"), "it has it itself"


def test_an_address_of_another_vpc_is_another_address(world: World) -> None:
    world.add_pod("tenant", "10.253.0.3", vpc="tenant")
    world.add_rule("10.4.19.101", "10.253.0.3")
    world.add_policy("10.253.0.3")
    assert not refused(world, WEB, "10.4.19.101")


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_holder_with_an_ovnfip_is_refused(world: World, state: str) -> None:
    world.ovn_eips["10.4.19.120"] = "floating"
    world.add_rule("10.4.19.120", "10.253.0.3")
    ((_path, text),) = refused(world, WEB, "10.4.19.101", state)
    assert "has EIP 10.4.19.120 by OvnEip floating" in text


def test_what_is_missing_is_told_with_its_cause(world: World) -> None:
    asked = [Eip(WEB, "10.4.19.101", "eips[0]")]
    key = ("default", "web")
    pod = replace(world.pods[key], eip="10.4.19.101")
    for changed, words in (
        (replace(pod, node=None), "is not scheduled"),
        (replace(pod, ip=None), "has no address from Kube-OVN"),
        (replace(pod, routed=False), "has not routed pod default/web"),
        (replace(pod, phase="Failed"), "it has no live pod"),
        (pod, "NAT rule 10.4.19.101 -> 10.253.0.3 is wanted once, seen: none"),
        (pod, "a policy must reroute ip4.src == 10.253.0.3 via 10.4.19.1, seen: none"),
    ):
        world.pods[key] = changed
        found = missing(asked, world.observed())
        assert any(words in str(one) for one in found), words
        assert all(one.hint for one in found), "what to do about it is always said"


def test_a_port_that_no_chassis_has_bound_is_not_attached(world: World) -> None:
    key = ("default", "web")
    world.pods[key] = replace(world.pods[key], eip="10.4.19.101", routed=False)
    world.controller()
    world.add_claim("10.4.19.101", WEB)
    asked = [Eip(WEB, "10.4.19.101", "eips[0]")]
    observed = world.observed()
    assert not missing(asked, observed)
    (problem,) = missing(asked, replace(observed, ovn=replace(observed.ovn, bound_ports={})))
    assert "logical port web.default is bound to no chassis" in problem.text
    assert "ovn-controller" in problem.hint


def test_a_second_rule_of_the_address_is_not_attached(world: World) -> None:
    key = ("default", "web")
    world.pods[key] = replace(world.pods[key], eip="10.4.19.101", routed=False)
    world.controller()
    world.add_claim("10.4.19.101", WEB)
    world.add_rule("10.4.19.101", "10.253.0.3")
    (problem,) = missing([Eip(WEB, "10.4.19.101", "eips[0]")], world.observed())
    assert "is wanted once" in problem.text
