# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings in a custom VPC, provoked on the lab by hand: what is left over of OvnEips and of what uses them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import yaml
from support.findings_lab import healthy, look, told
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually
from support.rights import Rights
from support.vpc_site import FAR, NAMESPACE, VPC, WORKER, clear, is_ready, kube_ovn, objects, pod, rows, runs, standing

pytestmark = pytest.mark.full
EIPS, ADDRESS, NOBODY = "kubeovn.core.ovn_eip", "10.4.19.213", "10.9.0.77"


@pytest.fixture(scope="module")
def vpc(lab: Lab) -> Iterator[Live]:
    """A VPC with its way outside, and two pods."""
    live = Live(lab)
    with standing(live):
        yield live


@pytest.fixture
def live(vpc: Live) -> Iterator[Live]:
    """A pod of the VPC has an EIP, and all is well."""
    clear(vpc)
    given = alone("ovn_eip", {"eips": [{"namespace": NAMESPACE, "pod": FAR, "address": ADDRESS}]})
    assert not given["failed"], given.get("msg")
    healthy()
    try:
        yield vpc
    finally:
        clear(vpc)


def test_what_a_deleted_pod_leaves_is_found_and_goes_with_its_repair(live: Live) -> None:
    live.kubectl("delete", "pod", "-n", NAMESPACE, FAR, "--wait=true")
    try:
        expected = {"stale_object", "orphan_ovn_eip", "claim_without_holder"}
        found = eventually(told, lambda some: {one["code"] for one in some} == expected, 60, f"{expected} alone")
        assert {(one["address"], one["holder"]["name"]) for one in found} == {(ADDRESS, FAR)}
        [repair] = {one["repair"] for one in found}
        [task] = yaml.safe_load(repair)
        result = alone("ovn_eip", task[EIPS])
        assert not result["failed"], result.get("msg")
        healthy()
        assert (rows(live), objects(live)) == ([], [])
    finally:
        live.apply(pod(FAR, WORKER))
        eventually(partial(live.get, "pod", FAR, NAMESPACE), runs, 120, "the pod runs again")


def test_what_somebody_made_that_leads_to_nobody_is_found(live: Live) -> None:
    live.apply(kube_ovn("OvnEip", "theirs", externalSubnet="external", v4Ip="10.4.19.214", type="nat"))
    is_ready(live, "ovn-eip", "theirs")
    live.apply(kube_ovn("OvnFip", "theirs", ovnEip="theirs", vpc=VPC, v4Ip=NOBODY))
    is_ready(live, "ovn-fip", "theirs")
    [finding] = eventually(told, lambda some: len(some) == 1, 60, "one finding")
    assert (finding["code"], finding["address"]) == ("unexplained_object", "10.4.19.214")
    assert finding["text"] == f"OvnFip theirs: 10.4.19.214 leads to {NOBODY}, which nobody has"
    live.kubectl(*finding["repair"].split()[1:])
    healthy()
    assert [row[1] for row in rows(live)] == [ADDRESS]


def test_without_the_right_to_list_them_that_is_said_and_the_rest_is_judged(live: Live) -> None:
    with Rights(live.kubectl).lacking(("ClusterRole", ""), "list", "ovn-fips"):
        seen = look()
    assert seen["unjudged"] == ["ovn-fips: what is left over in other VPCs"]
    assert seen["findings"] == []
