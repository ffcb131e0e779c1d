# SPDX-License-Identifier: GPL-3.0-or-later
"""Where EIPs of several holders, runs or people meet: nobody loses what is theirs, and no run fights another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._claims import claims_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Eip,
    Holder,
    RoutePolicy,
    SourceRoute,
    Step,
)
from support.eip_cases import ask, claimed, draw, look, matches, refusals, rules, run, wish
from support.eip_runs import VM, WEB, RunSite
from support.eip_world import World

POOL = "10.4.19.110-10.4.19.150"


class Site(RunSite):
    """A world of the test's own, in which Kube-OVN looks after each write."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def act(self, steps: Sequence[Step]) -> Done:
        done = super().act(steps)
        self.world.controller()
        return done

    def ask(self, asked: Sequence[Eip] | None, **options: Any) -> Run:
        return Run(asked, wish(**options), self, self.act)


@pytest.fixture
def world() -> World:
    return World()


# --- holders of one name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_a_stopped_vm_loses_nothing_to_another_holder_of_its_name(world: World, kind: str) -> None:
    vm = world.add_vm("web", "10.253.0.2")
    run(world, ask((vm, "10.4.19.101")))
    world.stop("web")
    if kind == "Deployment":
        world.add_deployment("web", None, replicas=0)
        run(world, ask((Holder(kind, "default", "web"), "10.4.19.105")))
    else:
        run(world, ask((Holder(kind, "default", "web"), None)), "absent")
    assert (rules(world), matches(world)) == ([("10.4.19.101", "10.253.0.2")], ["10.253.0.2"])
    assert claimed(world)["10.4.19.101"] == [str(vm)]


# --- rows that people wrote -------------------------------------------------------------------------------------------


def test_a_rule_to_a_machine_outside_of_kubernetes_is_refused_whoever_names_its_address(world: World) -> None:
    pod = world.add_pod("web", "10.253.0.9", "10.4.19.120")
    world.add_rule("10.4.19.120", "192.168.77.5")
    world.settle()
    (problem,) = refusals(ask((pod, "10.4.19.120")), "present", world.observed())
    assert "leads to no pod" in problem.text
    run(world, ask((pod, None)), "absent")
    assert rules(world) == [("10.4.19.120", "192.168.77.5")]


def test_a_policy_and_a_route_that_kube_ovn_did_not_make_stay(world: World) -> None:
    pod = world.add_pod("web", "10.253.0.2")
    world.settle()
    world.policies.append(RoutePolicy("p", 29250, "ip4.src == 10.253.0.2", "reroute", ("10.253.9.9",), "us"))
    world.routes.append(SourceRoute("r", "10.253.0.2", "10.253.9.9"))
    assert not look(world, ask((pod, None)), "absent").changed


# --- adoption ---------------------------------------------------------------------------------------------------------


def test_adoption_leaves_alone_what_it_refuses_and_goes_on_with_the_rest(world: World) -> None:
    good = world.add_pod("good", "10.253.0.9", "10.4.19.119")
    world.add_pod("far", "10.253.0.8", "10.4.20.7")
    world.add_deployment("roll", "10.253.0.7", "10.4.19.121", surges=True)
    for name in ("one", "two"):
        world.add_pod(name, f"10.253.0.{len(name)}", "10.4.19.122")
    world.settle()
    site = Site(world)
    taken = site.ask(None, adopt=True)
    assert not taken.general
    taken.claim()
    taken.write()
    assert claimed(world) == {"10.4.19.119": [str(good)]}
    said = "; ".join(str(problem) for found in taken.bad.values() for problem in found)
    assert "adopted[fip of Pod default/far].address" in said
    assert "RollingUpdate" in said
    assert "10.4.19.122 is held by" in said


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_second_rotation_that_was_killed_after_its_claim_goes_on(world: World) -> None:
    asked = draw(world.add_pod("web", "10.253.0.2"), pool=POOL)
    run(world, asked)
    for name in ("first", "second"):  # back and forth, so that each claim names the other as the one before
        run(world, asked, rotate=True, rotation=name)
    (old,) = world.claims
    for step in look(world, asked, rotate=True, rotation="third").steps:
        if step.action == "claim":
            world.apply(step)
    run(world, asked, rotate=True, rotation="third")
    assert old not in world.claims
    assert [external for external, _logical in rules(world)] == list(world.claims)


# --- runs at one time -------------------------------------------------------------------------------------------------


def test_of_two_runs_that_reassign_one_gives_in(world: World) -> None:
    pods = [world.add_pod(name, f"10.253.0.{number}") for number, name in enumerate(("x", "a", "b"), 2)]
    world.settle()
    run(world, ask((pods[0], "10.4.19.101")))
    site = Site(world)
    both = [site.ask(ask((pod, "10.4.19.101")), reassign=True) for pod in pods[1:]]
    for one in both:
        one.claim()
    for _round in range(8):
        for one in both:
            one.look_again()
    assert [bool(one.bad) for one in both].count(True) == 1
    assert len(rules(world)) == 1


@pytest.mark.parametrize("turn", [1, -1])
def test_who_loses_an_address_to_another_item_has_its_own_new_one_in_the_end(turn: int) -> None:
    site = RunSite()
    site.settle((VM, "10.4.19.101"))
    site.writes = []
    moved = [(VM, "10.4.19.105"), (WEB, "10.4.19.101")][::turn]
    run = site.settle(*moved, reassign=True)
    assert not run.bad
    assert site.writes.count("annotate_pod") == 2, "it is not taken its EIP before it gets the other one"
    assert rules(site.world) == [("10.4.19.101", "10.253.0.3"), ("10.4.19.105", "10.253.0.2")]
    assert site.world.vms["default", "testing"].template_eip == "10.4.19.105"
    assert not site.run(*moved, reassign=True).planned.steps


@pytest.mark.parametrize("third", [None, ("10.4.19.103", "10.253.0.4")])
def test_holders_change_places_in_one_task(third: tuple[str, str] | None) -> None:
    site = RunSite()
    pairs = [(VM, "10.4.19.101"), (WEB, "10.4.19.102")]
    if third:
        pairs.append((site.world.add_pod("third", third[1]), third[0]))
    site.settle(*pairs)
    holders, addresses = [holder for holder, _address in pairs], [address for _holder, address in pairs]
    changed = list(zip(holders, addresses[1:] + addresses[:1], strict=True))
    assert not site.settle(*changed, reassign=True).bad
    assert claimed(site.world) == {address: [str(holder)] for holder, address in changed}
    assert {pod.eip for pod in site.world.pods.values()} == set(addresses)
    assert len(site.world.rules) == len(pairs)
    assert not site.run(*changed, reassign=True).planned.steps


def test_a_run_that_does_not_wait_writes_nothing_late(world: World) -> None:
    old, new = world.add_pod("old", "10.253.0.2"), world.add_pod("new", "10.253.0.3")
    world.settle()
    run(world, ask((old, "10.4.19.101")))
    hurried = Site(world).ask(ask((new, "10.4.19.101")), reassign=True)
    hurried.claim()
    hurried.write()
    assert world.pods["default", "new"].eip is None, "the old holder is not clean yet"
    run(world, ask((new, "10.4.19.101")))
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]


def test_a_lease_that_only_looks_like_a_claim_is_nobodys_to_take() -> None:
    lease = {"metadata": {"name": "eip-10.4.19.101", "resourceVersion": "1"}, "spec": {"holderIdentity": "me"}}
    other = {"metadata": {"name": "kube-controller-manager"}, "spec": {}}
    assert claims_of([lease, other]) == ((), ("eip-10.4.19.101",))


# --- without OVN ------------------------------------------------------------------------------------------------------


def test_what_would_leave_a_rule_behind_is_refused_where_ovn_is_not_seen(world: World) -> None:
    pod, vm = world.add_pod("web", "10.253.0.2"), world.add_vm("testing", "10.253.0.3")
    world.settle()
    run(world, ask((pod, "10.4.19.101"), (vm, "10.4.19.102")))
    world.stop("testing")
    blind = replace(world.observed(), blind=True)
    (change,) = refusals(ask((pod, "10.4.19.105")), "present", blind)
    assert "the NAT rule of 10.4.19.101, which Pod default/web has now, would stay" in change.text
    (stopped,) = refusals(ask((vm, None)), "absent", blind)
    assert "has no live pod, so its NAT rule would stay" in stopped.text
    assert not refusals(ask((pod, None)), "absent", blind)


# --- one task ---------------------------------------------------------------------------------------------------------


def test_an_address_that_a_pool_keeps_is_not_given_to_another_of_the_same_task(world: World) -> None:
    first, second = world.add_pod("a", "10.253.0.2"), world.add_pod("b", "10.253.0.3")
    run(world, draw(first, pool=POOL))
    named = replace(ask((second, "10.4.19.110"))[0], path="eips[1]")
    asked = Site(world).ask([*draw(first, pool=POOL), named], reassign=True)
    assert "asked for twice" in "; ".join(str(one) for found in asked.bad.values() for one in found)


def test_holders_of_one_task_share_a_snat_address_as_those_of_two_do(world: World) -> None:
    first, second = world.add_pod("a", "10.253.0.2"), world.add_pod("b", "10.253.0.3")
    run(world, draw(first, second, pool=POOL, kind="snat"))
    assert claimed(world) == {"10.4.19.110": [str(first), str(second)]}
    run(world, draw(first, second, pool=POOL, kind="snat"), rotate=True)
    assert claimed(world) == {"10.4.19.111": [str(first), str(second)]}


def test_pruning_takes_those_who_are_gone_out_of_a_shared_claim(world: World) -> None:
    names = ("a", "b", "c")
    pods = [world.add_pod(name, f"10.253.0.{number}") for number, name in enumerate(names, 2)]
    run(world, ask(*((pod, "10.4.19.110") for pod in pods), kind="snat"))
    for name in names[:2]:
        world.delete_pod("default", name)
    run(world, [], "pruned")
    assert claimed(world) == {"10.4.19.110": [str(pods[2])]}


def test_a_stopped_machine_does_not_take_the_rule_of_a_pod_of_its_name() -> None:
    world = World()
    pod = world.add_pod("web", "10.253.0.2")
    vm = world.add_vm("web", "10.253.0.3", running=False)
    run(world, ask((pod, "10.4.19.101"), (vm, "10.4.19.102")))
    assert rules(world) == [("10.4.19.101", "10.253.0.2")]
    run(world, ask((vm, None)), "absent")
    assert rules(world) == [("10.4.19.101", "10.253.0.2")]
