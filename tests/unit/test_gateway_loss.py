# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes of the gateway cost on the model of a site: never more than the plan declares, in whatever state."""

from __future__ import annotations

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_look import DAEMON_TURN, Look, first_look
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_show import announcement, shape
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, Plan
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway_cases import ADDRESSES, NAMES, bare, gateway, run, up
from support.gateway_world import Machine, World

# --- gateways without a chassis -------------------------------------------------------------------------------------


def test_a_gateway_whose_chassis_is_gone_is_replaced() -> None:
    """The controller fails at it, each second again, and takes all labels off each time."""
    world = up("g1", "g2")
    world.machines["g1"].ready = world.machines["g1"].chassis = False
    world.elect()
    world.was_active.clear()
    run(gateway("g3", "g2"), world)
    world.sleep(10)
    assert world.blind == world.silent == []
    assert world.rows == {"g3": 100, "g2": 99}
    assert plan(gateway("g3", "g2"), world.observe()).steps == ()


# --- traffic waits for the bridge -----------------------------------------------------------------------------------


def test_traffic_does_not_move_to_a_new_gateway_because_another_row_comes_by_the_way() -> None:
    """Rows of nodes that others labelled, or that are dead, come with the controller's turn and go again."""
    world = up("g1")
    world.machines["g4"].label = "true"
    world.sleep(10)
    world.blind.clear()
    run(gateway("g2", "g1"), world)
    assert world.blind == []
    world = up("g1", "g2", "g3")
    world.machines["g3"].ready = False
    run(gateway("g1", "g2", "g3", rescue=True), world)
    run(gateway("g4", "g1", "g2", "g3", rescue=True), world)
    assert world.blind == []


def test_a_dead_active_gateway_is_replaced_by_one_with_a_bridge() -> None:
    world = up("g1", "g2")
    world.machines["g1"].ready = False
    world.sleep(5)
    run(gateway("g4", "g2", "g1", rescue=True), world)
    assert world.blind == []
    assert world.active == "g4"


def test_a_mapping_alone_is_no_bridge() -> None:
    """A kernel datapath's daemon deletes the bridge of a node that is no gateway any more, and not the mapping."""
    world = up("g1", "g2")
    run(gateway("g2"), world)
    world.sleep(10)
    assert (world.machines["g1"].bridge, world.machines["g1"].mapping) == (False, True)
    run(gateway("g1", "g2"), world)
    assert world.blind == []
    assert world.active == "g1"


def test_a_lost_label_is_back_when_the_bridge_is() -> None:
    world = up("g1", "g2")
    world.machines["g1"].label = "false"
    world.sleep(5)
    assert not world.machines["g1"].bridge
    run(gateway("g1", "g2"), world)
    assert world.machines["g1"].bridge


def test_in_user_space_a_mapping_is_a_bridge() -> None:
    world = up("g2")
    world.machines["g1"] = Machine(label="false", mapping=True)
    world.machines["g3"] = Machine(label="false", mapping=True, bridge=True, userspace=True)
    look = Look(world.observe, world, world.observe())
    world.label({"g1": "true", "g3": "true"})
    assert [look().mapped(name) for name in ("g1", "g3")] == [False, True]
    world.sleep(DAEMON_TURN)
    assert look().mapped("g1")


# --- rows that the controller adds by the way -----------------------------------------------------------------------


def told(steps: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.disruption) for step in steps.steps]


def in_user_space(world: World) -> World:
    for machine in world.machines.values():
        machine.userspace = True
    return world


@pytest.mark.parametrize(
    ("first", "asked", "other"),
    [
        (("g2", "g1"), gateway("g1", "g2", type="distributed", drained=("g1",)), "g3"),
        (("g1", "g2"), gateway("g2", "g1", type="distributed", drained=("g2",)), "g4"),
        (("g1", "g2", "g3"), gateway("g1", "g3", "g2", type="distributed"), "g4"),
        (("g1", "g2", "g3"), gateway("g1", "g2", type="distributed"), "g4"),
    ],
)
def test_distributed_moves_no_traffic_where_others_labelled_a_node(
    first: tuple[str, ...], asked: ExternalGateway, other: str
) -> None:
    world = in_user_space(up(*first))
    world.machines[other].label = "true"
    world.sleep(10)
    world.was_active = [first[0]]
    steps = run(asked, world)
    world.sleep(10)
    assert world.was_active == [first[0]], told(steps)
    assert world.silent == []


@pytest.mark.parametrize("type_", ["centralized", "distributed"])
def test_a_rescue_with_another_change_lets_nobody_go(type_: str) -> None:
    """The write brings the dead gateway's row back, so it goes after that: one row that becomes two is a gap."""
    world = in_user_space(up("g1", "g2"))
    world.machines["g2"].ready = False
    world.sleep(5)
    steps = run(gateway("g1", "g2", rescue=True, nic_ip=ADDRESSES[1], type=type_), world)
    world.sleep(10)
    assert world.silent == []
    assert set(world.rows) == {"g1"}
    assert {disruption for action, disruption in told(steps) if action == "write_config_map"} == {"none"}


def test_a_row_that_makes_two_of_one_is_declared() -> None:
    world = in_user_space(up("g1", "g2"))
    world.machines["g4"].label = "true"
    world.stale_cache = True
    steps = run(gateway("g1"), world)
    assert world.silent  # OVN leaves no other way
    assert ("write_config_map", "brief") in told(steps)


# --- whatever happens -----------------------------------------------------------------------------------------------

EVENTS = ("dies", "comes back", "is proven", "is labelled by others")


@st.composite
def gateways(draw: st.DrawFn) -> ExternalGateway:
    """Whatever a task may ask for that leaves the gateway in service."""
    nodes = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return gateway(
        *nodes,
        nic_ip=draw(st.sampled_from(ADDRESSES)),
        rescue=draw(st.booleans()),
        type=draw(st.sampled_from(["centralized", "centralized", "distributed"])),
        drained=tuple(name for name in nodes[:-1] if draw(st.integers(0, 3)) == 0),
    )


events = st.one_of(
    gateways(), st.tuples(st.sampled_from(EVENTS), st.sampled_from(NAMES)), st.just(("controller", "restarts"))
)


def happens(world: World, asked: ExternalGateway, what: str, name: str) -> None:
    """Something that no run did."""
    if what == "controller":
        world.restart()
    elif what == "dies" and sum(machine.ready for machine in world.machines.values()) > 1:
        world.machines[name].ready = False
        world.evidence.pop(name, None)
    elif what == "comes back":
        world.machines[name].ready = True
    elif what == "is proven" and world.machines[name].ready:
        world.evidence[name] = Evidence(())
    elif what == "is labelled by others" and name not in asked.nodes:
        world.machines[name].label = "true"
    world.sleep(5)


def may_be_asked(world: World, asked: ExternalGateway, last: ExternalGateway) -> bool:
    """What is not refused: a gateway that lives, and newcomers that do."""
    dead = [name for name in asked.nodes if not world.machines[name].ready]
    return len(dead) < len(asked.nodes) and all(name in last.nodes for name in dead)


def costs_what_it_says(world: World, asked: ExternalGateway) -> None:
    """One run: what it declared before, and what it came to."""
    world.elect()
    before = world.active
    world.blind, world.silent, world.was_active = [], [], [before] if before else []
    seen = first_look(world.observe, world)
    steps = plan(asked, seen)
    doing = Run(asked, world, seen, world, 60)
    try:
        doing.apply(steps)
        doing.verify()
    except NotReached as reason:
        world.sleep(10)
        if not asked.rescue and any("rescue: true" in problem.hint for problem in reason.problems):
            return
        raise
    assert steps.after == shape(world.observe())
    world.sleep(10)
    assert plan(asked, world.observe()).steps == ()
    assert world.active
    if not before:
        return
    if {step.disruption for step in steps.steps} <= {"none"}:
        assert (world.blind, world.silent, world.was_active) == ([], [], [before]), told(steps)
    assert world.blind == [], told(steps)
    assert len(world.silent) < 10, told(steps)  # moments of a tenth of a second
    if world.was_active != [before]:
        assert (announcement(asked, seen) or {}).get("not_from") == before, told(steps)


@settings(max_examples=200)
@given(gateways(), st.lists(events, min_size=1, max_size=6), st.booleans())
def test_a_gateway_s_life_costs_what_the_plans_say(
    first: ExternalGateway, later: list[ExternalGateway | tuple[str, str]], stale: bool
) -> None:
    world = in_user_space(bare())
    run(first, world)
    world.sleep(10)
    world.stale_cache = stale
    asked = first
    for event in later:
        if isinstance(event, tuple):
            happens(world, asked, *event)
        elif may_be_asked(world, event, asked):
            asked = event
            costs_what_it_says(world, asked)


@settings(max_examples=300)
@given(
    gateways(),
    gateways(),
    st.sets(st.sampled_from(NAMES), max_size=1),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.booleans(),
    st.none() | st.frozensets(st.sampled_from(NAMES)),
)
def test_a_change_costs_what_its_plan_says(
    first: ExternalGateway,
    asked: ExternalGateway,
    others: set[str],
    dead: set[str],
    stale: bool,
    behind: frozenset[str] | None,
) -> None:
    """From a gateway with nodes that others labelled and nodes that are dead."""
    world = in_user_space(bare())
    run(first, world)
    world.stale_cache, world.behind = stale, behind
    for name in others:
        happens(world, first, "is labelled by others", name)
    for name in dead:
        happens(world, first, "dies", name)
    if may_be_asked(world, asked, first):
        costs_what_it_says(world, asked)
