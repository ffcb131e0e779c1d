# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kube-OVN makes of the gateway's ConfigMap when somebody writes it by hand, each row of it provoked on the lab.

The first part of each test shows what happens without the collection, which the module then makes good. Kube-OVN may
change: a test whose first part fails tells so.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from support.eip_lab import EIP, ROUTED, pod, runs
from support.fleet import alone
from support.gateway_truth import CONFIG_MAP, G1, G2, G3, NODES, PORT, SITE, Picture, Truth
from support.lab import Lab
from support.live import Live, eventually

POD, ADDRESS = "gateway-rows", "10.4.19.185"
NOBODY = "jah-k3s-h100-009"
QUIET = 4.0  # seconds: the controller looks every second, and that it leaves things alone has no sign but time


def push(**changes: Any) -> dict[str, Any]:
    result = alone("ovn_external_gw", {**SITE, **changes})
    assert not result["failed"], result["msg"]
    return result


def write(truth: Truth, **data: str | None) -> None:
    """Keys of the ConfigMap, by hand."""
    named = {key.replace("_", "-"): value for key, value in data.items()}
    truth.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", json.dumps({"data": named}))


def stays(probe: Callable[[], object], wanted: object) -> None:
    """It is so, look after look."""
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        assert probe() == wanted, "Kube-OVN has made it good by itself, so this test proves nothing"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def truth(lab: Lab) -> Iterator[Truth]:
    """The lab with a pod for an EIP; at the end its gateway is as the example site has it."""
    truth, live = Truth(lab), Live(lab)
    push()
    live.apply(pod(POD))
    runs(live, pods=(POD,))
    yield truth
    push()
    live.kubectl("delete", "pod", "-n", "default", POD, "--wait=true")


@pytest.fixture
def site(truth: Truth) -> Iterator[Truth]:
    """The gateway as the example site has it, and so it is again in the end."""
    eventually(truth.active, lambda node: node == G1, what="the first gateway has the traffic")
    yield truth
    push()
    write(truth, site_note=None)


@pytest.fixture
def eip(site: Truth) -> Iterator[str]:
    """An EIP of Kube-OVN's own making."""
    live = Live(site.lab)
    live.patch("pod", POD, {"metadata": {"annotations": {EIP: ADDRESS, ROUTED: None}}})
    eventually(site.picture, lambda seen: leads(seen) and seen.policies, what="its rule and its policy")
    yield ADDRESS
    push()
    result = alone("ovn_eip", {"eips": [{"pod": POD, "address": ADDRESS}], "state": "absent"})
    assert not result["failed"], result["msg"]


def leads(seen: Picture) -> list[str]:
    """Where the EIP leads to."""
    return [row["logical_ip"] for row in seen.rules.values() if row["external_ip"] == ADDRESS]


def chassis(truth: Truth, node: str) -> str:
    return next(name for name, one in truth.chassis().items() if one == node)


def without_row(truth: Truth, node: str) -> list[tuple[str, int]]:
    """Its gateway chassis goes by hand; the others."""
    truth.nbctl("lrp-del-gateway-chassis", PORT, chassis(truth, node))
    left = truth.gateways()
    assert node not in dict(left)
    return left


def list_by_hand(truth: Truth, *nodes: str) -> None:
    """Another list, until only these are labelled.

    A controller whose cache is behind takes a node that it has just let go for labelled, and labels it again: then the
    same list in another order.
    """
    wanted = {name: "true" if name in nodes else "false" for name in NODES}
    for order in permutations(nodes):
        write(truth, external_gw_nodes=",".join(order))
        with suppress(AssertionError):
            eventually(truth.labels, lambda seen: seen == wanted, 20)
            return
    assert truth.labels() == wanted


# --- another list of nodes -------------------------------------------------------------------------------------------


def test_a_node_that_is_dropped_keeps_its_row_and_the_traffic_and_the_others_their_priorities(site: Truth) -> None:
    """The node's daemon takes its bridge away where the datapath is the kernel's; on the lab it is not."""
    before = site.gateways()
    list_by_hand(site, G3, G2)
    stays(site.gateways, before)
    assert site.active() == G1, "which is no gateway any more"
    push(nodes=[G3, G2])
    assert [name for name, _rank in site.gateways()] == [G3, G2]
    eventually(site.active, lambda node: node == G3, what="a gateway has the traffic")


def test_a_name_of_no_node_is_told_nowhere_and_nothing_comes_of_the_rest(site: Truth) -> None:
    """Kube-OVN tries again and again; what else is to be done waits for it."""
    others, mark = without_row(site, G3), site.log_length()
    write(site, external_gw_nodes=",".join([*NODES, NOBODY]))
    eventually(lambda: _labelled(mark), lambda times: times > 2, what="the controller has tried it more than once")
    assert site.gateways() == others, "the row of a node that is there waits too"
    assert NOBODY not in site.labels()
    assert (site.data() or {})["external-gw-nodes"].endswith(NOBODY)
    push()
    assert [name for name, _rank in site.gateways()] == NODES


def _labelled(mark: int) -> int:
    """How often the last gateway's Node was written since a mark, but for its status."""
    with Path(os.environ["LAB_AUDIT_LOG"]).open(encoding="utf-8") as log:
        log.seek(mark)
        events = [json.loads(line) for line in log if line.endswith("\n")]
    found = [one["objectRef"] for one in events if one["verb"] == "patch" and one.get("objectRef")]
    return sum((one["resource"], one.get("name"), one.get("subresource")) == ("nodes", G3, None) for one in found)


# --- what is lost, and when it comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param({"site_note": "ours"}, id="of no meaning"),
        pytest.param({"enable_external_gw": "no"}, id="another word than false", marks=pytest.mark.full),
    ],
)
def test_a_lost_gateway_chassis_comes_back_when_any_text_changes_and_only_then(
    site: Truth, text: dict[str, str]
) -> None:
    port, others = site.port(), without_row(site, G2)
    stays(site.gateways, others)
    write(site, **text)
    now = eventually(site.gateways, lambda seen: G2 in dict(seen), what="its row is there again")
    assert [row for row in now if row[0] != G2] == others
    assert site.port() == port
    assert site.labels() == dict.fromkeys(NODES, "true")
    push()
    assert [name for name, _rank in site.gateways()] == NODES
    assert (site.data() or {})["enable-external-gw"] == "true"


def test_a_router_port_and_a_nat_rule_deleted_by_hand_stay_away_until_the_next_run(site: Truth, eip: str) -> None:
    def there() -> tuple[Any, Any]:
        seen = site.picture()
        return seen.port, leads(seen)

    (pods_own,) = leads(site.picture())
    site.nbctl("lrp-del", PORT, "--", "lr-nat-del", "ovn-cluster", "dnat_and_snat", eip)
    stays(there, (None, []))
    push()
    assert [name for name, _rank in site.gateways()] == NODES
    result = alone("ovn_eip", {"eips": [{"pod": POD, "address": eip}]})
    assert not result["failed"], result["msg"]
    assert there() == ((SITE["nic_mac"], [SITE["nic_ip"]]), [pods_own])
    eventually(lambda: site.pings(eip), bool, what=f"{eip} answers from outside")


# --- turned off ------------------------------------------------------------------------------------------------------


def in_ovn(seen: Picture) -> tuple[Any, ...]:
    """All of a gateway and its EIPs that is in NB, with the rows' own names."""
    return seen.port_id, seen.port, seen.gateways, seen.switch, seen.rules, seen.policies


@pytest.mark.usefixtures("eip")
@pytest.mark.parametrize("way", ["turned off", pytest.param("without its ConfigMap", marks=pytest.mark.full)])
def test_of_a_gateway_that_is_no_more_all_stays_in_ovn(site: Truth, way: str) -> None:
    before = in_ovn(site.picture())
    if way == "turned off":
        write(site, enable_external_gw="false")
    else:
        site.kubectl("delete", *CONFIG_MAP)
    eventually(site.labels, lambda seen: seen == dict.fromkeys(NODES, "false"), what="no node has the label")
    stays(lambda: in_ovn(site.picture()), before)
    result = push(enabled=False)
    assert result["changed"]
    assert (site.picture().port, site.gateways()) == (None, [])
