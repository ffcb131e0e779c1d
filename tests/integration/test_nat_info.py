# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules ovn_nat_info and ovn_nat_facts on the lab, over both ways to OVN, beside what kubectl and ovn-nbctl say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound, open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from support.ansible import module
from support.lab import Lab
from support.live import Live, eventually

INFO, FACTS = "kubeovn.core.ovn_nat_info", "kubeovn.core.ovn_nat_facts"
POD, ADDRESS = "nat-info-pod", "10.4.19.181"
LEFTOVER, NOBODY = "10.4.19.182", "10.253.255.250"
GATEWAYS = ["jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003"]
WORKER = "jah-k3s-l40s-001"
EXEC = {"ovn_connection": "exec"}
CONFIG_MAP = {
    "enable-external-gw": "true",
    "type": "centralized",
    "external-gw-nodes": ",".join(GATEWAYS),
    "external-gw-nic": "enp8s0",
    "external-gw-addr": "10.4.19.1/24",
    "nic-ip": "10.4.19.254/24",
    "nic-mac": "16:52:f3:13:6a:25",
}


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway, a pod with an EIP made by Kube-OVN alone, and a NAT row that nobody holds."""
    live = Live(lab)
    if live.get("configmap", "ovn-external-gw-config", "kube-system") is None:
        metadata = {"name": "ovn-external-gw-config", "namespace": "kube-system"}
        live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": CONFIG_MAP})
    eventually(
        lambda: live.nbctl("show", "ovn-cluster"), lambda text: "ovn-cluster-external" in text, 60, "router port"
    )
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": POD, "namespace": "default", "annotations": {"ovn.kubernetes.io/eip": ADDRESS}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": WORKER},
                "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
            },
        }
    )
    eventually(live.rules, lambda rules: any(rule[1] == ADDRESS for rule in rules), 120, "the pod's NAT row")
    eventually(lambda: (live.get("pod", POD) or {})["status"].get("phase"), lambda phase: phase == "Running", 120, POD)
    live.nbctl("--may-exist", "lr-nat-add", "ovn-cluster", "dnat_and_snat", LEFTOVER, NOBODY)
    yield live
    live.nbctl("--if-exists", "lr-nat-del", "ovn-cluster", "dnat_and_snat", LEFTOVER)
    live.kubectl("delete", "pod", "-n", "default", POD, "--wait=true")


def info(options: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    """The module's result; it must be a success."""
    result = module(INFO, options, **how)
    assert not result["failed"], result.get("msg")
    return result


@pytest.mark.parametrize("way", [{}, EXEC], ids=["tcp", "exec"])
def test_what_is_told_is_what_kubectl_and_nbctl_say(live: Live, way: dict[str, Any]) -> None:
    told = info(way)
    assert told["changed"] is False
    assert told["cluster"] == os.environ["LAB_API_URL"]
    assert [row["node"] for row in told["gateways"]] == GATEWAYS
    for row in told["gateways"]:
        node = live.get("node", row["node"])
        assert node is not None
        assert row["chassis"] == node["metadata"]["annotations"]["ovn.kubernetes.io/chassis"]
        assert row["ready"] is True
    assert [row["priority"] for row in told["gateways"]] == [100, 99, 98]
    holder = live.lab.run(
        *("sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", "logical_port=cr-ovn-cluster-external")
    )
    hostname = live.lab.run("sbctl", "--bare", "get", "Chassis", holder.strip(), "hostname").strip().strip('"')
    assert told["active_gateway"] == hostname
    assert [row["node"] for row in told["gateways"] if row["active"]] == [hostname]
    mac = live.nbctl("get", "Logical_Router_Port", "ovn-cluster-external", "mac").strip().strip('"')
    assert told["router_port"] == {"name": "ovn-cluster-external", "mac": mac, "networks": ["10.4.19.254/24"]}
    switch = told["external_switch"]
    assert {"name": "localnet.external", "type": "localnet", "options": {"network_name": "external"}} in switch["ports"]
    assert sorted((row["type"], row["external_ip"], row["logical_ip"]) for row in told["nat_rules"]) == live.rules()


@pytest.mark.parametrize("way", [{}, EXEC], ids=["tcp", "exec"])
def test_a_rule_names_its_holder_and_a_leftover_nobody(live: Live, way: dict[str, Any]) -> None:
    own, leftover = info({"addresses": [LEFTOVER, ADDRESS, "10.4.19.183"], **way})["nat_rules"]
    pod = live.get("pod", POD)
    assert pod is not None
    ip = pod["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"]
    policy = {"priority": 29250, "match": f"ip4.src == {ip}", "action": "reroute", "nexthops": ["10.4.19.1"]}
    holder = {"kind": "Pod", "namespace": "default", "name": POD}
    expected = {
        "external_ip": ADDRESS,
        "logical_ip": ip,
        "holder": holder,
        "pod": POD,
        "node": WORKER,
        "policy": policy,
    }
    assert {key: own[key] for key in expected} == expected
    assert (leftover["external_ip"], leftover["logical_ip"], leftover["holder"]) == (LEFTOVER, NOBODY, None)


@pytest.mark.usefixtures("live")
def test_facts_are_the_same_under_their_names() -> None:
    result = module(FACTS)
    assert not result["failed"], result.get("msg")
    told = info()
    names = ["cluster", "gateways", "active_gateway", "router_port", "external_switch", "nat_rules", "claims"]
    names += ["findings", "unjudged", "versions"]
    assert result["ansible_facts"] == {f"kubeovn_{name}": told[name] for name in names}
    assert set(result) - {"failed"} == {"ansible_facts", "changed"}
    assert result["changed"] is False


def test_reading_writes_nothing_and_check_mode_tells_the_same(live: Live) -> None:
    mark, rows = live.mark(), live.rule_ids()
    told = info()
    assert info(check=True) == told
    assert info(EXEC) == told
    # A command in a pod is a "create" of its own, and the only one.
    written = {(event["objectRef"]["resource"], event["objectRef"].get("subresource")) for event in live.written(mark)}
    assert written <= {("pods", "exec")}
    assert live.rule_ids() == rows


@pytest.fixture
def cluster() -> Cluster:
    """The lab's API server as the collection's own identity."""
    return open_cluster({"kubeconfig": os.environ["K8S_AUTH_KUBECONFIG"]})


def reach(cluster: Cluster, way: str) -> Northbound:
    """OVN by tcp or by exec."""
    endpoints = {"nb_endpoint": os.environ["KUBEOVN_NB_ENDPOINT"], "sb_endpoint": os.environ["KUBEOVN_SB_ENDPOINT"]}
    return open_ovn({"ovn_connection": way, **endpoints}, cluster)


@pytest.mark.parametrize("way", ["tcp", "exec"])
def test_a_guarded_write_reaches_ovn(live: Live, cluster: Cluster, way: str) -> None:
    address = "10.4.19.184"
    live.nbctl("--may-exist", "lr-nat-add", "ovn-cluster", "dnat_and_snat", address, NOBODY)
    try:
        northbound = reach(cluster, way)
        rule = next(rule for rule in northbound.observe().nat_rules if rule.external_ip == address)
        live.nbctl("set", "NAT", rule.uuid, 'logical_ip="10.253.255.251"')
        with pytest.raises(GuardFailed):
            northbound.delete_leftovers([rule], [])
        rule = next(rule for rule in northbound.observe().nat_rules if rule.external_ip == address)
        before = live.rules()
        northbound.delete_leftovers([rule], [])
        assert set(before) - set(live.rules()) == {("dnat_and_snat", address, "10.253.255.251")}
    finally:
        live.nbctl("--if-exists", "lr-nat-del", "ovn-cluster", "dnat_and_snat", address)


# --- bad input and faults ---


def refused(options: dict[str, Any], **how: Any) -> str:
    """The message of a run that must fail."""
    result = module(INFO, options, **how)
    assert result["failed"], result
    return str(result["msg"])


@pytest.mark.usefixtures("live")
def test_a_wrong_address_is_named_with_its_path() -> None:
    result = module(INFO, {"addresses": [ADDRESS, "10.4.19.300"]})
    assert result["failed"]
    assert [problem["path"] for problem in result["problems"]] == ["addresses[1]"]
    assert "10.4.19.300" in result["msg"]


@pytest.mark.usefixtures("live")
def test_all_that_is_wrong_is_named_at_once() -> None:
    evidence = {GATEWAYS[0]: {"nic": "enp8s0"}}
    result = module(INFO, {"node_evidence": evidence, "query": "nat_rules[?", "trace": {"eip": "testing"}})
    assert result["failed"]
    paths = ["query", "trace.eip", f"node_evidence.{GATEWAYS[0]}.nic"]
    assert [problem["path"] for problem in result["problems"]] == paths
    assert [problem["path"] for problem in module(INFO, {"query": "&gateways"})["problems"]] == ["query"]


@pytest.mark.usefixtures("live")
def test_an_unreachable_northbound_database_is_named() -> None:
    message = refused({"nb_endpoint": "tcp:127.0.0.1:1"})
    assert "nb_endpoint" in message
    assert "tcp:127.0.0.1:1: Connection refused" in message


@pytest.mark.usefixtures("live")
def test_an_endpoint_that_is_something_else_is_named() -> None:
    message = refused({"sb_endpoint": f"tcp:127.0.0.1:{urlsplit(os.environ['LAB_API_URL']).port}", "ovn_timeout": 5})
    assert "sb_endpoint" in message
    assert "does not speak OVSDB" in message or "lost" in message


@pytest.mark.usefixtures("live")
def test_databases_taken_for_each_other_are_named() -> None:
    message = refused({"nb_endpoint": os.environ["KUBEOVN_SB_ENDPOINT"]})
    assert "OVN_Northbound" in message
    assert "unknown database" in message


@pytest.mark.usefixtures("live")
def test_one_endpoint_alone_is_refused() -> None:
    assert "sb_endpoint: missing" in refused({}, env={"KUBEOVN_SB_ENDPOINT": ""})


@pytest.mark.usefixtures("live")
def test_an_identity_without_exec_is_told_the_right_it_lacks() -> None:
    message = refused({"kubeconfig": os.environ["LAB_READER_KUBECONFIG"], **EXEC})
    assert "pods/exec" in message
    assert "nb_endpoint" in message


def test_no_leader_of_ovn_central_is_said(live: Live) -> None:
    pods = live.kubectl("get", "pods", "-n", "kube-system", "-l", "ovn-nb-leader=true", "-o", "name").split()
    assert pods
    try:
        for pod in pods:
            live.kubectl("label", "-n", "kube-system", pod, "ovn-nb-leader-")
        message = refused(EXEC)
    finally:
        for pod in pods:
            live.kubectl("label", "-n", "kube-system", "--overwrite", pod, "ovn-nb-leader=true")
    assert "ovn-nb-leader=true" in message
    assert "nb_endpoint" in message


@pytest.mark.usefixtures("live")
def test_an_api_server_that_does_not_answer_is_named() -> None:
    message = refused({"host": "https://127.0.0.1:1", "api_key": "none"}, env={"K8S_AUTH_KUBECONFIG": ""})
    assert "https://127.0.0.1:1" in message
