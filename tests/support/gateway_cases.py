# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways to ask for, and what the module does with them on the model of a site: for tests of plans."""

from __future__ import annotations

from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import hand_labelled
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_look import first_look
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, HolderPort, NatRule, Plan

from support.gateway_world import Machine, World

NAMES = ("g1", "g2", "g3", "g4")
MACS = ("16:52:f3:13:6a:25", "16:52:f3:13:6a:26")
ADDRESSES = ("10.4.19.254/24", "10.4.19.253/24")
NATS = (
    NatRule("n1", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),
    NatRule("n2", "dnat_and_snat", "10.4.19.102", "10.253.0.6", "b.default", "0a:00:00:00:00:02", True),
    NatRule("n3", "dnat_and_snat", "10.4.19.103", "10.253.0.7", "gone.default", "0a:00:00:00:00:03"),
)
PORTS = {
    "10.253.0.5": HolderPort("a.default", "0a:00:00:00:00:01"),
    "10.253.0.6": HolderPort("b.default", "0a:00:00:00:00:02"),
}


def gateway(*nodes: str, **other: Any) -> ExternalGateway:
    values: dict[str, Any] = {"nic": "enp8s0", "gateway": "10.4.19.1/24", "nic_ip": ADDRESSES[0], "nic_mac": MACS[0]}
    return ExternalGateway(nodes=nodes or NAMES[:3], **{**values, **other})


def bare() -> World:
    return World({name: Machine() for name in NAMES})


def run(asked: ExternalGateway | None, world: World, timeout: float = 60) -> Plan:
    """What the module does, with the model of a site."""
    seen = first_look(world.observe, world)
    steps = plan(asked, seen)
    doing = Run(asked, world, seen, world, timeout)
    problems = doing.check_controller([step.action for step in steps.steps])
    if problems:
        raise NotReached("refused", problems, seen)
    try:
        doing.apply(steps)
        doing.verify()
    except NotReached as reason:
        for line in (
            *map(str, reason.problems),
            f"taken: {[step.action for step in doing.done]}",
            f"plan: {steps.steps}",
        ):
            reason.add_note(line)
        raise
    return steps


def labelled_by_others(asked: ExternalGateway | None, world: World) -> list[str]:
    """Whose label is to stay, once the controller has taken away what it still had to."""
    return hand_labelled(asked, first_look(world.observe, world))


def up(*nodes: str) -> World:
    """A site whose gateway works."""
    world = bare()
    run(gateway(*nodes), world)
    world.sleep(10)
    world.blind.clear()
    world.silent.clear()
    world.writes = 0
    return world


def actions(steps: Plan) -> list[str]:
    return [step.action for step in steps.steps]
