# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets lost at 10 Hz, from outside to an EIP and to the router port, while ovn_external_gw changes the gateway.

Each change begins where the one before ended, so that nothing has to be put back in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from bench.figures import Figures
from bench.site import EIP, EIPS, G1, G2, G3, NICS, ROUTER, Site
from bench.traffic import Traffic, median, traffic
from support.commands import Show
from support.live import eventually

OTHER_ROUTER = "10.4.19.253"
OTHER_MAC = "16:52:f3:13:6a:26"
POD, POD_EIP = "bench-pod", "10.4.19.102"
NAMES = {ROUTER: "router port", EIP: "EIP", POD_EIP: "EIP"}
DRAINS = 5
DRAIN_GOAL = 2  # packets of 100, in the median
MAC_GOAL = 10  # packets: a second
TYPE_GOAL = 10


@dataclass(frozen=True)
class Change:
    """From one gateway to another. most: so many packets may be lost; None: that is only told.

    role: by the role, which announces the router port at its new place; the module alone cannot.
    """

    name: str
    active: tuple[str, str]
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    most: int | None = 0
    role: bool = False


TWO, TURNED, WITHOUT_FIRST = {"nodes": [G1, G2]}, {"nodes": [G1, G3, G2]}, {"nodes": [G3, G2]}
CHANGES = (
    Change("standby removed", (G1, G1), {}, TWO),
    Change("node added", (G1, G1), TWO, {}),
    Change("standbys reordered", (G1, G1), {}, TURNED),
    Change("active gateway removed, by the role", (G1, G3), TURNED, WITHOUT_FIRST, None, role=True),
    Change("gateway added as the first, by the role", (G3, G1), WITHOUT_FIRST, {}, None, role=True),
    # Were the old one taken out first, the time until the new ones are there would be lost.
    Change("all gateways replaced", (G1, G2), {"nodes": [G1]}, {"nodes": [G2, G3]}, 30),
)


def tell(figures: Figures, show: Show, name: str, seen: Traffic, most: dict[str, int]) -> None:
    """A figure for each address; those in `most` have a goal."""
    for address, loss in seen.losses.items():
        goal = most.get(address)
        aim, met = ("", None) if goal is None else (f"at most {goal}", loss.lost <= goal)
        figures.add(show, f"{name}: lost to {NAMES[address]}", str(loss), aim, met)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_nodes(site: Site, figures: Figures, show: Show, change: Change) -> None:
    site.be(active=change.active[0], **change.before)
    with traffic(ROUTER, EIP) as seen:
        (site.by_role if change.role else site.push)(**change.after)
    assert site.active() == change.active[1]
    tell(figures, show, change.name, seen, {} if change.most is None else dict.fromkeys((ROUTER, EIP), change.most))


def test_drain(site: Site, figures: Figures, show: Show) -> None:
    """First the one, then the other that has the traffic now, and so on: each is a drain of the active gateway."""
    runs = []
    ways = [(G1, G2), (G2, G1)] * DRAINS
    site.be()
    for active, other in ways[:DRAINS]:
        site.settle(active=active)
        with traffic(ROUTER, EIP) as seen:
            site.by_role(drained=[active])
        assert site.active() == other
        runs.append(seen)
    for address in (ROUTER, EIP):
        lost = [run.lost(address) for run in runs]
        sent = min(run.losses[address].sent for run in runs)
        measured = f"median {median(lost):g} of {sent}; {lost}"
        met = median(lost) <= DRAIN_GOAL
        name = f"active gateway drained, by the role: lost to {NAMES[address]}"
        figures.add(show, name, measured, f"median at most {DRAIN_GOAL}", met)


def test_new_address(site: Site, figures: Figures, show: Show) -> None:
    site.be()
    with traffic(EIP, ROUTER, OTHER_ROUTER) as seen:
        site.push(nic_ip=f"{OTHER_ROUTER}/24")
    last = max(reply.at or 0 for reply in seen.losses[ROUTER].ping.replies)
    first = min(reply.at or 0 for reply in seen.losses[OTHER_ROUTER].ping.replies)
    figures.add(show, "new nic_ip: from the old address's last answer to the new one's first", f"{first - last:.1f} s")
    figures.add(show, "new nic_ip: lost to EIP", str(seen.losses[EIP]), "at most 0", seen.lost(EIP) == 0)


def test_new_mac(site: Site, figures: Figures, show: Show) -> None:
    site.be()
    with traffic(ROUTER, EIP) as seen:
        site.by_role(nic_mac=OTHER_MAC)
    assert OTHER_MAC in site.live.nbctl("show", "ovn-cluster")
    tell(figures, show, "new nic_mac, by the role", seen, dict.fromkeys((ROUTER, EIP), MAC_GOAL))


def test_new_nic(site: Site, figures: Figures, show: Show) -> None:
    site.be()
    site.play(NICS, kubeovn_gateway_nic="enp9s0")
    try:
        with traffic(ROUTER, EIP) as seen:
            site.by_role(nic="enp9s0")
        tell(figures, show, "new NIC, by the role", seen, {})
    finally:
        site.by_role()


@pytest.fixture
def pod_site(site: Site) -> Iterator[Site]:
    """The site with an EIP of a pod on a gateway, and none of a VM on a node that is no gateway."""
    live = site.live
    site.be()
    live.apply(_pod())
    site.succeed(EIPS, {"state": "absent", "eips": [{"vm": "testing", "namespace": "default"}]})
    eventually(
        lambda: live.annotations("pod", POD), lambda seen: "ovn.kubernetes.io/routed" in seen, 120, "the pod runs"
    )
    site.succeed(EIPS, {"eips": [{"pod": POD, "namespace": "default", "address": POD_EIP}]})
    yield site
    site.push()
    site.succeed(EIPS, {"state": "absent", "eips": [{"pod": POD, "namespace": "default"}]})
    live.kubectl("delete", "pod", "-n", "default", POD, "--ignore-not-found", "--wait=true")
    site.succeed(EIPS, {"eips": [{"vm": "testing", "namespace": "default", "address": EIP}]})


def _pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": "default"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": G3},
            "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
        },
    }


def test_distributed_and_back(pod_site: Site, figures: Figures, show: Show) -> None:
    pod_site.settle(ROUTER, POD_EIP)
    with traffic(ROUTER, POD_EIP) as seen:
        pod_site.by_role(type="distributed")
    goals = dict.fromkeys((ROUTER, POD_EIP), TYPE_GOAL)
    tell(figures, show, "centralized to distributed, by the role", seen, goals)
    # Now the neighbours learn the pod's own MAC address, which they have to unlearn when the EIP is centralized again.
    pod_site.lab.run("outside", "--", "ip", "neigh", "flush", "to", POD_EIP)
    eventually(lambda: pod_site.answering(POD_EIP), bool, 30, f"{POD_EIP} answers when distributed")
    with traffic(ROUTER, POD_EIP) as seen:
        pod_site.by_role()
    tell(figures, show, "distributed to centralized, by the role", seen, goals)
    pod_site.settle(ROUTER, POD_EIP)
