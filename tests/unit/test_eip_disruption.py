# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a plan for EIPs says that it interrupts: whoever loses a NAT rule that works, each once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import prune
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Plan
from ansible_collections.kubeovn.core.plugins.module_utils._module import disruption_problems
from support.eip_cases import ask, look, run
from support.eip_world import World

WEB = Holder("Pod", "default", "web")
OLD, NEW = "10.4.19.101", "10.4.19.102"


def changed_by_hand() -> World:
    """A pod whose annotation somebody has changed: Kube-OVN made the new rule, left the old one, and both work."""
    world = World()
    run(world, ask((world.add_pod("web", "10.253.0.3"), OLD)))
    world.pods["default", "web"] = replace(world.pods["default", "web"], eip=NEW, routed=False)
    world.settle()
    assert [rule.external_ip for rule in world.rules] == [OLD, NEW]
    return world


def told(plan: Plan) -> list[tuple[str, str | None]]:
    """What each step of a plan interrupts, without those for claims."""
    return [(step.action, step.interrupts) for step in plan.steps if not step.action.endswith("claim")]


LOST = f"Pod default/web: {OLD} leads no longer to it"


def test_a_rule_that_works_is_not_deleted_in_silence() -> None:
    world = changed_by_hand()
    for steps in (look(world, ask((WEB, NEW))), look(world, ask((WEB, OLD)), "absent")):
        assert told(steps) == [("clean", LOST)]
        (problem,) = disruption_problems(steps, "none")
        assert LOST in problem.text
        assert disruption_problems(steps, "brief") == []


def test_what_the_change_of_the_annotation_says_is_not_said_twice() -> None:
    world = World()
    run(world, ask((world.add_pod("web", "10.253.0.3"), OLD)))
    (pod, cleaning) = told(look(world, ask((WEB, NEW))))
    assert pod[0] == "annotate_pod"
    assert f"{OLD} leads no longer to it" in (pod[1] or "")
    assert cleaning == ("clean", None)
    deployment = world.add_deployment("shop", "10.253.0.7")
    run(world, ask((deployment, "10.4.19.103")))
    (template, cleaning) = told(look(world, ask((deployment, "10.4.19.104"))))
    assert (template[0], cleaning) == ("annotate_template", ("clean", None))


def test_a_rule_besides_those_that_the_annotation_is_about_is_said_all_the_same() -> None:
    world = changed_by_hand()
    (pod, cleaning) = told(look(world, ask((WEB, "10.4.19.105"))))
    assert f"{NEW} leads no longer to it" in (pod[1] or "")
    assert cleaning == ("clean", LOST)


def test_a_rule_of_nobody_and_one_of_two_that_are_alike_interrupt_nobody() -> None:
    world = World()
    machine = world.add_vm("testing", "10.253.0.2")
    run(world, ask((machine, OLD)))
    world.add_rule(OLD, "10.253.0.2")
    assert told(look(world, ask((machine, OLD))))[0] == ("clean", None)
    world.rules.pop()
    world.stop("testing")
    assert ("clean", None) in told(look(world, ask((machine, None)), "absent"))


@pytest.mark.parametrize(("port", "interrupts"), [("another.default", True), ("web.default", False)])
def test_a_rule_that_is_made_anew_is_away_for_a_moment(port: str, interrupts: bool) -> None:
    world = World()
    run(world, ask((world.add_pod("web", "10.253.0.3"), OLD)))
    world.rules = [rule._replace(logical_port=port) for rule in world.rules]
    words = f"Pod default/web: {OLD} leads to it again when Kube-OVN has made its NAT rule anew"
    assert told(look(world, ask((WEB, OLD))))[:1] == ([("clean", words)] if interrupts else [])


def test_pruning_says_whom_it_takes_a_rule_from() -> None:
    world = changed_by_hand()
    steps, _unclear = prune(world.observed())
    assert told(steps) == [("clean", LOST)]
    world.pods.clear()
    steps, _unclear = prune(world.observed())
    assert {interrupts for _action, interrupts in told(steps)} == {None}
