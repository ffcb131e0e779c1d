# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, ranges and networks as options name them, each address for itself, for modules that run on nodes.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

FORMS = "the forms are 10.4.19.110, 10.4.19.110-10.4.19.150, 10.4.19.110-150 and 10.4.19.128/26"


def expand(option: str, texts: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """The addresses in ascending order, each once; and what is wrong, with the option's path in front."""
    numbers: set[int] = set()
    problems: list[str] = []
    for index, text in enumerate(texts):
        try:
            first, last = _ends(text.strip())
        except ValueError as error:
            problems.append(f"{option}[{index}]: {text!r} is not asked for: {error}")
            continue
        if last - first >= most:
            problems.append(f"{option}[{index}]: {text!r} has {last - first + 1} addresses, more than {most}")
            continue
        numbers.update(range(first, last + 1))
    if len(numbers) > most and not problems:
        problems.append(f"{option}: there are {len(numbers)} addresses, more than {most}")
    return [str(IPv4Address(number)) for number in sorted(numbers)], problems


def _ends(text: str) -> tuple[int, int]:
    """The first and the last address of one part; of a network those of its hosts. ValueError: why it is none."""
    try:
        if "/" in text:
            network = IPv4Network(text)
            edge = 1 if network.num_addresses > 2 else 0
            ends = network[edge], network[-1 - edge]
        else:
            start, dash, end = (word.strip() for word in text.partition("-"))
            if re.fullmatch("[0-9]{1,3}", end):
                end = f"{start.rpartition('.')[0]}.{end}"
            ends = IPv4Address(start), IPv4Address(end if dash else start)
    except ValueError as error:
        raise ValueError(f"{error}; {FORMS}") from error
    if ends[0] > ends[1]:
        raise ValueError(f"it ends before it starts; {FORMS}")
    if any(each.is_multicast or each.is_loopback or each.is_unspecified or each.is_reserved for each in ends):
        raise ValueError("no host can have it")
    return int(ends[0]), int(ends[1])
