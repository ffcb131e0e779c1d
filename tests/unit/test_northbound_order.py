# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of what is read of OVN: the same for each database and for each way to read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from support.ovn_site import GATEWAY, add_rule, add_to_router, clients, fill_northbound, insert
from support.ovsdb import OvsdbServer

Make = Callable[..., Any]


def test_rows_come_in_an_order_of_ours_and_the_server_need_not_sort(ovsdb: OvsdbServer, make_relay: Make) -> None:
    """Each row's identity, by which a server that does not sort has them, is another one in every database."""
    northbound = Northbound(*clients(make_relay(ovsdb.tcp).tcp))
    eips = [(f"10.4.19.{number}", f"10.253.0.{number}") for number in range(100, 140)]
    fill_northbound(northbound.nb, eips)
    for number in range(100, 120):
        add_rule(
            northbound.nb, "vpc1", {"type": "snat", "external_ip": f"10.4.19.{number}", "logical_ip": "10.9.0.0/16"}
        )
        route = {"ip_prefix": f"10.253.0.{number}", "nexthop": GATEWAY, "policy": "src-ip"}
        add_to_router(
            northbound.nb, "ovn-cluster", "static_routes", insert("Logical_Router_Static_Route", route, "new")
        )
    seen = northbound.observe()
    assert [(rule.external_ip, rule.logical_ip) for rule in seen.nat_rules] == eips
    assert [policy.match for policy in seen.policies] == [f"ip4.src == {logical}" for _external, logical in eips]
    assert [route.ip_prefix for route in seen.routes] == [logical for _external, logical in eips[:20]]
    for told in (seen, northbound.observe(identities=False)):
        found = [rule.external_ip for rule in told.foreign_rules]
        assert (len(found), found) == (21, sorted(found))
