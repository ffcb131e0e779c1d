# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a packet, from rows of NB and SB: whole, of a distributed rule, on one node, and wherever it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    GatewayNode,
    HolderPort,
    NatRule,
    Ovn,
    PodView,
    RoutePolicy,
    RouterPort,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._nat_path import path, port_name

EIP, IP = "10.4.19.101", "10.253.0.11"
MAPPED = {"external": "br-external"}
ROUTER_PORT = RouterPort("lrp", "ovn-cluster-external", "16:52:f3:13:6a:25", ("10.4.19.254/24",))
PATCH = SwitchPort("s2", "external-ovn-cluster", "router", ("router",), {"router-port": "ovn-cluster-external"})
LOCALNET = SwitchPort("s1", "localnet.external", "localnet", ("unknown",), {"network_name": "external"})
OVN = Ovn(
    router_uuid="r",
    router_port=ROUTER_PORT,
    switch_uuid="s",
    switch_ports=(PATCH, LOCALNET),
    nat_rules=(NatRule("n", "dnat_and_snat", EIP, IP),),
    policies=(RoutePolicy("p", 29250, f"ip4.src == {IP}", "reroute", ("10.4.19.1",)),),
    chassis=(Chassis("u1", "c1", "g1", ("10.4.17.11",), MAPPED), Chassis("u2", "c2", "w1", ("10.4.17.21",), {})),
    active_chassis="c1",
)
POD = PodView("shop", "web", "u", "w1", "Running", IP, EIP, True, None)
NODES = (GatewayNode("g1", True, "true", "c1"), GatewayNode("w1", True, None, "c2"))
SEEN = Seen(NODES, (POD,), (), {}, OVN)
HOME = replace(OVN.chassis[1], bridge_mappings=MAPPED)
OTHERS = NatRule("n", "dnat_and_snat", EIP, IP, "other.shop", "0a:58:0a:fd:00:0b")
PORT = HolderPort("web.shop", "0a:58:0a:fd:00:0b", "c2")

Hop = tuple[str, str | None, str | None]


def hops(told: Mapping[str, Any], direction: str) -> list[Hop]:
    return [(hop["action"], hop["node"], hop["via"]) for hop in told[direction]]


def test_the_way_over_the_active_gateway_to_another_node_and_back() -> None:
    assert port_name(SEEN, EIP) == "web.shop"
    told = path(SEEN, EIP, PORT)
    assert (told["complete"], told["lacks"], told["gateway"], told["node"]) == (True, [], "g1", "w1")
    assert hops(told, "inbound") == [
        ("enter", "g1", "br-external"),
        ("dnat", "g1", "ovn-cluster-external"),
        ("tunnel", "w1", "10.4.17.11 -> 10.4.17.21"),
        ("deliver", "w1", "web.shop"),
    ]
    assert hops(told, "outbound") == [
        ("send", "w1", "web.shop"),
        ("reroute", "w1", "10.4.19.1"),
        ("tunnel", "g1", "10.4.17.21 -> 10.4.17.11"),
        ("snat", "g1", "ovn-cluster-external"),
        ("leave", "g1", "br-external"),
    ]
    assert [hop["destination"] for hop in told["inbound"]] == [EIP, IP, IP, IP]
    assert [hop["source"] for hop in told["outbound"]] == [IP, IP, IP, EIP, EIP]


def test_a_holder_on_the_gateway_itself_needs_no_tunnel() -> None:
    told = path(SEEN, EIP, replace(PORT, chassis="c1"))
    assert [hop[0] for hop in hops(told, "inbound")] == ["enter", "dnat", "deliver"]
    assert [hop[0] for hop in hops(told, "outbound")] == ["send", "reroute", "snat", "leave"]


def test_a_distributed_rule_is_translated_at_home() -> None:
    rule = NatRule("n", "dnat_and_snat", EIP, IP, "web.shop", "0a:58:0a:fd:00:0b")
    home = replace(OVN.chassis[1], bridge_mappings=MAPPED)
    told = path(replace(SEEN, ovn=replace(OVN, nat_rules=(rule,), chassis=(OVN.chassis[0], home))), EIP, PORT)
    assert (told["complete"], told["gateway"], told["router_mac"]) == (True, "w1", "0a:58:0a:fd:00:0b")
    assert {hop[1] for way in ("inbound", "outbound") for hop in hops(told, way)} == {"w1"}


def test_another_spelling_of_an_address_is_the_same_address() -> None:
    rule = NatRule("n", "dnat_and_snat", "FD00::0:1", "fd01::b")
    told = path(replace(SEEN, ovn=replace(OVN, nat_rules=(rule,))), "fd00::1", None)
    assert told["logical_ip"] == "fd01::b"


@pytest.mark.parametrize(
    ("changes", "port", "lacks", "inbound", "outbound"),
    [
        ({"nat_rules": ()}, None, ["no NAT rule"], 0, 0),
        ({"router_port": None}, PORT, ["no router port"], 0, 1),
        ({"switch_ports": (PATCH,)}, PORT, ["localnet"], 4, 5),
        ({"switch_ports": (LOCALNET,)}, PORT, ["no port to the router port"], 4, 5),
        ({}, replace(PORT, enabled=False), ["port web.shop"], 4, 5),
        ({"policies": (replace(OVN.policies[0], nexthops=("10.4.20.1",)),)}, PORT, ["10.4.20.1, which"], 4, 5),
        ({"nat_rules": (OTHERS,), "chassis": (OVN.chassis[0], HOME)}, PORT, ["not the holder's"], 3, 4),
        ({"active_chassis": None}, PORT, ["no chassis translates"], 0, 2),
        ({"chassis": (replace(OVN.chassis[0], bridge_mappings={}), OVN.chassis[1])}, PORT, ["g1 maps no bridge"], 4, 5),
        ({"router_port": replace(ROUTER_PORT, enabled=False)}, PORT, ["ovn-cluster-external"], 4, 5),
        ({"switch_ports": (PATCH, replace(LOCALNET, enabled=False))}, PORT, ["localnet.external of switch"], 4, 5),
        (
            {"switch_ports": (PATCH, replace(LOCALNET, options={"network_name": "b"}))},
            PORT,
            ["no bridge to network b"],
            4,
            5,
        ),
        ({"policies": (replace(OVN.policies[0], action="drop"),)}, PORT, ["no policy"], 4, 1),
        ({"policies": ()}, PORT, ["no policy"], 4, 1),
        ({}, None, ["no logical port"], 2, 0),
        ({}, replace(PORT, chassis=None), ["bound to no chassis"], 2, 0),
    ],
)
def test_where_the_way_ends(
    changes: dict[str, Any], port: HolderPort | None, lacks: list[str], inbound: int, outbound: int
) -> None:
    told = path(replace(SEEN, ovn=replace(OVN, **changes)), EIP, port)
    assert told["complete"] is False
    assert len(told["lacks"]) == len(lacks)
    assert all(words in text for words, text in zip(lacks, told["lacks"], strict=True))
    assert (len(told["inbound"]), len(told["outbound"])) == (inbound, outbound)
