# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateway nodes showed: evidence, refusals, whether they may get traffic again, and who is drained."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._evidence import (
    drained_in,
    evidence_for,
    ready_nodes,
    refusals_in,
    unfit,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import evidence_of


def shown(**changes: Any) -> dict[str, Any]:
    """A gateway that works, but for these."""
    nic = {"name": "enp8s0", "exists": True, "carrier": True, "in_service": True}
    gateway = {"missing": [], "leftovers": ["x"], "other_nics": [], "tunnels_up": ["10.4.17.12"], "tunnels_down": []}
    parts: dict[str, dict[str, Any]] = {"nic": nic, "gateway": gateway}
    for key, value in changes.items():
        next(part for part in parts.values() if key in part)[key] = value
    return {"links": {"lo": {}}, "refusals": [], **parts}


def test_evidence_is_what_the_gateways_rule_takes() -> None:
    """A node that was not reached gives none; one with a fault is not proven."""
    results = {"g1": shown(), "g2": {"unreachable": True}, "g3": shown(missing=["no patch port"])}
    evidence = evidence_of(evidence_for(results))
    assert {name: one.proven for name, one in evidence.items()} == {"g1": True, "g3": False}


@pytest.mark.parametrize(
    ("changes", "staging", "in_service"),
    [({}, True, True), ({}, False, False), ({"carrier": False}, True, False), ({"other_nics": []}, True, False)],
)
def test_a_new_nic_counts_as_connected_only_where_it_will_be_staged(
    changes: dict[str, Any], staging: bool, in_service: bool
) -> None:
    seen = shown(**{"other_nics": ["enp7s0"], "in_service": False, **changes})
    assert evidence_for({"g1": seen}, staging)["g1"]["nic"]["in_service"] is in_service


def test_refusals_name_their_nodes() -> None:
    results = {"g1": shown(), "g2": shown() | {"refusals": ["nic: enp8s0 carries the default route"]}, "g3": {}}
    assert refusals_in(results) == ["g2: enp8s0 carries the default route"]


@pytest.mark.parametrize(
    ("changes", "ready", "word"),
    [
        ({"missing": ["br-external does not hold enp8s0"]}, True, "does not hold"),
        ({"carrier": False}, True, "no carrier"),
        ({"tunnels_up": [], "tunnels_down": ["10.4.17.12"]}, True, "no tunnel is up"),
        ({}, False, "Ready"),
    ],
)
def test_an_unfit_gateway_says_why(changes: dict[str, Any], ready: bool, word: str) -> None:
    found = unfit("g1", shown(**changes), ready)
    assert len(found) == 1
    assert word in found[0]


def test_a_fit_gateway() -> None:
    """A dead peer's tunnel is down on every healthy gateway; a lone gateway has no tunnels that are watched."""
    assert unfit("g1", shown(), True) == []
    assert unfit("g1", shown(tunnels_down=["10.4.17.13"]), True) == []
    assert unfit("g1", shown(tunnels_up=[]), True) == []
    assert unfit("g1", {"unreachable": True, "msg": "timed out"}, True) == ["g1 cannot be asked: timed out"]


NODES = ["a", "b", "c", "d"]
SUBSETS = list(chain.from_iterable(combinations(NODES, size) for size in range(len(NODES))))


@pytest.mark.parametrize("drained", SUBSETS)
def test_the_order_tells_who_is_drained(drained: tuple[str, ...]) -> None:
    """But for those at the end of the order alone, where it makes no difference."""
    rows = [name for name in NODES if name not in drained] + list(drained)
    told = list(drained) if rows != NODES else []
    assert drained_in(NODES, rows) == told


def test_strangers_and_missing_rows_do_not_count() -> None:
    assert drained_in(NODES, ["x", "b", "a"]) == ["a"]
    assert drained_in(NODES, ["b", "c", "d"]) == []
    assert drained_in(NODES, []) == []


def test_ready_nodes() -> None:
    def node(name: str, *conditions: tuple[str, str]) -> dict[str, Any]:
        status = {"conditions": [{"type": kind, "status": value} for kind, value in conditions]}
        return {"metadata": {"name": name}, "status": status}

    well, gone = ("Ready", "True"), ("Ready", "Unknown")
    objects = [node("a", well), node("b", gone), node("c"), node("d", ("DiskPressure", "True"), ("Ready", "False"))]
    assert ready_nodes(objects) == ["a"]
