# SPDX-License-Identifier: GPL-3.0-or-later
"""The external gateway's plan: from any state to the one asked for, in an order that keeps traffic on a bridge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    NODES_KEY,
    REVISION_KEY,
    config_data,
    plan,
    report,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import (
    absent_problems,
    unfinished,
    unverified,
    wanted,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    LOCALNET_PORT,
    ROUTER_PORT,
    SWITCH_ROUTER_PORT,
    ExternalGateway,
    NatRule,
    Plan,
    RoutePolicy,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.gateway_world import Machine, World

NAMES = ("g1", "g2", "g3", "g4")
MACS = ("16:52:f3:13:6a:25", "16:52:f3:13:6a:26")
ADDRESSES = ("10.4.19.254/24", "10.4.19.253/24")


def gateway(*nodes: str, **other: str) -> ExternalGateway:
    values: dict[str, Any] = {"nic": "enp8s0", "gateway": "10.4.19.1/24", "nic_ip": ADDRESSES[0], "nic_mac": MACS[0]}
    return ExternalGateway(nodes=nodes or NAMES[:3], **{**values, **other})


def bare() -> World:
    return World({name: Machine() for name in NAMES})


def run(asked: ExternalGateway | None, world: World, timeout: float = 60) -> Plan:
    """What the module does, with the model of a site."""
    seen = world.observe()
    steps = plan(asked, seen)
    doing = Run(asked, world, seen, world, timeout)
    problems = doing.check_controller(steps)
    if problems:
        raise NotReached("refused", problems, seen)
    doing.apply(steps)
    doing.verify()
    return steps


def up(*nodes: str) -> World:
    """A site whose gateway works."""
    world = bare()
    run(gateway(*nodes), world)
    world.sleep(10)
    world.blind.clear()
    world.writes = 0
    return world


def actions(steps: Plan) -> list[str]:
    return [step.action for step in steps.steps]


# --- whatever there is ----------------------------------------------------------------------------------------------

machines = st.builds(Machine, st.booleans(), st.sampled_from([None, "true", "false"]), st.booleans())
port_options = st.sampled_from(
    [("router", {"router-port": ROUTER_PORT}), ("router", {"router-port": "other"}), ("", {})]
)
localnet_options = st.sampled_from([("localnet", {"network_name": "external"}), ("localnet", {"network_name": "x"})])
node_lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
gateways = st.builds(
    lambda nodes, mac, ip: gateway(*nodes, nic_mac=mac, nic_ip=ip),
    node_lists,
    st.sampled_from(MACS),
    st.sampled_from(ADDRESSES),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A site in any state, also those that no version of Kube-OVN makes by itself."""
    found = World({name: draw(machines) for name in NAMES})
    if draw(st.booleans()):
        found.config_map = config_data(draw(gateways))
        for key in draw(st.lists(st.sampled_from(sorted(found.config_map)), max_size=2)):
            found.config_map.pop(key, None)
        found.config_map.setdefault("nic-mac", MACS[0])
        found.config_map.setdefault("nic-ip", ADDRESSES[0])
        found.config_map["enable-external-gw"] = draw(st.sampled_from(["true", "True", "false"]))
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
    found.stale_cache = draw(st.booleans())
    found.tears_down = draw(st.booleans())
    return found


def alive(asked: ExternalGateway, world: World) -> ExternalGateway:
    """At least one of the nodes asked for has to work."""
    world.machines[asked.nodes[0]].ready = True
    return asked


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
@given(worlds(), gateways)
def test_any_state_becomes_the_gateway_asked_for(world: World, asked: ExternalGateway) -> None:
    run(alive(asked, world), world)
    world.sleep(10)
    seen = world.observe()
    assert unfinished(asked, seen) == []
    assert plan(asked, seen).steps == ()
    writes = world.writes
    assert not run(asked, world).changed
    assert world.writes == writes


@settings(max_examples=200)
@given(worlds())
def test_any_state_becomes_no_gateway(world: World) -> None:
    run(None, world)
    world.sleep(10)
    seen = world.observe()
    assert unfinished(None, seen) == []
    assert plan(None, seen).steps == ()
    assert (world.config_map, world.mac, world.switch, world.ports) == (None, None, False, {})


@settings(max_examples=200)
@given(worlds(), gateways, st.integers(0, 8), st.integers(0, 20))
def test_a_killed_run_is_finished_by_the_next(world: World, asked: ExternalGateway, steps: int, pause: int) -> None:
    alive(asked, world)
    seen = world.observe()
    first = plan(asked, seen)
    doing = Run(asked, world, seen, world, 60)
    doing.apply(Plan(first.steps[:steps]))
    world.sleep(pause)
    run(asked, world)
    assert plan(asked, world.observe()).steps == ()


@settings(max_examples=200)
@given(node_lists, node_lists, st.booleans())
def test_traffic_never_goes_to_a_node_without_a_bridge(before: list[str], after: list[str], stale: bool) -> None:
    world = up(*before)
    world.stale_cache = stale
    run(gateway(*after), world)
    assert world.blind == []
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
    assert "ARP" in (steps.steps[0].interrupts or "")
    assert (world.mac, world.networks) == (MACS[1], (ADDRESSES[1],))


def test_an_address_alone_does_not_interrupt_eips() -> None:
    steps = plan(gateway(nic_ip=ADDRESSES[1]), up().observe())
    assert "not to EIPs" in (steps.steps[0].interrupts or "")


def test_a_removed_active_node_loses_its_row_before_its_label() -> None:
    world = up()
    steps = run(gateway("g2", "g3"), world)
    assert actions(steps) == ["order", "delete_gateway_chassis", "label", "write_config_map"]
    assert set(world.rows) == {"g2", "g3"}
    assert world.machines["g1"].label == "false"


def test_all_nodes_replaced_the_new_ones_come_first() -> None:
    world = up("g1")
    steps = run(gateway("g2"), world)
    assert actions(steps) == [
        "raise",
        "write_config_map",
        "order",
        "delete_gateway_chassis",
        "label",
        "write_config_map",
    ]
    assert steps.steps[1].data[NODES_KEY] == "g2,g1"
    assert (world.config_map or {})[NODES_KEY] == "g2"
    assert world.rows == {"g2": 100}


def test_reordered_nodes_get_new_priorities_in_place() -> None:
    world = up()
    steps = run(gateway("g3", "g1", "g2"), world)
    assert actions(steps) == ["order", "write_config_map"]
    assert world.rows == {"g3": 100, "g1": 99, "g2": 98}


@pytest.mark.parametrize("lost", ["row", "port", "switch", "localnet", "half", "label"])
def test_drift_makes_the_controller_look_again(lost: str) -> None:
    world = up()
    match lost:
        case "row":
            del world.rows["g1"]
        case "port":
            world.mac, world.networks, world.rows = None, (), {}
        case "switch":
            world.switch, world.ports = False, {}
        case "localnet":
            del world.ports[LOCALNET_PORT]
        case "half":
            del world.ports[SWITCH_ROUTER_PORT]
        case "label":
            world.machines["g2"].label = "false"
    world.sleep(30)
    assert unfinished(gateway(), world.observe())  # nobody repairs it
    run(gateway(), world)
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert (world.config_map or {})[REVISION_KEY] == "1"
    assert plan(gateway(), world.observe()).steps == ()


def test_other_spellings_are_left_alone() -> None:
    world = up()
    assert world.config_map
    world.config_map |= {NODES_KEY: "g1, g2 ,g3", "nic-mac": MACS[0].upper()}
    world.sleep(5)
    assert plan(gateway(), world.observe()).steps == ()


def test_enabled_by_another_word_is_made_plain() -> None:
    world = up()
    assert world.config_map
    world.config_map["enable-external-gw"] = "False"  # which enables it
    assert run(gateway(), world).changed
    assert world.config_map["enable-external-gw"] == "true"


def test_a_dead_node_may_do_without_a_row() -> None:
    world = up()
    world.machines["g2"].ready = False
    del world.rows["g2"]
    assert plan(gateway(), world.observe()).steps == ()
    assert not unfinished(gateway(), world.observe())
    told = unverified(gateway(), world.observe())
    assert told[0] == "node g2 is not Ready: whether its bridge, NIC and tunnels are right was not seen"
    assert [line.partition(":")[0] for line in told[1:]] == ["node g1", "node g3"]


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
    assert doing.check_controller(plan(gateway(), seen)) == []
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


# --- what is refused ------------------------------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {
    "nodes": ["g1", "g2"],
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": MACS[0],
}


def refusals(world: World | None = None, **options: Any) -> dict[str, str]:
    seen = (world or bare()).observe()
    return {problem.path: problem.text for problem in wanted({**OPTIONS, **options}, seen)[1]}


def test_good_options_are_not_refused() -> None:
    asked, problems = wanted(OPTIONS, bare().observe())
    assert problems == []
    assert asked == gateway("g1", "g2")


def test_everything_wrong_is_said_at_once() -> None:
    found = refusals(nodes=["g1", "nope", "g1"], nic="a/b", gateway="10.4.19.1", nic_ip="10.4.19.255/24", nic_mac="1")
    assert sorted(found) == ["gateway", "nic", "nic_ip", "nic_mac", "nodes[1]", "nodes[2]"]


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        ({"nodes": []}, "nodes", "no node"),
        ({"nic_ip": "10.4.19.1/24"}, "nic_ip", "physical gateway's address"),
        ({"nic_ip": "10.4.20.254/24"}, "nic_ip", "not in the gateway's network"),
        ({"nic_ip": "10.4.19.254/25"}, "nic_ip", "not in the gateway's network"),
        ({"nic_mac": "17:52:f3:13:6a:25"}, "nic_mac", "multicast"),
        ({"nic": "much-too-long-name"}, "nic", "cannot be the name"),
        ({"nic": "br-int"}, "nic", "bridge of Kube-OVN's"),
    ],
)
def test_refused_with_the_options_path(options: dict[str, Any], path: str, text: str) -> None:
    assert text in refusals(**options)[path]


def test_nodes_that_would_stop_the_controller_are_refused() -> None:
    seen = bare().observe()
    nodes = tuple(replace(node, chassis=None) if node.name == "g1" else node for node in seen.nodes)
    chassis = tuple(row for row in seen.ovn.chassis if row.name != "g2")
    broken = replace(seen, nodes=nodes, ovn=replace(seen.ovn, chassis=chassis))
    found = {problem.path: problem.text for problem in wanted(OPTIONS, broken)[1]}
    assert "annotation" in found["nodes[0]"]
    assert "southbound" in found["nodes[1]"]


def test_addresses_of_others_are_refused() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5", "testing.default"),)
    assert "EIP in use, of testing.default" in refusals(world, nic_ip="10.4.19.101/24")["nic_ip"]
    assert "10.4.19.101" in refusals(world, nic_ip="10.4.20.254/24", gateway="10.4.20.1/24")["nic_ip"]
    seen = replace(bare().observe(), overlays={"ovn-default": "10.253.0.0/16", "join": "10.4.0.0/16,fd00::/64"})
    assert "overlaps subnet join" in next(one.text for one in wanted(OPTIONS, seen)[1])
    nodes = tuple(replace(node, internal_ips=("10.4.19.254",)) for node in seen.nodes)
    seen = replace(seen, nodes=nodes, overlays={})
    assert "address of node g1" in next(one.text for one in wanted(OPTIONS, seen)[1])


def test_a_cluster_that_ignores_the_config_map_is_refused() -> None:
    seen = replace(bare().observe(), extra_subnets=("extra",))
    assert "extraExternalSubnets" in wanted(OPTIONS, seen)[1][0].text


def test_a_mac_left_out_is_kept_or_derived() -> None:
    options = {**OPTIONS, "nic_mac": None}
    fresh = wanted(options, bare().observe())[0].nic_mac
    assert fresh == wanted(options, bare().observe())[0].nic_mac
    assert int(fresh[:2], 16) & 0b11 == 0b10
    assert wanted(options, up().observe())[0].nic_mac == MACS[0]
    world = bare()
    world.config_map = {"nic-mac": MACS[1]}
    assert wanted(options, world.observe())[0].nic_mac == MACS[1]


def test_a_gateway_in_use_is_not_removed() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),)
    world.ports["external-tenant"] = ("router", {"router-port": "tenant-external"})
    paths = {problem.path for problem in absent_problems(world.observe())}
    assert paths == {"EIP 10.4.19.101", "switch external"}


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
