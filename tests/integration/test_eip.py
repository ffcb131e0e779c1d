# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ovn_eip on the lab: the life of an EIP, seen from outside by kubectl, ovn-nbctl, ping and the audit log.

The tests build upon each other's site, not upon each other's EIPs: each begins without any. After each step all NAT
rows and reroute policies are compared with what they should be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import yaml
from support.ansible import module
from support.commands import TOP
from support.eip_lab import frozen
from support.eip_nb import Site
from support.fleet import alone
from support.lab import Lab
from support.live import eventually

GATEWAYS = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
WORKER = "jah-k3s-l40s-001"
EIP = "ovn.kubernetes.io/eip"
ROUTED = "ovn.kubernetes.io/routed"
VM, POD, OTHER = "eip-vm", "eip-pod", "eip-other"
ONE, TWO, THREE = "10.4.19.171", "10.4.19.172", "10.4.19.173"
GATEWAY = {
    "enable-external-gw": "true",
    "type": "centralized",
    "external-gw-nodes": ",".join(GATEWAYS),
    "external-gw-nic": "enp8s0",
    "external-gw-addr": "10.4.19.1/24",
    "nic-ip": "10.4.19.254/24",
    "nic-mac": "16:52:f3:13:6a:25",
}


def eip(*eips: dict[str, str], check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's result."""
    return alone("ovn_eip", {"eips": list(eips), **options}, check)


def by_ansible(*eips: dict[str, str], check: bool = False) -> dict[str, Any]:
    """The same as users run it."""
    return module("kubeovn.core.ovn_eip", {"eips": list(eips)}, check=check)


def attach(name: str, address: str, **options: Any) -> dict[str, Any]:
    """The result for one holder; it must be a success."""
    result = eip({("vm" if name == VM else "pod"): name, "address": address}, **options)
    assert not result["failed"], result.get("msg")
    return result


def release(*names: str, **options: Any) -> dict[str, Any]:
    """Release whatever they have."""
    result = eip(*({("vm" if name == VM else "pod"): name} for name in names), state="absent", **options)
    assert not result["failed"], result.get("msg")
    return result


def actions(result: dict[str, Any]) -> list[str]:
    """What a run did besides claiming."""
    return [step["action"] for step in result["plan"] if "claim" not in step["action"]]


def claims(live: Site) -> dict[str, str]:
    """Who has which address, as the Leases say it."""
    columns = "custom-columns=N:.metadata.name,H:.spec.holderIdentity"
    lines = live.kubectl("get", "leases", "-n", "kubeovn-core", "--no-headers", "-o", columns).splitlines()
    return {name.removeprefix("eip-"): holder for name, holder in (line.split(None, 1) for line in lines if line)}


def pod(name: str) -> dict[str, Any]:
    """A plain pod on the worker, which has no external NIC."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": WORKER},
            "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
        },
    }


def machine() -> dict[str, Any]:
    """The example VM under another name."""
    text = (TOP / "tests" / "lab" / "manifests" / "vm.yml").read_text()
    vm: dict[str, Any] = yaml.safe_load(text.replace("testing", VM))
    vm["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"] = "5d307ca9-b3ef-428c-8861-06e72d69f171"
    return vm


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Site]:
    """A site with a gateway, a running VM and two pods, none of which has an EIP."""
    live = Site(lab)  # before anybody has an EIP
    if live.get("configmap", "ovn-external-gw-config", "kube-system") is None:
        metadata = {"name": "ovn-external-gw-config", "namespace": "kube-system"}
        live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": GATEWAY})
    live.apply(machine(), pod(POD), pod(OTHER))
    eventually(lambda: "ovn-cluster-external" in live.nbctl("show", "ovn-cluster"), bool, 60, "the router port")
    eventually(lambda: live.ping("10.4.19.254"), bool, 60, "the gateway answers from outside")
    eventually(lambda: live.launcher(VM), bool, 120, "the VM runs")
    for name in (POD, OTHER):
        eventually(partial(live.annotations, "pod", name), lambda found: ROUTED in found, 120, f"pod {name} runs")
    yield live
    release(VM, POD, OTHER)
    live.kubectl("delete", "vm,pod", "-n", "default", "--ignore-not-found", VM, POD, OTHER, "--wait=true")


@pytest.fixture
def clean(live: Site) -> Site:
    """Nobody has an EIP when the test begins: what the one before left is released first."""
    held = [rule for rule in live.rules() if rule[1] in (ONE, TWO, THREE)]
    noted = [EIP in live.annotations(*what) for what in (("vm", VM), ("pod", POD), ("pod", OTHER))]
    if held or any(noted):
        release(VM, POD, OTHER)
    live.becomes()
    return live


def overlay(live: Site, name: str) -> str:
    """The overlay address, from the pod's own annotation."""
    found = live.launcher(name) if name == VM else live.get("pod", name)
    assert found is not None
    return str(found["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"])


def leads(live: Site, address: str) -> list[str]:
    """Where an external address leads to."""
    return [logical for _type, external, logical in live.rules() if external == address]


# --- attaching ------------------------------------------------------------------------------------------------------


def test_a_vm_gets_its_eip_and_the_second_run_writes_nothing(clean: Site) -> None:
    ip = overlay(clean, VM)
    mark = clean.mark()
    foretold = by_ansible({"vm": VM, "address": ONE}, check=True)
    assert foretold["changed"] is True
    assert not clean.written(mark), "check mode writes nothing"
    clean.only()
    result = by_ansible({"vm": VM, "address": ONE})
    assert not result["failed"], result.get("msg")
    assert result["plan"] == foretold["plan"]
    events = clean.written(mark)
    assert [event["objectRef"]["resource"] for event in events] == [
        "leases",
        "virtualmachines",
        "virtualmachineinstances",
        "pods",
    ]
    assert claims(clean)[ONE] == f"VirtualMachine default/{VM}"
    annotations = events[3]["requestObject"]["metadata"]["annotations"]
    assert annotations == {EIP: ONE, ROUTED: None}, "both in one patch"
    clean.only((ONE, ip))
    assert clean.answers(ONE) == [62, 62, 62]
    (told,) = result["eips"]
    assert (told["status"], told["logical_ip"], told["node"]) == ("attached", ip, WORKER)
    assert told["nat_rule"]["external_ip"] == ONE

    mark, rows = clean.mark(), clean.rule_ids()
    again = attach(VM, ONE)
    assert (again["changed"], again["plan"]) == (False, [])
    assert not clean.written(mark)
    assert clean.rule_ids() == rows


def test_pods_and_a_vm_in_one_task(clean: Site) -> None:
    result = eip({"vm": VM, "address": ONE}, {"pod": POD, "address": TWO}, {"pod": OTHER, "address": THREE})
    assert not result["failed"], result.get("msg")
    assert [told["status"] for told in result["eips"]] == ["attached"] * 3
    clean.only(*((address, overlay(clean, name)) for name, address in ((VM, ONE), (POD, TWO), (OTHER, THREE))))
    for address in (ONE, TWO, THREE):
        assert clean.answers(address) == [62, 62, 62]


def test_a_restarted_vm_keeps_its_eip(clean: Site) -> None:
    attach(VM, ONE)
    before, ip = clean.launcher(VM), overlay(clean, VM)
    assert before is not None
    clean.only((ONE, ip))
    clean.kubectl("delete", "vmi", "-n", "default", VM, "--wait=false")
    eventually(
        lambda: clean.launcher(VM),
        lambda pod: pod and pod["metadata"]["uid"] != before["metadata"]["uid"],
        120,
        "another launcher pod",
    )
    assert overlay(clean, VM) == ip
    clean.only((ONE, ip))
    assert clean.answers(ONE) == [62, 62, 62]
    assert attach(VM, ONE)["changed"] is False
    clean.only((ONE, ip))


# --- changing -------------------------------------------------------------------------------------------------------


def test_a_changed_eip_leaves_no_rule_of_the_old_one(clean: Site) -> None:
    ip = overlay(clean, VM)
    attach(VM, ONE)
    clean.only((ONE, ip))
    assert clean.answers(ONE)
    result = attach(VM, TWO)
    assert actions(result)[-1] == "clean"
    clean.only((TWO, ip))
    assert clean.answers(TWO) == [62, 62, 62]
    assert clean.ping(ONE) == []
    assert clean.annotations("vm", VM)[EIP] == TWO
    assert clean.annotations("vmi", VM)[EIP] == TWO


def test_an_old_rule_that_kube_ovn_left_is_found_and_removed(clean: Site) -> None:
    ip = overlay(clean, POD)
    attach(POD, ONE)
    clean.only((ONE, ip))
    clean.patch("pod", POD, {"metadata": {"annotations": {EIP: TWO, ROUTED: None}}})
    eventually(lambda: leads(clean, TWO), bool, 30, "Kube-OVN's new rule")
    assert leads(clean, ONE), "Kube-OVN leaves the old one, or this test proves nothing"
    clean.only((ONE, ip), (TWO, ip))
    assert actions(attach(POD, TWO)) == ["clean"]
    clean.only((TWO, ip))


# --- what is there already ------------------------------------------------------------------------------------------


def test_a_held_address_is_refused_before_any_write(clean: Site) -> None:
    attach(VM, ONE)
    mark = clean.mark()
    both = ({"pod": POD, "address": ONE}, {"pod": OTHER, "address": TWO})
    result = eip(*both, all_or_nothing=True)
    assert result["failed"]
    (problem,) = result["problems"]
    assert problem["path"] == "eips[0].address"
    assert f"{ONE} is held by VirtualMachine default/{VM}" in problem["text"]
    assert not clean.written(mark)
    clean.only((ONE, overlay(clean, VM)))
    result = eip(*both)
    assert result["failed"]
    assert [told["status"] for told in result["eips"]] == ["detached", "attached"]
    assert [len(told["problems"]) for told in result["eips"]] == [1, 0]
    clean.only((ONE, overlay(clean, VM)), (TWO, overlay(clean, OTHER)))


def test_a_rule_deleted_by_hand_is_repaired_though_the_pod_says_routed(clean: Site) -> None:
    attach(VM, ONE)
    ip = overlay(clean, VM)
    clean.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", ONE)
    launcher = clean.launcher(VM)
    assert launcher is not None, "it says routed"
    clean.only(rerouted=[ip])
    assert actions(attach(VM, ONE)) == ["reroute_pod"]
    clean.only((ONE, ip))
    assert clean.answers(ONE) == [62, 62, 62]


def test_a_policy_with_another_next_hop_is_repaired(clean: Site) -> None:
    attach(POD, ONE)
    match = f"ip4.src == {overlay(clean, POD)}"
    clean.only((ONE, overlay(clean, POD)))
    clean.nbctl("lr-policy-del", "ovn-cluster", "29250", match)
    clean.nbctl("lr-policy-add", "ovn-cluster", "29250", match, "reroute", "10.4.19.29")
    assert actions(attach(POD, ONE)) == ["reroute_pod"]
    clean.only((ONE, overlay(clean, POD)))


def test_a_rule_that_leads_to_an_address_of_nobody_is_replaced(clean: Site) -> None:
    attach(VM, ONE)
    clean.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", ONE)
    clean.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", ONE, "10.253.255.7")
    clean.only(rules=[(ONE, "10.253.255.7")], rerouted=[overlay(clean, VM)])
    assert actions(attach(VM, ONE)) == ["clean", "reroute_pod"]
    clean.only((ONE, overlay(clean, VM)))
    assert clean.answers(ONE) == [62, 62, 62]


def test_somebody_elses_rule_is_neither_taken_nor_touched(clean: Site) -> None:
    clean.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", ONE, "10.253.255.8")
    try:
        result = eip({"pod": POD, "address": ONE})
        assert result["failed"]
        assert f"{ONE} is held by a NAT rule that leads to no pod" in result["msg"]
        clean.only(rules=[(ONE, "10.253.255.8")])
    finally:
        clean.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", ONE)


def test_eip_on_the_pod_alone_is_completed_on_template_and_instance(clean: Site) -> None:
    launcher = clean.launcher(VM)
    assert launcher is not None
    clean.patch("pod", launcher["metadata"]["name"], {"metadata": {"annotations": {EIP: ONE, ROUTED: None}}})
    ip = overlay(clean, VM)
    clean.becomes((ONE, ip))
    assert actions(attach(VM, ONE)) == ["annotate_template", "annotate_instance"]
    clean.only((ONE, ip))
    assert clean.annotations("vmi", VM)[EIP] == ONE


def test_the_second_holder_of_one_eip_is_refused_and_the_first_one_named(clean: Site) -> None:
    attach(POD, ONE)
    clean.patch("pod", OTHER, {"metadata": {"annotations": {EIP: ONE, ROUTED: None}}})
    eventually(lambda: clean.annotations("pod", OTHER).get(ROUTED), lambda routed: routed == "true", 30, "routed")
    first, second = overlay(clean, POD), overlay(clean, OTHER)
    clean.only((ONE, first), rerouted=[second])  # it is rerouted, without NAT: Kube-OVN breaks it
    result = eip({"pod": OTHER, "address": ONE})
    assert result["failed"]
    assert f"{ONE} is held by Pod default/{POD}" in result["msg"]
    clean.only((ONE, first), rerouted=[second])
    release(OTHER)
    clean.only((ONE, first))  # the first one's rule is not the second one's to release
    assert attach(POD, ONE)["changed"] is False
    clean.only((ONE, first))


def test_the_second_holder_does_not_get_the_eip_when_the_first_lets_go_before_a_run_sees_to_it(clean: Site) -> None:
    attach(POD, ONE)
    clean.patch("pod", OTHER, {"metadata": {"annotations": {EIP: ONE, ROUTED: None}}})
    eventually(lambda: clean.annotations("pod", OTHER).get(ROUTED), lambda routed: routed == "true", 30, "routed")
    ip = overlay(clean, OTHER)
    clean.only((ONE, overlay(clean, POD)), rerouted=[ip])
    release(POD)
    clean.only(rerouted=[ip])  # Kube-OVN does not look at the second one again, or this test proves nothing
    assert actions(attach(OTHER, ONE)) == ["reroute_pod"]
    clean.only((ONE, ip))
    assert clean.answers(ONE) == [62, 62, 62]


# --- releasing ------------------------------------------------------------------------------------------------------


def test_release_leaves_neither_annotation_nor_rule_nor_policy(clean: Site) -> None:
    attach(VM, ONE)
    assert clean.answers(ONE)
    ip = overlay(clean, VM)
    foretold = eip({"vm": VM}, state="absent", check=True)
    clean.only((ONE, ip))
    result = release(VM)
    assert result["plan"] == foretold["plan"]
    assert result["eips"][0]["status"] == "detached"
    assert result["eips"][0]["address"] == ONE
    clean.only()
    assert ONE not in claims(clean)
    launcher = clean.launcher(VM)
    assert launcher is not None
    for found in (clean.annotations("vm", VM), clean.annotations("vmi", VM), launcher["metadata"]["annotations"]):
        assert EIP not in found
    assert clean.ping(ONE) == []
    assert release(VM)["changed"] is False
    clean.only()


def test_release_of_an_address_that_the_holder_does_not_have_changes_nothing(clean: Site) -> None:
    attach(POD, ONE)
    assert eip({"pod": POD, "address": TWO}, {"pod": "nobody"}, state="absent")["changed"] is False
    clean.only((ONE, overlay(clean, POD)))


def test_a_stopped_vm_is_pending_holds_its_address_and_has_it_when_it_starts(clean: Site) -> None:
    attach(VM, ONE)
    ip = overlay(clean, VM)
    with stopped(clean):
        clean.only((ONE, ip))
        result = attach(VM, TWO)
        assert actions(result) == ["clean", "annotate_template"]
        assert result["eips"][0]["status"] == "pending"
        clean.only(rerouted=[ip])  # its overlay address is kept for it, and so is the way that it will take
        refused = eip({"pod": POD, "address": TWO})
        assert refused["failed"]
        assert f"VirtualMachine default/{VM}" in refused["msg"]
        clean.only(rerouted=[ip])
    assert overlay(clean, VM) == ip
    clean.only((TWO, ip))
    launcher = clean.launcher(VM)
    assert launcher is not None, "and nobody but KubeVirt has written its annotations:"
    assert clean.annotations("vmi", VM)[EIP] == launcher["metadata"]["annotations"][EIP] == TWO
    assert launcher["metadata"]["annotations"]["ovn.kubernetes.io/virtualmachine"] == VM
    assert f"{VM}.default" in clean.nbctl("--bare", "--columns=name", "list", "Logical_Switch_Port").split()
    assert clean.answers(TWO) == [62, 62, 62]
    assert attach(VM, TWO)["changed"] is False
    clean.only((TWO, ip))


def test_release_from_a_stopped_vm_takes_what_it_left_in_ovn(clean: Site) -> None:
    attach(VM, ONE)
    ip = overlay(clean, VM)
    with stopped(clean):
        clean.only((ONE, ip))  # Kube-OVN leaves it, or this test proves nothing
        assert release(VM)["changed"] is True
        clean.only()
        assert release(VM)["changed"] is False
    clean.only()


def test_what_a_deleted_vm_left_goes_with_its_address(clean: Site) -> None:
    attach(VM, ONE)
    ip = overlay(clean, VM)
    with stopped(clean):
        clean.kubectl("delete", "vm", "-n", "default", VM, "--wait=true")
        eventually(lambda: clean.get("ips.kubeovn.io", f"{VM}.default"), lambda found: found is None, 60, "IP is free")
        clean.only((ONE, ip))  # Kube-OVN leaves it, or this test proves nothing
        result = eip({"vm": VM, "address": ONE}, state="absent")
        assert not result["failed"], result.get("msg")
        clean.only()
        clean.apply(machine())


@contextmanager
def stopped(live: Site) -> Iterator[None]:
    """The VM is off meanwhile."""
    live.patch("vm", VM, {"spec": {"runStrategy": "Halted"}})
    eventually(lambda: live.get("vmi", VM), lambda found: found is None, 90, "no instance")
    pods = ("get", "pods", "-n", "default", "-l", f"vm.kubevirt.io/name={VM}", "-o", "name")
    eventually(lambda: live.kubectl(*pods).strip(), lambda found: "pod/" not in found, 90, "no launcher pod")
    yield
    live.patch("vm", VM, {"spec": {"runStrategy": "Always"}})
    eventually(lambda: live.launcher(VM), bool, 120, "the VM runs again")


# --- bad input and faults -------------------------------------------------------------------------------------------


def test_bad_input_is_refused_at_once_with_each_path(clean: Site) -> None:
    mark = clean.mark()
    result = eip(
        {"vm": VM, "address": "10.4.19.254"},
        {"pod": POD, "address": "10.4.20.9"},
        {"pod": "nobody", "address": THREE},
        {"vm": "nobody", "address": THREE},
        {"pod": OTHER, "vm": VM, "address": TWO},
        {"pod": OTHER},
        {"pod": OTHER, "address": "10.4.19.300"},
    )
    assert result["failed"]
    assert sorted(problem["path"] for problem in result["problems"]) == [
        "eips[0].address",
        "eips[1].address",
        "eips[2].pod",
        "eips[3].address",
        "eips[3].vm",
        "eips[4]",
        "eips[5].address",
        "eips[6].address",
    ]
    assert not clean.written(mark)
    clean.only()


def test_the_launcher_pod_itself_is_refused(clean: Site) -> None:
    launcher = clean.launcher(VM)
    assert launcher is not None
    result = eip({"pod": launcher["metadata"]["name"], "address": ONE})
    assert result["failed"]
    assert f"use vm: {VM}" in result["msg"]
    clean.only()


def test_without_a_gateway_configured_it_says_so(clean: Site) -> None:
    admin = os.environ["KUBECONFIG_ADMIN"]  # the collection's own identity may not read ConfigMaps elsewhere
    result = eip({"pod": POD, "address": ONE}, configmap_namespace="default", kubeconfig=admin)
    assert result["failed"]
    assert "no external gateway is configured" in result["msg"]
    assert "kubeovn.core.ovn_external_gw" in result["msg"]
    clean.only()


def test_a_stopped_controller_is_named_at_the_deadline(clean: Site) -> None:
    ip = overlay(clean, POD)
    with frozen(clean, "kube-ovn-controller"):
        result = eip({"pod": POD, "address": ONE}, wait_timeout=3)
        assert result["failed"]
        assert f"{ONE} of Pod default/{POD}" in result["msg"]
        assert "is kube-ovn-controller running?" in result["msg"]
        assert result["changed"] is True
        clean.only()
    clean.becomes((ONE, ip))  # the controller catches up
    assert attach(POD, ONE)["changed"] is False
    clean.only((ONE, ip))


def test_an_identity_without_rights_is_refused_before_any_write(clean: Site) -> None:
    rows = clean.rule_ids()
    result = eip({"vm": VM, "address": ONE}, kubeconfig=os.environ["LAB_READER_KUBECONFIG"])
    assert result["failed"]
    paths = [problem["path"] for problem in result["problems"]]
    assert paths == [
        "create leases.coordination.k8s.io",
        "patch virtualmachines.kubevirt.io",
        "patch virtualmachineinstances.kubevirt.io",
        "patch pods",
    ]
    assert "docs/rbac.yml" in result["msg"]
    assert clean.rule_ids() == rows
    clean.only()
    assert EIP not in clean.annotations("vm", VM)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "https://127.0.0.1:1"}, "the API server https://127.0.0.1:1 does not answer"),
        ({"nb_endpoint": "tcp:127.0.0.1:1", "ovn_timeout": 2}, "nb_endpoint"),
    ],
)
def test_a_server_that_does_not_answer_is_named(clean: Site, options: dict[str, Any], words: str) -> None:
    mark = clean.mark()
    result = eip({"pod": POD, "address": ONE}, **options)
    assert result["failed"]
    assert words in result["msg"]
    assert not clean.written(mark)
    clean.only()


def test_ovn_is_reached_through_its_pod_too(clean: Site) -> None:
    result = attach(POD, ONE, ovn_connection="exec")
    assert result["eips"][0]["status"] == "attached"
    clean.only((ONE, overlay(clean, POD)))
    assert release(POD, ovn_connection="exec")["changed"] is True
    clean.only()
