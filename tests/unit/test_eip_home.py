# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders of a custom VPC that never ran, and annotations there, which do nothing: refused before, taken away after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import adopted
from ansible_collections.kubeovn.core.plugins.module_utils._eip_home import Homes, homes_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import Eyes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site as Seen
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Ovn, Workload
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import deployment_view, vm_view
from support.eip_cases import ask, claimed, refusals, wish
from support.eip_world import ROUTER_PORT, World
from support.vpc_runs import VpcSite

VM = Holder("VirtualMachine", "shop", "vm")
ONE, TWO = "10.4.19.101", "10.4.19.102"
ANNOTATION = "ovn.kubernetes.io/"


@pytest.fixture
def site() -> VpcSite:
    """VPC shop, to which namespace shop is bound, and a machine there that never ran."""
    site = VpcSite()
    site.world.vms["shop", "vm"] = Workload("shop", "vm", "uid-vm", None, False, None)
    return site


def start(site: VpcSite, eip: str | None = None) -> None:
    """The machine runs in VPC shop, annotated as its template is."""
    site.vpc.add_holder("vm", "10.9.0.7")
    old = site.world.vms["shop", "vm"]
    more: dict[str, Any] = {"running": True, "instance_uid": "vmi", "node": "jah-k3s-l40s-001"}
    site.world.vms["shop", "vm"] = replace(old, template_eip=eip, instance_eip=eip, **more)
    site.world.add_pod("launcher", "10.9.0.7", eip, namespace="shop", vm="vm", vpc="shop", routed=True)


def noted(site: VpcSite) -> list[str | None]:
    vm, pods = site.world.vms["shop", "vm"], site.world.pods.values()
    return [vm.template_eip, vm.instance_eip, *(pod.eip for pod in pods)]


def one(backend: str, address: str | None = ONE) -> list[Eip]:
    return [replace(eip, backend=backend) for eip in ask((VM, address))]


# --- before it ran ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "annotation"])
def test_who_never_ran_and_will_be_in_a_custom_vpc_is_refused_and_nothing_written(site: VpcSite, backend: str) -> None:
    (problem,) = site.run(one(backend))["problems"]
    assert "will be in VPC shop" in problem["text"]
    assert problem["hint"].startswith("start it once")
    assert (site.done, noted(site)) == ([], [None, None])
    start(site)
    assert site.run(ask((VM, ONE)))["status"] == "attached"


def test_a_deployment_without_a_pod_is_refused_too() -> None:
    site = VpcSite()
    holder = Holder("Deployment", "shop", "app")
    site.world.deployments["shop", "app"] = replace(
        Workload("shop", "app", "uid", None, False, None), kind="Deployment", replicas=0
    )
    assert "VPC shop" in site.run(ask((holder, ONE)))["problems"][0]["text"]


@pytest.mark.parametrize(
    ("namespace", "switch", "vpc"),
    [
        ("shop", None, "shop"),
        ("shop", "ovn-default", "ovn-cluster"),
        ("default", "shop-net", "shop"),
        ("default", None, "ovn-cluster"),
        ("default", "nowhere", None),
        ("torn", None, None),
        ("by-vpc", None, "shop"),
    ],
)
def test_what_decides_on_the_vpc(namespace: str, switch: str | None, vpc: str | None) -> None:
    def named(name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": spec}

    subnets = [
        named("ovn-default", vpc="ovn-cluster", namespaces=["torn"]),
        named("shop-net", vpc="shop", namespaces=["shop", "torn"]),
        named("plain"),
    ]
    vpcs = [named("ovn-cluster"), named("shop", namespaces=["by-vpc"])]
    assert homes_of(subnets, vpcs).vpc_of(namespace, switch) == vpc
    metadata = {"annotations": {ANNOTATION + "logical_switch": switch}} if switch else {}
    template = {"metadata": metadata}
    own = {"metadata": {"namespace": namespace, "name": "x"}, "spec": {"template": template}}
    assert vm_view(own, None).switch == deployment_view(own).switch == switch


@pytest.mark.parametrize(
    ("switch", "backend", "refused"),
    [("nowhere", "auto", True), ("nowhere", "annotation", False), ("ovn-default", "auto", False)],
)
def test_nobody_is_refused_of_whom_it_is_known_or_said(switch: str, backend: str, refused: bool) -> None:
    world = World()
    holder = world.add_vm("vm", None, running=False)
    world.vms["default", "vm"] = replace(world.vms["default", "vm"], switch=switch)
    observed = replace(world.observed(), homes=Homes({"ovn-default": "ovn-cluster"}, {}))
    desired = [replace(eip, backend=backend) for eip in ask((holder, ONE))]
    assert bool(refusals(desired, "present", observed)) == refused
    assert not refusals(ask((holder, None)), "absent", observed)


def test_a_stopped_machine_of_the_default_vpc_that_ran_has_its_address_and_needs_no_home() -> None:
    world = World()
    holder = world.add_vm("vm", "10.253.0.9", running=False)
    observed = replace(world.observed(), homes=Homes({}, {"default": frozenset({"shop"})}))
    assert not refusals(ask((holder, ONE)), "present", observed)


# --- what the look reads for it ---------------------------------------------------------------------------------------


class Api:
    """A cluster with a custom VPC and a stopped machine; ran: whether it has an address there."""

    def __init__(self, ran: bool = False, custom: bool = True, denied: str = "") -> None:
        shop = {"metadata": {"name": "shop-net"}, "spec": {"vpc": "shop" if custom else "ovn-cluster"}}
        address = {"subnet": "shop-net", "namespace": "shop", "podName": "vm", "v4IpAddress": "10.9.0.7"}
        vm = {"metadata": {"namespace": "shop", "name": "vm", "uid": "u"}, "spec": {"template": {"metadata": {}}}}
        self.objects: dict[str, Sequence[dict[str, Any]]] = {
            "virtualmachines": [vm],
            "subnets": [shop],
            "vpcs": [{"metadata": {"name": "shop"}, "spec": {"namespaces": ["shop"]}}],
            "ips": [{"metadata": {"name": "vm.shop"}, "spec": address}] if ran else [],
        }
        self.denied = denied
        self.asked: list[str] = []

    def list(self, resource: Resource, _namespace: str | None = None) -> Sequence[dict[str, Any]]:
        self.asked.append(resource.plural)
        if resource.plural == self.denied:
            raise ClusterError("forbidden", 403)
        return self.objects.get(resource.plural, [])

    def get(self, resource: Resource, _namespace: str | None, name: str) -> dict[str, Any]:
        return (
            {"data": {"nic-ip": "10.4.19.254/24"}} if resource.plural == "configmaps" else {"metadata": {"name": name}}
        )

    def together(self, calls: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        return [call() for call in calls]


class Nobody:
    """OVN with a gateway, no EIPs, and no router but the default one."""

    nb = cast(Any, None)

    def observe(self, _ports: object) -> Ovn:
        return Ovn("lr", ROUTER_PORT, "ls", (), (), (), (), "chassis")


def seen(api: Api, monkeypatch: pytest.MonkeyPatch, blind: bool = False) -> Observed:
    where = "ansible_collections.kubeovn.core.plugins.module_utils._eip_look.read_routers"
    monkeypatch.setattr(where, lambda _nb: {})
    northbound = None if blind else cast(Northbound, Nobody())
    return Eyes(cast(Cluster, api), northbound, "kube-system", "claims").observe(ask((VM, ONE)), wish())


def test_the_vpcs_are_read_where_there_are_some_and_the_holder_is_in_none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    observed = seen(api, monkeypatch)
    assert observed.homes is not None
    assert observed.homes.vpc_of("shop", None) == "shop"
    assert (api.asked.count("vpcs"), observed.objects) == (1, None)
    api = Api(custom=False)
    assert seen(api, monkeypatch).homes is None
    assert "vpcs" not in api.asked


def test_a_stopped_machine_that_ran_in_a_custom_vpc_is_known_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = seen(Api(ran=True), monkeypatch)
    assert Seen(observed).by_objects(*ask((VM, ONE)))


@pytest.mark.parametrize("denied", ["vpcs", "subnets"])
def test_a_tenant_who_may_not_look_is_not_refused_for_that(denied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = seen(Api(denied=denied), monkeypatch, blind=True)
    assert observed.homes is None
    assert any(text.startswith(denied) for text in observed.unseen)


# --- what is annotated there already ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["present", "detached", "absent"])
@pytest.mark.parametrize("named", [True, False])
def test_annotations_there_are_taken_away_and_interrupt_nobody(site: VpcSite, state: str, named: bool) -> None:
    start(site, ONE)
    asked = ask((VM, ONE if named or state == "present" else None))
    run = site.whole(asked, state=state)
    assert not run.bad
    assert noted(site) == [None, None, None]
    assert {"annotate_template", "annotate_instance", "annotate_pod"} <= set(site.done)
    assert {step.interrupts for step in run.planned.steps if step.action.startswith("annotate")} == {None}
    assert claimed(site.world) == ({ONE: [str(VM)]} if state == "present" else {})
    site.run(asked, state=state)
    assert site.done == []


def test_an_annotation_that_names_another_address_is_not_what_a_release_by_address_is_about(site: VpcSite) -> None:
    start(site, TWO)
    site.run(ask((VM, ONE)), state="absent")
    assert noted(site) == [TWO, TWO, TWO]
    assert site.run(ask((VM, ONE)))["status"] == "attached"
    assert noted(site) == [None, None, None]


def test_adopting_and_giving_it_to_another_work_as_well(site: VpcSite) -> None:
    start(site, ONE)
    other = site.add("other", "10.9.0.2")
    assert site.run(ask((other, ONE)))["problems"]
    assert site.run(ask((other, ONE)), reassign=True)["status"] == "attached"
    assert noted(site)[:3] == [None, None, None]
    start(site, TWO)
    assert site.run(ask((VM, TWO)), adopt=True)["status"] == "attached"


def test_the_diff_foretells_it(site: VpcSite) -> None:
    start(site, ONE)
    planned = site.whole(ask((VM, ONE))).planned
    (before,), (after,) = planned.before.values(), planned.after.values()
    assert [before[part]["eip"] for part in ("template", "instance")] == [ONE, ONE]
    assert [after[part]["eip"] for part in ("template", "instance")] == [None, None]
    assert {notes["eip"] for notes in after["pods"].values()} == {None}


def test_what_is_annotated_and_never_ran_is_not_adopted_in_silence(site: VpcSite) -> None:
    site.world.vms["shop", "vm"] = replace(site.world.vms["shop", "vm"], template_eip=ONE)
    observed = site.observe((), wish())
    found = refusals(adopted(Seen(observed)), "present", observed, adopt=True)
    assert ["will be in VPC shop" in problem.text for problem in found] == [True]
