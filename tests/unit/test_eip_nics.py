# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders without a pod whose next one Kube-OVN's annotations would not serve: by their templates and their Subnets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._eip_home import Nics, nics_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import Eyes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    deployment_view,
    kept_addresses,
    vm_view,
)
from support.eip_cases import ask, refusals, wish
from support.eip_world import ROUTER_PORT, World

ONE = "10.4.19.101"
VM = Holder("VirtualMachine", "default", "vm")
PROVIDER = "second.default.ovn"
NADS = "network-attachment-definitions"
MULTUS = "k8s.v1.cni.cncf.io/networks"

Object = dict[str, Any]


def named(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": spec}


def definition(name: str, config: Any, namespace: str = "default") -> Object:
    text = config if isinstance(config, str) else json.dumps(config)
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"config": text}}


OVERLAY = named("ovn-default", cidrBlock="10.253.0.0/16", default=True, provider="ovn")
SECOND = named("second", cidrBlock="10.251.0.0/24", provider=PROVIDER)
DUAL = named("dual", cidrBlock="10.252.0.0/24,fd00:252::/64", namespaces=["twice"])
SIX = named("six", cidrBlock="fd00:6::/64", namespaces=["six", "mixed"])
FOUR = named("four", cidrBlock="10.250.0.0/24", namespaces=["mixed"])
VLAN = named("vlan", cidrBlock="10.4.18.0/24", vlan="outside", namespaces=["wired"])
SUBNETS = (OVERLAY, SECOND, DUAL, SIX, FOUR, VLAN)
KUBE_OVN = {"type": "kube-ovn", "provider": PROVIDER}
MACVLAN = {"type": "macvlan", "ipam": {"type": "kube-ovn", "provider": "second.default"}}


def stopped(nics: Nics | None, ip: str | None = None, **more: Any) -> Observed:
    """A machine that is off."""
    world = World()
    world.add_vm("vm", ip, running=False)
    world.vms["default", "vm"] = replace(world.vms["default", "vm"], **more)
    return replace(world.observed(), nics=nics)


def told(observed: Observed, holder: Holder = VM, state: str = "present") -> list[str]:
    return [f"{one.text} ({one.hint})" for one in refusals(ask((holder, ONE)), state, observed)]


# --- further NICs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subnets", "definitions", "refused"),
    [
        (SUBNETS, [definition("second", KUBE_OVN)], True),
        (SUBNETS, [definition("second", {"plugins": [{"type": "tuning"}, KUBE_OVN]})], True),
        ((OVERLAY,), [definition("second", KUBE_OVN)], True),  # without a Subnet of its own it is on the pod's
        (SUBNETS, None, True),  # nobody could read the definition: the Subnet tells whose it is
        (SUBNETS, [definition("second", KUBE_OVN, "other")], True),
        ((OVERLAY,), None, False),
        (SUBNETS, [definition("second", MACVLAN)], False),
        (SUBNETS, [definition("second", {"type": "bridge"})], False),
        (SUBNETS, [definition("second", "what? {")], False),
        (SUBNETS, [definition("second", ["kube-ovn"])], False),
        (SUBNETS, [definition("second", {"plugins": 5})], False),
        ((OVERLAY, named("second", provider=PROVIDER, vpc="shop")), [definition("second", KUBE_OVN)], False),
        ((OVERLAY, named("second", provider=PROVIDER, vlan="outside")), [definition("second", KUBE_OVN)], False),
        (
            (OVERLAY, named("second", provider=PROVIDER, vlan="outside", logicalGateway=True)),
            [definition("second", KUBE_OVN)],
            True,
        ),
    ],
)
def test_a_second_nic_in_the_default_vpc_is_refused(
    subnets: Sequence[Object], definitions: Sequence[Object] | None, refused: bool
) -> None:
    observed = stopped(nics_of(subnets, definitions), networks=("default/second",))
    text = f"{VM} will have more NICs in ovn-cluster ({PROVIDER}): the annotation would hit each"
    assert told(observed) == ([f"{text} (an EIP needs a pod with one NIC there)"] if refused else [])
    assert told(observed, state="absent") == told(stopped(nics_of(subnets, definitions))) == []


@pytest.mark.parametrize("ip", [None, "10.253.0.9"])
def test_a_machine_that_ran_and_one_that_never_did_are_refused_alike(ip: str | None) -> None:
    nics = nics_of(SUBNETS, [definition("second", KUBE_OVN)])
    assert len(told(stopped(nics, ip, networks=("default/second",)))) == 1


@pytest.mark.parametrize(
    ("switch", "subnets", "refused"),
    [
        ("vlan", SUBNETS, False),
        ("shop", (*SUBNETS, named("shop", vpc="shop")), False),
        ("nowhere", SUBNETS, False),
        ("four", SUBNETS, True),
        ("four", (OVERLAY, named("four")), True),
        (None, (*SUBNETS, named("third", provider=PROVIDER, vlan="outside")), False),  # one of two, and nobody knows
    ],
)
def test_the_subnet_that_a_template_names_for_a_further_nic_decides(
    switch: str | None, subnets: Sequence[Object], refused: bool
) -> None:
    chosen = ((PROVIDER, switch),) if switch else ()
    nics = nics_of(subnets, [definition("second", KUBE_OVN)])
    found = told(stopped(nics, networks=("default/second",), nic_switches=chosen))
    assert len(found) == refused


def test_which_subnets_a_template_names_for_further_nics() -> None:
    suffix = ".kubernetes.io/logical_switch"
    notes = {f"{PROVIDER}{suffix}": "vlan", f"ovn{suffix}": "four", f"a.b.ovn{suffix}": "", "other": "x"}
    own = {
        "metadata": {"namespace": "default", "name": "vm"},
        "spec": {"template": {"metadata": {"annotations": notes}}},
    }
    for view in (vm_view(own, None), deployment_view(own)):
        assert (view.nic_switches, view.switch) == (((PROVIDER, "vlan"),), "four")


def test_a_pod_that_is_there_tells_more_than_its_template() -> None:
    world = World()
    holder = world.add_vm("vm", "10.253.0.9")
    world.vms["default", "vm"] = replace(world.vms["default", "vm"], networks=("default/second",), switch="dual")
    world.settle()
    nics = nics_of(SUBNETS, [definition("second", KUBE_OVN)])
    assert not refusals(ask((holder, ONE)), "present", replace(world.observed(), nics=nics))


def test_a_deployment_that_is_scaled_to_nothing_is_refused_too() -> None:
    world = World()
    holder = world.add_deployment("app", None, networks=("default/second",), replicas=0)
    observed = replace(world.observed(), nics=nics_of(SUBNETS, [definition("second", KUBE_OVN)]))
    assert len(told(observed, holder)) == 1


@pytest.mark.parametrize(
    ("networks", "annotation", "expected"),
    [
        ([], "", ()),
        ([{"name": "default", "pod": {}}], "", ()),
        ([{"name": "a", "multus": {"networkName": "second"}}], "", ("default/second",)),
        ([{"name": "a", "multus": {"networkName": "nets/second"}}], "", ("nets/second",)),
        ([{"name": "a", "multus": {"networkName": "first", "default": True}}], "", ()),
        ([], "second, nets/third@net7", ("default/second", "nets/third")),
        (
            [],
            json.dumps([{"name": "second"}, {"name": "third", "namespace": "nets"}]),
            ("default/second", "nets/third"),
        ),
        ([], "[1, null]", ()),
        ([], "5", ()),
        ([{"name": "a", "multus": {"networkName": "second"}}], "default/second", ("default/second",)),
    ],
)
def test_which_networks_a_template_names(networks: list[Object], annotation: str, expected: tuple[str, ...]) -> None:
    notes = {"annotations": {MULTUS: annotation}} if annotation else {}
    template = {"metadata": notes, "spec": {"networks": networks}}
    own = {"metadata": {"namespace": "default", "name": "vm"}, "spec": {"template": template}}
    assert vm_view(own, None).networks == deployment_view(own).networks == expected


# --- Subnets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "switch", "words"),
    [
        ("default", None, ""),
        ("default", "four", ""),
        ("default", "nowhere", ""),
        ("mixed", None, ""),  # on one of two, and nobody can tell on which
        ("default", "dual", "will have an IPv6 address (Subnet dual, 10.252.0.0/24,fd00:252::/64)"),
        ("twice", None, "will have an IPv6 address (Subnet dual, 10.252.0.0/24,fd00:252::/64)"),
        ("six", None, "never matches an IPv6 or dual-stack pod (an EIP needs an IPv4 pod)"),
        ("wired", None, "will be on a provider network itself (Subnet vlan, 10.4.18.0/24), not on the overlay"),
    ],
)
def test_a_subnet_whose_pods_no_annotation_serves_is_refused(namespace: str, switch: str | None, words: str) -> None:
    world = World()
    world.add_vm("vm", None, running=False)
    world.vms[namespace, "vm"] = replace(world.vms.pop(("default", "vm")), namespace=namespace, switch=switch)
    observed = replace(world.observed(), nics=nics_of(SUBNETS, None))
    found = told(observed, Holder("VirtualMachine", namespace, "vm"))
    assert len(found) == bool(words)
    assert all(words in text for text in found)


def test_a_default_subnet_of_both_families_is_refused_unless_labels_may_choose_another() -> None:
    both = named("ovn-default", cidrBlock="10.253.0.0/16,fd00:253::/64", default=True)
    assert len(told(stopped(nics_of([both], None)))) == 1
    chosen = named("chosen", cidrBlock="10.250.0.0/24", namespaceSelectors=[{"matchLabels": {"team": "a"}}])
    assert told(stopped(nics_of([both, chosen], None))) == []
    listing = named("listing", cidrBlock="fd00:7::/64", namespaces=["default"])
    assert told(stopped(nics_of([OVERLAY, listing, chosen], None))) == []


def kept(*ips: Object, **more: Any) -> Observed:
    """A machine that is off, for which Kube-OVN keeps these addresses."""
    return replace(stopped(nics_of(SUBNETS, None, ips), **more), kept=kept_addresses(ips, SUBNETS))


def ip_object(name: str, subnet: str, v4: str, v6: str = "") -> Object:
    return named(name, namespace="default", podName="vm", subnet=subnet, v4IpAddress=v4, v6IpAddress=v6)


FIRST = ip_object("vm.default", "ovn-default", "10.253.0.9")


def test_the_address_that_is_kept_for_a_machine_tells_more_than_its_subnet() -> None:
    both = ip_object("vm.default", "dual", "10.252.0.9", "fd00:252::9")
    assert told(kept(FIRST)) == told(kept(FIRST, switch="dual")) == told(kept(both, switch="four")) == []
    assert "will have an IPv6 address (10.252.0.9, fd00:252::9)" in told(kept(both))[0]
    assert "will have an IPv6 address" in told(kept(both, switch="dual"))[0]
    wired = ip_object("vm.default", "vlan", "10.4.18.9")
    assert "will be on a provider network itself (Subnet vlan, 10.4.18.0/24)" in told(kept(wired))[0]


def test_what_is_kept_for_a_further_nic_of_a_machine_is_no_reason() -> None:
    """As of one that is in a VLAN of both families, too: its first NIC is served, and no rule is of the other."""
    further = ip_object(f"vm.default.{PROVIDER}", "vlan", "10.4.18.9", "fd00:18::9")
    assert told(kept(FIRST, further)) == told(kept(further)) == []


# --- what the look reads for it ---------------------------------------------------------------------------------------


class Api:
    """A cluster with stopped machines that name networks, or none."""

    def __init__(self, networks: Sequence[str], machines: int = 1, status: int = 0) -> None:
        more = [{"name": name, "multus": {"networkName": name}} for name in networks]
        spec = {"template": {"metadata": {}, "spec": {"networks": more}}}
        names = ["vm", *(f"vm-{number}" for number in range(1, machines))]
        self.objects: dict[str, Sequence[Object]] = {
            "virtualmachines": [
                {"metadata": {"namespace": "default", "name": n, "uid": n}, "spec": spec} for n in names
            ],
            "subnets": SUBNETS,
            NADS: [definition("second", KUBE_OVN)],
        }
        self.holders = [Holder("VirtualMachine", "default", name) for name in names]
        self.status = status
        self.narrow = False  # whether single namespaces' are shown all the same
        self.asked: list[str] = []

    def list(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        self.asked.append(resource.plural)
        if resource.plural == NADS and self.status and (namespace is None or not self.narrow):
            raise ClusterError("no", self.status)
        return self.objects.get(resource.plural, [])

    def get(self, resource: Resource, _namespace: str | None, name: str) -> Object:
        data = {"nic-ip": "10.4.19.254/24", "external-gw-addr": "10.4.19.1/24"}
        return {"data": data} if resource.plural == "configmaps" else {"metadata": {"name": name}}

    def together(self, calls: Any) -> Sequence[Any]:
        return [call() for call in calls]

    def observe(self, _ports: object) -> Ovn:
        """As OVN: a gateway, and no EIPs."""
        return Ovn("lr", ROUTER_PORT, "ls", (), (), (), (), "chassis")


def seen(api: Any, state: str = "present") -> Observed:
    desired = [Eip(one, f"10.4.19.{100 + number}", "eips[0]") for number, one in enumerate(api.holders)]
    return Eyes(api, api, "kube-system", "claims").observe(desired, wish(state))


def test_definitions_are_read_once_and_only_where_a_template_names_some() -> None:
    plain, one, many = Api([]), Api(["second"]), Api(["second"], machines=20)
    for api in (plain, one, many):
        assert seen(api).unseen == ()
    assert NADS not in plain.asked
    assert sorted(one.asked) == sorted(many.asked) == sorted([*plain.asked, NADS])
    assert len(told(seen(one))) == 1
    absent = Api(["second"])
    seen(absent, "absent")
    assert NADS not in absent.asked


@pytest.mark.parametrize(("status", "said"), [(404, 0), (403, 1)])
def test_without_definitions_their_subnets_have_to_do(status: int, said: int) -> None:
    observed = seen(Api(["second"], status=status))
    assert len(observed.unseen) == said
    assert all(text.startswith(NADS) for text in observed.unseen)
    assert len(told(observed)) == 1


def test_definitions_of_some_namespaces_only_are_said_to_be_so() -> None:
    api = Api(["second"], status=403)
    api.narrow = True
    observed = seen(api)
    assert observed.unseen == (f"{NADS} of other namespaces: only the Subnets tell which NICs come of them",)
    assert len(told(observed)) == 1


def test_the_look_tells_what_is_kept_for_the_first_nic() -> None:
    api = Api([])
    api.objects["ips"] = [ip_object("vm.default", "dual", "10.252.0.9", "fd00:252::9")]
    assert "will have an IPv6 address (10.252.0.9, fd00:252::9)" in told(seen(api))[0]
    api.objects["ips"] = [FIRST, ip_object(f"vm.default.{PROVIDER}", "vlan", "10.4.18.9", "fd00:18::9")]
    assert told(seen(api)) == []
