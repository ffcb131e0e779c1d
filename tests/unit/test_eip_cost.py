# SPDX-License-Identifier: GPL-3.0-or-later
"""The work that a plan for many EIPs takes grows as their number does. Calls are counted: no time is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip import plan, wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import merged
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Claim, Claimant, Eip, Holder
from support.eip_cases import ask, claimed, look, run, wish
from support.eip_world import World

SHARED = "10.4.19.200"
FEW, MANY = 40, 160  # holders
Case = tuple[Sequence[Eip], Observed]


def calls(action: Callable[[], object]) -> int:
    """How many functions are called while something is done."""
    count = 0

    def note(_frame: object, event: str, _detail: object) -> None:
        nonlocal count
        count += event == "call"

    old = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(old)
    return count


def pods(world: World, number: int, snat: str | None = None) -> list[Holder]:
    return [world.add_pod(f"pod-{one}", f"10.253.{one // 200}.{one % 200 + 2}", snat=snat) for one in range(number)]


def sharers(number: int) -> tuple[World, list[Holder]]:
    """A SNAT address with many holders, all of it as it must be."""
    world = World()
    holders = pods(world, number, SHARED)
    for holder in holders:
        world.add_claim(SHARED, holder, "snat")
    world.settle()
    return world, holders


def releasing(number: int) -> Case:
    world, holders = sharers(number)
    return ask(*((holder, None) for holder in holders), kind="snat"), world.observed()


def keeping(number: int) -> Case:
    world, holders = sharers(number)
    return ask(*((holder, SHARED) for holder in holders), kind="snat"), world.observed()


def joining(number: int) -> Case:
    world, _holders = sharers(number)
    more = [world.add_pod(f"more-{one}", f"10.253.{one // 200 + 10}.{one % 200 + 2}") for one in range(number)]
    world.settle()
    return ask(*((holder, SHARED) for holder in more), kind="snat"), world.observed()


def taking(number: int) -> Case:
    world = World()
    owners = pods(world, number)
    addresses = [f"10.4.19.{one + 20}" for one in range(number)]
    for owner, address in zip(owners, addresses, strict=True):
        world.pods[owner.namespace, owner.name] = replace(world.pods[owner.namespace, owner.name], eip=address)
        world.add_claim(address, owner)
    takers = [world.add_pod(f"taker-{one}", f"10.253.{one // 200 + 10}.{one % 200 + 2}") for one in range(number)]
    world.settle()
    return ask(*zip(takers, addresses, strict=True)), world.observed()


@pytest.mark.parametrize(
    ("case", "state", "reassign"),
    [
        pytest.param(releasing, "absent", False, id="release of a shared address"),
        pytest.param(keeping, "present", False, id="a shared address that is right"),
        pytest.param(joining, "present", False, id="more holders of a shared address"),
        pytest.param(taking, "present", True, id="addresses that are taken from others"),
    ],
)
def test_four_times_as_many_holders_are_four_times_the_work(
    case: Callable[[int], Case], state: str, reassign: bool
) -> None:
    wishes = wish(state, reassign=reassign)

    def work(number: int) -> int:
        desired, observed = case(number)
        assert not problems(desired, wishes, observed)

        def decide() -> None:
            wants_kept(desired, wishes, observed)
            problems(desired, wishes, observed)
            plan(desired, wishes, observed)
            unfinished(desired, wishes, observed)

        return calls(decide)

    assert work(MANY) < 4.4 * work(FEW)


def test_many_leave_a_shared_address_in_one_write() -> None:
    world, holders = sharers(12)
    steps = look(world, ask(*((holder, None) for holder in holders[2:]), kind="snat"), "absent").steps
    releases = [step for step in steps if step.action == "release_claim"]
    assert [[one.holder for one in step.data["after"].claimants] for step in releases] == [holders[:2]]
    run(world, ask(*((holder, None) for holder in holders), kind="snat"), "absent")
    assert (world.rules, claimed(world)) == ([], {})


# --- several steps on one claim -------------------------------------------------------------------------------------


def test_whoever_joins_a_claim_brings_those_it_takes_from() -> None:
    world = World()
    first, second = world.add_pod("first", "10.253.0.2"), world.add_pod("second", "10.253.0.3")
    owners = [world.add_pod(f"owner-{one}", f"10.253.0.{one + 8}", SHARED) for one in range(2)]
    steps = look(world, ask((first, SHARED), (second, SHARED), kind="snat"), reassign=True).steps
    (claim,) = [step.data["after"] for step in steps if step.action == "claim"]
    assert [one.holder for one in claim.claimants] == [first, second]
    assert {one.holder for one in claim.former} == set(owners)


def test_of_two_joined_claims_no_former_holder_is_lost() -> None:
    world = World()
    holders, former = pods(world, 2), [Claimant(Holder("Pod", "default", name), "") for name in ("x", "y")]
    steps = []
    for holder, old in zip(holders, former, strict=True):
        (step,) = [one for one in look(world, ask((holder, SHARED), kind="snat")).steps if one.action == "claim"]
        steps.append(replace(step, data={**step.data, "after": replace(step.data["after"], former=(old,))}))
    after: Claim = merged(steps).data["after"]
    assert ([one.holder for one in after.claimants], list(after.former)) == (holders, former)


def test_two_holders_that_were_made_anew_are_in_the_claim_once_each() -> None:
    world, holders = sharers(3)
    for holder in holders[:2]:
        key = (holder.namespace, holder.name)
        world.pods[key] = replace(world.pods[key], uid=f"anew-{holder.name}")
    steps = look(world, ask(*((holder, SHARED) for holder in holders), kind="snat")).steps
    (claim,) = [step.data["after"] for step in steps if step.action == "claim"]
    assert [one.holder for one in claim.claimants] == holders
    assert [one.uid for one in claim.claimants] == [world.uid_of(holder) for holder in holders]
