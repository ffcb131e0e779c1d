# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom VPCs as a whole: what is pruned there, and how a hand-built site is taken over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from support.eip_cases import ask, claimed
from support.vpc_cases import ONE, TWO, WEB
from support.vpc_runs import VpcSite as Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def web(site: Site) -> Holder:
    return site.add("web", "10.9.0.2")


@pytest.fixture
def db(site: Site) -> Holder:
    return site.add("db", "10.9.0.3")


def gone(site: Site, holder: Holder) -> None:
    """Pod and IP object go; Kube-OVN leaves rules and rows as they are."""
    del site.world.pods[holder.namespace, holder.name]
    del site.vpc.ips[f"{holder.name}.{holder.namespace}"]


def names(site: Site) -> list[str]:
    return sorted(name for _resource, name in site.vpc.objects)


# --- pruned -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fip", "snat", "dnat"])
def test_claim_and_objects_of_a_gone_holder_go_together(site: Site, web: Holder, kind: str) -> None:
    site.run([replace(ask((web, ONE), kind=kind)[0], ports=(WEB,) if kind == "dnat" else ())])
    gone(site, web)
    run = site.whole([], state="pruned")
    assert site.done == ["delete_address", "delete_object", "release_claim"]
    assert (site.vpc.objects, site.vpc.rows, site.world.claims) == ({}, [], {})
    assert (run.bad, run.unclear) == ({}, [])
    assert [step.interrupts for step in run.planned.steps] == [None] * 3
    assert run.planned.after["claims"] == run.planned.after["objects"] == []
    assert not site.whole([], state="pruned").planned.steps


def test_a_claim_is_kept_while_its_ovneip_is_there(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    gone(site, web)
    site.vpc.controller_runs = False
    run = site.whole([], state="pruned")
    assert run.bad
    assert claimed(site.world) == {ONE: [str(web)]}
    site.vpc.controller_runs = True
    assert not site.whole([], state="pruned").bad
    assert (site.vpc.objects, site.world.claims) == ({}, {})


def test_a_detached_address_of_a_gone_holder_goes(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    site.run(ask((web, None)), state="detached")
    gone(site, web)
    site.whole([], state="pruned")
    assert (site.vpc.objects, site.world.claims) == ({}, {})


def test_of_a_shared_address_only_the_gone_holders_part_goes(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE), (db, ONE), kind="snat"))
    gone(site, web)
    run = site.whole([], state="pruned")
    assert names(site) == ["eip-10-4-19-101", "eip-10-4-19-101.db.shop"]
    assert claimed(site.world) == {ONE: [str(db)]}
    assert run.unclear == []


def test_what_lives_is_left_alone(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    site.run(ask((db, TWO)))
    site.run(ask((db, None)), state="detached")
    run = site.whole([], state="pruned")
    assert (site.done, run.unclear) == ([], [])


def test_hand_made_objects_are_told_of_and_keep_the_claim(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    site.vpc.add("ovn-dnat-rules", "mine", ovnEip="eip-10-4-19-101", vpc="shop", v4Ip="10.9.0.77", protocol="tcp",
                 externalPort="81", internalPort="81")  # fmt: skip
    site.vpc.settle()
    gone(site, web)
    told = [str(one) for one in site.whole([], state="pruned").unclear]
    assert names(site) == ["eip-10-4-19-101", "mine"]
    assert claimed(site.world) == {ONE: [str(web)]}
    assert len(told) == 2
    assert "OvnDnatRule mine still uses OvnEip eip-10-4-19-101, and Pod shop/web is gone" in told[1]
    assert "OvnDnatRule mine" in told[0]
    assert "leads to 10.9.0.77, which nobody has" in told[0]


def test_an_ovneip_that_is_claimed_for_nobody_is_told_of(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    site.run(ask((web, None)), state="detached")
    site.world.claims.clear()
    run = site.whole([], state="pruned")
    assert site.done == []
    assert [str(one).partition(" is claimed")[0] for one in run.unclear] == [f"OvnEip eip-10-4-19-101: {ONE}"]


def test_a_pod_that_a_statefulset_may_bring_back_keeps_all(site: Site) -> None:
    pod = site.add("web-0", "10.9.0.2")
    site.run(ask((pod, ONE)))
    gone(site, pod)
    run = site.whole([], state="pruned")
    assert site.done == []
    assert [one.path for one in run.unclear] == [f"claim {ONE}"]


def test_a_row_of_another_router_keeps_the_claim(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    for key in list(site.vpc.objects):
        del site.vpc.objects[key]  # finalizers taken away by hand
    gone(site, web)
    run = site.whole([], state="pruned")
    assert claimed(site.world) == {ONE: [str(web)]}
    assert ["another router has NAT rule" in str(one) for one in run.unclear] == [True]


# --- adopt without eips -----------------------------------------------------------------------------------------------


def by_hand(site: Site, address: str, name: str, resource: str = "ovn-fips", **spec: str) -> None:
    """An EIP as the manual of Kube-OVN has it."""
    if ("ovn-eips", f"hand-{address}") not in site.vpc.objects:
        site.vpc.add("ovn-eips", f"hand-{address}", externalSubnet="external", v4Ip=address, type="nat")
    site.vpc.add(resource, name, ovnEip=f"hand-{address}", **spec)
    site.vpc.settle()


FOUND = {
    "fip": ("ovn-fips", {"vpc": "shop", "v4Ip": "10.9.0.2"}),
    "snat": ("ovn-snat-rules", {"vpc": "shop", "v4IpCidr": "10.9.0.2"}),
    "dnat": (
        "ovn-dnat-rules",
        {"vpc": "shop", "v4Ip": "10.9.0.2", "externalPort": "80", "internalPort": "8080", "protocol": "tcp"},
    ),
}


@pytest.mark.parametrize("kind", FOUND)
def test_a_hand_built_eip_is_claimed_and_not_interrupted(site: Site, web: Holder, kind: str) -> None:
    resource, spec = FOUND[kind]
    by_hand(site, ONE, "one", resource, **spec)
    rows = list(site.vpc.rows)
    run = site.whole(None, adopt=True)
    assert not run.bad
    assert claimed(site.world) == {ONE: [str(web)]}
    assert site.world.claims[ONE].kind == kind
    assert [one for one in site.done if one != "create_namespace"] == ["claim", "adopt_object", "adopt_object"]
    assert site.vpc.rows == rows
    assert site.run(ask((web, None), kind=kind), state="absent")["status"] == "detached"
    assert (site.vpc.objects, site.world.claims) == ({}, {})


def test_a_claim_that_was_lost_is_made_anew(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    site.world.claims.clear()
    assert not site.whole(None, adopt=True).bad
    assert claimed(site.world) == {ONE: [str(web)]}
    assert not site.whole(None, adopt=True).planned.steps


def test_of_two_eips_of_one_holder_none_is_deleted(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    by_hand(site, TWO, "two", vpc="shop", v4Ip="10.9.0.2")
    by_hand(site, "10.4.19.103", "three", vpc="shop", v4Ip="10.9.0.3")
    before = set(site.vpc.objects)
    run = site.whole(None, adopt=True)
    assert list(run.bad) == [f"adopted[fip of {web}]"]
    assert set(site.vpc.objects) == before
    assert claimed(site.world) == {ONE: [str(web)], "10.4.19.103": [str(db)]}


def test_an_address_with_ports_beside_an_ovnfip_is_refused_whole(site: Site, web: Holder) -> None:
    for kind in ("dnat", "fip"):
        by_hand(site, ONE, kind, FOUND[kind][0], **FOUND[kind][1])
    before = set(site.vpc.objects)
    run = site.whole(None, adopt=True)
    assert list(run.bad) == [f"adopted[{ONE}]"]
    assert set(site.vpc.objects) == before
    assert not site.world.claims


def test_an_annotation_in_a_custom_vpc_makes_no_objects(site: Site) -> None:
    site.world.add_pod("web", "10.9.0.2", TWO, namespace="shop", vpc="shop")
    site.vpc.add_holder("web", "10.9.0.2", "Pod")
    run = site.whole(None, adopt=True)
    assert run.bad
    assert not site.vpc.objects
