# SPDX-License-Identifier: GPL-3.0-or-later
"""A task over EIPs in a custom VPC: claims and objects together, from the request to the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip import plan
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import wants_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site as Seen
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import warnings
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, NatRule
from support.eip_cases import ask, wish
from support.eip_world import World
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


def rows(site: Site) -> list[tuple[str, str]]:
    return sorted((row.external_ip, row.logical_ip) for row in site.vpc.rows)


def test_the_claim_comes_first_and_goes_last(site: Site, web: Holder) -> None:
    result = site.run(ask((web, ONE)))
    assert result["status"] == "attached"
    assert result["objects"] == [f"OvnFip eip-10-4-19-101: {ONE}"]
    assert [one for one in site.done if one != "create_namespace"] == ["claim", "create_address", "create_object"]
    assert rows(site) == [(ONE, "10.9.0.2")]
    site.run(ask((web, ONE)))
    assert site.done == []
    assert site.run(ask((web, None)), state="absent")["status"] == "detached"
    assert site.done == ["delete_address", "delete_object", "release_claim"]
    assert not site.vpc.objects


def test_annotations_are_not_written_there(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    assert [pod.eip for pod in site.world.pods.values()] == [None]


def test_the_default_vpc_goes_on_with_annotations(site: Site, web: Holder) -> None:
    plain = site.world.add_pod("plain", "10.253.0.9")
    site.world.controller()
    site.run(ask((web, ONE), (plain, TWO)))
    assert [pod.eip for pod in site.world.pods.values()] == [None, TWO]
    assert rows(site) == [(ONE, "10.9.0.2")]


def test_a_gateway_of_the_default_vpc_is_not_needed(site: Site, web: Holder) -> None:
    site.world.configured = False
    assert site.run(ask((web, ONE)))["status"] == "attached"


def test_who_has_an_address_is_named_and_reassign_takes_it(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    refused = site.run(ask((db, ONE)))
    assert site.done == []
    assert {problem["text"].partition(" (")[0] for problem in refused["problems"]} == {f"{ONE} is held by Pod shop/web"}
    assert site.run(ask((db, ONE)), reassign=True)["status"] == "attached"
    assert rows(site) == [(ONE, "10.9.0.3")]
    assert site.run(ask((web, ONE)))["problems"]


def test_a_detached_address_stays_claimed(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    assert site.run(ask((web, None)), state="detached")["status"] == "claimed"
    assert rows(site) == []
    assert site.run(ask((db, ONE)))["problems"]
    assert site.run(ask((web, ONE)))["status"] == "attached"
    site.run(ask((web, None)), state="detached")
    site.run(ask((web, ONE)), state="absent")
    assert not site.vpc.objects


def test_another_address_replaces_claim_and_objects(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    result = site.run(ask((web, TWO)))
    assert (result["status"], result["claim"]) == ("attached", f"eip-{TWO}")
    assert list(site.world.claims) == [TWO]
    assert rows(site) == [(TWO, "10.9.0.2")]


def test_one_snat_address_is_claimed_by_many(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE), (db, ONE), kind="snat"))
    assert rows(site) == [(ONE, "10.9.0.2"), (ONE, "10.9.0.3")]
    site.run(ask((web, None), kind="snat"), state="absent")
    assert rows(site) == [(ONE, "10.9.0.3")]
    assert ("ovn-eips", "eip-10-4-19-101") in site.vpc.objects


@pytest.mark.parametrize("address", [None, ONE])
def test_the_ovneip_goes_when_all_who_share_it_leave_at_once(
    site: Site, web: Holder, db: Holder, address: str | None
) -> None:
    site.run(ask((web, ONE), (db, ONE), kind="snat"))
    site.run(ask((web, address), (db, address), kind="snat"), state="absent")
    assert not site.vpc.objects
    assert not site.world.claims
    assert site.done.count("delete_address") == 1


def test_another_routers_rule_at_the_address_is_named(site: Site, web: Holder) -> None:
    theirs = NatRule("theirs", "dnat_and_snat", ONE, "10.8.0.2")
    seen = site.observe((), wish())
    seen = replace(seen, ovn=replace(seen.ovn, foreign_rules=(theirs,)))
    found = problems(ask((web, ONE)), wish(), seen)
    assert [f"{ONE} is held by another router" in str(one) for one in found] == [True]
    site.run(ask((web, ONE)))
    seen = site.observe((), wish())
    own = replace(seen, ovn=replace(seen.ovn, foreign_rules=tuple(site.vpc.rows)))
    assert not problems(ask((web, ONE)), wish(), own)


def test_what_works_less_than_expected_is_said(site: Site, web: Holder) -> None:
    asked = ask((web, ONE))
    view = Seen(site.observe(asked, wish()))
    assert warnings(asked, view) == [
        f"VPC shop has no static route 0.0.0.0/0: {ONE} answers hosts of the external Subnet, and nobody farther away"
    ]


class Counted(tuple[Any, ...]):
    """Records that count how often one of them is looked at."""

    looked: ClassVar[int] = 0

    def __iter__(self) -> Iterator[Any]:
        for one in tuple.__iter__(self):
            Counted.looked += 1
            yield one


def test_records_are_not_searched_once_more_for_each_eip() -> None:
    def looked(number: int) -> int:
        crowd = Site()
        names = [crowd.add(f"w{i}", f"10.9.{i // 200}.{i % 200 + 2}") for i in range(number)]
        asked = ask(*[(holder, f"10.4.19.{index + 2}") for index, holder in enumerate(names)])
        crowd.run(asked)
        seen = crowd.observe(asked, wish())
        objects = seen.objects
        assert objects is not None
        assert objects.routers is not None
        routers = {name: replace(one, rules=Counted(one.rules)) for name, one in objects.routers.items()}
        objects = replace(objects, rules=Counted(objects.rules), eips=Counted(objects.eips), routers=routers)
        seen, Counted.looked = replace(seen, objects=objects), 0
        assert not problems(asked, wish(), seen)
        assert not plan(asked, wish(), seen).steps
        assert not unfinished(asked, wish(), seen)
        assert plan(asked, wish("absent"), seen).steps
        return Counted.looked

    assert looked(160) == 4 * looked(40)


def test_ports_are_of_other_vpcs_only(site: Site, web: Holder) -> None:
    dnat = replace(ask((web, ONE), kind="dnat")[0], ports=(WEB,))
    assert site.run([dnat])["status"] == "attached"
    assert [one.vip for one in site.vpc.balancers.values()] == [f"{ONE}:80"]
    plain = site.world.add_pod("plain", "10.253.0.9")
    refused = site.run([replace(dnat, holder=plain, address=TWO)])
    assert refused["problems"]


def test_objects_are_read_only_where_they_may_be_needed(site: Site, web: Holder) -> None:
    plain = World()
    holder = plain.add_pod("plain", "10.253.0.9")
    assert not wants_objects(ask((holder, ONE)), plain.observed(), managed=False)
    assert wants_objects([replace(ask((holder, ONE))[0], backend="objects")], plain.observed(), managed=False)
    assert wants_objects(ask((web, ONE)), site.world.observed(), managed=False)
    gone = Holder("Pod", "shop", "gone")
    assert wants_objects(ask((gone, None)), plain.observed(), managed=True)
    assert not wants_objects(ask((gone, None)), plain.observed(), managed=False)
    assert not wants_objects([], plain.observed(), managed=False, whole=True)
    assert wants_objects([], replace(plain.observed(), ovn_eips={ONE: "theirs"}), managed=False, whole=True)
