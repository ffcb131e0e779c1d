# SPDX-License-Identifier: GPL-3.0-or-later
"""How long reading NAT rows and policies takes beside ovn-nbctl, on one server over the same kind of connection."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import NAT_COLUMNS, Northbound
from bench.figures import Figures
from support.commands import Show
from support.ovn_site import clients, fill_northbound, fill_southbound
from support.ovsdb import servers

ROWS = 10_000  # EIPs: NAT rows, and as many policies
RUNS = 7


def best_of_both(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The shortest time of each, taken in turns: what else the machine does then disturbs both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _run in range(RUNS):
        for work, taken in zip((one, other), times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return min(times[0]), min(times[1])


def overlay(number: int, first: int) -> str:
    return f"{first}.{number >> 16}.{number >> 8 & 255}.{number & 255}"


@pytest.mark.parametrize(
    ("what", "lists", "at_least"),
    [
        ("NAT rows", ["lr-nat-list"], 1.0),
        ("all that a module observes", ["lr-nat-list", "lr-policy-list"], 1.0),
    ],
)
def test_reading_beside_ovn_nbctl(
    tmp_path: Path, figures: Figures, show: Show, what: str, lists: list[str], at_least: float
) -> None:
    """Each reading makes its own connection, as ovn-nbctl does; Python itself is running already."""
    with servers(tmp_path) as start:
        endpoint = start().tcp
        nb, sb = clients(endpoint)
        fill_northbound(nb, [(overlay(number, 10), overlay(number, 172)) for number in range(ROWS)])
        fill_southbound(sb)

        def ours() -> int:
            northbound = Northbound(*clients(endpoint))
            if what == "NAT rows":
                own = northbound.nb.select("Logical_Router", ["nat"], [("name", "==", "ovn-cluster")])[0]["nat"]
                count = len({row["_uuid"] for row in northbound.nb.select("NAT", NAT_COLUMNS)} & set(own))
            else:
                count = len(northbound.observe().policies)
            northbound.close()
            return count

        def theirs() -> int:
            nbctl = ["ovn-nbctl", f"--db={endpoint}", "--no-leader-only"]
            outputs = [subprocess.check_output([*nbctl, verb, "ovn-cluster"], text=True) for verb in lists]
            return outputs[-1].count("dnat_and_snat") + outputs[-1].count("reroute")

        assert ours() == theirs() == ROWS
        mine, their = best_of_both(ours, theirs)
    ratio = their / mine
    measured = f"{ratio:.1f} times as fast: {mine:.3f} s, and {their:.3f} s"
    name = f"reading {what} of {ROWS} EIPs, beside ovn-nbctl {' and '.join(lists)}"
    figures.add(show, name, measured, f"at least {at_least:g}", ratio >= at_least)
