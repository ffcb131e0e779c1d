# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many pods with EIPs that are deleted at one moment: when Kube-OVN has done its part, nothing of them is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest
from support.bulk import NAMESPACE, STALLED, Bulk
from support.eip_lab import CLAIMS, GATEWAYS, gateway
from support.fleet import fleet
from support.lab import Lab
from support.live import Live, eventually

pytestmark = pytest.mark.full
COUNT = 500
FIRST = IPv4Address("10.4.20.0")  # of a subnet that has room for them; packets of these EIPs are not sent
SITE = {"nodes": list(GATEWAYS), "nic": "enp8s0", "nic_mac": "16:52:f3:13:6a:25"}
USUAL = {"gateway": "10.4.19.1/24", "nic_ip": "10.4.19.254/24"}
WIDE = {"gateway": "10.4.19.1/20", "nic_ip": "10.4.19.254/20"}
LONG = 3000.0  # seconds that Kube-OVN's controller may take on a busy machine, as long as it does something

Left = tuple[list[str], list[str], list[str]]


def good(name: str, options: dict[str, object]) -> dict[str, Any]:
    """The result of a task that succeeds."""
    (result,) = fleet(name, [options], timeout=LONG)
    assert not result["failed"], result.get("msg")
    return result


@pytest.fixture
def bulk(lab: Lab) -> Iterator[Bulk]:
    """The pods, in a site whose subnet has room for their EIPs."""
    live = Live(lab)
    gateway(live)
    bulk = Bulk(live, COUNT)
    try:
        good("ovn_external_gw", {**SITE, **WIDE})
        try:
            bulk.make()
            yield bulk
        finally:
            bulk.remove()
    finally:
        good("ovn_external_gw", {**SITE, **USUAL})


def left(live: Live, addresses: set[str], overlay: set[str]) -> Left:
    """What there still is of them: NAT rows, policies and claims."""
    leases = json.loads(live.kubectl("get", "leases", "-n", CLAIMS, "-o", "json"))["items"]
    return (
        [external for _type, external, _logical in live.rules() if external in addresses],
        [match for match in live.policies() if match.removeprefix("ip4.src == ") in overlay],
        [item["metadata"]["name"] for item in leases if item["metadata"]["name"].removeprefix("eip-") in addresses],
    )


def done_by_kube_ovn(live: Live, addresses: set[str], overlay: set[str]) -> Left:
    """What is left when its controller has nothing more to do: no rule or policy, or for a while the same ones."""
    before, since = left(live, addresses, overlay), time.monotonic()
    while any(before[:2]) and time.monotonic() < since + STALLED:
        time.sleep(1)
        now = left(live, addresses, overlay)
        assert sum(map(len, now)) <= sum(map(len, before)), "somebody makes them anew"
        if now != before:
            before, since = now, time.monotonic()
    return before


def test_pods_that_are_deleted_at_one_moment_leave_nothing_that_pruning_does_not_take(bulk: Bulk) -> None:
    live = bulk.live
    addresses = {name: str(FIRST + number) for number, name in enumerate(bulk.names)}
    good("ovn_eip", {"eips": [{"pod": pod, "namespace": NAMESPACE, "address": ip} for pod, ip in addresses.items()]})
    assert bulk.rules() == {name: [address] for name, address in addresses.items()}
    overlay = {logical for _type, external, logical in live.rules() if external in addresses.values()}
    assert len(overlay) == COUNT
    live.lab.run("kubectl", "delete", "pods", "-n", NAMESPACE, "--all", "--wait=false", timeout=600)
    eventually(partial(_pods, live), lambda count: count == 0, 600, "the pods are gone")
    good("ovn_eip", {"state": "pruned"})  # while Kube-OVN's controller is behind still
    done_by_kube_ovn(live, set(addresses.values()), overlay)
    unclear = good("ovn_eip", {"state": "pruned"})["unclear"]
    rules, policies, claims = left(live, set(addresses.values()), overlay)
    assert (rules, policies) == ([], [])
    # The pods' names end in numbers, as those of a StatefulSet that brings them back: their claims go by name only.
    assert len([one for one in unclear if "may be of a StatefulSet" in one["text"]]) == len(claims) == COUNT
    good("ovn_eip", {"state": "absent", "eips": [{"pod": pod, "namespace": NAMESPACE} for pod in addresses]})
    assert left(live, set(addresses.values()), overlay) == ([], [], [])
    assert good("ovn_eip", {"state": "pruned"})["changed"] is False


def _pods(live: Live) -> int:
    return len(live.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name").split())
