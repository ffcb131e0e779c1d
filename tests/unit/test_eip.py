# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for EIPs, case by case as Kube-OVN was observed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import adopted
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import is_late
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from support.eip_cases import ask, claimed, draw, drive, left, look, matches, refusals, rules, run, steps_of, vm_and_pod
from support.eip_world import World


@pytest.fixture
def world() -> World:
    """One running VM, one pod, both without EIP and routed."""
    return vm_and_pod()


VM = Holder("VirtualMachine", "default", "testing")
WEB = Holder("Pod", "default", "web")


def test_a_vm_gets_template_instance_and_pod_in_that_order(world: World) -> None:
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_template", "annotate_instance", "annotate_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.2")]
    before = world.state()
    world.restart("testing")
    world.controller()
    assert world.state()["rules"] == before["rules"], "a restart costs the VM nothing"
    world.migrate("testing")
    world.controller()
    assert not look(world, ask((VM, "10.4.19.101")), "present").changed


def test_all_templates_come_before_all_pods(world: World) -> None:
    other = world.add_vm("other", "10.253.0.9")
    steps = steps_of(world, ask((VM, "10.4.19.101"), (other, "10.4.19.102"), (WEB, "10.4.19.103")))
    assert [step.action for step in steps] == ["annotate_template"] * 2 + ["annotate_instance"] * 2 + [
        "annotate_pod"
    ] * 3


def test_eip_and_routed_go_in_one_write(world: World) -> None:
    (step,) = steps_of(world, ask((WEB, "10.4.19.101")))
    assert step.action == "annotate_pod"
    assert step.data["address"] == "10.4.19.101"
    assert step.data["uid"] == "uid-default-web"
    assert step.interrupts is not None


def test_a_changed_eip_takes_the_old_rule_away_when_the_new_one_works(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    first = steps_of(world, ask((WEB, "10.4.19.102")))
    assert [(step.action, is_late(step)) for step in first] == [("annotate_pod", False), ("clean", True)]
    assert drive(world, ask((WEB, "10.4.19.102"))) == ["annotate_pod", "clean"]
    assert rules(world) == [("10.4.19.102", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_a_changed_eip_of_a_stopped_vm_leaves_no_rule_of_the_old_one(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    assert drive(world, ask((VM, "10.4.19.102"))) == ["clean", "annotate_template"]
    assert rules(world) == []
    world.start("testing")
    world.controller()
    assert rules(world) == [("10.4.19.102", "10.253.0.2")]


def test_a_stopped_vm_gets_its_template_only(world: World) -> None:
    world.stop("testing")
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_template"]
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "VirtualMachine default/testing" in problem.text, "pending, it holds its address against others"


def test_routed_true_proves_nothing(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.rules.clear()
    assert left(world, ask((WEB, "10.4.19.101")))
    assert drive(world, ask((WEB, "10.4.19.101"))) == ["reroute_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]


def test_a_policy_to_a_former_gateway_is_made_right(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.policies.clear()
    world.add_policy("10.253.0.3", "10.4.19.2")
    assert drive(world, ask((WEB, "10.4.19.101"))) == ["reroute_pod"]
    assert [policy.nexthops for policy in world.policies] == [("10.4.19.1",)]


def test_a_pod_that_waits_for_the_controller_is_not_written_again(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.rules.clear()
    world.apply(look(world, ask((WEB, "10.4.19.101")), "present").steps[0])
    assert not look(world, ask((WEB, "10.4.19.101")), "present").steps
    assert left(world, ask((WEB, "10.4.19.101")))


def test_eip_on_the_pod_alone_is_completed(world: World) -> None:
    key = next(key for key, pod in world.pods.items() if pod.vm)
    world.apply(steps_of(world, ask((VM, "10.4.19.101")))[2])
    world.controller()
    assert world.pods[key].eip == "10.4.19.101"
    assert drive(world, ask((VM, "10.4.19.101"))) == ["annotate_template", "annotate_instance"]


def test_a_rule_that_leads_to_a_former_address_of_the_vm_is_replaced(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    world.kept = {"10.253.0.77": ("default", "testing")}
    world.start("testing")
    world.controller()
    assert rules(world) == [("10.4.19.101", "10.253.0.2")], "Kube-OVN leaves a rule with that external address alone"
    assert drive(world, ask((VM, "10.4.19.101"))) == ["clean", "reroute_pod"]
    assert rules(world) == [("10.4.19.101", "10.253.0.77")]


def test_rules_and_policy_of_a_deleted_vm_make_room(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "held by VirtualMachine default/testing, which does not exist (claim eip-10.4.19.101)" in problem.text
    assert drive(world, ask((WEB, "10.4.19.101")), reassign=True) == ["clean", "annotate_pod"]
    assert claimed(world) == {"10.4.19.101": [str(WEB)]}
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_a_rule_that_someone_wrote_by_hand_is_not_touched(world: World) -> None:
    world.add_rule("10.4.19.101", "10.253.0.200")
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "leads to no pod" in problem.text
    assert [step.action for step in steps_of(world, ask((WEB, "10.4.19.101")))] == ["annotate_pod"]


def test_removal_takes_annotations_rule_and_policy(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    assert drive(world, ask((VM, None)), "absent") == [
        "annotate_template",
        "annotate_instance",
        "annotate_pod",
        "clean",
    ]
    assert rules(world) == []
    assert matches(world) == []


def test_removal_of_another_address_than_the_holder_has_changes_nothing(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    assert drive(world, ask((VM, "10.4.19.102")), "absent") == []


def test_removal_of_a_leaked_address_leaves_the_valid_one(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    world.add_rule("10.4.19.102", "10.253.0.3")
    assert drive(world, ask((WEB, "10.4.19.102")), "absent") == ["clean"]
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]


def test_removal_keeps_the_policy_that_snat_needs(world: World) -> None:
    pod = world.add_pod("shop", "10.253.0.4", snat="10.4.19.200")
    world.controller()
    drive(world, ask((pod, "10.4.19.101")))
    drive(world, ask((pod, None)), "absent")
    assert matches(world) == ["10.253.0.4"]


def test_removal_waits_with_the_policy_until_kube_ovn_is_done(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    steps = steps_of(world, ask((WEB, None)), "absent")
    assert [(step.action, is_late(step)) for step in steps] == [("annotate_pod", False), ("clean", True)]


def test_removal_from_a_stopped_vm_takes_what_it_left_in_nb(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.stop("testing")
    assert drive(world, ask((VM, None)), "absent") == ["clean", "annotate_template"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_takes_a_rule_that_leads_to_a_former_address_too(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.rules.clear()
    world.add_rule("10.4.19.101", "10.253.0.77")
    assert drive(world, ask((VM, None)), "absent")[0] == "clean", "while the annotation still says whose it was"
    assert (rules(world), matches(world)) == ([], [])


def test_removal_for_a_deleted_vm_takes_what_it_left_in_nb(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    assert drive(world, ask((VM, "10.4.19.101")), "absent") == ["clean"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_for_a_vm_whose_address_is_not_yet_free_takes_the_policy_too(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing", address_kept=True)
    assert drive(world, ask((VM, "10.4.19.101")), "absent") == ["clean"]
    assert (rules(world), matches(world)) == ([], [])


def test_removal_leaves_a_deleted_vms_address_that_lives_on_elsewhere(world: World) -> None:
    drive(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    heir = world.add_pod("heir", "10.253.0.2", "10.4.19.101")
    world.controller()
    assert run(world, ask((VM, "10.4.19.101")), "absent") == ["release_claim"]
    assert run(world, ask((heir, "10.4.19.101"))) == ["claim"]


def test_the_diff_shows_holders_that_change_and_no_others(world: World) -> None:
    drive(world, ask((WEB, "10.4.19.101")))
    change = look(world, ask((WEB, "10.4.19.101"), (VM, "10.4.19.102")), "present")
    assert list(change.before) == list(change.after) == ["VirtualMachine default/testing"]
    drive(world, ask((WEB, "10.4.19.101"), (VM, "10.4.19.102")))
    again = look(world, ask((VM, None)), "absent")
    assert again.before == change.after, "what was foretold is what came"
    assert again.after == change.before


# --- claims -----------------------------------------------------------------------------------------------------------


def test_the_claim_is_the_first_write_and_its_release_the_last(world: World) -> None:
    assert run(world, ask((VM, "10.4.19.101")))[:2] == ["create_namespace", "claim"]
    assert claimed(world) == {"10.4.19.101": [str(VM)]}
    assert run(world, ask((VM, None)), "absent")[-1] == "release_claim"
    assert claimed(world) == {}


def test_a_claim_does_not_go_before_the_nat_rule_does(world: World) -> None:
    run(world, ask((WEB, "10.4.19.101")))
    world.policies.clear()  # a controller that was restarted has taken it: nothing is left to delete by hand
    world.apply(steps_of(world, ask((WEB, None)), "absent")[0])
    assert not [step for step in look(world, ask((WEB, None)), "absent").steps if not is_late(step)]
    world.controller()
    assert [step.action for step in look(world, ask((WEB, None)), "absent").steps] == ["release_claim"]


def test_detached_keeps_the_claim_and_present_takes_the_address_up_again(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    assert drive(world, ask((VM, None)), "detached")[-1] == "clean"
    assert (rules(world), matches(world), claimed(world)) == ([], [], {"10.4.19.101": [str(VM)]})
    assert not look(world, ask((VM, None)), "detached").changed
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert str(VM) in problem.text
    run(world, draw(VM, pool="10.4.19.100-10.4.19.110"))
    assert rules(world) == [("10.4.19.101", "10.253.0.2")]


def test_detached_claims_an_address_that_was_annotated_by_hand(world: World) -> None:
    pod = world.add_pod("hand", "10.253.0.4", "10.4.19.101")
    world.controller()
    run(world, ask((pod, None)), "detached")
    assert (rules(world), claimed(world)) == ([], {"10.4.19.101": [str(pod)]})


def test_a_machine_made_anew_under_the_same_name_keeps_its_address(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    world.delete_vm("testing")
    world.add_vm("testing", "10.253.0.9")
    world.vms["default", "testing"] = replace(world.vms["default", "testing"], uid="another")
    world.controller()
    assert run(world, draw(VM, pool="10.4.19.50-10.4.19.110"))[0] == "claim"
    assert rules(world) == [("10.4.19.101", "10.253.0.9")]
    assert world.claims["10.4.19.101"].claimants[0].uid == "another"


def test_a_lease_that_is_no_claim_is_not_overwritten(world: World) -> None:
    observed = replace(world.observed(), unreadable=("eip-10.4.19.101",))
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", observed)
    assert "Lease eip-10.4.19.101 is not readable as a claim" in problem.text


# --- pools ------------------------------------------------------------------------------------------------------------


def test_the_first_free_address_of_a_pool_and_the_same_ever_after(world: World) -> None:
    world.add_rule("10.4.19.100", "10.253.0.0/16", "snat")
    world.ovn_eips["10.4.19.101"] = "shared"
    world.add_claim("10.4.19.102", Holder("VirtualMachine", "default", "gone"))
    world.add_vm("other", "10.253.0.9", "10.4.19.103", running=False)
    both = draw(WEB, VM, pool="10.4.19.100-10.4.19.110")
    run(world, both)
    assert (world.claims["10.4.19.104"].of(WEB), world.claims["10.4.19.105"].of(VM)) == (True, True)
    world.claims.pop("10.4.19.102")
    assert not look(world, both).changed, "an address that is free again changes nothing"
    assert not look(world, [*reversed(both)]).changed


def test_a_pool_without_a_free_address_is_refused_for_that_holder_only(world: World) -> None:
    found = refusals(draw(WEB, VM, pool="10.4.19.101"), "present", world.observed())
    assert [problem.path for problem in found] == ["eips[1].pool"]
    assert "no address of 10.4.19.101 is free" in found[0].text


def test_a_holder_with_an_address_by_hand_is_not_moved_into_a_pool(world: World) -> None:
    pod = world.add_pod("hand", "10.253.0.4", "10.4.19.101")
    world.controller()
    asked = draw(pod, pool="10.4.19.110-10.4.19.120")
    (problem,) = refusals(asked, "present", world.observed())
    assert "has 10.4.19.101, which is not in the pool" in problem.text
    run(world, asked, adopt=True)
    assert claimed(world) == {"10.4.19.101": [str(pod)]}


def test_rotation_gives_another_address_and_leaves_nothing_of_the_old_one(world: World) -> None:
    asked = draw(VM, WEB, pool="10.4.19.101-10.4.19.110")
    run(world, asked)
    assert rules(world) == [("10.4.19.101", "10.253.0.2"), ("10.4.19.102", "10.253.0.3")]
    done = run(world, asked, rotate=True)
    assert rules(world) == [("10.4.19.103", "10.253.0.2"), ("10.4.19.104", "10.253.0.3")]
    assert set(claimed(world)) == {"10.4.19.103", "10.4.19.104"}
    assert done.index("clean") > done.index("annotate_pod"), "the new one works before the old one goes"
    assert [one.previous for one in world.claims.values()] == ["10.4.19.101", "10.4.19.102"]


def test_a_named_rotation_is_done_once(world: World) -> None:
    asked = draw(VM, pool="10.4.19.101-10.4.19.110")
    run(world, asked)
    run(world, asked, rotate=True, rotation="november")
    assert rules(world) == [("10.4.19.102", "10.253.0.2")]
    assert not look(world, asked, rotate=True, rotation="november").changed
    run(world, asked, rotate=True, rotation="december")
    assert rules(world) == [("10.4.19.101", "10.253.0.2")], "the first free one"


@pytest.mark.parametrize("writes", range(9))
def test_a_rotation_that_was_killed_is_finished_and_not_begun_anew(world: World, writes: int) -> None:
    asked = draw(VM, pool="10.4.19.101-10.4.19.110")
    run(world, asked)
    count = 0

    class Killed(Exception):
        pass

    def one_more() -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise Killed

    try:
        run(world, asked, each=one_more, rotate=True)
    except Killed:
        run(world, asked, rotate=True)
    assert rules(world) in ([("10.4.19.102", "10.253.0.2")], [("10.4.19.101", "10.253.0.2")])
    assert len(world.claims) == 1
    assert (world.rules[0].external_ip in world.claims, len(world.policies)) == (True, 1)


# --- taking over ------------------------------------------------------------------------------------------------------


def test_reassign_cleans_the_old_holder_before_the_new_one_begins(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    counts = []
    run(world, ask((WEB, "10.4.19.101")), reassign=True, each=lambda: counts.append(len(world.rules)))
    assert rules(world) == [("10.4.19.101", "10.253.0.3")]
    assert matches(world) == ["10.253.0.3"]
    assert max(counts) == 1, "no moment has two"
    assert world.vms["default", "testing"].template_eip is None
    assert claimed(world) == {"10.4.19.101": [str(WEB)]}


def test_without_reassign_a_held_address_is_refused_with_the_way_out(world: World) -> None:
    run(world, ask((VM, "10.4.19.101")))
    (problem,) = refusals(ask((WEB, "10.4.19.101")), "present", world.observed())
    assert "reassign: true" in problem.hint


def test_adopt_claims_all_that_was_annotated_by_hand_and_changes_nothing_else(world: World) -> None:
    pod = world.add_pod("hand", "10.253.0.4", "10.4.19.101", snat="10.4.19.200")
    vm = world.add_vm("manual", "10.253.0.5", "10.4.19.102")
    world.controller()
    asked = adopted(Site(world.observed()))
    assert {(one.holder, one.kind, one.address) for one in asked} == {
        (pod, "fip", "10.4.19.101"),
        (pod, "snat", "10.4.19.200"),
        (vm, "fip", "10.4.19.102"),
    }
    assert set(run(world, asked, adopt=True)) == {"create_namespace", "claim"}
    assert not look(world, asked, adopt=True).changed


# --- one SNAT address for many ----------------------------------------------------------------------------------------


def test_a_snat_address_serves_many_holders(world: World) -> None:
    asked = ask((VM, "10.4.19.200"), (WEB, "10.4.19.200"), kind="snat")
    run(world, asked)
    assert rules(world) == [("10.4.19.200", "10.253.0.2"), ("10.4.19.200", "10.253.0.3")]
    assert matches(world) == ["10.253.0.2", "10.253.0.3"]
    assert claimed(world) == {"10.4.19.200": [str(VM), str(WEB)]}
    assert not look(world, asked).changed
    run(world, ask((VM, None), kind="snat"), "absent")
    assert rules(world) == [("10.4.19.200", "10.253.0.3")]
    assert (matches(world), claimed(world)) == (["10.253.0.3"], {"10.4.19.200": [str(WEB)]})


def test_a_pool_has_one_snat_address_for_all(world: World) -> None:
    run(world, draw(WEB, pool="10.4.19.200-10.4.19.210", kind="snat"))
    run(world, draw(VM, pool="10.4.19.200-10.4.19.210", kind="snat"))
    assert claimed(world) == {"10.4.19.200": [str(WEB), str(VM)]}


def test_snat_and_fip_of_one_holder_do_not_disturb_each_other(world: World) -> None:
    run(world, ask((VM, "10.4.19.200"), kind="snat"))
    run(world, ask((VM, "10.4.19.101")))
    assert rules(world) == [("10.4.19.101", "10.253.0.2"), ("10.4.19.200", "10.253.0.2")]
    run(world, ask((VM, None)), "absent")
    assert (rules(world), matches(world)) == ([("10.4.19.200", "10.253.0.2")], ["10.253.0.2"])
    run(world, ask((VM, None), kind="snat"), "absent")
    assert (rules(world), matches(world), claimed(world)) == ([], [], {})


def test_a_snat_address_is_no_floating_one(world: World) -> None:
    run(world, ask((VM, "10.4.19.200"), kind="snat"))
    assert "itself, as another kind" in refusals(ask((VM, "10.4.19.200")), "present", world.observed())[0].text
    assert str(VM) in refusals(ask((WEB, "10.4.19.200")), "present", world.observed())[0].text


def test_a_second_snat_rule_that_stops_kube_ovn_goes(world: World) -> None:
    run(world, ask((WEB, "10.4.19.200"), kind="snat"))
    world.add_rule("10.4.19.201", "10.253.0.3", "snat")
    assert drive(world, ask((WEB, "10.4.19.200"), kind="snat")) == ["clean", "reroute_pod"]
    assert rules(world) == [("10.4.19.200", "10.253.0.3")]


# --- deployments ------------------------------------------------------------------------------------------------------


def test_a_deployment_gets_its_eip_by_the_template_which_costs_a_restart(world: World) -> None:
    holder = world.add_deployment("shop", "10.253.0.4")
    world.controller()
    (step,) = steps_of(world, ask((holder, "10.4.19.101")))
    assert (step.action, step.disruption) == ("annotate_template", "long")
    assert drive(world, ask((holder, "10.4.19.101"))) == ["annotate_template"]
    assert rules(world) == [("10.4.19.101", "10.253.0.40")]
    assert drive(world, ask((holder, "10.4.19.102"))) == ["annotate_template"]
    assert rules(world) == [("10.4.19.102", "10.253.0.400")]
    run(world, ask((holder, None)), "absent")
    assert (rules(world), matches(world), claimed(world)) == ([], [], {})


@pytest.mark.parametrize(("more", "words"), [({"replicas": 2}, "2 replicas"), ({"surges": True}, "RollingUpdate")])
def test_a_deployment_whose_pods_would_share_the_eip_is_refused(world: World, more: dict[str, Any], words: str) -> None:
    holder = world.add_deployment("shop", "10.253.0.4", **more)
    (problem,) = refusals(ask((holder, "10.4.19.101")), "present", world.observed())
    assert words in problem.text
    assert not refusals(ask((holder, "10.4.19.200"), kind="snat"), "present", world.observed())
    pod = next(name for (_namespace, name), one in world.pods.items() if one.deployment == "shop")
    (problem,) = refusals(ask((Holder("Pod", "default", pod), "10.4.19.101")), "present", world.observed())
    assert "use deployment: shop" in problem.hint


# --- drift ------------------------------------------------------------------------------------------------------------


def test_a_restarted_controller_takes_all_policies_and_the_next_run_has_them_made_again(world: World) -> None:
    asked = ask((VM, "10.4.19.101"), (WEB, "10.4.19.102"))
    run(world, asked)
    world.restart_controller()
    assert drive(world, asked) == ["reroute_pod", "reroute_pod"]
    assert matches(world) == ["10.253.0.2", "10.253.0.3"]
    run(world, ask((VM, None), (WEB, None)), "absent")
    assert world.routes == [], "the routes that it made go with the EIPs"
