# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pools of addresses as users write them: parsed, or refused part by part; and the first free address of one. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from itertools import chain

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import IPV6_REASON
from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem

Range = tuple[int, int]  # first and last address, as numbers

FORM = (
    "the forms are 10.4.19.110, 10.4.19.110-10.4.19.150, 10.4.19.110-150, 10.4.19.128/26, and !10.4.19.120 to exclude"
)
_LAST_BYTE = re.compile(r"[0-9]{1,3}")
_CIDR = re.compile(r"[0-9.]+/[0-9]{1,2}")
_NOBODYS = tuple(map(IPv4Network, ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/3")))  # never the address of a host


@dataclass(frozen=True)
class Pool:
    """Addresses in the order in which they are given away. The ranges share no address, and none goes on another."""

    ranges: tuple[Range, ...]

    def __contains__(self, address: str) -> bool:
        return self._place(address) is not None

    def __iter__(self) -> Iterator[str]:
        return (str(IPv4Address(number)) for first, last in self.ranges for number in range(first, last + 1))

    def __str__(self) -> str:
        return ",".join(_shown(each) for each in self.ranges)

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return sum(last - first + 1 for first, last in self.ranges)

    def first_of(self, addresses: Iterable[str]) -> str | None:
        """Which of these comes first in the pool; None when none is in it."""
        placed = [(place, address) for address in addresses if (place := self._place(address))]
        return min(placed)[1] if placed else None

    def _place(self, address: str) -> tuple[int, int] | None:
        """Where an address stands: the number of its range, and its own; None when it is not in the pool."""
        try:
            number = int(IPv4Address(address))
        except AddressValueError:
            return None
        below = bisect_right(self._ascending, (number, 1 << 32)) - 1
        if below < 0 or number > self._ascending[below][1]:
            return None
        return self._order[self._ascending[below]], number

    @cached_property
    def _ascending(self) -> list[Range]:
        return sorted(self.ranges)

    @cached_property
    def _order(self) -> dict[Range, int]:
        return {each: index for index, each in enumerate(self.ranges)}


def parse_pool(
    path: str, text: str | Sequence[str], excluded: str | Sequence[str] = ()
) -> tuple[Pool | None, list[Problem]]:
    """A pool from its parts: addresses, ranges and networks, with `!` before those that are excluded."""
    problems: list[Problem] = []
    given: list[Range] = []
    without: list[Range] = []
    for part in _parts(text):
        away = part.startswith("!")
        found = _parse_part(path, part, part.lstrip("! "), away, problems)
        (without if away else given).extend(found)
    for part in _parts(excluded):
        without.extend(_parse_part(path, part, part.lstrip("! "), True, problems))
    if problems:
        return None, problems
    if not given:
        return None, [Problem(path, "the pool names no address", FORM)]
    pool = Pool(_joined(_fresh(given, without)))
    if not pool.ranges:
        return None, [Problem(path, "the pool is empty: each of its addresses is excluded", "exclude fewer of them")]
    return pool, []


def first_free(pool: Pool, taken: Collection[str], network: IPv4Network | None) -> str | None:
    """The first address of the pool that is not taken and that a host on the network can have."""
    return next(free(pool, taken, network), None)


def free(pool: Pool, taken: Collection[str], network: IPv4Network | None) -> Iterator[str]:
    """All of those addresses, one by one in the pool's order. What is added to a set meanwhile is passed over."""
    known = taken if isinstance(taken, (set, frozenset, dict)) else frozenset(taken)
    lowest, highest = (int(network[1]), int(network[-2])) if network else (0, (1 << 32) - 1)
    for first, last in pool.ranges:
        for number in range(max(first, lowest), min(last, highest) + 1):
            address = str(IPv4Address(number))
            if address not in known:
                yield address


def _parts(text: str | Sequence[str]) -> Iterator[str]:
    texts = [text] if isinstance(text, str) else text
    if texts == [""]:
        return
    for part in chain.from_iterable(one.split(",") for one in texts):
        yield part.strip()


def _parse_part(path: str, part: str, text: str, away: bool, problems: list[Problem]) -> list[Range]:
    """The addresses of one part, [] when it is bad."""
    if ":" in text:
        problems.append(Problem(path, f"{part!r} is not an IPv4 part of a pool", IPV6_REASON))
        return []
    each = _network(path, part, text, away, problems) if "/" in text else _range(path, part, text, problems)
    if each is None:
        return []
    for network in _NOBODYS:
        if not away and each[0] <= int(network[-1]) and each[1] >= int(network[0]):
            hint = "take addresses of the gateway's network"
            problems.append(Problem(path, f"{part!r} has addresses of {network}, which no host can have", hint))
            return []
    return [each]


def _range(path: str, part: str, text: str, problems: list[Problem]) -> Range | None:
    start, dash, end = (word.strip() for word in text.partition("-"))
    if _LAST_BYTE.fullmatch(end):
        end = f"{start.rpartition('.')[0]}.{end}"
    try:
        first, last = IPv4Address(start), IPv4Address(end if dash else start)
    except AddressValueError:
        problems.append(Problem(path, f"{part!r} is not a part of a pool", FORM))
        return None
    if first > last:
        problems.append(Problem(path, f"{part!r} ends before it starts", f"the other way round: {last}-{first}"))
        return None
    return int(first), int(last)


def _network(path: str, part: str, text: str, away: bool, problems: list[Problem]) -> Range | None:
    """The hosts of a network; all of its addresses when they are excluded."""
    try:
        if not _CIDR.fullmatch(text):
            raise AddressValueError(text)
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError):
        problems.append(Problem(path, f"{part!r} is not a network", FORM))
        return None
    address = text.partition("/")[0]
    if address != str(network[0]):
        hint = f"the form is {network}, or {address} for that one address"
        problems.append(Problem(path, f"{part!r} is a host of network {network}, and not the network", hint))
        return None
    edge = 0 if away or network.num_addresses <= 2 else 1  # its own address, and the broadcast address
    return int(network[0]) + edge, int(network[-1]) - edge


def _fresh(given: Sequence[Range], without: Sequence[Range]) -> Iterator[Range]:
    """What each range has that neither an exclusion nor a range before it has."""
    covered: list[Range] = []
    for each in without:
        _cover(covered, each)
    for each in given:
        yield from _cover(covered, each)


def _cover(covered: list[Range], each: Range) -> list[Range]:
    """Add a range to those that are covered, which are kept apart and ascending; what was not covered before."""
    first, last = each
    low = bisect_left(covered, (first, first))
    if low and covered[low - 1][1] >= first:
        low -= 1
    high = low
    gaps: list[Range] = []
    at = first
    while high < len(covered) and covered[high][0] <= last:
        if at < covered[high][0]:
            gaps.append((at, covered[high][0] - 1))
        at = covered[high][1] + 1
        high += 1
    if at <= last:
        gaps.append((at, last))
    touched = [each, *covered[low:high]]
    covered[low:high] = [(min(touched)[0], max(end for _start, end in touched))]
    return gaps


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The ranges, with one that goes on where the one before ends made part of it."""
    result: list[Range] = []
    for first, last in ranges:
        if result and result[-1][1] + 1 == first:
            result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


def _shown(each: Range) -> str:
    first, last = map(IPv4Address, each)
    return str(first) if first == last else f"{first}-{last}"
