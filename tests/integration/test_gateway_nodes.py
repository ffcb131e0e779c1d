# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes' side of a gateway that changes in service: who learns a new MAC address, and one NIC for another."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.commands import VENV, CommandFailed, run
from support.eip_lab import GATEWAYS, WORKER
from support.gateway_truth import CONFIG_MAP, Truth
from support.lab import Lab
from support.live import Live, eventually

BRIDGE, PORT = "br-external", "ovn-cluster-external"
PAIR = ("jah-k3s-h100-001", "jah-k3s-h100-002")  # with two external NICs each; the third may have a bond of them
MAC, OTHER_MAC = "16:52:f3:13:6a:25", "16:52:f3:13:6a:5d"
ROUTER, EIP = "10.4.19.254", "10.4.19.120"
NEIGHBOURS = ("outside", "gateway")  # the lab's verbs for the outside host and the physical gateway
PLAY = """\
- hosts: {hosts}
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.{role}
      vars: {variables}
"""


class Site(Live):
    """The lab, whose gateway the role makes."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        super().__init__(lab)
        self.play_file = folder / "play.yml"

    def role(self, *hosts: str, of: str = "external_gateway", **variables: Any) -> str:
        """Run the role; what Ansible says."""
        named = {f"{of}_{name}": value for name, value in variables.items()}
        self.play_file.write_text(PLAY.format(role=of, hosts=json.dumps(list(hosts)), variables=json.dumps(named)))
        argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], self.play_file]
        return run(argv, env={"ANSIBLE_NOCOLOR": "1"}, tail=1000, timeout=900)

    def node(self, name: str, *command: str) -> str:
        """A command on a machine."""
        return self.lab.run("node", name, "--", *command)

    def nics(self, node: str) -> set[str]:
        """What the external bridge holds of the machine's links."""
        ports = self.node(node, "ovs-vsctl", "list-ports", BRIDGE).split()
        return {port for port in ports if not port.startswith("patch-")}

    def received(self, node: str, nic: str) -> int:
        """Frames that came in by a NIC."""
        return int(self.node(node, "cat", f"/sys/class/net/{nic}/statistics/rx_packets"))

    def cached(self, neighbour: str, address: str) -> str:
        """The MAC address in a neighbour's cache."""
        words = self.lab.run(neighbour, "--", "ip", "neigh", "show", address).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def remember(self, neighbour: str, address: str, mac: str) -> None:
        """Put into a neighbour's cache what only an announcement changes: nobody uses it, and it does not expire."""
        device = self.lab.run(neighbour, "--", "ip", "route", "get", address).split()[2]
        entry = [address, "lladdr", mac, "dev", device, "nud", "stale", "extern_learn"]
        self.lab.run(neighbour, "--", "ip", "neigh", "replace", *entry)
        assert self.cached(neighbour, address) == mac

    def forget(self, neighbour: str, address: str) -> None:
        device = self.lab.run(neighbour, "--", "ip", "route", "get", address).split()[2]
        self.lab.run(neighbour, "--", "ip", "neigh", "del", address, "dev", device)

    def ready(self, node: str) -> bool:
        """Whether Kubernetes takes the node for alive."""
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "node", node, "-o", f"jsonpath={path}").strip() == "True"

    def note(self, text: str | None) -> None:
        """A key in the ConfigMap that nobody reads: another text, of which the controller takes notice."""
        self.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", json.dumps({"data": {"site-note": text}}))

    def router_mac(self) -> str:
        return self.nbctl("--bare", "--columns=mac", "find", "logical_router_port", f"name={PORT}").strip()


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    site = Site(lab, tmp_path_factory.mktemp("nodes"))
    site.role("gateway_nodes", of="gateway_nic", arp="never")  # a lab that is new, or was torn down, has no bond
    site.role("gateway_nodes", nic_mac=MAC)
    yield site
    site.role("gateway_nodes", nic_mac=MAC)


@pytest.fixture
def eip(site: Site) -> Generator[str]:
    """An address that OVN answers for, with nobody behind it."""
    site.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", EIP, "10.253.255.9")
    yield EIP
    site.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", EIP)


@pytest.fixture
def memory(site: Site) -> Generator[None]:
    """What the neighbours remember of a test goes with it."""
    yield
    for neighbour in NEIGHBOURS:
        for address in (ROUTER, EIP):
            if site.cached(neighbour, address):
                site.forget(neighbour, address)


@pytest.mark.usefixtures("memory")
def test_a_changed_mac_is_told_to_the_neighbours(site: Site, eip: str) -> None:
    for neighbour in NEIGHBOURS:
        for address in (ROUTER, eip):
            site.remember(neighbour, address, MAC)
    site.role("gateway_nodes", nic_mac=OTHER_MAC)
    assert site.router_mac() == OTHER_MAC
    known = {(host, address): site.cached(host, address) for host in NEIGHBOURS for address in (ROUTER, eip)}
    assert set(known.values()) == {OTHER_MAC}, known
    assert site.answers(ROUTER)
    assert _recap(site.role("gateway_nodes", nic_mac=OTHER_MAC)) == "changed=0"


@pytest.mark.usefixtures("memory")
def test_a_moved_gateway_is_told_to_the_neighbours(site: Site, eip: str) -> None:
    """OVN itself tells of its router port, a second later, and never of an EIP."""
    site.role("gateway_nodes", nodes=list(PAIR), nic_mac=MAC)
    for order in (PAIR[::-1], PAIR):
        for neighbour in NEIGHBOURS:
            site.remember(neighbour, eip, OTHER_MAC)
        site.role("gateway_nodes", nodes=list(order), nic_mac=MAC)
        assert [site.cached(neighbour, eip) for neighbour in NEIGHBOURS] == [MAC, MAC], order
    assert site.answers(ROUTER)


def _recap(said: str) -> str:
    """The play's last lines, one a host; they differ from host to host in nothing but what changed."""
    lines = [line for line in said.splitlines() if "unreachable=" in line]
    changed = {word for line in lines for word in line.split() if word.startswith("changed=")}
    assert len(changed) == 1, lines
    return changed.pop()


def test_one_nic_for_another_and_back(site: Site) -> None:
    site.role(*PAIR, nodes=list(PAIR), nic="enp8s0", nic_mac=MAC)
    site.node(PAIR[1], "ip", "link", "set", "enp9s0", "down")
    began = site.mark()
    with pytest.raises(CommandFailed, match="enp9s0 is down"):
        site.role(*PAIR, nodes=list(PAIR), nic="enp9s0", nic_mac=MAC)
    assert site.written(began) == []  # or the second node would have a loop
    for node in PAIR:
        site.node(node, "ip", "link", "set", "enp9s0", "up")
    before = {node: site.received(node, "enp9s0") for node in PAIR}
    # By the role nobody's traffic is interrupted: the new NIC is in the bridge before anything is written.
    site.role(*PAIR, nodes=list(PAIR), nic="enp9s0", nic_mac=MAC, max_disruption="none")
    assert [site.nics(node) for node in PAIR] == [{"enp9s0"}, {"enp9s0"}]
    assert site.answers(ROUTER)
    said = site.role(*PAIR, nodes=list(PAIR), nic="enp9s0", nic_mac=MAC)
    assert _recap(said) == "changed=0"
    site.role(*PAIR, nodes=list(PAIR), nic="enp8s0", nic_mac=MAC)
    assert [site.nics(node) for node in PAIR] == [{"enp8s0"}, {"enp8s0"}]
    assert site.answers(ROUTER)
    came = {node: site.received(node, "enp9s0") - before[node] for node in PAIR}
    # A loop of two NICs brings tens of thousands of frames a second.
    assert max(came.values()) < 20_000, came
    for node in PAIR:
        assert site.node(node, "ovs-vsctl", "--bare", "--columns=trunks", "list", "port", "enp8s0").split() == []
        site.node(node, "ip", "link", "set", "enp9s0", "down")


def test_a_loop_that_kube_ovn_left_is_seen_and_ended(site: Site) -> None:
    """With the second NIC's link down, so that the loop is none on the lab's network."""
    node = PAIR[1]
    site.node(node, "ip", "link", "set", "enp9s0", "down")
    site.node(node, "ovs-vsctl", "add-port", BRIDGE, "enp9s0")
    assert site.nics(node) == {"enp8s0", "enp9s0"}
    site.role(*PAIR, nodes=list(PAIR), nic="enp8s0", nic_mac=MAC)
    assert site.nics(node) == {"enp8s0"}


def test_a_dead_gateway_is_rescued_and_comes_back_when_it_is_proven(site: Site) -> None:
    node, rows = PAIR[1], ("--bare", "--columns=name", "list", "gateway_chassis")
    chassis = site.node(node, "ovs-vsctl", "get", "open_vswitch", ".", "external_ids:system-id").strip().strip('"')
    site.role("gateway_nodes", nic_mac=MAC)
    assert chassis in site.nbctl(*rows)
    site.lab.run("power", "off", node)
    try:
        eventually(lambda: site.ready(node), lambda ready: not ready, 120, f"{node} is NotReady")
        said = site.role("gateway_nodes", nic_mac=MAC, rescue=True)
        assert f"unverified: {node} cannot be reached" in said
        assert chassis not in site.nbctl(*rows)
        site.note("any other text")
        eventually(lambda: site.nbctl(*rows), lambda names: chassis in names, 60, "Kube-OVN has added the dead one")
        site.role("gateway_nodes", nic_mac=MAC, rescue=True)
        assert chassis not in site.nbctl(*rows)
    finally:
        site.lab.run("power", "on", node, timeout=300)
    eventually(lambda: site.ready(node), bool, 180, f"{node} is Ready")
    assert chassis not in site.nbctl(*rows)
    eventually(lambda: site.nics(node), lambda nics: nics == {"enp8s0"}, 120, f"{node} has its NIC in its bridge")
    site.role("gateway_nodes", nic_mac=MAC, rescue=True)
    assert chassis in site.nbctl(*rows)
    site.note(None)


@pytest.fixture
def powered(site: Site) -> Generator[Site]:
    """All machines are on in the end, and ready."""
    yield site
    everybody = (*GATEWAYS, WORKER)
    for node in everybody:
        site.lab.run("power", "on", node, timeout=300)
    for node in everybody:
        eventually(partial(site.ready, node), bool, 180, f"{node} is Ready")
    for node in GATEWAYS:
        eventually(partial(site.nics, node), lambda nics: nics == {"enp8s0"}, 120, f"{node} has its NIC in its bridge")


@pytest.mark.full
def test_a_gateway_that_was_off_takes_the_traffic_back_though_nobody_has_asked_for_it(powered: Site) -> None:
    """OVN by itself: BFD tells that it is lost, and then that its tunnels are up, which says nothing of its bridge."""
    site, truth = powered, Truth(powered.lab)
    site.role("gateway_nodes", nic_mac=MAC)
    eventually(truth.active, lambda node: node == GATEWAYS[0], what="the first one has the traffic")
    before, mark = truth.state(), site.mark()
    site.lab.run("power", "off", GATEWAYS[0])
    eventually(truth.active, lambda node: node == GATEWAYS[1], 60, "the next one has the traffic")
    eventually(lambda: site.ping(ROUTER), bool, 60, f"{ROUTER} answers again")
    site.lab.run("power", "on", GATEWAYS[0], timeout=300)
    eventually(truth.active, lambda node: node == GATEWAYS[0], 180, "it has the traffic again")
    assert site.written(mark) == []
    assert truth.state() == before


@pytest.mark.full
def test_the_last_machine_of_all_is_no_gateway_until_the_rows_of_the_others_go(powered: Site) -> None:
    """With a worker alive it is one: any chassis will do to have a tunnel to. SB may name a dead one meanwhile."""
    site, truth = powered, Truth(powered.lab)
    last, dead = GATEWAYS[2], (*GATEWAYS[:2], WORKER)
    site.role("gateway_nodes", nic_mac=MAC)
    for node in GATEWAYS[:2]:
        site.lab.run("power", "off", node)
    eventually(truth.active, lambda node: node == last, 60, "the last gateway has the traffic")
    assert site.answers(ROUTER)
    site.lab.run("power", "off", WORKER)
    eventually(truth.active, lambda node: node != last, 60, "it takes itself for the lost one")
    eventually(lambda: [site.ready(node) for node in dead], lambda ready: not any(ready), 120, "they are NotReady")
    assert truth.active() != last
    assert site.ping(ROUTER) == []
    site.role("gateway_nodes", nic_mac=MAC, rescue=True)
    eventually(truth.active, lambda node: node == last, 60, "the last one has the traffic")
    assert site.answers(ROUTER)
    assert [name for name, _rank in truth.gateways()] == [last]
