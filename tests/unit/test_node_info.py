# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node may give away and what it lives on: links recorded from a real machine, Open vSwitch read for real.

The recorded machine: management is VLAN bond0.100 on bond0 (vec0, vec1), bond0.200 beside it; enp8s0 is a bond of vec2
and vec3; vec4 is in Linux bridge br0; vec5, vec6 and vec9 carry default routes of tables 77 to 80; vec7 is in a VRF;
mac0 is a macvlan on vec8; d0 is a dummy; pod1_h and pod1_c are a veth pair.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_addresses, _node_ovsdb, _node_probe
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link, Ovs
from ansible_collections.kubeovn.core.plugins.modules import ovn_gateway_node_info
from support.vswitch import fill, server

SUPPORT = Path(__file__).parents[1] / "support"
RECORDED = json.loads((SUPPORT / "recorded_node.json").read_text())
LINKS = _node.parse_links(RECORDED["links"])
DEFAULT_ROUTES = [*_node.default_routes(RECORDED["routes4"]), *_node.default_routes(RECORDED["routes6"])]

PATCH = "patch-localnet.external-to-br-int"
GATEWAY = Ovs(
    bridges={
        "br-external": ("br-external", "enp8s0", PATCH),
        "br-int": ("br-int", "ovn0", "patch-br-int-to-localnet.external"),
        "br-phy": ("br-phy", "vec8"),
    },
    peers={PATCH: "patch-br-int-to-localnet.external"},
    external_ids={"ovn-bridge-mappings": "other:br-x, external:br-external", "ovn-encap-ip": "10.4.17.11"},
)


def refusal(name: str, ovs: Ovs | None = None, bond: str | None = None, container: bool = False) -> list[str]:
    ovs = ovs or Ovs()
    protected = _node.protect(LINKS, ovs, DEFAULT_ROUTES)
    found: list[str] = _node.obstacles(name, LINKS, ovs, protected, "br-external", container, bond=bond)
    return found


# --- what is protected ---


def test_a_default_route_protects_its_whole_stack() -> None:
    protected = _node.protect(LINKS, Ovs(), DEFAULT_ROUTES)
    assert protected["bond0.100"] == ["carries the default route"]
    for name in ("bond0", "bond0.200", "vec0", "vec1"):
        assert protected[name] == ["shares its path with bond0.100, which carries the default route"]


def test_default_routes_of_other_tables_families_and_next_hops_protect() -> None:
    protected = _node.protect(LINKS, Ovs(), DEFAULT_ROUTES)
    assert protected["vec5"] == [f"carries the default route of table {table}" for table in (77, 80)]
    assert protected["vec6"] == ["carries the default route of table 78"]
    assert protected["vec9"] == ["carries the default route of table 80"]


def test_nothing_else_is_protected() -> None:
    expected = {"bond0", "bond0.100", "bond0.200", "vec0", "vec1", "vec5", "vec6", "vec9"}
    assert set(_node.protect(LINKS, Ovs(), DEFAULT_ROUTES)) == expected


def test_ports_of_one_open_vswitch_bridge_share_its_path() -> None:
    links = {**LINKS, "br-phy": Link("br-phy", "tun", "", 1500, True, True, ("10.4.17.12/24",))}
    assert _node.protect(links, GATEWAY, [("br-phy", "holds the tunnels")])["vec8"] == [
        "shares its path with br-phy, which holds the tunnels"
    ]


def test_the_integration_bridge_and_the_kernel_datapath_join_nothing() -> None:
    extra = {
        name: Link(name, "", "", 1500, True, True, master=_node.OVS_DATAPATH) for name in ("ovn0", "pod_h", "eth9")
    }
    links = {**extra, "ovs-system": Link("ovs-system", "openvswitch", "", 1500, False, False)}
    ovs = Ovs(bridges={"br-int": ("br-int", "ovn0", "pod_h"), "br-external": ("br-external", "eth9")})
    assert set(_node.protect(links, ovs, [("ovn0", "x")])) == {"ovn0"}


def test_the_loopback_is_never_an_anchor() -> None:
    assert _node.protect(LINKS, Ovs(), [("lo", "carries the way to the API server 127.0.0.1")]) == {}


def test_who_holds_an_address() -> None:
    assert _node.holder(LINKS, "10.4.18.11") == "bond0.100"
    assert _node.holder(LINKS, "fd00:6:0::11") == "vec6"
    assert _node.holder(LINKS, "10.4.18.12") is None


# --- what may be handed over ---


@pytest.mark.parametrize("name", ["enp8s0", "vec8"])
def test_a_free_nic_and_a_free_bond_may_be_handed_over(name: str) -> None:
    assert refusal(name) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vec5", "default route of table 77"),
        ("bond0", "shares its path with bond0.100"),
        ("vec1", "is enslaved to bond bond0"),
        ("vec2", "is enslaved to bond enp8s0"),
        ("vec4", "is enslaved to bridge br0"),
        ("vec7", "is enslaved to vrf vrf1"),
        ("bond0.200", "is a VLAN link: hand over bond0 and leave the tag to Kube-OVN"),
        ("br0", "is a Linux bridge"),
        ("mac0", "is a macvlan link, not a NIC or a bond"),
        ("d0", "is a dummy"),
        ("lo", "is the loopback"),
        ("pod1_h", "is a veth of this machine, not a NIC"),
        ("enp9s0", "does not exist on this node, whose NICs are bond0, enp8s0, vec0"),
    ],
)
def test_links_that_are_refused(name: str, words: str) -> None:
    assert any(words in problem for problem in refusal(name)), refusal(name)


def test_a_port_of_another_bridge_is_refused_one_of_br_external_is_in_service() -> None:
    assert refusal("vec8", GATEWAY) == ["is a port of Open vSwitch bridge br-phy"]
    assert refusal("enp8s0", GATEWAY) == []


def test_a_port_of_an_unknown_bridge_is_refused() -> None:
    links = {"eth1": Link("eth1", "", "", 1500, True, True, master=_node.OVS_DATAPATH)}
    problems = _node.obstacles("eth1", links, Ovs(problem="no socket"), {}, "br-external", False)
    assert problems == ["is a port of an Open vSwitch bridge, and which one cannot be read: no socket"]


def test_a_veth_is_a_nic_only_of_a_container_and_only_with_its_other_end_outside() -> None:
    links = {"eth1": Link("eth1", "veth", "", 1500, True, True)}
    assert _node.obstacles("eth1", links, Ovs(), {}, "br-external", True) == []
    assert _node.obstacles("eth1", links, Ovs(), {}, "br-external", False) != []
    assert refusal("pod1_h", container=True) != []


def test_members_of_a_bond() -> None:
    assert refusal("vec8", bond="enp8s0") == []
    assert refusal("vec2", bond="enp8s0") == []
    assert refusal("vec1", bond="enp8s0")[-1] == "is enslaved to bond bond0"
    assert refusal("bond0", bond="enp8s0") != []
    in_service = Ovs(bridges={"br-external": ("br-external", "vec8")})
    assert refusal("vec8", in_service, bond="enp8s0") == ["is a port of Open vSwitch bridge br-external"]


@pytest.mark.parametrize(
    ("name", "members", "words"),
    [
        ("vec8", ["vec8"], "among its own members"),
        ("vec8", ["vec2"], "exists already and is not a bond"),
        ("bond/1", ["vec8"], "is no name for a link"),
        ("a-name-that-is-too-long", ["vec8"], "at most 15 characters"),
        ("bond1", ["vec8", "vec8"], "a member twice"),
    ],
)
def test_bonds_that_cannot_be(name: str, members: list[str], words: str) -> None:
    assert any(words in problem for problem in _node.bond_obstacles(name, members, LINKS))


FREE = {name: link for name, link in LINKS.items() if name != "mac0"}  # nothing stands on vec8
ASKED = {"nic": "bond9", "members": ["vec8", "vec1"], "bridge": "br-external", "bond": None, "override": []}
REASONS = "vec1 shares its path with bond0.100, which carries the default route, is enslaved to bond bond0"


def test_the_module_names_the_option_of_each_refusal() -> None:
    protected = _node.protect(LINKS, Ovs(), DEFAULT_ROUTES)
    params = {**ASKED, "bond": {"mode": "802.3ad", "primary": "vec8"}}
    assert ovn_gateway_node_info.refusals(params, FREE, Ovs(), protected, {}) == [
        f"members[1]: {REASONS}",
        "bond.primary: bonds of mode 802.3ad have no primary; those of active-backup, balance-tlb, balance-alb have",
    ]


def test_only_a_link_that_is_named_is_overridden_and_only_that_the_node_lives_on_it() -> None:
    protected = _node.protect(LINKS, Ovs(), DEFAULT_ROUTES)
    for names, words in ((["vec0", "bond9"], REASONS), (["vec1"], "vec1 is enslaved to bond bond0")):
        params = {**ASKED, "override": names}
        assert ovn_gateway_node_info.refusals(params, FREE, Ovs(), protected, {}) == [f"members[1]: {words}"]


def test_what_stands_on_a_link_would_lose_its_network() -> None:
    words = "vec8 carries mac0 (macvlan)"
    for params, option in (({"nic": "vec8", "members": []}, "nic"), ({"members": ["vec8"]}, "members[0]")):
        asked = {**ASKED, **params}
        assert ovn_gateway_node_info.refusals(asked, LINKS, Ovs(), {}, {}) == [f"{option}: {words}"]
        assert ovn_gateway_node_info.refusals({**asked, "override": ["vec8"]}, LINKS, Ovs(), {}, {}) == []
    # By the name that it is to get, too.
    called = {**FREE, "enp9s0": replace(LINKS["vec8"], name="enp9s0"), "mac0": replace(LINKS["mac0"], lower="enp9s0")}
    del called["vec8"]
    asked = {**ASKED, "nic": "enp9s0", "members": []}
    refused = ovn_gateway_node_info.refusals(asked, called, Ovs(), {}, {"vec8": "enp9s0"})
    assert refused == ["nic: enp9s0 carries mac0 (macvlan)"]
    asked["override"] = ["vec8"]
    assert ovn_gateway_node_info.refusals(asked, called, Ovs(), {}, {"vec8": "enp9s0"}) == []


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan", "macvtap", "vxlan", "macsec"])
def test_each_kind_of_link_that_stands_on_another(kind: str) -> None:
    row = {"ifname": "top", "linkinfo": {"info_kind": kind, "info_data": {}}}
    (row["linkinfo"]["info_data"] if kind == "vxlan" else row)["link"] = "eth1"  # type: ignore[index]
    links = _node.parse_links([{"ifname": "eth1"}, row])
    assert _node.on_top(links) == {"eth1": [f"carries top ({kind})"]}
    # What is protected above protects what is below.
    assert _node.protect(links, Ovs(), [("top", "holds the way")])["eth1"] == [
        "shares its path with top, which holds the way"
    ]


def test_a_veths_other_end_does_not_stand_on_it() -> None:
    assert _node.on_top({name: LINKS[name] for name in ("pod1_h", "pod1_c")}) == {}


def test_another_name_or_a_mac_address_is_no_way_around() -> None:
    links = {"enp1s0": Link("enp1s0", "", "02:00:00:00:00:21", 1500, True, True, altnames=("eno1", "enx0200"))}
    for name in ("eno1", "enx0200", "02:00:00:00:00:21"):
        assert _node.obstacles(name, links, Ovs(), {}, "br-external", False) == [
            "is another name of enp1s0: give that one"
        ]
    assert _node.bond_obstacles("eno1", ["eth5"], links) == ["is another name of enp1s0: the bond needs one of its own"]
    assert _node.bond_obstacles("eno9", ["eth5"], links) == []


# --- the ways out of the node ---

ROUTES: list[dict[str, Any]] = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.4.0.0/16", "dev": "eth0"},
    {"dst": "10.4.18.0/24", "dev": "eth1", "metric": 100},
    {"dst": "10.4.18.0/24", "dev": "eth2", "metric": 200},
    {"dst": "10.4.18.1", "nexthops": [{"dev": "eth3"}, {"dev": "eth4"}], "table": "77"},
    {"dst": "10.4.18.0/24", "dev": "eth5", "table": "77"},
    {"type": "local", "dst": "10.4.18.1", "dev": "eth6", "table": "local"},
    {"type": "blackhole", "dst": "10.4.18.1", "table": "78"},
    {"dst": "fd00::/8", "dev": "eth7", "table": "79"},
]


def test_routes_of_each_table_by_the_longest_prefix_and_all_next_hops() -> None:
    assert _node.routes_to("10.4.18.1", ROUTES) == [("eth1", "main"), ("eth2", "main"), ("eth3", "77"), ("eth4", "77")]
    assert _node.routes_to("10.4.19.1", ROUTES) == [("eth0", "main")]
    assert _node.routes_to("fd00::1", ROUTES) == [("eth7", "79")]


class Ip:
    """Command ip of a node with a rule that sends what comes from 10.4.17.11 by another table."""

    def __call__(self, argv: list[str], data: str = "") -> tuple[int, str, str]:
        if "-batch" in argv:
            assert data.splitlines() == [f"route show table all match {address}" for address in self.asked(data)]
            return 0, "\n".join(json.dumps(ROUTES) for _line in data.splitlines()) + "\n", ""
        if "get" in argv:
            return 0, json.dumps([{"dev": "eth9" if "10.4.17.11" in argv else "eth0"}]), ""
        return 0, "[]", ""

    def asked(self, data: str) -> list[str]:
        return [line.split()[-1] for line in data.splitlines()]


def test_what_the_node_lives_on_is_found_in_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.9.9.9 51000 10.4.17.11 22")
    links = {"eth0": Link("eth0", "", "", 1500, True, True, ("10.4.17.11/24",))}
    found, unverified = _node_probe.anchors(Ip(), links, Ovs(), ["https://10.4.18.1:6443"])
    assert unverified == []
    assert found == [
        ("eth0", "holds 10.4.17.11, which Ansible's connection came to"),
        ("eth9", "carries Ansible's connection from 10.9.9.9"),
        ("eth0", "carries the way to the API server 10.4.18.1"),
        ("eth1", "has a route of table main for the way to the API server 10.4.18.1"),
        ("eth2", "has a route of table main for the way to the API server 10.4.18.1"),
        ("eth3", "has a route of table 77 for the way to the API server 10.4.18.1"),
        ("eth4", "has a route of table 77 for the way to the API server 10.4.18.1"),
    ]


def test_a_way_and_its_route_are_one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    found, _unverified = _node_probe.anchors(Ip(), {}, Ovs(), ["10.4.19.1"])
    assert [each for each in found if "API server" in each[1]] == [
        ("eth0", "carries the way to the API server 10.4.19.1")
    ]


@pytest.mark.parametrize(("kind", "loopback", "tunnels"), [("", True, 1), ("dummy", False, 1), ("", False, 0)])
def test_tunnels_from_an_address_that_is_on_no_way_out(kind: str, loopback: bool, tunnels: int) -> None:
    link = Link("lo9", kind, "", 1500, True, True, ("10.4.17.11/32",), loopback=loopback)
    ovs = Ovs(external_ids={"ovn-encap-ip": "10.4.17.11"}, tunnels=(_node.Tunnel("10.4.17.12"),))
    found = [each for each in _node_probe.anchors(Ip(), {"lo9": link}, ovs)[0] if "tunnel to" in each[1]]
    assert found[:1] == [("eth9", "carries the overlay's tunnel to 10.4.17.12")] * tunnels


# --- what it still lacks ---


def test_a_nic_as_it_should_be() -> None:
    assert _node.unprepared("vec8", LINKS, None, [], {}) == ["has the address fe80::ff:fe00:8/64"]
    links = {"eth1": Link("eth1", "", "", 1500, True, True)}
    assert _node.unprepared("eth1", links, 1500, [], {"mode": "active-backup"}) == []


def test_a_nic_that_is_not() -> None:
    links = {"eth1": Link("eth1", "", "", 1400, False, False, ("10.0.0.1/24", "fe80::1/64"))}
    assert _node.unprepared("eth1", links, 1500, [], {}) == [
        "is down",
        "has MTU 1400, not 1500",
        "has the address 10.0.0.1/24",
        "has the address fe80::1/64",
    ]
    assert _node.unprepared("eth2", links, 1500, [], {}) == ["does not exist"]


def test_a_nic_with_nothing_behind_it() -> None:
    bond = replace(LINKS["enp8s0"], carrier=False)
    assert _node.without_carrier("enp8s0", {**LINKS, "enp8s0": bond}) == [
        "has no carrier, since none of vec2, vec3 has"
    ]
    assert _node.without_carrier("enp8s0", LINKS) == []  # one of its members has
    links = {"eth1": Link("eth1", "", "", 1500, True, False), "eth2": Link("eth2", "", "", 1500, False, False)}
    assert _node.without_carrier("eth1", links) == ["has no carrier"]
    # What is down has none either, and is said to be down; what does not exist, too.
    assert _node.without_carrier("eth2", links) == _node.without_carrier("eth3", links) == []


def test_the_module_tells_of_a_missing_carrier_and_no_configuration_is_to_blame() -> None:
    links = {"eth1": Link("eth1", "", "", 1500, True, False)}
    params = {"nic": "eth1", "members": [], "bridge": "br-external", "mapping": "external", "mtu": 1500, "bond": None}
    assert ovn_gateway_node_info.describe_nic(params, links, Ovs(), {})["nic"]["unprepared"] == ["has no carrier"]
    assert _node.unprepared("eth1", links, 1500, [], {}) == []


def test_a_bond_with_other_members_or_another_mode() -> None:
    assert LINKS["enp8s0"].bond == {"mode": "active-backup", "miimon": 100}
    assert LINKS["enp8s0"].active_member == "vec2"
    assert LINKS["vec3"].permanent_mac == "02:00:00:00:00:03"
    good = _node.unprepared("enp8s0", LINKS, 1500, ["vec3", "vec2"], {"mode": "active-backup"})
    assert [text for text in good if "address" not in text] == []
    bad = _node.unprepared("enp8s0", LINKS, 1500, ["vec2", "vec8"], {"mode": "802.3ad"})
    assert "has the members vec2, vec3, not vec2, vec8" in bad
    assert "is in bond mode active-backup, not 802.3ad" in bad


# --- the gateway on the node ---


def test_a_gateway_lacks_nothing_and_leaves_all_of_it() -> None:
    assert _node.missing(LINKS, GATEWAY, "enp8s0", "br-external", "external") == []
    assert _node.leftovers(GATEWAY, "enp8s0", "br-external", "external") == [
        "br-external still holds enp8s0",
        f"br-external still holds {PATCH}",
        "ovn-bridge-mappings still has external:br-external",
    ]


def test_what_is_no_gateway_lacks_all_of_it_and_leaves_nothing() -> None:
    bare = Ovs(bridges={"br-int": ("br-int",)})
    assert _node.missing(LINKS, bare, "d0", "br-external", "external") == [
        "bridge br-external does not exist",
        "ovn-bridge-mappings has nothing, not external:br-external",
        "d0 is down",
    ]
    assert _node.leftovers(bare, "d0", "br-external", "external") == []


def test_half_a_gateway() -> None:
    half = Ovs(
        bridges={"br-external": ("br-external", "enp8s0", PATCH), "br-int": ("br-int",)},
        errors={"enp8s0": "could not open network device enp8s0 (No such device)"},
        external_ids={"ovn-bridge-mappings": "external:br-phy"},
    )
    assert _node.missing(LINKS, half, "enp8s0", "br-external", "external") == [
        "enp8s0 in br-external does not work: could not open network device enp8s0 (No such device)",
        f"patch port {PATCH} has no other end in br-int",
        "ovn-bridge-mappings has external:br-phy, not external:br-external",
    ]


# --- who has an address on the wire ---


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.4.19.110", ["10.4.19.110"]),
        (" 10.4.19.110 - 10.4.19.112 ", ["10.4.19.110", "10.4.19.111", "10.4.19.112"]),
        ("10.4.19.110-111", ["10.4.19.110", "10.4.19.111"]),
        ("10.4.19.255-10.4.20.0", ["10.4.19.255", "10.4.20.0"]),
        ("10.4.19.128/30", ["10.4.19.129", "10.4.19.130"]),
        ("10.4.19.128/31", ["10.4.19.128", "10.4.19.129"]),
        ("10.4.19.128/32", ["10.4.19.128"]),
    ],
)
def test_addresses_are_asked_for_in_every_form_of_a_pool(text: str, addresses: list[str]) -> None:
    assert _node_addresses.expand("x", [text], 4096) == (addresses, [])


def test_addresses_of_several_parts_are_asked_for_once_and_in_order() -> None:
    addresses, problems = _node_addresses.expand("x", ["10.4.19.9-10", "10.4.19.8-9", "10.4.19.10"], 3)
    assert (addresses, problems) == (["10.4.19.8", "10.4.19.9", "10.4.19.10"], [])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["10.4.19.1", "10.4.19"], "arp_probe[1]: '10.4.19' is not asked for"),
        (["10.4.19.5-4"], "arp_probe[0]: '10.4.19.5-4' is not asked for: it ends before it starts"),
        (["10.4.19.5-"], "the forms are 10.4.19.110"),
        (["10.4.19.130/26"], "has host bits set"),
        (["fd00::1"], "the forms are 10.4.19.110"),
        (["224.0.0.1"], "no host can have it"),
        (["127.0.0.1"], "no host can have it"),
        (["0.0.0.0"], "no host can have it"),
        (["10.0.0.0/8"], "arp_probe[0]: '10.0.0.0/8' has 16777214 addresses, more than 4096"),
        (["10.4.0.0/20", "10.5.0.0/20"], "arp_probe: there are 8188 addresses, more than 4096"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_path(texts: list[str], words: str) -> None:
    params = {"arp_probe": texts, "arp_tag": 0, "arp_wait": 1.0}
    problems = ovn_gateway_node_info.asked_by_arp(params)[1]
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"arp_tag": 4095}, "arp_tag: 4095 is no VLAN"),
        ({"arp_tag": -1}, "arp_tag: -1 is no VLAN"),
        ({"arp_wait": 0.0}, "arp_wait: 0 is no time"),
        ({"arp_wait": 61.0}, "arp_wait: 61 is no time"),
    ],
)
def test_how_cannot_be_asked_is_refused_with_its_path(wrong: dict[str, float], words: str) -> None:
    problems = ovn_gateway_node_info.asked_by_arp({"arp_probe": None, "arp_tag": 0, "arp_wait": 1.0, **wrong})[1]
    assert [words in problem for problem in problems] == [True]


def by_arp(ovs: Ovs, **params: str | None) -> str:
    given = {"nic": None, "arp_nic": None, "bridge": "br-external", **params}
    return str(ovn_gateway_node_info.arp_nic(given, LINKS, ovs).name)


def test_the_nic_of_the_bridge_asks_unless_another_is_named() -> None:
    assert by_arp(GATEWAY) == by_arp(GATEWAY, nic="vec8") == "enp8s0"
    assert by_arp(GATEWAY, arp_nic="vec8") == "vec8"
    assert by_arp(Ovs(), nic="vec8") == "vec8"
    both = Ovs(bridges={"br-external": ("bond0", "br-external", "enp8s0")}, staged=frozenset({"bond0"}))
    assert by_arp(both) == "enp8s0"


@pytest.mark.parametrize(
    ("ovs", "nic", "words"),
    [
        (Ovs(), None, "arp_nic: missing, since br-external holds no NIC"),
        (GATEWAY, "eth7", "arp_nic: eth7 is no link of this node"),
        (GATEWAY, "d0", "arp_nic: d0 is down"),
    ],
)
def test_a_nic_that_nobody_would_answer_by_is_refused(ovs: Ovs, nic: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        by_arp(ovs, arp_nic=nic)


# --- reading for real ---


@pytest.fixture
def vswitch(tmp_path: Path) -> Generator[Path]:
    """The socket of an ovsdb-server with Open vSwitch's own schema, empty."""
    with server(tmp_path) as sock:
        yield sock


def test_open_vswitch_is_read_from_its_socket(vswitch: Path) -> None:
    patch = {"type": "patch", "options": ["map", [["peer", "other"]]]}
    broken = {"error": "could not open network device enp8s0 (No such device)"}
    ids = {"system-id": "abc", "ovn-bridge-mappings": "external:br-external", "ovn-encap-ip": "10.4.17.11,fd00::1"}
    fill(vswitch, {"br-external": {"br-external": {}, "enp8s0": broken, PATCH: patch}, "br-int": {"br-int": {}}}, ids)
    ovs = _node_probe.open_vswitch(str(vswitch))
    assert ovs == Ovs(
        bridges={"br-external": ("br-external", "enp8s0", PATCH), "br-int": ("br-int",)},
        errors={"enp8s0": broken["error"]},
        peers={PATCH: "other"},
        external_ids=ids,
        types={PATCH: "patch"},
    )
    assert ovs.mappings == {"external": "br-external"}
    assert ovs.encap_ips == ["10.4.17.11", "fd00::1"]
    assert ovs.bridge_of("enp8s0") == "br-external"
    assert ovs.bridge_of("br-int") is None


def test_an_answer_of_many_pieces_is_put_together(vswitch: Path) -> None:
    interfaces = {f"veth{number}": {"error": "\u00fc" * 150} for number in range(250)}
    fill(vswitch, {"br-int": interfaces}, {})
    assert _node_probe.open_vswitch(str(vswitch)).errors == dict.fromkeys(interfaces, "\u00fc" * 150)


def test_an_empty_open_vswitch(vswitch: Path) -> None:
    assert _node_probe.open_vswitch(str(vswitch)) == Ovs()


def test_no_open_vswitch_is_a_problem_not_an_empty_one(tmp_path: Path) -> None:
    sock = tmp_path / "db.sock"
    assert "there is no socket" in str(_node_probe.open_vswitch(str(sock)).problem)
    sock.touch()
    assert str(sock) in str(_node_probe.open_vswitch(str(sock)).problem)


@pytest.mark.parametrize(
    ("server", "addresses"),
    [
        ("https://10.4.18.1:6443", ["10.4.18.1"]),
        ("10.4.18.1", ["10.4.18.1"]),
        ("10.4.18.1:6443", ["10.4.18.1"]),
        ("https://[fd00::1]:6443/path", ["fd00::1"]),
        ("fd00::1", ["fd00::1"]),
        ("https://no.such.name.invalid:6443", []),
        ("", []),
    ],
)
def test_addresses_of_an_api_server(server: str, addresses: list[str]) -> None:
    assert _node_probe.resolve(server) == addresses


def test_the_connection_comes_from_the_environment_or_a_parents() -> None:
    value = "10.4.18.1 51000 10.4.18.11 22"
    assert _node_probe.connection({"SSH_CONNECTION": value}, 1) == ("10.4.18.1", "10.4.18.11")
    code = "import os, sys; sys.path[:0] = %r; %s print(p.connection({}, os.getpid()))"
    imports = "from ansible_collections.kubeovn.core.plugins.module_utils import _node_probe as p;"
    child = [sys.executable, "-c", code % (sys.path, imports)]
    shell = ["env", f"SSH_CONNECTION={value}", "sh", "-c", 'env -u SSH_CONNECTION "$@"; exit $?', "sh", *child]
    found = subprocess.run(shell, check=True, capture_output=True, text=True).stdout.strip()
    assert found == str(("10.4.18.1", "10.4.18.11"))
    assert _node_probe.connection({}, 1) is None
    assert _node_probe.connection({"SSH_CONNECTION": "strange"}, 1) is None


def test_a_node_whose_ip_command_fails_says_so() -> None:
    def run(argv: list[str]) -> tuple[int, str, str]:
        return (255, "", "Option -json is unknown\n") if "route" in argv else (0, "not json", "")

    with pytest.raises(_node_probe.ProbeError, match="Option -json is unknown"):
        _node_probe.default_routes(run)
    with pytest.raises(_node_probe.ProbeError, match=r"4\.18 or newer"):
        _node_probe.links(run)


# --- giving it back ---


def test_what_is_left_of_a_gateway_is_taken_back_and_nothing_else(vswitch: Path) -> None:
    ids = {"system-id": "abc", "ovn-bridge-mappings": "other:br-x,external:br-external"}
    patch: dict[str, dict[str, str]] = {"patch-localnet.external-to-br-int": {}}
    ports: dict[str, dict[str, str]] = {"br-external": {}, "enp8s0": {}}
    fill(vswitch, {"br-external": ports | patch, "br-x": {"br-x": {}, "enp9s0": {}}}, ids)
    before = _node_probe.open_vswitch(str(vswitch))
    uuids = _node_probe.port_uuids(str(vswitch))
    operations = _node.release(before, "enp8s0", "br-external", "external", uuids)
    _node_ovsdb.transact(str(vswitch), operations)
    after = _node_probe.open_vswitch(str(vswitch))
    assert after.bridges == {"br-external": ("br-external",), "br-x": ("br-x", "enp9s0")}
    assert after.external_ids == {"system-id": "abc", "ovn-bridge-mappings": "other:br-x"}
    assert after == before.without("enp8s0", "br-external", "external")
    assert _node.release(after, "enp8s0", "br-external", "external", {}) == []


def test_mappings_changed_meanwhile_stay_as_they_are(vswitch: Path) -> None:
    fill(vswitch, {}, {"ovn-bridge-mappings": "external:br-external,new:br-new"})
    stale = Ovs(external_ids={"ovn-bridge-mappings": "external:br-external,old:br-old"})
    _node_ovsdb.transact(str(vswitch), _node.release(stale, "enp8s0", "br-external", "external", {}))
    assert _node_probe.open_vswitch(str(vswitch)).mappings == {"external": "br-external", "new": "br-new"}


def test_a_refused_transaction_is_an_error(vswitch: Path) -> None:
    operation = {"op": "mutate", "table": "Nonsense", "where": [], "mutations": []}
    with pytest.raises(OSError, match="refused"):
        _node_ovsdb.transact(str(vswitch), [operation])


def test_packets_sent(tmp_path: Path) -> None:
    """The counter of a NIC; none of a NIC that is not there."""
    counter = tmp_path / "enp8s0" / "statistics" / "tx_packets"
    counter.parent.mkdir(parents=True)
    counter.write_text("42\n")
    assert _node_probe.packets_sent("enp8s0", str(tmp_path)) == 42
    assert _node_probe.packets_sent("enp9s0", str(tmp_path)) is None
