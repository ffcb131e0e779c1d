# SPDX-License-Identifier: GPL-3.0-or-later
"""A custom VPC on the lab with its way outside, and how to look at its EIPs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from support.eip_lab import gateway
from support.live import Live, eventually

GATEWAYS = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
WORKER = "jah-k3s-l40s-001"
VPC, NET, NAMESPACE = "shop", "shop-net", "shop"
RULES = "ovn-fips,ovn-snat-rules,ovn-dnat-rules"
FAR, NEAR = "far", "near"  # pods on the worker, which has no NIC to the outside, and on a gateway


def kube_ovn(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """An object of Kube-OVN."""
    return {"apiVersion": "kubeovn.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def pod(name: str, node: str) -> dict[str, Any]:
    """A pod in the VPC."""
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def outside() -> list[dict[str, Any]]:
    """The Subnet of the physical network. What it gives by itself is out of the way of other tests' addresses."""
    taken = ["10.4.19.1..10.4.19.199", "10.4.19.254"]
    spec = {"protocol": "IPv4", "cidrBlock": "10.4.19.0/24", "gateway": "10.4.19.1", "excludeIps": taken}
    return [
        kube_ovn("ProviderNetwork", "external", defaultInterface="enp8s0"),
        kube_ovn("Vlan", "outside", id=0, provider="external"),
        kube_ovn("Subnet", "external", vlan="outside", **spec),
    ]


def inside() -> list[dict[str, Any]]:
    """The VPC with one Subnet for namespace shop, connected to the outside."""
    route = {"cidr": "0.0.0.0/0", "nextHopIP": "10.4.19.1", "policy": "policyDst"}
    spec = {"protocol": "IPv4", "cidrBlock": "10.9.0.0/24", "gateway": "10.9.0.1"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        kube_ovn("Vpc", VPC, namespaces=[NAMESPACE], enableExternal=True, staticRoutes=[route]),
        kube_ovn("Subnet", NET, vpc=VPC, namespaces=[NAMESPACE], **spec),
    ]


def rows(live: Live) -> list[tuple[str, ...]]:
    """The VPC's NAT rows: type, external and logical address, logical port."""
    columns = "--columns=_uuid,type,external_ip,logical_ip,logical_port"
    own = live.nbctl("--data=bare", "--no-headings", "--columns=nat", "list", "Logical_Router", VPC).split()
    answer = live.nbctl("--format=csv", "--data=bare", "--no-headings", columns, "list", "NAT")
    lines = [line.split(",") for line in answer.splitlines() if line.count(",") == 4]
    return sorted(tuple(line[1:]) for line in lines if line[0] in own)


def balancers(live: Live) -> dict[str, str]:
    """The addresses of the VPC's load balancers, and where they lead to."""
    lines = [line.split() for line in live.nbctl("lr-lb-list", VPC).splitlines()[1:]]
    return {line[-2]: line[-1] for line in lines if len(line) >= 4}


def overlay_ip(live: Live, name: str) -> str:
    """A pod's overlay address; empty while it has none."""
    found = live.get("ips.kubeovn.io", f"{name}.{NAMESPACE}")
    return str(found["spec"]["v4IpAddress"]) if found else ""


def runs(found: Mapping[str, Any] | None) -> bool:
    """Whether a pod runs."""
    return found is not None and (found.get("status") or {}).get("phase") == "Running"


def is_ready(live: Live, kind: str, name: str) -> None:
    """Wait until Kube-OVN says that an object is done."""
    eventually(
        lambda: ((live.get(kind, name) or {}).get("status") or {}).get("ready"), bool, 120, f"{kind} {name} is ready"
    )


def is_going(live: Live, kind: str, name: str) -> bool:
    """Whether an object is being deleted, and there."""
    found = live.get(kind, name)
    return found is not None and "deletionTimestamp" in found["metadata"]


def objects(live: Live) -> list[str]:
    """All OvnEips and what uses them, but for the router ports' own."""
    lines = live.kubectl("get", f"ovn-eips,{RULES}", "-o", "name").split()
    return sorted(line.split("/")[1] for line in lines if not line.endswith("-external"))


def clear(live: Live) -> None:
    """Take all of it away, whatever state it is in."""
    live.kubectl("delete", RULES, "--all", "--wait=false")
    for line in live.kubectl("get", RULES, "-o", "name").split():
        live.kubectl("patch", line, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    for kind, external, logical, _port in rows(live):
        live.nbctl("--if-exists", "lr-nat-del", VPC, kind, logical if kind == "snat" else external)
    for name in objects(live):
        live.kubectl("delete", "ovn-eip", name, "--ignore-not-found", "--wait=true")
    live.kubectl("delete", "lease", "-n", "kubeovn-core", "--all")


@contextmanager
def standing(live: Live) -> Iterator[None]:
    """A VPC with its way outside, and two pods; in the end the lab is as it was."""
    gateway(live)
    live.apply(*outside())
    live.apply(*inside())
    eventually(lambda: f"{VPC}-external" in live.nbctl("show"), bool, 120, "the VPC's router port")
    live.apply(pod(FAR, WORKER), pod(NEAR, GATEWAYS[1]))
    for name in (FAR, NEAR):
        eventually(partial(live.get, "pod", name, NAMESPACE), runs, 180, f"pod {name} runs")
    yield
    clear(live)
    live.kubectl("delete", "vm,pod", "-n", NAMESPACE, "--all", "--wait=true")
    for kind, name in (("subnet", NET), ("vpc", VPC)):
        live.kubectl("delete", kind, name, "--wait=true")
    _with_gateway_anew(live)
    live.kubectl("delete", "namespace", NAMESPACE, "--wait=true")


def _with_gateway_anew(live: Live) -> None:
    """Take the Subnet away. The external switch goes with it, so that the gateway has to be made anew."""
    config = live.get("configmap", "ovn-external-gw-config", "kube-system")
    assert config is not None
    live.kubectl("delete", "configmap", "-n", "kube-system", "ovn-external-gw-config")
    eventually(lambda: "ovn-cluster-external" in live.nbctl("show"), lambda there: not there, 120, "no router port")
    for kind, name in (("subnet", "external"), ("vlan", "outside"), ("provider-network", "external")):
        live.kubectl("delete", kind, name, "--wait=true")
    metadata = {"name": "ovn-external-gw-config", "namespace": "kube-system"}
    live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config["data"]})
    eventually(lambda: live.ping("10.4.19.254"), bool, 120, "the gateway answers from outside")
