# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of bonds: what goes together, where a bond differs, and what needs it made anew."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_bond
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link, Ovs
from ansible_collections.kubeovn.core.plugins.module_utils._node_bond import anew, differences, in_words, problems
from ansible_collections.kubeovn.core.plugins.modules import ovn_gateway_node_info

MEMBERS = ["enp8s0f0", "enp8s0f1"]
BACKUP = {"mode": "active-backup", "miimon": 100, "primary": "enp8s0f0"}
LACP = {"mode": "802.3ad", "miimon": 100, "lacp_rate": "slow", "hash_policy": "layer2"}


def test_options_are_the_kernels_and_what_the_mode_does_not_know_is_left_out() -> None:
    data = {"mode": "802.3ad", "miimon": 50, "ad_lacp_rate": "fast", "xmit_hash_policy": "layer3+4", "primary": "x"}
    expected = {"mode": "802.3ad", "miimon": 50, "lacp_rate": "fast", "hash_policy": "layer3+4"}
    assert _node_bond.options_of(data) == expected
    assert _node_bond.options_of({**data, "mode": "active-backup"}) == {
        "mode": "active-backup",
        "miimon": 50,
        "primary": "x",
    }


@pytest.mark.parametrize("wanted", [BACKUP, LACP, {}, {"mode": "balance-rr", "primary": None}])
def test_what_goes_together(wanted: dict[str, Any]) -> None:
    assert problems(wanted, MEMBERS) == {}


@pytest.mark.parametrize(
    ("wanted", "option", "words"),
    [
        ({**LACP, "primary": "enp8s0f0"}, "primary", "bonds of mode 802.3ad have no primary; those of active-backup"),
        (
            {**BACKUP, "lacp_rate": "fast"},
            "lacp_rate",
            "bonds of mode active-backup have no lacp_rate; those of 802.3ad",
        ),
        ({**BACKUP, "hash_policy": "layer2"}, "hash_policy", "have no hash_policy"),
        ({**BACKUP, "primary": "enp9s0"}, "primary", "enp9s0 is no member: enp8s0f0, enp8s0f1"),
        ({**BACKUP, "miimon": 0}, "miimon", "nobody would notice"),
    ],
)
def test_what_does_not_is_refused_by_option(wanted: dict[str, Any], option: str, words: str) -> None:
    found = problems(wanted, MEMBERS)
    assert list(found) == [option]
    assert words in found[option]


def test_what_is_left_out_may_be_anything() -> None:
    assert differences(LACP, {"mode": "802.3ad", "lacp_rate": None}) == {}


@pytest.mark.parametrize(
    ("has", "wanted", "words", "again", "settings"),
    [
        (BACKUP, LACP, "is in bond mode active-backup, not 802.3ad", True, ["xmit_hash_policy", "layer2"]),
        (LACP, {"lacp_rate": "fast"}, "has the bond option lacp_rate slow, not fast", True, []),
        (
            LACP,
            {"hash_policy": "layer3+4"},
            "hash_policy layer2, not layer3+4",
            False,
            ["xmit_hash_policy", "layer3+4"],
        ),
        (BACKUP, {"miimon": 50}, "looks at its members' links every 100 ms, not 50", False, ["miimon", "50"]),
        (
            {"mode": "active-backup"},
            BACKUP,
            "primary none, not enp8s0f0",
            False,
            ["miimon", "100", "primary", "enp8s0f0"],
        ),
    ],
)
def test_differences(has: dict[str, Any], wanted: dict[str, Any], words: str, again: bool, settings: list[str]) -> None:
    differing = differences(has, wanted)
    assert any(words in text for text in in_words(differing))
    assert anew(differing) is again
    assert _node_bond.settings(differing) == settings


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"mode": "active-backup"}, []),
        ({"mode": "802.3ad", "ad_info": {"num_ports": 2, "partner_mac": "02:00:00:00:00:01"}}, []),
        (
            {"mode": "802.3ad", "ad_info": {"num_ports": 1, "partner_mac": "00:00:00:00:00:00"}},
            ["has no LACP partner behind enp8s0f0, enp8s0f1, so that one of them works alone"],
        ),
        ({"mode": "802.3ad"}, ["has no LACP partner behind enp8s0f0, enp8s0f1, so that one of them works alone"]),
        (
            {"mode": "802.3ad", "ad_info": {"num_ports": 1, "partner_mac": "02:00:00:00:00:01"}},
            ["has 1 of its 2 members in its aggregate with 02:00:00:00:00:01"],
        ),
    ],
)
def test_a_bond_without_its_partner_is_said(data: dict[str, Any], words: list[str]) -> None:
    assert _node_bond.unaggregated(_node_bond.aggregate_of(data), MEMBERS) == words


def test_a_member_with_nothing_behind_it_is_a_warning_while_the_bond_works() -> None:
    params = {"nic": "bond0", "members": [], "bridge": "br-external", "mapping": "external", "mtu": 1500, "bond": None}

    def said(bond: bool, one: bool, other: bool) -> tuple[list[str], list[str]]:
        has = {"bond0": bond, "eth1": one, "eth2": other}
        masters = {"bond0": None, "eth1": "bond0", "eth2": "bond0"}
        kinds = {"bond0": "bond", "eth1": "", "eth2": ""}
        links = {name: Link(name, kinds[name], "", 1500, True, has[name], master=masters[name]) for name in has}
        nic = ovn_gateway_node_info.describe_nic(params, links, Ovs(), {})["nic"]
        return nic["warnings"], nic["unprepared"]

    assert said(True, True, True) == ([], [])
    assert said(True, True, False) == (["bond member eth2 has no carrier"], [])
    assert said(False, False, False) == ([], ["has no carrier, since none of eth1, eth2 has"])
