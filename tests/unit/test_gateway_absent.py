# SPDX-License-Identifier: GPL-3.0-or-later
"""No gateway any more: what a removal leaves behind, also one that is killed or not waited for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import hand_labelled
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._model import Plan
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway_cases import NAMES, actions, gateway, run, up
from support.gateway_world import Machine, World

# A moment between two looks of the controller, which comes to each full second.
moments = pytest.mark.parametrize("moment", [0.1, 0.3, 0.5, 0.7, 0.9])


class Slow(World):
    """Looks take their time, as over a network."""

    def observe(self):  # type: ignore[no-untyped-def]
        self.sleep(0.2)
        return super().observe()


def at(moment: float) -> World:
    """A gateway that works, at that moment."""
    world = Slow({name: Machine() for name in NAMES})
    run(gateway(), world)
    world.sleep(10)
    world.now = float(int(world.now))
    world.sleep(moment)
    return world


def labels(world: World) -> dict[str, str]:
    return {name: machine.label for name, machine in world.machines.items() if machine.label}


def nothing_is_left(world: World) -> None:
    world.sleep(20)
    assert labels(world) == {}
    seen = world.observe()
    assert plan(None, seen).steps == ()
    assert hand_labelled(None, seen) == []


def test_a_removal_disables_first_and_deletes_the_config_map_last() -> None:
    world = up()
    steps = run(None, world)
    assert actions(steps) == ["write_config_map", "delete_external", "label", "delete_config_map"]
    assert [step.disruption for step in steps.steps] == ["long", "long", "none", "none"]
    nothing_is_left(world)


@moments
def test_a_config_map_that_was_deleted_just_now_left_labels_that_are_nobody_elses(moment: float) -> None:
    world = at(moment)
    world.delete_config_map()
    run(None, world)
    nothing_is_left(world)


@moments
def test_a_gateway_asked_for_just_after_that_has_its_own_labels_alone(moment: float) -> None:
    world = at(moment)
    world.delete_config_map()
    run(gateway("g1", "g2"), world)
    world.sleep(20)
    assert {name for name, value in labels(world).items() if value == "true"} == {"g1", "g2"}
    assert plan(gateway("g1", "g2"), world.observe()).steps == ()


@moments
def test_a_removal_that_is_not_waited_for_is_finished_by_the_next(moment: float) -> None:
    world = at(moment)
    with suppress(NotReached):
        run(None, world, timeout=0)
    run(None, world)
    nothing_is_left(world)


@settings(max_examples=100)
@given(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 5), st.integers(0, 12), st.booleans())
def test_a_killed_removal_is_finished_by_the_next(moment: float, steps: int, pause: int, foreign: bool) -> None:
    world = at(moment)
    if foreign:
        world.machines["g4"].label = "true"
    seen = world.observe()
    Run(None, world, seen, world, 60).apply(Plan(plan(None, seen).steps[:steps]))
    world.sleep(pause / 4)
    run(None, world)
    world.sleep(20)
    assert labels(world) == ({"g4": "true"} if foreign else {})
    assert (world.config_map, world.mac, world.switch) == (None, None, False)
    assert plan(None, world.observe()).steps == ()
