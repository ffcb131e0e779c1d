# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT rules joined with their holders: ten thousand pods on the lab's API server, read by one paged LIST.

The pods are on their host's network, so that Kube-OVN's controller, which needs minutes for a thousand, leaves them
alone; the join takes them for pods of the overlay. The API server makes one of them, and the others are put beside it
in etcd, as etcd_pods.py says: made one by one they took most of ten minutes. The rules are as many, and are in no
database. KUBEOVN_BENCH_PODS takes fewer.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import PODS, Cluster, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._model import NatRule, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._objects import pod_view
from bench import etcd_pods
from bench.etcd_pods import address_of, name_of
from bench.figures import Figures
from support.commands import Show
from support.lab import Lab
from support.live import OPERATOR, Live, eventually
from support.measured import Audit, kinds

FULL = 10_000
COUNT = int(os.environ.get("KUBEOVN_BENCH_PODS", FULL))
NAMESPACE = "holders"
RUNS = 3
CALM, PATIENCE = 0.6, 90.0  # the share of its time that the machine is to be idle, and seconds until that is given up
GROWTH = 1.5
T = TypeVar("T")


def pod(number: int) -> dict[str, Any]:
    notes = {"ovn.kubernetes.io/ip_address": address_of(number), "ovn.kubernetes.io/eip": address_of(number)}
    spec = {
        "hostNetwork": True,
        "schedulerName": "nobody",
        "automountServiceAccountToken": False,
        "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
    }
    metadata = {"name": name_of(number), "namespace": NAMESPACE, "annotations": notes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def in_etcd(lab: Lab, *arguments: str) -> None:
    lab.run("exec", "--", sys.executable, str(Path(etcd_pods.__file__)), *arguments, timeout=300)


def settle(show: Show) -> None:
    """Wait until controllers have taken note of all the pods, as far as the machine's load tells."""
    deadline = time.monotonic() + PATIENCE
    while (idle := _idle()) < CALM and time.monotonic() < deadline:
        continue
    show(f"the machine is idle for {idle:.0%} of its time")


def _idle() -> float:
    before = _ticks()
    time.sleep(1)
    spent = [after - ago for after, ago in zip(_ticks(), before, strict=True)]
    return spent[3] / sum(spent)


def _ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


@pytest.fixture
def crowd(lab: Lab, show: Show) -> Iterator[Cluster]:
    """The pods, and the API server as the collection's identity sees it."""
    live = Live(lab)
    live.kubectl("create", "namespace", NAMESPACE)
    try:
        eventually(partial(live.get, "serviceaccount", "default", NAMESPACE), bool, 60, "the ServiceAccount")
        manifest = live.folder / "bench-pod.json"
        manifest.write_text(json.dumps(pod(0)))
        live.kubectl("create", "-f", str(manifest))
        first = live.get("pod", name_of(0), NAMESPACE)
        assert first is not None
        show(f"{COUNT} pods are made")
        in_etcd(lab, "fill", NAMESPACE, str(COUNT), first["metadata"]["uid"])
        last = partial(live.get, "pod", name_of(COUNT - 1), NAMESPACE)
        found = eventually(last, bool, 60, "the last pod")
        assert found is not None
        assert found["metadata"]["annotations"] == pod(COUNT - 1)["metadata"]["annotations"]
        assert found["spec"] == first["spec"]
        settle(show)
        yield open_cluster({"kubeconfig": os.environ["K8S_AUTH_KUBECONFIG"]})
    finally:
        in_etcd(lab, "empty", NAMESPACE)
        live.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        eventually(partial(live.get, "namespace", NAMESPACE), lambda found: not found, 300, "the namespace is gone")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def joined(pods: tuple[Any, ...]) -> tuple[float, int]:
    """Processor seconds that the join takes, and how many rules have their holder.

    Without a search for garbage, as in a task. What else the machine does would count for the long one of two only.
    """
    rules = tuple(NatRule("", "dnat_and_snat", str(one.ip), str(one.ip)) for one in pods)
    seen = Seen((), pods, (), {}, Ovn("r", None, None, (), rules, (), (), None))
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        told = report(seen)
        taken = time.process_time() - began
    finally:
        gc.enable()
    return taken, sum(rule["holder"]["name"] == rule["pod"] for rule in told["nat_rules"])


def test_holders_of_very_many_pods(crowd: Cluster, figures: Figures, show: Show) -> None:
    heard = Audit()
    listing, items = timed(lambda: crowd.list(PODS))
    asked = kinds([event for event in heard.more(OPERATOR) if event["user"]["username"] == OPERATOR])
    pods = tuple(replace(one, host_network=False) for one in map(pod_view, items) if one.namespace == NAMESPACE)
    assert len(pods) == COUNT
    figures.add(show, f"LIST of {COUNT} pods", f"{listing:.2f} s")
    measured = ", ".join(f"{count} {kind}" for kind, count in asked.items())
    one_list = asked["list pods"] == 1 and set(asked) <= {"list pods", "list pods, further pages"}
    figures.add(show, f"requests for {COUNT} pods", measured, "one paged LIST", one_list)
    whole, found = min(joined(pods) for _run in range(RUNS))
    assert found == COUNT
    tenth, _found = min(joined(pods[: COUNT // 10]) for _run in range(RUNS))
    figures.add(show, f"{COUNT} NAT rules joined with their holders and judged", f"{whole:.2f} s of CPU")
    growth = whole / tenth / 10
    measured = f"{growth:.2f} times"
    figures.add(show, f"a rule of {COUNT} beside one of {COUNT // 10}", measured, f"at most {GROWTH}", growth <= GROWTH)
