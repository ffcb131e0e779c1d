# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kube-OVN and KubeVirt make of annotations that somebody writes to a running VM by hand, and what is made good.

Each test is a row of what was observed: its first part shows what happens without the collection, which the module then
finds. Kube-OVN and KubeVirt may change: a test whose first part fails tells so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from support.eip_lab import EIP, ROUTED, gateway, machine, runs
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually

VM = "rows-vm"
ADDRESS, OTHER = "10.4.19.165", "10.4.19.166"
RUNNING = 180.0  # seconds in which a machine is there again, on a busy lab


def good(*eips: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The result of a run that succeeds."""
    result = alone("ovn_eip", {"eips": list(eips), **options})
    assert not result["failed"], result.get("msg")
    return result


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, and a VM that may run on any node."""
    live = Live(lab)
    gateway(live)
    mover = machine(VM, running=True)
    del mover["spec"]["template"]["spec"]["nodeSelector"]
    live.apply(mover)
    runs(live, (VM,))
    yield live
    live.kubectl("delete", "vm", "-n", "default", "--ignore-not-found", VM, "--wait=true")


@pytest.fixture
def bare(live: Live) -> Iterator[Live]:
    """Nobody has an EIP, and so it is again in the end."""
    yield live
    good({"vm": VM}, state="absent")
    for address in (ADDRESS, OTHER):
        good({"vm": VM, "address": address}, state="absent")


def launcher(live: Live) -> dict[str, Any]:
    """The VM's pod, which has its network."""
    found = eventually(lambda: live.launcher(VM), bool, RUNNING, f"VM {VM} runs")
    assert found is not None
    return found


def overlay(live: Live) -> str:
    return str(launcher(live)["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"])


def leads(live: Live, address: str) -> list[str]:
    return [logical for _type, external, logical in live.rules() if external == address]


def on_the_pod(live: Live, address: str) -> None:
    """As somebody does who has read no more than Kube-OVN's documentation."""
    name = launcher(live)["metadata"]["name"]
    live.patch("pod", name, {"metadata": {"annotations": {EIP: address, ROUTED: None}}})
    eventually(partial(leads, live, address), bool, 60, f"Kube-OVN's rule of {address}")


def actions(result: dict[str, Any]) -> list[str]:
    return [step["action"] for step in result["plan"] if "claim" not in step["action"]]


def test_template_and_instance_of_a_running_vm_do_not_reach_its_pod(bare: Live) -> None:
    rules = bare.rules()
    bare.patch("vm", VM, {"spec": {"template": {"metadata": {"annotations": {EIP: ADDRESS}}}}})
    bare.patch("vmi", VM, {"metadata": {"annotations": {EIP: ADDRESS}}})  # virt-api's webhooks would allow it, too
    foretold = alone("ovn_eip", {"eips": [{"vm": VM, "address": ADDRESS}]}, check=True)
    assert actions(foretold) == ["annotate_pod"], "template and instance have it, the pod does not"
    assert bare.rules() == rules
    conditions = (bare.get("vm", VM) or {})["status"].get("conditions", [])
    assert "RestartRequired" not in [one["type"] for one in conditions]
    assert actions(good({"vm": VM, "address": ADDRESS})) == ["annotate_pod"]
    assert leads(bare, ADDRESS) == [overlay(bare)]


def test_another_eip_on_the_pod_of_a_running_vm_makes_two_rules(bare: Live) -> None:
    good({"vm": VM, "address": ADDRESS})
    on_the_pod(bare, OTHER)
    assert leads(bare, ADDRESS) == leads(bare, OTHER) == [overlay(bare)]
    good({"vm": VM, "address": ADDRESS})
    assert (leads(bare, ADDRESS), leads(bare, OTHER)) == ([overlay(bare)], [])


def test_an_eip_on_the_pod_alone_is_lost_at_a_restart_but_for_its_policy(bare: Live) -> None:
    on_the_pod(bare, ADDRESS)
    ip, old = overlay(bare), launcher(bare)["metadata"]["uid"]
    bare.kubectl("delete", "vmi", "-n", "default", VM, "--wait=false")
    eventually(lambda: launcher(bare)["metadata"]["uid"], lambda uid: uid != old, RUNNING, "another launcher pod")
    eventually(partial(leads, bare, ADDRESS), lambda found: not found, 60, "Kube-OVN takes the rule")
    assert overlay(bare) == ip
    assert f"ip4.src == {ip}" in bare.policies(), "it sends the VM's packets to where nobody translates them"
    good({"vm": VM}, state="absent")
    assert f"ip4.src == {ip}" not in bare.policies()


def test_what_a_vm_that_is_deleted_while_it_runs_leaves_goes_with_its_claim(bare: Live) -> None:
    """The last one: Kube-OVN leaves rule and policy, or not, as the order of events decides."""
    good({"vm": VM, "address": ADDRESS})
    ip = overlay(bare)
    bare.kubectl("delete", "vm", "-n", "default", VM, "--wait=true")
    eventually(lambda: bare.get("ips.kubeovn.io", f"{VM}.default"), lambda found: found is None, 60, "its IP is free")
    result = alone("ovn_eip", {"state": "pruned"})
    assert not result["failed"], result.get("msg")
    assert f"eip-{ADDRESS}" not in json.dumps(bare.kubectl("get", "leases", "-n", "kubeovn-core", "-o", "name"))
    assert leads(bare, ADDRESS) == []
    assert f"ip4.src == {ip}" not in bare.policies()
