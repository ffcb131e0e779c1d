# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changed of the gateway's rows and ports by hand, and how it is put right, on the model of a site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed, surplus_rows
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import GatewayChassis, RouterPort
from support.gateway_cases import ADDRESSES, actions, gateway, run, up
from support.gateway_world import LOCALNET_PORT, ROUTER_PORT, SWITCH_ROUTER_PORT, Machine, World


def rename(world: World, name: str, chassis: str) -> None:
    """Somebody gives a gateway's row another chassis."""
    world.rows[chassis] = world.rows.pop(name)
    world.row_names[chassis] = name


@pytest.mark.parametrize("chassis", ["lost", "g4"])
@pytest.mark.parametrize("name", ["g1", "g2", "g3"])
def test_a_row_with_another_chassis_is_replaced(name: str, chassis: str) -> None:
    world = up()
    rename(world, name, chassis)
    steps = run(gateway(), world)
    assert actions(steps) == ["add_gateway_chassis", "order"]
    assert f"in place of {ROUTER_PORT}-{name} (chassis {chassis})" in steps.steps[0].text
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert plan(gateway(), world.observe()).steps == ()


@pytest.mark.parametrize("chassis", ["lost", "g4"])
def test_a_row_with_another_chassis_goes_before_the_controller_makes_others(chassis: str) -> None:
    """It would take that row for the gateway's."""
    world = up("g1", "g2")
    rename(world, "g1", chassis)
    steps = run(gateway("g1", "g2", "g3"), world)
    assert actions(steps)[:4] == ["warm_up", "raise", "delete_gateway_chassis", "write_config_map"]
    assert sorted(world.rows, key=lambda one: -world.rows[one]) == ["g1", "g2", "g3"]
    assert plan(gateway("g1", "g2", "g3"), world.observe()).steps == ()


def test_the_only_row_with_another_chassis_is_replaced() -> None:
    """No tunnel to a chassis that is not there comes up: there is nothing to wait for."""
    world = up("g1")
    rename(world, "g1", "lost")
    world.sleep(5)
    nobody = world.active
    assert nobody is None
    steps = run(gateway("g1"), world)
    assert "warm_up" not in actions(steps)
    assert world.active == "g1"
    assert plan(gateway("g1"), world.observe()).steps == ()


@pytest.mark.parametrize("lowest", [0, 1, 2, 3])
def test_below_the_lowest_priorities_room_is_made_for_more_gateways(lowest: int) -> None:
    world = up()
    world.rows = {"g1": lowest + 1, "lost": lowest}
    steps = run(gateway(), world)
    assert "add_gateway_chassis" in actions(steps)
    assert world.rows == {"g1": 100, "g2": 99, "g3": 98}
    assert plan(gateway(), world.observe()).steps == ()


def test_the_only_row_goes_even_when_traffic_follows_it() -> None:
    """There is nowhere else for it to go before."""
    world = up("g1")
    world.machines["g4"].bridge = True
    rename(world, "g1", "g4")
    run(gateway("g1", "g2"), world)
    assert world.active == "g1"
    assert plan(gateway("g1", "g2"), world.observe()).steps == ()


@dataclass
class Twice(World):
    """A site where one gateway has two rows."""

    double: GatewayChassis | None = None

    def router_port(self) -> RouterPort | None:
        port = super().router_port()
        if port is None or self.double is None:
            return port
        rows = sorted((*port.gateway_chassis, self.double), key=lambda row: -row.priority)
        return replace(port, gateway_chassis=tuple(rows))

    def set_priorities(self, priorities: Sequence[tuple[GatewayChassis, int]]) -> None:
        super().set_priorities([pair for pair in priorities if pair[0] != self.double])
        ranks = [rank for row, rank in priorities if row == self.double]
        self.double = replace(self.double, priority=ranks[0]) if self.double and ranks else self.double

    def delete_gateway_chassis(self, port: RouterPort, rows: Sequence[GatewayChassis]) -> None:
        super().delete_gateway_chassis(port, [row for row in rows if row != self.double])
        self.double = None if self.double in rows else self.double


@pytest.mark.parametrize("name", ["g1", "g2"])
@pytest.mark.parametrize("priority", [200, 1])
def test_the_second_row_of_a_gateway_goes_and_traffic_stays(name: str, priority: int) -> None:
    world = Twice({node: Machine() for node in ("g1", "g2")})
    run(gateway("g1", "g2"), world)
    world.double = GatewayChassis("x", f"{ROUTER_PORT}-stranger", name, priority)
    run(gateway("g1", "g2"), world)
    assert surplus_rows(gateway("g1", "g2"), world.observe()) == []
    assert world.rows == {"g1": 100, "g2": 99}
    assert world.active == "g1"


def test_of_two_rows_for_one_chassis_that_with_its_name_stays() -> None:
    seen = up().observe()
    port = seen.ovn.router_port
    assert port is not None
    for priority in (200, 1):
        double = GatewayChassis("x", f"{ROUTER_PORT}-stranger", "g2", priority)
        rows = tuple(sorted((*port.gateway_chassis, double), key=lambda row: -row.priority))
        twice = replace(seen, ovn=replace(seen.ovn, router_port=replace(port, gateway_chassis=rows)))
        assert surplus_rows(gateway(), twice) == [double]
        last = plan(gateway(), twice).steps[-1]
        assert (last.action, f"{ROUTER_PORT}-stranger" in last.text) == ("delete_gateway_chassis", True)


Spoil = Callable[[World], object]
SPOILT: dict[str, Spoil] = {
    "router port": lambda world: world.disabled.add(ROUTER_PORT),
    "switch's half": lambda world: world.disabled.add(SWITCH_ROUTER_PORT),
    "localnet": lambda world: world.disabled.add(LOCALNET_PORT),
    "address": lambda world: world.addresses.update({SWITCH_ROUTER_PORT: ("0a:00:00:00:00:09",)}),
    "localnet's address": lambda world: world.addresses.update({LOCALNET_PORT: ()}),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_port_out_of_service_is_put_back(what: str) -> None:
    world = up()
    SPOILT[what](world)
    assert len(unfinished(gateway(), world.observe())) == 1
    steps = run(gateway(), world)
    assert actions(steps) == ["mend_ports"]
    assert steps.steps[0].interrupts is None
    assert (world.addresses, world.disabled) == ({}, set())
    assert unfinished(gateway(), world.observe()) == []


def test_all_ports_are_put_back_with_whatever_else_is_wrong() -> None:
    world = up()
    for spoil in SPOILT.values():
        spoil(world)
    world.ports[LOCALNET_PORT] = ("localnet", {"network_name": "lost"})
    asked = gateway(nic_ip=ADDRESSES[1])
    assert actions(run(asked, world))[:3] == ["mend_ports", "set_localnet", "set_router_port"]
    assert plan(asked, world.observe()).steps == ()


def test_a_port_that_goes_is_not_put_back() -> None:
    world = up()
    world.disabled.add(ROUTER_PORT)
    del world.ports[SWITCH_ROUTER_PORT]
    assert "mend_ports" not in actions(run(gateway(), world))
    world.ports[LOCALNET_PORT] = ("", {})
    world.addresses[LOCALNET_PORT] = ("0a:00:00:00:00:09",)
    assert "mend_ports" not in actions(run(gateway(), world))
    seen: Observed = world.observe()
    assert unfinished(gateway(), seen) == []
