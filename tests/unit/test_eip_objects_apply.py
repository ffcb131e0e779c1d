# SPDX-License-Identifier: GPL-3.0-or-later
"""EIPs in custom VPCs: what is read of OVN, in a real database, and which request each step becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    IPS,
    OVN_EIPS,
    SUBNETS,
    VPCS,
    Cluster,
    ClusterError,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Hands
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import (
    LISTS,
    RULE_RESOURCES,
    object_call,
    object_right,
    objects_seen,
    read_routers,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Balancer, RouterView
from ansible_collections.kubeovn.core.plugins.module_utils._model import Chassis, Holder, Ovn, PodView, Step
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import to_map
from support.ovn_site import clients, insert, refs
from support.ovsdb import OvsdbServer

SHOP = Holder("VirtualMachine", "shop", "web")


def test_routers_are_read_each_with_its_own(ovsdb: OvsdbServer) -> None:
    nb, _sb = clients(ovsdb.tcp)
    address = {"external_ip": "10.4.19.101", "logical_ip": "10.9.0.2"}
    chassis = {"name": "gateway", "chassis_name": "one", "priority": 1}
    port = {"mac": "00:00:00:00:00:01", "networks": "10.4.19.201/24"}
    nb.transact(
        [
            insert("Gateway_Chassis", chassis, "chassis"),
            insert(
                "Logical_Router_Port", port | {"name": "shop-external", "gateway_chassis": refs(["chassis"])}, "out"
            ),
            insert("Logical_Router_Port", port | {"name": "shop-inside"}, "inside"),
            insert("NAT", address | {"type": "dnat_and_snat"}, "nat"),
            insert("Load_Balancer", {"name": "lb", "vips": to_map({"10.4.19.102:80": "10.9.0.2:8080"})}, "lb"),
            insert(
                "Logical_Router",
                {
                    "name": "shop",
                    "nat": refs(["nat"]),
                    "ports": refs(["out", "inside"]),
                    "load_balancer": refs(["lb"]),
                },
            ),
            insert("Logical_Router", {"name": "empty"}),
        ]
    )
    routers = read_routers(nb)
    assert routers["empty"] == RouterView()
    assert [(rule.external_ip, rule.logical_ip) for rule in routers["shop"].rules] == [("10.4.19.101", "10.9.0.2")]
    assert routers["shop"].balancers == (Balancer("lb", "tcp", "10.4.19.102:80", "10.9.0.2:8080"),)
    assert routers["shop"].gateways == {"shop-external"}


def test_all_that_is_listed_comes_together() -> None:
    listed: dict[Any, list[dict[str, Any]]] = {resource: [] for resource in LISTS}
    listed[OVN_EIPS] = [{"metadata": {"name": "e"}, "spec": {"v4Ip": "10.4.19.101"}}]
    listed[IPS] = [{"metadata": {"name": "launcher.shop"}, "spec": {"subnet": "net", "v4IpAddress": "10.9.0.2"}}]
    listed[SUBNETS] = [{"metadata": {"name": "net"}, "spec": {"vpc": "shop", "cidrBlock": "10.9.0.0/16"}}]
    listed[VPCS] = [{"metadata": {"name": "shop"}, "spec": {"staticRoutes": [{"cidr": "0.0.0.0/0"}]}}]
    listed[RULE_RESOURCES["ovn-fips"]] = [{"metadata": {"name": "f"}, "spec": {"ovnEip": "e"}}]
    chassis = (Chassis("1", "one", "gateway", (), {"external": "br"}), Chassis("2", "two", "worker", (), {}))
    ovn = Ovn(None, None, None, (), (), (), chassis, None, {"launcher.shop": "two"})
    pod = PodView("shop", "launcher", "uid", "worker", "Running", "10.9.0.2", None, True, "web", own_port=True)
    seen = objects_seen(listed, {}, ovn, {SHOP: [pod]}, distributed=False)
    assert seen.vpc_of(SHOP) == "shop"
    assert seen.vpcs["shop"].default_route
    assert seen.bound == {"launcher.shop": "two"}
    assert seen.external_nodes == frozenset({"gateway"})
    (rule,) = seen.rules
    assert seen.address_of(rule) == "10.4.19.101"


class Recorder:
    """Takes note of the request that a step becomes."""

    def __getattr__(self, verb: str) -> Any:
        return lambda resource, namespace, name, *body: (verb, str(resource), namespace, name, *body)


@pytest.mark.parametrize(
    ("action", "verb", "last"),
    [
        ("create_address", "create", ({"body": 1},)),
        ("create_object", "create", ({"body": 1},)),
        ("delete_address", "delete", ("name", "7", "uid-1")),
        ("delete_object", "delete", ("name", "7", "uid-1")),
        ("remind_object", "merge_patch", ("name", {"body": 1})),
        ("free_object", "merge_patch", ("name", {"body": 1})),
        ("adopt_object", "merge_patch", ("name", {"body": 1})),
    ],
)
def test_each_step_becomes_one_request_and_needs_its_right(action: str, verb: str, last: tuple[Any, ...]) -> None:
    data = {"resource": "ovn-fips", "name": "name", "body": {"body": 1}, "uid": "uid-1", "version": "7"}
    step = Step(action, "", None, data)
    asked = object_call(step, cast(Cluster, Recorder()))()
    assert asked == (verb, "ovn-fips.kubeovn.io", None, *last)
    right, resource, namespace = object_right(step)
    assert (right, str(resource), namespace) == (verb.removeprefix("merge_"), "ovn-fips.kubeovn.io", None)


class Refusing(Recorder):
    """An API server in which every object has changed since it was read."""

    def together(self, calls: Sequence[Any]) -> list[ClusterError]:
        """As Cluster's."""
        return [ClusterError("the object has been modified", status=409) for _call in calls]


@pytest.mark.parametrize("action", ["delete_address", "delete_object"])
def test_a_deletion_refused_as_outdated_is_not_done_and_not_an_error(action: str) -> None:
    data = {"resource": "ovn-fips", "name": "name", "body": None, "uid": "u", "version": None, "path": "eips[0]"}
    step = Step(action, "", None, data)
    done = Hands(cast(Cluster, Refusing()), None, "claims").apply([step])
    assert (done.idle, done.refused, done.lost) == ([step], {}, [])
