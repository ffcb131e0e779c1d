# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OVN's two databases as a site's modules meet them: one look as typed records, and how they are reached.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import PODS, Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    DEFAULT_VPC,
    EXTERNAL_SWITCH,
    REROUTE_PRIORITY,
    WARM_UP,
    Chassis,
    HolderPort,
    Names,
    Ovn,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_rows import nat_queries, nat_rules
from ansible_collections.kubeovn.core.plugins.module_utils._nb_writes import Writes
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    SB_DATABASE,
    Client,
    ExecTransport,
    OvsdbError,
    Query,
    Row,
    Tls,
    Unreachable,
    connect,
    many,
    one,
    uuid,
)
from ansible_collections.kubeovn.core.plugins.module_utils._rows import (
    bound_to,
    chassis,
    enabled,
    holder_ports,
    policy,
    router_port,
    source_route,
    switch_port,
)

CENTRAL_NAMESPACE = "kube-system"
CENTRAL_CONTAINER = "ovn-central"
LEADER_LABELS = {NB_DATABASE: "ovn-nb-leader=true", SB_DATABASE: "ovn-sb-leader=true"}

EXEC_SLACK = 5.0  # seconds that an exec may take longer than the command that it runs was given
FORBIDDEN = 403
FEW_PORTS = 16  # up to so many ports are asked for one by one; above, all bindings are read at once

BINDING = ("logical_port", "chassis", "additional_chassis", "options")  # what tells where a port is bound
OWNED = ("nat", "policies", "static_routes")  # columns of a router that name rows of its own
POLICY_COLUMNS = ("_uuid", "priority", "match", "action", "nexthop", "nexthops", "external_ids")
PORT_COLUMNS = ("_uuid", "name", "type", "addresses", "options", "up", "tag", "enabled")
ROUTER_PORT_COLUMNS = ("_uuid", "name", "mac", "networks", "gateway_chassis", "enabled")


class Northbound(Writes):
    """OVN's two databases. It reads both, and writes only NB."""

    def __init__(self, nb: Client, sb: Client, names: Names | None = None) -> None:
        self.nb = nb
        self.sb = sb
        self.names = names or Names()

    def close(self) -> None:
        """Close both connections."""
        self.nb.close()
        self.sb.close()

    def observe(self, ports: Collection[str] = (), holders: bool = False, identities: bool = True) -> Ovn:
        """What concerns the external gateway: one transaction per database.

        ports: whose chassis is wanted, too. holders: whether the ports of NAT rows' overlay addresses are.
        identities: whether each NAT row's is, as who writes needs it. Without, rows that are alike in all else come
        once, and it takes half the time.
        """
        try:
            return self._observed(ports, holders, identities)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            hint = "is OVN behind nb_endpoint and sb_endpoint?"
            raise OvsdbError(f"rows came that OVN does not write: {error}", hint=hint) from error

    def _observed(self, ports: Collection[str], holders: bool, identities: bool) -> Ovn:
        names = self.names
        routers, others, router_ports, gateways, policies, routes, switches, switch_ports, settings, *nats = (
            self.nb.select_many(
                [
                    ("Logical_Router", ("_uuid",), [("name", "==", DEFAULT_VPC)]),
                    ("Logical_Router", ("nat", "policies", "static_routes"), [("name", "!=", DEFAULT_VPC)]),
                    ("Logical_Router_Port", ROUTER_PORT_COLUMNS, ()),
                    ("Gateway_Chassis", ("_uuid", "name", "chassis_name", "priority"), ()),
                    ("Logical_Router_Policy", POLICY_COLUMNS, [("priority", "==", REROUTE_PRIORITY)]),
                    ("Logical_Router_Static_Route", ("_uuid", "ip_prefix", "nexthop"), [("policy", "==", "src-ip")]),
                    ("Logical_Switch", ("_uuid", "ports"), [("name", "==", names.switch)]),
                    # All ports of pods have no type: leaving them out keeps the read small on big clusters.
                    ("Logical_Switch_Port", PORT_COLUMNS, [] if holders else [("type", "!=", "")]),
                    ("NB_Global", ("options",), ()),
                    *nat_queries(identities),
                ]
            )
        )
        # Every row is some router's. The others' are few, so that theirs are asked for and not the VPC's own.
        foreign = {column: {key for row in others for key in many(row[column])} for column in OWNED}
        found_rules = nat_rules(nats, identities, foreign["nat"])
        if found_rules is None:
            return self._observed(ports, holders, identities=True)
        rules, foreign_rules = found_rules
        members = {key for switch in switches for key in many(switch["ports"])}
        found = holder_ports(switch_ports, {rule.logical_ip for rule in rules}) if holders else {}
        rows, holders_of, bound = self._southbound({*ports, *(port.name for port in found.values())})
        lrps = sorted((router_port(row, gateways) for row in router_ports), key=lambda port: port.name)
        ways = [policy(row) for row in policies if row["_uuid"] not in foreign["policies"]]
        by_source = [source_route(row) for row in routes if row["_uuid"] not in foreign["static_routes"]]
        return Ovn(
            router_uuid=routers[0]["_uuid"] if routers else None,
            router_port=next((port for port in lrps if port.name == names.router_port), None),
            switch_uuid=switches[0]["_uuid"] if switches else None,
            switch_ports=self._switch_ports(members, switch_ports),
            nat_rules=rules,
            policies=tuple(sorted(ways, key=lambda one: (one.match, one.uuid))),
            chassis=rows,
            active_chassis=holders_of.get(names.chassisredirect_port),
            bound_ports=bound,
            names=names,
            other_ports=tuple(port for port in lrps if port.name != names.router_port),
            options=settings[0]["options"] if settings else {},
            holder_ports={ip: replace(port, chassis=bound.get(port.name)) for ip, port in found.items()},
            foreign_rules=foreign_rules,
            routes=tuple(sorted(by_source, key=lambda one: (one.ip_prefix, one.uuid))),
            redirects=holders_of,
        )

    def holder_port(self, name: str) -> HolderPort | None:
        """A pod's logical port, and where it is bound; None when NB does not have it."""
        rows = self.nb.select("Logical_Switch_Port", ("name", "addresses", "enabled"), [("name", "==", name)])
        bindings, chassis_rows = self.sb.select_many(
            [
                ("Port_Binding", BINDING, [("logical_port", "==", name)]),
                ("Chassis", ("_uuid", "name"), ()),
            ]
        )
        names = {row["_uuid"]: row["name"] for row in chassis_rows}
        where = next((bound_to(row, names) for row in bindings), None)
        macs = [text.split()[0] for row in rows for text in many(row["addresses"]) if text.split()]
        return HolderPort(name, macs[0], where, all(map(enabled, rows))) if macs else None

    def await_warm_up(self, timeout: float) -> bool:
        """Whether a chassis holds the port of router WARM_UP within the time: told by SB as soon as one does."""
        query = ("Port_Binding", ("chassis",), [("logical_port", "==", f"cr-{WARM_UP}")])
        return self.sb.wait_until([query], lambda found: any(one(row["chassis"]) for row in found[0]), timeout)

    def _switch_ports(self, members: Collection[str], typed: Sequence[Row]) -> tuple[SwitchPort, ...]:
        rows = [row for row in typed if row["_uuid"] in members]
        missing = sorted(set(members) - {row["_uuid"] for row in rows})
        if missing:  # plain ports on the external switch: unusual, so they are worth a second read
            queries: list[Query] = [
                ("Logical_Switch_Port", PORT_COLUMNS, [("_uuid", "==", uuid(key))]) for key in missing
            ]
            rows += [row for answer in self.nb.select_many(queries) for row in answer]
        return tuple(sorted((switch_port(row) for row in rows), key=lambda port: port.name))

    def _southbound(self, ports: Collection[str]) -> tuple[tuple[Chassis, ...], dict[str, str | None], dict[str, str]]:
        wanted = sorted(set(ports))
        queries: list[Query] = [
            ("Chassis", ("_uuid", "name", "hostname", "encaps", "other_config", "external_ids"), ()),
            ("Encap", ("_uuid", "ip"), ()),
            ("Port_Binding", BINDING, [("type", "==", "chassisredirect")]),
        ]
        if len(wanted) <= FEW_PORTS:
            queries += [("Port_Binding", BINDING, [("logical_port", "==", port)]) for port in wanted]
        else:
            queries.append(("Port_Binding", BINDING, [("type", "==", "")]))
        rows, encaps, redirect, *bindings = self.sb.select_many(queries)
        addresses = {row["_uuid"]: row["ip"] for row in encaps}
        names = {row["_uuid"]: row["name"] for row in rows}
        bound = {row["logical_port"]: bound_to(row, names) for answer in bindings for row in answer}
        holders = {row["logical_port"]: names.get(one(row["chassis"])) for row in redirect}
        found = tuple(sorted((chassis(row, addresses) for row in rows), key=lambda item: item.name))
        return found, holders, {port: name for port in wanted if (name := bound.get(port)) is not None}


# --- opening ----------------------------------------------------------------------------------------------------


def open_ovn(params: Mapping[str, Any], cluster: Cluster, without: str = "") -> Northbound:
    """Reach OVN as the options say: `auto` is tcp when an endpoint is given, else exec in the ovn-central leader.

    without: how to do without OVN, for who lacks the rights to reach it.
    """
    endpoints = {option: params.get(option) or "" for option in ("nb_endpoint", "sb_endpoint")}
    names = Names(params.get("switch") or EXTERNAL_SWITCH)
    way = params.get("ovn_connection") or "auto"
    timeout = float(params.get("ovn_timeout") or 10)
    if timeout < 0:
        raise OvsdbError(f"ovn_timeout: {timeout:g} is less than nothing", path="ovn_timeout", hint="seconds, as 10")
    if way == "exec" or (way == "auto" and not any(endpoints.values())):
        clients = [
            Client(
                ExecTransport(_Leader(cluster, database, timeout + EXEC_SLACK, without).run, timeout=timeout), database
            )
            for database in (NB_DATABASE, SB_DATABASE)
        ]
        return Northbound(clients[0], clients[1], names)
    missing = [option for option, value in endpoints.items() if not value]
    if missing:
        hint = "tcp:HOST:PORT; OVN listens on 6641 (NB) and 6642 (SB). Or give neither and use ovn_connection: exec"
        text = (
            f"{' and '.join(missing)}: missing, ovn_connection is {'tcp' if way == 'tcp' else 'tcp by nb/sb_endpoint'}"
        )
        raise OvsdbError(text, path=missing[0], hint=hint)
    tls = Tls(*(params.get(option) or "" for option in ("ovn_ca_cert", "ovn_client_cert", "ovn_client_key")))
    nb = connect(endpoints["nb_endpoint"], NB_DATABASE, timeout, "nb_endpoint", tls)
    return Northbound(nb, connect(endpoints["sb_endpoint"], SB_DATABASE, timeout, "sb_endpoint", tls), names)


class _Leader:
    """The ovn-central pod that leads one database; it is looked up again after a failure, as leaders move."""

    def __init__(self, cluster: Cluster, database: str, timeout: float, without: str) -> None:
        self._cluster = cluster
        self._without = without
        self._timeout = timeout
        self._label = LEADER_LABELS[database]
        self._pod = ""

    def run(self, argv: list[str]) -> str:
        """Run a command in it, and return what it printed."""
        if not self._pod:
            ready = sorted(pod["metadata"]["name"] for pod in self._leaders() if _is_ready(pod))
            if not ready:
                raise Unreachable(
                    f"no ready pod with label {self._label} in namespace {CENTRAL_NAMESPACE}: OVN has no leader",
                    path="ovn_connection",
                    hint="is ovn-central running? If it runs elsewhere give nb_endpoint and sb_endpoint",
                )
            self._pod = ready[0]
        try:
            return self._cluster.exec(CENTRAL_NAMESPACE, self._pod, CENTRAL_CONTAINER, argv, self._timeout)
        except ClusterError as error:
            pod, self._pod = self._pod, ""
            text = f"cannot run {argv[0]} in pod {CENTRAL_NAMESPACE}/{pod}: {error}"
            raise Unreachable(text, path="ovn_connection", hint=self._ways_out(bool(error.hint))) from error

    def _leaders(self) -> Sequence[Mapping[str, Any]]:
        try:
            return self._cluster.list(PODS, namespace=CENTRAL_NAMESPACE, label_selector=self._label)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            text = f"cannot look for OVN's leader: {error}"
            raise Unreachable(text, path="ovn_connection", hint=self._ways_out(True)) from error

    def _ways_out(self, denied: bool) -> str:
        """What else can be done. denied: it is the identity that may not, and no pod that does not answer."""
        endpoints = "or reach OVN by nb_endpoint and sb_endpoint"
        return f"{endpoints}; {self._without}" if denied and self._without else endpoints


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
