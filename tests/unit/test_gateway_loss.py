# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes of the gateway cost on the model of a site: never more than the plan declares, in whatever state."""

from __future__ import annotations

from ansible_collections.kubeovn.core.plugins.module_utils._gateway_look import DAEMON_TURN, Look
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from support.gateway_cases import gateway, run, up
from support.gateway_world import Machine

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
