# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_external_gw through every kind of transition between gateway states; with `full`, every ordered pair of states.

The world is read by ovn-nbctl, ovn-sbctl, ovs-vsctl and kubectl and compared with what the state means. Each transition
was foretold by check mode, and is complete: a second run writes nothing. An EIP lives through all of it.

Two kinds of transition need hands on the machines and are not walked here. A new NIC: the module alone leaves the old
one in the bridge, and the two form a loop. A gateway that is dead, rescued and given back: it has to lose its power.
test_gateway_nodes.py walks both, with role external_gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise, permutations
from typing import Any

import pytest
from support.ansible import module
from support.gateway_states import OTHER_GATEWAY, STATES, TOUR, State, all_kinds, differences, the_rest, told
from support.gateway_truth import CONFIG_MAP, EIP_PRIORITY, G2, SITE, Picture, Side, Tables, Truth
from support.lab import Lab
from support.live import eventually

EIP, EIP_ADDRESS, POD = "ovn.kubernetes.io/eip", "10.4.19.181", "tour-eip"
PAIRS = [*pairwise(TOUR)]
REST = the_rest(TOUR[-1], list(STATES), TOUR)
ALL = [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.full) for pair in REST)]


def push(state: State, check: bool = False) -> dict[str, Any]:
    result = module("kubeovn.core.ovn_external_gw", state.options, check=check)
    assert not result["failed"], f"{state.name}: {result['msg']}"
    return result


class Traveller:
    """Goes from state to state; the EIP is there wherever it can be."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.at: State | None = STATES["absent"]
        self.routed()
        truth.clear()
        self.bare = truth.picture()

    # --- the lab by hand

    def annotate(self, address: str | None) -> None:
        """What Kube-OVN is told about the pod's EIP."""
        notes = {EIP: address, "ovn.kubernetes.io/routed": None}
        patch = json.dumps({"metadata": {"annotations": notes}})
        self.truth.kubectl("patch", "pod", "-n", "default", POD, "--type=merge", "-p", patch)

    def attach(self) -> Picture:
        """An EIP, and somebody else's key in the ConfigMap."""
        self.truth.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", json.dumps({"data": {"site-note": "ours"}}))
        self.annotate(EIP_ADDRESS)
        self.routed()
        seen = self.truth.picture()
        assert [row["external_ip"] for row in seen.rules.values()] == [EIP_ADDRESS]
        assert len(seen.policies) == 1
        return seen

    def routed(self) -> None:
        """Wait until Kube-OVN has done what the pod's annotations ask for."""
        note = "jsonpath={.metadata.annotations.ovn\\.kubernetes\\.io/routed}"
        pod = ("get", "pod", "-n", "default", POD, "-o", note)
        eventually(lambda: self.truth.kubectl(*pod), lambda seen: seen == "true", 120, f"pod {POD} is routed")

    def release(self) -> Picture:
        """No EIP any more. Of what it made for one, Kube-OVN leaves the policy, and the route by source if it came."""
        held = [str(row["logical_ip"]) for row in self.truth.picture().rules.values()]
        self.annotate(None)
        self.routed()
        self.truth.nbctl("lr-policy-del", "ovn-cluster", str(EIP_PRIORITY))
        for address in held:
            self.truth.nbctl("--if-exists", "--policy=src-ip", "lr-route-del", "ovn-cluster", address)
        return self.truth.picture()

    # --- by the module

    def start(self, old: State, new: State) -> Picture:
        """Be at the state that a transition begins with, with an EIP unless there is no gateway before or after."""
        seen = self.truth.picture()
        if seen.rules and not (old.present and new.present):
            seen = self.release()
        if self.at != old:
            push(old)
            seen = self.truth.picture()
        if seen.timers and not old.timers:  # left out, they were left alone
            self.truth.clear_timers()
            seen = self.truth.picture()
        self.at = None  # until the transition is through, who knows
        return self.attach() if old.works and new.present and not seen.rules else seen

    def go(self, old: State, new: State) -> None:
        """One transition, with all that is to be seen of it."""
        truth = self.truth
        before, mark = self.start(old, new), truth.log_length()
        foreseen = push(new, check=True)
        assert truth.written(mark) == []
        assert changes(before.nb, truth.northbound()) == [], "check mode writes nothing"

        result = push(new)
        now = truth.picture()
        assert differences(new, before, now) == []
        if not new.present:
            assert changes(self.bare.nb, now.nb) == [], "NB is as it was before the first run"
        if new.works:
            self.expect_nodes(new, EIP_ADDRESS if now.rules else None)
        changed = told(before) != told(now)
        assert changed or told_alike(old, new)
        assert (foreseen["changed"], result["changed"]) == (changed, changed)
        assert foreseen["plan"] == result["plan"]
        assert foreseen["before"] == result["before"] == told(before)
        assert foreseen["after"] == result["after"] == told(now)
        assert result["active_node"] == now.active

        mark = truth.log_length()
        again = push(new)
        assert (again["changed"], again["plan"]) == (False, [])
        assert truth.written(mark) == []
        assert changes(now.nb, truth.northbound()) == []
        self.at = new

    def expect_nodes(self, new: State, eip: str | None) -> None:
        """The gateways' own sides, and packets; the node daemon and ovn-controller take some seconds."""
        meant = Side("external:br-external", frozenset({SITE["nic"], "patch-localnet.external-to-br-int"}))
        wanted = dict.fromkeys(new.nodes, meant)
        eventually(lambda: self.truth.sides(new.nodes), lambda seen: seen == wanted, what="bridge, NIC and mapping")
        for address in (new.nic_ip.split("/")[0], eip):
            if address:
                eventually(partial(self.truth.pings, address), bool, what=f"{address} answers from outside")


def told_alike(old: State, new: State) -> bool:
    """Whether the one asks for nothing that the other does not have: timers that are left out are left alone."""
    return new == replace(old, name=new.name, timers=new.timers) and not new.timers


def changes(before: Tables, now: Tables) -> list[str]:
    """Rows of NB that are not as they were."""
    return [
        f"{name}: {before[name].get(uuid)} became {now[name].get(uuid)}"
        for name in before
        for uuid in before[name].keys() | now[name].keys()
        if before[name].get(uuid) != now[name].get(uuid)
    ]


@pytest.fixture(scope="module")
def traveller(lab: Lab) -> Iterator[Traveller]:
    """A lab without a gateway, with a pod for the EIP; at the end its gateway as the example site has it.

    The physical gateway forwards for its second address as well.
    """
    truth = Truth(lab)
    device = lab.run("gateway", "--", "ip", "route", "get", SITE["nic_ip"].split("/")[0]).split()[2]
    lab.run("gateway", "--", "ip", "address", "replace", OTHER_GATEWAY, "dev", device)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": "default"},
        "spec": {
            # A gateway: a distributed one answers for an EIP on the pod's own node.
            "nodeSelector": {"kubernetes.io/hostname": G2},
            "containers": [{"name": "guest", "image": "quay.io/containerdisks/ubuntu:24.04"}],
        },
    }
    truth.apply(pod)
    traveller = Traveller(truth)
    yield traveller
    if truth.picture().rules:
        traveller.release()
    push(STATES["three"])
    lab.run("gateway", "--", "ip", "address", "delete", OTHER_GATEWAY, "dev", device)
    truth.kubectl("delete", "pod", "-n", "default", POD, "--wait=true")


def test_the_tour_walks_every_kind_of_transition_and_the_rest_every_pair() -> None:
    pairs = [*permutations(STATES, 2)]
    assert len(STATES) >= 12
    assert all_kinds(PAIRS) == all_kinds(pairs)
    assert sorted(PAIRS + REST) == sorted(pairs)
    assert [new for _old, new in REST[:-1]] == [old for old, _new in REST[1:]]


@pytest.mark.parametrize(("old", "new"), ALL)
def test_from_state_to_state(traveller: Traveller, old: str, new: str) -> None:
    traveller.go(STATES[old], STATES[new])
