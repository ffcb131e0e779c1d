# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks do when something is against it: a batch that fails, too much to prune, a move that interrupts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.ansible import BIN, module
from support.commands import CommandFailed, run
from support.eip_lab import CLAIMS, GATEWAYS, claims, gateway, pod, runs
from support.lab import Lab
from support.live import Live

pytestmark = pytest.mark.full

FIRST, SECOND = PODS = ("options-1", "options-2")
NARROW, WIDE = "10.4.19.171", "10.4.19.172-10.4.19.173"  # the first pool has no other address to rotate to
EIPS = [{"pod": FIRST, "pool": NARROW}, {"pod": SECOND, "pool": WIDE}]
NOBODY = ("10.4.19.174", "10.4.19.175")


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway and two pods; afterwards neither the pods nor anything of their EIPs."""
    live = Live(lab)
    gateway(live)
    try:
        live.apply(*map(pod, PODS))
        runs(live, pods=PODS)
        yield live
    finally:
        module("kubeovn.core.ovn_eip", {"eips": [{"pod": name} for name in PODS], "state": "absent"})
        live.kubectl("delete", "pods", "-n", "default", "--ignore-not-found", *PODS)
        live.kubectl("delete", "leases", "-n", CLAIMS, "--ignore-not-found", *(f"eip-{address}" for address in NOBODY))


def play(name: str, variables: dict[str, Any]) -> str:
    """What a playbook says that succeeds."""
    argv = [BIN / "ansible-playbook", "-i", os.environ["LAB_INVENTORY"], f"kubeovn.core.{name}"]
    return run([*argv, f"--extra-vars={json.dumps(variables)}"], env={"ANSIBLE_NOCOLOR": "1"}, tail=200)


def refused(name: str, variables: dict[str, Any]) -> str:
    """What it says when it fails."""
    with pytest.raises(CommandFailed) as caught:
        play(name, variables)
    return re.sub(r"\s+", " ", str(caught.value))


def addresses(live: Live) -> set[str]:
    """Those of both pods that OVN has."""
    return {external for _kind, external, _logical in live.rules() if external.startswith("10.4.19.17")}


def test_the_first_batch_of_a_rotation_that_fails_is_the_last(live: Live) -> None:
    play("attach_eips", {"kubeovn_eips": EIPS})
    assert addresses(live) == {NARROW, "10.4.19.172"}
    asked = {"kubeovn_eips": EIPS, "rotate_eips_rotation": "one", "rotate_eips_batch": 1}
    said = refused("rotate_eips", asked)
    assert "eips[0].pool" in said
    assert "not begun, since a batch before it failed" in said
    assert addresses(live) == {NARROW, "10.4.19.172"}

    wider = [{"pod": FIRST, "pool": "10.4.19.170-10.4.19.171"}, EIPS[1]]
    said = play("rotate_eips", {**asked, "kubeovn_eips": wider})
    assert f"{FIRST} {NARROW} 10.4.19.170" in said
    assert addresses(live) == {"10.4.19.170", "10.4.19.173"}


def test_released_with_their_claims_kept(live: Live) -> None:
    play("attach_eips", {"kubeovn_eips": [EIPS[1]]})
    [address] = addresses(live) & {"10.4.19.172", "10.4.19.173"}
    play("release_eips", {"kubeovn_eips": [EIPS[1]], "release_eips_keep_claims": True})
    assert address not in addresses(live)
    assert f"eip-{address}" in claims(live)
    play("release_eips", {"kubeovn_eips": [EIPS[1]]})
    assert f"eip-{address}" not in claims(live)


def test_pruning_more_than_was_allowed_is_refused(live: Live) -> None:
    play("attach_eips", {"kubeovn_eips": [EIPS[1]]})
    [address] = addresses(live) & {"10.4.19.172", "10.4.19.173"}
    module("kubeovn.core.ovn_eip", {"state": "pruned"})  # what others have left
    lease = live.get("lease", f"eip-{address}", CLAIMS)
    assert lease is not None
    lease["metadata"] = {key: lease["metadata"][key] for key in ("name", "namespace", "annotations", "labels")}
    text = json.dumps(lease).replace(SECOND, "gone")
    live.apply(*(json.loads(text.replace(address, other)) for other in NOBODY))
    said = refused("prune", {"prune_at_most": 1})
    assert "prune_at_most: 2 things would go, which is more than 1" in said
    assert {f"eip-{other}" for other in NOBODY} <= claims(live).keys()
    play("prune", {"prune_at_most": 2})
    assert not {f"eip-{other}" for other in NOBODY} & claims(live).keys()


def test_a_drain_that_would_interrupt_more_than_was_allowed_is_refused(live: Live) -> None:
    before = live.nbctl("lrp-get-gateway-chassis", "ovn-cluster-external")
    said = refused("drain_gateway", {"drain_gateway_nodes": [GATEWAYS[0]], "drain_gateway_max_disruption": "none"})
    assert "max_disruption" in said
    assert live.nbctl("lrp-get-gateway-chassis", "ovn-cluster-external") == before
