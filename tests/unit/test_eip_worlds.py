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
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.eip_cases import ask, drive, look, refusals, run, wish
from support.eip_world import World

PROFILE = settings(max_examples=100, report_multiple_bugs=False)  # on top of conftest.py's

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
