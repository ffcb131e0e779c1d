# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask of EIPs that cannot be meant so, or would go wrong in silence: refused with the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_ask import requests, wishes_of
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Problem
from support.eip_cases import (
    ask,
    assigned,
    claimed,
    draw,
    drive,
    left,
    look,
    matches,
    refusals,
    rules,
    run,
    vm_and_pod,
    wish,
)
from support.eip_world import World

VM = Holder("VirtualMachine", "default", "testing")
WEB = Holder("Pod", "default", "web")
PLAIN: dict[str, Any] = {
    "state": "present",
    "reassign": False,
    "adopt": False,
    "rotate": False,
    "rotation": None,
    "eips": [],
    "ovn_connection": "auto",
    "busy": [],
    "batch": 0,
    "all_or_nothing": False,
    "wait_timeout": 120,
    "claims_namespace": "kubeovn-core",
    "configmap_namespace": "kube-system",
}


@pytest.fixture
def world() -> World:
    """A running VM and a pod, without EIPs."""
    return vm_and_pod()


def asked(item: dict[str, Any], state: str = "present", kind: str = "fip") -> list[Problem]:
    return requests([item], wish(state), kind)[1]


def paths(found: Sequence[Problem]) -> list[str]:
    assert all(problem.hint for problem in found), "what to do about it is always said"
    return [problem.path for problem in found]


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"batch": -1}, "batch"),
        ({"batch": 10, "all_or_nothing": True}, "batch"),
        ({"wait_timeout": 0}, "wait_timeout"),
        ({"claims_namespace": ""}, "claims_namespace"),
        ({"claims_namespace": "Kubeovn_Core"}, "claims_namespace"),
        ({"claims_namespace": "a.b"}, "claims_namespace"),
        ({"configmap_namespace": "kube system"}, "configmap_namespace"),
        ({"busy": ["10.4.19.101", "10.4.19.0/24"]}, "busy[1]"),
        ({"rotation": "november"}, "rotation"),
        ({"state": "absent", "rotate": True}, "rotate"),
        ({"eips": None}, "eips"),
        ({"eips": None, "state": "absent"}, "eips"),
        ({"eips": [{"vm": "testing"}], "state": "pruned"}, "eips"),
    ],
)
def test_options_that_cannot_be_meant_so(options: dict[str, Any], path: str) -> None:
    assert paths(wishes_of({**PLAIN, **options})[1]) == [path]


@pytest.mark.parametrize("options", [{}, {"batch": 10}, {"all_or_nothing": True}, {"eips": None, "adopt": True}])
def test_options_that_can(options: dict[str, Any]) -> None:
    assert wishes_of({**PLAIN, **options})[1] == []


@pytest.mark.parametrize("state", ["present", "absent", "detached"])
@pytest.mark.parametrize(
    ("item", "path", "hint"),
    [
        ({"vm": "Testing"}, "eips[0].vm", "is testing meant?"),
        ({"pod": " web "}, "eips[0].pod", "is web meant?"),
        ({"deployment": "my shop"}, "eips[0].deployment", "small letters"),
        ({"vm": "testing", "namespace": "Default"}, "eips[0].namespace", "is default meant?"),
        ({"vm": "testing", "namespace": "shop/web"}, "eips[0].namespace", "small letters"),
        ({"vm": "-testing"}, "eips[0].vm", "small letters"),
    ],
)
def test_a_name_that_nothing_can_have_is_refused_and_never_taken_for_one_that_is_gone(
    item: dict[str, Any], path: str, hint: str, state: str
) -> None:
    found = asked({"address": "10.4.19.101", **item}, state)
    assert paths(found) == [path]
    assert hint in found[0].hint


@pytest.mark.parametrize("name", ["a", "web-1", "db.shop-0", "1", "x" * 253])
def test_names_that_kubernetes_takes(name: str) -> None:
    assert asked({"address": "10.4.19.101", "pod": name}) == []


def test_one_machine_in_two_letter_cases_is_not_two() -> None:
    items = [{"address": "10.4.19.101", "vm": "testing"}, {"address": "10.4.19.102", "vm": "Testing"}]
    assert paths(requests(items, wish())[1]) == ["eips[1].vm"]


@pytest.mark.parametrize("state", ["absent", "detached"])
def test_an_empty_address_does_not_release_all_that_a_holder_has(state: str) -> None:
    """As a variable of a play that is empty: `address: "{{ old | default('') }}"`."""
    assert paths(asked({"address": "", "vm": "testing"}, state)) == ["eips[0].address"]
    assert asked({"address": None, "vm": "testing"}, state) == [], "left out, it is meant so"
    assert asked({"address": "", "pool": ["10.4.19.101"], "vm": "testing"}) == [], "a survey's empty field"


@pytest.mark.parametrize("kind", ["fip", "snat"])
def test_ports_do_not_open_the_whole_address(kind: str) -> None:
    item = {"address": "10.4.19.101", "vm": "testing", "ports": [{"external": 80, "internal": 8080, "protocol": "tcp"}]}
    assert paths(asked(item, kind=kind)) == ["eips[0].ports"]
    assert asked(item, kind="dnat") == []
    assert asked(item, "absent", kind) == [], "a release has no use for them"


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_ports_that_are_none(number: int) -> None:
    item = {"address": "10.4.19.101", "vm": "testing", "kind": "dnat"}
    good = {"external": 80, "internal": 80, "protocol": "tcp"}
    assert paths(asked({**item, "ports": [{**good, "external": number}]})) == ["eips[0].ports"]
    assert paths(asked({**item, "ports": [{**good, "internal": number}]})) == ["eips[0].ports"]


def test_an_ipv6_address_is_refused_with_the_reason(world: World) -> None:
    (problem,) = refusals(ask((WEB, "fd00::5")), "present", world.observed())
    assert "IPv4 only" in problem.hint


# --- who loses the address ------------------------------------------------------------------------------------------


def narrow(world: World, *namespaces: str) -> Any:
    """What an identity sees that has rights in these namespaces only."""
    seen = world.observed()
    return replace(
        seen,
        pods=tuple(pod for pod in seen.pods if pod.namespace in namespaces),
        vms=tuple(vm for vm in seen.vms or () if vm.namespace in namespaces),
        namespaces=frozenset(namespaces),
        blind=True,
    )


@pytest.mark.parametrize("killed", [False, True])
def test_an_address_is_not_taken_from_somebody_who_cannot_be_seen(world: World, killed: bool) -> None:
    """The loser would keep annotation and NAT rule, and the new holder would be broken in silence."""
    theirs = world.add_pod("theirs", "10.253.0.9", namespace="shop")
    run(world, ask((theirs, "10.4.19.101")))
    if killed:  # by somebody who may see both, right after the claim was taken
        (step,) = (
            step for step in look(world, ask((WEB, "10.4.19.101")), reassign=True).steps if step.action == "claim"
        )
        world.apply(step)
    found = refusals(ask((WEB, "10.4.19.101")), "present", narrow(world, "default"), reassign=True)
    assert paths(found) == ["eips[0].address"]
    assert "is to be taken from Pod shop/theirs, and this identity may not look into its namespace" in found[0].text
    assert not refusals(ask((WEB, "10.4.19.101")), "present", world.observed(), reassign=True)


def test_who_cannot_be_seen_is_not_said_to_be_gone(world: World) -> None:
    theirs = world.add_pod("theirs", "10.253.0.9", namespace="shop")
    run(world, ask((theirs, "10.4.19.101")))
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", narrow(world, "default"))
    assert "Pod shop/theirs (claim eip-10.4.19.101)" in problem.text
    assert "does not exist" not in problem.text


def test_reassign_takes_from_another_namespace(world: World) -> None:
    theirs = world.add_pod("theirs", "10.253.0.9", namespace="shop")
    run(world, ask((theirs, "10.4.19.101")))
    run(world, ask((WEB, "10.4.19.101")), reassign=True)
    assert (rules(world), matches(world)) == ([("10.4.19.101", "10.253.0.3")], ["10.253.0.3"])
    assert claimed(world) == {"10.4.19.101": [str(WEB)]}
    assert world.pods["shop", "theirs"].eip is None


def test_a_machine_under_another_name_gets_the_address_of_the_one_that_is_gone_by_reassign(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    renamed = world.add_vm("renamed", "10.253.0.8")
    world.controller()
    (problem,) = refusals(ask((renamed, "10.4.19.101")), "present", world.observed())
    assert "VirtualMachine default/testing, which does not exist" in problem.text
    run(world, ask((renamed, "10.4.19.101")), reassign=True)
    assert (rules(world), matches(world)) == ([("10.4.19.101", "10.253.0.8")], ["10.253.0.8"])
    assert claimed(world) == {"10.4.19.101": [str(renamed)]}


def test_of_holders_in_two_namespaces_one_lets_go_of_a_shared_address(world: World) -> None:
    theirs = world.add_pod("web", "10.253.0.9", namespace="shop")
    both = ask((WEB, "10.4.19.200"), (theirs, "10.4.19.200"), kind="snat")
    run(world, both)
    run(world, both[:1], "absent")
    assert (rules(world), matches(world)) == ([("10.4.19.200", "10.253.0.9")], ["10.253.0.9"])
    assert claimed(world) == {"10.4.19.200": [str(theirs)]}
    run(world, both[1:], "absent")
    assert (rules(world), matches(world), claimed(world)) == ([], [], {})


# --- what is released -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["absent", "detached"])
@pytest.mark.parametrize("detached", [False, True])
def test_a_release_as_another_kind_is_told_and_no_success(world: World, state: str, detached: bool) -> None:
    run(world, ask((WEB, "10.4.19.200"), kind="snat"))
    if detached:
        run(world, ask((WEB, "10.4.19.200"), kind="snat"), "detached")
    found = refusals(ask((WEB, "10.4.19.200")), state, world.observed())
    assert paths(found) == ["eips[0].kind"]
    assert found[0].hint == "kind: snat"
    assert not refusals(ask((WEB, "10.4.19.200"), kind="snat"), state, world.observed())


def test_after_detaching_another_address_leaves_nothing_of_the_first(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    run(world, ask((VM, None)), "detached")
    run(world, ask((VM, "10.4.19.102")))
    assert (rules(world), claimed(world)) == ([("10.4.19.102", "10.253.0.2")], {"10.4.19.102": [str(VM)]})


def test_a_pod_that_was_evicted_gets_no_eip_and_gives_its_claim_back(world: World) -> None:
    run(world, ask((WEB, "10.4.19.101")))
    ended = replace(world.pods["default", "web"], phase="Failed")
    world.delete_pod("default", "web")  # Kube-OVN takes its rows when it ends
    world.pods["default", "web"] = ended
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "has ended (Failed)" in problem.text
    assert run(world, ask((WEB, None)), "absent") == ["release_claim"]
    assert claimed(world) == {}


# --- holders that do not stay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"vm": "alone", "launched": True},
            "launcher of VirtualMachineInstance alone, which no VirtualMachine has made",
        ),
        ({"passing": "DaemonSet"}, "one of a DaemonSet"),
        ({"passing": "Job"}, "one of a Job"),
    ],
)
def test_a_pod_that_another_one_follows_is_refused_and_can_let_go(
    world: World, more: dict[str, Any], words: str
) -> None:
    pod = world.add_pod("passing", "10.253.0.7", "10.4.19.101", **more)
    world.controller()
    found = refusals(ask((pod, "10.4.19.101")), "present", world.observed())
    assert paths(found) == ["eips[0].pod"]
    assert words in found[0].text
    run(world, ask((pod, None)), "absent")
    assert (rules(world), matches(world)) == ([], [])


def test_a_machine_without_a_pod_is_waited_for_and_named(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    world.pods = {key: pod for key, pod in world.pods.items() if not pod.vm}
    (problem,) = (one for one in left(world, ask((VM, "10.4.19.101"))) if "live pod" in one.text)
    assert "virt-controller" in problem.hint


def test_a_pod_that_is_on_its_way_out_is_not_written(world: World) -> None:
    world.stop("testing")
    pod = world.add_pod("virt-launcher-testing-old", "10.253.0.2", vm="testing", deleting=True)
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_template"]
    assert world.pods[pod.namespace, pod.name].eip is None


# --- pools and rotation ---------------------------------------------------------------------------------------------


def test_a_pool_with_the_holders_own_address_alone_cannot_rotate(world: World) -> None:
    mine = draw(VM, pool="10.4.19.101")
    run(world, mine)
    found = refusals(mine, "present", world.observed(), rotate=True)
    assert paths(found) == ["eips[0].pool"]
    assert not refusals(mine, "present", world.observed()), "without rotation it keeps it"


def test_a_fleet_whose_rotation_ended_in_the_middle_is_rotated_once(world: World) -> None:
    both = draw(VM, WEB, pool="10.4.19.101-10.4.19.110")
    run(world, both)
    run(world, both[:1], rotate=True, rotation="november")  # the first batch
    first = claimed(world)
    chosen, bad = assigned(both, wish(rotate=True, rotation="november"), world.observed())
    assert not bad
    assert [eip.address in first for eip in chosen] == [True, False]
    run(world, both, rotate=True, rotation="november")
    after = claimed(world)
    assert after.keys() == {chosen[0].address, chosen[1].address}
    run(world, both, rotate=True, rotation="november")
    assert claimed(world) == after


def test_an_item_may_say_its_kind_against_the_task(world: World) -> None:
    items = [{"address": "10.4.19.101", "pod": "web"}, {"address": "10.4.19.200", "pod": "web", "kind": "snat"}]
    desired, bad = requests(items, wish())
    assert not bad
    assert [eip.kind for eip in desired] == ["fip", "snat"]
    assert isinstance(desired[0], Eip)
    run(world, desired)
    assert rules(world) == [("10.4.19.101", "10.253.0.3"), ("10.4.19.200", "10.253.0.3")]
