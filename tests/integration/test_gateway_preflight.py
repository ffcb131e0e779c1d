# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovn_external_gw refuses before its first write: each finding provoked on the lab, by options or by its state.

Nothing of NB and nothing in the API server may have changed after a refusal; ovn-nbctl and the audit log tell.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

import pytest
from support.ansible import module
from support.gateway_truth import G1, G2, G3, LABEL, SITE, Truth
from support.lab import Lab
from support.live import eventually

WORKER = "jah-k3s-l40s-001"
CENTRAL = "lab-central"  # a node that kwok plays: no Open vSwitch, so no chassis
DEAD, LOST = "lab-dead", "lab-lost"  # Nodes that this file makes
CHASSIS = "ovn.kubernetes.io/chassis"
EIP, HELD = "10.4.19.199", "10.253.255.9"
OTHER_PORT, OTHER_MAC, OTHER_ADDRESS = "lab-preflight", "0a:00:00:00:00:77", "10.4.19.77"
HOLDER_MAC = "0a:00:00:00:00:99"
OVN_EIP = "10.4.19.88"
PUBLIC = "10.4.19.66"  # of a Node
V6 = {"gateway": "fd00:19::1/64", "nic_ip": "fd00:19::254/64"}
DUAL = {"gateway": "10.4.19.1/24,fd00:19::1/64", "nic_ip": "10.4.19.254/24,fd00:19::254/64"}


def push(check: bool = False, **changes: Any) -> dict[str, Any]:
    return module("kubeovn.core.ovn_external_gw", {**SITE, **changes}, check=check)


def kube_ovn(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubeovn.io/v1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def node(name: str, chassis: str | None) -> dict[str, Any]:
    """A Node without a machine: never Ready."""
    notes = {CHASSIS: chassis} if chassis else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": notes}}


@pytest.fixture(scope="module")
def gateway(lab: Lab) -> Truth:
    """The lab with the gateway as the example site has it."""
    truth = Truth(lab)
    made = push()
    assert not made["failed"], made["msg"]
    return truth


@pytest.fixture(scope="module")
def crowded(gateway: Truth) -> Generator[Truth, None, None]:
    """The same, and things in the way: an EIP, another router port, an OvnEip, Nodes that are no machines."""
    unlike = "00000000-0000-4000-8000-000000000000"
    try:
        gateway.apply(node(DEAD, None), node(LOST, unlike), kube_ovn("OvnEip", "lab-preflight", {"v4Ip": OVN_EIP}))
        addresses = {"status": {"addresses": [{"type": "ExternalIP", "address": PUBLIC}]}}
        gateway.kubectl("patch", "node", DEAD, "--subresource=status", "--type=merge", "-p", json.dumps(addresses))
        gateway.nbctl("--may-exist", "lrp-add", "ovn-cluster", OTHER_PORT, OTHER_MAC, f"{OTHER_ADDRESS}/32")
        gateway.nbctl("--may-exist", "ls-add", OTHER_PORT, "--", "--may-exist", "lsp-add", OTHER_PORT, "lab-holder")
        gateway.nbctl("--may-exist", "lr-nat-add", "ovn-cluster", "dnat_and_snat", EIP, HELD, "lab-holder", HOLDER_MAC)
        settle(gateway)
        yield gateway
    finally:
        gateway.nbctl("--if-exists", "lr-nat-del", "ovn-cluster", "dnat_and_snat", EIP)
        gateway.nbctl("--if-exists", "lrp-del", OTHER_PORT, "--", "--if-exists", "ls-del", OTHER_PORT)
        gateway.kubectl("delete", "node", DEAD, LOST, "--ignore-not-found")
        gateway.kubectl("delete", "ovn-eip", "lab-preflight", "--ignore-not-found")


def settle(truth: Truth) -> None:
    """Wait until Kube-OVN has made of new objects what it makes of them."""
    seen: list[object] = []

    def again() -> bool:
        seen.append(truth.northbound())
        return len(seen) > 3 and all(one == seen[-1] for one in seen[-3:])

    eventually(again, bool, what="NB stays as it is")


def refused(truth: Truth, **changes: Any) -> dict[str, Any]:
    """The answer to a task that must be refused, with nothing written."""
    before, since = truth.northbound(), truth.log_length()
    result = push(**changes)
    assert result["failed"]
    assert not result["changed"]
    assert truth.written(since) == []
    assert truth.northbound() == before
    assert all(one["path"] in result["msg"] and one["text"] in result["msg"] for one in result["problems"])
    assert all(one["hint"] for one in result["problems"])
    return result


def told(result: Mapping[str, Any], path: str) -> str:
    """What was said of one option or object, and what would be right."""
    found = [f"{one['text']} ({one['hint']})" for one in result["problems"] if one["path"] == path]
    assert found, f"nothing about {path} in {result['problems']}"
    return "; ".join(found)


# --- options, and what is in their way --------------------------------------------------------------------------------


# A task's options, and what is said of them: path and words. The findings of one task come all at once.
REFUSALS: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    (
        "nodes that cannot be gateways, and whatever else is wrong",
        {
            "nodes": [G1, "nobody", DEAD, CENTRAL, LOST, G1],
            "drained": [WORKER],
            "nic": "enp8s0/1",
            "nic_ip": f"{OTHER_ADDRESS}/24",
            "nic_mac": OTHER_MAC,
            "bfd": {"min_rx": 0, "multiplier": 256},
        },
        [
            ("nodes[1]", "no node 'nobody'"),
            ("nodes[2]", "is not Ready, and no gateway yet"),
            ("nodes[3]", f"no annotation {CHASSIS}"),
            ("nodes[4]", "is not in OVN's southbound database"),
            ("nodes[5]", "stands in nodes[0] already"),
            ("drained[0]", "is not in nodes"),
            ("nic", "enp8s0/1"),
            ("nic_ip", f"the address of router port {OTHER_PORT}"),
            ("nic_mac", f"is in use by router port {OTHER_PORT}"),
            ("bfd.min_rx", "is not from 1 to 60000"),
            ("bfd.multiplier", "is not from 1 to 255"),
        ],
    ),
    (
        "outside the network",
        {"nic_ip": "10.4.20.254/24", "nic_mac": HOLDER_MAC, "drained": [G1, G2, G3]},
        [
            ("nic_ip", "is not in the gateway's network 10.4.19.0/24"),
            ("nic_mac", f"is in use by EIP {EIP}"),
            ("drained", "all gateways are drained"),
        ],
    ),
    (
        "the gateway itself",
        {"nic_ip": "10.4.19.1/24", "nic_mac": "17:52:f3:13:6a:25"},
        [("nic_ip", "is the physical gateway's address"), ("nic_mac", "17:52:f3:13:6a:25")],
    ),
    ("network address", {"nic_ip": "10.4.19.0/24"}, [("nic_ip", "10.4.19.0")]),
    ("broadcast address", {"nic_ip": "10.4.19.255/24"}, [("nic_ip", "10.4.19.255")]),
    (
        "a node's address",
        {"gateway": "10.4.18.1/24", "nic_ip": "10.4.18.21/24"},
        [("nic_ip", f"the address of node {WORKER}")],
    ),
    ("a node's ExternalIP", {"nic_ip": f"{PUBLIC}/24"}, [("nic_ip", f"the address of node {DEAD}")]),
    (
        "an EIP, twice",
        {"nic_ip": f"{EIP}/24", "gateway": f"{EIP}/24"},
        [("nic_ip", "is an EIP in use"), ("gateway", "is an EIP in use")],
    ),
    ("an OvnEip", {"nic_ip": f"{OVN_EIP}/24"}, [("nic_ip", "the address of OvnEip lab-preflight")]),
    (
        "the overlay",
        {"gateway": "10.253.0.9/24", "nic_ip": "10.253.0.8/24"},
        [("nic_ip", "overlaps subnet ovn-default")],
    ),
    ("EIPs left outside", {"gateway": "10.4.19.1/25", "nic_ip": "10.4.19.120/25"}, [("nic_ip", EIP)]),
    ("IPv6", V6, [("gateway", "IPv4 only"), ("nic_ip", "IPv4 only")]),
    ("dual stack", DUAL, [("gateway", "IPv4 only"), ("nic_ip", "IPv4 only")]),
    ("disruption", {"nodes": [G2, G1, G3], "max_disruption": "none"}, [("max_disruption", "this interrupts")]),
]


@pytest.mark.parametrize(("changes", "findings"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refused(crowded: Truth, changes: dict[str, Any], findings: list[tuple[str, str]]) -> None:
    result = refused(crowded, **changes)
    for path, words in findings:
        assert words in told(result, path)


def test_check_mode_refuses_the_same(crowded: Truth) -> None:
    changes: dict[str, Any] = {"nodes": [G1, "nobody"], "nic_ip": "10.4.19.255/24"}
    assert push(check=True, **changes)["problems"] == refused(crowded, **changes)["problems"]


def test_the_router_ports_address_may_be_the_source_of_pods_connections(gateway: Truth) -> None:
    assert not push()["failed"]  # whatever the tests before this one have left
    gateway.nbctl("--may-exist", "lr-nat-add", "ovn-cluster", "snat", SITE["nic_ip"].split("/")[0], "10.253.255.0/30")
    try:
        result = push()
    finally:
        gateway.nbctl("--if-exists", "lr-nat-del", "ovn-cluster", "snat", "10.253.255.0/30")
    assert (result["failed"], result["changed"]) == (False, False)


# --- the site itself --------------------------------------------------------------------------------------------------


def test_a_chassis_with_another_hostname_is_refused(gateway: Truth) -> None:
    def name_it(hostname: str) -> None:
        gateway.lab.run("node", WORKER, "--", "ovs-vsctl", "set", "open", ".", f"external_ids:hostname={hostname}")
        eventually(
            lambda: gateway.sbctl("--bare", "--columns=hostname", "list", "chassis"), lambda all_: hostname in all_
        )

    name_it("stranger")
    try:
        text = told(refused(gateway, nodes=[G1, WORKER]), "nodes[1]")
    finally:
        name_it(WORKER)
    assert "calls itself 'stranger'" in text


@pytest.mark.parametrize("subnets", [["lab-none"], []])
def test_a_default_vpc_with_subnets_of_its_own_is_refused(gateway: Truth, subnets: list[str]) -> None:
    gateway.kubectl("patch", "vpc", "ovn-cluster", "--type=merge", "-p", extra(subnets))
    try:
        settle(gateway)
        result = refused(gateway, nodes=[G2, G1])
    finally:
        gateway.kubectl("patch", "vpc", "ovn-cluster", "--type=merge", "-p", extra(None))
    assert "Kube-OVN then ignores ovn-external-gw-config" in told(result, "vpc ovn-cluster")
    assert f"spec.extraExternalSubnets: {subnets[0] if subnets else '[]'}" in told(result, "vpc ovn-cluster")


def extra(subnets: list[str] | None) -> str:
    return json.dumps({"spec": {"extraExternalSubnets": subnets}})


def test_a_controller_that_ignores_eips_is_refused(gateway: Truth) -> None:
    with gateway.started_with("--enable-eip-snat=false"):
        result = refused(gateway, nodes=[G2, G1])
    assert "--enable-eip-snat=false" in told(result, "kube-ovn-controller")
    with gateway.started_with("--enable-eip-snat=true"):
        assert not push()["failed"]


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        pytest.param({"cidrBlock": "10.4.19.0/24"}, "switch", "has no vlan", id="an overlay subnet"),
        pytest.param({"vlan": "lab-none", "cidrBlock": "10.4.20.0/24"}, "gateway", "is not of Subnet", id="network"),
        pytest.param(
            {"vlan": "lab-none", "cidrBlock": "10.4.19.0/24", "gateway": "10.4.19.2"},
            "gateway",
            "is not the gateway of Subnet",
            id="gateway",
        ),
    ],
)
def test_a_subnet_that_says_something_else_is_refused(
    gateway: Truth, spec: dict[str, Any], path: str, words: str
) -> None:
    """Its VPC does not exist, so Kube-OVN makes nothing of it; but when it goes the switch of that name goes too."""
    gateway.apply(kube_ovn("Subnet", "external", {"protocol": "IPv4", "vpc": "lab-none", **spec}))
    try:
        settle(gateway)
        result = refused(gateway, nodes=[G2, G1])
    finally:
        gateway.kubectl("delete", "subnet", "external")
        settle(gateway)
        assert not push()["failed"]
    assert words in told(result, path)


@pytest.mark.parametrize("label", ["ovn-nb-leader", "ovn-sb-leader"])
def test_a_database_without_a_leader_is_refused(gateway: Truth, label: str) -> None:
    """OVN central's pod has lost the label by which Kube-OVN names the leader."""
    pod = ("label", "pod", "-n", "kube-system", "-l", "app=ovn-central", "--overwrite")
    gateway.kubectl(*pod, f"{label}-")
    try:
        result = refused(gateway, nodes=[G2, G1], ovn_connection="exec")
    finally:
        gateway.kubectl(*pod, f"{label}=true")
    assert f"no ready pod with label {label}=true in namespace kube-system" in result["msg"]
    assert "give nb_endpoint and sb_endpoint" in result["msg"]
    assert not push(ovn_connection="exec")["failed"]


def test_a_labelled_node_that_stops_the_controller_is_refused(crowded: Truth) -> None:
    """Only while the controller has something to make: the gateway at rest is left alone."""
    crowded.kubectl("label", "node", LOST, f"{LABEL}=true")
    try:
        settle(crowded)
        text = told(refused(crowded, nodes=[G2, G1]), f"node {LOST}")
        unchanged = push()
    finally:
        crowded.kubectl("label", "node", LOST, f"{LABEL}-")
    assert "its chassis is not in OVN's southbound database" in text
    assert (unchanged["failed"], unchanged["changed"]) == (False, False)


def test_distributed_without_the_nic_where_an_eip_lives_is_refused(gateway: Truth) -> None:
    notes = {"ovn.kubernetes.io/eip": "10.4.19.198"}
    spec = {"nodeName": WORKER, "containers": [{"name": "main", "image": "none"}]}
    metadata = {"name": "lab-preflight", "namespace": "default", "annotations": notes}
    gateway.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        bound = ("--bare", "--columns=chassis", "find", "port_binding", "logical_port=lab-preflight.default")
        eventually(lambda: gateway.sbctl(*bound), bool, what="the pod's port is bound to its node")
        rule = ("--bare", "--columns=external_ip", "list", "NAT")
        eventually(lambda: gateway.nbctl(*rule), lambda all_: "10.4.19.198" in all_, what="the EIP's NAT row")
        settle(gateway)
        text = told(refused(gateway, type="distributed"), "type")
    finally:
        gateway.kubectl("delete", "pod", "-n", "default", "lab-preflight")
    assert "EIP 10.4.19.198" in text
    assert f"on node {WORKER}, which is not in nodes" in text
