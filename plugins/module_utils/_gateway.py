# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for the external gateway: from what was seen to what is asked, in the order that costs least traffic. Pure.

What Kube-OVN does with the ConfigMap, and what this has to add (kube-ovn-controller v1.14):
* It acts once when the text changes: it labels the listed nodes, makes switch, router port and localnet port when they
  are missing, and adds missing gateway chassis. A `revision` key changes the text without changing its meaning.
* It makes the router port and the switch's port together or not at all, so a half has to go before it makes both.
* It never changes an address, a MAC, a priority or a next hop, and never takes a gateway chassis away.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    EXTERNAL_SWITCH,
    FIRST_CHASSIS_PRIORITY,
    LOCALNET_PORT,
    REROUTE_PRIORITY,
    ROUTER_PORT,
    SWITCH_ROUTER_PORT,
    ExternalGateway,
    GatewayChassis,
    GatewayNode,
    Ovn,
    Plan,
    RoutePolicy,
    Step,
    SwitchPort,
)

NODES_KEY = "external-gw-nodes"
REVISION_KEY = "kubeovn-core-revision"  # Kube-OVN does not know it; a new value makes the controller look again

Texts = Mapping[str, str]


@dataclass(frozen=True)
class Observed:
    """What one look at Kubernetes and OVN showed."""

    config_map: Texts | None  # its data
    nodes: tuple[GatewayNode, ...]  # those asked for, and all that carry the gateway label
    ovn: Ovn
    extra_subnets: tuple[str, ...] = ()  # of the default VPC: with one of these Kube-OVN ignores the ConfigMap
    enabled: bool | None = None  # the default VPC's status.enableExternal, the last thing that the controller writes
    underlay: bool = False  # switch `external` belongs to a subnet on a VLAN, not to the ConfigMap
    overlays: Mapping[str, str] = field(default_factory=dict)  # the other subnets' CIDRs, by name

    def node(self, name: str) -> GatewayNode | None:
        """The node of that name."""
        return next((node for node in self.nodes if node.name == name), None)

    def node_of(self, chassis: str) -> str:
        """The name of a chassis' node, or the chassis' own when nobody knows it."""
        names = [node.name for node in self.nodes if node.chassis == chassis]
        names += [row.hostname for row in self.ovn.chassis if row.name == chassis]
        return next((name for name in names if name), chassis)

    @property
    def rows(self) -> tuple[GatewayChassis, ...]:
        """The router port's gateway chassis, highest priority first."""
        return self.ovn.router_port.gateway_chassis if self.ovn.router_port else ()

    def mapped(self, name: str) -> bool:
        """Whether a node's chassis says that network `external` has a bridge there."""
        node = self.node(name)
        return self.underlay or any(
            row.name == node.chassis and EXTERNAL_SWITCH in row.bridge_mappings for row in self.ovn.chassis if node
        )


# --- what is asked, compared with what is there ---------------------------------------------------------------------


def config_data(gateway: ExternalGateway) -> dict[str, str]:
    """The ConfigMap's data for a gateway."""
    return {
        "enable-external-gw": "true",  # anything but the exact string "false" enables; this is what it means
        "type": gateway.type,
        NODES_KEY: ",".join(gateway.nodes),
        "external-gw-nic": gateway.nic,
        "external-gw-addr": gateway.gateway,
        "nic-ip": gateway.nic_ip,
        "nic-mac": gateway.nic_mac,
    }


def changed_data(gateway: ExternalGateway, seen: Texts | None) -> dict[str, str]:
    """The keys to write so that the ConfigMap means what is asked. Another spelling of the same is left alone."""
    return {key: value for key, value in config_data(gateway).items() if not _same(key, value, (seen or {}).get(key))}


def _same(key: str, asked: str, seen: str | None) -> bool:
    if seen is None:
        return False
    if key == NODES_KEY:
        return listed_nodes(seen) == listed_nodes(asked)
    return asked.lower() == seen.lower() if key == "nic-mac" else asked == seen


def listed_nodes(text: str) -> list[str]:
    """The node names in a ConfigMap's list, as the controller reads it."""
    return [name for part in text.split(",") if (name := part.strip())]


def rows_of(gateway: ExternalGateway, seen: Observed) -> list[GatewayChassis]:
    """The gateway chassis of the nodes asked for, in the order asked for."""
    by_chassis = {row.chassis: row for row in seen.rows}
    nodes = [node for name in gateway.nodes if (node := seen.node(name))]
    return [by_chassis[node.chassis] for node in nodes if node.chassis in by_chassis]


def surplus_rows(gateway: ExternalGateway, seen: Observed) -> list[GatewayChassis]:
    """Gateway chassis of nodes that nobody asked for."""
    wanted = {row.uuid for row in rows_of(gateway, seen)}
    return [row for row in seen.rows if row.uuid not in wanted]


def missing_rows(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes without a gateway chassis. A node that is not Ready may do without: its row may have been taken out."""
    have = {row.chassis for row in seen.rows}
    nodes = [node for name in gateway.nodes if (node := seen.node(name))]
    return [node.name for node in nodes if node.ready and node.chassis not in have]


def priorities(gateway: ExternalGateway, seen: Observed, first: int) -> list[tuple[GatewayChassis, int]]:
    """The priorities that put the nodes asked for first and in order, nobody else above them: those that differ."""
    ordered = rows_of(gateway, seen) + surplus_rows(gateway, seen)
    return [(row, first - index) for index, row in enumerate(ordered) if row.priority != first - index]


def in_order(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether the priorities already do what is asked, whatever their values."""
    ranks = [row.priority for row in rows_of(gateway, seen)]
    return all(higher > lower for higher, lower in pairwise(ranks))


def stray_labels(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes labelled as gateways that nobody asked for: the controller would take each for a gateway."""
    return [node.name for node in seen.nodes if node.gateway_label == "true" and node.name not in gateway.nodes]


def unlabelled(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes asked for whose label is not yet "true"."""
    return [node.name for node in seen.nodes if node.gateway_label != "true" and node.name in gateway.nodes]


def old_policies(gateway: ExternalGateway, seen: Observed) -> list[RoutePolicy]:
    """Policies of EIPs that still send packets to another gateway address."""
    hop = gateway.gateway.split("/")[0]
    matches = {f"ip4.src == {rule.logical_ip}" for rule in seen.ovn.nat_rules}
    return [
        policy
        for policy in seen.ovn.policies
        if policy.priority == REROUTE_PRIORITY
        and policy.action == "reroute"
        and policy.match in matches
        and policy.nexthops != (hop,)
    ]


def _right_port(port: SwitchPort, seen: Observed) -> bool:
    """Whether one of the two ports that Kube-OVN makes on switch `external` is as it makes it."""
    if port.name == SWITCH_ROUTER_PORT:
        return port.type == "router" and port.options.get("router-port") == ROUTER_PORT
    network = port.options.get("network_name")
    return port.type == "localnet" and (seen.underlay or network == EXTERNAL_SWITCH)


def broken_parts(seen: Observed) -> tuple[bool, list[SwitchPort]]:
    """What is in the controller's way: whether the router port must go, and which ports of switch `external`."""
    wrong = [
        port
        for port in seen.ovn.switch_ports
        if port.name in (SWITCH_ROUTER_PORT, LOCALNET_PORT) and not _right_port(port, seen)
    ]
    halves = [port for port in seen.ovn.switch_ports if port.name == SWITCH_ROUTER_PORT]
    has_half = any(port not in wrong for port in halves)
    if seen.ovn.router_port and not has_half:
        return True, wrong
    if not seen.ovn.router_port:
        wrong += [port for port in halves if port not in wrong]
    return False, wrong


def missing_parts(seen: Observed) -> list[str]:
    """What of switch and router port is not there, by OVN's names."""
    ports = {port.name for port in seen.ovn.switch_ports if _right_port(port, seen)}
    parts = [] if seen.ovn.switch_uuid else [f"switch {EXTERNAL_SWITCH}"]
    parts += [] if seen.ovn.router_port else [f"router port {ROUTER_PORT}"]
    return parts + [f"switch port {name}" for name in (LOCALNET_PORT, SWITCH_ROUTER_PORT) if name not in ports]


# --- the plan -------------------------------------------------------------------------------------------------------


def plan(gateway: ExternalGateway | None, seen: Observed) -> Plan:
    """The steps that lead from what was seen to the gateway as asked, or (None) to no gateway."""
    steps = tuple(_removal(seen) if gateway is None else _steps(gateway, seen))
    before = _shape(seen)
    return Plan(steps, before, _after(gateway, seen, before) if steps else before)


def _steps(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    drop_port, ports = broken_parts(seen)
    surplus = [] if drop_port else surplus_rows(gateway, seen)
    yield from _repair(gateway, seen, drop_port, ports)
    # Whoever carries no traffic now must not get a gateway chassis by its label when the controller looks again.
    carrying = {row.chassis for row in surplus}
    stray = [node for name in stray_labels(gateway, seen) if (node := seen.node(name))]
    yield from _unlabel([node.name for node in stray if node.chassis not in carrying])
    # Where the controller has to make something, the gateways that go stay until it has: somebody must forward.
    leaving = [node.name for node in stray if node.chassis in carrying]
    makes = drop_port or _controller_needed(gateway, seen)
    current, texts = seen.config_map, changed_data(gateway, seen.config_map)
    if makes:
        if seen.rows and not drop_port:
            yield _raise(gateway, seen)
        texts |= {NODES_KEY: ",".join([*gateway.nodes, *leaving])} if leaving else {}
        yield _write(texts, current)
        current = {**(current or {}), **texts}
        texts = {NODES_KEY: ",".join(gateway.nodes)} if leaving else {}
    if makes or not in_order(gateway, seen) or outranked(gateway, seen):
        yield _order(gateway, seen)
    if surplus:
        yield _take_out(gateway, seen, surplus)
    yield from _unlabel(leaving)
    if texts:
        yield _write(texts, current)


def _controller_needed(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether there is something that only kube-ovn-controller makes: rows, labels and with these the bridges."""
    disabled = seen.config_map is None or seen.config_map.get("enable-external-gw") == "false"
    return disabled or bool(missing_parts(seen) or missing_rows(gateway, seen) or unlabelled(gateway, seen))


def _unlabel(names: list[str]) -> Iterable[Step]:
    if names:
        text = f'label {", ".join(names)} as no gateway any more ("false"): the node daemon takes the bridge away'
        yield Step("label", text, None, {"labels": dict.fromkeys(names, "false")})


def _repair(gateway: ExternalGateway, seen: Observed, drop_port: bool, ports: list[SwitchPort]) -> Iterable[Step]:
    """NB, for what the controller never touches again."""
    port = seen.ovn.router_port
    if drop_port or ports:
        names = ([f"router port {ROUTER_PORT}"] if drop_port else []) + [f"switch port {port.name}" for port in ports]
        text = f"remove what is left of {' and '.join(names)}, so that kube-ovn-controller makes it anew"
        data = {"router_port": drop_port, "switch_ports": [port.name for port in ports]}
        yield Step("clear", text, "all external traffic, which is broken already", data)
    if port and not drop_port and (port.mac.lower() != gateway.nic_mac or port.networks != (gateway.nic_ip,)):
        text = f"give router port {ROUTER_PORT} {gateway.nic_mac} {gateway.nic_ip} in place of {port.mac} "
        loss = "all external traffic, for seconds, until the neighbours' ARP caches know the new MAC"
        if port.mac.lower() == gateway.nic_mac:
            loss = f"traffic to {', '.join(port.networks)} itself, not to EIPs"
        data = {"mac": gateway.nic_mac, "networks": [gateway.nic_ip]}
        yield Step("set_router_port", text + ", ".join(port.networks), loss, data)
    policies = old_policies(gateway, seen)
    if policies:
        hop = gateway.gateway.split("/")[0]
        text = f"send the packets of {len(policies)} EIPs to gateway {hop}"
        yield Step("set_nexthop", text, "the traffic of these EIPs, if the new gateway does not forward", {"hop": hop})


def _raise(gateway: ExternalGateway, seen: Observed) -> Step:
    names = ", ".join(seen.node_of(row.chassis) for row in seen.rows)
    text = f"raise the priorities of {names}, so that a gateway that is added stays below until its bridge is there"
    return Step("raise", text, None if in_order(gateway, seen) else _MOVE, {"nodes": list(gateway.nodes)})


# What kube-ovn-controller does whenever the list of nodes changes, be it their order.
_RELABEL = (
    "rarely, for about 3 s, a gateway's traffic: the controller drops and restores all labels, and a node daemon that "
    "looks just then rebuilds its bridge"
)
_MOVE = "external traffic, for about a second while it moves to another gateway"


def _write(texts: Texts, current: Texts | None) -> Step:
    if current is None:
        content = ", ".join(f"{key}={value}" for key, value in texts.items())
        text = f"create ConfigMap {CONFIG_MAP} with {content}; kube-ovn-controller makes switch, router port and labels"
        return Step("write_config_map", text, None, dict(texts))
    texts = {key: value for key, value in texts.items() if not _same(key, value, current.get(key))}
    if texts:
        changes = ", ".join(f"{key}={value} (was {current.get(key, 'missing')})" for key, value in texts.items())
        loss = _RELABEL if NODES_KEY in texts else None
        return Step("write_config_map", f"set in ConfigMap {CONFIG_MAP}: {changes}", loss, dict(texts))
    revision = next_revision(current)
    text = f"make kube-ovn-controller look again: {REVISION_KEY}={revision} in ConfigMap {CONFIG_MAP}"
    return Step("write_config_map", text, None, {REVISION_KEY: revision})


def next_revision(current: Texts) -> str:
    """A value that the revision key does not have now."""
    seen = current.get(REVISION_KEY, "")
    return str(int(seen) + 1) if seen.isdecimal() else "1"


def outranked(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether a gateway that goes stands above one that stays: then traffic moves before the row goes."""
    mine = [row.priority for row in rows_of(gateway, seen)]
    return bool(mine) and any(row.priority >= min(mine) for row in surplus_rows(gateway, seen))


def _order(gateway: ExternalGateway, seen: Observed) -> Step:
    last = FIRST_CHASSIS_PRIORITY
    text = ", ".join(f"{name}={last - index}" for index, name in enumerate(gateway.nodes))
    active = seen.node_of(seen.ovn.active_chassis) if seen.ovn.active_chassis else None
    moves = active is not None and active != gateway.nodes[0]
    text = f"when each has its gateway chassis and bridge, see to priorities {text}"
    return Step("order", text, _MOVE if moves else None, {"nodes": list(gateway.nodes)})


def _take_out(gateway: ExternalGateway, seen: Observed, surplus: list[GatewayChassis]) -> Step:
    names = ", ".join(seen.node_of(row.chassis) for row in surplus)
    active = any(row.chassis == seen.ovn.active_chassis for row in surplus)
    text = f"take the gateway chassis of {names} out of NB, before its bridge goes; traffic is on {gateway.nodes[0]}"
    data = {"chassis": [row.chassis for row in surplus]}
    return Step("delete_gateway_chassis", text, _MOVE if active else None, data)


def _removal(seen: Observed) -> Iterable[Step]:
    if seen.config_map is not None:
        text = f"delete ConfigMap {CONFIG_MAP}; kube-ovn-controller takes the nodes' labels back"
        yield Step("delete_config_map", text, f"whatever uses {', '.join(_networks(seen)) or 'the router port'}")
    labelled = [node.name for node in seen.nodes if node.gateway_label is not None]
    if leftovers(seen):
        yield Step("delete_external", f"delete in NB what kube-ovn-controller leaves: {', '.join(leftovers(seen))}")
    if labelled:
        text = f"remove the gateway label from {', '.join(labelled)}; the node daemon takes the bridge away"
        yield Step("label", text, None, {"labels": dict.fromkeys(labelled)})


def leftovers(seen: Observed) -> list[str]:
    """What of the gateway is in NB, by OVN's names. A switch of a VLAN subnet is not the ConfigMap's."""
    found = [f"router port {ROUTER_PORT}"] if seen.ovn.router_port else []
    if not seen.underlay:
        found += [f"switch {EXTERNAL_SWITCH}"] if seen.ovn.switch_uuid else []
    found += [f"switch port {one.name}" for one in seen.ovn.switch_ports if one.name == SWITCH_ROUTER_PORT]
    return found


def _networks(seen: Observed) -> tuple[str, ...]:
    return seen.ovn.router_port.networks if seen.ovn.router_port else ()


# --- the diff -------------------------------------------------------------------------------------------------------


def _shape(seen: Observed) -> dict[str, object]:
    port = seen.ovn.router_port
    return {
        "config_map": dict(seen.config_map) if seen.config_map is not None else None,
        "router_port": {"mac": port.mac, "networks": list(port.networks)} if port else None,
        "gateways": [f"{seen.node_of(row.chassis)} priority {row.priority}" for row in seen.rows],
        "labels": {node.name: node.gateway_label for node in seen.nodes if node.gateway_label is not None},
        "switch_ports": sorted(one.name for one in seen.ovn.switch_ports),
        "nexthops": sorted({hop for policy in seen.ovn.policies for hop in policy.nexthops}),
    }


def _after(gateway: ExternalGateway | None, seen: Observed, before: dict[str, object]) -> dict[str, object]:
    if gateway is None:
        kept = sorted(one.name for one in seen.ovn.switch_ports if seen.underlay and one.name != SWITCH_ROUTER_PORT)
        nothing: dict[str, object] = {"config_map": None, "router_port": None, "gateways": [], "labels": {}}
        return {**before, **nothing, "switch_ports": kept}
    data = dict(seen.config_map or {}) | changed_data(gateway, seen.config_map)
    hop = {gateway.gateway.split("/")[0]} if old_policies(gateway, seen) else set()
    gone = {hop for policy in old_policies(gateway, seen) for hop in policy.nexthops}
    hops = {hop for policy in seen.ovn.policies for hop in policy.nexthops}
    labels = {node.name: "false" for node in seen.nodes if node.gateway_label is not None}
    return {
        "config_map": data,
        "router_port": {"mac": gateway.nic_mac, "networks": [gateway.nic_ip]},
        "gateways": _gateways_after(gateway, seen),
        "labels": labels | dict.fromkeys(gateway.nodes, "true"),
        "switch_ports": sorted({one.name for one in seen.ovn.switch_ports} | {LOCALNET_PORT, SWITCH_ROUTER_PORT}),
        "nexthops": sorted(hops - gone | hop),
    }


def _gateways_after(gateway: ExternalGateway, seen: Observed) -> list[str]:
    settled = in_order(gateway, seen) and not missing_rows(gateway, seen) and not outranked(gateway, seen)
    if settled and not missing_parts(seen):
        return [f"{seen.node_of(row.chassis)} priority {row.priority}" for row in rows_of(gateway, seen)]
    return [f"{name} priority {FIRST_CHASSIS_PRIORITY - index}" for index, name in enumerate(gateway.nodes)]


# --- the result -----------------------------------------------------------------------------------------------------


def report(seen: Observed) -> dict[str, object]:
    """The gateway as it was seen last, in OVN's own names."""
    port, active = seen.ovn.router_port, seen.ovn.active_chassis
    chassis = [
        {
            "node": seen.node_of(row.chassis),
            "chassis": row.chassis,
            "priority": row.priority,
            "active": row.chassis == active,
        }
        for row in seen.rows
    ]
    values = {"name": port.name, "mac": port.mac, "networks": list(port.networks)} if port else {}
    return {
        "config_map": dict(seen.config_map) if seen.config_map is not None else None,
        "router_port": {**values, "gateway_chassis": chassis} if port else None,
        "active_node": seen.node_of(active) if active else None,
    }
