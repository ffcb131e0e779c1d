# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for EIPs, case by case as Kube-OVN was observed, and over generated worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip import is_late, plan, wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import problems, unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.eip_world import World

ROUNDS = 8
PROFILE = settings(max_examples=100, report_multiple_bugs=False)  # on top of conftest.py's


def ask(*pairs: tuple[Holder, str | None]) -> list[Eip]:
    """A request as the module builds it."""
    return [Eip(holder, address, f"eips[{index}]") for index, (holder, address) in enumerate(pairs)]


def look(world: World, desired: Sequence[Eip], state: str) -> Plan:
    """The plan of one look, with kept addresses read only when the plan wants them."""
    observed = world.observed(kept=False)
    return plan(desired, state, world.observed() if wants_kept(desired, observed) else observed)


def drive(
    world: World, desired: Sequence[Eip], state: str = "present", each: Callable[[], None] = lambda: None
) -> list[str]:
    """What a run does: every round the steps whose time has come, then the controller. The actions done."""
    done: list[str] = []
    for _round in range(ROUNDS):
        steps = look(world, desired, state).steps
        left = unfinished(desired, state, world.observed())
        if not steps and not left:
            return done
        for step in (step for step in steps if not is_late(step)):
            world.apply(step)
            done.append(step.action)
            each()
        world.controller()
        each()
    raise AssertionError(f"no end after {ROUNDS} rounds: {[step.text for step in steps]}, {[str(one) for one in left]}")


def rules(world: World) -> list[tuple[str, str]]:
    return sorted((rule.external_ip, rule.logical_ip) for rule in world.rules)


def matches(world: World) -> list[str]:
    return sorted(policy.match.removeprefix("ip4.src == ") for policy in world.policies)


@pytest.fixture
def world() -> World:
    """One running VM, one pod, both without EIP and routed."""
    world = World()
    world.add_vm("testing", "10.253.0.2")
    world.add_pod("web", "10.253.0.3")
    world.controller()
    return world


VM = Holder("VirtualMachine", "default", "testing")
WEB = Holder("Pod", "default", "web")


def test_a_vm_gets_template_instance_and_pod_in_that_order(world: World) -> None:
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_vm", "annotate_instance", "annotate_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.2")]
    before = world.state()
    world.restart("testing")
    world.controller()
    assert world.state()["rules"] == before["rules"], "a restart costs the VM nothing"
    world.migrate("testing")
    world.controller()
    assert not look(world, ask((VM, "10.4.19.101")), "present").changed


def test_all_templates_come_before_all_pods(world: World) -> None:
    other = world.add_vm("other", "10.253.0.9")
    steps = look(world, ask((VM, "10.4.19.101"), (other, "10.4.19.102"), (WEB, "10.4.19.103")), "present").steps
    assert [step.action for step in steps] == ["annotate_vm"] * 2 + ["annotate_instance"] * 2 + ["annotate_pod"] * 3


def test_eip_and_routed_go_in_one_write(world: World) -> None:
    (step,) = look(world, ask((WEB, "10.4.19.101")), "present").steps
    assert step.action == "annotate_pod"
    assert step.data["eip"] == "10.4.19.101"
    assert step.data["uid"] == "uid-default-web"
    assert step.interrupts is not None


def test_a_changed_eip_takes_the_old_rule_away_when_the_new_one_works(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    first = look(world, ask((WEB, "10.4.19.102")), "present")
    assert [(step.action, is_late(step)) for step in first.steps] == [("annotate_pod", False), ("clean", True)]
    assert drive(world, ask((WEB, "10.4.19.102"))) == ["annotate_pod", "clean"]
    assert rules(world) == [("10.4.19.102", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_a_changed_eip_of_a_stopped_vm_leaves_no_rule_of_the_old_one(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    assert drive(world, ask((VM, "10.4.19.102"))) == ["clean", "annotate_vm"]
    assert rules(world) == []
    world.start("testing")
    world.controller()
    assert rules(world) == [("10.4.19.102", "10.253.0.2")]


def test_a_stopped_vm_gets_its_template_only(world: World) -> None:
    world.stop("testing")
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_vm"]
    (problem,) = problems(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "VirtualMachine default/testing" in problem.text, "pending, it holds its address against others"


def test_routed_true_proves_nothing(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.rules.clear()
    assert unfinished(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert drive(world, ask((WEB, "10.4.19.101"))) == ["reroute_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]


def test_a_policy_to_a_former_gateway_is_made_right(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.policies.clear()
    world.add_policy("10.253.0.3", "10.4.19.2")
    assert drive(world, ask((WEB, "10.4.19.101"))) == ["reroute_pod"]
    assert [policy.nexthops for policy in world.policies] == [("10.4.19.1",)]


def test_a_pod_that_waits_for_the_controller_is_not_written_again(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.rules.clear()
    world.apply(look(world, ask((WEB, "10.4.19.101")), "present").steps[0])
    assert not look(world, ask((WEB, "10.4.19.101")), "present").steps
    assert unfinished(ask((WEB, "10.4.19.101")), "present", world.observed())


def test_eip_on_the_pod_alone_is_completed(world: World) -> None:
    key = next(key for key, pod in world.pods.items() if pod.vm)
    world.apply(look(world, ask((VM, "10.4.19.101")), "present").steps[2])
    world.controller()
    assert world.pods[key].eip == "10.4.19.101"
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_vm", "annotate_instance"]


def test_a_rule_that_leads_to_a_former_address_of_the_vm_is_replaced(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    world.kept = {"10.253.0.77": ("default", "testing")}
    world.start("testing")
    world.controller()
    assert rules(world) == [("10.4.19.101", "10.253.0.2")], "Kube-OVN leaves a rule with that external address alone"
    assert drive(world, ask((VM, "10.4.19.101"))) == ["clean", "reroute_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.77")]


def test_rules_and_policy_of_a_deleted_vm_make_room(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    assert drive(world, ask((WEB, "10.4.19.101"))) == ["clean", "annotate_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_a_rule_that_someone_wrote_by_hand_is_not_touched(world: World) -> None:
    world.add_rule("10.4.19.101", "10.253.0.200")
    (problem,) = problems(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "leads to no pod" in problem.text
    assert [step.action for step in look(world, ask((WEB, "10.4.19.101")), "present").steps] == ["annotate_pod"]


def test_removal_takes_annotations_rule_and_policy(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    assert drive(world, ask((VM, None)), "absent") == ["annotate_vm", "annotate_instance", "annotate_pod", "clean"]
    assert rules(world) == []
    assert matches(world) == []


def test_removal_of_another_address_than_the_holder_has_changes_nothing(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    assert drive(world, ask((VM, "10.4.19.102")), "absent") == []


def test_removal_of_a_leaked_address_leaves_the_valid_one(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.add_rule("10.4.19.102", "10.253.0.3")
    assert drive(world, ask((WEB, "10.4.19.102")), "absent") == ["clean"]
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_removal_keeps_the_policy_that_snat_needs(world: World) -> None:
    pod = world.add_pod("shop", "10.253.0.4", snat="10.4.19.200")
    world.controller()
    drive(world, ask((pod, "10.4.19.101")))
    drive(world, ask((pod, None)), "absent")
    assert matches(world) == ["10.253.0.4"]


def test_removal_waits_with_the_policy_until_kube_ovn_is_done(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    steps = look(world, ask((WEB, None)), "absent").steps
    assert [(step.action, is_late(step)) for step in steps] == [("annotate_pod", False), ("clean", True)]


def test_removal_from_a_stopped_vm_takes_what_it_left_in_nb(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    assert drive(world, ask((VM, None)), "absent") == ["clean", "annotate_vm"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_takes_a_rule_that_leads_to_a_former_address_too(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.rules.clear()
    world.add_rule("10.4.19.101", "10.253.0.77")
    assert drive(world, ask((VM, None)), "absent")[0] == "clean", "while the annotation still says whose it was"
    assert (rules(world), matches(world)) == ([], [])


def test_removal_for_a_deleted_vm_takes_what_it_left_in_nb(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    assert drive(world, ask((VM, "10.4.19.101")), "absent") == ["clean"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_for_a_vm_whose_address_is_not_yet_free_takes_the_policy_too(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing", address_kept=True)
    assert drive(world, ask((VM, "10.4.19.101")), "absent") == ["clean"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_leaves_a_deleted_vms_address_that_lives_on_elsewhere(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    heir = world.add_pod("heir", "10.253.0.2", "10.4.19.101")
    world.controller()
    assert drive(world, ask((VM, "10.4.19.101")), "absent") == []
    assert not look(world, ask((heir, "10.4.19.101")), "present").changed


def test_the_diff_shows_holders_that_change_and_no_others(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    change = look(world, ask((WEB, "10.4.19.101"), (VM, "10.4.19.102")), "present")
    assert list(change.before) == list(change.after) == ["VirtualMachine default/testing"]
    drive(world, ask((WEB, "10.4.19.101"), (VM, "10.4.19.102")))
    again = look(world, ask((VM, None)), "absent")
    assert again.before == change.after, "what was foretold is what came"
    assert again.after == change.before


# --- generated worlds ------------------------------------------------------------------------------------------------

ADDRESSES = [f"10.4.19.{number}" for number in range(101, 107)]
OVERLAY = [f"10.253.0.{number}" for number in range(2, 12)]
maybe_address = st.none() | st.sampled_from(ADDRESSES)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, list[Holder]]:
    """Any mix of pods and VMs with right, half-done, leaked and foreign annotations, rules and policies."""
    world = World()
    overlay = iter(draw(st.permutations(OVERLAY)))
    holders = []
    for number in range(draw(st.integers(1, 3))):
        snat = draw(st.none() | st.just("10.4.19.200"))
        holders.append(world.add_pod(f"pod-{number}", next(overlay), draw(maybe_address), snat=snat))
    for number in range(draw(st.integers(0, 3))):
        holder = world.add_vm(f"vm-{number}", next(overlay), draw(maybe_address), running=draw(st.booleans()))
        holders.append(holder)
        if world.vms["default", holder.name].running and draw(st.booleans()):
            world.migrate(holder.name)
    if draw(st.booleans()):
        world.controller()
    draw(disturbances(world))
    return world, holders


@st.composite
def disturbances(draw: st.DrawFn, world: World) -> None:
    """What else there may be: foreign and leaked rows, deleted VMs, OvnEips, annotations changed by hand."""
    for _number in range(draw(st.integers(0, 4))):
        world.add_rule(draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(OVERLAY)))
    for logical in draw(st.sets(st.sampled_from(OVERLAY), max_size=5)):
        world.add_policy(logical, draw(st.sampled_from(["10.4.19.1", "10.4.19.9"])))
    for name in [name for _namespace, name in world.vms]:
        if draw(st.integers(0, 5)) == 0:
            world.delete_vm(name, address_kept=draw(st.booleans()))
    for key, pod in list(world.pods.items()):
        if draw(st.integers(0, 3)) == 0:  # the controller has not been told of it
            world.pods[key] = replace(pod, eip=draw(maybe_address))
    claims = {pod.eip for pod in world.pods.values()} | {vm.template_eip for vm in world.vms.values()}
    if free := [address for address in ADDRESSES if address not in claims]:
        world.ovn_eips |= dict.fromkeys(draw(st.sets(st.sampled_from(free), max_size=1)), "someones")


@st.composite
def cases(draw: st.DrawFn) -> tuple[World, list[Eip], str]:
    """A world with a request that is not refused there."""
    world, holders = draw(worlds())
    state = draw(st.sampled_from(["present", "absent"]))
    chosen = draw(st.lists(st.sampled_from(holders), min_size=1, max_size=3, unique=True))
    if state == "present":
        addresses: Sequence[str | None] = draw(st.permutations(ADDRESSES))
    else:
        addresses = draw(st.lists(maybe_address, min_size=3, max_size=3))
    pairs = list(zip(chosen, addresses, strict=False))
    if state == "present":  # one by one, those that may have their address
        pairs = [pair for pair in pairs if not problems(ask(pair), state, world.observed())]
    assume(pairs)
    desired = ask(*pairs)
    assume(not problems(desired, state, world.observed()))
    return world, desired, state


@settings(PROFILE)
@given(cases())
def test_every_run_converges_and_the_next_one_does_nothing(case: tuple[World, list[Eip], str]) -> None:
    world, desired, state = case
    drive(world, desired, state)
    again = look(world, desired, state)
    assert (again.steps, dict(again.before), dict(again.after)) == ((), {}, {})
    assert not problems(desired, state, world.observed())


@settings(PROFILE)
@given(cases())
def test_no_address_ever_has_more_rules_than_before(case: tuple[World, list[Eip], str]) -> None:
    world, desired, state = case

    def count(address: str | None) -> int:
        return sum(rule.external_ip == address for rule in world.rules)

    first = {eip.address: max(1, count(eip.address)) for eip in desired}

    def check() -> None:
        assert all(count(address) <= most for address, most in first.items())

    drive(world, desired, state, check)


@settings(PROFILE)
@given(cases())
def test_nothing_of_others_is_touched(case: tuple[World, list[Eip], str]) -> None:
    world, desired, state = case
    assume(world.settle())  # what it would have done anyway is not the run's
    assume(not problems(desired, state, world.observed()))
    before = world.copy()
    own = {(eip.holder.namespace, eip.holder.name) for eip in desired}
    drive(world, desired, state)
    live = {pod.ip: (pod.namespace, pod.vm or pod.name) for pod in before.pods.values()} | before.kept
    others = {ip for ip, owner in live.items() if owner not in own}
    asked = {eip.address for eip in desired}
    for key, pod in before.pods.items():
        if (pod.namespace, pod.vm or pod.name) not in own:
            assert world.pods[key] == pod
    for name, vm in before.vms.items():
        if name not in own:
            assert world.vms[name] == vm
    for rule in before.rules:
        if rule.logical_ip in others or rule.external_ip in world.ovn_eips:
            assert rule in world.rules
        if rule.logical_ip not in live and state == "present" and rule.external_ip not in asked:
            assert rule in world.rules
    for policy in before.policies:
        if policy.match.removeprefix("ip4.src == ") in others:
            assert policy in world.policies


@settings(PROFILE)
@given(cases(), st.integers(0, 12), st.booleans())
def test_a_killed_run_is_completed_by_the_next(case: tuple[World, list[Eip], str], writes: int, awake: bool) -> None:
    world, desired, state = case
    assume(world.settle() and not problems(desired, state, world.observed()))
    straight = world.copy()
    drive(straight, desired, state)
    for step in [step for step in look(world, desired, state).steps if not is_late(step)][:writes]:
        world.apply(step)
    if awake:
        world.controller()
    assert not problems(desired, state, world.observed()), "what a killed run left is not held against its own holder"
    drive(world, desired, state)
    assert world.state() == straight.state()
