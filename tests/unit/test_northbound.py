# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of OVN, and the guarded writes, in real databases filled as Kube-OVN fills them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._model import HolderPort, NatRule, Ovn
from ansible_collections.kubeovn.core.plugins.module_utils._nb_writes import BATCH
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import FEW_PORTS, Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    GuardFailed,
    named_uuid,
    to_map,
    to_set,
    uuid,
)
from support.ovn_site import (
    CHASSIS,
    EIPS,
    GATEWAY,
    MAC,
    NETWORK,
    NODES,
    add_rule,
    clients,
    fill_northbound,
    fill_southbound,
    insert,
    port_of,
    standing,
)
from support.ovsdb import OvsdbServer, wait_for
from support.relay import Relay

Make = Callable[..., Any]


@pytest.fixture
def site(ovsdb: OvsdbServer) -> Northbound:
    return standing(ovsdb.tcp)


def addresses(rules: Sequence[NatRule]) -> list[str]:
    return sorted(rule.external_ip for rule in rules)


# --- reading ---


def test_empty_databases_show_nothing(ovsdb: OvsdbServer) -> None:
    ovn = Northbound(*clients(ovsdb.tcp)).observe(["testing.default"])
    assert ovn == Ovn(None, None, None, (), (), (), (), None, {})


def test_the_site_is_read_whole_and_without_other_vpcs(site: Northbound) -> None:
    ovn = site.observe(["testing.default", "nowhere.default"])
    port = port_of(ovn)
    assert (port.name, port.mac, port.networks) == ("ovn-cluster-external", MAC, (NETWORK,))
    assert [(row.chassis, row.priority) for row in port.gateway_chassis] == list(
        zip(CHASSIS, (100, 99, 98), strict=True)
    )
    assert addresses(ovn.nat_rules) == ["10.4.19.101", "10.4.19.102"]
    assert {rule.type for rule in ovn.nat_rules} == {"dnat_and_snat"}
    assert {(policy.match, policy.action, policy.nexthops) for policy in ovn.policies} == {
        (f"ip4.src == {logical}", "reroute", (GATEWAY,)) for _external, logical in EIPS
    }
    assert [(row.name, row.type) for row in ovn.switch_ports] == [
        ("external-ovn-cluster", "router"),
        ("localnet.external", "localnet"),
    ]
    assert ovn.switch_ports[1].options == {"network_name": "external"}
    assert ovn.active_chassis == CHASSIS[0]
    assert ovn.redirects == {"cr-ovn-cluster-external": CHASSIS[0]}
    assert ovn.bound_ports == {"testing.default": CHASSIS[2]}


def test_chassis_show_host_encapsulation_and_mappings(site: Northbound) -> None:
    first = site.observe().chassis[0]
    assert (first.name, first.hostname, first.encap_ips) == (CHASSIS[0], NODES[0], ("10.4.17.11",))
    assert first.bridge_mappings == {"external": "br-external", "second": "br-second"}


def test_a_plain_port_on_the_external_switch_is_seen(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb, extra_ports=["intruder"])
    assert "intruder" in [port.name for port in northbound.observe().switch_ports]


def test_many_ports_are_found_as_few_are(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    bound = {f"pod{n}.default": n % 3 for n in range(40)}
    fill_southbound(northbound.sb, bound=bound)
    for count in (1, 16, 17, 40):
        wanted = list(bound)[:count]
        assert northbound.observe(wanted).bound_ports == {port: CHASSIS[bound[port]] for port in wanted}


def test_nobody_holds_the_router_port(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_southbound(northbound.sb, active=None)
    assert northbound.observe().active_chassis is None


def test_an_older_ovn_without_newer_columns_is_read(make_ovsdb: Make) -> None:
    server = make_ovsdb(dropped=[("Logical_Router_Policy", "nexthop"), ("Chassis", "external_ids")])
    northbound = Northbound(*clients(server.tcp))
    fill_northbound(northbound.nb, EIPS)
    fill_southbound(northbound.sb)
    ovn = northbound.observe()
    assert {policy.nexthops for policy in ovn.policies} == {(GATEWAY,)}
    assert ovn.chassis[0].bridge_mappings["external"] == "br-external"


def without_identity(rules: Sequence[NatRule]) -> list[NatRule]:
    return sorted((rule._replace(uuid="") for rule in rules), key=lambda rule: (rule.external_ip, rule.logical_ip))


def test_without_identities_the_same_rules_are_read(site: Northbound) -> None:
    whole, light = site.observe(), site.observe(identities=False)
    assert without_identity(light.nat_rules) == without_identity(whole.nat_rules)
    assert {rule.uuid for rule in light.nat_rules} == {""}
    assert light.foreign_rules == whole.foreign_rules
    assert replace(light, nat_rules=whole.nat_rules) == whole


@pytest.mark.parametrize(
    "unusual",
    [
        {"type": "snat"},
        {"type": "snat", "logical_port": "web.shop"},
        {"logical_port": "web.shop", "external_mac": "0a:00:00:00:00:01"},
        {"logical_port": "web.shop", "options": to_map({"stateless": "true"})},
        {"logical_port": "web.shop"},
    ],
)
def test_an_unusual_rule_comes_once_and_whole(site: Northbound, unusual: dict[str, Any]) -> None:
    values = {"type": "dnat_and_snat", "external_ip": "10.4.19.99", "logical_ip": "10.253.0.99", **unusual}
    add_rule(site.nb, "ovn-cluster", values)
    [rule] = [rule for rule in site.observe(identities=False).nat_rules if rule.external_ip == "10.4.19.99"]
    assert [rule] == [one for one in site.observe().nat_rules if one.external_ip == "10.4.19.99"]


def test_a_usual_rule_of_another_router_is_told_apart(site: Northbound) -> None:
    before = addresses(site.observe().nat_rules)
    external, logical = EIPS[0]
    add_rule(site.nb, "vpc1", {"type": "dnat_and_snat", "external_ip": external, "logical_ip": logical})
    seen = site.observe(identities=False)
    assert addresses(seen.nat_rules) == before
    assert external in addresses(seen.foreign_rules)


def test_a_warm_tunnel_is_told_by_sb_and_not_asked_for_again_and_again(
    ovsdb: OvsdbServer, site: Northbound, make_relay: Make
) -> None:
    relay: Relay = make_relay(ovsdb.tcp)
    northbound = Northbound(site.nb, clients(relay.tcp)[1])
    [datapath] = site.sb.select("Datapath_Binding", ["_uuid"])
    row = {"logical_port": "cr-kubeovn-core-warm-up", "datapath": uuid(datapath["_uuid"]), "tunnel_key": 7}
    site.sb.transact([insert("Port_Binding", row | {"type": "chassisredirect"})])
    assert not northbound.await_warm_up(0)
    looks = relay.sent.count(b'"select","table":"Port_Binding"')
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(northbound.await_warm_up(60)), daemon=True)
    thread.start()
    wait_for("another look", lambda: relay.received.count(b'"rows"') == looks + 1)
    chassis = next(one for one in site.sb.select("Chassis", ["_uuid", "name"]) if one["name"] == CHASSIS[1])
    where = [["logical_port", "==", row["logical_port"]]]
    bound = {"op": "update", "table": "Port_Binding", "where": where, "row": {"chassis": uuid(chassis["_uuid"])}}
    site.sb.transact([bound])
    thread.join(30)
    assert found == [True]
    assert relay.sent.count(b'"select","table":"Port_Binding"') == looks + 2


def test_a_holders_port_is_found_with_its_chassis(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb)
    fill_southbound(northbound.sb, bound={"web.shop": 2})
    values = {"name": "web.shop", "addresses": "0a:58:0a:fd:00:0b 10.253.0.11"}
    for name in ("web.shop", "idle.shop"):
        add = {"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", "ovn-default"]]}
        mutations = [["ports", "insert", to_set([named_uuid("new")])]]
        row = insert("Logical_Switch_Port", values | {"name": name}, "new")
        northbound.nb.transact([row, add | {"mutations": mutations}])
    assert northbound.holder_port("web.shop") == HolderPort("web.shop", "0a:58:0a:fd:00:0b", CHASSIS[2])
    assert northbound.holder_port("idle.shop") == HolderPort("idle.shop", "0a:58:0a:fd:00:0b", None)
    assert northbound.holder_port("nobody.shop") is None


@pytest.mark.parametrize("many_ports", [False, True])
def test_a_port_is_bound_where_only_an_additional_chassis_has_it(ovsdb: OvsdbServer, many_ports: bool) -> None:
    """Kube-OVN may overlook a migration's end: the port stays tied to the old chassis, too, which has let it go."""
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb)
    others = {f"other-{number}.shop": 0 for number in range(FEW_PORTS)} if many_ports else {}
    fill_southbound(northbound.sb, bound={"web.shop": 2, **others})
    where = [["logical_port", "==", "web.shop"]]
    found = next(one for one in northbound.sb.select("Chassis", ["_uuid", "name"]) if one["name"] == CHASSIS[1])
    both = {"additional_chassis": uuid(found["_uuid"])}
    northbound.sb.transact([{"op": "update", "table": "Port_Binding", "where": where, "row": both}])
    ports = ["web.shop", *others]
    assert northbound.observe(ports).bound_ports["web.shop"] == CHASSIS[2], "the first one counts while there is one"
    left = {"chassis": to_set([])}
    northbound.sb.transact([{"op": "update", "table": "Port_Binding", "where": where, "row": left}])
    assert northbound.observe(ports).bound_ports["web.shop"] == CHASSIS[1]
    for activated, bound in ((f"other,{CHASSIS[1]}", CHASSIS[1]), ("other", None)):
        options = to_map({"activation-strategy": "rarp", "additional-chassis-activated": activated})
        northbound.sb.transact([{"op": "update", "table": "Port_Binding", "where": where, "row": {"options": options}}])
        assert northbound.observe(ports).bound_ports.get("web.shop") == bound


# --- writing ---


def test_router_port_gets_address_and_mac_at_once(site: Northbound) -> None:
    site.set_router_port(port_of(site.observe()), "0a:00:00:00:00:01", ["10.4.19.253/24", "10.4.20.1/24"])
    port = port_of(site.observe())
    assert (port.mac, port.networks) == ("0a:00:00:00:00:01", ("10.4.19.253/24", "10.4.20.1/24"))
    assert len(port.gateway_chassis) == 3


def test_gateway_chassis_are_added_as_kube_ovn_names_them(site: Northbound) -> None:
    port = port_of(site.observe())
    site.delete_gateway_chassis(port, port.gateway_chassis[:1])
    site.add_gateway_chassis(port_of(site.observe()), [(CHASSIS[0], 7), ("c-009", 6)])
    rows = port_of(site.observe()).gateway_chassis
    assert [(row.chassis, row.priority) for row in rows] == [("c-002", 99), ("c-003", 98), ("c-001", 7), ("c-009", 6)]
    assert rows[2].name == f"ovn-cluster-external-{CHASSIS[0]}"


def test_a_row_that_has_a_gateways_name_for_another_chassis_makes_room(site: Northbound) -> None:
    """Names are unique, and Kube-OVN looks for names: it would take that row for the gateway's."""
    port = port_of(site.observe())
    where = [["chassis_name", "==", CHASSIS[0]]]
    site.nb.transact([{"op": "update", "table": "Gateway_Chassis", "where": where, "row": {"chassis_name": "typo"}}])
    with pytest.raises(GuardFailed):
        site.add_gateway_chassis(port, [(CHASSIS[0], 97)])  # it was another one when that was planned
    changed = port_of(site.observe())
    site.add_gateway_chassis(changed, [(CHASSIS[0], 97)])
    rows = port_of(site.observe()).gateway_chassis
    assert [(row.chassis, row.priority) for row in rows] == [(CHASSIS[1], 99), (CHASSIS[2], 98), (CHASSIS[0], 97)]
    assert {row.name for row in rows} == {row.name for row in port.gateway_chassis}


def test_ports_that_were_put_out_of_service_are_put_back(site: Northbound) -> None:
    before = site.observe()
    spoilt = {"addresses": to_set(["0a:00:00:00:00:09"]), "enabled": False}
    for name in ("localnet.external", "external-ovn-cluster"):
        where = [["name", "==", name]]
        site.nb.transact([{"op": "update", "table": "Logical_Switch_Port", "where": where, "row": spoilt}])
    where = [["name", "==", "ovn-cluster-external"]]
    site.nb.transact([{"op": "update", "table": "Logical_Router_Port", "where": where, "row": {"enabled": False}}])
    seen = site.observe()
    assert (port_of(before).enabled, port_of(seen).enabled) == (True, False)
    assert [port.enabled for port in (*before.switch_ports, *seen.switch_ports)] == [True, True, False, False]
    assert {port.addresses for port in seen.switch_ports} == {("0a:00:00:00:00:09",)}
    pairs = list(zip(seen.switch_ports, ("router", "unknown"), strict=True))
    site.mend_ports(port_of(seen), pairs)
    assert site.observe() == before
    with pytest.raises(GuardFailed):
        site.mend_ports(None, pairs)
    site.mend_ports(None, [])


def test_the_localnet_port_keeps_its_other_options(site: Northbound) -> None:
    port = site.observe().switch_ports[1]
    site.set_localnet(port, "provider", 42)
    changed = site.observe().switch_ports[1]
    assert (changed.options, changed.tag) == ({**port.options, "network_name": "provider"}, 42)
    site.set_localnet(changed, "external", None)  # the VLAN is not asked about
    assert site.observe().switch_ports[1].tag == 42
    with pytest.raises(GuardFailed):
        site.set_localnet(changed, "external", 0)
    site.set_localnet(site.observe().switch_ports[1], "external", 0)
    assert site.observe().switch_ports[1].tag is None


def test_nat_goes_to_the_holders_port_and_back(site: Northbound) -> None:
    first = min(site.observe().nat_rules, key=lambda rule: rule.external_ip)
    site.set_distribution([(first, HolderPort("testing.default", "0a:00:00:00:00:05"))])
    there = min(site.observe().nat_rules, key=lambda rule: rule.external_ip)
    assert there == first._replace(logical_port="testing.default", external_mac="0a:00:00:00:00:05", stateless=True)
    site.set_distribution([(there, None)])
    assert min(site.observe().nat_rules, key=lambda rule: rule.external_ip) == first


def test_options_of_nb_global_are_set_and_taken_away(site: Northbound) -> None:
    site.nb.transact([{"op": "insert", "table": "NB_Global", "row": {"options": to_map({"other": "1"})}}])
    site.set_options({"bfd-mult": "3", "bfd-min-rx": "200"})
    site.set_options({"bfd-mult": "4", "bfd-min-rx": None})
    assert site.observe().options == {"other": "1", "bfd-mult": "4"}


def test_the_router_that_warms_tunnels_up_leaves_nothing(site: Northbound) -> None:
    before = site.nb.select("Gateway_Chassis", ["name"])
    site.warm_up(CHASSIS[:2])
    assert "kubeovn-core-warm-up" in [port.name for port in site.observe().other_ports]
    site.cool_down()
    site.cool_down()
    assert "kubeovn-core-warm-up" not in [port.name for port in site.observe().other_ports]
    assert site.nb.select("Gateway_Chassis", ["name"]) == before


def test_the_ports_of_holders_are_found_by_address(site: Northbound) -> None:
    row = {"name": "testing.default", "addresses": to_set(["0a:00:00:00:00:05 10.253.0.11 fd00::11"])}
    operations = [{"op": "insert", "table": "Logical_Switch_Port", "row": row, "uuid-name": "p"}]
    switch = {"name": "ovn-default", "ports": to_set([named_uuid("p")])}
    site.nb.transact([*operations, {"op": "insert", "table": "Logical_Switch", "row": switch}])
    assert site.observe().holder_ports == {}
    found = site.observe(holders=True).holder_ports
    assert found == {"10.253.0.11": HolderPort("testing.default", "0a:00:00:00:00:05", CHASSIS[2])}


def test_priorities_change_together_or_not_at_all(site: Northbound) -> None:
    seen = port_of(site.observe()).gateway_chassis
    site.set_priorities([(seen[0], 98), (seen[2], 100)])
    changed = port_of(site.observe()).gateway_chassis
    assert [row.chassis for row in changed] == [CHASSIS[2], CHASSIS[1], CHASSIS[0]]
    with pytest.raises(GuardFailed):
        site.set_priorities([(seen[1], 50), (seen[0], 51)])  # seen[0] has another priority by now
    assert port_of(site.observe()).gateway_chassis == changed


def test_a_gateway_chassis_goes_and_the_others_stay(site: Northbound) -> None:
    port = port_of(site.observe())
    site.delete_gateway_chassis(port, port.gateway_chassis[:1])
    after = port_of(site.observe())
    assert after.gateway_chassis == port.gateway_chassis[1:]
    with pytest.raises(GuardFailed):
        site.delete_gateway_chassis(port, port.gateway_chassis[:2])  # the first is gone already
    assert port_of(site.observe()) == after
    assert len(site.nb.select("Gateway_Chassis", ["name"])) == 3  # two, and the stranger's


def test_leftovers_go_and_nothing_else(site: Northbound) -> None:
    before = site.observe()
    rules = [rule for rule in before.nat_rules if rule.external_ip == "10.4.19.101"]
    policies = [policy for policy in before.policies if policy.match.endswith("10.253.0.11")]
    site.delete_leftovers(rules, policies)
    after = site.observe()
    assert set(before.nat_rules) - set(after.nat_rules) == set(rules)
    assert set(before.policies) - set(after.policies) == set(policies)
    assert addresses(after.nat_rules) == ["10.4.19.102"]
    left = site.nb.select("Logical_Router_Policy", ["_uuid", "priority"])
    assert sorted(row["priority"] for row in left) == [29250, 29250, 31000]  # one here, one of another VPC


def test_routes_by_source_go_with_their_eip(site: Northbound) -> None:
    """Kube-OVN makes one for each NAT row and leaves it. One to a destination, or another router's, is not read."""
    rows = [("10.253.0.11", "src-ip", "a"), ("10.253.0.12", "src-ip", "b"), ("10.253.0.11/32", "dst-ip", "c")]
    table = "Logical_Router_Static_Route"
    row = {"nexthop": GATEWAY, "ip_prefix": "10.253.0.11", "policy": "src-ip"}
    operations: list[Any] = [{"op": "insert", "table": table, "row": row, "uuid-name": "d"}]
    for prefix, way, name in rows:
        row = {"nexthop": GATEWAY, "ip_prefix": prefix, "policy": way}
        operations.append({"op": "insert", "table": table, "row": row, "uuid-name": name})
    for router, names in (("ovn-cluster", "abc"), ("vpc1", "d")):
        mutation = ["static_routes", "insert", to_set([named_uuid(name) for name in names])]
        where = [["name", "==", router]]
        operations.append({"op": "mutate", "table": "Logical_Router", "where": where, "mutations": [mutation]})
    site.nb.transact(operations)
    before = site.observe()
    assert sorted((route.ip_prefix, route.nexthop) for route in before.routes) == [
        ("10.253.0.11", GATEWAY),
        ("10.253.0.12", GATEWAY),
    ]
    mine = [route for route in before.routes if route.ip_prefix == "10.253.0.11"]
    with pytest.raises(GuardFailed):
        site.delete_leftovers([], [], [replace(mine[0], nexthop="10.4.19.2")])
    site.delete_leftovers([rule for rule in before.nat_rules if rule.logical_ip == "10.253.0.11"], [], mine)
    after = site.observe()
    assert [route.ip_prefix for route in after.routes] == ["10.253.0.12"]
    assert addresses(after.nat_rules) == ["10.4.19.102"]
    assert len(site.nb.select(table, ["_uuid"])) == 3


def test_a_row_that_was_given_to_another_meanwhile_is_not_deleted(site: Northbound) -> None:
    before = site.observe()
    rule = before.nat_rules[0]
    where = [["external_ip", "==", rule.external_ip]]
    site.nb.transact([{"op": "update", "table": "NAT", "where": where, "row": {"logical_ip": "10.253.0.99"}}])
    with pytest.raises(GuardFailed, match="a row of NAT changed meanwhile"):
        site.delete_leftovers([rule], before.policies)
    after = site.observe()
    assert addresses(after.nat_rules) == addresses(before.nat_rules)
    assert after.policies == before.policies


def test_more_leftovers_than_one_transaction_holds(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(
        northbound.nb,
        [(f"10.4.{20 + n // 250}.{n % 250}", f"10.253.{n // 250}.{n % 250}") for n in range(3 * BATCH + 1)],
    )
    ovn = northbound.observe()
    northbound.delete_leftovers(ovn.nat_rules[1:], ovn.policies)
    after = northbound.observe()
    assert after.nat_rules == ovn.nat_rules[:1]
    assert after.policies == ()


def test_nexthops_of_policies_change(site: Northbound) -> None:
    policies = site.observe().policies
    site.set_nexthops(policies[:1], "10.4.19.2")
    assert sorted(policy.nexthops for policy in site.observe().policies) == [("10.4.19.1",), ("10.4.19.2",)]
    with pytest.raises(GuardFailed):
        site.set_nexthops(policies, "10.4.19.3")


def test_clearing_leaves_nothing_of_the_external_side(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb)
    ovn = northbound.observe()
    northbound.clear_external(ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ovn.switch_ports, True, ovn.nat_rules)
    after = northbound.observe()
    assert (after.router_port, after.switch_uuid, after.switch_ports) == (None, None, ())
    assert after.router_uuid == ovn.router_uuid
    assert [row["name"] for row in northbound.nb.select("Logical_Router_Port", ["name"])] == ["ovn-cluster-join"]
    assert [row["name"] for row in northbound.nb.select("Gateway_Chassis", ["name"])] == ["other"]
    assert [row["name"] for row in northbound.nb.select("Logical_Switch_Port", ["name"])] == ["ovn-default-ovn-cluster"]


def test_clearing_one_patch_port_keeps_the_switch(ovsdb: OvsdbServer) -> None:
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb)
    ovn = northbound.observe()
    patch = [port for port in ovn.switch_ports if port.type == "router"]
    northbound.clear_external(ovn.router_uuid, ovn.router_port, ovn.switch_uuid, patch, False)
    after = northbound.observe()
    assert after.router_port is None
    assert [port.name for port in after.switch_ports] == ["localnet.external"]


def test_clearing_is_refused_when_an_eip_or_a_port_came_meanwhile(site: Northbound) -> None:
    ovn = site.observe()
    stale = ovn.nat_rules[:1]
    with pytest.raises(GuardFailed, match="Logical_Router changed"):
        site.clear_external(ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ovn.switch_ports, True, stale)
    with pytest.raises(GuardFailed, match="Logical_Switch changed"):
        site.clear_external(
            ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ovn.switch_ports[:1], True, ovn.nat_rules
        )
    assert site.observe() == ovn


def test_nothing_to_write_writes_nothing(site: Northbound) -> None:
    ovn = site.observe()
    site.set_priorities([])
    site.delete_gateway_chassis(port_of(ovn), [])
    site.delete_leftovers([], [])
    site.set_nexthops([], "10.4.19.2")
    site.clear_external(None, None, None, [], True)
    assert site.observe() == ovn
