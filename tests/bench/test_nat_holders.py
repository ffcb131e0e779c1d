# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT rules joined with their holders: ten thousand pods on the lab's API server, read by one paged LIST.

The pods are on their host's network, so that Kube-OVN's controller, which needs minutes for a thousand, leaves them
alone; the join takes them for pods of the overlay. The rules are as many, and are in no database. KUBEOVN_BENCH_PODS
takes fewer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import PODS, Cluster, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._model import NatRule, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._objects import pod_view
from bench.figures import Figures
from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.config import load_kube_config
from support.commands import Show
from support.lab import Lab
from support.live import OPERATOR, Live, eventually
from support.measured import Audit, kinds

FULL = 10_000
COUNT = int(os.environ.get("KUBEOVN_BENCH_PODS", FULL))
NAMESPACE = "holders"
WRITERS, RUNS = 16, 3
GROWTH = 1.5
T = TypeVar("T")


def overlay(number: int) -> str:
    return f"10.{200 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def pod(number: int) -> dict[str, Any]:
    notes = {"ovn.kubernetes.io/ip_address": overlay(number), "ovn.kubernetes.io/eip": overlay(number)}
    spec = {
        "hostNetwork": True,
        "schedulerName": "nobody",
        "automountServiceAccountToken": False,
        "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
    }
    metadata = {"name": f"holder-{number:05}", "annotations": notes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def crowd(lab: Lab, show: Show) -> Iterator[Cluster]:
    """The pods, and the API server as the collection's identity sees it."""
    live = Live(lab)
    configuration = Configuration()
    load_kube_config(os.environ["KUBECONFIG_ADMIN"], client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = WRITERS
    api = CoreV1Api(ApiClient(configuration))
    live.kubectl("create", "namespace", NAMESPACE)
    try:
        eventually(partial(live.get, "serviceaccount", "default", NAMESPACE), bool, 60, "the ServiceAccount")
        show(f"{COUNT} pods are made")
        with ThreadPoolExecutor(WRITERS) as pool:
            create: Callable[..., object] = partial(api.create_namespaced_pod, NAMESPACE, _preload_content=False)
            list(pool.map(lambda number: create(pod(number)), range(COUNT)))
        yield open_cluster({"kubeconfig": os.environ["K8S_AUTH_KUBECONFIG"]})
    finally:
        api.delete_collection_namespaced_pod(NAMESPACE, grace_period_seconds=0, _preload_content=False)
        live.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        eventually(partial(live.get, "namespace", NAMESPACE), lambda found: not found, 600, "the namespace is gone")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def joined(pods: tuple[Any, ...]) -> tuple[float, int]:
    """Seconds that the join takes, and how many rules have their holder."""
    rules = tuple(NatRule("", "dnat_and_snat", str(one.ip), str(one.ip)) for one in pods)
    seen = Seen((), pods, (), {}, Ovn("r", None, None, (), rules, (), (), None))
    taken, told = timed(lambda: report(seen))
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
    figures.add(show, f"{COUNT} NAT rules joined with their holders and judged", f"{whole:.2f} s")
    growth = whole / tenth / 10
    measured = f"{growth:.2f} times"
    figures.add(show, f"a rule of {COUNT} beside one of {COUNT // 10}", measured, f"at most {GROWTH}", growth <= GROWTH)
