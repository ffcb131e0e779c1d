# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of EIP plans do with a model world: ask, look, run, and read what is there then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip import plan, wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes, assign
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import doubles, gateway_problems, problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import prune
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import key_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import is_late
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Plan, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._pools import parse_pool

from support.eip_world import World

ROUNDS = 12
CLAIMS = ("create_namespace", "claim", "release_claim")

Pair = tuple[Holder, "str | None"]


def vm_and_pod() -> World:
    """A running VM and a pod, without EIPs, as Kube-OVN has made them."""
    world = World()
    world.add_vm("testing", "10.253.0.2")
    world.add_pod("web", "10.253.0.3")
    world.controller()
    return world


def ask(*pairs: Pair, kind: str = "fip") -> list[Eip]:
    """A request as the module builds it."""
    return [Eip(holder, address, f"eips[{index}]", kind) for index, (holder, address) in enumerate(pairs)]


def draw(*holders: Holder, pool: str, kind: str = "fip") -> list[Eip]:
    """A request for addresses from a pool."""
    parsed, bad = parse_pool("pool", pool)
    assert not bad
    return [Eip(holder, None, f"eips[{index}]", kind, parsed) for index, holder in enumerate(holders)]


def wish(state: str = "present", **more: Any) -> Wishes:
    """The task's other options."""
    return Wishes(state, **more)


def assigned(desired: Sequence[Eip], wishes: Wishes, observed: Observed) -> tuple[list[Eip], list[Problem]]:
    """The EIPs with their addresses, and all that is wrong with them."""
    site = Site(observed)
    general = gateway_problems(site) if wishes.state == "present" and desired else []
    chosen, none = assign(desired, wishes, site)
    return chosen, doubles(desired) + general + none + problems(chosen, wishes, observed)


def refusals(desired: Sequence[Eip], state: str, observed: Observed, **more: Any) -> list[Problem]:
    """All for which a request is refused."""
    return assigned(desired, wish(state, **more), observed)[1]


def look(world: World, desired: Sequence[Eip], state: str = "present", **more: Any) -> Plan:
    """The plan of one look, with kept addresses read only when the plan wants them."""
    wishes, observed = wish(state, **more), world.observed(kept=False)
    if state == "pruned":
        return prune(world.observed())[0]
    observed = world.observed() if wants_kept(desired, wishes, observed) else observed
    return plan(assigned(desired, wishes, observed)[0], wishes, observed)


def steps_of(world: World, desired: Sequence[Eip], state: str = "present", **more: Any) -> list[Step]:
    """The steps of one look, without those for claims."""
    return [step for step in look(world, desired, state, **more).steps if step.action not in CLAIMS]


def left(world: World, desired: Sequence[Eip], state: str = "present", **more: Any) -> list[Problem]:
    """What is not as asked."""
    wishes, observed = wish(state, **more), world.observed()
    found = unfinished(assigned(desired, wishes, observed)[0], wishes, observed)
    return [problem for problems in found.values() for problem in problems]


def run(
    world: World,
    desired: Sequence[Eip],
    state: str = "present",
    each: Callable[[], None] = lambda: None,
    **more: Any,
) -> list[str]:
    """What a run does: every round the steps whose time has come, then the controller. The actions done.

    Addresses are chosen once, at the first look, as a run does that wins its claims.
    """
    wishes = wish(state, **more)
    chosen = assigned(desired, wishes, world.observed())[0] if state != "pruned" else []
    again = replace(wishes, rotate=False)  # what a later look of the same run asks for: the address that was chosen
    done: list[str] = []
    written: set[tuple[Any, ...]] = set()
    for _round in range(ROUNDS):
        observed = world.observed()
        steps = plan(chosen, again, observed).steps if state != "pruned" else prune(observed)[0].steps
        missing = unfinished(chosen, again, observed)
        if not steps and not missing:
            return done
        now = [step for step in steps if not is_late(step) and key_of(step) not in written]
        assert_no_two_write_one(now)
        for step in now:
            world.apply(step)
            written.add(key_of(step))  # as a run does
            done.append(step.action)
            each()
        world.controller()
        each()
    raise AssertionError(f"no end after {ROUNDS} rounds: {[step.text for step in steps]}, {missing}")


def assert_no_two_write_one(steps: Sequence[Step]) -> None:
    """A run does steps of one kind side by side: of two that write the same annotation any could be the last."""
    written = [step for step in steps if step.action.startswith("annotate_")]
    places = [(step.action, *(step.data[key] for key in ("namespace", "name", "workload", "kind"))) for step in written]
    assert len(places) == len(set(places)), [step.text for step in written]


def drive(
    world: World,
    desired: Sequence[Eip],
    state: str = "present",
    each: Callable[[], None] = lambda: None,
    **more: Any,
) -> list[str]:
    """The same, without what it does to claims."""
    return [action for action in run(world, desired, state, each, **more) if action not in CLAIMS]


def rules(world: World) -> list[tuple[str, str]]:
    """External and logical address of each NAT rule."""
    return sorted((rule.external_ip, rule.logical_ip) for rule in world.rules)


def matches(world: World) -> list[str]:
    """The overlay addresses that are rerouted."""
    return sorted(policy.match.removeprefix("ip4.src == ") for policy in world.policies)


def claimed(world: World) -> dict[str, list[str]]:
    """Who has claimed what."""
    return {one.address: [str(who.holder) for who in one.claimants] for one in world.claims.values()}
