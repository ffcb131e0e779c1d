# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for EIPs in custom VPCs, case by case as Kube-OVN was observed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import attach_objects, eip_name, wanted_rules
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_check import (
    object_problems,
    object_warnings,
    shown_objects,
    status_of_objects,
    unfinished_objects,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Balancer, Port
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from support.vpc_cases import MAIL, ONE, TWO, WEB, Ask, Wish, attach, by_hand, detach, drive, plan
from support.vpc_world import GATEWAY_NODE, VpcWorld


def rows(world: VpcWorld) -> list[tuple[str, str]]:
    return sorted((row.external_ip, row.logical_ip) for row in world.rows)


def words(ask: Ask, world: VpcWorld, adopt: bool = False) -> str:
    return "; ".join(str(problem) for problem in object_problems(ask, world.seen(), adopt))


@pytest.fixture
def world() -> VpcWorld:
    """A VPC with its way outside."""
    return VpcWorld()


@pytest.fixture
def web(world: VpcWorld) -> Holder:
    return world.add_holder("web", "10.9.0.2")


@pytest.fixture
def db(world: VpcWorld) -> Holder:
    return world.add_holder("db", "10.9.0.3", "Pod")


# --- attaching ------------------------------------------------------------------------------------------------------


def test_an_address_is_made_before_what_uses_it(world: VpcWorld, web: Holder) -> None:
    steps = plan(Wish(Ask(web, ONE)), world.seen())
    assert [(step.data["resource"], step.data["late"]) for step in steps] == [("ovn-eips", False), ("ovn-fips", True)]
    assert attach(world, web, ONE) == ["create ovn-eips/eip-10-4-19-101", "create ovn-fips/eip-10-4-19-101"]
    assert rows(world) == [(ONE, "10.9.0.2")]
    assert status_of_objects(Ask(web, ONE), world.seen()) == "attached"
    assert attach(world, web, ONE) == []


def test_what_is_made_says_whose_it_is_and_has_kube_ovns_labels_from_the_start(world: VpcWorld, web: Holder) -> None:
    _eip, fip = plan(Wish(Ask(web, ONE)), world.seen())
    metadata = fip.data["body"]["metadata"]
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "kubeovn.core", "ovn.kubernetes.io/eip_v4_ip": ONE}
    assert metadata["annotations"] == {"kubeovn.core/holder": "VirtualMachine shop/web"}
    assert fip.data["body"]["kind"] == "OvnFip"
    *_others, dnat = plan(Wish(Ask(web, ONE, "dnat", (WEB,))), world.seen())
    assert dnat.data["body"]["metadata"]["labels"]["ovn.kubernetes.io/vpc_dnat_eport"] == "80"


def test_a_centralized_gateway_does_nat_and_so_no_logical_port_is_named(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert world.objects["ovn-fips", "eip-10-4-19-101"]["spec"] == {
        "ovnEip": "eip-10-4-19-101",
        "vpc": "shop",
        "v4Ip": "10.9.0.2",
    }
    assert [row.logical_port for row in world.rows] == [None]


def test_a_distributed_gateway_does_nat_on_the_holders_node(world: VpcWorld) -> None:
    near, far = world.add_holder("near", "10.9.0.2", node=GATEWAY_NODE), world.add_holder("far", "10.9.0.3")
    world.distributed = True
    attach(world, near, ONE)
    assert [row.logical_port for row in world.rows] == ["near.shop"]
    assert "no bridge to the outside" in words(Ask(far, TWO), world)


def test_one_snat_address_serves_many(world: VpcWorld, web: Holder, db: Holder) -> None:
    attach(world, web, ONE, "snat")
    assert attach(world, db, ONE, "snat") == ["create ovn-snat-rules/eip-10-4-19-101.db.shop"]
    assert rows(world) == [(ONE, "10.9.0.2"), (ONE, "10.9.0.3")]
    detach(world, web)
    assert rows(world) == [(ONE, "10.9.0.3")]
    assert ("ovn-eips", "eip-10-4-19-101") in world.objects, "the other one still has it"
    detach(world, db)
    assert not world.objects


def test_ports_lead_to_several_holders_of_one_address(world: VpcWorld, web: Holder, db: Holder) -> None:
    attach(world, web, ONE, "dnat", WEB, MAIL)
    attach(world, db, ONE, "dnat", Port(5432, 5432))
    assert sorted(one.vip for one in world.balancers.values()) == [f"{ONE}:25", f"{ONE}:5432", f"{ONE}:80"]
    assert "10.4.19.101:80 is held by VirtualMachine shop/web" in words(Ask(db, ONE, "dnat", (WEB,)), world)
    assert attach(world, web, ONE, "dnat", WEB) == ["delete ovn-dnat-rules/eip-10-4-19-101-tcp-25"]
    assert attach(world, web, ONE, "dnat", Port(80, 9090)) == [
        "delete ovn-dnat-rules/eip-10-4-19-101-tcp-80",
        "create ovn-dnat-rules/eip-10-4-19-101-tcp-80",
    ]
    assert world.balancers["eip-10-4-19-101-tcp-80"].backends == "10.9.0.2:9090"


def test_tcp_and_udp_ports_of_one_number_are_two(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE, "dnat", Port(53, 53, "tcp"), Port(53, 53, "udp"))
    assert sorted(world.balancers) == ["eip-10-4-19-101-tcp-53", "eip-10-4-19-101-udp-53"]


def test_a_machine_that_never_ran_holds_its_address_and_no_more(world: VpcWorld) -> None:
    never = Holder("VirtualMachine", "shop", "never")
    wish = Wish(Ask(never, ONE))
    assert [step.data["resource"] for step in plan(wish, world.seen())] == ["ovn-eips"]
    assert "start it once" in words(Ask(never, ONE), world)


# --- changes --------------------------------------------------------------------------------------------------------


def test_another_address_comes_before_the_old_one_goes(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert attach(world, web, TWO) == [
        "create ovn-eips/eip-10-4-19-102",
        "create ovn-fips/eip-10-4-19-102",
        "delete ovn-eips/eip-10-4-19-101",
        "delete ovn-fips/eip-10-4-19-101",
    ]
    assert rows(world) == [(TWO, "10.9.0.2")]
    world.settle()
    assert len(world.objects) == 2, "neither address nor rule of the old one is left"


def test_a_snat_rule_goes_before_the_next_one_comes(world: VpcWorld, web: Holder) -> None:
    """Kube-OVN finds SNAT rows by the overlay address: beside the old one it would make none and say ready."""
    attach(world, web, ONE, "snat")
    attach(world, web, TWO, "snat")
    assert rows(world) == [(TWO, "10.9.0.2")]
    world.settle()
    assert len(world.objects) == 2


def test_an_old_address_that_another_item_asks_for_stays(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    attach(world, Holder("Pod", "shop", "nobody"), TWO)
    steps = attach_objects(Ask(web, TWO), world.seen(), needed={ONE, TWO})
    assert "delete_address" not in [step.action for step in steps]


def test_a_pod_with_another_overlay_address_is_followed(world: VpcWorld, db: Holder) -> None:
    attach(world, db, ONE)
    world.move(db, "10.9.0.77")
    world.settle()
    assert rows(world) == [(ONE, "10.9.0.3")], "Kube-OVN takes no note"
    assert attach(world, db, ONE) == ["delete ovn-fips/eip-10-4-19-101", "create ovn-fips/eip-10-4-19-101"]
    assert rows(world) == [(ONE, "10.9.0.77")]


def test_another_kind_at_the_same_address_waits_for_the_first(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert attach(world, web, ONE, "snat") == [
        "delete ovn-fips/eip-10-4-19-101",
        "create ovn-snat-rules/eip-10-4-19-101.web.shop",
    ]
    assert [row.type for row in world.rows] == ["snat"]


def test_another_kind_at_another_address_is_no_obstacle(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert attach(world, web, TWO, "dnat", WEB)[-1] == "create ovn-dnat-rules/eip-10-4-19-102-tcp-80"
    assert rows(world) == [(ONE, "10.9.0.2")]


# --- what Kube-OVN says and does not do -----------------------------------------------------------------------------


def test_ready_proves_nothing(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    world.rows.clear()
    assert [text for text, _hint in unfinished_objects(Ask(web, ONE), "present", world.seen())] == [
        "OvnFip eip-10-4-19-101 says ready, and OVN has not what it says",
    ]
    assert attach(world, web, ONE) == [
        "delete ovn-fips/eip-10-4-19-101",
        "free ovn-fips/eip-10-4-19-101",
        "create ovn-fips/eip-10-4-19-101",
    ]
    assert rows(world) == [(ONE, "10.9.0.2")]


def test_a_rule_whose_row_is_lost_would_hang_for_ever(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    world.rows.clear()
    world.delete("ovn-fips", "eip-10-4-19-101")
    world.settle()
    assert world.objects["ovn-fips", "eip-10-4-19-101"]["metadata"]["deletionTimestamp"]
    assert "free ovn-fips/eip-10-4-19-101" in detach(world, web)
    assert not world.objects


def test_a_rule_that_was_deleted_while_the_controller_was_away_is_called_to_its_mind(
    world: VpcWorld, web: Holder
) -> None:
    attach(world, web, ONE)
    world.controller_runs = False
    world.delete("ovn-fips", "eip-10-4-19-101")
    world.controller_runs = True
    world.settle()
    assert ("ovn-fips", "eip-10-4-19-101") in world.objects, "Kube-OVN has forgotten it"
    assert "remind ovn-fips/eip-10-4-19-101" in detach(world, web)
    assert not world.objects


def test_an_address_that_somebody_deletes_is_made_anew_with_what_uses_it(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    world.delete("ovn-eips", "eip-10-4-19-101")
    world.settle()
    assert ("ovn-eips", "eip-10-4-19-101") in world.objects, "Kube-OVN keeps it while a rule uses it"
    assert "delete ovn-fips/eip-10-4-19-101" in attach(world, web, ONE)
    assert rows(world) == [(ONE, "10.9.0.2")]
    attach(world, web, TWO, "dnat", WEB)
    world.delete("ovn-eips", "eip-10-4-19-102")
    assert "OvnDnatRule eip-10-4-19-102-tcp-80 still uses it" in words(Ask(web, TWO, "snat"), world)


def test_an_object_that_this_run_deletes_needs_no_reminder(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert detach(world, web) == ["delete ovn-eips/eip-10-4-19-101", "delete ovn-fips/eip-10-4-19-101"]


def test_without_ovn_what_the_objects_say_has_to_do(world: VpcWorld, web: Holder) -> None:
    drive(world, Wish(Ask(web, ONE)), northbound=False)
    world.rows.clear()
    assert not plan(Wish(Ask(web, ONE)), world.seen(northbound=False))


def test_what_is_not_ready_is_named(world: VpcWorld, web: Holder) -> None:
    world.controller_runs = False
    for step in plan(Wish(Ask(web, ONE)), world.seen()):
        world.apply(step)
    texts = [text for text, _hint in unfinished_objects(Ask(web, ONE), "present", world.seen())]
    assert texts == ["OvnEip eip-10-4-19-101 is not ready", "OvnFip eip-10-4-19-101 is not ready"]
    assert status_of_objects(Ask(web, ONE), world.seen()) == "pending"


def test_a_row_that_leads_elsewhere_is_not_what_was_asked(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    world.rows = [row._replace(logical_ip="10.9.0.200") for row in world.rows]
    assert status_of_objects(Ask(web, ONE), world.seen()) == "pending"
    assert "which no object asks for" in words(Ask(web, ONE), world), "somebody has changed it by hand"


def test_a_load_balancer_that_leads_elsewhere_is_made_anew(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE, "dnat", WEB)
    (name, right) = next(iter(world.balancers.items()))
    world.balancers[name] = replace(right, backends="10.9.0.200:8080")
    assert attach(world, web, ONE, "dnat", WEB) == [f"delete ovn-dnat-rules/{name}", f"create ovn-dnat-rules/{name}"]
    assert world.balancers == {name: right}


@pytest.mark.parametrize("distributed", [False, True])
def test_without_ovn_another_overlay_address_is_seen_too(world: VpcWorld, db: Holder, distributed: bool) -> None:
    world.distributed = distributed
    attach(world, db, ONE)
    world.move(db, "10.9.0.77")
    drive(world, Wish(Ask(db, ONE)), northbound=False)
    assert rows(world) == [(ONE, "10.9.0.77")]


def test_an_address_waits_for_others_that_are_on_their_way_out(world: VpcWorld, web: Holder) -> None:
    """What Kube-OVN has forgotten keeps the OvnEip from going, whoever made it."""
    attach(world, web, ONE, "snat")
    ports = {"externalPort": "22", "internalPort": "22", "protocol": "tcp"}
    world.add("ovn-dnat-rules", "theirs", ovnEip="eip-10-4-19-101", vpc="shop", v4Ip="10.9.0.9", **ports)
    world.settle()
    world.controller_runs = False
    world.delete("ovn-dnat-rules", "theirs")
    world.delete("ovn-eips", "eip-10-4-19-101")
    world.controller_runs = True
    assert "remind ovn-dnat-rules/theirs" in attach(world, web, ONE, "snat")


def test_a_rule_of_a_former_address_is_named_while_it_is_there(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    world.add("ovn-eips", "two", externalSubnet="external", v4Ip=TWO)
    world.settle()
    texts = [text for text, _hint in unfinished_objects(Ask(web, TWO), "present", world.seen())]
    assert "OvnFip eip-10-4-19-101 of its former EIP is still there" in texts


# --- releasing ------------------------------------------------------------------------------------------------------


def test_release_takes_rule_and_address(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    before = shown_objects(Ask(web, ONE), world.seen())
    assert before == {"objects": [f"OvnFip eip-10-4-19-101: {ONE}"], "ovn_eip": "eip-10-4-19-101"}
    assert detach(world, web, ONE) == ["delete ovn-eips/eip-10-4-19-101", "delete ovn-fips/eip-10-4-19-101"]
    assert not world.objects
    assert not world.rows
    assert detach(world, web, ONE) == []


def test_a_run_killed_between_the_two_leaves_what_the_next_one_finishes(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    first = plan(Wish(Ask(web, None), "absent"), world.seen())[0]
    world.apply(first)
    world.settle()
    assert detach(world, web)[-1] == "delete ovn-fips/eip-10-4-19-101"
    assert not world.objects


def test_a_detached_address_stays_for_its_holder(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert detach(world, web, ONE, keep_address=True) == ["delete ovn-fips/eip-10-4-19-101"]
    assert list(world.objects) == [("ovn-eips", "eip-10-4-19-101")]
    assert attach(world, web, ONE) == ["create ovn-fips/eip-10-4-19-101"]
    detach(world, web, ONE, keep_address=True)
    assert detach(world, web, ONE) == ["delete ovn-eips/eip-10-4-19-101"]


def test_release_of_another_address_than_the_holder_has_changes_nothing(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    assert detach(world, web, TWO) == []


def test_an_address_that_somebody_else_uses_stays(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE, "snat")
    ports = {"externalPort": "22", "internalPort": "22", "protocol": "tcp"}
    world.add("ovn-dnat-rules", "theirs", ovnEip="eip-10-4-19-101", vpc="shop", v4Ip="10.9.0.9", **ports)
    assert detach(world, web) == ["delete ovn-snat-rules/eip-10-4-19-101.web.shop"]
    assert ("ovn-eips", "eip-10-4-19-101") in world.objects


def test_release_leaves_what_was_made_by_hand(world: VpcWorld, web: Holder) -> None:
    by_hand(world, "theirs", "web.shop")
    assert detach(world, web) == []
    assert rows(world) == [(ONE, "10.9.0.2")]


def test_release_leaves_an_address_that_was_made_by_hand(world: VpcWorld, web: Holder) -> None:
    attach(world, web, ONE)
    del world.objects["ovn-eips", "eip-10-4-19-101"]["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    assert detach(world, web, ONE) == ["delete ovn-fips/eip-10-4-19-101"]
    assert detach(world, web, ONE) == []


# --- objects of others ----------------------------------------------------------------------------------------------


def test_what_was_made_by_hand_is_respected_and_named(world: VpcWorld, web: Holder, db: Holder) -> None:
    by_hand(world, "theirs", "web.shop")
    assert "OvnEip theirs, which this collection has not made" in words(Ask(web, ONE), world)
    assert "held by OvnFip theirs" in words(Ask(db, ONE), world, adopt=True), "adopt takes over, it takes nobody's"


def test_adoption_takes_over_and_interrupts_nothing_where_it_works(world: VpcWorld) -> None:
    holder = world.add_holder("web", "10.9.0.2", node=GATEWAY_NODE)
    by_hand(world, "theirs", "web.shop")
    assert not words(Ask(holder, ONE), world, adopt=True)
    done = drive(world, Wish(Ask(holder, ONE), adopt=True))
    assert done == ["adopt ovn-eips/theirs", "adopt ovn-fips/theirs"]


def test_adoption_makes_anew_what_cannot_work_on_a_node_without_bridge(world: VpcWorld, web: Holder) -> None:
    by_hand(world, "theirs", "web.shop")
    done = drive(world, Wish(Ask(web, ONE), adopt=True))
    assert done == ["adopt ovn-eips/theirs", "delete ovn-fips/theirs", "create ovn-fips/eip-10-4-19-101"]
    assert [row.logical_port for row in world.rows] == [None]


@pytest.mark.parametrize(("kind", "text"), [("lrp", "is a router port's"), ("lsp", "is a node's")])
def test_addresses_of_ports_are_refused(world: VpcWorld, web: Holder, kind: str, text: str) -> None:
    world.add("ovn-eips", "shop-external", externalSubnet="external", v4Ip=ONE, type=kind)
    assert text in words(Ask(web, ONE), world, adopt=True)


def test_rows_that_no_object_has_made_are_refused(world: VpcWorld, web: Holder) -> None:
    """Kube-OVN would find such a row, take it for its own and say ready."""
    world.add_row(ONE, "10.9.0.200")
    assert "which no object asks for" in words(Ask(web, ONE), world)
    world.rows.clear()
    world.add_row(TWO, "10.9.0.2", "snat")
    assert "which no object asks for" in words(Ask(web, ONE, "snat"), world)
    assert not words(Ask(web, ONE), world)


def test_rows_that_another_object_has_made_are_no_excuse_for_others(world: VpcWorld, web: Holder, db: Holder) -> None:
    attach(world, db, TWO)
    assert not words(Ask(web, ONE), world)
    world.add_row(ONE, "10.9.0.3")
    assert "which no object asks for" in words(Ask(web, ONE), world)


def test_a_holders_own_leftover_snat_is_no_obstacle(world: VpcWorld, web: Holder) -> None:
    world.add_row(ONE, "10.9.0.2", "snat")
    assert not words(Ask(web, ONE, "snat"), world)


def test_a_load_balancer_that_no_object_has_made_is_refused(world: VpcWorld, web: Holder) -> None:
    world.balancers["by-hand"] = Balancer("by-hand", "tcp", f"{ONE}:443", "10.9.0.9:443")
    assert "load balancer by-hand" in words(Ask(web, ONE), world)


def test_a_holders_own_leftover_row_is_no_obstacle(world: VpcWorld, web: Holder) -> None:
    world.add_row(ONE, "10.9.0.2")
    assert not words(Ask(web, ONE), world)
    attach(world, web, ONE)
    assert rows(world) == [(ONE, "10.9.0.2")]


def test_another_snat_of_the_holder_is_refused(world: VpcWorld, web: Holder) -> None:
    world.add("ovn-eips", "theirs", externalSubnet="external", v4Ip=TWO)
    world.add("ovn-snat-rules", "theirs", ovnEip="theirs", vpc="shop", v4IpCidr="10.9.0.2")
    world.settle()
    assert "OvnSnatRule theirs is a SNAT of VirtualMachine shop/web already" in words(Ask(web, ONE, "snat"), world)


# --- refused --------------------------------------------------------------------------------------------------------


def test_a_vpc_without_a_way_outside_is_named_with_the_cure(world: VpcWorld, web: Holder) -> None:
    world.connected = world.external = False
    assert "VPC shop has no router port in Subnet external" in words(Ask(web, ONE), world)
    assert "enableExternal" in words(Ask(web, ONE), world)
    world.external = True
    assert "is a node labelled" in words(Ask(web, ONE), world)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.4.20.9", "no Subnet has 10.4.20.9"),
        ("10.4.19.1", "is the physical gateway"),
        ("10.4.19.255", "network or broadcast address"),
    ],
)
def test_addresses_out_of_place_are_refused(world: VpcWorld, web: Holder, address: str, text: str) -> None:
    assert text in words(Ask(web, address), world)


def test_an_address_that_a_pod_of_the_outside_has_is_refused(world: VpcWorld, web: Holder) -> None:
    world.add_holder("underlay", ONE)
    world.ips["underlay.shop"]["spec"]["subnet"] = "external"
    assert f"{ONE} is the address of underlay.shop" in words(Ask(web, ONE), world)


def test_an_ovn_eip_of_the_right_name_with_another_address_is_refused(world: VpcWorld, web: Holder) -> None:
    world.add("ovn-eips", "eip-10-4-19-101", externalSubnet="external", v4Ip=TWO)
    assert "OvnEip eip-10-4-19-101 exists, with 10.4.19.102" in words(Ask(web, ONE), world)


def test_of_two_subnets_with_the_address_the_connected_one_is_taken(world: VpcWorld) -> None:
    seen = world.seen()
    other = replace(seen.subnets["external"], name="another")
    subnet = replace(seen, subnets={"another": other, **seen.subnets}).subnet_for(ONE, "shop")
    assert subnet is not None
    assert subnet.name == "external"


def test_other_external_subnets_are_named(world: VpcWorld, web: Holder) -> None:
    world.connected = False
    seen = world.seen()
    vpcs = {"shop": replace(seen.vpcs["shop"], extra=("uplink",))}
    (problem,) = object_problems(Ask(web, ONE), replace(seen, vpcs=vpcs))
    assert problem.hint == "its extraExternalSubnets are uplink"


def test_holders_without_an_overlay_address_of_ipv4_are_refused(world: VpcWorld, web: Holder) -> None:
    world.move(web, "")
    assert "has no IPv4 address" in words(Ask(web, ONE), world)
    seen = world.seen()
    vlan = {"shop-net": replace(seen.subnets["shop-net"], vlan="outside")}
    (problem,) = object_problems(Ask(web, ONE), replace(seen, subnets={**seen.subnets, **vlan}))
    assert "is in the underlay Subnet shop-net" in problem.text


def test_the_default_vpc_is_refused(world: VpcWorld) -> None:
    holder = world.add_holder("web", "10.9.0.2")
    seen = world.seen()
    subnets = {name: replace(subnet, vpc="ovn-cluster") for name, subnet in seen.subnets.items()}
    (problem,) = object_problems(Ask(holder, ONE), replace(seen, subnets=subnets))
    assert "leaves without NAT" in problem.text


@pytest.mark.parametrize(
    ("kind", "ports", "text"),
    [
        ("fip", (WEB,), "kind is fip"),
        ("dnat", (), "missing"),
        ("dnat", (WEB, Port(80, 81)), "tcp port 80 is named twice"),
    ],
)
def test_ports_go_with_their_kind(world: VpcWorld, web: Holder, kind: str, ports: tuple[Port, ...], text: str) -> None:
    assert text in words(Ask(web, ONE, kind, ports), world)


def test_a_vpc_without_default_route_is_told_of(world: VpcWorld, web: Holder) -> None:
    (warning,) = object_warnings(Ask(web, ONE), world.seen())
    assert "no static route 0.0.0.0/0" in warning


def test_long_names_stay_in_what_kubernetes_takes(world: VpcWorld) -> None:
    holder = world.add_holder("w" * 240, "10.9.0.2", "Pod")
    (wanted,) = wanted_rules(Ask(holder, ONE, "snat"), world.seen())
    assert len(wanted.name) <= 253
    assert eip_name(ONE) == "eip-10-4-19-101"
