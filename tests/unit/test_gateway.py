# SPDX-License-Identifier: GPL-3.0-or-later
"""The external gateway's plan: from any state to the one asked for, in an order that keeps traffic on a bridge."""

from __future__ import annotations

from contextlib import suppress

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    HAND_NOTE,
    LEAVING_NOTE,
    NODES_KEY,
    RESCUED_NOTE,
    REVISION_KEY,
    config_data,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_show import report, shape
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_verify import unfinished, unverified
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ExternalGateway,
    NatRule,
    Plan,
    RoutePolicy,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.gateway_cases import (
    ADDRESSES,
    MACS,
    NAMES,
    NATS,
    PORTS,
    actions,
    bare,
    gateway,
    labelled_by_others,
    run,
    up,
)
from support.gateway_world import LOCALNET_PORT, ROUTER_PORT, SWITCH_ROUTER_PORT, Machine, World

# --- whatever there is ----------------------------------------------------------------------------------------------

machines = st.builds(Machine, st.booleans(), st.sampled_from([None, "true", "false"]), st.booleans(), st.booleans())
port_options = st.sampled_from(
    [("router", {"router-port": ROUTER_PORT}), ("router", {"router-port": "other"}), ("", {})]
)
localnet_options = st.sampled_from(
    [("localnet", {"network_name": "external"}), ("localnet", {"network_name": "x"}), ("", {})]
)
node_lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
timers = st.sampled_from([{}, {"bfd-min-rx": "200", "bfd-min-tx": "200"}])


@st.composite
def gateways(draw: st.DrawFn) -> ExternalGateway:
    """Whatever a task may ask for."""
    nodes = draw(node_lists)
    drained = [name for name in nodes[: len(nodes) - 1] if draw(st.integers(0, 3)) == 0]
    return gateway(
        *nodes,
        nic_mac=draw(st.sampled_from(MACS)),
        nic_ip=draw(st.sampled_from(ADDRESSES)),
        type=draw(st.sampled_from(["centralized", "centralized", "distributed"])),
        enabled=draw(st.integers(0, 4)) != 0,
        drained=tuple(drained),
        rescue=draw(st.booleans()),
        bfd=draw(timers),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A site in any state, also those that no version of Kube-OVN makes by itself."""
    found = World({name: draw(machines) for name in NAMES})
    if draw(st.booleans()):
        found.config_map = config_data(draw(gateways()))
        for key in draw(st.lists(st.sampled_from(sorted(found.config_map)), max_size=2)):
            found.config_map.pop(key, None)
        found.config_map.setdefault("nic-mac", MACS[0])
        found.config_map.setdefault("nic-ip", ADDRESSES[0])
        found.config_map["enable-external-gw"] = draw(st.sampled_from(["true", "True", "false"]))
        notes = st.sampled_from([RESCUED_NOTE, LEAVING_NOTE, HAND_NOTE])
        found.notes = {key: ",".join(draw(node_lists)) for key in draw(st.lists(notes, max_size=2))}
        if draw(st.booleans()):
            found.memory, found.established, found.enabled = dict(found.config_map), True, True
    found.enabled = found.enabled or draw(st.booleans())
    found.switch = draw(st.booleans())
    if found.switch:
        if draw(st.booleans()):
            found.ports[LOCALNET_PORT] = draw(localnet_options)
        if draw(st.booleans()):
            found.ports[SWITCH_ROUTER_PORT] = draw(port_options)
    if draw(st.booleans()):
        found.mac, found.networks = draw(st.sampled_from(MACS)), (draw(st.sampled_from(ADDRESSES)),)
        found.rows = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(90, 110)))
    found.nats = tuple(draw(st.lists(st.sampled_from(NATS), max_size=3, unique=True)))
    found.holder_ports = dict(PORTS)
    proofs = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([Evidence(()), Evidence(("its NIC",))]))
    found.evidence = draw(proofs)
    found.options = draw(timers)
    found.stale_cache = draw(st.booleans())
    found.behind = draw(st.none() | st.frozensets(st.sampled_from(NAMES)))
    found.tears_down = draw(st.booleans())
    return found


def alive(asked: ExternalGateway, world: World) -> World:
    """At least one of the nodes asked for has to work, and to have somebody to have a tunnel with, or be rescued.

    A node that shows evidence answers, so it is no dead one.
    """
    world.machines[asked.nodes[0]].ready = True
    if not asked.rescue:
        others = [machine for name, machine in world.machines.items() if name != asked.nodes[0]]
        others[0].ready = True
    for name in world.evidence:
        world.machines[name].ready = True
    return world


def rebuilt_late() -> World:
    """An older controller that, after the last write, builds anew in an order of its own; the old gateway is dead."""
    world = World({name: Machine(ready=False) for name in NAMES}, tears_down=True, stale_cache=True)
    world.machines["g1"].label = "true"
    world.config_map = config_data(gateway("g1"))
    world.memory, world.established, world.enabled = dict(world.config_map), True, True
    world.mac, world.networks, world.rows = MACS[0], (ADDRESSES[0],), {"g1": 90}
    world.switch, world.ports = True, {SWITCH_ROUTER_PORT: ("router", {"router-port": ROUTER_PORT})}
    return world


@settings(max_examples=400)
@example(rebuilt_late(), gateway("g2", "g3"))
@given(worlds(), gateways())
def test_any_state_becomes_the_gateway_asked_for(world: World, asked: ExternalGateway) -> None:
    alive(asked, world)
    by_hand = labelled_by_others(asked, world)
    run(asked, world)
    world.sleep(10)
    seen = world.observe()
    assert unfinished(asked, seen) == []
    assert plan(asked, seen).steps == ()
    assert {world.machines[name].label for name in by_hand} <= {"true"}
    writes = world.writes
    assert not run(asked, world).changed
    assert world.writes == writes


@settings(max_examples=200)
@given(worlds())
def test_any_state_becomes_no_gateway(world: World) -> None:
    world.nats = ()
    by_hand = labelled_by_others(None, world)
    run(None, world)
    world.sleep(10)
    assert {name: machine.label for name, machine in world.machines.items() if machine.label} == dict.fromkeys(
        by_hand, "true"
    )
    seen = world.observe()
    assert unfinished(None, seen, by_hand) == []
    assert plan(None, seen).steps == ()
    assert (world.config_map, world.mac, world.switch, world.ports) == (None, None, False, {})


def lasts(asked: ExternalGateway, world: World, by_hand: list[str]) -> None:
    """The gateway is as asked, stays so, and labels that others set are still there."""
    for _look in range(2):
        seen = world.observe()
        assert unfinished(asked, seen, by_hand) == []
        assert plan(asked, seen).steps == ()
        world.sleep(10)


@settings(max_examples=200)
@given(worlds(), gateways(), gateways(), st.integers(0, 8), st.integers(0, 12))
def test_a_killed_run_is_finished_by_the_next(
    world: World, first: ExternalGateway, asked: ExternalGateway, steps: int, pause: int
) -> None:
    alive(first, alive(asked, world))
    by_hand = labelled_by_others(first, world)
    run(first, world)
    world.sleep(5)
    by_hand = [name for name in by_hand if name not in asked.nodes]
    seen = world.observe()
    doing = Run(asked, world, seen, world, 60)
    doing.apply(Plan(plan(asked, seen).steps[:steps]))
    world.sleep(pause / 4)
    run(asked, world)
    lasts(asked, world, by_hand)


@settings(max_examples=100)
@given(worlds(), gateways(), gateways())
def test_what_is_not_waited_for_is_done_by_the_next(
    world: World, first: ExternalGateway, asked: ExternalGateway
) -> None:
    alive(first, alive(asked, world))
    by_hand = [name for name in labelled_by_others(first, world) if name not in asked.nodes]
    run(first, world)
    with suppress(NotReached):
        run(asked, world, timeout=0)
    run(asked, world)
    lasts(asked, world, by_hand)


@settings(max_examples=200)
@given(node_lists, node_lists, st.booleans())
def test_traffic_never_goes_to_a_node_without_a_bridge(before: list[str], after: list[str], stale: bool) -> None:
    world = up(*before)
    world.stale_cache = stale
    run(gateway(*after), world)
    assert world.blind == world.silent == []
    assert world.active == after[0]
    world.sleep(10)
    assert world.blind == []
    assert {name for name, machine in world.machines.items() if machine.bridge} == set(after)


# --- single cases ---------------------------------------------------------------------------------------------------


def test_first_time() -> None:
    world = bare()
    steps = run(gateway(), world)
    assert actions(steps) == ["write_config_map", "order"]
    assert world.config_map == {
        "enable-external-gw": "true",
        "type": "centralized",
        "external-gw-nodes": "g1,g2,g3",
        "external-gw-nic": "enp8s0",
        "external-gw-addr": "10.4.19.1/24",
        "nic-ip": "10.4.19.254/24",
        "nic-mac": "16:52:f3:13:6a:25",
    }
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert steps.before["router_port"] is None
    assert steps.after["gateways"] == ["g1 priority 100", "g2 priority 99", "g3 priority 98"]


def test_an_address_goes_to_nb_and_then_to_the_config_map() -> None:
    world = up()
    steps = run(gateway(nic_ip=ADDRESSES[1], nic_mac=MACS[1]), world)
    assert actions(steps) == ["set_router_port", "write_config_map"]
    assert "neighbours" in (steps.steps[0].interrupts or "")
    assert (world.mac, world.networks) == (MACS[1], (ADDRESSES[1],))


def test_an_address_alone_does_not_interrupt_eips() -> None:
    steps = plan(gateway(nic_ip=ADDRESSES[1]), up().observe())
    assert "not to EIPs" in (steps.steps[0].interrupts or "")


def test_a_removed_active_node_loses_its_row_before_its_label() -> None:
    world = up()
    steps = run(gateway("g2", "g3"), world)
    assert actions(steps) == ["order", "delete_gateway_chassis", "label", "write_config_map", "note"]
    assert steps.steps[3].data["notes"] == {LEAVING_NOTE: "g1,g2,g3"}
    assert world.notes == {}
    assert set(world.rows) == {"g2", "g3"}
    assert world.machines["g1"].label == "false"


def test_all_nodes_replaced_the_new_ones_come_first() -> None:
    world = up("g1")
    steps = run(gateway("g2"), world)
    assert actions(steps) == [
        "warm_up",
        "raise",
        "write_config_map",
        "order",
        "cool_down",
        "delete_gateway_chassis",
        "label",
        "write_config_map",
        "note",
    ]
    assert steps.steps[2].data["data"][NODES_KEY] == "g2,g1"
    assert (world.config_map or {})[NODES_KEY] == "g2"
    assert world.rows == {"g2": 100}


def test_reordered_nodes_get_new_priorities_in_place() -> None:
    world = up()
    steps = run(gateway("g3", "g1", "g2"), world)
    assert actions(steps) == ["order", "write_config_map", "note"]
    assert world.rows == {"g3": 100, "g1": 99, "g2": 98}


@pytest.mark.parametrize("lost", ["port", "switch", "localnet", "half"])
def test_drift_makes_the_controller_look_again(lost: str) -> None:
    world = up()
    match lost:
        case "port":
            world.mac, world.networks, world.rows = None, (), {}
        case "switch":
            world.switch, world.ports = False, {}
        case "localnet":
            del world.ports[LOCALNET_PORT]
        case "half":
            del world.ports[SWITCH_ROUTER_PORT]
    world.sleep(30)
    assert unfinished(gateway(), world.observe())  # nobody repairs it
    run(gateway(), world)
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert (world.config_map or {})[REVISION_KEY] == "1"
    assert plan(gateway(), world.observe()).steps == ()


@pytest.mark.parametrize("lost", ["first row", "last row", "label", "rank", "network"])
def test_drift_that_needs_no_controller_is_put_right_in_place(lost: str) -> None:
    world = up()
    match lost:
        case "first row":
            del world.rows["g1"]
        case "last row":
            del world.rows["g3"]
        case "label":
            world.machines["g2"].label = "false"
        case "rank":
            world.rows["g3"] = 200
        case "network":
            world.ports[LOCALNET_PORT] = ("localnet", {"network_name": "x", "other": "kept"})
    world.sleep(30)
    before = dict(world.config_map or {})
    steps = run(gateway(), world)
    assert steps.after == shape(world.observe())
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert world.config_map == before
    assert plan(gateway(), world.observe()).steps == ()


def test_other_spellings_are_left_alone() -> None:
    world = up()
    assert world.config_map
    world.config_map |= {NODES_KEY: "g1, g2 ,g3", "nic-mac": MACS[0].upper()}
    world.sleep(5)
    assert plan(gateway(), world.observe()).steps == ()


@pytest.mark.parametrize("word", ["False", "no", ""])
def test_enabled_by_another_word_is_made_plain(word: str) -> None:
    world = up()
    assert world.config_map
    world.config_map["enable-external-gw"] = word  # which enables it
    assert run(gateway(), world).changed
    assert world.config_map["enable-external-gw"] == "true"


def test_a_dead_node_may_do_without_a_row() -> None:
    world = up()
    world.machines["g2"].ready = False
    del world.rows["g2"]
    assert plan(gateway(), world.observe()).steps == ()
    assert not unfinished(gateway(), world.observe())
    told = unverified(gateway(), world.observe())
    assert [line.partition(":")[0] for line in told] == ["node g1", "node g2 is not Ready", "node g3"]


def test_the_row_that_a_new_address_brings_back_is_put_in_its_place() -> None:
    world = up("g2", "g1", "g3")
    world.machines["g1"].ready = False
    del world.rows["g1"]  # as rescue does; the controller adds it again whatever text changes
    run(gateway("g2", "g1", "g3", nic_ip=ADDRESSES[1]), world)
    world.sleep(10)
    assert world.rows == {"g2": 100, "g1": 99, "g3": 98}
    assert world.active == "g2"


def test_a_new_gateway_address_moves_the_policies_of_eips() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),)
    policies = (
        RoutePolicy("p1", 29250, "ip4.src == 10.253.0.5", "reroute", ("10.4.19.1",)),
        RoutePolicy("p2", 29250, "ip4.src == 10.253.0.9", "reroute", ("10.9.9.9",)),  # of a north gateway: not ours
    )
    world.policies = policies
    steps = run(gateway(gateway="10.4.19.2/24"), world)
    assert actions(steps) == ["set_nexthop", "write_config_map"]
    assert {policy.uuid: policy.nexthops for policy in world.policies} == {"p1": ("10.4.19.2",), "p2": ("10.9.9.9",)}


def test_foreign_keys_of_the_config_map_stay() -> None:
    world = up()
    assert world.config_map
    world.config_map["external-gw-switch"] = "external"
    run(gateway("g1"), world)
    assert world.config_map["external-gw-switch"] == "external"


# --- nobody acts ----------------------------------------------------------------------------------------------------


def test_a_stopped_controller_is_known_before_the_first_write() -> None:
    world = bare()
    world.stopped, world.now = 0.0, 3600.0
    with pytest.raises(NotReached) as caught:
        run(gateway(), world)
    assert "kube-ovn-controller: is not running" in str(caught.value.problems[0])
    assert world.writes == 0


def test_a_controller_that_stops_in_between_is_named() -> None:
    world = bare()
    seen = world.observe()
    doing = Run(gateway(), world, seen, world, 60)
    assert doing.check_controller(actions(plan(gateway(), seen))) == []
    world.stopped = world.now
    with pytest.raises(NotReached) as caught:
        doing.apply(plan(gateway(), seen))
    paths = [problem.path for problem in caught.value.problems]
    assert paths[0] == "kube-ovn-controller"
    assert f"router port {ROUTER_PORT}" in paths
    assert [step.action for step in doing.done] == ["write_config_map"]


def test_a_node_whose_daemon_does_nothing_gets_no_traffic() -> None:
    world = up("g1")
    world.run_daemons = lambda: None  # type: ignore[method-assign]
    with pytest.raises(NotReached) as caught:
        run(gateway("g2", "g1"), world)
    assert any("g2" in problem.path and "bridge mapping" in problem.text for problem in caught.value.problems)
    assert world.active == "g1"
    assert world.blind == []


# --- the end ------------------------------------------------------------------------------------------------------


def test_an_eip_that_comes_meanwhile_stops_a_removal() -> None:
    world = up()
    seen = world.observe()
    doing = Run(None, world, seen, world, 60)
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),)
    with pytest.raises(NotReached, match="came into use"):
        doing.apply(plan(None, seen))
    assert world.mac is not None


def test_the_report_names_nodes() -> None:
    found = report(up().observe())
    assert found["active_node"] == "g1"
    port = found["router_port"]
    assert isinstance(port, dict)
    assert port["name"] == ROUTER_PORT
    assert port["gateway_chassis"][0] == {"node": "g1", "chassis": "g1", "priority": 100, "active": True}
