# SPDX-License-Identifier: GPL-3.0-or-later
"""What role gateway_nic never hands over: each reason provoked on a machine, by links that are there for it alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import VENV, run
from support.lab import Lab

NODE, BOND, MEMBER = "jah-k3s-h100-003", "enp8s0", "enp8s0f0"  # a kernel of its own has all kinds of links
API, INTERNAL = "192.0.2.65", "192.0.2.1"  # addresses for documentation
BEGIN = f"""set -e
for name in kg-route kg-api kg-internal kg-slave kg-bare; do ip link add $name type dummy; ip link set $name up; done
ip link add kg-bridge type bridge
ip link add kg-vlan link kg-bare type vlan id 77
ip link add kg-macvlan link kg-bare type macvlan
ip link add kg-veth type veth peer name kg-port
ip link set kg-slave master kg-bridge
ip address add {INTERNAL}/26 dev kg-internal
ip address add 192.0.2.126/26 dev kg-api
ip route add default dev kg-route table 77
ovs-vsctl add-br br-kg -- set bridge br-kg datapath_type=netdev -- add-port br-kg kg-port
"""
END = """ip route flush table 77 2>/dev/null || true
ovs-vsctl --if-exists del-br br-kg
for name in kg-macvlan kg-vlan kg-veth kg-slave kg-route kg-api kg-internal kg-bare kg-bridge; do
    [ ! -e /sys/class/net/$name ] || ip link delete $name
done
"""
REASONS = {
    "kg-route": "carries the default route of table 77",
    "kg-api": f"carries the way to the API server {API}",
    "kg-internal": f"holds the node's InternalIP {INTERNAL}",
    "kg-bridge": "is a Linux bridge",
    "kg-slave": "is enslaved to bridge kg-bridge",
    "kg-macvlan": "is a macvlan link, not a NIC or a bond",
    "kg-vlan": "is a VLAN link: hand over kg-bare and leave the tag to Kube-OVN",
    "kg-veth": "is a veth of this machine, not a NIC",
    "kg-port": "is a port of Open vSwitch bridge br-kg",  # as a ProviderNetwork's NIC is
    "kg-bare": "is a dummy: nothing is behind it",
    MEMBER: f"is enslaved to bond {BOND}",
    "enp1s0": "carries the default route",
    "enp2s0": "shares its path with br-phy, which holds the encapsulation address",
    "br-phy": "is an Open vSwitch bridge",
}
SHARED = ("kg-bare", "kg-veth", "enp1s0")  # reasons that links of others have as well
CONNECTION = "carries Ansible's connection from"  # enp1s0, too
PLAY = """\
- hosts: {node}
  gather_facts: false
  tasks:
    - kubeovn.core.ovn_gateway_node_info:
        nic: "{{{{ item.nic }}}}"
        members: "{{{{ item.members | default([]) }}}}"
        override: "{{{{ item.override | default([]) }}}}"
        internal_ips: [{internal}]
        api_servers: ["https://{api}:6443"]
      loop: {cases}
      register: answers
    - ansible.builtin.copy:
        content: "{{{{ answers.results | map(attribute='refusals') | to_json }}}}"
        dest: {file}
        mode: "0600"
      delegate_to: localhost
"""


@pytest.fixture(scope="module")
def refused(up: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Asks about many links by one play."""
    folder = tmp_path_factory.mktemp("guard")

    def ask(*cases: dict[str, Any]) -> list[str]:
        play, file = folder / "play.yml", folder / "refusals.json"
        play.write_text(PLAY.format(node=NODE, internal=INTERNAL, api=API, cases=json.dumps(cases), file=file))
        argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], play]
        run(argv, env={"ANSIBLE_NOCOLOR": "1"}, timeout=600)
        return ["; ".join(each) for each in json.loads(Path(file).read_text())]

    def sh(script: str) -> str:
        return up.run("node", NODE, "--", "sh", "-c", script, timeout=120)

    sh(END)  # of a run that was killed
    try:
        sh(BEGIN)
        yield ask
    finally:
        sh(END)


def test_each_link_is_refused_for_its_own_reason(refused: Any) -> None:
    answers = dict(zip(REASONS, refused(*({"nic": nic} for nic in REASONS)), strict=True))
    wrong = {nic: answer for nic, answer in answers.items() if REASONS[nic] not in answer.partition(f"nic: {nic} ")[2]}
    assert not wrong
    for nic, answer in answers.items():
        others = [REASONS[name] for name in REASONS if name not in (nic, *SHARED)]
        assert not [reason for reason in others if reason in answer], answer
    assert CONNECTION in answers["enp1s0"]
    assert [nic for nic, answer in answers.items() if CONNECTION in answer] == ["enp1s0"]


def test_members_are_guarded_and_only_their_own_name_lifts_it(refused: Any) -> None:
    member, named, other, kind, right = refused(
        {"nic": "bond9", "members": ["enp1s0"]},
        {"nic": "bond9", "members": ["enp1s0"], "override": ["enp1s0"]},
        {"nic": "enp1s0", "override": ["enp2s0"]},
        {"nic": "kg-route", "override": ["kg-route"]},
        {"nic": BOND, "members": [MEMBER, "enp8s0f1"]},
    )
    assert "members[0]: enp1s0 carries the default route" in member
    assert not named
    assert "nic: enp1s0 carries the default route" in other
    assert kind == "nic: kg-route is a dummy: nothing is behind it"  # what it is cannot be overridden
    assert not right
