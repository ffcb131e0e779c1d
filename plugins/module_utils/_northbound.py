# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OVN's northbound and southbound rows as typed records, and the few writes that Kube-OVN never does.

Each write is one transaction, guarded by the rows that it was planned from: when another run or the controller
changed one of them meanwhile, nothing is written and GuardFailed says so.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import PODS, Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CHASSISREDIRECT_PORT,
    DEFAULT_VPC,
    EXTERNAL_SWITCH,
    REROUTE_PRIORITY,
    ROUTER_PORT,
    Chassis,
    GatewayChassis,
    NatRule,
    Ovn,
    RoutePolicy,
    RouterPort,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    SB_DATABASE,
    Client,
    ExecTransport,
    Operation,
    OvsdbError,
    Query,
    Row,
    Unreachable,
    connect,
    guard,
    many,
    one,
    to_set,
    uuid,
)

CENTRAL_NAMESPACE = "kube-system"
CENTRAL_CONTAINER = "ovn-central"
LEADER_LABELS = {NB_DATABASE: "ovn-nb-leader=true", SB_DATABASE: "ovn-sb-leader=true"}

FEW_PORTS = 16  # up to so many ports are asked for one by one; above, all bindings are read at once
BATCH = (
    100  # addresses dealt with in one transaction: by exec it is a command's argument, which may not grow without end
)

NAT_COLUMNS = ("_uuid", "type", "external_ip", "logical_ip", "logical_port", "external_mac")
POLICY_COLUMNS = ("_uuid", "priority", "match", "action", "nexthop", "nexthops")
PORT_COLUMNS = ("_uuid", "name", "type", "addresses", "options", "up")


class Northbound:
    """OVN's two databases. It reads both, and writes only NB."""

    def __init__(self, nb: Client, sb: Client) -> None:
        self.nb = nb
        self.sb = sb

    def close(self) -> None:
        """Close both connections."""
        self.nb.close()
        self.sb.close()

    # --- reading ---

    def observe(self, ports: Collection[str] = ()) -> Ovn:
        """What concerns the external gateway: one transaction per database. `ports`: whose chassis is wanted, too."""
        routers, router_ports, gateways, nats, policies, switches, switch_ports = self.nb.select_many(
            [
                ("Logical_Router", ("_uuid", "nat", "policies"), [("name", "==", DEFAULT_VPC)]),
                ("Logical_Router_Port", ("_uuid", "mac", "networks", "gateway_chassis"), [("name", "==", ROUTER_PORT)]),
                ("Gateway_Chassis", ("_uuid", "name", "chassis_name", "priority"), ()),
                ("NAT", NAT_COLUMNS, ()),
                ("Logical_Router_Policy", POLICY_COLUMNS, [("priority", "==", REROUTE_PRIORITY)]),
                ("Logical_Switch", ("_uuid", "ports"), [("name", "==", EXTERNAL_SWITCH)]),
                # All ports of pods have no type: leaving them out keeps the read small on big clusters.
                ("Logical_Switch_Port", PORT_COLUMNS, [("type", "!=", "")]),
            ]
        )
        own_nats = {key for router in routers for key in many(router["nat"])}
        own_policies = {key for router in routers for key in many(router["policies"])}
        members = {key for switch in switches for key in many(switch["ports"])}
        chassis, active, bound = self._southbound(ports)
        return Ovn(
            router_uuid=routers[0]["_uuid"] if routers else None,
            router_port=_router_port(router_ports[0], gateways) if router_ports else None,
            switch_uuid=switches[0]["_uuid"] if switches else None,
            switch_ports=self._switch_ports(members, switch_ports),
            nat_rules=tuple(_nat_rule(row) for row in nats if row["_uuid"] in own_nats),
            policies=tuple(_policy(row) for row in policies if row["_uuid"] in own_policies),
            chassis=chassis,
            active_chassis=active,
            bound_ports=bound,
        )

    def _switch_ports(self, members: Collection[str], typed: Sequence[Row]) -> tuple[SwitchPort, ...]:
        rows = [row for row in typed if row["_uuid"] in members]
        missing = sorted(set(members) - {row["_uuid"] for row in rows})
        if missing:  # plain ports on the external switch: unusual, so they are worth a second read
            queries: list[Query] = [
                ("Logical_Switch_Port", PORT_COLUMNS, [("_uuid", "==", uuid(key))]) for key in missing
            ]
            rows += [row for answer in self.nb.select_many(queries) for row in answer]
        return tuple(sorted((_switch_port(row) for row in rows), key=lambda port: port.name))

    def _southbound(self, ports: Collection[str]) -> tuple[tuple[Chassis, ...], str | None, dict[str, str]]:
        binding = ("logical_port", "chassis")
        wanted = sorted(set(ports))
        queries: list[Query] = [
            ("Chassis", ("_uuid", "name", "hostname", "encaps", "other_config", "external_ids"), ()),
            ("Encap", ("_uuid", "ip"), ()),
            ("Port_Binding", binding, [("logical_port", "==", CHASSISREDIRECT_PORT)]),
        ]
        if len(wanted) <= FEW_PORTS:
            queries += [("Port_Binding", binding, [("logical_port", "==", port)]) for port in wanted]
        else:
            queries.append(("Port_Binding", binding, [("type", "==", "")]))
        rows, encaps, redirect, *bindings = self.sb.select_many(queries)
        addresses = {row["_uuid"]: row["ip"] for row in encaps}
        names = {row["_uuid"]: row["name"] for row in rows}
        bound = {row["logical_port"]: names.get(one(row["chassis"])) for answer in bindings for row in answer}
        active = names.get(one(redirect[0]["chassis"])) if redirect else None
        chassis = tuple(sorted((_chassis(row, addresses) for row in rows), key=lambda item: item.name))
        return chassis, active, {port: name for port in wanted if (name := bound.get(port)) is not None}

    # --- writing ---

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

    def delete_leftovers(self, rules: Sequence[NatRule], policies: Sequence[RoutePolicy]) -> None:
        """Delete NAT rows and routing policies of the default VPC's router, each only if it is still what was seen.

        A row and the policy of its overlay address go in one transaction, so that a run killed between leaves no half.
        """
        for some_rules, some_policies in _batches(rules, policies):
            operations = [_nat_guard(rule) for rule in some_rules]
            operations += [_policy_guard(policy) for policy in some_policies]
            operations += _remove_from_router("nat", some_rules) + _remove_from_router("policies", some_policies)
            self.nb.transact(operations)

    def set_nexthops(self, policies: Sequence[RoutePolicy], nexthop: str) -> None:
        """Send the packets of these policies to another next hop, all at once."""
        operations = [_policy_guard(policy, nexthops=True) for policy in policies]
        row = {"nexthops": to_set([nexthop])}
        operations += [_update("Logical_Router_Policy", policy.uuid, row) for policy in policies]
        if operations:
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


# --- rows as records --------------------------------------------------------------------------------------------


def _router_port(row: Row, gateways: Sequence[Row]) -> RouterPort:
    own = set(many(row["gateway_chassis"]))
    chassis = [
        GatewayChassis(gateway["_uuid"], gateway["name"], gateway["chassis_name"], gateway["priority"])
        for gateway in gateways
        if gateway["_uuid"] in own
    ]
    ordered = tuple(sorted(chassis, key=lambda item: (-item.priority, item.name)))
    return RouterPort(row["_uuid"], ROUTER_PORT, row["mac"], tuple(sorted(many(row["networks"]))), ordered)


def _nat_rule(row: Row) -> NatRule:
    port, mac = one(row["logical_port"]), one(row["external_mac"])
    return NatRule(row["_uuid"], row["type"], row["external_ip"], row["logical_ip"], port, mac)


def _policy(row: Row) -> RoutePolicy:
    # `nexthop` is the older column; `nexthops` may be missing altogether in an old schema.
    nexthops = tuple(sorted({*many(row.get("nexthops")), *many(row.get("nexthop"))}))
    return RoutePolicy(row["_uuid"], row["priority"], row["match"], row["action"], nexthops)


def _switch_port(row: Row) -> SwitchPort:
    addresses = tuple(sorted(many(row["addresses"])))
    return SwitchPort(row["_uuid"], row["name"], row["type"], addresses, row["options"], one(row["up"]))


def _chassis(row: Row, addresses: Mapping[str, str]) -> Chassis:
    # Older ovn-controllers report the mappings in external_ids, newer ones in other_config.
    texts = ((row.get(column) or {}).get("ovn-bridge-mappings") for column in ("other_config", "external_ids"))
    text = next((item for item in texts if item), "")
    pairs = (item.split(":", 1) for item in text.split(",") if ":" in item)
    mappings = {network.strip(): bridge.strip() for network, bridge in pairs}
    ips = tuple(sorted({addresses[key] for key in many(row["encaps"]) if key in addresses}))
    return Chassis(row["_uuid"], row["name"], row["hostname"], ips, mappings)


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


def _update(table: str, row_uuid: str, row: Mapping[str, Any]) -> Operation:
    return {"op": "update", "table": table, "where": [["_uuid", "==", uuid(row_uuid)]], "row": dict(row)}


def _remove(table: str, row_uuid: str, column: str, members: Iterable[str]) -> Operation:
    """Take members out of a row's set of references. A row that nothing refers to any more is gone."""
    mutation = [column, "delete", to_set(uuid(member) for member in members)]
    return {"op": "mutate", "table": table, "where": [["_uuid", "==", uuid(row_uuid)]], "mutations": [mutation]}


def _remove_from_router(column: str, rows: Sequence[NatRule] | Sequence[RoutePolicy]) -> list[Operation]:
    mutation = [column, "delete", to_set(uuid(row.uuid) for row in rows)]
    condition = ["name", "==", DEFAULT_VPC]
    operation = {"op": "mutate", "table": "Logical_Router", "where": [condition], "mutations": [mutation]}
    return [operation] if rows else []


def _batches(
    rules: Sequence[NatRule], policies: Sequence[RoutePolicy]
) -> Iterable[tuple[list[NatRule], list[RoutePolicy]]]:
    """Portions of at most BATCH overlay addresses, each with all that is to go for them."""
    groups: dict[str, tuple[list[NatRule], list[RoutePolicy]]] = {}
    for rule in rules:
        groups.setdefault(rule.logical_ip, ([], []))[0].append(rule)
    for policy in policies:
        groups.setdefault(policy.match.rpartition(" ")[2], ([], []))[1].append(policy)
    portions = list(groups.values())
    for start in range(0, len(portions), BATCH):
        portion = portions[start : start + BATCH]
        yield [rule for group in portion for rule in group[0]], [policy for group in portion for policy in group[1]]


# --- opening ----------------------------------------------------------------------------------------------------


def open_ovn(params: Mapping[str, Any], cluster: Cluster) -> Northbound:
    """Reach OVN as the options say: `auto` is tcp when an endpoint is given, else exec in the ovn-central leader."""
    endpoints = {option: params.get(option) or "" for option in ("nb_endpoint", "sb_endpoint")}
    way = params.get("ovn_connection") or "auto"
    if way == "exec" or (way == "auto" and not any(endpoints.values())):
        timeout = float(params.get("ovn_timeout") or 10)
        clients = [
            Client(ExecTransport(_Leader(cluster, database).run, timeout=timeout), database)
            for database in (NB_DATABASE, SB_DATABASE)
        ]
        return Northbound(clients[0], clients[1])
    missing = [option for option, value in endpoints.items() if not value]
    if missing:
        hint = "tcp:HOST:PORT; OVN listens on 6641 (NB) and 6642 (SB). Or give neither and use ovn_connection: exec"
        text = (
            f"{' and '.join(missing)}: missing, ovn_connection is {'tcp' if way == 'tcp' else 'tcp by nb/sb_endpoint'}"
        )
        raise OvsdbError(text, path=missing[0], hint=hint)
    timeout = float(params.get("ovn_timeout") or 10)
    nb = connect(endpoints["nb_endpoint"], NB_DATABASE, timeout, "nb_endpoint")
    return Northbound(nb, connect(endpoints["sb_endpoint"], SB_DATABASE, timeout, "sb_endpoint"))


class _Leader:
    """The ovn-central pod that leads one database; it is looked up again after a failure, as leaders move."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self._cluster = cluster
        self._label = LEADER_LABELS[database]
        self._pod = ""

    def run(self, argv: list[str]) -> str:
        """Run a command in it, and return what it printed."""
        if not self._pod:
            pods = self._cluster.list(PODS, namespace=CENTRAL_NAMESPACE, label_selector=self._label)
            ready = sorted(pod["metadata"]["name"] for pod in pods if _is_ready(pod))
            if not ready:
                raise Unreachable(
                    f"no ready pod with label {self._label} in namespace {CENTRAL_NAMESPACE}: OVN has no leader",
                    path="ovn_connection",
                    hint="is ovn-central running? If it runs elsewhere give nb_endpoint and sb_endpoint",
                )
            self._pod = ready[0]
        try:
            return self._cluster.exec(CENTRAL_NAMESPACE, self._pod, CENTRAL_CONTAINER, argv)
        except ClusterError as error:
            pod, self._pod = self._pod, ""
            hint = "or reach OVN by nb_endpoint and sb_endpoint"
            text = f"cannot run {argv[0]} in pod {CENTRAL_NAMESPACE}/{pod}: {error}"
            raise Unreachable(text, path="ovn_connection", hint=hint) from error


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
