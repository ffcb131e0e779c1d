# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over EIPs: what it writes, when it ends, and what it says when it does not get there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import body
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run, report
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Step
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from support.eip_world import World

VM = Holder("VirtualMachine", "default", "testing")
WEB = Holder("Pod", "default", "web")


class Clock:
    """Time passes when somebody sleeps, and so does the controller's work."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.world.controller()


class Site:
    """A model world with the ways into it that a run has: looking and writing, each recorded."""

    def __init__(self) -> None:
        self.world = World()
        self.world.add_vm("testing", "10.253.0.2")
        self.world.add_pod("web", "10.253.0.3")
        self.world.controller()
        self.clock = Clock(self.world)
        self.writes: list[str] = []

    def act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.writes.append(step.action)
            self.world.apply(step)

    def run(self, *pairs: tuple[Holder, str | None], state: str = "present") -> Run:
        desired = [Eip(holder, address, f"eips[{index}]") for index, (holder, address) in enumerate(pairs)]
        return Run(desired, state, self.world.observed, self.act)

    def settle(self, *pairs: tuple[Holder, str | None], state: str = "present") -> Run:
        run = self.run(*pairs, state=state)
        run.settle(30, self.clock)
        return run


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_second_run_neither_writes_nor_waits(site: Site) -> None:
    site.settle((VM, "10.4.19.101"))
    now, site.writes = site.clock.now, []
    again = site.settle((VM, "10.4.19.101"))
    assert (site.writes, site.clock.now, again.result.changed) == ([], now, False)


def test_the_result_says_who_has_what(site: Site) -> None:
    run = site.settle((VM, "10.4.19.101"))
    (eip,) = report(run.desired, run.seen, run.seen)
    pod = eip.pop("pod")
    assert pod.startswith("virt-launcher-testing-")
    assert eip == {
        "address": "10.4.19.101",
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
        "policy": {
            "priority": 29250,
            "match": "ip4.src == 10.253.0.2",
            "action": "reroute",
            "nexthops": ["10.4.19.1"],
        },
        "status": "attached",
    }


def test_a_stopped_vm_is_pending_and_a_released_one_detached(site: Site) -> None:
    site.world.stop("testing")
    run = site.settle((VM, "10.4.19.101"))
    assert report(run.desired, run.seen, run.seen)[0]["status"] == "pending"
    before = run.seen
    run = site.settle((VM, None), state="absent")
    (eip,) = report(run.desired, before, run.seen)
    assert (eip["status"], eip["address"], eip["nat_rule"]) == ("detached", "10.4.19.101", None)


def test_a_pod_that_hangs_is_named_with_its_cause(site: Site) -> None:
    site.world.configured = False
    with pytest.raises(Failure) as failure:
        site.settle((WEB, "10.4.19.101"))
    assert "ConfigMap ovn-external-gw-config is missing" in failure.value.message
    assert "10.4.19.101 of Pod default/web" in failure.value.message
    assert failure.value.results["changed"] is True
    assert 30 <= site.clock.now < 32


def test_a_controller_that_does_nothing_is_named(site: Site) -> None:
    site.world.controller_runs = False
    with pytest.raises(Failure) as failure:
        site.settle((WEB, "10.4.19.101"))
    assert "is kube-ovn-controller running" in failure.value.message
    assert site.writes == ["annotate_pod"], "written once, not at every look"


def test_a_removal_whose_late_step_never_comes_says_so(site: Site) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.world.controller_runs = False
    with pytest.raises(Failure) as failure:
        site.settle((WEB, None), state="absent")
    assert "has not routed pod default/web without it" in failure.value.message


def test_a_writer_that_reverts_us_is_named_and_not_fought(site: Site) -> None:
    clock = Clock(site.world)

    def revert(seconds: float) -> None:
        Clock.sleep(clock, seconds)
        site.world.apply(Step("annotate_pod", "", None, {"namespace": "default", "name": "web", "eip": None}))

    clock.sleep = revert  # type: ignore[method-assign]
    with pytest.raises(Failure) as failure:
        site.run((WEB, "10.4.19.101")).settle(30, clock)
    assert "pod default/web says None" in failure.value.message
    assert site.writes == ["annotate_pod"]


def test_a_vm_that_starts_during_the_run_gets_its_instance_and_pod_too(site: Site) -> None:
    site.world.stop("testing")
    run = site.run((VM, "10.4.19.101"))
    site.world.start("testing")  # from the template as it was before our write
    run.settle(30, site.clock)
    assert sorted(site.writes) == ["annotate_instance", "annotate_pod", "annotate_vm"]
    assert [step.action for step in run.result.steps] == ["annotate_vm", "annotate_instance", "annotate_pod"]


def test_a_row_that_changed_meanwhile_is_planned_anew(site: Site) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.world.add_rule("10.4.19.105", "10.253.0.3")
    site.writes = []
    run = site.run((WEB, "10.4.19.101"))
    refusals = iter([True])

    def act(steps: Sequence[Step]) -> None:
        if next(refusals, False):
            raise GuardFailed("changed meanwhile")
        site.act(steps)

    run.act = act
    run.settle(30, site.clock)
    assert site.writes == ["clean"]
    assert [rule.external_ip for rule in site.world.rules] == ["10.4.19.101"]


def test_without_waiting_everything_is_written_at_once(site: Site) -> None:
    site.settle((WEB, "10.4.19.101"))
    site.writes = []
    run = site.run((WEB, "10.4.19.102"))
    run.write()
    assert site.writes == ["annotate_pod", "clean"]
    assert report(run.desired, run.seen, run.seen)[0]["status"] == "pending"


def test_patches_are_what_the_api_server_must_get() -> None:
    data = {"namespace": "default", "name": "x", "uid": "u", "eip": "10.4.19.101"}
    template = {"metadata": {"annotations": {"ovn.kubernetes.io/eip": "10.4.19.101"}}}
    assert body(Step("annotate_vm", "", None, data)) == {"metadata": {"uid": "u"}, "spec": {"template": template}}
    assert body(Step("annotate_instance", "", None, data)) == {
        "metadata": {"uid": "u", "annotations": {"ovn.kubernetes.io/eip": "10.4.19.101"}}
    }
    both = {"ovn.kubernetes.io/eip": "10.4.19.101", "ovn.kubernetes.io/routed": None}
    assert body(Step("annotate_pod", "", None, data)) == {"metadata": {"uid": "u", "annotations": both}}
    reroute = body(Step("reroute_pod", "", None, {**data, "eip": None}))
    assert reroute == {"metadata": {"uid": "u", "annotations": {"ovn.kubernetes.io/routed": None}}}
    released = body(Step("annotate_pod", "", None, {**data, "eip": None}))["metadata"]["annotations"]
    assert released == {"ovn.kubernetes.io/eip": None, "ovn.kubernetes.io/routed": None}
