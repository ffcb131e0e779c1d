# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_eip ended by SIGKILL at each of its writes and run again: all is then as after a run that nobody disturbed.

The kill meets a write before it reached its server; in the longer runs also after it was done, before the answer came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.eip_lab import CLAIMS, EIP, ROUTED, Picture, gateway, machine, picture, pod, runs
from support.fleet import alone
from support.killing import killed
from support.lab import Lab
from support.live import Live, eventually

VM, POD, GONE = "killed-vm", "killed-pod", "killed-gone"
ONE, TWO = "10.4.19.206", "10.4.19.207"
POOL = f"{ONE}-{TWO}"
SETTLED = 120  # seconds in which Kube-OVN has done its part, on a busy lab

Options = dict[str, Any]


def task(*eips: dict[str, str], **options: Any) -> Options:
    """The module's options."""
    return {"eips": list(eips), "wait_timeout": SETTLED, **options}


@dataclass(frozen=True)
class Case:
    """What is killed: a run, after others, or what somebody did by hand, that made the state that it begins with."""

    name: str
    run: Options
    writes: int  # that many at least: fewer would mean that the kill misses some
    first: tuple[Options, ...] = field(default=())
    by_hand: Callable[[Live], None] = field(default=lambda _live: None)

    def __str__(self) -> str:
        return self.name


def annotated(live: Live) -> None:
    """A site that was built by hand: each pod has its EIP, the machine's template and instance know nothing of it."""
    launcher = live.launcher(VM)
    assert launcher is not None
    for name, address in ((launcher["metadata"]["name"], ONE), (POD, TWO)):
        live.patch("pod", name, {"metadata": {"annotations": {EIP: address, ROUTED: None}}})
    eventually(lambda: picture(live), _is_routed, SETTLED, "Kube-OVN makes both EIPs")


def _is_routed(seen: Picture) -> bool:
    notes = (seen["annotations"][f"Pod {name}"] for name in (VM, POD))
    leads = [line.split(",")[1] for line in seen["rules"]]
    return all(note.get(ROUTED) == "true" for note in notes) and {ONE, TWO} <= set(leads)


def left_behind(live: Live) -> None:
    """What is left of a pod and of a machine that are gone: claims, and for each a NAT row and Kube-OVN's policy."""
    if live.get("namespace", CLAIMS) is None:
        live.kubectl("create", "namespace", CLAIMS)
    for kind, address, logical in (("Pod", ONE, "10.253.255.206"), ("VirtualMachine", TWO, "10.253.255.207")):
        holder = [{"kind": kind, "namespace": "default", "name": GONE, "uid": "killed"}]
        notes = {"address": address, "kind": "fip", "holders": json.dumps(holder)}
        metadata = {
            "name": f"eip-{address}",
            "namespace": CLAIMS,
            "labels": {"app.kubernetes.io/managed-by": "kubeovn.core"},
            "annotations": {f"kubeovn.core/{key}": value for key, value in notes.items()},
        }
        spec = {"holderIdentity": f"{kind} default/{GONE}"}
        live.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
        live.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", address, logical)
        policy = ("priority=29250", f'match="ip4.src == {logical}"', "action=reroute", 'nexthops="10.4.19.1"')
        row = ("--", "--id=@row", "create", "Logical_Router_Policy", *policy, "external_ids:vendor=kube-ovn")
        live.nbctl(*row, "--", "add", "Logical_Router", "ovn-cluster", "policies", "@row")


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
    Case("adopt", {"adopt": True, "wait_timeout": SETTLED}, writes=4, by_hand=annotated),
    Case("prune", {"state": "pruned", "wait_timeout": SETTLED}, writes=3, by_hand=left_behind),
)
# Others write the same in the same order (tests/unit/test_eip_order.py): a change is a rotation to an address that is
# named, and a release only deletes the claim after what detaching does. A source address is set as an EIP is.
COVERED = frozenset({"change", "detach", "rotate again", "release of the source"})
LONG = COVERED | {"adopt", "prune"}


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
        succeed({"state": "pruned"})  # what a round that failed has left behind
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
    case.by_hand(live)


def comes(live: Live, wished: Picture) -> None:
    """All is so; Kube-OVN's `routed` may come a moment after the module is content."""
    eventually(lambda: picture(live), lambda seen: seen == wished, SETTLED, f"all is like {wished}")


@pytest.mark.parametrize("done", [False, pytest.param(True, marks=pytest.mark.full)], ids=["before", "after"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.full if case.name in LONG else (), id=case.name) for case in CASES]
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
