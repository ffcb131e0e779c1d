# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_eip ended by SIGKILL at each of its writes and run again: all is then as after a run that nobody disturbed.

The kill meets a write before it reached its server; in the longer runs also after it was done, before the answer came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.eip_lab import Picture, gateway, machine, picture, pod, runs
from support.fleet import alone
from support.killing import killed
from support.lab import Lab
from support.live import Live, eventually

VM, POD = "killed-vm", "killed-pod"
ONE, TWO = "10.4.19.206", "10.4.19.207"
POOL = f"{ONE}-{TWO}"
SETTLED = 120  # seconds in which Kube-OVN has done its part, on a busy lab

Options = dict[str, Any]


def task(*eips: dict[str, str], **options: Any) -> Options:
    """The module's options."""
    return {"eips": list(eips), "wait_timeout": SETTLED, **options}


@dataclass(frozen=True)
class Case:
    """What is killed: a run, after others that made the state that it begins with."""

    name: str
    run: Options
    writes: int  # that many at least: fewer would mean that the kill misses some
    first: tuple[Options, ...] = field(default=())

    def __str__(self) -> str:
        return self.name


ATTACHED = task({"vm": VM, "address": ONE})
DRAWN = task({"vm": VM, "pool": POOL})
ROTATED = task({"vm": VM, "pool": POOL}, rotate=True, rotation="first")
SOURCE = task({"vm": VM, "address": ONE}, kind="snat")
CASES = (
    Case("attach", DRAWN, writes=4),
    Case("change", task({"vm": VM, "address": TWO}), writes=6, first=(ATTACHED,)),
    Case("detach", task({"vm": VM}, state="detached"), writes=3, first=(ATTACHED,)),
    Case("release", task({"vm": VM}, state="absent"), writes=4, first=(ATTACHED,)),
    Case(
        "reassign",
        task({"vm": VM, "address": ONE}, reassign=True),
        writes=5,
        first=(task({"pod": POD, "address": ONE}),),
    ),
    Case("rotate", ROTATED, writes=6, first=(DRAWN,)),
    Case(
        "rotate again", task({"vm": VM, "pool": POOL}, rotate=True, rotation="next"), writes=6, first=(DRAWN, ROTATED)
    ),
    Case("source", SOURCE, writes=4),
    Case("release of the source", task({"vm": VM}, state="absent", kind="snat"), writes=4, first=(SOURCE,)),
)
# Others write the same in the same order (tests/unit/test_eip_order.py): a change is a rotation to an address that is
# named, and a release only deletes the claim after what detaching does. A source address is set as an EIP is.
COVERED = frozenset({"change", "detach", "rotate again", "release of the source"})


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway, a running VM and a running pod without an EIP."""
    live = Live(lab)
    gateway(live)
    try:
        live.apply(machine(VM, running=True), pod(POD))
        runs(live, vms=(VM,), pods=(POD,))
        yield live
    finally:
        release()
        live.kubectl("delete", "vm,pod", "-n", "default", "--ignore-not-found", VM, POD, "--wait=true")


@pytest.fixture(scope="module")
def empty(live: Live) -> Picture:
    """How it looks when nobody has an EIP."""
    release()
    return picture(live)


def succeed(options: Options) -> dict[str, Any]:
    """A run that nobody disturbs."""
    result = alone("ovn_eip", options)
    assert not result["failed"], result["msg"]
    return result


def release() -> None:
    """Nobody has an EIP, and there is no claim."""
    succeed(task({"vm": VM}, {"pod": POD}, state="absent"))
    succeed(task({"vm": VM}, state="absent", kind="snat"))


def begin(case: Case, live: Live, empty: Picture) -> None:
    """The state that the case begins with, from nothing: also the proof that the round before left nothing."""
    release()
    comes(live, empty)
    for options in case.first:
        succeed(options)


def comes(live: Live, wished: Picture) -> None:
    """All is so; Kube-OVN's `routed` may come a moment after the module is content."""
    eventually(lambda: picture(live), lambda seen: seen == wished, SETTLED, f"all is like {wished}")


@pytest.mark.parametrize("done", [False, pytest.param(True, marks=pytest.mark.full)], ids=["before", "after"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.full if case.name in COVERED else (), id=case.name) for case in CASES]
)
def test_killed_at_each_write_and_run_again(live: Live, empty: Picture, case: Case, done: bool) -> None:
    begin(case, live, empty)
    succeed(case.run)
    wished = picture(live)
    number = 0
    while True:
        number += 1
        begin(case, live, empty)
        was_killed, writes = killed(case.run, number, done)
        if not was_killed:
            break
        again = succeed(case.run)
        assert again["changed"] or done, f"killed at {writes}"
        comes(live, wished)
        assert not succeed(case.run)["changed"], f"killed at {writes}"
    assert number > case.writes, writes
    comes(live, wished)
    begin(Case("nothing", {}, 0), live, empty)
