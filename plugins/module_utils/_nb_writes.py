# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few writes to NB that Kube-OVN never does.

Each is one transaction, guarded by the rows that it was planned from: when another run or the controller changed one of
them meanwhile, nothing is written and GuardFailed says so.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    DEFAULT_VPC,
    WARM_UP,
    GatewayChassis,
    HolderPort,
    NatRule,
    RoutePolicy,
    RouterPort,
    SourceRoute,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    Client,
    Operation,
    Row,
    guard,
    named_uuid,
    to_map,
    to_set,
    uuid,
)

BATCH = (
    100  # addresses dealt with in one transaction: by exec it is a command's argument, which may not grow without end
)


class Writes:
    """What is written to NB."""

    nb: Client

    def set_router_port(self, port: RouterPort, mac: str, networks: Sequence[str]) -> None:
        """Give the router port another MAC and address, both at once."""
        row = {"mac": mac, "networks": to_set(networks)}
        self.nb.transact([_port_guard(port), _update("Logical_Router_Port", port.uuid, row)])

    def set_priorities(self, priorities: Sequence[tuple[GatewayChassis, int]]) -> None:
        """Give gateway chassis other priorities, all at once: no moment has a half-new order."""
        if not priorities:
            return
        operations = [_gateway_guard(gateway) for gateway, _priority in priorities]
        operations += [
            _update("Gateway_Chassis", gateway.uuid, {"priority": priority}) for gateway, priority in priorities
        ]
        self.nb.transact(operations)

    def delete_gateway_chassis(self, port: RouterPort, gateways: Sequence[GatewayChassis]) -> None:
        """Take gateway chassis from the router port. A row that nothing refers to is gone."""
        if not gateways:
            return
        operations = [_gateway_guard(gateway) for gateway in gateways]
        members = [gateway.uuid for gateway in gateways]
        operations.append(_remove("Logical_Router_Port", port.uuid, "gateway_chassis", members))
        self.nb.transact(operations)

    def delete_leftovers(
        self, rules: Sequence[NatRule], policies: Sequence[RoutePolicy], routes: Sequence[SourceRoute] = ()
    ) -> None:
        """Delete NAT rows, policies and routes of the default VPC's router, each only if it is still what was seen.

        All that goes for one overlay address goes in one transaction, so that a run killed between leaves no half.
        """
        for portion in _batches(rules, policies, routes):
            operations = [_nat_guard(rule) for rule in portion.rules]
            operations += [_policy_guard(policy) for policy in portion.policies]
            operations += [_route_guard(route) for route in portion.routes]
            operations += _remove_from_router("nat", portion.rules)
            operations += _remove_from_router("policies", portion.policies)
            operations += _remove_from_router("static_routes", portion.routes)
            self.nb.transact(operations)

    def set_nexthops(self, policies: Sequence[RoutePolicy], nexthop: str) -> None:
        """Send the packets of these policies to another next hop, a batch at once."""
        row = {"nexthops": to_set([nexthop])}
        for start in range(0, len(policies), BATCH):
            some = policies[start : start + BATCH]
            operations = [_policy_guard(policy, nexthops=True) for policy in some]
            operations += [_update("Logical_Router_Policy", policy.uuid, row) for policy in some]
            self.nb.transact(operations)

    def clear_external(
        self,
        router_uuid: str | None,
        port: RouterPort | None,
        switch_uuid: str | None,
        switch_ports: Sequence[SwitchPort],
        delete_switch: bool,
        nat_rules: Sequence[NatRule] | None = None,
    ) -> None:
        """Take the router port (with its gateway chassis) from the router and these ports from switch `external`.

        delete_switch: the whole switch, refused when it has other ports than these by now.
        nat_rules: all that the router had; refused when an EIP came or went since.
        """
        guards, writes = [], []
        if nat_rules is not None and router_uuid is not None:
            nats = to_set(uuid(rule.uuid) for rule in nat_rules)
            guards.append(guard("Logical_Router", router_uuid, {"nat": nats}))
        if port is not None and router_uuid is not None:
            guards.append(_port_guard(port))
            writes.append(_remove("Logical_Router", router_uuid, "ports", [port.uuid]))
        members = [item.uuid for item in switch_ports]
        guards += [guard("Logical_Switch_Port", item.uuid, {"name": item.name}) for item in switch_ports]
        if switch_uuid is not None and delete_switch:
            guards.append(guard("Logical_Switch", switch_uuid, {"ports": to_set(uuid(key) for key in members)}))
            condition = [["_uuid", "==", uuid(switch_uuid)]]
            writes.append({"op": "delete", "table": "Logical_Switch", "where": condition})
        elif switch_uuid is not None and members:
            writes.append(_remove("Logical_Switch", switch_uuid, "ports", members))
        if writes:
            self.nb.transact([*guards, *writes])

    def add_gateway_chassis(self, port: RouterPort, added: Sequence[tuple[str, int]]) -> None:
        """Give the router port gateway chassis, as (chassis, priority), named as Kube-OVN names them.

        Names are unique: a row that has one of them, for another chassis, makes room.
        """
        names = {f"{port.name}-{chassis}" for chassis, _priority in added}
        taken = [row for row in port.gateway_chassis if row.name in names]
        operations: list[Operation] = [_port_guard(port), *(_gateway_guard(row) for row in taken)]
        if taken:
            operations.append(_remove("Logical_Router_Port", port.uuid, "gateway_chassis", (row.uuid for row in taken)))
        for index, (chassis, priority) in enumerate(added):
            row = {"name": f"{port.name}-{chassis}", "chassis_name": chassis, "priority": priority}
            operations.append({"op": "insert", "table": "Gateway_Chassis", "row": row, "uuid-name": f"row{index}"})
        members = to_set(named_uuid(f"row{index}") for index in range(len(added)))
        mutation = {"mutations": [["gateway_chassis", "insert", members]]}
        where = [["_uuid", "==", uuid(port.uuid)]]
        operations.append({"op": "mutate", "table": "Logical_Router_Port", "where": where, **mutation})
        self.nb.transact(operations)

    def warm_up(self, chassis: Sequence[str]) -> None:
        """Have OVN watch the tunnels between these chassis, by a router of no use that has them as its gateways."""
        rows = [
            {
                "op": "insert",
                "table": "Gateway_Chassis",
                "row": {"name": f"{WARM_UP}-{name}", "chassis_name": name, "priority": 100 - index},
                "uuid-name": f"row{index}",
            }
            for index, name in enumerate(chassis)
        ]
        # An address of TEST-NET-1 (RFC 5737), which nobody routes to.
        port: Row = {"name": WARM_UP, "mac": "02:00:00:00:00:01", "networks": "192.0.2.1/32"}
        port |= {"gateway_chassis": to_set(named_uuid(f"row{index}") for index in range(len(rows)))}
        router = {"name": WARM_UP, "ports": to_set([named_uuid("port")])}
        self.nb.transact(
            [
                *rows,
                {"op": "insert", "table": "Logical_Router_Port", "row": port, "uuid-name": "port"},
                {"op": "insert", "table": "Logical_Router", "row": router},
            ]
        )

    def cool_down(self) -> None:
        """Take that router away again."""
        self.nb.transact([{"op": "delete", "table": "Logical_Router", "where": [["name", "==", WARM_UP]]}])

    def set_localnet(self, port: SwitchPort, network: str, tag: int | None) -> None:
        """Tie a localnet port to another physical network. tag: its VLAN; None leaves that as it is."""
        row: Row = {"options": to_map({**port.options, "network_name": network})}
        if tag is not None:
            row["tag"] = to_set([tag] if tag else [])
        guards = guard("Logical_Switch_Port", port.uuid, {"name": port.name, "options": to_map(port.options)})
        self.nb.transact([guards, _update("Logical_Switch_Port", port.uuid, row)])

    def mend_ports(self, router_port: RouterPort | None, switch_ports: Sequence[tuple[SwitchPort, str]]) -> None:
        """Have ports in service again, as Kube-OVN makes them: the router port, and the switch's with their address."""
        guards, writes = [], []
        enabled = to_set(())  # Kube-OVN says nothing, which is as good as true
        if router_port is not None:
            guards.append(_port_guard(router_port))
            writes.append(_update("Logical_Router_Port", router_port.uuid, {"enabled": enabled}))
        for port, address in switch_ports:
            row = {"name": port.name, "type": port.type, "addresses": to_set(port.addresses)}
            guards.append(guard("Logical_Switch_Port", port.uuid, row))
            row = {"addresses": to_set([address]), "enabled": enabled}
            writes.append(_update("Logical_Switch_Port", port.uuid, row))
        if writes:
            self.nb.transact([*guards, *writes])

    def set_distribution(self, rules: Sequence[tuple[NatRule, HolderPort | None]]) -> None:
        """Have NAT done on the holder's own node (with its port), or (None) on the active gateway, a batch at once."""
        for start in range(0, len(rules), BATCH):
            some = rules[start : start + BATCH]
            operations = [_nat_guard(rule) for rule, _port in some]
            for rule, port in some:
                operations += _distribution(rule, port)
            self.nb.transact(operations)

    def set_options(self, values: Mapping[str, str | None]) -> None:
        """Set, or (None) take away, options of NB_Global."""
        new = {key: value for key, value in values.items() if value is not None}
        mutations: list[list[Any]] = [["options", "delete", to_set(list(values))]]
        mutations += [["options", "insert", to_map(new)]] if new else []
        self.nb.transact([{"op": "mutate", "table": "NB_Global", "where": [], "mutations": mutations}])


# --- operations -------------------------------------------------------------------------------------------------


def _port_guard(port: RouterPort) -> Operation:
    row = {"name": port.name, "mac": port.mac, "networks": to_set(port.networks)}
    return guard("Logical_Router_Port", port.uuid, row)


def _gateway_guard(gateway: GatewayChassis) -> Operation:
    row = {"chassis_name": gateway.chassis, "priority": gateway.priority}
    return guard("Gateway_Chassis", gateway.uuid, row)


def _nat_guard(rule: NatRule) -> Operation:
    row = {"type": rule.type, "external_ip": rule.external_ip, "logical_ip": rule.logical_ip}
    return guard("NAT", rule.uuid, row)


def _policy_guard(policy: RoutePolicy, nexthops: bool = False) -> Operation:
    row: Row = {"priority": policy.priority, "match": policy.match, "action": policy.action}
    if nexthops:
        row["nexthops"] = to_set(policy.nexthops)
    return guard("Logical_Router_Policy", policy.uuid, row)


def _route_guard(route: SourceRoute) -> Operation:
    return guard("Logical_Router_Static_Route", route.uuid, {"ip_prefix": route.ip_prefix, "nexthop": route.nexthop})


def _distribution(rule: NatRule, port: HolderPort | None) -> list[Operation]:
    """As Kube-OVN makes a NAT row that is distributed, and one that is not."""
    row = {"logical_port": to_set([port.name] if port else []), "external_mac": to_set([port.mac] if port else [])}
    mutations = [["options", "delete", to_set(["stateless"])]]
    mutations += [["options", "insert", to_map({"stateless": "true"})]] if port else []
    where = [["_uuid", "==", uuid(rule.uuid)]]
    change: Operation = {"op": "mutate", "table": "NAT", "where": where, "mutations": mutations}
    return [_update("NAT", rule.uuid, row), change]


def _update(table: str, row_uuid: str, row: Mapping[str, Any]) -> Operation:
    return {"op": "update", "table": table, "where": [["_uuid", "==", uuid(row_uuid)]], "row": dict(row)}


def _remove(table: str, row_uuid: str, column: str, members: Iterable[str]) -> Operation:
    """Take members out of a row's set of references. A row that nothing refers to any more is gone."""
    mutation = [column, "delete", to_set(uuid(member) for member in members)]
    return {"op": "mutate", "table": table, "where": [["_uuid", "==", uuid(row_uuid)]], "mutations": [mutation]}


def _remove_from_router(column: str, rows: Sequence[NatRule | RoutePolicy | SourceRoute]) -> list[Operation]:
    mutation = [column, "delete", to_set(uuid(row.uuid) for row in rows)]
    condition = ["name", "==", DEFAULT_VPC]
    operation = {"op": "mutate", "table": "Logical_Router", "where": [condition], "mutations": [mutation]}
    return [operation] if rows else []


@dataclass
class _Portion:
    """What goes in one transaction."""

    rules: list[NatRule] = field(default_factory=list)
    policies: list[RoutePolicy] = field(default_factory=list)
    routes: list[SourceRoute] = field(default_factory=list)


def _batches(
    rules: Sequence[NatRule], policies: Sequence[RoutePolicy], routes: Sequence[SourceRoute]
) -> Iterable[_Portion]:
    """Portions of at most BATCH overlay addresses, each with all that is to go for them."""
    places: dict[str, int] = {}
    portions: dict[int, _Portion] = defaultdict(_Portion)

    def portion_of(address: str) -> _Portion:
        return portions[places.setdefault(address, len(places)) // BATCH]

    for rule in rules:
        portion_of(rule.logical_ip).rules.append(rule)
    for policy in policies:
        portion_of(policy.match.rpartition(" ")[2]).policies.append(policy)
    for route in routes:
        portion_of(route.ip_prefix.partition("/")[0]).routes.append(route)
    return portions.values()
