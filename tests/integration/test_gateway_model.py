# SPDX-License-Identifier: GPL-3.0-or-later
"""The model that plans are tested with (support.gateway_world) agrees with the lab: the same random operations on both.

A round is a run of the module, or something done by hand behind its back; after each the lab has to be as the model is.
What the model leaves open is whether the controller's cache was behind: one of both outcomes has to be the lab's. In
which order the controller adds gateway chassis is open too: their priorities are taken over from the lab, unless the
module was the last to see to them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached
from support.ansible import module
from support.gateway_cases import gateway, run
from support.gateway_truth import CONFIG_MAP, LABEL, NODES, PORT, REVISION, SITE, Picture, Truth
from support.gateway_world import LOCALNET_PORT, SWITCH_ROUTER_PORT, Machine, World
from support.lab import Lab

WORKER = "jah-k3s-l40s-001"
ADDRESSES = ("10.4.19.254/24", "10.4.19.253/24")
MACS = ("16:52:f3:13:6a:25", "16:52:f3:13:6a:26")
ROUNDS = 4
DEADLINE = 60.0
QUIET = 3.0  # seconds: the controller looks every second, and that it leaves things alone has no sign but time


@dataclass
class Operation:
    """The same thing twice. `ordered`: the module has seen to the priorities."""

    text: str
    on_lab: Callable[[Truth], object]
    on_model: Callable[[World], object]
    ordered: bool = False


# --- by the module --------------------------------------------------------------------------------------------------


def push(random: Random) -> Operation:
    """A run of the module."""
    nodes = random.sample(NODES, random.choice([1, 2, 3, 3]))
    asked: dict[str, Any] = {"nic_ip": random.choice(ADDRESSES), "nic_mac": random.choice(MACS)}
    match random.randint(0, 5):
        case 0:
            asked["enabled"] = False
        case 1:
            asked["type"] = "distributed"
        case 2:
            asked["drained"] = tuple(nodes[: len(nodes) - 1][:1])
    options = {**SITE, "nodes": nodes, **{key: list(v) if isinstance(v, tuple) else v for key, v in asked.items()}}
    return Operation(
        f"module: {nodes} {asked}",
        lambda _truth: succeed(options),
        lambda world: run(gateway(*nodes, **asked), world),
        ordered=True,
    )


def remove(_random: Random) -> Operation:
    return Operation("module: absent", lambda _truth: succeed({"state": "absent"}), lambda world: run(None, world))


def succeed(options: dict[str, Any]) -> None:
    result = module("kubeovn.core.ovn_external_gw", options)
    assert not result["failed"], result["msg"]


# --- by hand --------------------------------------------------------------------------------------------------------


def edit(random: Random) -> Operation:
    """The ConfigMap changed by hand."""
    nodes = ",".join(random.sample(NODES, random.randint(1, 3)))
    key, value = random.choice(
        [
            ("external-gw-nodes", nodes),
            ("nic-ip", random.choice(ADDRESSES)),
            ("enable-external-gw", random.choice(["true", "false", "no"])),
        ]
    )

    def on_lab(truth: Truth) -> None:
        if truth.data() is not None:
            truth.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", json.dumps({"data": {key: value}}))

    def on_model(world: World) -> None:
        if world.config_map is not None:
            world.config_map[key] = value

    return Operation(f"ConfigMap {key}={value}", on_lab, on_model)


def delete(_random: Random) -> Operation:
    def on_model(world: World) -> None:
        world.config_map, world.notes = None, {}

    return Operation(
        "ConfigMap deleted", lambda truth: truth.kubectl("delete", *CONFIG_MAP, "--ignore-not-found"), on_model
    )


def label(random: Random) -> Operation:
    node, value = random.choice(NODES), random.choice(["true", "false", None])
    word = f"{LABEL}-" if value is None else f"{LABEL}={value}"

    def on_model(world: World) -> None:
        world.machines[node].label = value

    return Operation(
        f"label {node} {value}", lambda truth: truth.kubectl("label", "node", node, word, "--overwrite"), on_model
    )


def drop_port(_random: Random) -> Operation:
    def on_model(world: World) -> None:
        world.mac, world.networks, world.rows = None, (), {}

    return Operation("router port deleted", lambda truth: truth.nbctl("--if-exists", "lrp-del", PORT), on_model)


def drop_switch_port(random: Random) -> Operation:
    name = random.choice([LOCALNET_PORT, SWITCH_ROUTER_PORT])
    return Operation(
        f"{name} deleted",
        lambda truth: truth.nbctl("--if-exists", "lsp-del", name),
        lambda world: world.ports.pop(name, None),
    )


def drop_row(random: Random) -> Operation:
    node = random.choice(NODES)

    def on_lab(truth: Truth) -> None:
        if node in dict(truth.gateways()):
            truth.nbctl("lrp-del-gateway-chassis", PORT, chassis(truth, node))

    return Operation(f"row of {node} deleted", on_lab, lambda world: world.rows.pop(node, None))


def raise_row(random: Random) -> Operation:
    node = random.choice(NODES)

    def on_lab(truth: Truth) -> None:
        if node in dict(truth.gateways()):
            truth.nbctl("lrp-set-gateway-chassis", PORT, chassis(truth, node), "200")

    def on_model(world: World) -> None:
        if node in world.rows:
            world.rows[node] = 200

    return Operation(f"row of {node} raised", on_lab, on_model)


def readdress(random: Random) -> Operation:
    mac = random.choice(MACS)

    def on_lab(truth: Truth) -> None:
        truth.nbctl("--if-exists", "set", "Logical_Router_Port", PORT, f'mac="{mac}"')

    def on_model(world: World) -> None:
        if world.mac:
            world.mac = mac

    return Operation(f"router port's MAC {mac}", on_lab, on_model)


def chassis(truth: Truth, node: str) -> str:
    return next(name for name, one in truth.chassis().items() if one == node)


BY_HAND = [edit, edit, delete, label, label, drop_port, drop_switch_port, drop_row, drop_row, raise_row, readdress]


def pick(random: Random, world: World) -> Operation:
    """By hand more often than not, and then something that is a change."""
    while True:
        operation = random.choice([push, remove, *random.choices(BY_HAND, k=6)])(random)
        after = deepcopy(world)
        if operation.text.startswith("module") or (operation.on_model(after), after != world)[1]:
            return operation


# --- both at once ---------------------------------------------------------------------------------------------------


def outcomes(operation: Operation, worlds: list[World]) -> list[World]:
    """What the model makes of it, with a controller whose cache is in time and one whose is behind, of any node."""
    found = []
    some = [frozenset(names) for size in range(len(NODES) + 1) for names in combinations(NODES, size)]
    for world in worlds:
        for behind in some:
            new = deepcopy(world)
            new.stale_cache, new.behind = bool(behind), behind
            try:
                operation.on_model(new)
            except NotReached as reason:
                raise AssertionError(f"{operation.text}: the model fails: {reason} {reason.problems}") from reason
            new.sleep(10)
            new.stale_cache, new.behind = False, None
            if new not in found:
                found.append(new)
    return found


def differences(world: World, lab: Picture, ordered: bool) -> list[str]:
    """Where the model is not as the lab. Takes the lab's priorities over where these may be any."""
    if set(world.rows) == set(lab.order) and not ordered:
        world.rows = dict(lab.gateways)
        world.elect()
    data = None if world.config_map is None else {k: v for k, v in world.config_map.items() if k != REVISION}
    ranks = sorted(world.rows, key=lambda name: -world.rows[name])
    tied = len(set(world.rows.values())) < len(world.rows)
    ports: dict[str, Any] | None = None
    if world.switch:
        ports = {name: (kind, options, []) for name, (kind, options) in world.ports.items()}
    bridges = {name for name, one in world.machines.items() if one.label == "true" and one.bridge}
    pairs: dict[str, tuple[Any, Any]] = {
        "ConfigMap": (data, lab.data),
        "annotations": (world.notes, lab.notes),
        "labels": ({name: one.label for name, one in world.machines.items() if one.label}, lab.labels),
        "router port": ((world.mac, list(world.networks)) if world.mac else None, lab.port),
        "gateways": (ranks, lab.order),
        "switch": (ports, lab.switch),
        "active": (lab.active if tied else world.active, lab.active),
        "bridges": (bridges - lab.mapped, set()),
    }
    return [f"{what}: model {model}, lab {seen}" for what, (model, seen) in pairs.items() if model != seen]


def settle(truth: Truth, worlds: list[World], operation: Operation) -> list[World]:
    """Those outcomes that the lab came to, and stays at when nothing but the controller acts."""
    end, quiet = time.monotonic() + DEADLINE, 0.0 if operation.ordered else QUIET
    since: float | None = None
    while True:
        began, lab = time.monotonic(), truth.picture()
        found = [(world, differences(world, lab, operation.ordered)) for world in worlds]
        agreed = [world for world, different in found if not different]
        if not agreed:
            since = None
            assert began < end, "\n".join(f"{operation.text}: {line}" for _world, lines in found for line in lines)
        elif since is None:
            since = began
        if since is not None and began - since >= quiet:
            return agreed
        time.sleep(0.3)


@pytest.fixture(scope="module")
def truth(lab: Lab) -> Iterator[Truth]:
    """The lab, and at the end its gateway as the example site has it."""
    truth = Truth(lab)
    yield truth
    truth.clear()
    succeed(SITE)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.full] if seed > 2 else []) for seed in range(200)]
)
def test_the_model_does_what_the_lab_does(truth: Truth, seed: int) -> None:
    truth.clear()
    worlds = [World({name: Machine(userspace=True) for name in [*NODES, WORKER]})]
    random = Random(seed)  # noqa: S311
    for number in range(ROUNDS):  # it begins and ends with the module, which has to cope with what was done
        operation = push(random) if number in (0, ROUNDS - 1) else pick(random, worlds[0])
        operation.on_lab(truth)
        worlds = settle(truth, outcomes(operation, worlds), operation)
