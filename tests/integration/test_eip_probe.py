# SPDX-License-Identifier: GPL-3.0-or-later
"""EIPs asked for an answer from a host outside by role vm_eip, and what it says when the way to one is cut."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.commands import VENV, CommandFailed, run
from support.eip_lab import gateway, machine, pod, runs
from support.fleet import alone
from support.lab import Lab
from support.live import Live

VM, POD = "probe-vm", "probe-pod"
REACHED, CUT = "10.4.19.184", "10.4.19.185"  # the VM's, the pod's
PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.vm_eip
      vars: {variables}
"""


def role(folder: Path, **probe: Any) -> str:
    """Run the role on the control node for both; what Ansible says."""
    eips = [{"vm": VM, "namespace": "default", "address": REACHED}, {"pod": POD, "namespace": "default"}]
    eips[1]["address"] = CUT
    named: dict[str, Any] = {"vm_eip_eips": eips, "vm_eip_probe_from": "outside-host"}
    named |= {f"vm_eip_probe_{name}": value for name, value in probe.items()}
    play = folder / "play.yml"
    play.write_text(PLAY.format(variables=json.dumps(named)))
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], play]
    return run(argv, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}, tail=200, timeout=300)


def refused(folder: Path, **probe: Any) -> str:
    """What the role says when it fails."""
    with pytest.raises(CommandFailed) as failed:
        role(folder, **probe)
    return str(failed.value)


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, a VM and a pod."""
    live = Live(lab)
    gateway(live)
    try:
        live.apply(machine(VM, running=True), pod(POD))
        runs(live, (VM,), (POD,))
        yield live
    finally:
        alone("ovn_eip", {"eips": [{"vm": VM}, {"pod": POD}], "state": "absent"})
        live.kubectl("delete", "vm,pod", "-n", "default", "--ignore-not-found", VM, POD, "--wait=true")


@contextmanager
def without_hairpin(live: Live, address: str) -> Iterator[None]:
    """The physical gateway sends nothing back to its own network that comes from the address."""
    rule = ("from", f"{address}/32", "blackhole", "priority", "90")
    live.lab.run("gateway", "--", "ip", "rule", "add", *rule)
    try:
        yield
    finally:
        live.lab.run("gateway", "--", "ip", "rule", "del", *rule)


@contextmanager
def without_route(live: Live, address: str) -> Iterator[None]:
    """The host outside has no route to the address."""
    live.lab.run("outside", "--", "ip", "route", "add", "unreachable", f"{address}/32")
    try:
        yield
    finally:
        live.lab.run("outside", "--", "ip", "route", "del", "unreachable", f"{address}/32")


def test_all_are_asked_at_a_port_and_the_one_where_nothing_listens_is_named(live: Live, tmp_path: Path) -> None:
    role(tmp_path, port=22)
    said = refused(tmp_path, port=23, tries=1)
    assert f"{REACHED}, {CUT}: no answer to outside-host in 1 tries at port 23." in said
    assert f"{REACHED} said: port 23: Connection refused: its host answers, and nothing listens there." in said


def test_a_physical_gateway_without_hairpin_is_among_the_probable_causes(live: Live, tmp_path: Path) -> None:
    with without_hairpin(live, CUT):
        said = refused(tmp_path, tries=2)
    assert f"{CUT}: no answer to outside-host in 2 tries." in said
    assert f"Answered: {REACHED}." in said
    assert f"{CUT} was silent." in said
    rule = next(logical for _type, external, logical in live.rules() if external == CUT)
    assert f"NAT rule dnat_and_snat {CUT} -> {rule}: pod {POD} on node" in said
    assert "policy reroute 10.4.19.1." in said, "OVN is right, so that it must be the way"
    assert "the physical gateway does not send packets of its subnet back to it (hairpin" in said


def test_a_host_without_a_route_is_told_what_its_own_ping_says(live: Live, tmp_path: Path) -> None:
    with without_route(live, REACHED):
        said = refused(tmp_path, tries=1)
    assert f"Answered: {CUT}." in said
    assert f"{REACHED} said: " in said
    assert "No route to host" in said
