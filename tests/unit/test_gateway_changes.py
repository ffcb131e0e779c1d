# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the external gateway one by one: what each does on the model of a site, and what it interrupts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    COMING_NOTE,
    HAND_NOTE,
    LEAVING_NOTE,
    NODES_KEY,
    ExternalSubnet,
    Observed,
    config_data,
    hand_labelled,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import evidence_of
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_show import announcement, shape
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, Plan
from ansible_collections.kubeovn.core.plugins.module_utils._module import disruption_problems
from support.gateway_cases import MACS, NATS, PORTS, actions, bare, gateway, run, up

# --- disabled, distributed, labels of others ------------------------------------------------------------------------


def test_a_disabled_gateway_keeps_its_config_map_and_its_eips() -> None:
    world = up()
    world.nats = NATS[:1]
    steps = run(gateway(enabled=False), world)
    assert actions(steps) == ["write_config_map", "delete_router_port"]
    assert {step.disruption for step in steps.steps} == {"long"}
    assert steps.after == shape(world.observe())
    assert (world.config_map or {})["enable-external-gw"] == "false"
    assert (world.config_map or {})[NODES_KEY] == "g1,g2,g3"
    assert (world.mac, world.rows, world.switch, world.nats) == (None, {}, True, NATS[:1])
    assert not run(gateway(enabled=False), world).changed
    run(gateway(), world)
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}


@pytest.mark.parametrize("pause", [0.0, 0.5, 3.0])
def test_a_gateway_that_was_enabled_just_now_is_disabled(pause: float) -> None:
    for kind in ("centralized", "distributed"):
        world = bare()
        world.config_map = config_data(gateway())
        world.sleep(0.5)
        asked = gateway(enabled=False, type=kind)
        seen = world.observe()
        steps = plan(asked, seen)
        world.sleep(pause)
        doing = Run(asked, world, seen, world, 60)
        doing.apply(steps)
        doing.verify()
        world.sleep(10)
        assert (world.mac, world.active) == (None, None)
        assert plan(asked, world.observe()).steps == ()


def test_distributed_is_written_once_the_nodes_are_labelled() -> None:
    world = bare()
    steps = run(gateway(type="distributed"), world)
    assert actions(steps) == ["write_config_map", "order", "write_config_map"]
    assert [step.data["data"]["type"] for step in steps.steps if "data" in step.data] == ["centralized", "distributed"]
    assert {name for name, machine in world.machines.items() if machine.label == "true"} == {"g1", "g2", "g3"}
    world.sleep(10)
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert not run(gateway(type="distributed"), world).changed
    run(gateway("g4", "g1", type="distributed"), world)
    world.sleep(10)
    assert world.rows == {"g4": 100, "g1": 99}
    assert {name for name, machine in world.machines.items() if machine.label == "true"} == {"g1", "g4"}


def test_nat_moves_to_the_holders_nodes_and_back() -> None:
    world = up()
    world.nats, world.holder_ports = NATS, dict(PORTS)
    steps = run(gateway(type="distributed"), world)
    assert actions(steps) == ["write_config_map", "set_distribution"]
    assert {rule.external_ip: (rule.logical_port, rule.stateless) for rule in world.nats} == {
        "10.4.19.101": ("a.default", True),
        "10.4.19.102": ("b.default", True),
        "10.4.19.103": ("gone.default", False),  # nobody's port: left as it is
    }
    run(gateway(), world)
    assert {(rule.logical_port, rule.external_mac, rule.stateless) for rule in world.nats} == {(None, None, False)}


def test_the_nat_of_an_ovn_fip_always_has_a_port() -> None:
    world = up()
    world.nats = NATS[1:2]
    seen = replace(world.observe(), ovn_eips={"10.4.19.102": "fip"})
    assert plan(gateway(), seen).steps == ()


@pytest.mark.parametrize(("rank", "moves"), [(97, False), (98, True), (101, True)])
def test_a_gateway_that_goes_is_put_below_those_that_stay_first(rank: int, moves: bool) -> None:
    """Equal is not below: of two rows with one priority OVN takes whichever it likes."""
    world = up()
    world.rows["g4"] = rank
    world.elect()
    steps = run(gateway(), world)
    assert ("order" in actions(steps)) is moves
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}


def test_a_label_that_others_set_stays_and_its_row_goes() -> None:
    world = up()
    world.machines["g4"].label = "true"
    assert hand_labelled(gateway(), world.observe()) == ["g4"]
    assert not run(gateway(), world).changed
    steps = run(gateway("g1", "g2"), world)  # the controller drops all labels, and adds a row for each that it finds
    world.sleep(10)
    assert world.machines["g4"].label == "true"
    assert set(world.rows) == {"g1", "g2"}
    assert world.notes == {}
    written = next(step for step in steps.steps if step.action == "write_config_map")
    assert written.data["notes"] == {LEAVING_NOTE: "g1,g2,g3", HAND_NOTE: "g4", COMING_NOTE: "g4"}
    run(None, world)
    assert {name: machine.label for name, machine in world.machines.items() if machine.label} == {"g4": "true"}
    assert world.config_map is None


def test_a_killed_run_does_not_forget_the_labels_of_others() -> None:
    world = up()
    world.machines["g4"].label = "true"
    seen = world.observe()
    doing = Run(gateway("g1"), world, seen, world, 60)
    steps = plan(gateway("g1"), seen).steps
    written = [step.action for step in steps].index("write_config_map")
    doing.apply(Plan(steps[: written + 1]))
    world.sleep(5)
    assert world.machines["g4"].label == "false"
    run(gateway("g1"), world)
    assert world.machines["g4"].label == "true"
    assert world.notes == {}


def test_a_list_that_was_just_written_is_known_to_wait_for_the_controller() -> None:
    """An older controller then builds the router port anew, in an order of its own."""
    world = up("g3", "g2")
    world.tears_down = world.stale_cache = True
    asked = gateway("g2", "g3")
    seen = world.observe()
    steps = plan(asked, seen).steps
    Run(asked, world, seen, world, 60).apply(
        Plan(steps[: [step.action for step in steps].index("write_config_map") + 1])
    )
    run(asked, world)
    world.sleep(10)
    assert world.active == "g2"
    assert plan(asked, world.observe()).steps == ()


# --- what it interrupts ---------------------------------------------------------------------------------------------


def disruptions(asked: ExternalGateway | None, seen: Observed) -> set[str]:
    return {step.disruption for step in plan(asked, seen).steps}


def test_what_each_change_interrupts() -> None:
    world = up()
    world.machines["g4"].userspace = world.machines["g1"].userspace = True
    for name in ("g1", "g2", "g3"):
        world.machines[name].userspace = True
    seen = world.observe()
    assert disruptions(gateway("g1", "g2", "g3", "g4"), seen) == {"none"}
    assert disruptions(gateway("g1", "g3", "g2"), seen) == {"none"}
    assert disruptions(gateway("g1", "g2"), seen) == {"none"}
    assert disruptions(gateway("g2", "g3"), seen) == {"none", "brief"}
    assert disruptions(gateway(nic_mac=MACS[1]), seen) == {"none", "brief"}
    assert disruptions(gateway(enabled=False), seen) == {"long"}
    assert "long" in disruptions(None, seen)
    # With a kernel datapath a node daemon that looks at the wrong moment rebuilds its bridge.
    world.machines["g1"].userspace = False
    assert disruptions(gateway("g1", "g3", "g2"), world.observe()) == {"none", "brief"}


def test_a_new_nic_is_a_loop_unless_it_is_seen_in_the_bridges() -> None:
    world = up()
    asked = gateway(nic="enp9s0")
    steps = plan(asked, world.observe())
    assert disruption_problems(steps, "brief") != []
    assert "form a loop" in (steps.steps[0].interrupts or "")
    staged = {"links": {}, "nic": {"in_service": True, "staged": True}}
    world.evidence = evidence_of(dict.fromkeys(["g1", "g2"], staged))
    assert disruption_problems(plan(asked, world.observe()), "none") != []  # nobody looked at g3
    world.evidence = evidence_of(dict.fromkeys(["g1", "g2", "g3"], staged))
    assert disruption_problems(plan(asked, world.observe()), "none") == []
    assert disruption_problems(plan(gateway(nic="enp9s0"), bare().observe()), "none") == []


def test_a_second_gateway_comes_after_its_tunnel_is_watched() -> None:
    world = up("g1")
    run(gateway("g1", "g2"), world)
    assert world.silent == []
    assert world.warm == ()
    world = up("g1")
    seen = world.observe()
    steps = plan(gateway("g1", "g2"), seen).steps
    doing = Run(gateway("g1", "g2"), world, seen, world, 60)
    doing.apply(Plan(tuple(step for step in steps if step.action != "warm_up")))
    assert world.silent  # what it would cost without


def test_a_killed_run_leaves_no_router_behind() -> None:
    world = up("g1")
    seen = world.observe()
    doing = Run(gateway("g1", "g2"), world, seen, world, 60)
    doing.apply(Plan(plan(gateway("g1", "g2"), seen).steps[:1]))
    assert world.warm
    assert actions(run(gateway("g1"), world)) == ["cool_down"]
    doing.apply(Plan(plan(gateway("g1", "g2"), seen).steps[:1]))
    run(gateway("g1", "g2"), world)
    assert world.warm == ()


def test_on_a_vlan_subnet_another_list_tears_the_router_port_down() -> None:
    subnet = ExternalSubnet("10.4.19.0/24", "10.4.19.1", "external", 0)
    seen = replace(up().observe(), subnet=subnet)
    steps = plan(gateway("g1", "g2"), seen).steps
    assert any("makes it anew" in (step.interrupts or "") for step in steps)


def test_a_limit_of_disruption_names_the_step() -> None:
    steps = plan(gateway("g2", "g3"), up().observe())
    assert disruption_problems(steps, "any") == disruption_problems(steps, "brief") == []
    found = disruption_problems(steps, "none")
    assert {problem.path for problem in found} == {"max_disruption"}
    assert "allow brief or any" in found[0].hint
    assert disruption_problems(plan(None, up().observe()), "brief")[0].hint == "allow any"


def test_what_neighbours_have_to_learn() -> None:
    world = up()
    world.nats, world.holder_ports = NATS, dict(PORTS)
    seen = world.observe()
    addresses = ["10.4.19.101", "10.4.19.102", "10.4.19.103", "10.4.19.254"]
    back = {"mac": MACS[0], "addresses": addresses, "tag": None, "not_from": None, "again": 30}
    assert announcement(gateway(), seen) == back  # the last two are distributed, with MACs of their own
    world.nats = NATS[:1]
    seen = world.observe()
    assert announcement(gateway(), seen) is None
    addresses = ["10.4.19.101", "10.4.19.254"]
    told = {"mac": MACS[1], "addresses": addresses, "tag": None, "not_from": None, "again": None}
    assert announcement(gateway(nic_mac=MACS[1]), seen) == told
    moved = {"mac": MACS[0], "addresses": addresses, "tag": None, "not_from": "g1", "again": None}
    assert announcement(gateway(drained=("g1",)), seen) == moved
    assert announcement(gateway("g2", "g3"), seen) == moved
    assert announcement(gateway(enabled=False), seen) is None
    assert announcement(None, seen) is None


def test_bfd_timers_are_set_left_alone_and_taken_away() -> None:
    world = up()
    world.options = {"other": "1", "bfd-mult": "5"}
    timers = {"bfd-min-rx": "200", "bfd-min-tx": "200"}
    assert actions(run(gateway(bfd=timers), world)) == ["set_options"]
    assert world.options == {"other": "1", "bfd-mult": "5", **timers}
    assert not run(gateway(bfd=timers), world).changed
    assert not run(gateway(), world).changed
    steps = plan(None, world.observe(), {**timers, "bfd-mult": "3"})
    assert steps.steps[-1].data == {"bfd-min-rx": None, "bfd-min-tx": None}
    assert steps.after["bfd"] == {"bfd-mult": "5"}
