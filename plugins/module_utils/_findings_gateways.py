# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about the gateways: their rows in OVN, and what the ConfigMap says of them. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.kubeovn.core.plugins.module_utils._findings import Finding, asked_nodes, gateway_task
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    GatewayChassis,
    GatewayNode,
    Ovn,
)
from ansible_collections.kubeovn.core.plugins.module_utils._objects import put_out_of_use


def gateway_findings(
    ovn: Ovn, nodes: Sequence[GatewayNode], config: Mapping[str, str] | None, extra: Sequence[str] = ()
) -> list[Finding]:
    """What is wrong with the gateways. config: the ConfigMap's data, empty without one, None when it was not read.

    extra: the fields of the default VPC for which Kube-OVN ignores it.
    """
    found = [] if config is None else list(_config(ovn, config, extra))
    if ovn.router_port is None:
        return found
    rows = ovn.router_port.gateway_chassis
    of_row = nodes_by_row(rows, ovn, nodes)
    asked = _wanted(config, nodes, [node.name for node in of_row.values() if node])
    alive = [row for row, node in of_row.items() if node is not None and node.ready and registered(row, ovn)]
    repair = gateway_task(config)
    found += _rows(of_row, alive, asked, repair)
    if not ovn.router_port.enabled:
        found.append(Finding("port_disabled", f"router port {ovn.router_port.name} is disabled", repair))
    if ovn.active_chassis is None:
        found.append(Finding("no_active_gateway", "no chassis holds the router port", repair))
    if len(rows) == 1:
        node = of_row[rows[0]]
        name = node.name if node else rows[0].chassis
        found.append(Finding("gateway_alone", f"{name} is the only gateway", repair, node=name))
    elif len(alive) == 1 and (last := of_row[alive[0]]):
        text = f"{last.name} is the only one of {len(rows)} gateways that lives"
        found.append(Finding("survivor_without_peer", text, gateway_task(config, rescue=True), node=last.name))
    return found


def _rows(
    of_row: Mapping[GatewayChassis, GatewayNode | None],
    alive: Sequence[GatewayChassis],
    asked: Sequence[str],
    repair: str,
) -> Iterable[Finding]:
    """Rows that should not be there, that lack, or that have another order than asked."""
    for row, node in of_row.items():
        name = node.name if node else None
        if row not in alive:
            why = f"node {name} is not ready, or its chassis is gone" if name else "no node has this chassis"
            text = f"gateway chassis {row.chassis}: {why}"
            yield Finding("gateway_row_dead", text, repair, node=name)
        elif asked and name not in asked:
            text = f"node {name} has a gateway chassis, and the ConfigMap does not list it"
            yield Finding("gateway_row_stranger", text, repair, node=name)
    there = [node.name for node in of_row.values() if node and node.name in asked]
    for name in asked:
        if name not in there:
            text = f"node {name} is listed in the ConfigMap, and has no gateway chassis"
            yield Finding("gateway_row_missing", text, repair, node=name)
    wanted = [name for name in asked if name in there]
    if there != wanted:
        text = f"the order is {', '.join(there)}, asked for is {', '.join(wanted)}"
        yield Finding("gateway_order", text, repair, node=there[0])


def _config(ovn: Ovn, config: Mapping[str, str], extra: Sequence[str]) -> Iterable[Finding]:
    port = ovn.router_port
    enabled = bool(config) and config.get("enable-external-gw") != "false"
    if extra:  # then OVN is as these subnets say, and what it has to do with the ConfigMap is chance
        if enabled:
            text, command = put_out_of_use(extra)
            yield Finding("config_ignored", f"vpc {DEFAULT_VPC} {text}", command)
        return
    repair = gateway_task(config) if enabled else "- kubeovn.core.ovn_external_gw: {state: absent}"
    if enabled != (port is not None):
        said, real = ("asks for a gateway", "is not there") if enabled else ("asks for none", "is there")
        text = f"the ConfigMap {said}, and router port {ovn.names.router_port} {real}"
        yield Finding("config_differs", text, repair)
    elif port is not None:
        for key, values in (("nic-ip", port.networks), ("nic-mac", (port.mac.lower(),))):
            said = config.get(key, "").lower()  # of nic-ip there may be two, of IPv4 and IPv6
            if said and sorted(said.split(",")) != sorted(values):
                text = f"{key} is {said} in ConfigMap {CONFIG_MAP}, in OVN {','.join(values)}"
                yield Finding("config_differs", text, repair)


def _wanted(config: Mapping[str, str] | None, nodes: Sequence[GatewayNode], there: Sequence[str]) -> list[str]:
    """The nodes that are to be gateways, in their order.

    For a distributed gateway Kube-OVN goes by the label alone, and by the list not at all: where the two differ, no
    order is asked for.
    """
    listed = asked_nodes(config)
    labelled = {node.name for node in nodes if node.gateway_label == "true"}
    if (config or {}).get("type") != "distributed" or set(listed) == labelled:
        return listed
    return [*(name for name in there if name in labelled), *sorted(labelled - set(there))]


def nodes_by_row(
    rows: Sequence[GatewayChassis], ovn: Ovn, nodes: Sequence[GatewayNode]
) -> dict[GatewayChassis, GatewayNode | None]:
    """The node of each gateway chassis."""
    known = owners(ovn, nodes)
    return {row: known.get(row.chassis) for row in rows}


def owners(ovn: Ovn, nodes: Sequence[GatewayNode]) -> dict[str, GatewayNode]:
    """The node of each chassis: by its annotation, else by the host name that the chassis reports."""
    named = {node.name: node for node in nodes}
    hosts = {one.name: named[one.hostname] for one in ovn.chassis if one.hostname in named}
    return hosts | {node.chassis: node for node in reversed(nodes) if node.chassis}


def registered(row: GatewayChassis, ovn: Ovn) -> bool:
    """Whether SB has its chassis."""
    return any(one.name == row.chassis for one in ovn.chassis)
