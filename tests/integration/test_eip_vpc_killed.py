# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_eip in a custom VPC ended by SIGKILL at each of its writes and run again: all is then as after a single run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.eip_lab import claims
from support.fleet import alone
from support.killing import killed
from support.lab import Lab
from support.live import Live, eventually
from support.vpc_site import FAR, NAMESPACE, NEAR, RULES, balancers, clear, objects, rows, standing

pytestmark = pytest.mark.full
ONE, TWO = "10.4.19.213", "10.4.19.214"
GENERAL = ("state", "reassign", "rotate", "rotation")
PORTS = [{"external": 2222, "internal": 22}]

Options = dict[str, Any]
Picture = dict[str, Any]


def task(pod: str = FAR, **eip: Any) -> Options:
    """The module's options for one EIP."""
    general: Options = {key: eip.pop(key) for key in GENERAL if key in eip}
    return {"eips": [{"pod": pod, "namespace": NAMESPACE, **eip}], "wait_timeout": 60, **general}


@dataclass(frozen=True)
class Case:
    """What is killed: a run, after another that made the state that it begins with."""

    name: str
    run: Options
    first: tuple[Options, ...] = field(default=())


ATTACHED = task(address=ONE)
SOURCE = task(address=ONE, kind="snat")
CASES = (
    Case("attach", ATTACHED),
    Case("change", task(address=TWO), (ATTACHED,)),
    Case("detach", task(state="detached"), (ATTACHED,)),
    Case("release", task(state="absent"), (ATTACHED,)),
    Case("reassign", task(NEAR, address=ONE, reassign=True), (ATTACHED,)),
    Case("rotate", task(pool=f"{ONE}-{TWO}", rotate=True, rotation="first"), (ATTACHED,)),
    Case("source", SOURCE),
    Case("change of the source", task(address=TWO, kind="snat"), (SOURCE,)),
    Case("ports", task(address=ONE, kind="dnat", ports=PORTS)),
)


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A VPC with its way outside, and two pods."""
    live = Live(lab)
    with standing(live):
        yield live


def picture(live: Live) -> Picture:
    """All that EIPs in the VPC are made of, when Kube-OVN has let go of what is being deleted."""
    going = ("get", f"ovn-eips,{RULES}", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}")
    eventually(lambda: live.kubectl(*going).strip(), lambda seen: not seen, 60, "what is deleted is gone")
    return {
        "objects": objects(live),
        "rows": rows(live),
        "balancers": balancers(live),
        "claims": claims(live),
    }


def succeed(options: Options) -> dict[str, Any]:
    """A run that nobody disturbs."""
    result = alone("ovn_eip", options)
    assert not result["failed"], result["msg"]
    return result


def begin(case: Case, live: Live) -> None:
    """The state that the case begins with, from nothing."""
    clear(live)
    for options in case.first:
        succeed(options)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_killed_at_each_write_and_run_again(live: Live, case: Case) -> None:
    begin(case, live)
    succeed(case.run)
    wished = picture(live)
    number = 0
    while True:
        number += 1
        begin(case, live)
        was_killed, writes = killed(case.run, number)
        if not was_killed:
            break
        assert succeed(case.run)["changed"], f"killed at {writes}"
        eventually(lambda: picture(live), lambda seen: seen == wished, 60, f"killed at {writes}, all is like {wished}")
        assert not succeed(case.run)["changed"], f"killed at {writes}"
    assert number > 1, "a run that writes nothing proves nothing"
