# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that somebody on the physical network has, though neither Kubernetes nor OVN knows: asked for by ARP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible import module
from support.commands import VENV, CommandFailed, run
from support.eip_lab import GATEWAY, GATEWAYS, claims, gateway, pod, runs
from support.lab import Lab
from support.live import Live, eventually

POD = "arp-one"
TAKEN, FREE, OTHER = "10.4.19.177", "10.4.19.178", "10.4.19.179"
POOL = f"{TAKEN}-{OTHER}"
PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.vm_eip
      vars: {variables}
"""


def asked(node: str, *addresses: str, check: bool = False, **options: Any) -> dict[str, Any]:
    """What the module says on a gateway node."""
    argv = [str(VENV / "bin" / "ansible"), "-i", os.environ["LAB_INVENTORY"], node, "-o"]
    argv += ["-m", "kubeovn.core.ovn_gateway_node_info", "-a", json.dumps({"arp_probe": addresses, **options})]
    argv += ["--check"] if check else []
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    answer = done.stdout.partition("=> ")[2]
    assert answer, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(answer)
    return result


def answering(node: str, *addresses: str, **options: Any) -> list[tuple[str, str]]:
    """(address, MAC) of those who answer."""
    return [(one["address"], one["mac"]) for one in asked(node, *addresses, **options)["arp"]]


def role(folder: Path, *eips: dict[str, Any], **variables: Any) -> str:
    """Run the role on the control node; what Ansible says."""
    named = {"vm_eip_eips": list(eips), "vm_eip_arp_from": GATEWAYS[1]}
    named |= {f"vm_eip_{name}": value for name, value in variables.items()}
    play = folder / "play.yml"
    play.write_text(PLAY.format(variables=json.dumps(named)))
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], play]
    return run(argv, env={"ANSIBLE_NOCOLOR": "1"}, tail=200, timeout=300)


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, whose active node is the first, and a pod."""
    live = Live(lab)
    gateway(live)
    live.apply(pod(POD))
    runs(live, pods=(POD,))
    yield live
    module("kubeovn.core.ovn_eip", {"eips": [{"pod": POD}], "state": "absent"})
    live.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", POD, "--wait=true")


@pytest.fixture
def stranger(live: Live) -> Iterator[str]:
    """The MAC address of a host outside that has taken an address of the pool by hand."""
    device = live.lab.run("outside", "--", "ip", "-o", "route", "get", "10.4.19.1").split()[2]
    live.lab.run("outside", "--", "ip", "address", "add", f"{TAKEN}/32", "dev", device)
    yield live.lab.run("outside", "--", "cat", f"/sys/class/net/{device}/address").strip()
    live.lab.run("outside", "--", "ip", "address", "del", f"{TAKEN}/32", "dev", device)


@pytest.mark.parametrize(
    ("node", "options"),
    [(GATEWAYS[0], {}), (GATEWAYS[1], {"check": True, "arp_nic": "enp8s0", "arp_wait": 0.5})],
    ids=["active", "standby"],
)
def test_a_gateway_node_hears_who_has_an_address_and_that_others_are_free(
    stranger: str, node: str, options: dict[str, Any]
) -> None:
    assert answering(node, POOL, **options) == [(TAKEN, stranger)]


def test_a_probe_leaves_no_trace_with_who_answers(live: Live, stranger: str) -> None:
    node = GATEWAYS[1]
    own = live.lab.run("node", node, "--", "cat", "/sys/class/net/enp8s0/address").strip()
    live.lab.run("outside", "--", "ip", "neigh", "flush", "all")
    assert answering(node, TAKEN) == [(TAKEN, stranger)]
    assert own not in live.lab.run("outside", "--", "ip", "neigh", "show")


def test_a_network_that_cannot_be_asked_is_no_silence(live: Live) -> None:
    said = asked(GATEWAYS[1], FREE, arp_nic="br-external")
    assert "arp_nic: br-external is down: nobody would answer" in said["msg"]
    assert asked(GATEWAYS[1], FREE, arp_nic="br-external", arp_required=False)["arp"] is None
    said = asked(GATEWAYS[1], "10.0.0.0/8", FREE)
    assert said["problems"] == ["arp_probe[0]: '10.0.0.0/8' has 16777214 addresses, more than 4096"]


def test_the_role_gives_another_address_of_the_pool_and_keeps_it(live: Live, stranger: str, tmp_path: Path) -> None:
    wanted = {"pod": POD, "namespace": "default", "pool": POOL}
    with pytest.raises(CommandFailed, match=f"{TAKEN} answers on the network"):
        role(tmp_path, {"pod": POD, "namespace": "default", "address": TAKEN})
    assert f"eip-{TAKEN}" not in claims(live)

    role(tmp_path, wanted)
    assert [external for _type, external, _logical in live.rules() if external in (TAKEN, FREE, OTHER)] == [FREE]
    assert live.answers(FREE) == [62, 62, 62]
    # OVN itself answers for it now, as long as the node that asks is not the active one.
    router = GATEWAY["nic-mac"]
    found = eventually(lambda: answering(GATEWAYS[1], POOL), lambda found: len(found) == 2, 30, "OVN's answer")
    assert found == [(TAKEN, stranger), (FREE, router)]
    again = role(tmp_path, wanted)
    assert "changed=0" in next(line for line in again.splitlines() if "unreachable=" in line)
    # It moves to nobody without `reassign`, and with it OVN's own answer is no hindrance.
    before = live.rules()
    role(tmp_path, {"pod": POD, "namespace": "default", "address": FREE}, reassign=True)
    assert live.rules() == before


@pytest.mark.usefixtures("stranger")
def test_the_role_passes_over_what_it_is_told_and_asks_nobody_then(live: Live, tmp_path: Path) -> None:
    module("kubeovn.core.ovn_eip", {"eips": [{"pod": POD}], "state": "absent"})
    role(tmp_path, {"pod": POD, "namespace": "default", "pool": POOL}, arp_from="", busy=[TAKEN, FREE])
    assert [external for _type, external, _logical in live.rules() if external in (TAKEN, FREE, OTHER)] == [OTHER]


def test_an_eip_is_asked_for_an_answer_and_why_there_may_be_none_is_said(live: Live, tmp_path: Path) -> None:
    """From a host of the gateway's own subnet: a reply goes through the physical gateway, which must send it back."""
    wanted = {"pod": POD, "namespace": "default", "address": FREE}
    asking = {"arp_from": "", "probe_from": "outside-host", "probe_tries": 5}
    role(tmp_path, wanted, **asking, probe_port=22, reassign=True)
    live.lab.run("gateway", "--", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    try:
        for port in (0, 22):
            with pytest.raises(CommandFailed) as failed:
                role(tmp_path, wanted, **asking | {"probe_tries": 2}, probe_port=port)
            said = " ".join(str(failed.value).split())
            assert f"{FREE}: no answer to outside-host" in said
            assert f"NAT rule dnat_and_snat {FREE} ->" in said
            assert "the physical gateway does not send packets of its subnet back" in said
    finally:
        live.lab.run("gateway", "--", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    assert live.answers(FREE)
