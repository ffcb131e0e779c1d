# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over EIPs: what it writes, when it ends, and what it says when it does not get there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done, body_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import report
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import site_warnings, unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import FIRST_PAUSE
from support.eip_cases import CLAIMS, ask, claimed, draw, wish
from support.eip_runs import VM, WEB, Clock, RunSite, said


@pytest.fixture
def site() -> RunSite:
    return RunSite()


def test_a_second_run_neither_writes_nor_waits(site: RunSite) -> None:
    site.settle((VM, "10.4.19.101"))
    now, site.writes = site.clock.now, []
    again = site.settle((VM, "10.4.19.101"))
    assert (site.writes, site.clock.now, again.result.changed) == ([], now, False)


def test_which_addresses_are_free_is_read_once_in_a_rotation(site: RunSite) -> None:
    site.settle((VM, "10.4.19.101"))
    site.kept_read = []
    run = Run(draw(VM, pool="10.4.19.101-10.4.19.110"), wish(rotate=True, rotation="first"), site, site.act)
    run.claim()
    run.settle(30, site.clock)
    assert not run.bad
    assert claimed(site.world) == {"10.4.19.102": ["VirtualMachine default/testing"]}
    assert len(site.kept_read) > 2
    assert site.kept_read.count(True) == 1


def test_the_result_says_who_has_what(site: RunSite) -> None:
    run = site.settle((VM, "10.4.19.101"))
    (eip,) = report(run.desired, run.seen, run.seen, run.bad)
    pod = eip.pop("pod")
    assert pod.startswith("virt-launcher-testing-")
    assert eip == {
        "address": "10.4.19.101",
        "kind": "fip",
        "previous": None,
        "claim": "eip-10.4.19.101",
        "problems": [],
        "holder": {"kind": "VirtualMachine", "namespace": "default", "name": "testing"},
        "node": "jah-k3s-l40s-001",
        "logical_ip": "10.253.0.2",
        "logical_port": "testing.default",
        "nat_rule": {
            "type": "dnat_and_snat",
            "external_ip": "10.4.19.101",
            "logical_ip": "10.253.0.2",
            "logical_port": None,
        },
        "objects": [],
        "policy": {
            "priority": 29250,
            "match": "ip4.src == 10.253.0.2",
            "action": "reroute",
            "nexthops": ["10.4.19.1"],
        },
        "status": "attached",
    }


def test_a_stopped_vm_is_pending_and_a_released_one_detached(site: RunSite) -> None:
    site.world.stop("testing")
    run = site.settle((VM, "10.4.19.101"))
    assert report(run.desired, run.seen, run.seen, run.bad)[0]["status"] == "pending"
    before = run.seen
    run = site.settle((VM, None), state="absent")
    (eip,) = report(run.desired, before, run.seen, run.bad)
    assert (eip["status"], eip["address"], eip["nat_rule"]) == ("detached", "10.4.19.101", None)


def test_a_pod_that_hangs_is_named_with_its_cause(site: RunSite) -> None:
    site.world.configured = False
    run = site.run((WEB, "10.4.19.101"))
    assert "no external gateway is configured" in str(run.general[0])
    run.claim()
    run.settle(30, site.clock)
    assert "ConfigMap ovn-external-gw-config is missing" in said(run)
    assert "10.4.19.101 of Pod default/web" in said(run)
    assert run.done
    assert 30 <= site.clock.now < 34


def test_a_controller_that_does_nothing_is_named(site: RunSite) -> None:
    site.world.controller_runs = False
    run = site.settle((WEB, "10.4.19.101"))
    assert "is kube-ovn-controller running" in said(run)
    assert site.writes == ["annotate_pod"], "written once, not at every look"


def test_a_removal_whose_late_step_never_comes_says_so(site: RunSite) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.world.controller_runs = False
    run = site.settle((WEB, None), state="absent")
    assert "has not routed pod default/web without it" in said(run)
    assert claimed(site.world) == {"10.4.19.101": [str(WEB)]}, "the claim outlives the rule"


def test_a_writer_that_reverts_us_is_named_and_not_fought(site: RunSite) -> None:
    clock = Clock(site.world)

    def revert(seconds: float) -> None:
        Clock.sleep(clock, seconds)
        data = {"namespace": "default", "name": "web", "kind": "fip", "address": None}
        site.world.apply(Step("annotate_pod", "", None, data))

    clock.sleep = revert  # type: ignore[method-assign]
    run = site.run((WEB, "10.4.19.101"))
    run.claim()
    run.settle(30, clock)
    assert "pod default/web says None" in said(run)
    assert site.writes == ["annotate_pod"]


def test_a_pod_that_virt_controller_writes_is_told_so(site: RunSite) -> None:
    world, keys = site.world, frozenset({"ovn.kubernetes.io/eip"})
    site.settle((VM, "10.4.19.101"))
    pod = next(pod for pod in world.observed().pods if pod.vm == "testing")
    data = {"namespace": "default", "name": pod.name, "kind": "fip", "address": "10.4.19.109"}
    world.apply(Step("annotate_pod", "", None, data))
    for synced, words in ((keys, "virt-controller copies it from the instance"), (frozenset(), "somebody else")):
        seen = replace(world.observed(), synced=synced)
        (problem, *_more) = unfinished(ask((VM, "10.4.19.101")), wish("present"), seen)["eips[0]"]
        assert "says 10.4.19.109" in problem.text
        assert problem.hint.startswith(words)


def test_routed_that_virt_controller_copies_is_warned_of_where_it_matters(site: RunSite) -> None:
    seen = replace(site.world.observed(), synced=frozenset({"ovn.kubernetes.io/routed"}))
    (warning,) = site_warnings(ask((VM, "10.4.19.101"), (WEB, "10.4.19.102")), seen)
    assert "take it out of its --additional-launcher-annotations-sync" in warning
    assert site_warnings(ask((WEB, "10.4.19.102")), seen) == []
    assert site_warnings(ask((VM, "10.4.19.101")), site.world.observed()) == []


def test_a_vm_that_starts_during_the_run_gets_its_instance_and_pod_too(site: RunSite) -> None:
    site.world.stop("testing")
    run = site.run((VM, "10.4.19.101"))
    site.world.start("testing")  # from the template as it was before our write
    run.claim()
    run.settle(30, site.clock)
    assert sorted(site.writes) == ["annotate_instance", "annotate_pod", "annotate_template"]
    actions = [step.action for step in run.result.steps if step.action not in CLAIMS]
    assert actions == ["annotate_template", "annotate_instance", "annotate_pod"]


@pytest.mark.parametrize(("address", "state"), [("10.4.19.102", "present"), (None, "absent")])
def test_what_kube_ovn_has_no_part_in_is_not_waited_for(site: RunSite, address: str | None, state: str) -> None:
    """Each pause is one in which thousands of EIPs wait: there is one for the controller, and no other."""
    site.settle((WEB, "10.4.19.101"))
    before = site.clock.now
    run = site.settle((WEB, address), state=state)
    actions = [step.action for step in run.result.steps]
    assert actions[-2:] == ["clean", "release_claim"], "each waits for the one before it"
    assert not run.bad
    assert site.clock.now - before == pytest.approx(FIRST_PAUSE)


def test_a_row_that_changed_meanwhile_is_planned_anew(site: RunSite) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.world.add_rule("10.4.19.105", "10.253.0.3")
    site.writes = []
    run = site.run((WEB, "10.4.19.101"))
    refusals = iter([True])

    def act(steps: Sequence[Step]) -> Done:
        if next(refusals, False):
            raise GuardFailed("changed meanwhile")
        return site.act(steps)

    run.act = act
    run.settle(30, site.clock)
    assert site.writes == ["clean"]
    assert [rule.external_ip for rule in site.world.rules] == ["10.4.19.101"]


def test_without_waiting_everything_is_written_at_once(site: RunSite) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.writes = []
    run = site.run((WEB, "10.4.19.102"))
    run.claim()
    run.write()
    assert site.writes == ["annotate_pod"], "the old rule goes when the new one works: with the next run"
    assert report(run.desired, run.seen, run.seen, run.bad)[0]["status"] == "pending"


def test_what_a_run_that_does_not_wait_leaves_to_the_next_is_not_in_its_plan(site: RunSite) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.world.controller_runs = False
    told = []
    for _run in range(2):
        run = Run(ask((WEB, "10.4.19.102")), wish(), site, site.act, waits=False)
        run.claim()
        run.write()
        assert {step.text for step in run.result.steps} == {step.text for step in run.done.values()}
        told.append([step.action for step in run.result.steps])
    assert told == [["claim", "annotate_pod"], []]
    assert not run.result.changed
    assert (run.result.before, run.result.after) == ({}, {})


def test_whoever_is_slower_at_an_address_is_told_and_writes_nothing(site: RunSite) -> None:
    slow = site.run((WEB, "10.4.19.101"))
    site.settle((VM, "10.4.19.101"))
    site.writes = []
    slow.claim()
    slow.settle(30, site.clock)
    assert "10.4.19.101 is held by VirtualMachine default/testing" in said(slow)
    assert not slow.done, "it has changed nothing"
    assert site.writes == []


def test_whoever_is_slower_at_a_pool_gets_the_next_address(site: RunSite) -> None:
    slow = Run(draw(WEB, pool="10.4.19.101-10.4.19.110"), wish(), site, site.act)
    site.settle((VM, "10.4.19.101"))
    slow.claim()
    slow.settle(30, site.clock)
    assert not slow.bad
    assert claimed(site.world) == {"10.4.19.101": [str(VM)], "10.4.19.102": [str(WEB)]}


def test_with_all_or_nothing_the_claims_of_a_run_that_lost_one_go_again(site: RunSite) -> None:
    slow = site.run((WEB, "10.4.19.102"), (VM, "10.4.19.101"))
    site.world.add_claim("10.4.19.101", Holder("VirtualMachine", "default", "other"))
    slow.claim(all_or_nothing=True)
    assert slow.bad
    assert claimed(site.world) == {"10.4.19.101": ["VirtualMachine default/other"]}


def test_one_bad_item_does_not_stop_the_others(site: RunSite) -> None:
    run = site.settle((WEB, "10.4.20.1"), (VM, "10.4.19.101"))
    assert list(run.bad) == ["eips[0]"]
    assert claimed(site.world) == {"10.4.19.101": [str(VM)]}


def test_a_refused_write_stops_what_it_was_for_and_nothing_else(site: RunSite) -> None:
    run = site.run((WEB, "10.4.19.102"), (VM, "10.4.19.101"))
    run.claim()

    def act(steps: Sequence[Step]) -> Done:
        done = site.act([step for step in steps if step.data["path"] != "eips[0]"])
        if any(step.action == "annotate_pod" for step in steps):
            done.refused = {"eips[0]": [Problem("pods default/web", "403")]}
        return done

    run.act = act
    run.settle(30, site.clock)
    assert list(run.bad) == ["eips[0]"]
    assert [rule.external_ip for rule in site.world.rules] == ["10.4.19.101"]


def test_patches_are_what_the_api_server_must_get() -> None:
    data = {"namespace": "default", "name": "x", "uid": "u", "address": "10.4.19.101", "kind": "fip"}
    template = {"metadata": {"annotations": {"ovn.kubernetes.io/eip": "10.4.19.101"}}}
    assert body_of(Step("annotate_template", "", None, data)) == {
        "metadata": {"uid": "u"},
        "spec": {"template": template},
    }
    assert body_of(Step("annotate_instance", "", None, data)) == {
        "metadata": {"uid": "u", "annotations": {"ovn.kubernetes.io/eip": "10.4.19.101"}}
    }
    both = {"ovn.kubernetes.io/eip": "10.4.19.101", "ovn.kubernetes.io/routed": None}
    assert body_of(Step("annotate_pod", "", None, data)) == {"metadata": {"uid": "u", "annotations": both}}
    reroute = body_of(Step("reroute_pod", "", None, data))
    assert reroute == {"metadata": {"uid": "u", "annotations": {"ovn.kubernetes.io/routed": None}}}
    released = body_of(Step("annotate_pod", "", None, {**data, "address": None}))["metadata"]["annotations"]
    assert released == {"ovn.kubernetes.io/eip": None, "ovn.kubernetes.io/routed": None}
    source = body_of(Step("annotate_pod", "", None, {**data, "kind": "snat"}))["metadata"]["annotations"]
    assert source == {"ovn.kubernetes.io/snat": "10.4.19.101", "ovn.kubernetes.io/routed": None}
