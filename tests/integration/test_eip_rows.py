# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of what was observed of Kube-OVN that the life of an EIP does not meet by itself, each provoked on the lab.

The first part of each test shows what happens without the collection, which the module then refuses or makes good.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from support.eip_lab import EIP, ROUTED, gateway, machine, pod, runs
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually
from support.vpc_site import kube_ovn

DUAL = "lines-dual"  # a Subnet of both families
SECOND = "lines-second"  # a Subnet for second NICs, and their NetworkAttachmentDefinition
PROVIDER = f"{SECOND}.default.ovn"
POD, WITNESS, VM, BARE_VM = "lines-pod", "lines-witness", "lines-vm", "lines-bare"
ADDRESS = "10.4.19.180"
CONFIG, HOME = "ovn-external-gw-config", "kube-system"
IP = "ovn.kubernetes.io/ip_address"
RUNNING = 180.0  # seconds in which a machine is there again, on a busy lab


def good(*eips: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The result of a run that succeeds."""
    result = alone("ovn_eip", {"eips": list(eips), **options})
    assert not result["failed"], result.get("msg")
    return result


def actions(result: dict[str, Any]) -> list[str]:
    return [step["action"] for step in result["plan"] if "claim" not in step["action"]]


def leads(live: Live, address: str) -> list[str]:
    return [logical for _type, external, logical in live.rules() if external == address]


@pytest.fixture(scope="module")
def live(lab: Lab) -> Live:
    """A site with a gateway."""
    live = Live(lab)
    gateway(live)
    return live


@pytest.fixture
def clean(live: Live) -> Iterator[Live]:
    """What a test makes goes with it, however it ends."""
    try:
        yield live
    finally:
        alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}, {"vm": VM}, {"vm": BARE_VM}], "state": "absent"})
        live.kubectl(
            "delete", "vm,pod", "-n", "default", "--ignore-not-found", POD, WITNESS, VM, BARE_VM, "--wait=true"
        )
        alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}], "state": "absent"})
    assert leads(live, ADDRESS) == []


def rerouted(live: Live) -> list[str]:
    """The matches of reroute policies, word by word: one of a dual-stack pod has a comma."""
    words = ("--bare", "--columns=match", "find", "Logical_Router_Policy", "priority=29250")
    return live.nbctl(*words).splitlines()


@contextmanager
def without_configuration(live: Live) -> Iterator[None]:
    """The gateway's ConfigMap is gone meanwhile; switch, router port and rows stay."""
    found = live.get("configmap", CONFIG, HOME)
    assert found is not None
    metadata = {"name": CONFIG, "namespace": HOME, "labels": found["metadata"].get("labels") or {}}
    live.kubectl("delete", "configmap", "-n", HOME, CONFIG)
    try:
        yield
    finally:
        live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": found["data"]})
        gateway(live)


def test_a_new_pod_with_an_eip_hangs_while_the_configmap_is_missing(clean: Live) -> None:
    notes = partial(clean.annotations, "pod", POD)
    with without_configuration(clean):
        hanging = pod(POD)
        hanging["metadata"]["annotations"] = {EIP: ADDRESS}
        clean.apply(hanging, pod(WITNESS))
        runs(clean, pods=(WITNESS,))
        eventually(notes, lambda found: IP in found, 60, f"an overlay address of {POD}")
        refused = alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}]})
        assert refused["failed"]
        assert "no external gateway is configured" in refused["msg"]
        assert ROUTED not in notes(), "it hangs, or this test proves nothing"
        assert leads(clean, ADDRESS) == []
    eventually(notes, lambda found: found.get(ROUTED) == "true", 120, f"{POD} runs when the ConfigMap is back")
    eventually(partial(leads, clean, ADDRESS), lambda found: found == [notes()[IP]], 60, "its NAT rule")
    assert actions(good({"pod": POD, "address": ADDRESS})) == [], "it is claimed, and nothing else is needed"
    assert clean.answers(ADDRESS) == [62, 62, 62]


def test_two_rows_of_one_address_are_made_one(clean: Live) -> None:
    clean.apply(pod(POD))
    runs(clean, pods=(POD,))
    good({"pod": POD, "address": ADDRESS})
    overlay = clean.annotations("pod", POD)[IP]
    row = f"-- --id=@row create NAT type=dnat_and_snat external_ip={ADDRESS} logical_ip={overlay}".split()
    clean.nbctl(*row, "--", "add", "Logical_Router", "ovn-cluster", "nat", "@row")
    assert leads(clean, ADDRESS) == [overlay, overlay], "OVN has no unique index, or this test proves nothing"
    assert "clean" in actions(good({"pod": POD, "address": ADDRESS}))
    assert leads(clean, ADDRESS) == [overlay]
    assert clean.answers(ADDRESS) == [62, 62, 62]
    assert good({"pod": POD, "address": ADDRESS})["changed"] is False


def test_a_pod_with_another_nic_in_the_default_vpc_is_refused(clean: Live) -> None:
    """Named by Kube-OVN's own annotation, which is all that the module goes by; a real second NIC is below."""
    clean.apply(pod(POD))
    runs(clean, pods=(POD,))
    second = "net1.lines.ovn.kubernetes.io/logical_router"
    clean.patch("pod", POD, {"metadata": {"annotations": {second: "ovn-cluster"}}})
    refused = alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}]})
    assert refused["failed"]
    assert "has more NICs in ovn-cluster (net1.lines.ovn)" in refused["msg"]
    assert EIP not in clean.annotations("pod", POD)
    clean.patch("pod", POD, {"metadata": {"annotations": {second: None}}})
    good({"pod": POD, "address": ADDRESS})


@contextmanager
def second_network(live: Live) -> Iterator[None]:
    """A Subnet of the default VPC for pods' further NICs, and the definition by which a pod asks for one."""
    group, kind = "k8s.cni.cncf.io", "NetworkAttachmentDefinition"
    names = {"plural": "network-attachment-definitions", "singular": kind.lower(), "kind": kind}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    definition = f"{names['plural']}.{group}"
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
    config = {"cniVersion": "0.3.1", "type": "kube-ovn", "provider": PROVIDER}
    made = {"metadata": {"name": SECOND, "namespace": "default"}, "spec": {"config": json.dumps(config)}}
    network = {"protocol": "IPv4", "cidrBlock": "10.251.0.0/24", "gateway": "10.251.0.1", "provider": PROVIDER}
    try:
        live.apply({**crd, "metadata": {"name": definition}, "spec": spec})
        live.kubectl("wait", "--for=condition=Established", f"crd/{definition}", "--timeout=60s")
        live.apply({"apiVersion": f"{group}/v1", "kind": kind, **made})
        live.apply(kube_ovn("Subnet", SECOND, vpc="ovn-cluster", **network))
        yield
    finally:
        live.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", POD, "--wait=true")
        live.kubectl("delete", "subnet", "--ignore-not-found", SECOND, "--wait=true")
        live.kubectl("delete", "crd", "--ignore-not-found", definition, "--wait=true")


@pytest.mark.full
def test_an_eip_of_a_pod_with_two_nics_is_given_to_the_second_one_and_all_of_it_is_taken_back(clean: Live) -> None:
    """A real second NIC: by Kube-OVN's controller and its CNI plugin, for a NetworkAttachmentDefinition."""
    double = pod(POD)
    double["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/networks": f"default/{SECOND}", EIP: ADDRESS}
    port = ("--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={POD}.default.{PROVIDER}")
    with second_network(clean):
        clean.apply(double)
        eventually(lambda: has_started(clean), bool, RUNNING, f"{POD} runs")
        eventually(lambda: clean.lab.run("sbctl", *port).strip(), bool, RUNNING, "its second NIC is plugged")
        notes = clean.annotations("pod", POD)
        first, second = notes[IP], notes[f"{PROVIDER}.kubernetes.io/ip_address"]
        assert (second.startswith("10.251.0."), notes[ROUTED]) == (True, "true")
        assert leads(clean, ADDRESS) == [second], "Kube-OVN routes the second NIC first, or this test proves nothing"
        assert {f"ip4.src == {first}", f"ip4.src == {second}"} <= set(rerouted(clean)), "the first is without NAT"
        refused = alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}]})
        assert refused["failed"]
        assert f"has more NICs in ovn-cluster ({PROVIDER})" in refused["msg"]
        assert leads(clean, ADDRESS) == [second]
        good({"pod": POD}, state="absent")
        assert leads(clean, ADDRESS) == []
        assert not {f"ip4.src == {first}", f"ip4.src == {second}"} & set(rerouted(clean))
        assert good({"pod": POD}, state="absent")["changed"] is False


@pytest.mark.full
def test_a_stopped_machine_that_will_have_two_nics_is_refused_before_anything_is_written(clean: Live) -> None:
    double = machine(VM, running=False)
    spec = double["spec"]["template"]["spec"]
    spec["networks"].append({"name": "second", "multus": {"networkName": SECOND}})
    spec["domain"]["devices"]["interfaces"].append({"name": "second", "bridge": {}})
    with second_network(clean):
        clean.apply(double)
        refused_unwritten(clean, f"will have more NICs in ovn-cluster ({PROVIDER}): the annotation would hit each")
        clean.kubectl("delete", "vm", "-n", "default", VM, "--wait=true")


@pytest.mark.full
def test_a_stopped_machine_of_a_dual_stack_subnet_is_refused_before_anything_is_written(clean: Live) -> None:
    dual = machine(VM, running=False)
    dual["spec"]["template"]["metadata"]["annotations"] = {"ovn.kubernetes.io/logical_switch": DUAL}
    spec = {"cidrBlock": "10.252.0.0/24,fd00:252::/64", "gateway": "10.252.0.1,fd00:252::1"}
    try:
        clean.apply(kube_ovn("Subnet", DUAL, protocol="Dual", vpc="ovn-cluster", **spec), dual)
        refused_unwritten(clean, f"will have an IPv6 address (Subnet {DUAL}, {spec['cidrBlock']})")
    finally:
        clean.kubectl("delete", "vm", "-n", "default", "--ignore-not-found", VM, "--wait=true")
        clean.kubectl("delete", "subnet", "--ignore-not-found", DUAL, "--wait=true")


def refused_unwritten(live: Live, words: str) -> None:
    """The machine is refused, and neither its template nor a claim is written."""
    mark = live.mark()
    refused = alone("ovn_eip", {"eips": [{"vm": VM, "address": ADDRESS}]})
    assert (refused["failed"], refused["unverified"]) == (True, [])
    assert f"VirtualMachine default/{VM} {words}" in refused["msg"]
    assert live.written(mark) == []


def has_started(live: Live) -> bool:
    """Whether the pod runs, with all of its NICs."""
    return ((live.get("pod", POD) or {}).get("status") or {}).get("phase") == "Running"


def test_a_dual_stack_pod_is_refused_and_what_was_annotated_by_hand_is_cleaned(clean: Live) -> None:
    """On the node that kwok plays: what Kube-OVN writes does not depend on a network behind the pod."""
    dual = pod(POD)
    dual["metadata"]["annotations"] = {"ovn.kubernetes.io/logical_switch": DUAL}
    dual["spec"] |= {"nodeName": "lab-central", "nodeSelector": None, "tolerations": [{"operator": "Exists"}]}
    spec = {"cidrBlock": "10.252.0.0/24,fd00:252::/64", "gateway": "10.252.0.1,fd00:252::1"}
    try:
        clean.apply(kube_ovn("Subnet", DUAL, protocol="Dual", vpc="ovn-cluster", **spec), dual)
        runs(clean, pods=(POD,))
        both = clean.annotations("pod", POD)[IP]
        first, _comma, second = both.partition(",")
        assert ":" in second
        clean.patch("pod", POD, {"metadata": {"annotations": {EIP: ADDRESS, ROUTED: None}}})
        eventually(partial(leads, clean, ADDRESS), lambda found: found == [first], 60, "Kube-OVN's rule")
        eventually(partial(rerouted, clean), lambda found: f"ip4.src == {both}" in found, 60, "a match of no packet")
        refused = alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}]})
        assert refused["failed"]
        assert (
            f"has address {both}: Kube-OVN's reroute policy never matches an IPv6 or dual-stack pod" in refused["msg"]
        )
        good({"pod": POD}, state="absent")
        assert leads(clean, ADDRESS) == []
        assert f"ip4.src == {both}" not in rerouted(clean)
    finally:
        clean.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", POD, "--wait=true")
        clean.kubectl("delete", "subnet", "--ignore-not-found", DUAL, "--wait=true")


@pytest.mark.full
def test_an_eip_on_the_pod_alone_is_lost_at_a_migration(clean: Live) -> None:
    mover = machine(VM, running=True)
    del mover["spec"]["template"]["spec"]["nodeSelector"]
    clean.apply(mover)
    runs(clean, (VM,))
    source = clean.launcher(VM)
    assert source is not None
    clean.patch("pod", source["metadata"]["name"], {"metadata": {"annotations": {EIP: ADDRESS, ROUTED: None}}})
    eventually(partial(leads, clean, ADDRESS), bool, 60, "Kube-OVN's rule")
    migration = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "spec": {"vmiName": VM}}
    clean.apply({**migration, "metadata": {"name": VM, "namespace": "default"}})
    try:
        eventually(
            partial(leads, clean, ADDRESS), lambda found: not found, RUNNING, "the target's routing takes the rule"
        )
        eventually(partial(_moved, clean, source["metadata"]["uid"]), bool, RUNNING, "the migration's end")
        assert leads(clean, ADDRESS) == []
        done = good({"vm": VM, "address": ADDRESS})
        assert actions(done) == ["annotate_template", "annotate_instance", "annotate_pod"]
        assert clean.answers(ADDRESS)
    finally:
        clean.kubectl("delete", "vmim", "-n", "default", "--ignore-not-found", VM)


def _moved(live: Live, source: str) -> bool:
    """Whether the machine runs in another pod, and in no other."""
    migration, launcher = live.get("vmim", VM) or {}, live.launcher(VM)
    ended = (migration.get("status") or {}).get("phase") == "Succeeded"
    return ended and launcher is not None and launcher["metadata"]["uid"] != source


@pytest.mark.full
def test_a_false_restart_required_is_no_reason_against_an_eip(clean: Live) -> None:
    """A machine without firmware.uuid says RestartRequired when it first starts, where virt-api does not fill it in."""
    plain = machine(BARE_VM, running=True)
    del plain["spec"]["template"]["spec"]["domain"]["firmware"]
    clean.apply(plain)
    runs(clean, (BARE_VM,))
    eventually(partial(_conditions, clean), lambda found: "RestartRequired" in found, 60, "RestartRequired")
    good({"vm": BARE_VM, "address": ADDRESS})
    assert clean.answers(ADDRESS)
    assert good({"vm": BARE_VM, "address": ADDRESS})["changed"] is False


def _conditions(live: Live) -> list[str]:
    status = (live.get("vm", BARE_VM) or {}).get("status") or {}
    return [one["type"] for one in status.get("conditions") or []]
