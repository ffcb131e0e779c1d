# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that are named by what has no EIP itself: StatefulSets' templates, instances without a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import adopted, assign
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import Eyes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_outside import lone, outside_mentions
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, NatRule, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from support.eip_cases import ask, draw, wish
from support.eip_world import ROUTER_PORT, World
from support.vpc_runs import VpcSite

WEB, DB = Holder("Pod", "default", "web"), Holder("Pod", "default", "db-0")
FIRST, SECOND, FREE = "10.4.19.110", "10.4.19.111", "10.4.19.112"
POOL = "10.4.19.110-10.4.19.120"
EIP, SNAT = "ovn.kubernetes.io/eip", "ovn.kubernetes.io/snat"


def annotated(name: str, **notes: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": name, "annotations": notes}}


def stateful_set(name: str = "db", notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"annotations": notes or {EIP: FIRST}}}
    return {**annotated(name), "spec": {"replicas": 0, "template": template, **spec}}


def instance(name: str = "lone", phase: str = "Scheduling", notes: dict[str, str] | None = None) -> dict[str, Any]:
    return {**annotated(name, **(notes or {EIP: SECOND})), "status": {"phase": phase}}


class Api:
    """A cluster that lists what it is given. denied: whose LIST it refuses, but in the namespaces that are open."""

    def __init__(self, denied: str = "", open_namespaces: Sequence[str] = (), **objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.denied = denied
        self.open = open_namespaces
        self.asked: list[str] = []

    def list(self, resource: Resource, namespace: str | None = None) -> list[dict[str, Any]]:
        self.asked.append(resource.plural)
        if resource.plural == self.denied and namespace not in self.open:
            raise ClusterError("forbidden", 403)
        return self.objects.get(resource.plural, [])

    def get(self, resource: Resource, _namespace: str | None, name: str) -> dict[str, Any]:
        gateway = {"nic-ip": "10.4.19.254/24", "external-gw-addr": "10.4.19.1/24", "enable-external-gw": "true"}
        return {"data": gateway} if resource.plural == "configmaps" else {"metadata": {"name": name}}

    def together(self, calls: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        return [call() for call in calls]


class Nobody:
    """OVN with a gateway, and no EIPs."""

    def observe(self, _ports: object) -> Ovn:
        return Ovn("lr", ROUTER_PORT, "ls", (), (), (), (), "chassis")


def seen(api: Api, desired: Sequence[Eip]) -> Observed:
    eyes = Eyes(cast(Cluster, api), cast(Northbound, Nobody()), "kube-system", "kubeovn-core")
    return eyes.observe(desired, wish())


def pod(name: str) -> dict[str, Any]:
    notes = {"ovn.kubernetes.io/ip_address": "10.253.0.3", "ovn.kubernetes.io/routed": "true"}
    return {**annotated(name, **notes), "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}


def test_a_pool_gives_nobody_what_they_name_and_the_look_is_one_list_more() -> None:
    api = Api(pods=[pod("web")], statefulsets=[stateful_set()], virtualmachineinstances=[instance()])
    desired = draw(WEB, pool=POOL)
    (chosen,), none = assign(desired, wish(), Site(seen(api, desired)))
    assert (chosen.address, none) == (FREE, [])
    kinds = ("deployments", "leases", "nodes", "pods", "statefulsets", "virtualmachineinstances", "virtualmachines")
    looked = [name for name in api.asked if name not in ("ips", "subnets")]
    assert sorted(looked) == sorted([*kinds, "ovn-eips"])


@pytest.mark.parametrize("namespaces", [(), ("default",)])
def test_the_right_to_list_stateful_sets_may_be_missing_and_that_is_said(namespaces: Sequence[str]) -> None:
    desired = ask((WEB, "10.4.19.101"))
    observed = seen(Api("statefulsets", namespaces, pods=[pod("web")], statefulsets=[stateful_set()]), desired)
    (said,) = observed.unseen
    assert said.startswith("statefulsets")
    assert observed.namespaces is None, "of all other kinds everything was seen"
    assert bool(observed.outside) == bool(namespaces)


def world_with(*sets: dict[str, Any], instances: Sequence[dict[str, Any]] = ()) -> Observed:
    world = World()
    world.add_pod("web", "10.253.0.3")
    world.add_pod("db-0", "10.253.0.4")
    world.settle()
    return replace(world.observed(), outside=tuple(outside_mentions(sets, instances)))


def held(observed: Observed, holder: Holder, address: str, kind: str = "fip", **more: Any) -> list[str]:
    return [one.text for one in problems(ask((holder, address), kind=kind), wish(**more), observed)]


@pytest.mark.parametrize("reassign", [False, True])
def test_nobody_else_gets_such_an_address_and_nobody_can_take_it(reassign: bool) -> None:
    observed = world_with(stateful_set(), instances=[instance()])
    text = f"{FIRST} is held by Pod default/db-0 (annotation in the template of StatefulSet default/db)"
    assert held(observed, WEB, FIRST, reassign=reassign) == [text]
    text = f"{SECOND} is held by VirtualMachineInstance default/lone (its annotation)"
    assert held(observed, WEB, SECOND, reassign=reassign) == [text]


def test_the_first_pod_of_a_stateful_set_may_have_what_the_template_says_and_something_else() -> None:
    observed = world_with(stateful_set())
    assert held(observed, DB, FIRST) == held(observed, DB, SECOND) == []
    assert held(world_with(stateful_set(ordinals={"start": 7})), DB, FIRST) != []


def test_a_shared_source_address_can_be_shared_with_them() -> None:
    observed = world_with(stateful_set(notes={SNAT: FIRST}))
    assert held(observed, WEB, FIRST, "snat") == []
    assert held(observed, WEB, FIRST, "fip") != []


def test_in_a_custom_vpc_it_is_the_same() -> None:
    site = VpcSite()
    other = site.add("other", "10.9.0.2")
    plain = site.observe
    outside = tuple(outside_mentions([stateful_set()], []))
    site.observe = lambda *arguments: replace(plain(*arguments), outside=outside)  # type: ignore[method-assign]
    for reassign in (False, True):
        (problem,) = site.run(ask((other, FIRST)), reassign=reassign)["problems"]
        assert "StatefulSet default/db" in problem["text"]
    assert site.done == []


def test_nothing_is_adopted_from_them_and_no_machine_is_said_twice() -> None:
    site = Site(world_with(stateful_set(), instances=[instance()]))
    assert adopted(site) == []
    instances = [instance("vm"), instance("lone"), instance("over", "Succeeded")]
    assert [one["metadata"]["name"] for one in lone(instances, [annotated("vm")])] == ["lone"]


def test_a_row_that_leads_to_nobody_is_not_theirs_because_they_name_its_address() -> None:
    """Kube-OVN would make the row anew, so that nothing proves whose the old one is."""
    observed = world_with(stateful_set())
    ovn = replace(observed.ovn, nat_rules=(NatRule("row", "dnat_and_snat", FIRST, "10.253.0.9"),))
    assert not Site(replace(observed, ovn=ovn)).is_leftover(ovn.nat_rules[0], DB)
