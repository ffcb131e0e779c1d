# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, MACs and NIC names: parsed, or refused with path and right form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import islice

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._addresses import (
    check_nic_name,
    derived_macs,
    not_a_host_of,
    parse_address,
    parse_interface,
    parse_mac,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem
from hypothesis import given
from hypothesis import strategies as st


def test_good_interfaces() -> None:
    problems: list[Problem] = []
    assert parse_interface("x", "10.4.19.1/24", problems) == IPv4Interface("10.4.19.1/24")
    assert parse_interface("x", "10.4.19.1/30", problems) == IPv4Interface("10.4.19.1/30")
    assert problems == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.4.19.1",
        "10.4.19.1/",
        "10.4.19.1/33",
        "10.4.19.1/31",
        "10.4.19.1/32",
        "10.4.19.1/0",
        "10.4.19.256/24",
        "10.4.19.1/255.255.255.0",
        "10.4.19.0/24",
        "10.4.19.255/24",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "0.0.0.1/24,10.0.0.1/24",
        "fd00::1/64",
        " 10.4.19.1/24",
        "10.4.19.01/24",
    ],
)
def test_bad_interfaces(text: str) -> None:
    problems: list[Problem] = []
    assert parse_interface("gateway", text, problems) is None
    assert [problem.path for problem in problems] == ["gateway"]
    assert problems[0].hint


@pytest.mark.parametrize("text", ["", "10.4.19", "10.4.19.300", "10.4.19.1/24", "::1", "0.0.0.0", "224.0.0.9"])
def test_bad_addresses(text: str) -> None:
    problems: list[Problem] = []
    assert parse_address("eips[0].address", text, problems) is None
    assert [problem.path for problem in problems] == ["eips[0].address"]
    assert problems[0].hint


def test_good_address() -> None:
    problems: list[Problem] = []
    assert parse_address("x", "10.4.19.101", problems) == IPv4Address("10.4.19.101")
    assert problems == []


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.4.19.0", "the address of network 10.4.19.0/24 itself"),
        ("10.4.19.255", "broadcast"),
        ("10.4.20.1", "not in network"),
        ("10.4.19.9", ""),
    ],
)
def test_hosts_of_a_network(address: str, text: str) -> None:
    found = not_a_host_of(IPv4Address(address), IPv4Network("10.4.19.0/24"))
    assert text in found
    assert bool(text) == bool(found)


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("16:52:F3:13:6A:25", "16:52:f3:13:6a:25"),
        ("16-52-f3-13-6a-25", "16:52:f3:13:6a:25"),
        ("1652.f313.6a25", "16:52:f3:13:6a:25"),
    ],
)
def test_good_macs(text: str, mac: str) -> None:
    problems: list[Problem] = []
    assert parse_mac("x", text, problems) == mac
    assert problems == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("16:52:f3:13:6a", "not a MAC"),
        ("16:52:f3:13:6a:2g", "not a MAC"),
        ("1652.f313.6a25.11", "not a MAC"),
        ("01:00:5e:00:00:01", "multicast"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("00:00:00:00:00:00", "nobody"),
    ],
)
def test_bad_macs(text: str, reason: str) -> None:
    problems: list[Problem] = []
    assert parse_mac("nic_mac", text, problems) is None
    assert reason in str(problems[0])
    assert problems[0].hint


@given(st.integers(0, 2**32 - 1))
def test_a_derived_mac_is_stable_unicast_and_locally_administered(number: int) -> None:
    address = IPv4Address(number)
    mac, other = islice(derived_macs(address), 2)
    assert mac == next(derived_macs(address)) != other
    assert int(mac[:2], 16) & 0b11 == 0b10
    problems: list[Problem] = []
    assert parse_mac("x", mac, problems) == mac


@pytest.mark.parametrize("name", ["enp8s0", "bond0", "eth0.100", "e", "fifteen-letters", "ens1f0np0"])
def test_good_nic_names(name: str) -> None:
    problems: list[Problem] = []
    check_nic_name("nic", name, problems)
    assert problems == []


@pytest.mark.parametrize(
    "name", ["", "sixteen-letters-", "a/b", "a b", ".", "..", "a:b", "a,b", "eth\n", "größe", "br-int", "br-external"]
)
def test_bad_nic_names(name: str) -> None:
    problems: list[Problem] = []
    check_nic_name("nic", name, problems)
    assert [problem.path for problem in problems] == ["nic"]
    assert problems[0].hint
