# SPDX-License-Identifier: GPL-3.0-or-later
"""A task over EIPs in a custom VPC: claims and objects together, from the request to the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils._eip import plan
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import wants_objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import OBJECT_ORDER
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import object_right
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import RouterView, SubnetView
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site as Seen
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import warnings
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Holder, NatRule
from support.commands import TOP
from support.eip_cases import ask, claimed, draw, wish
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


def test_a_stale_release_leaves_alone_what_another_holder_has_got_meanwhile(
    site: Site, web: Holder, db: Holder
) -> None:
    site.run(ask((web, ONE)))
    stale = Run(ask((web, ONE)), wish("absent"), site, site.act)
    assert site.run(ask((db, ONE)), reassign=True)["status"] == "attached"
    kept = {key: obj["metadata"]["uid"] for key, obj in site.vpc.objects.items()}
    site.done = []
    stale.claim()
    stale.settle(60, site)
    assert not {"delete_address", "delete_object"} & set(site.done)
    site.vpc.settle()
    assert {key: obj["metadata"]["uid"] for key, obj in site.vpc.objects.items()} == kept
    assert not any("deletionTimestamp" in obj["metadata"] for obj in site.vpc.objects.values())
    assert (rows(site), claimed(site.world)) == ([(ONE, "10.9.0.3")], {ONE: [str(db)]})


def test_an_ovn_eip_that_kube_ovn_wrote_to_meanwhile_goes_at_the_next_look(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE)))
    run = Run(ask((web, ONE)), wish("absent"), site, site.act)
    site.vpc.objects["ovn-eips", "eip-10-4-19-101"]["metadata"]["resourceVersion"] = "later"
    run.claim()
    run.settle(60, site)
    assert (run.bad, site.vpc.objects, claimed(site.world)) == ({}, {}, {})


def test_the_diff_of_a_reassignment_shows_what_the_former_holder_loses(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    planned = Run(ask((db, ONE)), wish(reassign=True), site, site.act).planned
    assert planned.before[str(web)]["objects"] == [f"OvnFip eip-10-4-19-101: {ONE}"]
    assert (planned.after[str(web)]["objects"], planned.after[str(web)]["claims"]) == ([], [])
    assert planned.after[str(db)]["objects"] == [f"OvnFip eip-10-4-19-101: {ONE}"]


def test_reassign_takes_a_forwarding_and_the_plan_shows_it(site: Site, web: Holder, db: Holder) -> None:
    def forward(holder: Holder) -> list[Eip]:
        return [replace(ask((holder, ONE), kind="dnat")[0], ports=(WEB,))]

    site.whole(forward(web))
    taken = site.whole(forward(db), reassign=True)
    assert taken.bad == {}
    assert claimed(site.world) == {ONE: [str(db)]}
    shown = [part[str(web)]["objects"] for part in (taken.planned.before, taken.planned.after)]
    assert shown == [[f"OvnDnatRule eip-10-4-19-101-tcp-80: {ONE} tcp 80 -> 8080"], []]


def test_an_address_that_answers_is_refused_but_for_whom_it_answers(site: Site, web: Holder, db: Holder) -> None:
    busy = frozenset({ONE, TWO})
    assert "answers on the network" in site.run(ask((web, ONE)), busy=busy)["problems"][0]["text"]
    site.run(ask((web, ONE)))
    assert not site.run(ask((web, ONE)), busy=busy)["problems"]
    assert site.run(ask((web, TWO)), busy=busy)["problems"]
    assert site.run(ask((db, ONE)), busy=busy, reassign=True)["problems"]


def test_a_detached_address_stays_claimed(site: Site, web: Holder, db: Holder) -> None:
    site.run(ask((web, ONE)))
    assert site.run(ask((web, None)), state="detached")["status"] == "claimed"
    assert rows(site) == []
    assert site.run(ask((db, ONE)))["problems"]
    assert site.run(ask((web, ONE)))["status"] == "attached"
    site.run(ask((web, None)), state="detached")
    site.run(ask((web, ONE)), state="absent")
    assert not site.vpc.objects


@pytest.mark.parametrize("state", ["absent", "detached"])
def test_a_release_as_another_kind_is_told(site: Site, web: Holder, state: str) -> None:
    site.run(ask((web, ONE)))
    (problem,) = site.run(ask((web, ONE), kind="snat"), state=state)["problems"]
    assert (problem["path"], problem["hint"]) == ("eips[0].kind", "kind: fip")
    assert rows(site) == [(ONE, "10.9.0.2")]


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


POOL = "10.4.19.110-10.4.19.120"


def test_a_pools_snat_address_is_shared_by_the_next_task_too(site: Site, web: Holder, db: Holder) -> None:
    site.run(draw(web, pool=POOL, kind="snat"))
    assert site.run(draw(db, pool=POOL, kind="snat"))["status"] == "attached"
    assert rows(site) == [("10.4.19.110", "10.9.0.2"), ("10.4.19.110", "10.9.0.3")]


def test_two_routers_share_no_snat_address_of_a_pool(site: Site, web: Holder) -> None:
    plain = site.world.add_pod("plain", "10.253.0.9")
    site.world.controller()
    site.run(draw(web, plain, pool=POOL, kind="snat"))
    assert claimed(site.world) == {"10.4.19.110": [str(web)], "10.4.19.111": [str(plain)]}
    late = site.world.add_pod("late", "10.253.0.10")
    site.world.controller()
    site.run(draw(late, pool=POOL, kind="snat"))
    assert claimed(site.world)["10.4.19.111"] == [str(plain), str(late)]


def test_a_snat_address_of_another_vpc_is_refused(site: Site, web: Holder) -> None:
    site.run(ask((web, ONE), kind="snat"))
    site.vpc.ips["far.shop"] = {
        "metadata": {"name": "far.shop"},
        "spec": {"subnet": "other-net", "v4IpAddress": "10.8.0.2"},
    }
    far = site.world.add_pod("far", "10.8.0.2", namespace="shop", vpc="other")
    seen = site.observe((), wish())
    assert seen.objects is not None
    there = SubnetView("other-net", "other", "10.8.0.0/24", "10.8.0.1", "")
    routers = {**(seen.objects.routers or {}), "other": RouterView(gateways=frozenset({"other-external"}))}
    objects = replace(seen.objects, subnets={**seen.objects.subnets, "other-net": there}, routers=routers)
    found = problems(ask((far, ONE), kind="snat"), wish(), replace(seen, objects=objects))
    assert [f"{ONE} is a SNAT address of VPC shop" in str(one) for one in found] == [True]
    both = [*ask((far, TWO), kind="snat"), *ask((web, TWO), kind="snat")]
    found = problems(both, wish(), replace(seen, objects=objects))
    assert [f"{TWO} is asked for in VPC" in str(one) for one in found] == [True, True]


@pytest.mark.parametrize("kind", ["fip", "snat"])
def test_rotation_to_and_fro_ends_each_time_with_one_rule(site: Site, web: Holder, kind: str) -> None:
    site.run(draw(web, pool="10.4.19.110-10.4.19.111", kind=kind))
    for turn in range(4):
        result = site.run(draw(web, pool="10.4.19.110-10.4.19.111", kind=kind), rotate=True)
        address = f"10.4.19.11{(turn + 1) % 2}"
        assert (result["status"], result["address"]) == ("attached", address)
        assert rows(site) == [(address, "10.9.0.2")]
        assert claimed(site.world) == {address: [str(web)]}
        assert len(site.vpc.objects) == 2


def test_a_shared_snat_address_rotates_for_one_of_its_holders(site: Site, web: Holder, db: Holder) -> None:
    site.run(draw(web, db, pool=POOL, kind="snat"))
    site.run(draw(web, pool=POOL, kind="snat"), rotate=True)
    assert claimed(site.world) == {"10.4.19.110": [str(db)], "10.4.19.111": [str(web)]}
    assert rows(site) == [("10.4.19.110", "10.9.0.3"), ("10.4.19.111", "10.9.0.2")]


def test_each_right_to_write_objects_is_needed_and_no_other(site: Site, web: Holder, db: Holder) -> None:
    rules = yaml.safe_load((TOP / "docs" / "rbac.yml").read_text())["items"]
    own = [rule for item in rules for rule in item.get("rules", ()) if "ovn-fips" in rule["resources"]]
    given = {(verb, one) for rule in own for verb in rule["verbs"] for one in rule["resources"] if verb != "list"}
    needed = set()
    places = {
        "fip": ("ovn-fips", {"v4Ip": "10.9.0.3"}),
        "snat": ("ovn-snat-rules", {"v4IpCidr": "10.9.0.3"}),
        "dnat": (
            "ovn-dnat-rules",
            {"v4Ip": "10.9.0.3", "externalPort": "80", "internalPort": "8080", "protocol": "tcp"},
        ),
    }
    for kind, (resource, spec) in places.items():
        ports = (WEB,) if kind == "dnat" else ()
        site.vpc.add("ovn-eips", "hand", externalSubnet="external", v4Ip=TWO, type="nat")
        site.vpc.add(resource, "hand", ovnEip="hand", vpc="shop", **spec)
        site.vpc.settle()
        made = [replace(ask((web, ONE), kind=kind)[0], ports=ports)]
        for run in (
            site.whole(made),
            site.whole(None, adopt=True),
            site.whole(made, state="absent"),
            site.whole(ask((db, None), kind=kind), state="absent"),
        ):
            assert not run.bad
            steps = [step for step in run.result.steps if step.action in OBJECT_ORDER]
            needed |= {(verb, kinds.plural) for verb, kinds, _namespace in map(object_right, steps)}
    assert needed == given
