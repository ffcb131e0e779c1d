# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes objects as records: what is there, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._model import GatewayNode, PodView, Workload
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    deployment_view,
    endpoint_addresses,
    gateway_node,
    kept_addresses,
    kube_ovn_versions,
    launcher_sync,
    pod_view,
    vm_view,
)

OWNER = {"kind": "VirtualMachineInstance", "name": "testing"}


def pod(notes: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "shop", "annotations": notes, **metadata},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running"},
    }


def test_a_pod_with_everything() -> None:
    notes = {
        "ovn.kubernetes.io/ip_address": "10.253.0.11",
        "ovn.kubernetes.io/eip": "10.4.19.101",
        "ovn.kubernetes.io/snat": "10.4.19.102",
        "ovn.kubernetes.io/north_gateway": "10.253.0.1",
        "ovn.kubernetes.io/routed": "true",
        "ovn.kubernetes.io/virtualmachine": "testing",
        "ovn.kubernetes.io/logical_router": "ovn-cluster",
        "net1.default.ovn.kubernetes.io/logical_router": "ovn-cluster",
        "net1.default.ovn.kubernetes.io/ip_address": "10.251.0.2",
        "net2.default.ovn.kubernetes.io/logical_router": "vpc1",
        "net2.default.ovn.kubernetes.io/ip_address": "10.9.0.2",
    }
    view = pod_view(pod(notes, uid="u", deletionTimestamp="2026-01-01T00:00:00Z", ownerReferences=[OWNER]))
    assert view == PodView(
        namespace="shop",
        name="p",
        uid="u",
        node="n1",
        phase="Running",
        ip="10.253.0.11",
        eip="10.4.19.101",
        routed=True,
        vm="testing",
        deleting=True,
        snat="10.4.19.102",
        north_gateway="10.253.0.1",
        vpc="ovn-cluster",
        extra_nics=("net1.default.ovn",),
        extra_ips=("10.251.0.2",),
        launched=True,
    )
    assert view.logical_port == "testing.shop"


def test_a_pod_with_nothing() -> None:
    view = pod_view({"metadata": {"name": "p", "namespace": "shop", "annotations": None}, "spec": None})
    assert view == PodView("shop", "p", "", None, "", None, None, False, None)
    assert view.logical_port == "p.shop"


ASKS = {"ovn.kubernetes.io/eip": "10.4.19.101"}


def written(time: str, *keys: str) -> dict[str, Any]:
    """What the API notes of a manager that has written these annotations, or something else."""
    fields: dict[str, Any] = {
        "f:metadata": {"f:annotations": {".": {}, **{f"f:ovn.kubernetes.io/{key}": {} for key in keys}}}
    }
    return {"manager": "m", "time": time, "fieldsV1": fields if keys else {"f:status": {}}}


@pytest.mark.parametrize(
    ("notes", "managed", "expected"),
    [
        (ASKS, [written("T2", "eip", "routed"), written("T3", "ip_address"), written("T4")], "T2"),
        (ASKS, [written("T2", "eip"), written("T5", "eip")], "T5"),
        (ASKS, [written("T2", "eip"), written("T5", "snat")], "T2"),
        ({"ovn.kubernetes.io/snat": "10.4.19.101"}, [written("T2", "snat")], "T2"),
        (ASKS, [], "T1"),
        (ASKS, None, "T1"),
        ({}, [written("T2", "eip")], None),
        ({**ASKS, "ovn.kubernetes.io/routed": "true"}, [written("T2", "eip")], None),
    ],
)
def test_since_when_a_pod_asks_that_is_not_routed(notes: dict[str, str], managed: Any, expected: str | None) -> None:
    assert pod_view(pod(notes, creationTimestamp="T1", managedFields=managed)).asked_since == expected


def test_a_pod_of_which_no_time_is_known_asks_since_none() -> None:
    assert pod_view(pod(ASKS)).asked_since is None


def test_an_empty_annotation_is_none() -> None:
    view = pod_view(pod({"ovn.kubernetes.io/eip": "", "ovn.kubernetes.io/routed": "false"}))
    assert (view.eip, view.routed) == (None, False)


@pytest.mark.parametrize(("kind", "passing"), [("DaemonSet", "DaemonSet"), ("Job", "Job"), ("StatefulSet", None)])
def test_a_pod_whose_name_does_not_come_back_says_so(kind: str, passing: str | None) -> None:
    assert pod_view(pod(ownerReferences=[{"kind": kind, "name": "x"}])).passing == passing


def test_a_launcher_pod_is_known_by_its_owner_too() -> None:
    before = pod_view(pod(ownerReferences=[{"kind": "Job", "name": "x"}, OWNER]))
    assert (before.vm, before.own_port) == ("testing", False)  # no address yet: it is not known which port it gets
    own = pod_view(pod({"ovn.kubernetes.io/ip_address": "10.253.0.11"}, ownerReferences=[OWNER]))
    assert (own.vm, own.own_port, own.logical_port) == ("testing", True, "p.shop")


def test_machines_running_stopped_and_ended() -> None:
    template = {"metadata": {"annotations": {"ovn.kubernetes.io/eip": "10.4.19.101"}}}
    vm = {"metadata": {"name": "testing", "namespace": "d", "uid": "u"}, "spec": {"template": template}}
    vmi = {
        "metadata": {"uid": "i", "annotations": {"ovn.kubernetes.io/eip": "10.4.19.102"}},
        "status": {"phase": "Running", "nodeName": "n1"},
    }
    running = Workload("d", "testing", "u", "10.4.19.101", True, "10.4.19.102", node="n1", instance_uid="i")
    assert vm_view(vm, vmi) == running
    assert vm_view(vm, None) == Workload("d", "testing", "u", "10.4.19.101", False, None)
    assert vm_view(vm, {**vmi, "status": {"phase": "Failed"}}).running is False
    assert vm_view({"metadata": {"name": "a", "namespace": "d"}}, None).template_eip is None


def test_a_deployment_that_no_eip_can_be_given_by_its_template() -> None:
    metadata, template = {"name": "shop", "namespace": "d", "uid": "u"}, {"spec": {"hostNetwork": True}}
    view = deployment_view({"metadata": metadata, "spec": {"template": template, "paused": True}})
    assert (view.host_network, view.paused) == (True, True)
    view = deployment_view({"metadata": metadata, "spec": {"template": {"spec": {}}}})
    assert (view.host_network, view.paused) == (False, False)


def test_nodes() -> None:
    node = {
        "metadata": {
            "name": "n1",
            "labels": {"ovn.kubernetes.io/external-gw": "false"},
            "annotations": {"ovn.kubernetes.io/chassis": "c1"},
        },
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "Unknown"}],
            "addresses": [
                {"type": "InternalIP", "address": "10.4.18.11"},
                {"type": "ExternalIP", "address": "10.4.19.11"},
                {"type": "Hostname", "address": "n1"},
            ],
        },
    }
    assert gateway_node(node) == GatewayNode("n1", False, "false", "c1", ("10.4.18.11",), ("10.4.19.11",))
    node["status"]["conditions"][1]["status"] = "True"  # type: ignore[index]
    assert gateway_node(node).ready
    assert gateway_node({"metadata": {"name": "n2"}}) == GatewayNode("n2", False, None, None)


def test_a_services_endpoints_are_each_named_once() -> None:
    slices: list[dict[str, Any]] = [
        {"endpoints": [{"addresses": ["10.4.18.2", "10.4.18.1"]}, {"addresses": None}]},
        {"endpoints": [{"addresses": ["10.4.18.1"]}]},
        {"endpoints": None},  # as the API server tells of a service without any
    ]
    assert endpoint_addresses(slices) == ["10.4.18.1", "10.4.18.2"]


def test_kept_addresses_are_those_of_the_default_vpc() -> None:
    subnets = [
        {"metadata": {"name": "ovn-default"}, "spec": {"vpc": "ovn-cluster"}},
        {"metadata": {"name": "old"}, "spec": {}},
        {"metadata": {"name": "theirs"}, "spec": {"vpc": "vpc1"}},
    ]

    def ip(subnet: str, address: str, name: str, namespace: str = "d", v6: str = "") -> dict[str, Any]:
        spec = {"subnet": subnet, "v4IpAddress": address, "v6IpAddress": v6, "podName": name, "namespace": namespace}
        return {"metadata": {"name": name}, "spec": spec}

    ips = [
        ip("ovn-default", "10.253.0.11", "testing", v6="fd00::11"),
        ip("old", "10.253.0.12", "p"),
        ip("theirs", "10.253.0.11", "foreign"),
        ip("ovn-default", "100.64.0.2", "node-n1", namespace=""),  # a node's, nobody's
    ]
    assert kept_addresses(ips, subnets) == {
        "10.253.0.11": ("d", "testing"),
        "fd00::11": ("d", "testing"),
        "10.253.0.12": ("d", "p"),
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], set()),
        (["virt-controller", "--additional-launcher-annotations-sync=a/eip,a/snat"], {"a/eip", "a/snat"}),
        (["--additional-launcher-annotations-sync", "a/eip", "-v", "2"], {"a/eip"}),
        (
            ["--additional-launcher-annotations-sync=a/eip", "--additional-launcher-annotations-sync=a/snat"],
            {"a/eip", "a/snat"},
        ),
        (["--additional-launcher-labels-sync=a/eip"], set()),
    ],
)
def test_what_virt_controller_copies_to_launcher_pods(words: list[str], found: set[str]) -> None:
    container = {"name": "virt-controller", "command": words[:1], "args": words[1:]}
    spec = {"template": {"spec": {"containers": [container]}}}
    kubevirt = {"metadata": {"name": "virt-controller", "namespace": "kubevirt"}, "spec": spec}
    other = {"metadata": {"name": "shop", "namespace": "kubevirt"}, "spec": spec}
    assert launcher_sync([kubevirt]) == found
    assert launcher_sync([other]) == set()


def image(text: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "kube-system", "labels": labels},
        "spec": {"containers": [{"image": text}]},
    }


def test_the_version_of_kube_ovn_is_that_of_its_images() -> None:
    pods = [
        image("docker.io/kubeovn/kube-ovn:v1.14.10", component="network"),
        image("registry.local:5000/kubeovn/kube-ovn:v1.15.0@sha256:0123", component="network"),
        image("docker.io/kubeovn/kube-ovn@sha256:0123", component="network"),
        image("docker.io/kubeovn/vpc-nat-gateway:v1.13.0", component="network"),
        image("docker.io/somebody/kube-ovn:v0.1"),
        {"metadata": {"name": "p", "namespace": "default"}, "spec": None},
    ]
    assert kube_ovn_versions(pods) == ("v1.14.10", "v1.15.0")
