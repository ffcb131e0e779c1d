# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a hand-built site over: only EIPs that need a claim and nothing else are claimed, all that differs is told."""

from __future__ import annotations

from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._adoption import CLAIMING, adoptable, adoption
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import CLAIM, HOME


def eip(name: str, address: str, kind: str = "VirtualMachine") -> dict[str, Any]:
    return {"address": address, "kind": "fip", "holder": {"kind": kind, "namespace": "default", "name": name}}


def view(address: str | None, claims: list[str]) -> dict[str, Any]:
    return {"template": {"eip": address, "snat": None}, "nat_rules": ["x"], "claims": claims}


PLAN: dict[str, Any] = {
    "eips": [eip("whole", "10.4.19.101"), eip("pod-only", "10.4.19.102"), eip("claimed", "10.4.19.103", "Pod")],
    "diff": {
        "before": {
            "VirtualMachine default/whole": view("10.4.19.101", []),
            "VirtualMachine default/pod-only": view(None, []),
        },
        "after": {
            "VirtualMachine default/whole": view("10.4.19.101", ["10.4.19.101"]),
            "VirtualMachine default/pod-only": view("10.4.19.102", ["10.4.19.102"]),
        },
    },
    "problems": [{"path": "adopted[fip of Pod default/rival]", "text": "10.4.19.101 is held by somebody else"}],
}
NODE: dict[str, Any] = {"gateway": {"missing": []}, "nic": {"name": "enp8s0", "unprepared": []}}


def test_only_what_needs_nothing_but_a_claim() -> None:
    """Not the one whose template would change, and not the one that has its claim."""
    assert adoptable(PLAN) == [{"address": "10.4.19.101", "kind": "fip", "vm": "whole", "namespace": "default"}]


def test_nothing_to_adopt() -> None:
    assert adoptable({"eips": [], "diff": {"before": {}, "after": {}}}) == []


def test_all_that_differs_is_told() -> None:
    gateway = {"plan": [{"text": "set the router port's MAC"}]}
    faulty = {"gateway": {"missing": ["no patch port"]}, "nic": {"name": "enp8s0", "unprepared": ["has MTU 9000"]}}
    nodes = {"g1": NODE, "g2": faulty, "g3": {"unreachable": True, "msg": "timed out"}}
    told = adoption(PLAN, gateway, nodes, {"eips": PLAN["eips"], "plan": []})
    assert told["claims"] == ["10.4.19.101"]
    assert told["differences"] == [
        "gateway: set the router port's MAC",
        "g2: no patch port",
        "g2: enp8s0 has MTU 9000",
        "g3: could not be asked: timed out",
        "VirtualMachine default/pod-only: template would change, so it was not taken over; give it to ovn_eip",
        "adopted[fip of Pod default/rival]: 10.4.19.101 is held by somebody else",
    ]


def test_a_site_as_asked_has_no_differences() -> None:
    nothing = {"cluster": "https://10.4.18.1:6443", "claims": [], "differences": []}
    assert adoption({"eips": [], "cluster": nothing["cluster"]}, {"plan": []}, {"g1": NODE}) == nothing
    annotated = {"eips": [eip("whole", "10.4.19.101")]}
    asked = {"eips": annotated["eips"], "plan": [{"action": "claim", "text": "claim 10.4.19.101 for it"}]}
    assert adoption(annotated, {"plan": []}, {"g1": NODE}, asked)["differences"] == []


def test_eips_that_the_inventory_has_otherwise_or_not_at_all_are_told() -> None:
    annotated = {"eips": [eip("whole", "10.4.19.105"), eip("forgotten", "10.4.19.106", "Pod")]}
    asked = {
        "eips": [eip("whole", "10.4.19.101"), eip("other", "10.4.19.107")],
        "plan": [
            {"action": "claim", "text": "claim 10.4.19.101 for it"},
            {"action": "annotate_pod", "text": "change eip from 10.4.19.105 to 10.4.19.101"},
        ],
        "problems": [{"path": "eips[1].vm", "text": "there is no such machine"}],
    }
    assert adoption(annotated, {"plan": []}, {}, asked)["differences"] == [
        "kubeovn_eips: change eip from 10.4.19.105 to 10.4.19.101",
        "kubeovn_eips: eips[1].vm: there is no such machine",
        "kubeovn_eips: Pod default/forgotten has 10.4.19.106, and is not in it",
    ]


def test_an_inventory_that_is_refused_is_told_and_nobody_is_called_a_stranger() -> None:
    annotated = {"eips": [eip("whole", "10.4.19.105")]}
    asked = {"failed": True, "problems": [{"path": "eips[0].address", "text": "10.9.9.9 is outside of the subnet"}]}
    told = adoption(annotated, {"plan": []}, {}, asked)["differences"]
    assert told == ["kubeovn_eips: eips[0].address: 10.9.9.9 is outside of the subnet"]
    assert adoption(annotated, {"plan": []}, {}, {"skipped": True})["differences"] == [
        "kubeovn_eips: VirtualMachine default/whole has 10.4.19.105, and is not in it"
    ]


def test_steps_of_claims_have_the_names_that_are_left_out() -> None:
    assert {HOME, CLAIM} == set(CLAIMING)
