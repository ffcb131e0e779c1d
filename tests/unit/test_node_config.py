# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of each network manager, and the plan from the node as it is to the node as it is to be."""

from __future__ import annotations

import configparser
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils import _node_change, _node_config
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link
from ansible_collections.kubeovn.core.plugins.module_utils._node_change import Seen
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import MANAGERS, File, Wanted, is_own
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management
from hypothesis import given, settings
from hypothesis import strategies as st

MAC = "02:4b:0f:03:00:0d"
PLAIN = Wanted(nic="enp8s0", mtu=9000, bridge="br-external")
BACKUP = Wanted(
    nic="enp8s0",
    mtu=1500,
    bridge="br-external",
    members=("enp8s0f0", "enp8s0f1"),
    mac=MAC,
    bond={"mode": "active-backup", "miimon": 50, "primary": "enp8s0f1"},
)
LACP = replace(BACKUP, bond={"mode": "802.3ad", "miimon": 100, "lacp_rate": "fast", "hash_policy": "layer3+4"})
NICS = {name: Link(name, "", MAC, 1500, True, True) for name in ("enp1s0", "enp8s0f0", "enp8s0f1")}
names = st.from_regex(r"[a-z][a-z0-9_.]{0,14}", fullmatch=True)


def texts(manager: str, wanted: Wanted) -> dict[str, str]:
    return {path.rpartition("/")[2]: file.text for path, file in _node_config.files(manager, wanted).items()}


def sections(text: str) -> dict[str, dict[str, str]]:
    """An ini file as its readers see it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_networkd() -> None:
    found = {name: sections(text) for name, text in texts("networkd", LACP).items()}
    assert found["05-kubeovn-enp8s0.network"]["Network"]["KeepMaster"] == "yes"
    assert found["05-kubeovn-enp8s0.netdev"] == {
        "NetDev": {"Name": "enp8s0", "Kind": "bond", "MTUBytes": "1500", "MACAddress": MAC},
        "Bond": {
            "Mode": "802.3ad",
            "MIIMonitorSec": "100ms",
            "LACPTransmitRate": "fast",
            "TransmitHashPolicy": "layer3+4",
        },
    }
    assert "PrimarySlave=yes" in texts("networkd", BACKUP)["05-kubeovn-enp8s0.member-enp8s0f1.network"]
    assert "PrimarySlave" not in texts("networkd", BACKUP)["05-kubeovn-enp8s0.member-enp8s0f0.network"]


def test_netplan() -> None:
    found = yaml.safe_load(texts("netplan", LACP)["90-kubeovn-enp8s0.yaml"])["network"]
    assert list(found["ethernets"]) == ["enp8s0f0", "enp8s0f1"]
    bond = found["bonds"]["enp8s0"]
    assert bond["interfaces"] == ["enp8s0f0", "enp8s0f1"]
    assert bond["parameters"] == {
        "mode": "802.3ad",
        "mii-monitor-interval": 100,
        "lacp-rate": "fast",
        "transmit-hash-policy": "layer3+4",
    }
    plain = yaml.safe_load(texts("netplan", PLAIN)["90-kubeovn-enp8s0.yaml"])["network"]
    assert (plain["ethernets"]["enp8s0"]["mtu"], "bonds" in plain) == (9000, False)
    there = yaml.safe_load(texts("netplan", replace(PLAIN, is_bond=True))["90-kubeovn-enp8s0.yaml"])["network"]
    assert list(there["bonds"]) == ["enp8s0"]  # netplan would call a bond among the ethernets an error


def test_networkmanager() -> None:
    files = _node_config.files("networkmanager", LACP)
    assert {file.mode for file in files.values()} == {0o600}  # it reads no others
    found = {name: sections(text) for name, text in texts("networkmanager", LACP).items()}
    bond = found["kubeovn-enp8s0.nmconnection"]
    assert bond["bond"] == {"mode": "802.3ad", "miimon": "100", "lacp_rate": "fast", "xmit_hash_policy": "layer3+4"}
    assert bond["ethernet"] == {"mtu": "1500", "cloned-mac-address": MAC}
    assert bond["ipv4"] == bond["ipv6"] == {"method": "disabled"}
    member = found["kubeovn-enp8s0.member-enp8s0f1.nmconnection"]["connection"]
    assert (member["master"], member["slave-type"]) == (bond["connection"]["uuid"], "bond")
    assert texts("networkmanager", LACP) == texts("networkmanager", LACP)  # UUIDs, too


def test_ifupdown() -> None:
    (text,) = texts("ifupdown", LACP).values()
    assert "type bond mode 802.3ad miimon 100 lacp_rate fast xmit_hash_policy layer3+4\n" in text
    assert "post-down ip link delete dev enp8s0" in text
    assert "/proc/sys/net/ipv6/conf/enp8s0/accept_ra ] || echo 0 >" in text
    # It refuses `lo`, which is there, only after it has understood all the words.
    words = text.split("|| ip link add dev enp8s0 ")[1].splitlines()[0].split()
    said = subprocess.run(["ip", "link", "add", "dev", "lo", *words], capture_output=True, text=True, check=False)
    assert said.returncode
    assert "unknown command" not in said.stderr
    (text,) = texts("ifupdown", PLAIN).values()
    assert "bond" not in text
    assert "ip link set dev enp8s0 mtu 9000 up" in text


@settings(max_examples=40)
@given(nic=names, other=names, members=st.lists(names, max_size=3, unique=True))
def test_own_files_are_known_again_and_are_nobody_elses(nic: str, other: str, members: list[str]) -> None:
    for manager in MANAGERS:
        for path in _node_config.files(manager, replace(BACKUP, nic=nic, members=tuple(members), bond={})):
            assert is_own(path, nic) == manager
            # A member may have any name, so it is told apart by what stands before it.
            assert other == nic or is_own(path, other) is None or other.startswith(f"{nic}.member-"), (path, other)


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("wanted", [PLAIN, BACKUP, LACP])
def test_the_files_tell_who_made_the_bond(manager: str, wanted: Wanted) -> None:
    texts = {path: file.text for path, file in _node_config.files(manager, wanted).items()}
    assert _node_config.makes_bond(texts) == bool(wanted.members)


# --- the plan -------------------------------------------------------------------------------------------------


def seen(own: dict[str, File] | None = None, links: dict[str, Link] | None = None, owner: str = "") -> Seen:
    own = own or {}
    owners = {"enp8s0": {owner: next(path for path in sorted(own) if "member" not in path)}} if owner and own else {}
    management = Management(running=frozenset(MANAGERS), owners=owners)
    return Seen(links=links or NICS, own=own, files=dict(own), management=management)


def present(wanted: Wanted, manager: str, before: Seen, lacks: tuple[str, ...] = ()) -> _node_change.Plan:
    return _node_change.present(wanted, manager, before, dict(_node_config.files(manager, wanted)), lacks)


def bonded(wanted: Wanted, **bond: Any) -> dict[str, Link]:
    members = {name: replace(NICS[name], master="enp8s0") for name in wanted.members}
    return {**NICS, **members, "enp8s0": Link("enp8s0", "bond", MAC, 1500, True, True, bond={**wanted.bond, **bond})}


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("wanted", [BACKUP, LACP])
def test_a_second_run_has_nothing_to_do(manager: str, wanted: Wanted) -> None:
    first = present(wanted, manager, seen(), ("does not exist",))
    assert first.words
    assert first.made == ("enp8s0",)
    after = seen(first.write, bonded(wanted), manager)
    assert present(wanted, manager, after) == replace(present(wanted, manager, after), words=(), write={}, after=())
    # Whoever is not gone by, is asked again.
    assert present(wanted, manager, seen(first.write, bonded(wanted))).words
    theirs = {**after.management.owners, "enp8s0f1": {manager: "/etc/theirs"}}
    assert present(wanted, manager, replace(after, management=replace(after.management, owners=theirs))).words


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("other", MANAGERS)
def test_another_manager_takes_over_whole(manager: str, other: str) -> None:
    before = seen(_node_config.files(manager, BACKUP), bonded(BACKUP), manager)
    plan = present(BACKUP, other, before)
    left = {path: file for path, file in before.own.items() if path not in plan.remove}
    assert {**left, **plan.write} == _node_config.files(other, BACKUP)


@pytest.mark.parametrize("manager", MANAGERS)
def test_absent_leaves_nothing(manager: str) -> None:
    before = seen(_node_config.files(manager, BACKUP), bonded(BACKUP), manager)
    plan = _node_change.absent("enp8s0", before, {}, {})
    assert set(plan.remove) == set(before.own)
    assert ["ip", "link", "delete", "dev", "enp8s0"] in plan.after
    assert plan.unmade == ("enp8s0",)
    assert _node_change.absent("enp8s0", seen(), {}, {}).words == ()


def test_absent_keeps_a_bond_that_was_there() -> None:
    there = replace(PLAIN, is_bond=True)
    plan = _node_change.absent("enp8s0", seen(_node_config.files("networkd", there), bonded(BACKUP)), {}, {})
    assert plan.unmade == ()
    assert not [command for command in plan.after if "delete" in command]


def test_only_its_own_links_are_named() -> None:
    for manager in MANAGERS:
        plan = present(BACKUP, manager, seen(links=bonded(BACKUP)), ("is down",))
        words = {word for command in (*plan.before, *plan.after, *plan.undo_after) for word in command}
        assert "enp1s0" not in words


def test_a_bond_of_another_mode_is_made_anew_and_other_options_are_set() -> None:
    before = seen(_node_config.files("networkd", BACKUP), bonded(BACKUP), "networkd")
    plan = present(LACP, "networkd", before, ("is in bond mode active-backup",))
    assert plan.before == (["ip", "link", "delete", "dev", "enp8s0"],)
    assert not plan.reopen
    bridged = present(LACP, "networkd", replace(before, bridge="br-external"), ("is in bond mode active-backup",))
    assert (bridged.reopen, bridged.words[-1]) == (True, "have Open vSwitch open enp8s0 anew in br-external")
    faster = replace(BACKUP, bond={**BACKUP.bond, "miimon": 20})
    plan = present(faster, "networkd", before, ("looks too seldom",))
    assert plan.before == ()
    assert not present(faster, "networkd", replace(before, bridge="br-external"), ("looks too seldom",)).reopen
    assert plan.after[-1] == ["ip", "link", "set", "dev", "enp8s0", "type", "bond", "miimon", "20"]


def test_a_member_that_is_no_more_is_taken_out() -> None:
    before = seen(_node_config.files("networkd", BACKUP), bonded(BACKUP), "networkd")
    fewer = replace(BACKUP, members=("enp8s0f1",))
    plan = present(fewer, "networkd", before, ("has the members",))
    assert ["ip", "link", "set", "dev", "enp8s0f0", "nomaster"] in plan.after
    assert any(path.endswith("member-enp8s0f0.network") for path in plan.remove)
    assert ["networkctl", "reconfigure", "enp8s0f0"] in plan.undo_after
