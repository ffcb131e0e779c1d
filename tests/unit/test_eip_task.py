# SPDX-License-Identifier: GPL-3.0-or-later
"""A task over EIPs that does not come to its end: what it says was done, and what it must not try for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import LEASES, PODS, Cluster, ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done, Hands
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import Eyes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_task import Task, work
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError
from support.eip_cases import ask, claimed, draw, wish
from support.eip_runs import VM, WEB, RunSite

PARAMS = {
    "batch": 1,
    "all_or_nothing": False,
    "stop_on_failure": True,
    "wait": True,
    "wait_timeout": 5,
    "max_disruption": "any",
}


class Gone(RunSite):
    """A site whose API server answers so many looks, and then no more."""

    looks = 1000

    def observe(self, *arguments: Any) -> Any:
        self.looks -= 1
        if self.looks < 0:
            raise ClusterError("the API server does not answer")
        self.world.controller()
        return super().observe(*arguments)

    def apply(self, steps: Sequence[Step]) -> Done:
        return self.act(steps)

    def denied(self, _steps: Sequence[Step]) -> list[Problem]:
        return []

    def idle(self, _steps: Sequence[Step], _clock: object) -> list[Problem]:
        return []


@pytest.fixture
def site() -> Gone:
    return Gone()


def task(site: Gone, **more: Any) -> Task:
    module = SimpleNamespace(params={**PARAMS, **more}, check_mode=False, warn=lambda _text: None)
    wishes = wish(rotate=bool(more.get("rotate") or more.get("rotation")), rotation=more.get("rotation"))
    cluster = SimpleNamespace(host="https://10.4.18.1:6443")
    parts: tuple[Any, ...] = (module, cluster, site, site, wishes)
    return Task(*parts)


@pytest.mark.parametrize("looks", range(1, 7))
def test_what_was_done_is_told_wherever_the_api_server_goes(site: Gone, looks: int) -> None:
    """What DNS has to learn are the pairs of the batches that are done: a failure tells them, too."""
    fleet = draw(VM, WEB, pool="10.4.19.101-10.4.19.110")
    for one in fleet:
        Run([one], wish(), site, site.act).claim()
        run = Run([one], wish(), site, site.act)
        run.settle(5, site.clock)
    old = {holder[0]: address for address, holder in claimed(site.world).items()}
    site.writes.clear()
    site.looks = looks
    with pytest.raises(Failure) as failed:
        task(site, rotation="november").run(fleet, [])
    results = failed.value.results
    assert "on the way" in str(failed.value)
    now = {holder[0]: address for address, holder in claimed(site.world).items()}
    assert results["changed"] is (now != old or bool(site.writes))
    rows = {row["holder"]["name"]: row for row in results["eips"]}
    assert list(rows) == ["testing", "web"]
    for holder in (VM, WEB):
        row = rows[holder.name]
        if not row["problems"]:
            assert (row["previous"], row["address"]) == (old[str(holder)], now[str(holder)])
            assert row["status"] == "attached"
    assert rows["web"]["problems"], "who was not brought to the end says so"
    assert (looks < 5) is bool(rows["testing"]["problems"]), "the first batch is done by then"

    site.looks = 1000
    result = task(site, rotation="november").run(fleet, [])
    assert [row["status"] for row in result["eips"]] == ["attached", "attached"]
    assert len(claimed(site.world)) == 2
    assert not task(site, rotation="november").run(fleet, [])["changed"]


@pytest.mark.parametrize("batch", [0, 1])
def test_each_item_has_its_result_in_its_place(site: Gone, batch: int) -> None:
    """An item for which the pool has no address, too: plays put items and results side by side."""
    third = site.world.add_pod("third", "10.253.0.4")
    site.world.controller()
    none = replace(draw(WEB, pool="10.4.19.254")[0], path="eips[1]")
    asked = [*ask((VM, "10.4.19.101")), none, replace(ask((third, "10.4.19.103"))[0], path="eips[2]")]
    with pytest.raises(Failure) as failed:
        task(site, batch=batch, stop_on_failure=False).run(asked, [])
    rows = failed.value.results["eips"]
    assert [row["holder"]["name"] for row in rows] == ["testing", "web", "third"]
    assert [(row["address"], row["status"], len(row["problems"])) for row in rows] == [
        ("10.4.19.101", "attached", 0),
        (None, "detached", 1),
        ("10.4.19.103", "attached", 0),
    ]


def test_a_batch_that_fails_ends_the_rotation_and_the_name_of_it_goes_on(site: Gone) -> None:
    fleet = draw(VM, WEB, pool="10.4.19.101-10.4.19.110")
    task(site).run(fleet, [])
    site.world.controller_runs = False
    with pytest.raises(Failure) as failed:
        task(site, rotation="november", wait_timeout=1).run(fleet, [])
    first, second = failed.value.results["eips"]
    assert first["problems"]
    assert "not begun" in str(second["problems"])
    site.world.controller_runs = True
    done = task(site, rotation="november").run(fleet, [])
    assert [row["status"] for row in done["eips"]] == ["attached", "attached"]
    assert done["eips"][0]["address"] == first["address"], "the one that was begun is finished, not begun anew"
    assert len(claimed(site.world)) == 2


@pytest.mark.parametrize(("pool", "given"), [("10.4.19.101-110", ["103", "104"]), ("10.4.19.101-103", ["103", "101"])])
def test_a_batch_draws_what_was_foretold_and_what_the_one_before_has_freed_only_in_need(
    site: Gone, pool: str, given: list[str]
) -> None:
    """Names lead to a freed address for a while yet; and a pool may be too small for all at once."""
    fleet = draw(VM, WEB, pool=pool)
    task(site, batch=0).run(fleet, [])
    whole = Run(fleet, wish(rotate=True, rotation="november"), site, site.act)
    rotated = task(site, rotation="november").run(fleet, [])
    assert [row["address"].rpartition(".")[2] for row in rotated["eips"]] == given
    foretold = [eip.address for eip in whole.desired]
    assert foretold == [row["address"] for row in rotated["eips"]][: len(foretold)]


@pytest.mark.parametrize("rotation", ["november", None])
@pytest.mark.parametrize("first", [(VM, WEB), (WEB, VM)])
def test_holders_that_share_a_source_address_share_the_next_one_too(
    site: Gone, first: tuple[Holder, Holder], rotation: str | None
) -> None:
    both = draw(VM, WEB, pool="10.4.19.200-10.4.19.209", kind="snat")
    task(site, batch=0).run(both, [])
    assert claimed(site.world) == {"10.4.19.200": [str(VM), str(WEB)]}
    half = draw(*first[:1], pool="10.4.19.200-10.4.19.209", kind="snat")
    if rotation:  # a run that came no further
        task(site, rotation=rotation).run(half, [])
    result = task(site, rotate=True, rotation=rotation).run(draw(*first, pool="10.4.19.200-209", kind="snat"), [])
    assert [row["status"] for row in result["eips"]] == ["attached", "attached"]
    assert list(claimed(site.world)) == ["10.4.19.201"]
    assert not task(site, batch=0).run(both, [])["changed"]


# --- the namespace of the claims ------------------------------------------------------------------------------------


class Api:
    """An API server of which a test says what it refuses."""

    host = "https://10.4.18.1:6443"

    def __init__(self, site: RunSite, narrow: bool = False) -> None:
        self.site, self.narrow = site, narrow
        self.asked: list[tuple[str, str | None]] = []

    def together(self, calls: Sequence[Any]) -> list[Any]:
        return [self._one(call) for call in calls]

    def _one(self, call: Any) -> Any:
        try:
            return call()
        except ClusterError as error:
            return error

    def create(self, resource: Resource, namespace: str | None, _body: object) -> None:
        self.asked.append((resource.plural, namespace))
        raise ClusterError(f'namespaces "{namespace}" not found', 404)

    def list(self, resource: Resource, namespace: str | None = None) -> list[Any]:
        if self.narrow and namespace is None and resource.plural != "ips":
            raise ClusterError("forbidden", 403)
        self.asked.append((resource.plural, namespace))
        return []

    def get(self, _resource: Resource, *_arguments: object) -> dict[str, Any]:
        return {"data": {"external-gw-addr": "10.4.19.1/24", "nic-ip": "10.4.19.254/24"}}


def test_a_namespace_of_claims_that_is_not_there_is_named_at_once(site: Gone) -> None:
    """As with an identity that may not look at namespaces: it was taken for another run that is faster, 300 times."""
    api = Api(site)
    site.world.home = True
    run = Run(ask((WEB, "10.4.19.101")), wish(), site, Hands(cast(Cluster, api), None, "claims").apply)
    run.claim()
    assert api.asked == [(LEASES.plural, "claims")]
    (problem,) = run.bad["eips[0]"]
    assert (problem.path, "namespace claims is not there" in problem.text) == ("claims_namespace", True)
    assert site.writes == []


class Tenant(Api):
    """Somebody with rights in one namespace, or with all of them but for OVN."""

    host = "https://10.4.18.1:6443"

    def __init__(self, site: Gone, lacks: str) -> None:
        super().__init__(site)
        self.lacks = lacks

    def list(
        self, resource: Resource, namespace: str | None = None, label_selector: str | None = None
    ) -> list[dict[str, Any]]:
        if resource.plural == self.lacks or (self.lacks == "OVN" and label_selector):
            raise ClusterError("forbidden", 403, "docs/rbac.yml lists the rights")
        return super().list(resource, namespace)

    def get(self, resource: Resource, *arguments: object) -> dict[str, Any]:
        if resource.plural == self.lacks:
            raise ClusterError("forbidden", 403, "docs/rbac.yml lists the rights")
        return super().get(resource, *arguments)


@pytest.mark.parametrize("lacks", ["nodes", "ovn-eips", "configmaps", "OVN"])
@pytest.mark.parametrize("state", ["present", "pruned"])
def test_who_lacks_the_rights_for_ovn_is_told_that_it_goes_without(site: Gone, lacks: str, state: str) -> None:
    """But pruning, which is about what is in OVN."""
    asked = [{"pod": "web", "address": "10.4.19.101"}] if state == "present" else None
    params = {**PARAMS, "state": state, "eips": asked, "ovn_connection": "auto", "kind": "fip", "busy": [], "batch": 0}
    params |= dict.fromkeys(("reassign", "adopt", "rotate", "rotation"), False)
    params |= {"claims_namespace": "claims", "configmap_namespace": "kube-system"}
    module = cast(Any, SimpleNamespace(params=params, check_mode=False))
    with pytest.raises((ClusterError, OvsdbError), match=r"docs/rbac.yml") as caught:
        work(module, cast(Cluster, Tenant(site, lacks)))
    assert ("ovn_connection: none" in str(caught.value)) == (state == "present")


def test_rights_in_single_namespaces_are_known_to_be_no_view_of_the_cluster(site: Gone) -> None:
    for narrow, namespaces in ((True, frozenset({"default"})), (False, None)):
        api = Api(site, narrow)
        seen = Eyes(cast(Cluster, api), None, "kube-system", "claims").observe(ask((WEB, "10.4.19.101")), wish())
        assert seen.namespaces == namespaces
        assert (PODS.plural, "default" if narrow else None) in api.asked
