# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand EIPs attached, looked at again, rotated and released by one task each, beside what can do the same.

The ceiling is Kube-OVN's controller: it is measured with the same patches by a loop that does nothing else. Goals hold
for as many EIPs as they are set for; KUBEOVN_BENCH_EIPS takes fewer, and only tells.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest
from bench.figures import Figures
from bench.site import EIPS, Site
from support.bulk import NAMESPACE, Bulk, annotate, busy, drained, names, pod
from support.commands import Show
from support.eip_lab import EIP
from support.live import OPERATOR
from support.measured import Audit, Bench, Taken, kinds

FULL = 1000
COUNT = int(os.environ.get("KUBEOVN_BENCH_EIPS", FULL))
FEW = COUNT // 10
LOOP = min(50, COUNT)
ADMIN = "kubernetes-admin"
# The site's own gateway and router port in a subnet that has room; packets of these EIPs are not sent.
WIDE = {"gateway": "10.4.19.1/20", "nic_ip": "10.4.19.254/20"}
FIRST, SECOND = IPv4Address("10.4.20.0"), IPv4Address("10.4.24.0")
POOL = "10.4.24.0-10.4.27.255"
ADDED_GOAL = 0.05  # of the time that the controller needs
UNCHANGED_GOAL = 0.10  # of kubernetes.core.k8s' time

Requests = Counter[str]


@dataclass(frozen=True)
class Crowd:
    """The pods, and what runs tasks."""

    bulk: Bulk
    bench: Bench

    def eips(self, state: str, count: int = COUNT, **options: Any) -> tuple[Taken, Requests, float]:
        """One task of the module: what it took, its requests, and how long the controller was at work on it."""
        heard, seen = Audit(), Audit()
        items = [{"pod": name, "namespace": NAMESPACE, **options_of(name, options)} for name in self.bulk.names[:count]]
        general = {key: value for key, value in options.items() if key in ("rotate", "rotation")}
        taken = self.bench.task(EIPS, {"state": state, "eips": items, **general})
        asked = [event for event in heard.more(OPERATOR) if event["user"]["username"] == OPERATOR]
        share = 0.0
        if taken.changed:
            share = busy(drained(seen, set(self.bulk.names[:count])))
        return taken, kinds(asked), share

    def others(self, name: str, options: dict[str, Any], **keywords: Any) -> tuple[Taken, Requests]:
        """One task of another module, as cluster admin."""
        heard = Audit()
        taken = self.bench.task(name, {"kubeconfig": os.environ["KUBECONFIG_ADMIN"], **options}, **keywords)
        return taken, kinds([event for event in heard.more(ADMIN) if event["user"]["username"] == ADMIN])


def options_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """An item's address: each pod's own, or one of the pool."""
    if "first" in options:
        return {"address": address(options["first"], name)}
    return {"pool": POOL} if "rotate" in options else {}


def address(first: IPv4Address, name: str) -> str:
    """The address of a pod, counted from the first one's."""
    return str(first + int(name.rpartition("-")[2]))


def annotated(count: int) -> list[dict[str, Any]]:
    """What a user would write to have the same annotations."""
    return [pod(name, {EIP: address(FIRST, name)}) for name in names(count)]


@pytest.fixture
def crowd(site: Site, show: Show) -> Iterator[Crowd]:
    """The site with a wide subnet and all the pods."""
    site.be()
    site.push(**WIDE)
    bulk = Bulk(site.live, COUNT)
    try:
        show(f"{COUNT} pods get their addresses")
        bulk.make()
        yield Crowd(bulk, Bench(site.live.folder))
    finally:
        bulk.remove()
        site.push()


def test_bulk(crowd: Crowd, figures: Figures, show: Show) -> None:
    tell = Teller(figures, show)
    alone = loop(crowd.bulk, show)
    attach(crowd, alone["attach"], tell)
    unchanged(crowd, tell)
    rotate(crowd, alone["rotate"], tell)
    release(crowd, alone["release"], tell)


@dataclass
class Teller:
    """Puts figures into the table."""

    figures: Figures
    show: Show

    def tell(self, name: str, measured: str, goal: str = "", met: bool | None = None) -> None:
        """A figure; its goal only counts for as many EIPs as it is set for."""
        judged = COUNT >= FULL
        self.figures.add(self.show, name, measured, goal, met if judged else None)

    def cost(self, name: str, taken: Taken, requests: Requests) -> None:
        """What a task took."""
        self.show(f"{name}: {dict(requests)}")
        process = f"module {taken.module:.1f} s, {taken.cpu:.1f} s of them CPU"
        self.tell(f"{name}: wall time", f"{taken.wall:.1f} s ({process})")
        self.tell(f"{name}: API requests", str(requests.total()))
        self.tell(f"{name}: peak memory of the module", f"{taken.peak:.0f} MiB")

    def beside(self, name: str, taken: Taken, share: float, alone: float) -> None:
        """A task beside the controller alone, and beside what the controller was seen to work in this very run."""
        added = taken.module / alone - 1
        measured = (
            f"{added:+.1%}: {taken.module:.1f} s, and {alone:.1f} s until the controller has done the patches alone"
        )
        self.tell(f"{name}: the module adds", measured, f"less than {ADDED_GOAL:.0%}", added < ADDED_GOAL)
        self.tell(
            f"{name}: the controller is at work", f"{share:.1f} s, {share / taken.module:.0%} of the module's time"
        )


def loop(bulk: Bulk, show: Show) -> dict[str, float]:
    """The same by patches alone: seconds until the controller has done them."""
    alone = {}
    for what, first in (("attach", FIRST), ("rotate", SECOND), ("release", None)):
        alone[what] = annotate({name: address(first, name) if first else None for name in bulk.names})
        show(f"{what}: {COUNT} patches without the module are done after {alone[what]:.1f} s")
    bulk.sweep()
    return alone


def attach(crowd: Crowd, alone: float, tell: Teller) -> None:
    taken, requests, share = crowd.eips("present", first=FIRST)
    assert taken.changed
    assert crowd.bulk.rules() == {name: [address(FIRST, name)] for name in crowd.bulk.names}
    assert crowd.bulk.rerouted() == COUNT
    name = f"{COUNT} EIPs attached"
    tell.cost(name, taken, requests)
    tell.beside(name, taken, share, alone)


def unchanged(crowd: Crowd, tell: Teller) -> None:
    """Everything is as asked: by the module, by kubernetes.core.k8s with one list and with a loop, by kubectl."""
    few, few_requests, _none = crowd.eips("present", FEW, first=FIRST)
    many, requests, _none = crowd.eips("present", first=FIRST)
    assert not few.changed
    assert not many.changed
    tell.cost(f"{COUNT} EIPs, no change", many, requests)
    measured = f"{few_requests.total()} and {requests.total()}"
    tell.tell(f"no change: API requests for {FEW} and {COUNT} EIPs", measured, "the same", few_requests == requests)

    k8s = "kubernetes.core.k8s"
    listed, listed_requests = crowd.others(k8s, {"state": "patched", "definition": annotated(COUNT)})
    assert not listed.changed
    tell.cost(f"{COUNT} pods by {k8s} with a list, no change", listed, listed_requests)
    ratio = many.wall / listed.wall
    measured = f"{ratio:.1%}: {many.wall:.1f} s, and {listed.wall:.1f} s"
    goal = f"at most {UNCHANGED_GOAL:.0%}"
    tell.tell(f"no change: the module's wall time beside {k8s}", measured, goal, ratio <= UNCHANGED_GOAL)

    turn = {"definition": "{{ item }}", "state": "patched"}
    control = {"label": "{{ item.metadata.name }}"}
    looped, looped_requests = crowd.others(k8s, turn, loop=annotated(LOOP), loop_control=control)
    assert not looped.changed
    tell.cost(f"{LOOP} pods by {k8s} in a loop, no change", looped, looped_requests)
    by_kubectl(crowd, tell)


def by_kubectl(crowd: Crowd, tell: Teller) -> None:
    """kubectl apply notes at first what it applied: the second one changes nothing."""
    bulk = crowd.bulk
    bulk.write(bulk.list, annotated(COUNT))
    apply = partial(bulk.live.lab.run, "kubectl", "apply", "-f", str(bulk.list), timeout=1200)
    apply()
    heard, began = Audit(), time.monotonic()
    text = apply()
    seconds = time.monotonic() - began
    assert text.count("unchanged") == COUNT, text[-2000:]
    asked = kinds([event for event in heard.more(ADMIN) if event["user"]["username"] == ADMIN])
    name = f"{COUNT} pods by kubectl apply, no change"
    tell.tell(name, f"{seconds:.1f} s, {asked.total()} API requests")


def rotate(crowd: Crowd, alone: float, tell: Teller) -> None:
    taken, requests, share = crowd.eips("present", rotate=True, rotation="bench")
    assert taken.changed
    rules = crowd.bulk.rules()
    assert all(len(external) == 1 and IPv4Address(external[0]) >= SECOND for external in rules.values()), rules
    assert crowd.bulk.rerouted() == COUNT
    name = f"{COUNT} EIPs rotated"
    tell.cost(name, taken, requests)
    tell.beside(name, taken, share, alone)


def release(crowd: Crowd, alone: float, tell: Teller) -> None:
    taken, requests, share = crowd.eips("absent")
    assert taken.changed
    assert crowd.bulk.rules() == {name: [] for name in crowd.bulk.names}
    assert crowd.bulk.rerouted() == 0
    name = f"{COUNT} EIPs released"
    tell.cost(name, taken, requests)
    tell.beside(name, taken, share, alone)
