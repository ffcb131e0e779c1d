# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovn_nat_info asks for: which kinds it lists, and how it reads NAT rows, of a real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import FEW_RULES, RECENT, named, observe
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from support.ovn_site import clients, fill_northbound, fill_southbound
from support.ovsdb import OvsdbServer
from support.relay import Relay

Make = Callable[..., Any]
Items = list[dict[str, Any]]
EIP, IP = "10.4.19.101", "10.253.0.11"
USERS = {"ovn-fips", "ovn-snat-rules", "ovn-dnat-rules"}


class Lists:
    """An API server's lists of objects, by their plural."""

    def __init__(self, *forbidden: str, **objects: Items) -> None:
        self.objects = {name.replace("_", "-"): items for name, items in objects.items()}
        self.forbidden = forbidden
        self.asked: list[str] = []

    def list(self, resource: Resource, *_scope: str, absent_ok: bool = False) -> Items:  # noqa: ARG002
        self.asked.append(resource.plural)
        if resource.plural in self.forbidden:
            raise ClusterError(f"list {resource.plural} is forbidden", 403)
        return self.objects.get(resource.plural, [])

    def get(self, resource: Resource, *_where: object) -> dict[str, Any] | None:
        """The gateway's ConfigMap, if there is one."""
        return next(iter(self.objects.get(resource.plural, [])), None)


def pod(name: str, ip: str, eip: str) -> dict[str, Any]:
    notes = {"ovn.kubernetes.io/ip_address": ip, "ovn.kubernetes.io/eip": eip, "ovn.kubernetes.io/routed": "true"}
    metadata = {"namespace": "default", "name": name, "uid": name, "annotations": notes}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}


def ovn_eip(name: str, address: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"v4Ip": address, "type": "nat"}}


@pytest.fixture
def northbound(ovsdb: OvsdbServer) -> Northbound:
    """A site with one NAT row, that is there twice."""
    northbound = Northbound(*clients(ovsdb.tcp))
    fill_northbound(northbound.nb, [(EIP, IP), (EIP, IP)])
    fill_southbound(northbound.sb)
    return northbound


def look(lists: Lists, northbound: Northbound) -> dict[str, Any]:
    return report(named(observe(cast(Cluster, lists), northbound, "kubeovn-core"), northbound))


def test_a_row_that_is_there_twice_is_found_and_named(northbound: Northbound) -> None:
    told = look(Lists(pods=[pod("web", IP, EIP)]), northbound)
    assert [rule["external_ip"] for rule in told["nat_rules"]] == [EIP, EIP]
    [finding] = [one for one in told["findings"] if one["code"] == "duplicate_external_address"]
    rows = {rule.uuid for rule in northbound.observe().nat_rules}
    assert finding["repair"].split()[-1] in rows
    assert "(2 times)" in finding["text"]


def test_of_very_many_rules_only_addresses_are_read(
    ovsdb: OvsdbServer, northbound: Northbound, make_relay: Make
) -> None:
    relay: Relay = make_relay(ovsdb.tcp)
    by_relay = Northbound(clients(relay.tcp)[0], northbound.sb)
    pods = [pod(f"web-{number}", f"10.254.{number >> 8}.{number & 255}", EIP) for number in range(FEW_RULES + 1)]
    seen = observe(cast(Cluster, Lists(pods=pods)), by_relay, "kubeovn-core")
    assert [(rule.external_ip, rule.uuid) for rule in seen.ovn.nat_rules] == [(EIP, "")]
    assert relay.sent.count(b'"table":"NAT"') == 3
    few = observe(cast(Cluster, Lists(pods=pods[:FEW_RULES])), by_relay, "kubeovn-core")
    assert len({rule.uuid for rule in few.ovn.nat_rules}) == 2
    assert relay.sent.count(b'"table":"NAT"') == 4
    assert named(few, by_relay) is few, "all rows have names already"


def test_what_uses_ovn_eips_is_listed_where_there_are_any_and_each_kind_once(northbound: Northbound) -> None:
    lists = Lists()
    look(lists, northbound)
    assert not USERS & set(lists.asked)
    lists = Lists(ovn_eips=[ovn_eip("one", "10.4.19.211")])
    look(lists, northbound)
    assert set(lists.asked) >= USERS
    assert set(Counter(lists.asked).values()) == {1}
    # Who holds a rule is looked at after the rule.
    assert lists.asked.index("ovn-fips") < min(lists.asked.index(kind) for kind in ("pods", "virtualmachines", "ips"))


CONFIG = {"data": {"external-gw-addr": "10.4.19.1/24"}}


@pytest.mark.parametrize(("seconds", "expected"), [(RECENT - 50, set()), (RECENT + 5, {"eip_pending"})])
def test_a_pod_that_asks_for_longer_than_a_while_is_told(
    northbound: Northbound, seconds: int, expected: set[str]
) -> None:
    asking = pod("web", "10.253.0.12", "10.4.19.102")
    del asking["metadata"]["annotations"]["ovn.kubernetes.io/routed"]
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    asking["metadata"]["creationTimestamp"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    told = look(Lists(pods=[asking], configmaps=[CONFIG]), northbound)["findings"]
    assert {one["code"] for one in told if one["code"].startswith("eip_")} == expected


@pytest.mark.parametrize(("name", "expected"), [("ovn-cluster", {"config_ignored"}), ("shop", set())])
def test_what_puts_the_config_map_out_of_use_is_read_of_the_default_vpc(
    northbound: Northbound, name: str, expected: set[str]
) -> None:
    vpc = {"metadata": {"name": name}, "spec": {"extraExternalSubnets": ["a"]}}
    told = look(Lists(vpcs=[vpc], configmaps=[CONFIG]), northbound)["findings"]
    assert {one["code"] for one in told if one["code"] == "config_ignored"} == expected


def test_an_object_whose_holder_is_gone_is_told(northbound: Northbound) -> None:
    label = {"app.kubernetes.io/managed-by": "kubeovn.core"}
    note = {"kubeovn.core/holder": "Pod shop/web"}
    fip = {"metadata": {"name": "one", "labels": label, "annotations": note}, "spec": {"ovnEip": "one"}}
    lists = Lists(ovn_eips=[ovn_eip("one", "10.4.19.211")], ovn_fips=[fip])
    found = [one for one in look(lists, northbound)["findings"] if one["code"] == "stale_object"]
    assert [(one["address"], one["holder"]["name"]) for one in found] == [("10.4.19.211", "web")]
    note["kubeovn.core/holder"] = "Pod default/web"
    lists.objects["pods"] = [pod("web", IP, EIP)]
    assert "stale_object" not in {one["code"] for one in look(lists, northbound)["findings"]}


@pytest.mark.parametrize("kind", sorted(USERS))
def test_a_kind_that_may_not_be_listed_is_named_and_the_rest_is_judged(northbound: Northbound, kind: str) -> None:
    mine = {"labels": {"app.kubernetes.io/managed-by": "kubeovn.core"}}
    eips = [ovn_eip("one", "10.4.19.211", **mine)]
    codes = {one["code"] for one in look(Lists(ovn_eips=eips), northbound)["findings"]}
    assert "unexplained_object" in codes
    told = look(Lists(kind, ovn_eips=eips), northbound)
    assert told["unjudged"] == [f"{kind}: what is wrong with EIPs that objects make"]
    assert {one["code"] for one in told["findings"]} == codes - {"unexplained_object"}
