# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that are found by their MAC address: which get another name and how, what is refused, what undoes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_change, _node_config, _node_names, _node_probe
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link, Ovs, parse_links
from ansible_collections.kubeovn.core.plugins.module_utils._node_change import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import MANAGERS, Wanted, is_own
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management
from ansible_collections.kubeovn.core.plugins.module_utils._node_probe import udev_version
from ansible_collections.kubeovn.core.plugins.modules import ovn_gateway_node_config
from hypothesis import given
from hypothesis import strategies as st

A, B, C = (f"02:4b:0f:03:00:0{digit}" for digit in "abc")


def link(name: str, mac: str, kind: str = "", **more: object) -> Link:
    return replace(Link(name, kind, mac, 1500, True, True), **more)  # type: ignore[arg-type]


LINKS = {
    "eth0": link("eth0", A),
    "eth1": link("eth1", A, permanent_mac=B, master="bond0"),
    "bond0": link("bond0", A, "bond"),
    "eth0.7": link("eth0.7", A, "vlan", lower="eth0"),
    "enp9s0": link("enp9s0", C, altnames=("ens9", "enx024b")),
    "pod_h": link("pod_h", "02:00:00:00:00:01", "veth"),
}


def find(macs: dict[str, str], nic: str, members: tuple[str, ...] = (), ovs: Ovs | None = None) -> tuple[object, str]:
    names, problems = _node_names.find(macs, nic, members, LINKS, ovs or Ovs(), False)
    return names, "; ".join(problems)


def test_a_nic_is_found_by_its_own_address_and_not_by_what_has_borrowed_it() -> None:
    assert find({"enp8s0": A}, "enp8s0") == ({"eth0": "enp8s0"}, "")
    assert find({"m0": A, "m1": B.upper().replace(":", "-")}, "b", ("m0", "m1")) == ({"eth0": "m0", "eth1": "m1"}, "")
    assert find({"enp9s0": C}, "enp9s0") == ({}, "")


@pytest.mark.parametrize(
    ("macs", "words"),
    [
        (
            {"enp8s0": "02:4b:0f:03:00:ff"},
            "macs.enp8s0: no NIC of this node has it; NICs are enp9s0 02:4b:0f:03:00:0c, eth0",
        ),
        ({"enp8s0": "10.4.19.1"}, "macs.enp8s0: '10.4.19.1' is no MAC address like"),
        ({"enp8s0": "02:00:00:00:00:01"}, "macs.enp8s0: no NIC of this node has it"),  # a pod's cable
        ({"other": A}, "macs.other: only enp8s0 can be found by a MAC address here"),
    ],
)
def test_what_is_refused(macs: dict[str, str], words: str) -> None:
    names, problems = find(macs, "enp8s0")
    assert words in problems
    assert names == {}


def test_a_name_that_somebody_else_has_is_refused_and_one_of_its_own_is_not() -> None:
    assert "macs.enp9s0: 02:4b:0f:03:00:0c has this name already: enp9s0" in find({"enp9s0": A}, "enp9s0")[1]
    assert "has this name already: enp9s0" in find({"ens9": A}, "ens9")[1]
    assert find({"ens9": C}, "ens9") == ({"enp9s0": "ens9"}, "")
    assert "eth0 is to have two names, m0 and m1" in find({"m0": A, "m1": A}, "b", ("m0", "m1"))[1]


def test_a_link_in_a_bridge_keeps_its_name() -> None:
    ovs = Ovs(bridges={"br-external": ("br-external", "enp9s0")})
    assert "enp9s0 has this address and is a port of Open vSwitch bridge br-external" in find({"x": C}, "x", (), ovs)[1]
    assert find({"enp9s0": C}, "enp9s0", (), ovs) == ({}, "")


def play(lines: list[list[str]], links: dict[str, Link]) -> dict[str, str]:
    """What links are called after these commands, by MAC, as the kernel has it."""
    names = {one.name: one.mac for one in links.values()}
    other = {name for one in links.values() for name in one.altnames}
    down = set()
    for line in lines:
        if line[2] == "property":
            other.discard(line[-1])
        elif line[-1] == "down":
            down.add(line[4])
        elif "name" in line:
            old, new = line[4], line[6]
            assert old in down
            assert new not in names, f"{new} is there"
            assert new not in other, f"{new} is another name"
            assert len(new) < 16
            names[new], down = names.pop(old), down | {new}
    return {mac: name for name, mac in names.items()}


@given(st.permutations(["a", "b", "c", "d"]), st.integers(1, 4))
def test_any_names_are_given_and_taken_back(order: list[str], count: int) -> None:
    links = {name: link(name, f"02:00:00:00:00:0{digit}") for digit, name in enumerate("abc")}
    names = {old: new for old, new in zip("abc", order, strict=False) if old != new}
    if count < 3:  # not all of them: then a name may be another's
        names = {old: new for old, new in names.items() if new in names or new not in links}
    after = play(_node_names.commands(names, links), links)
    assert after == {one.mac: names.get(one.name, one.name) for one in links.values()}
    changed = _node_names.renamed(links, names)
    assert set(changed) == set(after.values())
    assert play(_node_names.commands(_node_names.back(names), changed), changed) == {
        x.mac: x.name for x in links.values()
    }


def test_another_name_of_its_own_is_no_longer_one() -> None:
    assert play(_node_names.commands({"enp9s0": "ens9"}, LINKS), {"enp9s0": LINKS["enp9s0"]}) == {C: "ens9"}


def test_masters_and_what_stands_on_a_link_follow() -> None:
    changed = _node_names.renamed(LINKS, {"eth0": "enp8s0", "bond0": "x"})
    assert (changed["eth0.7"].lower, changed["eth1"].master, changed["enp8s0"].name) == ("enp8s0", "x", "enp8s0")


# --- files and plans


def test_the_file_is_ours_and_remembers_the_first_name() -> None:
    first = _node_names.files("enp8s0", {"enp8s0": C.upper()}, {"enp9s0": "enp8s0"}, {})
    [(path, file)] = first.items()
    assert path == "/etc/systemd/network/05-kubeovn-enp8s0.name-enp8s0.link"
    assert f"[Match]\nPermanentMACAddress={C}\n\n[Link]\nName=enp8s0\n" in file.text
    assert (is_own(path, "enp8s0"), is_own(path, "enp8s1"), is_own(path, "enp8s0.name-x")) == ("udev", None, None)
    assert _node_names.was(first, "enp8s0") == {"enp8s0": "enp9s0"}
    # The next run finds the link by its new name.
    assert _node_names.files("enp8s0", {"enp8s0": C}, {}, first) == first
    assert _node_names.kept("enp8s0", ["enp8s0"], first) == first
    assert _node_change.managers(first, "enp8s0") == set()


def plan(manager: str) -> tuple[_node_change.Plan, Seen, dict[str, _node_config.File]]:
    names = {"enp9s0": "enp8s0"}
    wanted = Wanted(nic="enp8s0", mtu=1500, bridge="br-external", names=names)
    links = _node_names.renamed(LINKS, names)
    seen = Seen(links=links, own={}, files={}, management=Management(running=frozenset(MANAGERS)))
    files = {**_node_config.files(manager, wanted), **_node_names.files("enp8s0", {"enp8s0": C}, names, {})}
    return _node_change.present(wanted, manager, seen, dict(files), ()), seen, files


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_nic_gets_its_name_first_and_the_dead_man_switch_gives_the_old_one_back(manager: str) -> None:
    made, _seen, _files = plan(manager)
    assert made.after[:2] == (
        ["ip", "link", "set", "dev", "enp9s0", "down"],
        ["ip", "link", "set", "dev", "enp9s0", "name", "enp8s0"],
    )
    assert made.undo_after[:2] == (
        ["ip", "link", "set", "dev", "enp8s0", "down"],
        ["ip", "link", "set", "dev", "enp8s0", "name", "enp9s0"],
    )
    assert not [line for line in made.undo_after[2:] if "enp8s0" in line]
    assert made.words[0] == "call enp9s0 enp8s0 from now on"
    assert made.made == ()


@pytest.mark.parametrize("manager", MANAGERS)
def test_who_gives_the_nic_back_gives_its_name_back(manager: str) -> None:
    _made, seen, files = plan(manager)
    gone = _node_change.absent("enp8s0", replace(seen, own=files, files=files), {}, {})
    assert set(gone.remove) == set(files)
    assert "call enp8s0 enp9s0 again" in gone.words
    assert ["ip", "link", "set", "dev", "enp8s0", "name", "enp9s0"] in gone.after
    assert ["ip", "link", "set", "dev", "enp9s0", "name", "enp8s0"] in gone.undo_after
    taken = {**seen.links, "x": link("x", B, altnames=("enp9s0",))}
    kept = _node_change.absent("enp8s0", replace(seen, links=taken, own=files, files=files), {}, {})
    assert not [line for line in kept.after if "name" in line]


def test_other_names_are_read_from_ip() -> None:
    [one] = parse_links([{"ifname": "enp9s0", "altnames": ["ens9"], "mtu": 1500}]).values()
    assert one.altnames == ("ens9",)


@pytest.mark.parametrize(("told", "version"), [("257 (257.8-1~deb13u2)\n", 257), ("239\n", 239), ("", 0), ("what?", 0)])
def test_udev_tells_its_version(told: str, version: int, tmp_path: Path) -> None:
    control = tmp_path / "control"
    assert udev_version(lambda _argv: (0, told, ""), str(control)) is None  # a container
    control.touch()
    assert udev_version(lambda _argv: (0, told, ""), str(control)) == version


@pytest.mark.parametrize(("version", "refused"), [(239, True), (None, False), (252, False)])
def test_an_old_udev_would_give_the_name_to_every_link(
    version: int | None, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_node_probe, "open_vswitch", lambda _socket: Ovs())
    monkeypatch.setattr(_node_probe, "in_container", lambda: False)
    monkeypatch.setattr(_node_probe, "udev_version", lambda _run: version)
    params = {"macs": {"enp8s0": C}, "nic": "enp8s0", "members": []}
    asked = SimpleNamespace(params=params, run_command=None)
    names, faults = ovn_gateway_node_config.names_of(asked, LINKS)
    assert names == {"enp9s0": "enp8s0"}
    assert bool(faults) is refused
    asked.params = {**params, "macs": {}}
    assert ovn_gateway_node_config.names_of(asked, LINKS) == ({}, [])


def test_who_manages_a_link_goes_with_it() -> None:
    before = Management(owners={"enp9s0": {"networkd": "/x"}, "eth0": {}}, connections={"enp9s0": "uuid"})
    after = before.called({"enp9s0": "enp8s0"})
    assert (after.owners, after.connections) == ({"enp8s0": {"networkd": "/x"}, "eth0": {}}, {"enp8s0": "uuid"})
