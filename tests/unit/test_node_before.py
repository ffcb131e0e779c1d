# SPDX-License-Identifier: GPL-3.0-or-later
"""What links were that nobody managed before the role came: kept once, and given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_before, _node_change, _node_config
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link
from ansible_collections.kubeovn.core.plugins.module_utils._node_change import Plan, Seen
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import MANAGERS, File, Wanted
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management

MAC = "02:4b:0f:03:00:0d"
ROW = {
    "ifname": "enp8s0",
    "mtu": 1400,
    "flags": ["BROADCAST", "UP"],
    "addr_info": [
        {"family": "inet", "local": "192.0.2.9", "prefixlen": 24, "broadcast": "192.0.2.255", "scope": "global"},
        {"family": "inet", "local": "192.0.2.77", "prefixlen": 24, "scope": "global", "dynamic": True},
        {"family": "inet6", "local": "2001:db8::9", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "fe80::4b:fff:fe03:d", "prefixlen": 64, "scope": "link"},
    ],
}
WORDS = "mtu 1400 up addrgenmode eui64, 192.0.2.9/24 brd 192.0.2.255, 2001:db8::9/64"
DOWN = "mtu 9000 down"
PLAIN = Wanted(nic="enp8s0", mtu=1500, bridge="br-external")
BOND = replace(PLAIN, members=("enp8s0f0", "enp8s0f1"), mac=MAC, bond={"mode": "active-backup"})
NICS = {name: Link(name, "", MAC, 1500, True, True) for name in ("enp8s0", "enp8s0f0", "enp8s0f1")}
BONDED = {
    "enp8s0": Link("enp8s0", "bond", MAC, 1500, True, True, bond={"mode": "active-backup"}),
    **{name: replace(NICS[name], master="enp8s0") for name in BOND.members},
}
NOBODY = Management(running=frozenset(MANAGERS))


def written(manager: str, wanted: Wanted, were: dict[str, str]) -> dict[str, File]:
    found: dict[str, File] = _node_before.told(_node_config.files(manager, wanted), "enp8s0", wanted.links, were)
    return found


def absent(own: dict[str, File], links: dict[str, Link], **seen: Any) -> Plan:
    return _node_change.absent("enp8s0", Seen(links, own, own, replace(NOBODY, **seen)), {}, {})


def given(plan: Plan) -> list[str]:
    return [word for word in plan.words if word.startswith("give ")]


def test_what_somebody_has_set_by_hand_is_seen() -> None:
    seen = _node_before.look([ROW], [{"ifname": "enp8s0", "inet6_addr_gen_mode": "eui64"}], {})
    assert seen == {"enp8s0": WORDS}  # neither a leased address, nor the one that the kernel makes by itself
    seen = _node_before.look([ROW], [{"ifname": "enp8s0", "inet6_addr_gen_mode": "none"}], {"enp8s0": "ext0"})
    assert seen["ext0"].endswith(
        "addrgenmode none, 192.0.2.9/24 brd 192.0.2.255, 2001:db8::9/64, fe80::4b:fff:fe03:d/64"
    )
    assert _node_before.look([{"ifname": "enp9s0", "mtu": 9000, "flags": []}], [], {}) == {"enp9s0": DOWN}


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_nics_own_file_keeps_it(manager: str) -> None:
    were = {"enp8s0f0": WORDS, "enp8s0f1": DOWN}
    files = written(manager, BOND, {**were, "enp9s0": DOWN})
    assert _node_before.kept(files, "enp8s0") == were
    [path] = [path for path, file in _node_config.files(manager, BOND).items() if file != files[path]]
    lines = files[path].text.splitlines()
    assert lines[0].startswith("# Written by kubeovn.core")
    assert lines[1:3] == [f"# Before, enp8s0f0: {WORDS}", f"# Before, enp8s0f1: {DOWN}"]
    assert lines[:1] + lines[3:] == _node_config.files(manager, BOND)[path].text.splitlines()
    assert written(manager, BOND, {}) == _node_config.files(manager, BOND)


def fresh(wanted: Wanted, own: dict[str, File], links: dict[str, Link] | None = None, **seen: Any) -> list[str]:
    seen_now = replace(NOBODY, **seen)
    found: list[str] = _node_before.fresh("enp8s0", wanted.members, links or NICS, own, seen_now)
    return found


@pytest.mark.parametrize("manager", MANAGERS)
def test_it_is_looked_at_once_and_only_where_nobody_manages_the_link(manager: str) -> None:
    assert fresh(PLAIN, {}) == ["enp8s0"]
    assert fresh(BOND, {}) == ["enp8s0f0", "enp8s0f1"]  # the bond will be ours
    assert fresh(BOND, {}, {"enp8s0f1": NICS["enp8s0f1"]}) == ["enp8s0f1"]
    theirs = {"enp8s0f0": {manager: "/etc/theirs"}}
    assert fresh(BOND, {}, owners=theirs) == ["enp8s0f1"]
    assert fresh(BOND, {}, states={"enp8s0f1": "disconnected"}) == ["enp8s0f0"]  # NetworkManager's
    assert fresh(BOND, written(manager, BOND, {"enp8s0f0": WORDS, "enp8s0f1": DOWN}), BONDED) == []
    # An earlier version has kept nothing, and now it is too late; also for a member that fell out of the bond.
    assert fresh(BOND, written(manager, BOND, {}), {**BONDED, "enp8s0f1": NICS["enp8s0f1"]}) == []
    assert fresh(PLAIN, written(manager, PLAIN, {})) == []
    one = replace(BOND, members=("enp8s0f0",))
    assert fresh(BOND, written(manager, one, {"enp8s0f0": WORDS})) == ["enp8s0f1"]  # a member more
    # A run that was killed before it came to the NIC's own file has changed no link yet.
    some = {path: file for path, file in written(manager, BOND, {}).items() if path not in _node_before.home("enp8s0")}
    assert fresh(BOND, some) == ["enp8s0f0", "enp8s0f1"]


@pytest.mark.parametrize("manager", MANAGERS)
def test_absent_gives_it_back_in_the_end(manager: str) -> None:
    plan = absent(written(manager, PLAIN, {"enp8s0": WORDS}), NICS)
    assert plan.words[-1] == f"give enp8s0 back what it was: {WORDS}"
    assert list(plan.given) == [
        ["sh", "-c", 'echo "$1" >"/proc/sys/net/ipv6/conf/$2/addr_gen_mode"', "sh", "0", "enp8s0"],
        ["ip", "link", "set", "dev", "enp8s0", "mtu", "1400", "up"],
        ["ip", "address", "replace", "192.0.2.9/24", "brd", "192.0.2.255", "dev", "enp8s0"],
        ["ip", "address", "replace", "2001:db8::9/64", "dev", "enp8s0"],
    ]
    assert given(absent(written(manager, PLAIN, {}), NICS)) == []


@pytest.mark.parametrize("manager", MANAGERS)
def test_absent_gives_a_bonds_members_back(manager: str) -> None:
    own = written(manager, BOND, {"enp8s0": DOWN, "enp8s0f0": DOWN, "enp8s0f1": DOWN})
    plan = absent(own, BONDED)
    assert given(plan) == [f"give {name} back what it was: {DOWN}" for name in BOND.members]  # the bond is gone
    assert list(plan.given) == [["ip", "link", "set", "dev", each, "mtu", "9000", "down"] for each in BOND.members]
    elsewhere = {**BONDED, "enp8s0f0": replace(NICS["enp8s0f0"], master="bond1")}
    del elsewhere["enp8s0f1"]
    assert given(absent(own, elsewhere)) == []


def test_absent_gives_back_by_the_name_that_the_link_gets_back() -> None:
    own = written("networkd", PLAIN, {"enp8s0": DOWN})
    own["/etc/systemd/network/05-kubeovn-enp8s0.name-enp8s0.link"] = File("# It was called eth1.\n")
    plan = absent(own, NICS)
    assert plan.given[-1] == ["ip", "link", "set", "dev", "eth1", "mtu", "9000", "down"]
    assert given(plan) == [f"give eth1 back what it was: {DOWN}"]


def test_what_another_file_claims_by_now_is_that_files() -> None:
    own = written("networkd", PLAIN, {"enp8s0": DOWN})
    ours = {path: file.text for path, file in own.items()}
    theirs = {**ours, "/etc/systemd/network/50-lan.network": "[Match]\nName=enp8*\n"}
    assert given(absent(own, NICS, networks=ours)) == [f"give enp8s0 back what it was: {DOWN}"]
    assert given(absent(own, NICS, networks=theirs)) == []
    assert given(absent(own, NICS, stanzas={"enp8s0": ("/etc/network/interfaces",)})) == []
    # What netplan has made of our own file goes with it.
    own = written("netplan", PLAIN, {"enp8s0": DOWN})
    made = {"/run/systemd/network/10-netplan-enp8s0.network": "[Match]\nName=enp8s0\n"}
    files = {**own, **{path: File(text) for path, text in made.items()}}
    seen = Seen(NICS, own, files, replace(NOBODY, networks=made))
    assert given(_node_change.absent("enp8s0", seen, {}, {})) == [f"give enp8s0 back what it was: {DOWN}"]


def test_a_member_that_leaves_the_bond_gets_it_back_at_once() -> None:
    own = written("networkd", BOND, {"enp8s0f0": WORDS, "enp8s0f1": DOWN})
    fewer = replace(BOND, members=("enp8s0f0",))
    files = dict(written("networkd", fewer, _node_before.kept(own, "enp8s0")))
    plan = _node_change.present(fewer, "networkd", Seen(BONDED, own, own, NOBODY), files, ("has the members",))
    assert given(plan) == [f"give enp8s0f1 back what it was: {DOWN}"]
    assert plan.given[-1] == ["ip", "link", "set", "dev", "enp8s0f1", "mtu", "9000", "down"]
    assert _node_before.kept(plan.write, "enp8s0") == {"enp8s0f0": WORDS}


def test_a_line_that_says_something_else_is_left_alone() -> None:
    path = "/etc/network/interfaces.d/kubeovn-enp8s0"
    assert _node_before.kept({path: File("# Before, enp8s0: it was fine\n")}, "enp8s0") == {}
