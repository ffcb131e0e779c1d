# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for EIPs over generated worlds: right, half-done, leaked and foreign annotations, rows and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip import rivals
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import shown
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import is_late
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, GatewayNode, Holder, NatRule
from ansible_collections.kubeovn.core.plugins.module_utils._pools import parse_pool
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.eip_cases import ask, drive, left, look, refusals, run, wish
from support.eip_world import World

PROFILE = settings(max_examples=80, report_multiple_bugs=False)  # on top of conftest.py's

ADDRESSES = [f"10.4.19.{number}" for number in range(101, 107)]
OVERLAY = [f"10.253.0.{number}" for number in range(2, 12)]
maybe_address = st.none() | st.sampled_from(ADDRESSES)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, list[Holder]]:
    """Any mix of pods and VMs with right, half-done, leaked and foreign annotations, rules and policies."""
    world = World()
    overlay = iter(draw(st.permutations(OVERLAY)))
    holders = []
    for number in range(draw(st.integers(1, 3))):
        snat = draw(st.none() | st.just("10.4.19.200"))
        holders.append(world.add_pod(f"pod-{number}", next(overlay), draw(maybe_address), snat=snat))
    for number in range(draw(st.integers(0, 3))):
        holder = world.add_vm(f"vm-{number}", next(overlay), draw(maybe_address), running=draw(st.booleans()))
        holders.append(holder)
        if world.vms["default", holder.name].running and draw(st.booleans()):
            world.migrate(holder.name)
    if draw(st.booleans()):
        world.controller()
    if draw(st.booleans()):
        world.look_at_vpc()
    draw(disturbances(world))
    return world, holders


@st.composite
def disturbances(draw: st.DrawFn, world: World) -> None:
    """What else there may be: foreign and leaked rows, deleted VMs, OvnEips, annotations changed by hand."""
    for _number in range(draw(st.integers(0, 4))):
        world.add_rule(draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(OVERLAY)))
    for logical in draw(st.sets(st.sampled_from(OVERLAY), max_size=5)):
        world.add_policy(logical, draw(st.sampled_from(["10.4.19.1", "10.4.19.9"])))
    for name in [name for _namespace, name in world.vms]:
        if draw(st.integers(0, 5)) == 0:
            world.delete_vm(name, address_kept=draw(st.booleans()))
    for key, pod in list(world.pods.items()):
        if draw(st.integers(0, 3)) == 0:  # the controller has not been told of it
            world.pods[key] = replace(pod, eip=draw(maybe_address))
    claims = {pod.eip for pod in world.pods.values()} | {vm.template_eip for vm in world.vms.values()}
    for address in draw(st.sets(st.sampled_from(ADDRESSES), max_size=3)):
        owners = [*world.pods, *world.vms, ("default", "gone")]
        namespace, name = draw(st.sampled_from(owners))
        kind = "VirtualMachine" if (namespace, name) in world.vms else "Pod"
        world.add_claim(address, Holder(kind, namespace, name), draw(st.sampled_from(["fip", "snat"])))
        claims.add(address)
    if free := [address for address in ADDRESSES if address not in claims]:
        world.ovn_eips |= dict.fromkeys(draw(st.sets(st.sampled_from(free), max_size=1)), "someones")


@st.composite
def cases(draw: st.DrawFn) -> tuple[World, list[Eip], dict[str, Any]]:
    """A world with a request, and the options with which it is not refused there."""
    world, holders = draw(worlds())
    assume(world.copy().settle())  # a pod that Kube-OVN has given up on is named at the deadline, and stays as it is
    state = draw(st.sampled_from(["present", "present", "detached", "absent"]))
    options: dict[str, Any] = {"state": state, "reassign": state == "present" and draw(st.booleans())}
    kind = draw(st.sampled_from(["fip", "fip", "snat"]))
    chosen = draw(st.lists(st.sampled_from(holders), min_size=1, max_size=3, unique=True))
    if state == "present":
        addresses: Sequence[str | None] = draw(st.permutations(ADDRESSES))
    else:
        addresses = draw(st.lists(maybe_address, min_size=3, max_size=3))
    pairs = list(zip(chosen, addresses, strict=False))
    if state == "present":  # one by one, those that may have their address
        pairs = [pair for pair in pairs if not refusals(ask(pair, kind=kind), observed=world.observed(), **options)]
    assume(pairs)
    desired = ask(*pairs, kind=kind)
    assume(not refusals(desired, observed=world.observed(), **options))
    return world, desired, options


Case = tuple[World, list[Eip], dict[str, Any]]


@settings(PROFILE)
@given(cases())
def test_every_run_converges_and_the_next_one_does_nothing(case: Case) -> None:
    world, desired, options = case
    drive(world, desired, **options)
    again = look(world, desired, **options)
    assert (again.steps, dict(again.before), dict(again.after)) == ((), {}, {})
    assert not refusals(desired, observed=world.observed(), **options)


@settings(PROFILE)
@given(cases())
def test_the_diff_foretells_what_comes(case: Case) -> None:
    world, desired, options = case
    assume(world.settle() and not refusals(desired, observed=world.observed(), **options))
    site = Site(world.observed())
    for eip in desired:  # what Kube-OVN takes by the way, when it looks at a pod, is not the plan's
        other = "snat" if eip.kind == "fip" else "fip"
        assume(not site.asked_by(eip.holder, other) and not site.own_rules(eip.holder, other))
        # Nor is what two items of one task do to each other, as when one takes from a holder what the other gives.
        assume(not any(one.holder in {two.holder for two in desired} for one in rivals(eip, wish(**options), site)))
    foretold = look(world, desired, **options)
    drive(world, desired, **options)
    site = Site(world.observed())
    shown_now = {str(eip.holder): shown(eip.holder, site) for eip in desired}
    for holder, view in foretold.after.items():
        if holder in shown_now:
            assert shown_now[holder] == view


@settings(PROFILE)
@given(cases())
def test_no_floating_address_ever_has_more_rules_than_before(case: Case) -> None:
    world, desired, options = case
    floating = [eip.address for eip in desired if eip.kind == "fip"]

    def count(address: str | None) -> int:
        return sum(rule.external_ip == address for rule in world.rules)

    first = {address: max(1, count(address)) for address in floating}

    def check() -> None:
        assert all(count(address) <= most for address, most in first.items())

    drive(world, desired, each=check, **options)


@settings(PROFILE)
@given(cases())
def test_nothing_of_others_is_touched(case: Case) -> None:
    world, desired, options = case
    options = {**options, "reassign": False}
    assume(world.settle())  # what it would have done anyway is not the run's
    assume(not refusals(desired, observed=world.observed(), **options))
    before = world.copy()
    own = {(eip.holder.namespace, eip.holder.name) for eip in desired}
    drive(world, desired, **options)
    live = {pod.ip: (pod.namespace, pod.vm or pod.name) for pod in before.pods.values()} | before.kept
    others = {ip for ip, owner in live.items() if owner not in own}
    site = Site(before.observed())
    asked = {eip.address for eip in desired}
    asked |= {address for eip in desired for address in site.asked_by(eip.holder, eip.kind)}
    asked |= {claim.address for eip in desired for claim in site.claims_of(eip.holder, eip.kind)}
    theirs = {key: pod for key, pod in before.pods.items() if (pod.namespace, pod.vm or pod.name) not in own}
    assert {key: world.pods[key] for key in theirs} == theirs
    machines = {name: vm for name, vm in before.vms.items() if name not in own}
    assert {name: world.vms[name] for name in machines} == machines
    for rule in before.rules:
        if rule.logical_ip in others or rule.external_ip in world.ovn_eips:
            assert rule in world.rules
        if rule.logical_ip not in live and options["state"] == "present" and rule.external_ip not in asked:
            assert rule in world.rules
    for policy in before.policies:
        if policy.match.removeprefix("ip4.src == ") in others:
            assert policy in world.policies
    foreign = {
        address: claim
        for address, claim in before.claims.items()
        if address not in asked and not any((one.holder.namespace, one.holder.name) in own for one in claim.claimants)
    }
    assert {address: world.claims.get(address) for address in foreign} == foreign


@settings(PROFILE)
@given(cases(), st.integers(0, 12), st.booleans())
def test_a_killed_run_is_completed_by_the_next(case: Case, writes: int, awake: bool) -> None:
    world, desired, options = case
    assume(world.settle() and not refusals(desired, observed=world.observed(), **options))
    straight = world.copy()
    drive(straight, desired, **options)
    for step in [step for step in look(world, desired, **options).steps if not is_late(step)][:writes]:
        world.apply(step)
    if awake:
        world.controller()
    found = refusals(desired, observed=world.observed(), **options)
    assert not found, "what a killed run left is not held against its own holder"
    drive(world, desired, **options)
    assert world.state() == straight.state()


@settings(PROFILE)
@given(worlds())
def test_pruning_converges_and_takes_nothing_that_is_asked_for(made: tuple[World, list[Holder]]) -> None:
    world, _holders = made
    assume(world.settle())
    before = world.copy()
    run(world, [], "pruned")
    assert not look(world, [], "pruned").changed
    site = Site(before.observed())
    for rule in before.rules:
        if any(rule.external_ip in site.asked_by(holder) for holder in site.holders_at(rule.logical_ip)):
            assert rule in world.rules
    assert {key: pod.eip for key, pod in world.pods.items()} == {key: pod.eip for key, pod in before.pods.items()}


# --- wider: namesakes of each kind of holder, both kinds of EIP at once, shared and drawn addresses -----------------

POOL = "10.4.19.105-10.4.19.120"
OTHERS = {  # who has an address of the pool that no EIP may get
    "10.4.19.108": "an IP object",
    "10.4.19.109": "a node inside",
    "10.4.19.110": "a node outside",
    "10.4.19.111": "another router",
}


@st.composite
def wide_worlds(draw: st.DrawFn) -> tuple[World, list[Holder]]:
    """Pod, VM and Deployment of one name, and addresses of the pool that are somebody else's."""
    world = World()
    world.ips = ("10.4.19.108",)
    world.nodes = (GatewayNode("node", True, None, None, ("10.4.19.109",), ("10.4.19.110",)),)
    world.foreign_rules = [NatRule("foreign", "dnat_and_snat", "10.4.19.111", "10.9.0.2")]
    overlay = iter(draw(st.permutations(OVERLAY)))
    holders = []
    for name in ("web", "db"):
        holders.append(world.add_pod(name, next(overlay)))
        if draw(st.booleans()):
            holders.append(world.add_vm(name, next(overlay), running=draw(st.booleans())))
        if draw(st.booleans()):
            holders.append(world.add_deployment(name, next(overlay)))
    world.settle()
    return world, holders


@st.composite
def tasks(draw: st.DrawFn, holders: Sequence[Holder]) -> list[Eip]:
    """A task: each holder at most once for each kind, floating addresses drawn or named, source addresses shared."""
    asked: list[Eip] = []
    named = draw(st.permutations(ADDRESSES))
    pool, _bad = parse_pool("pool", POOL)
    for kind in ("fip", "snat"):
        for holder in draw(st.lists(st.sampled_from(holders), max_size=3, unique=True)):
            path = f"eips[{len(asked)}]"
            how = draw(st.sampled_from(["pool", "named"]))
            address = "10.4.19.200" if kind == "snat" else named[len(asked)]
            asked.append(Eip(holder, None if how == "pool" else address, path, kind, pool if how == "pool" else None))
    return asked


@settings(PROFILE)
@given(st.data())
def test_tasks_of_all_kinds_one_after_the_other_end_as_asked(data: st.DataObject) -> None:
    world, holders = data.draw(wide_worlds())
    for number in range(data.draw(st.integers(1, 3))):
        desired = data.draw(tasks(holders))
        options: dict[str, Any] = {"reassign": data.draw(st.booleans())}
        if data.draw(st.booleans()):
            options |= {"rotate": True, "rotation": f"rotation-{number}"}
        found = refusals(desired, "present", world.observed(), **options)
        assert not any(other in problem.text for problem in found for other in OTHERS), "a pool gave what is not free"
        if not desired or found:
            continue
        foreign = list(world.foreign_rules)
        run(world, desired, "present", **options)
        again = {key: value for key, value in options.items() if key == "reassign" or "rotation" in options}
        assert not look(world, desired, "present", **again).steps, "a second run finds nothing to do"
        assert not left(world, desired, "present", **again)
        _assert_sound(world)
        assert world.foreign_rules == foreign


@settings(PROFILE)
@given(st.data())
def test_all_that_was_given_can_be_released_to_nothing(data: st.DataObject) -> None:
    world, holders = data.draw(wide_worlds())
    desired = data.draw(tasks(holders))
    assume(desired and not refusals(desired, "present", world.observed()))
    run(world, desired, "present")
    for name, vm in list(world.vms.items()):
        if vm.running and data.draw(st.booleans()):
            world.stop(name[1])
    run(world, [replace(eip, address=None, pool=None) for eip in desired], "absent")
    assert (world.rules, world.policies, world.claims) == ([], [], {})


def _assert_sound(world: World) -> None:
    """What holds whatever was asked for: one holder for each floating address, none with an address of others."""
    floating = [rule.external_ip for rule in world.rules if rule.type == "dnat_and_snat"]
    assert len(floating) == len(set(floating))
    used = {rule.external_ip for rule in world.rules} | set(world.claims)
    assert not used & set(OTHERS)
    assert {rule.external_ip for rule in world.rules} <= set(world.claims)
    rerouted = {policy.match.removeprefix("ip4.src == ") for policy in world.policies}
    assert rerouted == {rule.logical_ip for rule in world.rules}
