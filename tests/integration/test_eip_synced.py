# SPDX-License-Identifier: GPL-3.0-or-later
"""EIPs where virt-controller copies their annotation to launcher pods: --additional-launcher-annotations-sync.

First what happens without the collection, then that the module gets along with it, and warns of what cannot go well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.commands import run
from support.eip_lab import EIP, ROUTED, gateway, machine, runs
from support.fleet import alone
from support.lab import LAB, Lab
from support.live import Live, eventually

pytestmark = pytest.mark.full
VM = "synced-vm"
ADDRESS, OTHER = "10.4.19.167", "10.4.19.168"
FLAG = "--additional-launcher-annotations-sync"


@contextmanager
def synced(live: Live, keys: str) -> Iterator[None]:
    """virt-controller with the flag, as process and as what its Deployment says; then as before."""
    line = next(line for line in live.lab.run("status").splitlines() if line.split()[:1] == ["virt-controller"])
    pid = int(line.split("pid ")[1].split()[0])
    argv = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    os.kill(pid, signal.SIGKILL)
    without_leader(live)
    inside = ["nsenter", f"--net=/proc/self/fd/{network}", "--", *argv, f"{FLAG}={keys}"]
    controller = subprocess.Popen(
        inside, pass_fds=(network,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(network)
    live.apply(deployment(keys))
    try:
        yield
        assert controller.poll() is None, "virt-controller has ended by itself"
    finally:
        live.kubectl("delete", "deployment", "-n", "kubevirt", "virt-controller")
        controller.kill()
        controller.wait()
        without_leader(live)
        run([LAB, "up", "--name", live.lab.name])


def without_leader(live: Live) -> None:
    """The next virt-controller need not wait until the lease of one that was killed has run out."""
    live.kubectl("delete", "lease", "-n", "kubevirt", "virt-controller")


def deployment(keys: str) -> dict[str, Any]:
    """The lab runs virt-controller as a process; the module reads its Deployment."""
    container = {
        "name": "virt-controller",
        "image": "quay.io/kubevirt/virt-controller:v1.7.0",
        "command": ["virt-controller"],
        "args": [f"{FLAG}={keys}"],
    }
    labels = {"kubevirt.io": "virt-controller"}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    metadata = {"name": "virt-controller", "namespace": "kubevirt"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.fixture
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, and a VM."""
    live = Live(lab)
    gateway(live)
    live.apply(machine(VM, running=True))
    runs(live, (VM,))
    yield live
    result = alone("ovn_eip", {"eips": [{"vm": VM}], "state": "absent"})
    live.kubectl("delete", "vm", "-n", "default", VM, "--wait=true")
    assert not result["failed"], result["msg"]


def good(**options: Any) -> dict[str, Any]:
    """A run that succeeds, and after which there is nothing more to do."""
    result: dict[str, Any] = alone("ovn_eip", options)
    again = alone("ovn_eip", options)
    assert not result["failed"], result["msg"]
    assert not again["failed"], again["msg"]
    assert again["changed"] is False
    return result


def notes(live: Live) -> dict[str, str]:
    """The launcher pod's annotations."""
    pod = live.launcher(VM)
    return dict(pod["metadata"]["annotations"]) if pod else {}


def leads(live: Live, address: str) -> list[str]:
    return [logical for _type, external, logical in live.rules() if external == address]


def by_hand(live: Live, address: str) -> None:
    """Another EIP on the pod alone: it is reverted, and Kube-OVN may have made a rule of it before or not."""
    launcher = live.launcher(VM)
    assert launcher is not None
    before = notes(live)[EIP]
    live.patch("pod", launcher["metadata"]["name"], {"metadata": {"annotations": {EIP: address, ROUTED: None}}})
    assert before != address
    eventually(
        partial(notes, live), lambda seen: seen.get(EIP) == before and seen.get(ROUTED) == "true", 90, "it is reverted"
    )


def test_the_annotation_is_copied_but_no_rule_comes_of_it_until_the_module_runs(live: Live) -> None:
    with synced(live, EIP):
        live.patch("vm", VM, {"spec": {"template": {"metadata": {"annotations": {EIP: ADDRESS}}}}})
        live.patch("vmi", VM, {"metadata": {"annotations": {EIP: ADDRESS}}})
        copied = eventually(partial(notes, live), lambda seen: seen.get(EIP) == ADDRESS, 90, "the copy on the pod")
        assert copied[ROUTED] == "true"
        assert leads(live, ADDRESS) == []
        good(eips=[{"vm": VM, "address": ADDRESS}])
        ip = notes(live)["ovn.kubernetes.io/ip_address"]
        assert leads(live, ADDRESS) == [ip]
        good(eips=[{"vm": VM, "address": OTHER}])
        assert (leads(live, ADDRESS), leads(live, OTHER)) == ([], [ip])
        assert live.answers(OTHER)
        by_hand(live, ADDRESS)
        good(eips=[{"vm": VM, "address": OTHER}])
        assert (leads(live, ADDRESS), leads(live, OTHER)) == ([], [ip])
        good(eips=[{"vm": VM}], state="absent")
        assert leads(live, OTHER) == []
        assert EIP not in notes(live)


def test_the_run_warns_where_routed_is_copied(live: Live) -> None:
    with synced(live, f"{EIP},{ROUTED}"):
        foretold = alone("ovn_eip", {"eips": [{"vm": VM, "address": ADDRESS}]}, check=True)
        assert not foretold["failed"], foretold["msg"]
        # A module that Ansible has not started tells its warnings in a form of ansible-core's own.
        assert f"out of its {FLAG}" in json.dumps(foretold["warnings"])
