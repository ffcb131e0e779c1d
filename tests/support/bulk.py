# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many pods with overlay addresses, and a loop that annotates them all without the module.

Two things are not what a cluster has. kwok plays the pods, which have no network behind them; Kube-OVN's controller
does for them all that it does for any pod. And their ports are bound by hand to a chassis that is no machine: a row
in SB, without which the controller would collect it as garbage annotated at its Node.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.config import load_kube_config

from support.eip_lab import CLAIMS, EIP, ROUTED, claims
from support.live import OPERATOR, Live, eventually
from support.measured import Audit, answered

ROUTER, REROUTE = "ovn-cluster", "29250"
NODE = "lab-central"  # the one that kwok plays
CHASSIS = "bulk-chassis"
NAMESPACE = "bulk"
ADDRESS = "ovn.kubernetes.io/ip_address"
CHASSIS_ANNOTATION = "ovn.kubernetes.io/chassis"
CONTROLLER = "kube-ovn-controller"
WRITERS = 16  # as many as the module has
STALLED = 60.0  # seconds in which Kube-OVN's controller must do one pod at least
LOOKS = 3.0  # seconds between two looks at all pods: each costs the API server something
AT_ONCE = 200  # commands in one call of ovn-nbctl or ovn-sbctl


def names(count: int) -> list[str]:
    """The pods' names."""
    return [f"bulk-{number:05}" for number in range(count)]


def pod(name: str, annotations: Mapping[str, str | None] | None = None) -> dict[str, Any]:
    """A pod on kwok's node, or what a user would write of it to annotate it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    if annotations is not None:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "annotations": dict(annotations)}}
    spec = {
        "nodeName": NODE,
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Bulk:
    """The pods, and what is left of them in OVN."""

    def __init__(self, live: Live, count: int) -> None:
        self.live = live
        self.names = names(count)
        self.list = live.folder / "bulk.json"

    def make(self) -> None:
        """The pods with their addresses, their ports bound."""
        live = self.live
        live.kubectl("create", "namespace", NAMESPACE)
        eventually(partial(live.get, "serviceaccount", "default", NAMESPACE), bool, 30, "the ServiceAccount")
        self.write(self.list, [pod(name) for name in self.names])
        live.lab.run("kubectl", "create", "-f", str(self.list), timeout=1200)
        self._progress(lambda: len(self.names) - len(self._routed()), "pods without an address")
        # At an address of TEST-NET-1. As one of another site (is-remote) northd would take the ports from it again.
        settings = ("set", "chassis", CHASSIS, f"hostname={NODE}")
        live.lab.run("sbctl", "chassis-add", CHASSIS, "geneve", "192.0.2.1", "--", *settings)
        live.kubectl("annotate", "node", NODE, f"{CHASSIS_ANNOTATION}={CHASSIS}")
        for words in _portions(("lsp-bind", f"{name}.{NAMESPACE}", CHASSIS) for name in self.names):
            live.lab.run("sbctl", *words)
        eventually(self._unbound, lambda count: count == 0, 30, "all ports are bound")

    def _unbound(self) -> int:
        """How many of the pods' ports no chassis has."""
        columns = ("--bare", "--columns=logical_port", "find", "Port_Binding", "chassis=[]")
        return sum(name.endswith(f".{NAMESPACE}") for name in self.live.lab.run("sbctl", *columns).split())

    def remove(self) -> None:
        """All of it; what EIPs have left as well."""
        live = self.live
        self.sweep()
        mine = [name for name, claim in claims(live).items() if f" {NAMESPACE}/" in str(claim["holder"])]
        if mine:
            live.lab.run("kubectl", "delete", "leases", "-n", CLAIMS, *mine, timeout=600)
        live.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        live.kubectl("annotate", "node", NODE, f"{CHASSIS_ANNOTATION}-")
        live.lab.run("sbctl", "--if-exists", "chassis-del", CHASSIS)
        self._progress(self._ports, "ports")
        eventually(partial(live.get, "namespace", NAMESPACE), lambda found: not found, 300, "the namespace is gone")

    @staticmethod
    def write(path: Path, items: list[dict[str, Any]]) -> None:
        """A list, for kubectl."""
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def rules(self) -> dict[str, list[str]]:
        """Of each pod its NAT rows' external addresses."""
        addresses = {ip: name for name, ip in self._routed().items()}
        found: dict[str, list[str]] = {name: [] for name in self.names}
        for _kind, external, logical in self.live.rules():
            if logical in addresses:
                found[addresses[logical]].append(external)
        return found

    def rerouted(self) -> int:
        """How many of the pods a policy reroutes."""
        policies = self.live.policies()
        return sum(f"ip4.src == {ip}" in policies for ip in self._routed().values())

    def sweep(self) -> None:
        """Without the module: what Kube-OVN leaves behind goes by hand, for all that are on the lab."""
        mine = set(self._routed().values())
        rules = [
            ("lr-nat-del", ROUTER, kind, external) for kind, external, logical in self.live.rules() if logical in mine
        ]
        matches = [match for match in self.live.policies() if match.removeprefix("ip4.src == ") in mine]
        for words in _portions([*rules, *(("lr-policy-del", ROUTER, REROUTE, match) for match in matches)]):
            self.live.nbctl(*words)

    def _ports(self) -> int:
        names = self.live.nbctl("--bare", "--columns=name", "list", "Logical_Switch_Port").split()
        return sum(name.endswith(f".{NAMESPACE}") for name in names)

    def _routed(self) -> dict[str, str]:
        """The overlay addresses of the pods that Kube-OVN has routed."""
        notes = {
            item["metadata"]["name"]: item["metadata"].get("annotations") or {}
            for item in json.loads(self.live.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        }
        return {name: note[ADDRESS] for name, note in notes.items() if note.get(ROUTED) == "true" and ADDRESS in note}

    @staticmethod
    def _progress(left: Callable[[], int], what: str) -> None:
        """Until none is left, as long as they become fewer."""
        count, since = left(), time.monotonic()
        while count:
            time.sleep(LOOKS)
            now = left()
            if now < count:
                count, since = now, time.monotonic()
            assert time.monotonic() < since + STALLED, f"still {count} {what}"


def _portions(commands: Iterable[tuple[str, ...]]) -> Iterator[list[str]]:
    """The words of one call each, for many commands."""
    every = list(commands)
    for start in range(0, len(every), AT_ONCE):
        yield [word for command in every[start : start + AT_ONCE] for word in ("--", *command)][1:]


# --- the loop without the module


def annotate(addresses: Mapping[str, str | None]) -> float:
    """Write all pods' annotations as the module does, 16 at a time, and wait for the controller: seconds it took."""
    heard = Audit()
    began = time.time()
    configuration = Configuration()
    load_kube_config(os.environ["K8S_AUTH_KUBECONFIG"], client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = WRITERS
    api = CoreV1Api(ApiClient(configuration))

    def write(item: tuple[str, str | None]) -> None:
        body = {"metadata": {"annotations": {EIP: item[1], ROUTED: None}}}
        api.patch_namespaced_pod(item[0], NAMESPACE, body, _preload_content=False)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, addresses.items()))
    return max(done for _asked, done in drained(heard, set(addresses))) - began


def drained(heard: Audit, pods: set[str]) -> list[tuple[float, float]]:
    """Wait until the controller has written `routed` to each of these pods: of each when it was asked to, and did."""
    asked: dict[str, float] = {}
    done: dict[str, float] = {}
    progress = time.monotonic()
    while len(done) < len(pods):
        for event in heard.more('"verb":"patch"', '"resource":"pods"', f'"namespace":"{NAMESPACE}"'):
            name = event["objectRef"]["name"]
            if event["user"]["username"] == OPERATOR:
                asked.setdefault(name, answered(event))
            elif CONTROLLER in event["user"]["username"] and name in pods and name in asked and name not in done:
                done[name], progress = answered(event), time.monotonic()
        assert time.monotonic() < progress + STALLED, f"the controller has not done {len(pods) - len(done)} pods"
        time.sleep(0.2)
    return [(asked[name], done[name]) for name in pods]


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """How many seconds somebody waited for the controller: the time that the spans cover together."""
    total, end = 0.0, 0.0
    for asked, done in sorted(spans):
        total += max(0.0, done - max(asked, end))
        end = max(end, done)
    return total
