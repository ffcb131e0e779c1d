# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge's NIC becomes another one: words, prediction and transactions, against a real database."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_nic, _node_ovsdb, _node_probe
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link, Ovs
from support.vswitch import fill, server

BRIDGE, PATCH = "br-external", "patch-localnet.external-to-br-int"
PEER = {"type": "patch", "options": ["map", [["peer", "other"]]]}
LINKS = {
    **{name: Link(name, "", "", 1500, True, True) for name in ("enp8s0", "enp9s0", "enp10s0")},
    "tap1": Link("tap1", "tun", "", 1500, True, True),
    "veth1": Link("veth1", "veth", "", 1500, True, True),
    "br-external": Link("br-external", "openvswitch", "", 1500, True, True),
}


@pytest.fixture
def vswitch(tmp_path: Path) -> Generator[str]:
    """Open vSwitch's database with a gateway's bridges; there is no ovs-vswitchd that would act on it."""
    with server(tmp_path) as sock:
        ports: dict[str, dict[str, Any]] = {BRIDGE: {"type": "internal"}, "enp8s0": {}, PATCH: PEER, "tap1": {}}
        fill(sock, {BRIDGE: ports, "br-phy": {"br-phy": {}, "enp2s0": {}}}, {})
        yield str(sock)


def old(ovs: Ovs, nic: str) -> list[str]:
    return [name for name in _node.bridged_nics(LINKS, ovs, BRIDGE, in_container=False) if name != nic]


def carry_out(sock: str, nic: str, *, switch: bool) -> list[str]:
    """Do it, and hold that the prediction was right."""
    before = _node_probe.open_vswitch(sock)
    steps = _node_nic.steps(before, nic, BRIDGE, old(before, nic), switch)
    found = _node_nic.operations(before, nic, BRIDGE, old(before, nic), switch, _node_probe.port_uuids(sock))
    assert bool(found) == bool(steps)
    predicted = _node_nic.after(before, nic, BRIDGE, old(before, nic), switch)
    if found:
        _node_ovsdb.transact(sock, found)
    after = _node_probe.open_vswitch(sock)
    assert (after.bridges, after.staged) == (predicted.bridges, predicted.staged)
    assert _node_nic.steps(after, nic, BRIDGE, old(after, nic), switch) == []
    return steps


def test_staged_then_switched(vswitch: str) -> None:
    assert carry_out(vswitch, "enp9s0", switch=False) == ["put enp9s0 into br-external, carrying nothing yet"]
    between = _node_probe.open_vswitch(vswitch)
    assert between.staged == {"enp9s0"}
    assert between.bridges[BRIDGE] == ("br-external", "enp8s0", "enp9s0", PATCH, "tap1")
    assert carry_out(vswitch, "enp9s0", switch=True) == [
        "let enp9s0 in br-external carry traffic",
        "take enp8s0 out of br-external",
    ]
    after = _node_probe.open_vswitch(vswitch)
    assert after.bridges == {BRIDGE: ("br-external", "enp9s0", PATCH, "tap1"), "br-phy": ("br-phy", "enp2s0")}
    assert after.staged == frozenset()


def test_switched_at_once(vswitch: str) -> None:
    assert carry_out(vswitch, "enp9s0", switch=True) == [
        "put enp9s0 into br-external",
        "take enp8s0 out of br-external",
    ]
    assert old(_node_probe.open_vswitch(vswitch), "enp9s0") == []


def test_a_loop_is_ended(vswitch: str) -> None:
    """As Kube-OVN's daemon leaves it: both carry traffic."""
    fill_port(vswitch, "enp9s0")
    assert carry_out(vswitch, "enp9s0", switch=True) == ["take enp8s0 out of br-external"]


def test_another_mind_takes_the_staged_one_out_again(vswitch: str) -> None:
    carry_out(vswitch, "enp9s0", switch=False)
    assert carry_out(vswitch, "enp8s0", switch=True) == ["take enp9s0 out of br-external"]


@pytest.mark.parametrize("switch", [False, True])
def test_a_bridge_that_is_right_or_without_any_nic_stays(vswitch: str, switch: bool) -> None:
    assert carry_out(vswitch, "enp8s0", switch=switch) == []
    ovs = _node_probe.open_vswitch(vswitch)
    _node_ovsdb.transact(vswitch, _node.release(ovs, "enp8s0", BRIDGE, "external", _node_probe.port_uuids(vswitch)))
    assert carry_out(vswitch, "enp9s0", switch=switch) == []


def test_a_port_that_another_has_added_meanwhile_fails_it_whole(vswitch: str) -> None:
    before = _node_probe.open_vswitch(vswitch)
    found = _node_nic.operations(before, "enp9s0", BRIDGE, ["enp8s0"], True, _node_probe.port_uuids(vswitch))
    fill_port(vswitch, "enp9s0")
    with pytest.raises(OSError, match="enp9s0"):
        _node_ovsdb.transact(vswitch, found)
    assert "enp8s0" in _node_probe.open_vswitch(vswitch).bridges[BRIDGE]


def fill_port(sock: str, name: str) -> None:
    """Another one adds a port to the bridge."""
    interface = {"op": "insert", "table": "Interface", "row": {"name": name}, "uuid-name": "i"}
    row = {"name": name, "interfaces": ["named-uuid", "i"]}
    port = {"op": "insert", "table": "Port", "row": row, "uuid-name": "p"}
    mutations = [["ports", "insert", ["named-uuid", "p"]]]
    bridge = {"op": "mutate", "table": "Bridge", "where": [["name", "==", BRIDGE]], "mutations": mutations}
    _node_ovsdb.transact(sock, [interface, port, bridge])


def test_nics_in_a_bridge() -> None:
    ports = (BRIDGE, "enp8s0", "tap1", "veth1", PATCH, "pmd0", "gone")
    ovs = Ovs(bridges={BRIDGE: ports}, types={PATCH: "patch", "pmd0": "dpdk", BRIDGE: "internal"})
    assert _node.bridged_nics(LINKS, ovs, BRIDGE, in_container=False) == ["enp8s0", "pmd0"]
    assert _node.bridged_nics(LINKS, ovs, BRIDGE, in_container=True) == ["enp8s0", "veth1", "pmd0"]
    assert _node.bridged_nics(LINKS, ovs, "br-x", in_container=False) == []


def test_a_gateway_with_two_nics_or_a_staged_one_is_not_whole() -> None:
    ports = (BRIDGE, "enp8s0", "enp9s0", PATCH)
    both = Ovs(
        bridges={BRIDGE: ports, "br-int": ("br-int", "other")},
        peers={PATCH: "other"},
        external_ids={"ovn-bridge-mappings": "external:br-external"},
    )
    assert _node.missing(LINKS, both, "enp9s0", BRIDGE, "external") == [
        "br-external still holds enp8s0: two NICs of one network are a loop"
    ]
    staged = Ovs(both.bridges, both.errors, both.peers, both.external_ids, staged=frozenset({"enp9s0"}))
    assert _node.missing(LINKS, staged, "enp8s0", BRIDGE, "external") == []
    assert "enp9s0 in br-external is staged only, it carries nothing yet" in _node.missing(
        LINKS, staged, "enp9s0", BRIDGE, "external"
    )


def test_a_change_counts_when_vswitchd_has_taken_it_over(vswitch: str) -> None:
    with pytest.raises(OSError, match=r"did not take the change over within 0\.1 s"):
        _node_ovsdb.apply(vswitch, [], timeout=0.1)
    done = {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"cur_cfg": 9}}
    _node_ovsdb.apply(vswitch, [done], timeout=0.1)


def test_tunnels_and_their_bfd(vswitch: str) -> None:
    options = ["map", [["remote_ip", "10.4.17.12"], ["key", "flow"]]]
    status = ["map", [["state", "up"], ["forwarding", "true"]]]
    rows = [
        {"name": "ovn-a", "type": "geneve", "options": options, "bfd_status": status},
        {"name": "ovn-b", "type": "geneve", "options": ["map", [["remote_ip", "10.4.17.13"]]], "error": "no route"},
    ]
    found: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        found.append({"op": "insert", "table": "Interface", "row": row, "uuid-name": f"i{number}"})
        port = {"name": row["name"], "interfaces": ["named-uuid", f"i{number}"]}
        found.append({"op": "insert", "table": "Port", "row": port, "uuid-name": f"p{number}"})
    ports = ["set", [["named-uuid", "p0"], ["named-uuid", "p1"]]]
    mutation = ["ports", "insert", ports]
    found.append({"op": "mutate", "table": "Bridge", "where": [["name", "==", "br-phy"]], "mutations": [mutation]})
    _node_ovsdb.transact(vswitch, found)
    assert sorted(_node_probe.open_vswitch(vswitch).tunnels, key=lambda tunnel: tunnel.remote) == [
        _node.Tunnel("10.4.17.12", "up"),
        _node.Tunnel("10.4.17.13", None, "no route"),
    ]
