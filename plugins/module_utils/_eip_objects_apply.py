# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs in custom VPCs: reading the objects and the VPCs' routers, and doing a plan's steps.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    IPS,
    OVN_EIPS,
    SUBNETS,
    VPCS,
    Cluster,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    CREATE,
    CREATE_ADDRESS,
    DELETE,
    DELETE_ADDRESS,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    DNATS,
    EIPS,
    FIPS,
    SNATS,
    Balancer,
    Object,
    Objects,
    RouterView,
    by_name,
    eip_view,
    ip_view,
    rule_view,
    subnet_view,
    vpc_view,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Ovn, PodView, Step
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import Client, Row, many, one
from ansible_collections.kubeovn.core.plugins.module_utils._rows import nat_rule

RULE_RESOURCES = {name: Resource("kubeovn.io", "v1", name, False) for name in (FIPS, SNATS, DNATS)}
RESOURCES: Mapping[str, Resource] = {EIPS: OVN_EIPS, **RULE_RESOURCES}
LISTS = (*RESOURCES.values(), IPS, SUBNETS, VPCS)  # what has to be listed, each once for the whole task

ROUTER_COLUMNS = ("name", "nat", "ports", "load_balancer")
NAT_COLUMNS = ("_uuid", "type", "external_ip", "logical_ip", "logical_port", "external_mac", "options")


# --- observe --------------------------------------------------------------------------------------------------------


def objects_seen(
    listed: Mapping[Resource, Sequence[Object]],
    routers: Mapping[str, RouterView] | None,
    ovn: Ovn | None,
    holders: Mapping[Holder, Sequence[PodView]],
    distributed: bool,
) -> Objects:
    """All that was listed, as records.

    ovn: read after the lists; None when it was not. holders: with their live pods, the one that works now first.
    """
    pods = [pod for group in holders.values() for pod in group]
    rules = [rule_view(name, item) for name, resource in RULE_RESOURCES.items() for item in listed[resource]]
    return Objects(
        eips=tuple(eip_view(item) for item in listed[OVN_EIPS]),
        rules=tuple(rules),
        ips=by_name(ip_view(item) for item in listed[IPS]),
        subnets={item["metadata"]["name"]: subnet_view(item) for item in listed[SUBNETS]},
        vpcs={item["metadata"]["name"]: vpc_view(item) for item in listed[VPCS]},
        routers=routers,
        bound={pod.logical_port: ovn.bound_ports.get(pod.logical_port) for pod in pods} if ovn else None,
        external_nodes=frozenset(row.hostname for row in ovn.chassis if row.bridge_mappings) if ovn else None,
        ports={holder: group[0].logical_port for holder, group in holders.items() if group},
        distributed=distributed,
    )


def read_routers(nb: Client) -> dict[str, RouterView]:
    """Every VPC's router with its NAT rows, load balancers and gateway ports: one transaction."""
    routers, nats, balancers, ports = nb.select_many(
        [
            ("Logical_Router", ROUTER_COLUMNS, ()),
            ("NAT", NAT_COLUMNS, ()),
            ("Load_Balancer", ("_uuid", "name", "protocol", "vips"), ()),
            ("Logical_Router_Port", ("_uuid", "name", "gateway_chassis"), ()),
        ]
    )
    rules = {row["_uuid"]: nat_rule(row) for row in nats}
    shared = {row["_uuid"]: _balancers(row) for row in balancers}
    gateways = {row["_uuid"]: row["name"] for row in ports if many(row["gateway_chassis"])}
    return {
        router["name"]: RouterView(
            rules=tuple(rules[key] for key in many(router["nat"]) if key in rules),
            balancers=tuple(item for key in many(router["load_balancer"]) for item in shared.get(key, ())),
            gateways=frozenset(gateways[key] for key in many(router["ports"]) if key in gateways),
        )
        for router in routers
    }


def _balancers(row: Row) -> list[Balancer]:
    protocol = one(row["protocol"]) or "tcp"
    return [Balancer(row["name"], protocol, vip, backends) for vip, backends in row["vips"].items()]


# --- apply ----------------------------------------------------------------------------------------------------------


def object_call(step: Step, cluster: Cluster) -> Callable[[], Any]:
    """What does a step. Status 404 or 409: the object is gone, or another one bears its name; look again."""
    resource, name, body = RESOURCES[step.data["resource"]], step.data["name"], step.data["body"]
    if step.action in (CREATE, CREATE_ADDRESS):
        return partial(cluster.create, resource, None, body)
    if step.action in (DELETE, DELETE_ADDRESS):
        return partial(cluster.delete, resource, None, name, step.data["version"], step.data["uid"])
    return partial(cluster.merge_patch, resource, None, name, body)


def object_right(step: Step) -> tuple[str, Resource, str | None]:
    """The right that a step needs."""
    verbs = {CREATE: "create", CREATE_ADDRESS: "create", DELETE: "delete", DELETE_ADDRESS: "delete"}
    return (verbs.get(step.action, "patch"), RESOURCES[step.data["resource"]], None)
