# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a site as Kube-OVN and ovn-controller write them, put into real databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import Ovn, RouterPort
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    SB_DATABASE,
    Client,
    Operation,
    connect,
    named_uuid,
    to_map,
    to_set,
)

NODES = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
CHASSIS = ("c-001", "c-002", "c-003")
MAC, NETWORK, GATEWAY = "16:52:f3:13:6a:25", "10.4.19.254/24", "10.4.19.1"
EIPS = (("10.4.19.101", "10.253.0.11"), ("10.4.19.102", "10.253.0.12"))


def insert(table: str, row: dict[str, Any], name: str = "") -> Operation:
    operation: Operation = {"op": "insert", "table": table, "row": row}
    return operation | {"uuid-name": name} if name else operation


def refs(names: Sequence[str]) -> list[Any]:
    return to_set([named_uuid(name) for name in names])


def fill_northbound(nb: Client, eips: Sequence[tuple[str, str]] = (), extra_ports: Sequence[str] = ()) -> None:
    """The default VPC with its gateway, another VPC with a NAT row of its own, and EIPs as (external, logical)."""
    operations = [
        insert(
            "Gateway_Chassis",
            {"name": f"ovn-cluster-external-{chassis}", "chassis_name": chassis, "priority": 100 - index},
            f"gw{index}",
        )
        for index, chassis in enumerate(CHASSIS)
    ]
    lrp = {
        "name": "ovn-cluster-external",
        "mac": MAC,
        "networks": NETWORK,
        "gateway_chassis": refs(["gw0", "gw1", "gw2"]),
    }
    operations.append(insert("Logical_Router_Port", lrp, "lrp"))
    # The join subnet's port, with a gateway chassis of somebody else.
    operations.append(insert("Gateway_Chassis", {"name": "other", "chassis_name": "x", "priority": 7}, "gwx"))
    join = {"name": "ovn-cluster-join", "mac": MAC, "networks": "100.64.0.1/17", "gateway_chassis": refs(["gwx"])}
    operations.append(insert("Logical_Router_Port", join, "join"))
    for index, (external, logical) in enumerate(eips):
        row = {"type": "dnat_and_snat", "external_ip": external, "logical_ip": logical}
        operations.append(insert("NAT", row, f"nat{index}"))
        policy = {
            "priority": 29250,
            "match": f"ip4.src == {logical}",
            "action": "reroute",
            "nexthops": GATEWAY,
        }
        operations.append(insert("Logical_Router_Policy", policy, f"policy{index}"))
    plain = {"priority": 31000, "match": "ip4.dst == 10.253.0.0/16", "action": "allow"}
    operations.append(insert("Logical_Router_Policy", plain, "plain"))
    router = {
        "name": "ovn-cluster",
        "ports": refs(["lrp", "join"]),
        "nat": refs([f"nat{index}" for index in range(len(eips))]),
        "policies": refs(["plain", *(f"policy{index}" for index in range(len(eips)))]),
    }
    operations.append(insert("Logical_Router", router))
    stranger = {"type": "snat", "external_ip": "10.4.19.200", "logical_ip": "10.0.0.0/8"}
    policy = {"priority": 29250, "match": "ip4.src == 1.1.1.1", "action": "allow"}
    operations.append(insert("NAT", stranger, "stranger"))
    operations.append(insert("Logical_Router_Policy", policy, "strange"))
    operations.append(
        insert("Logical_Router", {"name": "vpc1", "nat": refs(["stranger"]), "policies": refs(["strange"])})
    )
    operations += _external_switch(extra_ports)
    nb.transact(operations)


def _external_switch(extra_ports: Sequence[str]) -> list[Operation]:
    localnet = {
        "name": "localnet.external",
        "type": "localnet",
        "addresses": "unknown",
        "options": to_map({"network_name": "external"}),
    }
    router = {
        "name": "external-ovn-cluster",
        "type": "router",
        "addresses": "router",
        "options": to_map({"router-port": "ovn-cluster-external"}),
    }
    ports = [insert("Logical_Switch_Port", localnet, "ln"), insert("Logical_Switch_Port", router, "patch")]
    ports += [insert("Logical_Switch_Port", {"name": name}, f"extra{n}") for n, name in enumerate(extra_ports)]
    members = refs(["ln", "patch", *(f"extra{n}" for n in range(len(extra_ports)))])
    other = insert("Logical_Switch_Port", {"name": "ovn-default-ovn-cluster", "type": "router"}, "other")
    return [
        *ports,
        other,
        insert("Logical_Switch", {"name": "external", "ports": members}),
        insert("Logical_Switch", {"name": "ovn-default", "ports": refs(["other"])}),
    ]


def fill_southbound(sb: Client, active: int | None = 0, bound: dict[str, int] | None = None) -> None:
    """Three chassis; the one that holds the router port; ports bound to chassis, by the chassis' number."""
    operations: list[Operation] = [insert("Datapath_Binding", {"tunnel_key": 1}, "dp")]
    for index, chassis in enumerate(CHASSIS):
        encap = {"type": "geneve", "ip": f"10.4.17.1{index + 1}", "chassis_name": chassis}
        operations.append(insert("Encap", encap, f"encap{index}"))
        mappings = to_map({"ovn-bridge-mappings": "external:br-external, second:br-second", "is-remote": "false"})
        row = {"name": chassis, "hostname": NODES[index], "encaps": refs([f"encap{index}"]), "other_config": mappings}
        operations.append(insert("Chassis", row, f"chassis{index}"))
    for key, (port, holder) in enumerate([("cr-ovn-cluster-external", active), *(bound or {}).items()]):
        binding: dict[str, Any] = {"logical_port": port, "datapath": named_uuid("dp"), "tunnel_key": key + 1}
        if port.startswith("cr-"):
            binding["type"] = "chassisredirect"
        if holder is not None:
            binding["chassis"] = named_uuid(f"chassis{holder}")
        operations.append(insert("Port_Binding", binding))
    sb.transact(operations)


def add_to_router(nb: Client, router: str, column: str, operation: Operation) -> None:
    """Insert a row that the operation names, and have a router own it."""
    join = {"op": "mutate", "table": "Logical_Router", "where": [["name", "==", router]]}
    mutations = [[column, "insert", to_set([named_uuid(str(operation["uuid-name"]))])]]
    nb.transact([operation, join | {"mutations": mutations}])


def add_rule(nb: Client, router: str, values: dict[str, Any]) -> None:
    """A NAT rule of a router."""
    add_to_router(nb, router, "nat", insert("NAT", values, "new"))


def clients(endpoint: str, timeout: float = 5) -> tuple[Client, Client]:
    """NB and SB behind one endpoint."""
    nb = connect(endpoint, NB_DATABASE, timeout, "nb_endpoint")
    return nb, connect(endpoint, SB_DATABASE, timeout, "sb_endpoint")


def standing(endpoint: str) -> Northbound:
    """A site with two EIPs, gateway 1 active."""
    northbound = Northbound(*clients(endpoint))
    fill_northbound(northbound.nb, EIPS)
    fill_southbound(northbound.sb, bound={"testing.default": 2, "unbound.default": 1})
    return northbound


def port_of(ovn: Ovn) -> RouterPort:
    """The router port, of a site that has one."""
    assert ovn.router_port is not None
    return ovn.router_port
