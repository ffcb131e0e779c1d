# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gateways belong in NB: rescue, give-back and drain, and what a run makes of them on the model of a site."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import RESCUED_NOTE
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence, evidence_of
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_verify import degraded, unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, Plan
from support.gateway_cases import actions, gateway, run, up
from support.gateway_world import World


def without_worker() -> World:
    """Three gateways, and no other node that they could have a tunnel with."""
    world = up()
    del world.machines["g4"]
    return world


def told(asked: ExternalGateway, world: World) -> str:
    seen = world.observe()
    return "; ".join(degraded(asked, seen, seen))


def dies(world: World, *names: str) -> None:
    for name in names:
        world.machines[name].ready = False
    world.elect()


def forwarder(world: World) -> str | None:
    return world.active


def comes_back(world: World, name: str) -> None:
    world.machines[name].ready = True
    world.elect()


# --- rescue and give-back -------------------------------------------------------------------------------------------


def test_a_lone_survivor_is_rescued() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    assert forwarder(world) is None  # though g3 is healthy
    assert "rescue: true" in told(gateway(), world)
    steps = run(gateway(rescue=True), world)
    assert actions(steps) == ["note", "order", "delete_gateway_chassis"]
    assert world.active == "g3"
    assert world.rows == {"g3": 100}
    assert world.notes == {RESCUED_NOTE: "g1,g2"}
    assert not run(gateway(rescue=True), world).changed


def test_without_rescue_the_run_fails_and_says_what_would_help() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    with pytest.raises(NotReached) as caught:
        run(gateway(), world)
    assert any("rescue: true" in problem.hint for problem in caught.value.problems)
    assert set(world.rows) == {"g1", "g2", "g3"}


def test_rows_that_the_controller_adds_again_go_again() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    run(gateway(rescue=True), world)
    run(gateway(rescue=True, nic_ip="10.4.19.253/24"), world)  # whatever text changes brings all rows back
    world.sleep(10)
    assert set(world.rows) == {"g3"}
    assert world.active == "g3"


def test_nobody_is_taken_out_when_all_are_dead() -> None:
    world = without_worker()
    dies(world, "g1", "g2", "g3")
    seen = world.observe()
    assert seen.members(gateway(rescue=True)).out == {}
    assert unfinished(gateway(rescue=True), seen)


def test_a_gateway_comes_back_only_when_proven() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    run(gateway(rescue=True), world)
    comes_back(world, "g1")
    for evidence in ({}, {"g1": Evidence(("bridge br-external does not exist",))}):
        world.evidence = evidence
        assert not run(gateway(rescue=True), world).changed
        assert not run(gateway(), world).changed
        assert set(world.rows) == {"g3"}
        assert "not proven" in told(gateway(), world)
    world.evidence = {"g1": Evidence(())}
    steps = run(gateway(rescue=True), world)
    assert actions(steps) == ["warm_up", "add_gateway_chassis", "order", "cool_down", "note"]
    assert world.rows == {"g1": 100, "g3": 99}
    assert world.active == "g1"
    assert world.notes == {RESCUED_NOTE: "g2"}
    comes_back(world, "g2")
    world.evidence |= {"g2": Evidence(())}
    assert actions(run(gateway(), world)) == ["add_gateway_chassis", "order", "note"]
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert world.notes == {}


def test_an_unproven_gateway_is_better_than_none() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    run(gateway(rescue=True), world)
    dies(world, "g3")
    comes_back(world, "g1")
    world.machines["g2"].ready = True
    run(gateway(rescue=True), world)
    assert world.active == "g1"


def test_a_node_that_answers_is_not_dead() -> None:
    world = up()
    world.machines["g1"].ready = False  # its kubelet is stopped, no more
    world.evidence = {"g1": Evidence(())}
    assert plan(gateway(rescue=True), world.observe()).steps == ()


def test_one_dead_of_three_is_taken_out_and_the_traffic_stays_when_it_is_back() -> None:
    world = up()
    dies(world, "g1")
    run(gateway(rescue=True), world)
    assert world.rows == {"g2": 100, "g3": 99}
    comes_back(world, "g1")
    assert world.active == "g2"  # OVN would have given it back at once, ready or not


def test_a_gateway_whose_tunnel_does_not_come_up_is_not_given_back() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    run(gateway(rescue=True), world)
    comes_back(world, "g1")
    world.evidence = {"g1": Evidence(())}  # with one row nobody watches tunnels, so it cannot know
    world.dark = True
    with pytest.raises(NotReached) as caught:
        run(gateway(rescue=True), world)
    assert "no tunnel to g1 comes up" in str(caught.value.problems[0])
    assert (world.rows, world.active, world.warm) == ({"g3": 100}, "g3", ())


def test_a_write_brings_nobody_back_that_is_left_out() -> None:
    world = up()
    dies(world, "g1")
    run(gateway(rescue=True), world)
    comes_back(world, "g1")
    world.blind.clear()
    steps = run(gateway(rescue=True, nic_ip="10.4.19.253/24"), world)
    assert actions(steps) == ["set_router_port", "raise", "write_config_map", "order", "note"]
    world.sleep(10)
    assert world.rows == {"g2": 100, "g3": 99}
    assert world.was_active == ["g1", "g2"]


def test_a_give_back_that_is_killed_is_proven_again() -> None:
    world = without_worker()
    dies(world, "g1", "g2")
    run(gateway(rescue=True), world)
    comes_back(world, "g1")
    world.evidence = {"g1": Evidence(())}
    seen = world.observe()
    steps = plan(gateway(rescue=True), seen).steps
    Run(gateway(rescue=True), world, seen, world, 60).apply(Plan(steps[:1]))
    world.evidence = {}
    run(gateway(rescue=True), world)
    assert set(world.rows) == {"g3"}


def test_a_disabled_gateway_remembers_who_is_not_proven() -> None:
    world = without_worker()
    dies(world, "g1")
    run(gateway(rescue=True), world)
    run(gateway(rescue=True, enabled=False), world)
    comes_back(world, "g1")
    run(gateway(rescue=True), world)
    assert set(world.rows) == {"g2", "g3"}


# --- drain ----------------------------------------------------------------------------------------------------------


def test_a_drained_gateway_stands_last_and_the_config_map_stays() -> None:
    world = up()
    before = dict(world.config_map or {})
    asked = gateway(drained=("g1",))
    steps = run(asked, world)
    assert actions(steps) == ["order"]
    assert steps.steps[0].disruption == "brief"
    assert world.rows == {"g2": 100, "g3": 99, "g1": 98}
    assert world.active == "g2"
    assert world.config_map == before
    assert "g1 is drained" in told(asked, world)
    assert not run(asked, world).changed
    run(gateway(), world)
    assert world.active == "g1"


def test_a_drained_standby_interrupts_nobody() -> None:
    steps = plan(gateway(drained=("g2",)), up().observe()).steps
    assert [step.disruption for step in steps] == ["none"]


def test_a_drain_that_leaves_one_alone_takes_the_drained_and_the_dead_rows_out() -> None:
    world = without_worker()
    dies(world, "g3")
    asked = gateway(drained=("g1",))
    steps = run(asked, world)
    assert actions(steps)[-1] == "delete_gateway_chassis"
    assert "no other live chassis" in steps.steps[-1].text
    assert world.rows == {"g2": 100}
    dies(world, "g1")  # its maintenance
    assert world.active == "g2"
    comes_back(world, "g1")
    assert not run(asked, world).changed
    run(gateway(), world)
    assert world.rows == {"g1": 100, "g2": 99}
    assert world.notes == {RESCUED_NOTE: "g3"}


def test_a_removal_that_leaves_one_alone_takes_the_dead_rows_out() -> None:
    world = without_worker()
    dies(world, "g3")
    run(gateway("g2", "g3"), world)
    assert world.rows == {"g2": 100}
    dies(world, "g1")
    assert world.active == "g2"
    assert not run(gateway("g2", "g3"), world).changed


def test_the_last_one_in_service_may_be_a_drained_one() -> None:
    world = up()
    run(gateway(drained=("g1",)), world)
    dies(world, "g2", "g3")
    assert unfinished(gateway(drained=("g1",)), world.observe()) == []
    assert world.active == "g1"


def test_a_drain_does_not_move_traffic_to_a_gateway_that_is_not_proven() -> None:
    world = up("g1", "g2")
    del world.machines["g3"], world.machines["g4"]
    dies(world, "g1")
    run(gateway("g1", "g2", rescue=True), world)
    comes_back(world, "g1")
    world.evidence = {"g1": Evidence(("NIC enp8s0 is not in the bridge",)), "g2": Evidence(())}
    asked = gateway("g1", "g2", drained=("g2",), rescue=True)
    run(asked, world)
    assert (world.active, world.rows) == ("g2", {"g2": 100})
    assert "g2 is drained, and carries the traffic all the same" in told(asked, world)
    world.evidence["g1"] = Evidence(())
    run(asked, world)
    assert world.active == "g1"


# --- evidence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "faults"),
    [
        ({"missing": []}, ()),
        ({"missing": ["bridge mapping external"]}, ("bridge mapping external",)),
        ({"missing": [], "tunnels_down": ["10.4.17.12"], "tunnels_up": ["10.4.17.13"]}, ()),  # the peer's fault
        ({"missing": [], "tunnels_down": ["10.4.17.12"], "tunnels_up": []}, ("the tunnel to 10.4.17.12 is down",)),
        (None, ("its NIC was not looked at",)),
    ],
)
def test_what_a_node_shows(side: dict[str, Any] | None, faults: tuple[str, ...]) -> None:
    result: dict[str, Any] = {"links": {}} | ({"gateway": side} if side is not None else {})
    assert evidence_of({"g1": result, "g2": {"unreachable": True}, "g3": None}) == {"g1": Evidence(faults)}
