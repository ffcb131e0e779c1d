# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders of EIPs on the lab, and all that EIPs leave there, seen by kubectl and ovn-nbctl."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import yaml

from support.commands import TOP, run
from support.lab import LAB
from support.live import Live, eventually

GATEWAYS = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
WORKER = "jah-k3s-l40s-001"
CLAIMS = "kubeovn-core"  # the module's default claims_namespace
EIP = "ovn.kubernetes.io/eip"
SNAT = "ovn.kubernetes.io/snat"
ROUTED = "ovn.kubernetes.io/routed"
GATEWAY = {
    "enable-external-gw": "true",
    "type": "centralized",
    "external-gw-nodes": ",".join(GATEWAYS),
    "external-gw-nic": "enp8s0",
    "external-gw-addr": "10.4.19.1/24",
    "nic-ip": "10.4.19.254/24",
    "nic-mac": "16:52:f3:13:6a:25",
}
BARE = ("--format=csv", "--data=bare", "--no-headings")

Picture = dict[str, Any]


def gateway(live: Live) -> None:
    """An external gateway that answers; one that is there already stays as it is."""
    if live.get("configmap", "ovn-external-gw-config", "kube-system") is None:
        metadata = {"name": "ovn-external-gw-config", "namespace": "kube-system"}
        live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": GATEWAY})
    eventually(lambda: "ovn-cluster-external" in live.nbctl("show", "ovn-cluster"), bool, 120, "the router port")
    eventually(lambda: live.ping("10.4.19.254"), bool, 120, "the gateway answers from outside")


def machine(name: str, running: bool) -> dict[str, Any]:
    """The example VM under another name, on the worker, which has no external NIC."""
    text = (TOP / "tests" / "lab" / "manifests" / "vm.yml").read_text()
    vm: dict[str, Any] = yaml.safe_load(text.replace("testing", name))
    vm["spec"]["runStrategy"] = "Always" if running else "Halted"
    vm["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"] = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    return vm


def pod(name: str) -> dict[str, Any]:
    """A plain pod on the worker."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": WORKER},
            "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
        },
    }


def runs(live: Live, vms: tuple[str, ...] = (), pods: tuple[str, ...] = ()) -> None:
    """Wait until they have their network."""
    for name in vms:
        eventually(partial(live.launcher, name), bool, 180, f"VM {name} runs")
    for name in pods:
        eventually(partial(live.annotations, "pod", name), lambda found: ROUTED in found, 180, f"pod {name} runs")


def restart_controller(live: Live) -> None:
    """Kube-OVN's controller ends hard, and `lab up` starts the one part that does not run."""
    line = next(line for line in live.lab.run("status").splitlines() if line.split()[:1] == ["kube-ovn-controller"])
    os.kill(int(line.split("pid ")[1].split()[0]), signal.SIGKILL)
    run([LAB, "up", "--name", live.lab.name])


@contextmanager
def frozen(live: Live, part: str) -> Iterator[None]:
    """A part of the lab that does not run meanwhile."""
    line = next(line for line in live.lab.run("status").splitlines() if line.split()[:1] == [part])
    pid = int(line.split("pid ")[1].split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def picture(live: Live) -> Picture:
    """All that EIPs are made of: annotations in namespace default, claims, NAT rows and policies; without row ids."""
    return {
        "annotations": noted(live),
        "claims": claims(live),
        "rules": table(live, "NAT", "type,external_ip,logical_ip,logical_port,external_mac,options,external_ids"),
        "policies": table(live, "Logical_Router_Policy", "priority,match,action,nexthop,nexthops,external_ids"),
    }


def noted(live: Live) -> dict[str, dict[str, str]]:
    """The EIP's annotations of each VM's template, instance and pod; a launcher pod goes by its VM's name."""
    items = json.loads(live.kubectl("get", "vm,vmi,pod", "-n", "default", "-o", "json"))["items"]
    found = {}
    for item in items:
        metadata = item["metadata"]
        name = (metadata.get("labels") or {}).get("vm.kubevirt.io/name") or metadata["name"]
        if item["kind"] == "VirtualMachine":
            metadata = item["spec"]["template"].get("metadata") or {}
        all_of_it = metadata.get("annotations") or {}
        found[f"{item['kind']} {name}"] = {
            key: value
            for key, value in all_of_it.items()
            if key in (EIP, SNAT, ROUTED) or key.startswith("kubeovn.core/")
        }
    return found


def claims(live: Live) -> dict[str, Any]:
    """Each claim's holder, annotations and labels: what says when it was made and changed is left out."""
    answer = live.kubectl("get", "leases", "-n", CLAIMS, "-o", "json")
    return {
        item["metadata"]["name"]: {
            "holder": item["spec"].get("holderIdentity"),
            "annotations": item["metadata"].get("annotations") or {},
            "labels": item["metadata"].get("labels") or {},
        }
        for item in json.loads(answer)["items"]
    }


def table(live: Live, name: str, columns: str) -> list[str]:
    """A table's rows."""
    return sorted(live.nbctl(*BARE, f"--columns={columns}", "list", name).splitlines())


def bound(live: Live, port: str) -> tuple[int, int]:
    """How many chassis, and how many additional ones, SB has a port bound to."""
    columns = "--columns=chassis,additional_chassis"
    found = json.loads(live.lab.run("sbctl", "--format=json", columns, "find", "Port_Binding", f"logical_port={port}"))
    [[chassis, additional]] = ([int(value != ["set", []]) for value in row] for row in found["data"])
    return chassis, additional


@contextmanager
def unbound(live: Live, port: str) -> Iterator[None]:
    """A logical port that is bound to no chassis meanwhile: it asks for one that is not there."""
    live.nbctl("lsp-set-options", port, "requested-chassis=nobody")
    try:
        eventually(lambda: bound(live, port), lambda found: found == (0, 0), 120, f"{port} is bound nowhere")
        yield
    finally:
        live.nbctl("lsp-set-options", port)
        eventually(lambda: bound(live, port), lambda found: found == (1, 0), 120, f"{port} is bound")


@contextmanager
def gateway_rows(live: Live, port: str, *rows: tuple[str, int]) -> Iterator[None]:
    """A router port with other gateway chassis meanwhile: (node, or what is none, and priority)."""
    chassis = {node: live.annotations("node", node)["ovn.kubernetes.io/chassis"] for node in (*GATEWAYS, WORKER)}
    before = [line.split() for line in live.nbctl("lrp-get-gateway-chassis", port).splitlines()]
    old = {name.removeprefix(f"{port}-"): priority for name, priority in before}
    new = {chassis.get(node, node): str(priority) for node, priority in rows}
    _become(live, port, new, [name for name in old if name not in new])
    try:
        yield
    finally:
        _become(live, port, old, [name for name in new if name not in old])


def _become(live: Live, port: str, asked: dict[str, str], others: list[str]) -> None:
    words: list[str] = []
    for name in others:
        words += ["--", "lrp-del-gateway-chassis", port, name]
    for name, priority in asked.items():
        words += ["--", "lrp-set-gateway-chassis", port, name, priority]
    live.nbctl(*words[1:])
