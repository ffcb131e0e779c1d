# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools of addresses: parsed or refused part by part, given away in order, and never an address twice."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._addresses import IPV6_REASON
from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool, first_free, free, parse_pool
from hypothesis import given
from hypothesis import strategies as st

NETWORK = IPv4Network("10.4.19.0/24")
BASE = int(IPv4Address("10.4.18.250"))  # what is drawn below lies around the start of NETWORK


def pool(text: str | Sequence[str], excluded: str | Sequence[str] = ()) -> Pool:
    """A pool without a problem."""
    found, problems = parse_pool("pool", text, excluded)
    assert problems == []
    assert found is not None
    return found


def address(number: int) -> str:
    """As text."""
    return str(IPv4Address(number))


# --- parsing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical", "size"),
    [
        ("10.4.19.110", "10.4.19.110", 1),
        ("10.4.19.110-10.4.19.150", "10.4.19.110-10.4.19.150", 41),
        ("10.4.19.110-150", "10.4.19.110-10.4.19.150", 41),
        (" 10.4.19.110 - 150 ", "10.4.19.110-10.4.19.150", 41),
        ("10.4.19.110-110", "10.4.19.110", 1),
        ("10.4.19.250-10.4.20.5", "10.4.19.250-10.4.20.5", 12),
        ("10.4.19.128/26", "10.4.19.129-10.4.19.190", 62),
        ("10.4.19.128/30", "10.4.19.129-10.4.19.130", 2),
        ("10.4.19.128/31", "10.4.19.128-10.4.19.129", 2),
        ("10.4.19.128/32", "10.4.19.128", 1),
        ("10.4.19.9,10.4.19.3,10.4.19.5", "10.4.19.9,10.4.19.3,10.4.19.5", 3),
        (["10.4.19.9", "10.4.19.3 , 10.4.19.5"], "10.4.19.9,10.4.19.3,10.4.19.5", 3),
        ("10.4.19.1-3,10.4.19.4-6", "10.4.19.1-10.4.19.6", 6),
        ("10.4.19.4-6,10.4.19.1-3", "10.4.19.4-10.4.19.6,10.4.19.1-10.4.19.3", 6),
        ("10.4.19.5-7,10.4.19.1-9", "10.4.19.5-10.4.19.7,10.4.19.1-10.4.19.4,10.4.19.8-10.4.19.9", 9),
        ("10.4.19.1-9,!10.4.19.5", "10.4.19.1-10.4.19.4,10.4.19.6-10.4.19.9", 8),
        ("!10.4.19.5,10.4.19.1-9", "10.4.19.1-10.4.19.4,10.4.19.6-10.4.19.9", 8),
        ("10.4.19.1-9,! 10.4.19.2-8", "10.4.19.1,10.4.19.9", 2),
        ("10.4.19.0-10.4.19.9,!10.4.19.0/29", "10.4.19.8-10.4.19.9", 2),
        ("10.4.19.1,!10.4.20.0/24", "10.4.19.1", 1),
        ("10.4.19.1,!0.0.0.0/8", "10.4.19.1", 1),
        ("10.0.0.0/8", "10.0.0.1-10.255.255.254", 2**24 - 2),
    ],
)
def test_good_pools(text: str | list[str], canonical: str, size: int) -> None:
    found = pool(text)
    assert (str(found), found.size) == (canonical, size)


def test_exclusions_of_their_own() -> None:
    assert str(pool("10.4.19.1-9", "10.4.19.1-3,!10.4.19.9")) == "10.4.19.4-10.4.19.8"
    assert str(pool(["10.4.19.1-9"], ["10.4.19.1-3", "10.4.19.9"])) == "10.4.19.4-10.4.19.8"


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("10.4.19", "not a part of a pool", "10.4.19.110-10.4.19.150"),
        ("10.4.19.300", "not a part of a pool", "10.4.19.110"),
        ("10.4.19.01", "not a part of a pool", "10.4.19.110"),
        ("web-1", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110-", "not a part of a pool", "10.4.19.110-150"),
        ("-10.4.19.110", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110-256", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110-19.150", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110-10.4.19.120-10.4.19.130", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110..150", "not a part of a pool", "10.4.19.110-150"),
        ("10.4.19.110 10.4.19.111", "not a part of a pool", "10.4.19.110"),
        ("10.4.19.110,", "'' is not a part of a pool", "10.4.19.110"),
        ("10.4.19.1,!", "'!' is not a part of a pool", "!10.4.19.120 to exclude"),
        ("10.4.19.1,!10.4.19", "'!10.4.19' is not a part of a pool", "!10.4.19.120 to exclude"),
        ("10.4.19.150-10.4.19.110", "ends before it starts", "10.4.19.110-10.4.19.150"),
        ("10.4.19.150-110", "ends before it starts", "10.4.19.110-10.4.19.150"),
        ("10.4.19.128/33", "not a network", "10.4.19.128/26"),
        ("10.4.19.128/", "not a network", "10.4.19.128/26"),
        ("10.4.19.128/255.255.255.192", "not a network", "10.4.19.128/26"),
        ("10.4.19.300/26", "not a network", "10.4.19.128/26"),
        ("10.4.19.128/26-27", "not a network", "10.4.19.128/26"),
        ("10.4.19.130/26", "is a host of network 10.4.19.128/26", "10.4.19.128/26, or 10.4.19.130 for"),
        ("fd00:19::1", "not an IPv4 part", IPV6_REASON),
        ("fd00:19::/64", "not an IPv4 part", IPV6_REASON),
        ("0.0.0.0", "no host can have", "the gateway's network"),
        ("127.0.0.1", "no host can have", "the gateway's network"),
        ("126.0.0.1-128.0.0.1", "no host can have", "the gateway's network"),
        ("224.0.0.9", "no host can have", "the gateway's network"),
        ("255.255.255.255", "no host can have", "the gateway's network"),
        ("0.0.0.0/0", "no host can have", "the gateway's network"),
        ("", "names no address", "10.4.19.128/26"),
        ("!10.4.19.5", "names no address", "10.4.19.128/26"),
        ("10.4.19.1-9,!10.4.19.0/28", "is empty", "exclude fewer"),
    ],
)
def test_bad_pools(text: str, reason: str, hint: str) -> None:
    found, problems = parse_pool("eips[3].pool", text)
    assert found is None
    (problem,) = problems
    assert problem.path == "eips[3].pool"
    assert reason in problem.text
    assert hint in problem.hint


def test_each_bad_part_is_told_at_once() -> None:
    found, problems = parse_pool("pool", ["10.4.19.1-9", "a", "!b", "10.4.19.5-3"], "c,::1")
    assert found is None
    assert [problem.text.split("'")[1] for problem in problems] == ["a", "!b", "10.4.19.5-3", "c", "::1"]


def test_an_empty_list_is_an_empty_pool() -> None:
    found, problems = parse_pool("pool", [])
    assert found is None
    assert "names no address" in problems[0].text


# --- what a pool is -------------------------------------------------------------------------------------------------

parts = st.tuples(st.integers(0, 60), st.integers(0, 12), st.booleans())  # start, length, excluded


def written(each: tuple[int, int, bool]) -> str:
    """One part as a user writes it."""
    start, length, excluded = each
    return f"{'!' if excluded else ''}{address(BASE + start)}-{address(BASE + start + length)}"


def expected(drawn: list[tuple[int, int, bool]]) -> list[str]:
    """The addresses in their order, the long way."""
    away = {number for start, length, excluded in drawn if excluded for number in range(start, start + length + 1)}
    order = [n for start, length, excluded in drawn if not excluded for n in range(start, start + length + 1)]
    return [address(BASE + number) for number in dict.fromkeys(order) if number not in away]


@given(st.lists(parts, min_size=1))
def test_a_pool_is_what_was_written_in_that_order_and_no_address_twice(drawn: list[tuple[int, int, bool]]) -> None:
    found, problems = parse_pool("pool", [written(each) for each in drawn])
    wished = expected(drawn)
    if not wished:
        assert found is None
        assert len(problems) == 1
        return
    assert found is not None
    assert list(found) == wished
    assert found.size == len(wished)
    inside = set(wished)
    assert all((address(number) in found) == (address(number) in inside) for number in range(BASE - 1, BASE + 75))


@given(st.lists(parts, min_size=1))
def test_a_pool_is_parsed_back_from_its_text(drawn: list[tuple[int, int, bool]]) -> None:
    found, _problems = parse_pool("pool", ",".join(map(written, drawn)))
    if found is not None:
        assert pool(str(found)) == found


@pytest.mark.parametrize("text", ["", "web", "10.4.19.0", "10.4.19.4", "10.4.19.01", "10.4.19.1/32", "::1"])
def test_what_is_not_in_a_pool(text: str) -> None:
    assert text not in pool("10.4.19.1-3,10.4.19.5")


@given(st.lists(parts, min_size=1), st.sets(st.integers(0, 80)))
def test_the_first_of_some_addresses_is_the_one_that_the_pool_names_first(
    drawn: list[tuple[int, int, bool]], numbers: set[int]
) -> None:
    found, _problems = parse_pool("pool", [written(each) for each in drawn])
    if found is not None:
        some = [address(BASE + number) for number in numbers]
        assert found.first_of(some) == next((one for one in expected(drawn) if one in some), None)


# --- the first free one ---------------------------------------------------------------------------------------------


@given(st.lists(parts, min_size=1), st.sets(st.integers(0, 80)), st.booleans())
def test_the_first_free_address_is_the_first_that_is_not_taken(
    drawn: list[tuple[int, int, bool]], numbers: set[int], anywhere: bool
) -> None:
    found, _problems = parse_pool("pool", [written(each) for each in drawn])
    if found is None:
        return
    taken = [address(BASE + number) for number in numbers]
    hosts = [text for text in expected(drawn) if anywhere or IPv4Address(text) in set(NETWORK.hosts())]
    wished = [text for text in hosts if text not in taken]
    network = None if anywhere else NETWORK
    assert list(free(found, taken, network)) == wished
    assert first_free(found, taken, network) == (wished[0] if wished else None)


def test_neither_the_networks_own_address_nor_the_broadcast_address_is_given_away() -> None:
    assert first_free(pool("10.4.18.250-10.4.19.9"), [], NETWORK) == "10.4.19.1"
    assert first_free(pool("10.4.19.255-10.4.20.9"), [], NETWORK) is None
    assert first_free(pool("10.4.20.1-9"), [], NETWORK) is None


def test_what_is_taken_meanwhile_is_passed_over() -> None:
    taken: set[str] = {"10.4.19.2"}
    drawing = free(pool("10.4.19.1-9"), taken, NETWORK)
    assert next(drawing) == "10.4.19.1"
    taken.add("10.4.19.3")
    assert next(drawing) == "10.4.19.4"


def test_a_large_pool_is_never_written_out() -> None:
    large = pool("10.0.0.0/8,!10.0.0.7")
    taken = set(islice(large, 1000))
    assert first_free(large, taken, None) == "10.0.3.234"
    assert first_free(large, taken, NETWORK) == "10.4.19.1"
    assert "10.200.0.1" in large


def test_ten_thousand_parts() -> None:
    large = pool([address((10 << 24) + 2 * number + 1) for number in range(10_000)])
    assert large.size == 10_000
    assert all(text in large for text in large)
