# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of an EIP: whose it is when its overlay address went to somebody else, and what nobody may take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip import wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import prune
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import shown
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Ovn, SourceRoute
from support.eip_cases import ask, claimed, draw, left, look, matches, refusals, rules, run, wish
from support.eip_world import ROUTER_PORT, World

VM = Holder("VirtualMachine", "default", "v")


def deleted_vm_whose_address_went_on() -> World:
    """A VM with an EIP that was deleted; Kube-OVN gave its overlay address to a pod that has an EIP of its own."""
    world = World()
    world.add_vm("v", "10.253.0.2")
    run(world, ask((VM, "10.4.19.101")))
    world.stop("v")
    world.delete_vm("v")
    world.add_pod("p", "10.253.0.2", "10.4.19.105")
    world.settle()
    assert rules(world) == [("10.4.19.101", "10.253.0.2"), ("10.4.19.105", "10.253.0.2")]
    return world


def test_a_released_address_does_not_go_on_leading_to_who_has_the_overlay_address_since() -> None:
    world = deleted_vm_whose_address_went_on()
    run(world, ask((VM, "10.4.19.101")), "absent")
    assert (rules(world), matches(world), claimed(world)) == ([("10.4.19.105", "10.253.0.2")], ["10.253.0.2"], {})


def test_pruning_takes_it_too_and_leaves_the_pod_its_own() -> None:
    world = deleted_vm_whose_address_went_on()
    run(world, [], "pruned")
    assert (rules(world), matches(world), claimed(world)) == ([("10.4.19.105", "10.253.0.2")], ["10.253.0.2"], {})


def test_a_pod_that_asks_for_the_address_keeps_it() -> None:
    world = deleted_vm_whose_address_went_on()
    key = ("default", "p")
    world.pods[key] = replace(world.pods[key], eip="10.4.19.101")
    world.rules = [rule for rule in world.rules if rule.external_ip == "10.4.19.101"]
    run(world, ask((VM, "10.4.19.101")), "absent")
    assert (rules(world), claimed(world)) == ([("10.4.19.101", "10.253.0.2")], {})


def snat_of_a_deleted_vm() -> World:
    """A VM with a SNAT address that was deleted, and a controller that took the policies when it started."""
    world = World()
    world.add_vm("v", "10.253.0.2")
    run(world, ask((VM, "10.4.19.111"), kind="snat"))
    world.stop("v")
    world.delete_vm("v")
    world.restart_controller()
    assert (rules(world), matches(world)) == ([("10.4.19.111", "10.253.0.2")], [])
    return world


def test_a_snat_rule_without_its_policy_is_released_with_the_claim() -> None:
    world = snat_of_a_deleted_vm()
    run(world, ask((VM, None), kind="snat"), "absent")
    assert (rules(world), claimed(world), world.routes) == ([], {}, [])


def test_a_snat_rule_without_its_policy_is_pruned_with_the_claim() -> None:
    world = snat_of_a_deleted_vm()
    run(world, [], "pruned")
    assert (rules(world), claimed(world)) == ([], {})


def test_a_snat_rule_of_nobody_stays_while_all_who_claimed_its_address_live() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.3")
    run(world, ask((pod, "10.4.19.111"), kind="snat"))
    world.add_rule("10.4.19.111", "10.253.0.77", "snat")  # by hand, for something that is no pod
    plan, unclear = prune(world.observed())
    assert (plan.steps, [one.path for one in unclear]) == ((), ["NAT rule snat 10.4.19.111 -> 10.253.0.77"])
    run(world, ask((pod, None), kind="snat"), "absent")
    assert rules(world) == [("10.4.19.111", "10.253.0.77")]


def test_a_distributed_rule_that_names_another_port_is_made_anew() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.2")
    run(world, ask((pod, "10.4.19.101")))
    world.rules = [rule._replace(logical_port="b.default") for rule in world.rules]
    assert left(world, ask((pod, "10.4.19.101")))
    run(world, ask((pod, "10.4.19.101")))
    assert [(rule.external_ip, rule.logical_port) for rule in world.rules] == [("10.4.19.101", None)]


def test_a_distributed_rule_with_the_pods_own_port_is_right() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.2")
    run(world, ask((pod, "10.4.19.101")))
    world.rules = [rule._replace(logical_port="a.default") for rule in world.rules]
    assert not look(world, ask((pod, "10.4.19.101"))).steps
    assert not left(world, ask((pod, "10.4.19.101")))


def test_the_diff_of_releasing_both_kinds_at_once_foretells_that_the_policy_goes() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.2")
    both = [Eip(pod, "10.4.19.110", "eips[0]", "fip"), Eip(pod, "10.4.19.111", "eips[1]", "snat")]
    run(world, both)
    unnamed = [replace(eip, address=None) for eip in both]
    plan = look(world, unnamed, "absent")
    run(world, unnamed, "absent")
    assert plan.after[str(pod)] == shown(pod, Site(world.observed()))


def dual_stack_pod(eip: str | None) -> tuple[World, Holder]:
    """What Kube-OVN makes of an EIP of a dual-stack pod: a rule, and a policy with both addresses in one match."""
    world = World()
    pod = world.add_pod("a", "10.253.0.2,fd00::2", eip, routed=True)
    if eip:
        world.add_rule(eip, "10.253.0.2")
    world.add_policy("10.253.0.2,fd00::2")
    return world, pod


def test_a_dual_stack_pod_whose_eip_was_annotated_by_hand_is_cleaned_wholly() -> None:
    world, pod = dual_stack_pod("10.4.19.101")
    run(world, ask((pod, None)), "absent")
    assert (rules(world), matches(world)) == ([], [])


def test_a_pod_of_two_nics_whose_eip_was_annotated_by_hand_is_cleaned_wholly() -> None:
    """Kube-OVN gives the EIP to the second NIC, which it routes first, and takes back what the first one has."""
    world = World()
    pod = world.add_pod("a", "10.253.0.2", "10.4.19.101", routed=True, extra_ips=("10.251.0.2",))
    world.add_rule("10.4.19.101", "10.251.0.2")
    for ip in ("10.253.0.2", "10.251.0.2"):
        world.add_policy(ip)
    assert not prune(world.observed())[0].steps
    run(world, ask((pod, None)), "absent")
    assert (rules(world), matches(world)) == ([], [])


def test_pruning_takes_the_policy_of_a_dual_stack_pod_only_when_nothing_needs_it() -> None:
    world, _pod = dual_stack_pod("10.4.19.101")
    assert not prune(world.observed())[0].steps
    world, pod = dual_stack_pod(None)
    (step,) = prune(world.observed())[0].steps
    assert str(pod) in step.text


def test_a_route_by_source_that_somebody_wants_is_not_pruned() -> None:
    world = World()
    world.add_pod("a", "10.253.0.2")
    world.settle()
    world.routes.append(SourceRoute("r", "10.253.0.2", "10.4.19.1"))
    assert prune(world.observed())[0].steps
    assert not prune(replace(world.observed(), declared_routes=frozenset({"10.253.0.2"})))[0].steps
    world.add_rule("10.4.19.200", "10.253.0.0/16", "snat")
    assert not prune(world.observed())[0].steps


@pytest.mark.parametrize(("prefix", "goes"), [("10.253.0.9", True), ("10.253.0.9/32", True), ("10.253.0.0/16", False)])
def test_a_route_of_a_whole_subnet_is_not_pruned(prefix: str, goes: bool) -> None:
    world = World()
    world.add_pod("a", "10.253.0.2")
    world.settle()
    world.routes.append(SourceRoute("r", prefix, "10.4.19.1"))
    assert bool(prune(world.observed())[0].steps) is goes


def test_nothing_is_pruned_where_ovn_is_not_seen() -> None:
    world = World()
    world.add_vm("v", "10.253.0.2")
    run(world, ask((VM, "10.4.19.101")))
    world.stop("v")
    world.delete_vm("v")
    blind = replace(world.observed(), ovn=Ovn(None, ROUTER_PORT, None, (), (), (), (), None), blind=True)
    plan, unclear = prune(blind)
    assert (plan.steps, [one.path for one in unclear]) == ((), ["state"])


def test_a_claim_stays_while_an_ovneip_has_its_address() -> None:
    world = World()
    world.add_claim("10.4.19.211", Holder("VirtualMachine", "shop", "web"), uid="x")
    world.ovn_eips["10.4.19.211"] = "eip-10-4-19-211"
    plan, unclear = prune(world.observed())
    assert not plan.steps
    assert "OvnEip eip-10-4-19-211 still has it" in str(unclear[0])


def test_an_address_of_an_ip_object_is_refused_and_looked_for() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.2")
    asked = ask((pod, "10.4.19.110"))
    assert wants_kept(asked, wish(), world.observed(kept=False))
    found = refusals(asked, "present", replace(world.observed(), ips=("10.4.19.110",)))
    assert ["an IP object has it" in str(one) for one in found] == [True]
    run(world, asked)
    assert not wants_kept(asked, wish(), world.observed(kept=False))


def test_a_pool_that_has_changed_looks_for_what_is_in_use() -> None:
    world = World()
    pod = world.add_pod("a", "10.253.0.2")
    run(world, draw(pod, pool="10.4.19.110"))
    assert wants_kept(draw(pod, pool="10.4.19.120-10.4.19.130"), wish(), world.observed(kept=False))
    assert not wants_kept(draw(pod, pool="10.4.19.110"), wish(), world.observed(kept=False))
