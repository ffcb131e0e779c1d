# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for EIPs in custom VPCs, and how a run carries their plan out in the model of Kube-OVN."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    attach_objects,
    detach_objects,
    held_addresses,
    object_key,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_check import unfinished_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Objects, Port
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Step

from support.vpc_world import VpcWorld

ROUNDS = 12
ONE, TWO, THREE = "10.4.19.101", "10.4.19.102", "10.4.19.103"
WEB, MAIL = Port(80, 8080), Port(25, 25)


@dataclass(frozen=True)
class Ask:
    """A request as the module builds it."""

    holder: Holder
    address: str | None
    kind: str = "fip"
    ports: tuple[Port, ...] = ()
    path: str = "eips[0]"


@dataclass(frozen=True)
class Wish:
    """What a run is for."""

    ask: Ask
    state: str = "present"
    adopt: bool = False


def plan(wish: Wish, seen: Objects) -> list[Step]:
    if wish.state == "present":
        return list(attach_objects(wish.ask, seen, wish.adopt))
    return list(detach_objects(wish.ask, seen, wish.state == "detached", wish.adopt))


def drive(world: VpcWorld, wish: Wish, northbound: bool = True) -> list[str]:
    """What a run does: every round the steps whose time has come, each once, then the controller. The steps done."""
    done: dict[tuple[object, ...], str] = {}
    wishes = [wish]
    if wish.ask.address is None:  # as the module does: the addresses are those of the first look
        held = held_addresses(wish.ask.holder, world.seen())
        wishes += [replace(wish, ask=replace(wish.ask, address=address)) for address in held]
    for _round in range(ROUNDS):
        seen = world.seen(northbound)
        steps = [step for one in wishes for step in plan(one, seen)]
        left = [problem for one in wishes for problem in unfinished_objects(one.ask, one.state, seen)]
        if not steps and not left:
            return list(done.values())
        for step in steps:
            if not step.data["late"] and object_key(step) not in done:
                world.apply(step)
                done[object_key(step)] = f"{step.action.partition('_')[0]} {step.data['resource']}/{step.data['name']}"
        world.controller()
    raise AssertionError(f"no end after {ROUNDS} rounds: {[step.text for step in steps]}, {left}, {world}")


def attach(world: VpcWorld, holder: Holder, address: str, kind: str = "fip", *ports: Port) -> list[str]:
    return drive(world, Wish(Ask(holder, address, kind, ports)))


def detach(world: VpcWorld, holder: Holder, address: str | None = None, keep_address: bool = False) -> list[str]:
    return drive(world, Wish(Ask(holder, address), "detached" if keep_address else "absent"))


def by_hand(world: VpcWorld, name: str, ip_name: str, address: str = ONE) -> None:
    """An EIP as the manual of Kube-OVN makes one."""
    world.add("ovn-eips", name, externalSubnet="external", v4Ip=address, type="nat")
    world.add("ovn-fips", name, ovnEip=name, ipName=ip_name)
    world.settle()
