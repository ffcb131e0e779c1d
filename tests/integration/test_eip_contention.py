# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ovn_eip that want the same at the same moment, as from twenty control nodes; seen by kubectl and nbctl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.eip_lab import EIP, claims, gateway, machine, noted, picture, pod, runs
from support.fleet import alone, fleet
from support.lab import Lab
from support.live import Live, eventually

NUMBER = 20
VMS = tuple(f"race-{number:02}" for number in range(NUMBER))  # stopped: a claim has to hold for these too
PODS = tuple(f"race-pod-{number}" for number in range(4))  # running
ADDRESS = "10.4.19.205"
POOL = tuple(f"10.4.19.{number}" for number in range(210, 210 + NUMBER))
SETTLED = 120.0  # seconds in which Kube-OVN has done its part, on a busy lab
ROUNDS = [pytest.param(number, marks=[pytest.mark.full] if number >= 5 else []) for number in range(50)]


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway, twenty stopped VMs and four running pods without an EIP."""
    live = Live(lab)
    gateway(live)
    try:
        live.apply(*(machine(name, running=False) for name in VMS), *(pod(name) for name in PODS))
        runs(live, pods=PODS)
        yield live
    finally:
        release(*VMS, *PODS)
        live.kubectl("delete", "vm,pod", "-n", "default", "--ignore-not-found", *VMS, *PODS, "--wait=true")


def holder(name: str) -> dict[str, str]:
    """How a task names it."""
    return {"vm" if name in VMS else "pod": name}


def shown(name: str) -> str:
    """How the module names it."""
    return f"{'VirtualMachine' if name in VMS else 'Pod'} default/{name}"


def race(names: Sequence[str], **wanted: str) -> dict[str, dict[str, Any]]:
    """All at once, each for one holder: holder -> result."""
    results = fleet("ovn_eip", [{"eips": [holder(name) | wanted], "wait_timeout": 300} for name in names])
    return dict(zip(names, results, strict=True))


def release(*names: str) -> None:
    """What they have, claims included."""
    result = alone("ovn_eip", {"eips": [holder(name) for name in names], "state": "absent"})
    assert not result["failed"], result["msg"]


def with_eip(live: Live) -> list[str]:
    """The objects that carry an EIP's annotation."""
    return [what for what, found in noted(live).items() if EIP in found]


def one_wins(live: Live, names: Sequence[str]) -> str:
    """They race for one address; exactly one has it then, and each of the others was told who."""
    results = race(names, address=ADDRESS)
    winners = [name for name, result in results.items() if not result["failed"]]
    assert len(winners) == 1, {name: result.get("msg") for name, result in results.items()}
    (winner,) = winners
    for name, result in results.items():
        if name != winner:
            assert f"{ADDRESS} is held by {shown(winner)}" in result["msg"]
            assert not result.get("changed")
    assert with_eip(live) == [shown(winner).replace("default/", "")]
    held = claims(live)
    assert list(held) == [f"eip-{ADDRESS}"]
    assert held[f"eip-{ADDRESS}"]["holder"] == shown(winner)
    return winner


@pytest.mark.parametrize("number", ROUNDS)
def test_one_of_twenty_stopped_vms_wins(live: Live, number: int) -> None:
    before, rows = picture(live), live.rule_ids()
    winner = one_wins(live, VMS)
    assert live.rule_ids() == rows, f"round {number}: nothing of a stopped VM is in NB"
    release(winner)
    assert (picture(live), live.rule_ids()) == (before, rows)


def test_one_of_stopped_vms_and_running_pods_wins(live: Live) -> None:
    before, rows = picture(live), live.rule_ids()
    winner = one_wins(live, (*PODS, *VMS[:16]))
    assert len([rule for rule in live.rules() if rule[1] == ADDRESS]) == (winner in PODS)
    release(winner)
    eventually(lambda: picture(live), lambda seen: seen == before, SETTLED, "all is as before")
    assert live.rule_ids() == rows


def test_twenty_draw_twenty_different_addresses_from_a_pool_of_twenty(live: Live) -> None:
    names = (*PODS, *VMS[:16])
    before, rows = picture(live), live.rule_ids()
    pool = f"{POOL[0]}-{POOL[-1]}"
    results = race(names, pool=pool)
    assert not [result["msg"] for result in results.values() if result["failed"]]
    drawn = {name: result["eips"][0]["address"] for name, result in results.items()}
    assert sorted(drawn.values()) == sorted(POOL)
    assert {name: claim["holder"] for name, claim in claims(live).items()} == {
        f"eip-{address}": shown(name) for name, address in drawn.items()
    }
    found = noted(live)
    assert {name: found[shown(name).replace("default/", "")][EIP] for name in names} == drawn
    led = {external: logical for _type, external, logical in live.rules() if external in POOL}
    assert sorted(led) == sorted(drawn[name] for name in PODS), "a stopped VM has no row"

    again = race(names, pool=pool)
    assert {name: result["eips"][0]["address"] for name, result in again.items()} == drawn
    assert not [name for name, result in again.items() if result["changed"]]

    late = race(VMS[16:17], pool=pool)[VMS[16]]
    assert late["failed"]
    assert "pool" in late["msg"]

    release(*names)
    eventually(lambda: picture(live), lambda seen: seen == before, SETTLED, "all is as before")
    assert live.rule_ids() == rows
