# SPDX-License-Identifier: GPL-3.0-or-later
"""Without a gateway again: NB as it was before the first run, and who keeps it from going is named."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.ansible import module
from support.gateway_truth import NODES, SITE, Tables, Truth
from support.lab import Lab
from support.live import eventually

EIP, HELD = "10.4.19.196", "10.253.255.7"
VPC, OVN_EIP, OVN_EIP_ADDRESS = "lab-absent", "lab-absent", "10.4.19.87"
TIMERS = {"min_rx": 500, "min_tx": 500, "multiplier": 4}


def push(**changes: Any) -> dict[str, Any]:
    result = module("kubeovn.core.ovn_external_gw", {**SITE, **changes})
    assert not result["failed"], result["msg"]
    return result


def absent(check: bool = False, **options: Any) -> dict[str, Any]:
    return module("kubeovn.core.ovn_external_gw", {"state": "absent", **options}, check=check)


@pytest.fixture(scope="module")
def truth(lab: Lab) -> Generator[Truth, None, None]:
    """The lab, and at the end its gateway as the example site has it."""
    yield Truth(lab)
    push()


@pytest.fixture
def gateway(truth: Truth) -> Truth:
    """The lab with the gateway as the example site has it."""
    push()
    return truth


def content(tables: Tables) -> dict[str, list[str]]:
    """A dump of NB without the names that OVSDB gives to rows: each reference stands for what it refers to."""
    rows = {uuid: row for table in tables.values() for uuid, row in table.items()}

    def unfold(value: Any, depth: int) -> Any:
        if isinstance(value, str) and value in rows:
            return unfold(rows[value], depth - 1) if depth else "..."
        if isinstance(value, dict):
            return {key: unfold(one, depth) for key, one in value.items()}
        if isinstance(value, list):
            return sorted((unfold(one, depth) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        return value

    return {
        name: sorted(json.dumps(unfold(row, 3), sort_keys=True) for row in table.values())
        for name, table in tables.items()
    }


def settled(truth: Truth) -> Tables:
    """NB, once Kube-OVN has done with it."""
    looks: list[Tables] = []

    def look() -> bool:
        looks.append(truth.northbound())
        return len(looks) > 2 and looks[-1] == looks[-2] == looks[-3]

    eventually(look, bool, what="NB stays as it is")
    return looks[-1]


def test_nothing_is_left_of_it(truth: Truth) -> None:
    truth.clear()
    before = content(settled(truth))
    assert not any("ovn-cluster-external" in row for row in before["Logical_Router_Port"])
    push(bfd=TIMERS)
    assert content(settled(truth)) != before

    foreseen = absent(check=True, bfd=TIMERS)
    gone = absent(bfd=TIMERS)
    assert not gone["failed"], gone["msg"]
    assert gone["plan"] == foreseen["plan"]
    assert gone["after"] == foreseen["after"]
    assert content(settled(truth)) == before
    assert truth.data() is None
    assert truth.labels() == {}
    eventually(truth.active, lambda node: node is None, what="SB lets go of the router port")

    again = absent(bfd=TIMERS)
    assert not again["failed"], again["msg"]
    assert not again["changed"]
    assert again["plan"] == []


# --- refused ----------------------------------------------------------------------------------------------------------


@contextmanager
def users(truth: Truth) -> Iterator[None]:
    """An EIP, a custom VPC, an OvnEip and a Subnet, all of the external network. None of them works; all are there."""

    def kube_ovn(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "kubeovn.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    subnet = {"protocol": "IPv4", "vpc": "lab-none", "vlan": "lab-none", "cidrBlock": "10.4.19.0/24"}
    truth.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", EIP, HELD)
    truth.apply(
        kube_ovn("Vpc", VPC, {"enableExternal": True}),
        kube_ovn("OvnEip", OVN_EIP, {"v4Ip": OVN_EIP_ADDRESS, "externalSubnet": "external"}),
        kube_ovn("Subnet", "external", subnet),
    )
    try:
        yield
    finally:
        truth.kubectl("delete", f"ovn-eip/{OVN_EIP}", f"vpc/{VPC}", "subnet/external", "--ignore-not-found")
        truth.nbctl("--if-exists", "lr-nat-del", "ovn-cluster", "dnat_and_snat", EIP)


def test_it_stays_while_it_is_used_unless_forced(gateway: Truth) -> None:
    with users(gateway):
        before, labels, since = settled(gateway), gateway.labels(), gateway.log_length()
        foreseen, refused = absent(check=True), absent()
        assert gateway.written(since) == []
        assert gateway.northbound() == before
        assert gateway.labels() == labels
        assert {node for node, value in labels.items() if value == "true"} == set(NODES)

        forced = absent(force=True)
        assert not forced["failed"], forced["msg"]
        assert gateway.data() is None
        assert gateway.gateways() == []
        assert "true" not in gateway.labels().values()
    assert refused["failed"]
    assert not refused["changed"]
    paths = [one["path"] for one in refused["problems"]]
    assert paths == [f"EIP {EIP}", "Subnet external", f"vpc {VPC}", f"OvnEip {OVN_EIP}"]
    assert all("force: true" in one["hint"] for one in refused["problems"])
    assert all(one["text"] in refused["msg"] for one in refused["problems"])
    assert foreseen["problems"] == refused["problems"]
