# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovn_external_gw refuses before the first write: every finding, all at once, each with the option's path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import absent_problems, wanted
from ansible_collections.kubeovn.core.plugins.module_utils._model import NatRule
from support.gateway_cases import MACS, bare, gateway, up
from support.gateway_world import World

OPTIONS: dict[str, Any] = {
    "nodes": ["g1", "g2"],
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": MACS[0],
}


def refusals(world: World | None = None, **options: Any) -> dict[str, str]:
    seen = (world or bare()).observe()
    return {problem.path: problem.text for problem in wanted({**OPTIONS, **options}, seen)[1]}


def test_good_options_are_not_refused() -> None:
    asked, problems = wanted(OPTIONS, bare().observe())
    assert problems == []
    assert asked == gateway("g1", "g2")


def test_everything_wrong_is_said_at_once() -> None:
    found = refusals(nodes=["g1", "nope", "g1"], nic="a/b", gateway="10.4.19.1", nic_ip="10.4.19.255/24", nic_mac="1")
    assert sorted(found) == ["gateway", "nic", "nic_ip", "nic_mac", "nodes[1]", "nodes[2]"]


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        ({"nodes": []}, "nodes", "no node"),
        ({"nic_ip": "10.4.19.1/24"}, "nic_ip", "physical gateway's address"),
        ({"nic_ip": "10.4.20.254/24"}, "nic_ip", "not in the gateway's network"),
        ({"nic_ip": "10.4.19.254/25"}, "nic_ip", "not in the gateway's network"),
        ({"nic_mac": "17:52:f3:13:6a:25"}, "nic_mac", "multicast"),
        ({"nic": "much-too-long-name"}, "nic", "cannot be the name"),
        ({"nic": "br-int"}, "nic", "bridge of Kube-OVN's"),
    ],
)
def test_refused_with_the_options_path(options: dict[str, Any], path: str, text: str) -> None:
    assert text in refusals(**options)[path]


def test_nodes_that_would_stop_the_controller_are_refused() -> None:
    seen = bare().observe()
    nodes = tuple(replace(node, chassis=None) if node.name == "g1" else node for node in seen.nodes)
    chassis = tuple(row for row in seen.ovn.chassis if row.name != "g2")
    broken = replace(seen, nodes=nodes, ovn=replace(seen.ovn, chassis=chassis))
    found = {problem.path: problem.text for problem in wanted(OPTIONS, broken)[1]}
    assert "annotation" in found["nodes[0]"]
    assert "southbound" in found["nodes[1]"]


def test_addresses_of_others_are_refused() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5", "testing.default"),)
    assert "EIP in use, of testing.default" in refusals(world, nic_ip="10.4.19.101/24")["nic_ip"]
    assert "10.4.19.101" in refusals(world, nic_ip="10.4.20.254/24", gateway="10.4.20.1/24")["nic_ip"]
    seen = replace(bare().observe(), overlays={"ovn-default": "10.253.0.0/16", "join": "10.4.0.0/16,fd00::/64"})
    assert "overlaps subnet join" in next(one.text for one in wanted(OPTIONS, seen)[1])
    nodes = tuple(replace(node, internal_ips=("10.4.19.254",)) for node in seen.nodes)
    seen = replace(seen, nodes=nodes, overlays={})
    assert "address of node g1" in next(one.text for one in wanted(OPTIONS, seen)[1])


def test_a_cluster_that_ignores_the_config_map_is_refused() -> None:
    seen = replace(bare().observe(), extra_subnets=("extra",))
    assert "extraExternalSubnets" in wanted(OPTIONS, seen)[1][0].text


def test_a_mac_left_out_is_kept_or_derived() -> None:
    options = {**OPTIONS, "nic_mac": None}
    fresh = wanted(options, bare().observe())[0].nic_mac
    assert fresh == wanted(options, bare().observe())[0].nic_mac
    assert int(fresh[:2], 16) & 0b11 == 0b10
    assert wanted(options, up().observe())[0].nic_mac == MACS[0]
    world = bare()
    world.config_map = {"nic-mac": MACS[1]}
    assert wanted(options, world.observe())[0].nic_mac == MACS[1]


def test_a_gateway_in_use_is_not_removed() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),)
    world.ports["external-tenant"] = ("router", {"router-port": "tenant-external"})
    paths = {problem.path for problem in absent_problems(world.observe())}
    assert paths == {"EIP 10.4.19.101", "switch external"}
