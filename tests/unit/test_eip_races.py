# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over EIPs beside other runs: what one of them must not do to another's, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Port
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import PORTION, Outcome, Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Problem, Step
from support.eip_cases import CLAIMS, ask, claimed, draw, matches, rules, wish
from support.eip_runs import VM, WEB, RunSite, said
from support.vpc_runs import VpcSite


@pytest.fixture
def site() -> RunSite:
    return RunSite()


# --- one holder, two runs -------------------------------------------------------------------------------------------


def test_of_two_runs_that_give_one_holder_an_address_each_one_gives_in(site: RunSite) -> None:
    first = site.run((WEB, "10.4.19.101"))
    first.claim()
    second = site.run((WEB, "10.4.19.102"))
    second.claim()
    first.settle(30, site.clock)
    second.settle(30, site.clock)
    assert "another run gives it 10.4.19.102" in said(first)
    assert (said(second), rules(site.world)) == ("", [("10.4.19.102", "10.253.0.3")])
    assert claimed(site.world) == {"10.4.19.102": [str(WEB)]}


def test_two_runs_that_claimed_side_by_side_for_one_holder_give_back(site: RunSite) -> None:
    first, second = site.run((WEB, "10.4.19.101")), site.run((WEB, "10.4.19.102"))
    first.claim()
    second.claim()
    assert "another run gives it 10.4.19.101" in said(second)
    assert claimed(site.world) == {"10.4.19.101": [str(WEB)]}
    first.settle(30, site.clock)
    assert (said(first), rules(site.world)) == ("", [("10.4.19.101", "10.253.0.3")])


def test_a_claim_that_goes_while_a_run_is_on_ends_it(site: RunSite) -> None:
    run = site.run((WEB, "10.4.19.101"))
    run.claim()
    del site.world.claims["10.4.19.101"]
    run.settle(30, site.clock)
    assert "its claim was released meanwhile" in said(run)


# --- one address, two holders ---------------------------------------------------------------------------------------


ADDRESS = "10.4.19.101"


def holds_alone(site: RunSite, holder: Holder | None) -> None:
    """The address is with this holder, or with nobody: claim, annotations, rule and policy."""
    for _round in range(3):
        site.world.controller()
    ips = {VM: "10.253.0.2", WEB: "10.253.0.3"}
    vm, pods = site.world.vms["default", "testing"], site.world.pods.values()
    assert claimed(site.world) == ({ADDRESS: [str(holder)]} if holder else {})
    assert rules(site.world) == ([(ADDRESS, ips[holder])] if holder else [])
    assert matches(site.world) == ([ips[holder]] if holder else [])
    of_vm = ADDRESS if holder == VM else None
    assert (vm.template_eip, vm.instance_eip) == (of_vm, of_vm)
    assert {pod.name: pod.eip for pod in pods if pod.vm} == {pod.name: of_vm for pod in pods if pod.vm}
    assert site.world.pods["default", "web"].eip == (ADDRESS if holder == WEB else None)


def finish(run: Run, site: RunSite | VpcSite, wait: bool = True) -> None:
    run.waits = wait
    if wait:
        run.settle(30, site if isinstance(site, VpcSite) else site.clock)
    else:
        run.write()


def before_it_writes(run: Run, what: str, others: Callable[[], object]) -> None:
    """Others do something after this run's last look, right before it writes the first of these."""
    act, todo = run.act, [others]

    def acting(steps: Sequence[Step]) -> Outcome:
        if todo and any(step.action == what for step in steps):
            todo.pop()()
        return act(steps)

    run.act = acting


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_taken_after_it_was_claimed_is_not_written(site: RunSite, wait: bool) -> None:
    loser = site.run((VM, ADDRESS))
    loser.claim()
    taker = site.settle((WEB, ADDRESS), reassign=True)
    site.writes.clear()
    finish(loser, site, wait)
    assert (said(taker), site.writes) == ("", [])
    assert "another run has taken it for Pod default/web meanwhile" in said(loser)
    assert not loser.planned.steps
    holds_alone(site, WEB)
    assert said(site.settle((WEB, ADDRESS))) == ""


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_taken_from_a_holder_that_had_its_claim_already_is_not_written(site: RunSite, wait: bool) -> None:
    site.settle((VM, ADDRESS))
    site.settle((VM, None), state="detached")
    loser = site.run((VM, ADDRESS))
    assert "claim" not in [step.action for step in loser.planned.steps]
    site.settle((WEB, ADDRESS), reassign=True)
    site.writes.clear()
    loser.claim()
    finish(loser, site, wait)
    assert site.writes == []
    assert "another run has taken it" in said(loser)
    holds_alone(site, WEB)


def test_of_many_what_is_taken_meanwhile_is_not_written_and_the_others_are(site: RunSite) -> None:
    third = site.world.add_pod("third", "10.253.0.4")
    loser = site.run((VM, ADDRESS), (third, "10.4.19.103"))
    loser.claim()
    site.settle((WEB, ADDRESS), reassign=True)
    loser.settle(30, site.clock)
    assert list(loser.bad) == ["eips[0]"]
    assert site.world.pods["default", "third"].eip == "10.4.19.103"
    assert {step.data["path"] for step in loser.result.steps if step.action not in CLAIMS} == {"eips[1]"}


@pytest.mark.parametrize("what", ["annotate_template", "annotate_pod"])
def test_what_was_written_for_an_address_that_is_taken_then_is_taken_back(site: RunSite, what: str) -> None:
    loser = site.run((VM, ADDRESS))
    loser.claim()
    before_it_writes(loser, what, lambda: site.settle((WEB, ADDRESS), reassign=True))
    loser.settle(30, site.clock)
    assert "another run has taken it for Pod default/web meanwhile" in said(loser)
    assert len(loser.bad["eips[0]"]) == 1
    assert loser.result.changed
    holds_alone(site, WEB)
    assert not site.settle((WEB, ADDRESS)).result.changed


def test_what_was_written_is_taken_back_without_waiting_as_well(site: RunSite) -> None:
    loser = site.run((WEB, ADDRESS))
    loser.claim()
    before_it_writes(loser, "annotate_pod", lambda: site.settle((VM, ADDRESS), reassign=True))
    finish(loser, site, wait=False)
    assert "another run has taken it for VirtualMachine default/testing meanwhile" in said(loser)
    assert site.world.pods["default", "web"].eip is None


@pytest.mark.parametrize("early", [True, False], ids=["before the last look", "after it"])
@pytest.mark.parametrize("wait", [True, False])
def test_no_annotation_stays_without_a_claim(site: RunSite, early: bool, wait: bool) -> None:
    site.settle((VM, ADDRESS))
    site.settle((VM, None), state="detached")
    loser = site.run((VM, ADDRESS))
    loser.claim()

    def release() -> None:
        site.settle((VM, None), state="absent")

    release() if early else before_it_writes(loser, "annotate_template", release)
    finish(loser, site, wait)
    assert "its claim was released meanwhile" in said(loser)
    vm = site.world.vms["default", "testing"]
    assert (vm.template_eip, vm.instance_eip, claimed(site.world)) == (None, None, {})
    if wait:
        holds_alone(site, None)


@pytest.mark.parametrize("written", [False, True], ids=["before it is begun", "while it is begun"])
def test_of_many_that_are_claimed_in_portions_what_is_taken_is_not_left_written(site: RunSite, written: bool) -> None:
    pods = [site.world.add_pod(f"p{index}", f"10.253.1.{index + 2}") for index in range(PORTION)]
    site.world.settle()
    asked = draw(WEB, *pods, pool="10.4.19.101-10.4.19.250")
    run = Run(asked, wish(), site, site.act)

    def taken() -> None:
        assert said(site.settle((VM, ADDRESS), reassign=True)) == ""

    if written:
        before_it_writes(run, "annotate_pod", taken)
    else:
        claims = site.claims
        todo = [taken]
        site.claims = lambda: (todo.pop()() if todo else None, claims())[1]  # type: ignore[method-assign]
    run.claim()
    assert (site.world.pods["default", "web"].eip == ADDRESS) is written
    run.settle(60, site.clock)
    assert list(run.bad) == [asked[0].path]
    assert site.world.pods["default", "web"].eip is None
    assert dict(rules(site.world))[ADDRESS] == "10.253.0.2"
    assert len(rules(site.world)) == PORTION + 1


@pytest.mark.parametrize("wait", [True, False])
def test_a_rule_of_a_custom_vpc_that_was_written_too_late_goes_again(wait: bool) -> None:
    site = VpcSite()
    first, second = site.add("first", "10.0.1.11"), site.add("second", "10.0.1.12")
    asked = [replace(ask((first, ADDRESS), kind="dnat")[0], ports=(Port(80, 8080),))]
    taking = [replace(ask((second, ADDRESS), kind="dnat")[0], ports=(Port(25, 25),))]
    site.whole(asked)
    site.whole(asked, state="detached")
    run = Run(asked, wish(), site, site.act)
    run.claim()
    before_it_writes(run, "create_object", lambda: site.whole(taking, reassign=True))
    finish(run, site, wait)
    assert "another run has taken it for Pod shop/second meanwhile" in said(run)
    assert claimed(site.world) == {ADDRESS: [str(second)]}
    site.vpc.settle()
    name = "eip-10-4-19-101"
    assert sorted(site.vpc.objects) == [("ovn-dnat-rules", f"{name}-tcp-25"), ("ovn-eips", name)]


def test_the_claims_are_looked_at_once_more_only_where_something_is_written(site: RunSite) -> None:
    looks: list[int] = []
    claims = site.claims

    def counted() -> Any:
        looks.append(1)
        return claims()

    site.claims = counted  # type: ignore[method-assign]
    run = site.run((VM, ADDRESS), (WEB, "10.4.19.102"))
    run.claim()
    before = len(looks)
    run.settle(30, site.clock)
    assert len(looks) - before == 1, "whatever their number"
    looks.clear()
    site.settle((VM, ADDRESS), (WEB, "10.4.19.102"))
    assert looks == [], "nothing is to be written"


# --- all or nothing -------------------------------------------------------------------------------------------------


def test_all_or_nothing_gives_a_claim_back_to_whom_it_was_taken_from(site: RunSite) -> None:
    other = site.world.add_pod("other", "10.253.0.9")
    third = site.world.add_pod("third", "10.253.0.8")
    site.world.settle()
    site.settle((other, "10.4.19.101"))
    before = site.world.claims["10.4.19.101"]
    asked = [Eip(WEB, "10.4.19.101", "eips[0]"), replace(draw(VM, pool="10.4.19.102")[0], path="eips[1]")]
    run = Run(asked, wish(reassign=True), site, site.act)
    site.world.add_claim("10.4.19.102", third)
    run.claim(all_or_nothing=True)
    assert run.bad
    assert replace(site.world.claims["10.4.19.101"], version=before.version) == before
    assert claimed(site.world)["10.4.19.102"] == [str(third)]


def test_all_or_nothing_gives_claims_back_when_one_is_refused(site: RunSite) -> None:
    def act(steps: Sequence[Step]) -> Done:
        done = site.act([step for step in steps if step.data.get("path") != "eips[1]"])
        if any(step.data.get("path") == "eips[1]" for step in steps):
            done.refused = {"eips[1]": [Problem("claim", "403")]}
        return done

    run = Run(ask((WEB, "10.4.19.101"), (VM, "10.4.19.102")), wish(), site, act)
    run.claim(all_or_nothing=True)
    assert "403" in said(run)
    assert claimed(site.world) == {}


# --- answers --------------------------------------------------------------------------------------------------------


def test_a_claim_whose_answer_was_lost_counts_as_a_change(site: RunSite) -> None:
    holder = site.world.add_pod("h", "10.253.0.9", "10.4.19.120")
    site.world.settle()
    site.world.home = True
    lost = iter([True])

    def act(steps: Sequence[Step]) -> Done:
        done = site.act(steps)
        if next(lost, False):
            claims = [step for step in steps if step.action == "claim"]
            done.lost += claims
            done.unknown += claims
        return done

    run = Run(ask((holder, "10.4.19.120")), wish(), site, act)
    run.claim()
    run.settle(5, site.clock)
    assert (run.bad, claimed(site.world)) == ({}, {"10.4.19.120": [str(holder)]})
    assert [step.action for step in run.done.values()] == ["claim"]
    assert run.result.changed


# --- what only a later look shows -----------------------------------------------------------------------------------


def test_a_later_look_does_not_interrupt_what_the_first_plan_did_not_name(site: RunSite) -> None:
    """A VM starts again while the run is on: without that its pod would not have been touched."""
    site.settle((VM, "10.4.19.101"))

    def forbidden(step: Step) -> list[Problem]:
        return [Problem("max_disruption", step.text)] if step.interrupts else []

    run = Run(ask((VM, "10.4.19.101"), (WEB, "10.4.19.102")), wish(), site, site.act, forbidden)
    (launcher,) = [key for key in site.world.pods if key[1].startswith("virt-launcher")]
    run.claim()
    site.world.pods[launcher] = replace(site.world.pods[launcher], eip=None, routed=False)
    run.settle(5, site.clock)
    assert site.world.pods[launcher].eip is None
    assert "max_disruption" in said(run)


class Late(RunSite):
    """A site whose first look is from before another run made something."""

    def __init__(self, first: Observed, then: RunSite) -> None:
        super().__init__()
        self.looks, self.world = iter([first]), then.world

    def observe(self, desired: Sequence[Eip], wishes: Wishes) -> Observed:
        return next(self.looks, None) or super().observe(desired, wishes)


def test_pruning_leaves_a_policy_whose_rule_is_just_coming(site: RunSite) -> None:
    pods = site.world.observed().pods
    key = ("default", "web")
    site.world.pods[key] = replace(site.world.pods[key], eip="10.4.19.101", routed=False)
    site.world.add_policy("10.253.0.3")
    late = Late(replace(site.world.observed(), pods=pods), site)
    run = Run([], wish("pruned"), late, late.act)
    assert run.planned.steps
    run.settle(5, site.clock)
    assert (matches(site.world), rules(site.world)) == (["10.253.0.3"], [])


@pytest.mark.parametrize("wait", [True, False])
def test_pruning_leaves_the_claim_of_a_machine_that_was_not_listed_yet(site: RunSite, wait: bool) -> None:
    site.settle((VM, "10.4.19.101"))
    seen = site.world.observed()
    late = Late(replace(seen, vms=(), pods=(), ovn=replace(seen.ovn, nat_rules=())), site)
    run = Run([], wish("pruned"), late, late.act)
    assert run.planned.steps
    if wait:
        run.settle(5, site.clock)
    else:
        run.write()
    assert claimed(site.world) == {"10.4.19.101": [str(VM)]}
    assert rules(site.world) == [("10.4.19.101", "10.253.0.2")]


def test_pruning_still_takes_what_both_looks_find(site: RunSite) -> None:
    gone = Holder("VirtualMachine", "default", "gone")
    site.world.add_claim("10.4.19.109", gone, uid="uid")
    run = Run([], wish("pruned"), site, site.act)
    run.settle(5, site.clock)
    assert claimed(site.world) == {}


# --- many -----------------------------------------------------------------------------------------------------------


def test_of_many_the_first_are_written_while_the_last_are_not_yet_claimed(site: RunSite) -> None:
    pods = [site.world.add_pod(f"p{index}", f"10.253.1.{index + 2}") for index in range(PORTION + 5)]
    site.world.settle()
    order: list[tuple[str, str]] = []

    def act(steps: Sequence[Step]) -> Done:
        order.extend((step.action, step.data.get("path", "")) for step in steps)
        return site.act(steps)

    asked = draw(*pods, pool="10.4.19.100-10.4.19.250")
    run = Run(asked, wish(), site, act)
    run.claim()
    run.settle(60, site.clock)
    assert said(run) == ""
    assert len(claimed(site.world)) == len(rules(site.world)) == len(pods)
    for eip in asked:
        assert order.index(("claim", eip.path)) < order.index(("annotate_pod", eip.path))
    assert order.index(("annotate_pod", asked[0].path)) < order.index(("claim", asked[-1].path))
    assert len(order) == len(set(order))


def test_with_all_or_nothing_nothing_is_written_before_all_is_claimed(site: RunSite) -> None:
    pods = [site.world.add_pod(f"p{index}", f"10.253.1.{index + 2}") for index in range(PORTION + 5)]
    run = Run(draw(*pods, pool="10.4.19.100-10.4.19.250"), wish(), site, site.act)
    run.claim(all_or_nothing=True)
    assert (len(claimed(site.world)), site.writes) == (len(pods), [])


def test_more_holders_than_a_claim_can_name_are_refused_before_anything_is_written(site: RunSite) -> None:
    def asked(number: int) -> Run:
        for index in range(number):
            site.world.add_pod(f"crawler-worker-{index}", f"10.253.{index // 250 + 1}.{index % 250 + 1}")
        pods = [Holder("Pod", "default", f"crawler-worker-{index}") for index in range(number)]
        return Run(ask(*[(pod, "10.4.19.111") for pod in pods], kind="snat"), wish(), site, site.act)

    assert asked(1500).general == []
    assert ["3000 holders are too many for one claim" in str(one) for one in asked(3000).general] == [True]
