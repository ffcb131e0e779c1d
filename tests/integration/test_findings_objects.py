# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings in a custom VPC, provoked on the lab by hand: what is left over of OvnEips and of what uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from shlex import split

import pytest
import yaml
from support import eip_lab
from support.findings_lab import healthy, look, told
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually
from support.rights import Rights
from support.vpc_site import FAR, NAMESPACE, VPC, WORKER, clear, is_ready, kube_ovn, objects, pod, rows, runs, standing

pytestmark = pytest.mark.full
PLAIN, OF_PLAIN = "findings-plain", "10.4.19.215"  # a pod of the default VPC, and its address
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


def test_an_ovn_fip_in_the_default_vpc_is_found_and_becomes_an_annotation(vpc: Live) -> None:
    """Kube-OVN says `ready`, and what the pod sends leaves by its node."""
    try:
        vpc.apply(eip_lab.pod(PLAIN))
        eip_lab.runs(vpc, pods=(PLAIN,))
        ip = vpc.annotations("pod", PLAIN)["ovn.kubernetes.io/ip_address"]
        vpc.apply(kube_ovn("OvnEip", PLAIN, externalSubnet="external", v4Ip=OF_PLAIN, type="nat"))
        is_ready(vpc, "ovn-eip", PLAIN)
        vpc.apply(kube_ovn("OvnFip", PLAIN, ovnEip=PLAIN, vpc="ovn-cluster", v4Ip=ip))
        is_ready(vpc, "ovn-fip", PLAIN)
        [finding] = eventually(told, lambda some: len(some) == 1, 60, "one finding")
        assert (finding["code"], finding["address"]) == ("missing_reroute", OF_PLAIN)
        assert finding["holder"] == {"kind": "Pod", "namespace": "default", "name": PLAIN}
        assert ("dnat_and_snat", OF_PLAIN, ip) in vpc.rules()
        assert f"ip4.src == {ip}" not in vpc.policies()
        assert vpc.ping(OF_PLAIN) == []

        *deletions, attaching = finding["repair"].split(" && ")
        for command in deletions:
            vpc.kubectl(*command.split()[1:])
        given = alone("ovn_eip", json.loads(split(attaching)[-1]))
        assert not given["failed"], given.get("msg")
        healthy()
        assert vpc.answers(OF_PLAIN)
    finally:
        clear(vpc)
        vpc.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", PLAIN)
        eventually(vpc.rules, lambda rules: OF_PLAIN not in {rule[1] for rule in rules}, 120, "no row")
    healthy()


def test_an_annotation_where_kube_ovn_does_not_look_at_it_is_found_and_goes_with_its_repair(vpc: Live) -> None:
    notes = ("-n", NAMESPACE, f"{eip_lab.EIP}={ADDRESS}", f"{eip_lab.ROUTED}-")
    vpc.kubectl("annotate", "pod", FAR, *notes)
    try:
        [finding] = eventually(told, lambda some: len(some) == 1, 60, "one finding")
        assert (finding["code"], finding["address"]) == ("eip_without_row", ADDRESS)
        assert finding["text"].endswith(f"is in VPC {VPC}, where Kube-OVN does not look at it")
        eventually(
            lambda: (vpc.get("pod", FAR, NAMESPACE) or {})["metadata"]["annotations"],
            lambda found: eip_lab.ROUTED in found,
            120,
            "Kube-OVN is done with it",
        )
        assert ADDRESS not in {row[1] for row in (*rows(vpc), *vpc.rules())}
        vpc.kubectl(*finding["repair"].split()[1:])
        healthy()
    finally:
        vpc.kubectl("annotate", "pod", FAR, "-n", NAMESPACE, f"{eip_lab.EIP}-")


def test_without_the_right_to_list_them_that_is_said_and_the_rest_is_judged(live: Live) -> None:
    with Rights(live.kubectl).lacking(("ClusterRole", ""), "list", "ovn-fips"):
        seen = look()
    assert seen["unjudged"] == ["ovn-fips: what is wrong with EIPs that objects make"]
    assert seen["findings"] == []
