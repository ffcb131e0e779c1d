# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets lost at 10 Hz when the active gateway is powered off, with OVN's own BFD timers and with shorter ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench.figures import Figures
from bench.site import EIP, G1, ROUTER, Site
from bench.traffic import Traffic, median, traffic
from support.commands import Show
from support.live import eventually

RUNS = 5
TUNED = {"min_rx": 200, "min_tx": 200, "multiplier": 3}
TIMERS = ("bfd-min-rx", "bfd-min-tx", "bfd-mult")


def untune(site: Site) -> None:
    """OVN's own timers again."""
    for timer in TIMERS:
        site.live.nbctl("remove", "NB_Global", ".", "options", timer)


@pytest.fixture
def put_back(site: Site) -> Iterator[Site]:
    """Whatever becomes of the bench, the gateway is on and the timers are OVN's own."""
    yield site
    site.lab.run("power", "on", G1)
    untune(site)
    site.settle()


def power_off(site: Site) -> Traffic:
    """What is lost until another gateway has the traffic; afterwards all is as before."""
    site.settle()
    with traffic(ROUTER, EIP) as seen:
        site.lab.run("power", "off", G1)
        eventually(site.active, lambda node: node not in (None, G1), 60, "another gateway is active")
        eventually(lambda: site.answering(EIP), bool, 60, "the EIP answers again")
    site.lab.run("power", "on", G1)
    return seen


def test_power_off(put_back: Site, figures: Figures, show: Show) -> None:
    """In turns, so that what else the machine does disturbs both alike."""
    site = put_back
    site.be()
    default: list[Traffic] = []
    tuned: list[Traffic] = []
    for _run in range(RUNS):
        untune(site)
        default.append(power_off(site))
        site.push(bfd=TUNED)
        tuned.append(power_off(site))
    for name, address in (("router port", ROUTER), ("EIP", EIP)):
        usual, fast = ([seen.lost(address) for seen in runs] for runs in (default, tuned))
        figures.add(show, f"power-off, OVN's BFD timers: lost to {name}", f"median {median(usual):g}; {usual}")
        goal = f"fewer than {median(usual):g}"
        what = f"power-off, 200 ms x 3: lost to {name}"
        figures.add(show, what, f"median {median(fast):g}; {fast}", goal, median(fast) < median(usual))
