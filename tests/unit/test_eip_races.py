# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over EIPs beside other runs: what one of them must not do to another's, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import PORTION, Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Problem, Step
from support.eip_cases import ask, claimed, draw, matches, rules, wish
from support.eip_runs import VM, WEB, RunSite, said


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
