# SPDX-License-Identifier: GPL-3.0-or-later
"""How long reading NAT rows takes beside ovn-nbctl and the Python IDL: one server, one database, tcp, in turns.

Each reading makes its own connection, as ovn-nbctl does. Python itself is running already, its modules are imported:
what a task of Ansible costs besides is the same whatever reads.

A server sorts what it selects by all columns of the table, unless the operation says `"sort": []`, which ours does, and
the cheapest answer too: with it 100,000 rows were read in 841 ms, without in 992 (server 3.1); of 10,000 rows it made
no difference that showed. All other figures here are from before, with the sort.

Where the time goes (ovsdb-server 3.1, CPU seconds on a loaded machine, least of three readings by us and two by
ovn-nbctl; 100,000 rows were not taken apart):

    rows     server for us   we     server for ovn-nbctl   ovn-nbctl   a quarter of its two
    10,000   0.089           0.007  0.171                  0.134       0.076
    30,000   0.306           0.026  0.669                  0.395       0.266

So the server alone needs for this select about all that the goal beside ovn-nbctl grants to both: no faster reading
of its answer can meet it with certainty. "Only the addresses and not looked at" is the cheapest answer that has both
of them, taken off the socket without parsing it, measured in the same turns. At 10,000 rows it takes the server 62 ms
of CPU (least of 60), and 68 ms with the looks for unusual rows; a quarter of what server and ovn-nbctl need together
is 64 ms. Of 9,400 instructions for a row (callgrind) 8,800 are that answer's: a JSON object with two members made,
written and freed, a third of them malloc's. Larger answers no longer fit the caches, each row of 100,000 then costs
nearly twice as much, and a server has no condition that would split them: addresses are strings, which can only be
equal or not. Conditions in another order, fewer of them, and a server with a compacted database made no difference
above the noise. The three kinds of monitor cost the server more than a select (10,000 rows, nothing else running:
select 54 ms, monitor 87, monitor_cond 93, monitor_cond_since 77), and so does a select with the rows' identities (82).
On a machine that did nothing else, server 3.1 gave 1/3.5 of ovn-nbctl's time at 10,000 rows and 1/3.0 at 100,000; the
cheapest answer, not looked at, 1/3.6 and 1/3.3. Server 3.5 with ovn-nbctl 25.03, which Kube-OVN 1.14 comes with: 1/4.2
and 1/3.2, and 1/4.3 and 1/3.2.
What the client needs fell from 8.8 to 4.6 ms at 10,000 rows and from 104 to 52 ms at 100,000 (CPU, in a loop).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from bench import nat_readers
from bench.figures import Figures
from support.commands import Show
from support.ovn_site import clients, fill_northbound, fill_southbound
from support.ovsdb import servers

SIZES = (1_000, 10_000, 100_000)  # EIPs: NAT rows, and as many policies
JUDGED = (10_000, 100_000)  # sizes that goals are set for
RUNS = {1_000: 9, 10_000: 9, 100_000: 3}
SHARE_OF_NBCTL, SHARE_OF_IDL, SHARE_OF_MEMORY = 1 / 4, 1 / 20, 1 / 5
GROWTH = 1.5  # a row of a hundred thousand may take so many times as long as one of ten thousand
PATIENCE, PAUSE = 600, 0.5

Reading = dict[str, Any]


def best(works: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """The shortest time of each, taken in turns: what else the machine does then disturbs all alike.

    With a pause before each, in which the server clears up after the one before.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _run in range(runs):
        for name, work in works.items():
            time.sleep(PAUSE)
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: min(taken) for name, taken in times.items()}


def overlay(number: int, first: int) -> str:
    return f"{first}.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def listed(endpoint: str, *verbs: str) -> int:
    """How many lines ovn-nbctl prints for the EIPs."""
    nbctl = ["ovn-nbctl", f"--db={endpoint}", "--no-leader-only", "--timeout=600"]
    outputs = [subprocess.check_output([*nbctl, verb, "ovn-cluster"], text=True) for verb in verbs]
    return outputs[-1].count("dnat_and_snat") + outputs[-1].count("reroute")


def reading(name: str, endpoint: str) -> Reading:
    """One reading in a process of its own, with a pause before it."""
    time.sleep(PAUSE)
    script = str(Path(nat_readers.__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    taken: Reading = json.loads(subprocess.check_output([sys.executable, script, name, endpoint], env=environment))
    return taken


@pytest.fixture(params=SIZES)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A server with so many EIPs, and where it listens."""
    count: int = request.param
    with servers(tmp_path) as start:
        endpoint = start().tcp
        nb, sb = clients(endpoint, PATIENCE)
        fill_northbound(nb, [(overlay(number, 10), overlay(number, 172)) for number in range(count)])
        fill_southbound(sb)
        yield count, endpoint


per_row: dict[int, float] = {}  # by size: what the growth is judged by


def test_reading_nat_rows(filled: tuple[int, str], figures: Figures, show: Show) -> None:
    count, endpoint = filled
    runs = RUNS[count]
    assert nat_readers.ours(endpoint) == listed(endpoint, "lr-nat-list") == count
    works = {"ours": nat_readers.ours, "floor": nat_readers.floor, "nbctl": lambda at: listed(at, "lr-nat-list")}
    times = best({name: partial(work, endpoint) for name, work in works.items()}, runs)
    # By turns as well, each in a process that has done nothing else.
    readings = {name: [reading(name, endpoint) for _run in range(min(runs, 3))] for name in ("ours", "idl")}
    assert {one["rows"] for every in readings.values() for one in every} == {count}
    fastest = {name: min(one["seconds"] for one in every) for name, every in readings.items()}
    added = {name: min(one["added"] for one in every) for name, every in readings.items()}
    whole = {name: min(one["peak"] for one in every) for name, every in readings.items()}
    per_row[count] = times["ours"] / count

    judged = count in JUDGED
    name = f"{count} NAT rows"
    share = times["ours"] / times["nbctl"]
    measured = f"1/{1 / share:.1f}: {times['ours']:.3f} s, and {times['nbctl']:.3f} s"
    figures.add(show, f"{name}, beside ovn-nbctl", measured, "at most 1/4", share <= SHARE_OF_NBCTL if judged else None)
    share = times["floor"] / times["nbctl"]
    measured = f"1/{1 / share:.1f}: {times['floor']:.3f} s, and {times['nbctl']:.3f} s"
    figures.add(show, f"{name}, only the addresses and not looked at, beside ovn-nbctl", measured)
    share = fastest["ours"] / fastest["idl"]
    measured = f"1/{1 / share:.0f}: {fastest['ours']:.3f} s, and {fastest['idl']:.2f} s"
    figures.add(show, f"{name}, beside the IDL", measured, "at most 1/20", share <= SHARE_OF_IDL if judged else None)
    share = added["ours"] / added["idl"]
    measured = f"1/{1 / share:.1f}: {added['ours']:.1f} MiB, and {added['idl']:.1f} MiB"
    goal = share <= SHARE_OF_MEMORY if judged else None
    figures.add(show, f"{name}, memory for it beside the IDL's", measured, "at most 1/5", goal)
    measured = f"{whole['ours']:.0f} MiB, and {whole['idl']:.0f} MiB"
    figures.add(show, f"{name}, the whole process with what is imported", measured)


def test_growth(figures: Figures, show: Show) -> None:
    """From the readings before."""
    thousandth = {count: f"{1e6 * value:.1f}" for count, value in per_row.items()}
    growth = per_row[SIZES[-1]] / per_row[SIZES[1]]
    measured = f"{growth:.2f} times: {', '.join(f'{value} us at {count}' for count, value in thousandth.items())}"
    figures.add(show, "a NAT row of 100000 beside one of 10000", measured, f"at most {GROWTH}", growth <= GROWTH)


def test_all_that_a_module_observes(tmp_path: Path, figures: Figures, show: Show) -> None:
    """Rules and policies, chassis and ports, of both databases."""
    count = 10_000
    with servers(tmp_path) as start:
        endpoint = start().tcp
        nb, sb = clients(endpoint, PATIENCE)
        fill_northbound(nb, [(overlay(number, 10), overlay(number, 172)) for number in range(count)])
        fill_southbound(sb)

        def ours() -> int:
            northbound = Northbound(*clients(endpoint, PATIENCE))
            policies = len(northbound.observe(identities=False).policies)
            northbound.close()
            return policies

        def theirs() -> int:
            return listed(endpoint, "lr-nat-list", "lr-policy-list")

        assert ours() == theirs() == count
        times = best({"ours": ours, "nbctl": theirs}, RUNS[count])
    ratio = times["nbctl"] / times["ours"]
    measured = f"{ratio:.1f} times as fast: {times['ours']:.3f} s, and {times['nbctl']:.3f} s"
    name = f"all that ovn_nat_info observes of {count} EIPs, beside ovn-nbctl lr-nat-list and lr-policy-list"
    figures.add(show, name, measured, "at least 1", ratio >= 1)
