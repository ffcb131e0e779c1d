# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for EIPs in custom VPCs over generated worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_check import object_problems, status_of_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Port
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.vpc_cases import MAIL, ONE, THREE, TWO, WEB, Ask, Wish, by_hand, drive, plan
from support.vpc_world import GATEWAY_NODE, VpcWorld

PROFILE = settings(max_examples=150, report_multiple_bugs=False)  # on top of conftest.py's
ADDRESSES = [ONE, TWO, THREE]
OVERLAY = [f"10.9.0.{number}" for number in range(2, 9)]


@st.composite
def asks(draw: st.DrawFn, holders: Sequence[Holder]) -> Ask:
    """Any request."""
    kind = draw(st.sampled_from(["fip", "snat", "dnat"]))
    ports = draw(st.lists(st.sampled_from([WEB, MAIL, Port(53, 53, "udp")]), min_size=1, unique=True))
    ask = Ask(draw(st.sampled_from(holders)), draw(st.sampled_from(ADDRESSES)), kind)
    return replace(ask, ports=tuple(ports)) if kind == "dnat" else ask


@st.composite
def worlds(draw: st.DrawFn) -> tuple[VpcWorld, list[Holder]]:
    """Any mix of done, half-done and disturbed objects, of the collection and of others."""
    world = VpcWorld()
    overlay = iter(draw(st.permutations(OVERLAY)))
    holders = [
        world.add_holder(f"vm-{number}", next(overlay), node=draw(st.sampled_from([GATEWAY_NODE, "worker"])))
        for number in range(draw(st.integers(1, 3)))
    ]
    for ask in draw(st.lists(asks(holders), max_size=3)):
        if not object_problems(ask, world.seen()):
            begin(world, ask, draw(st.integers(1, 4)))
    free = [one for one in ADDRESSES if world.seen().eip_at(one) is None]
    if draw(st.booleans()) and free:
        by_hand(world, "theirs", f"{draw(st.sampled_from(holders)).name}.shop", draw(st.sampled_from(free)))
    if draw(st.booleans()):
        world.settle()
    draw(disturbances(world))
    if draw(st.integers(0, 3)) == 0:
        world.move(holders[0], next(overlay))
    return world, holders


def begin(world: VpcWorld, ask: Ask, rounds: int) -> None:
    """As far as a killed run came."""
    for _round in range(rounds):
        for step in plan(Wish(ask), world.seen()):
            if not step.data["late"]:
                world.apply(step)
        world.controller()


@st.composite
def disturbances(draw: st.DrawFn, world: VpcWorld) -> None:
    """Rows that somebody has deleted in OVN, and objects, some of them while the controller did not run."""
    world.rows = [row for row in world.rows if draw(st.integers(0, 4))]
    world.controller_runs = draw(st.booleans())
    for key in list(world.objects):
        if draw(st.integers(0, 6)) == 0:
            world.delete(*key)
    world.controller_runs = True


@st.composite
def cases(draw: st.DrawFn) -> tuple[VpcWorld, Wish]:
    """A world with a request that is not refused there."""
    world, holders = draw(worlds())
    ask, state = draw(asks(holders)), draw(st.sampled_from(["present", "detached", "absent"]))
    wish = Wish(ask, state, adopt=draw(st.booleans()))
    if state != "present":
        wish = replace(wish, ask=replace(ask, address=draw(st.none() | st.just(ask.address))))
    else:
        assume(not object_problems(ask, world.seen(), wish.adopt))
    return world, wish


@settings(PROFILE)
@given(cases())
def test_every_run_converges_and_the_next_one_does_nothing(case: tuple[VpcWorld, Wish]) -> None:
    world, wish = case
    drive(world, wish)
    assert drive(world, wish) == []
    before = [row for row in world.rows if row.external_ip == wish.ask.address]
    world.settle()
    if wish.state == "present":
        assert drive(world, wish) == []
        assert status_of_objects(wish.ask, world.seen()) == "attached"
        assert [row for row in world.rows if row.external_ip == wish.ask.address] == before
        assert not object_problems(wish.ask, world.seen(), wish.adopt)


@settings(PROFILE)
@given(cases())
def test_what_others_have_is_as_it_was(case: tuple[VpcWorld, Wish]) -> None:
    world, wish = case
    world.settle()
    assume(wish.state != "present" or not object_problems(wish.ask, world.seen(), wish.adopt))
    own = (str(wish.ask.holder), None) if wish.adopt else (str(wish.ask.holder),)

    def of_others() -> dict[str, str]:
        seen = world.seen()
        return {
            str(rule): repr(seen.rows_of(rule)) for rule in seen.rules if rule.holder not in own and not rule.deleting
        }

    before = of_others()
    drive(world, wish)
    assert of_others() == before
