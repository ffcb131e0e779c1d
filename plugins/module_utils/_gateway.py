# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The external gateway as it was seen, compared with what is asked. Pure.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence, Members, members_of
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    REROUTE_PRIORITY,
    ExternalGateway,
    GatewayChassis,
    GatewayNode,
    HolderPort,
    NatRule,
    Ovn,
    RoutePolicy,
    SwitchPort,
)

ENABLE_KEY = "enable-external-gw"  # only the exact string "false" disables
NODES_KEY = "external-gw-nodes"
SWITCH_KEY = "external-gw-switch"  # newer versions of Kube-OVN; v1.14 has it as a flag
REVISION_KEY = "kubeovn-core-revision"  # Kube-OVN does not know it; a new value makes the controller look again

# The ConfigMap's annotations, which the controller does not look at. In normal state there is none of them.
RESCUED_NOTE = "kubeovn.core/rescued"  # gateways whose row was taken out as they were dead, until they are proven
LEAVING_NOTE = "kubeovn.core/leaving"  # of the list before: the label of those that go is still to be taken back
HAND_NOTE = "kubeovn.core/hand-labelled"  # labels set by others that the controller may drop and that are put back

COMING_NOTE = "kubeovn.core/coming"  # gateway chassis that the controller adds at its turn, and that go again
PASSING_NOTES = (LEAVING_NOTE, HAND_NOTE, COMING_NOTE)  # those of a run on its way

Texts = Mapping[str, str]


@dataclass(frozen=True)
class ExternalSubnet:
    """The Subnet that is named like the external switch."""

    cidr: str
    gateway: str
    network: str | None  # physical network of its Vlan; None: it has no Vlan
    vlan_id: int = 0


@dataclass(frozen=True)
class Observed:
    """What one look at Kubernetes and OVN showed."""

    config_map: Texts | None  # its data
    nodes: tuple[GatewayNode, ...]  # of the whole cluster
    ovn: Ovn
    notes: Texts = field(default_factory=dict)  # the ConfigMap's annotations
    extra_subnets: tuple[str, ...] = ()  # fields of the default VPC with which Kube-OVN ignores the ConfigMap
    enabled: bool | None = (
        None  # the default VPC's spec.enableExternal: written when labels and NB are (its status may lag)
    )
    subnet: ExternalSubnet | None = None
    overlays: Mapping[str, str] = field(default_factory=dict)  # the other subnets' CIDRs, by name
    users: tuple[str, ...] = ()  # custom VPCs that are connected to the switch
    ovn_eips: Mapping[str, str] = field(default_factory=dict)  # address -> name of the OvnEip
    claims: Mapping[str, str] = field(default_factory=dict)  # address -> whose EIP it is, also while it has no NAT row
    eip_snat: bool = True  # whether the controller was started with EIP and SNAT
    vlan_flag: int | None = None  # VLAN of the external network that it was started with; None: nobody knows
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # what nodes showed of themselves
    stale_mappings: frozenset[str] = frozenset()  # nodes whose mapping may be of a bridge that is not there

    @cached_property
    def _by_name(self) -> dict[str, GatewayNode]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _by_chassis(self) -> dict[str, str]:
        names = {row.name: row.hostname for row in self.ovn.chassis if row.hostname}
        return names | {node.chassis: node.name for node in self.nodes if node.chassis}

    @cached_property
    def row_of(self) -> dict[str, GatewayChassis]:
        """The router port's gateway chassis, by name of the chassis."""
        found: dict[str, GatewayChassis] = {}
        for row in self.rows:  # by a slip of somebody's there may be two: the one that is named after it is right
            if row.chassis not in found or row.name == f"{self.ovn.names.router_port}-{row.chassis}":
                found[row.chassis] = row
        return found

    def node(self, name: str) -> GatewayNode | None:
        """The node of that name."""
        return self._by_name.get(name)

    def node_of(self, chassis: str) -> str:
        """The name of a chassis' node, or the chassis' own when nobody knows it."""
        return self._by_chassis.get(chassis, chassis)

    def names_in(self, note: str) -> tuple[str, ...]:
        """The nodes that one of the ConfigMap's annotations lists."""
        return tuple(listed_nodes(self.notes.get(note, "")))

    @property
    def rows(self) -> tuple[GatewayChassis, ...]:
        """The router port's gateway chassis, highest priority first."""
        return self.ovn.router_port.gateway_chassis if self.ovn.router_port else ()

    @property
    def active(self) -> str | None:
        """The node whose chassis holds the router port."""
        return self.node_of(self.ovn.active_chassis) if self.ovn.active_chassis else None

    @property
    def underlay(self) -> bool:
        """Whether the external switch belongs to a subnet on a VLAN, not to the ConfigMap."""
        return self.subnet is not None and self.subnet.network is not None

    @property
    def network(self) -> str:
        """The physical network that localnet port and bridge mappings name."""
        return (self.subnet.network if self.subnet else None) or self.ovn.names.switch

    @property
    def vlan(self) -> int | None:
        """The VLAN that the localnet port has to have, 0 for none; None: nobody knows."""
        return self.subnet.vlan_id if self.subnet and self.underlay else self.vlan_flag

    @property
    def listed(self) -> list[str]:
        """The nodes that the ConfigMap lists."""
        return listed_nodes((self.config_map or {}).get(NODES_KEY, ""))

    @property
    def disabled(self) -> bool:
        """Whether the ConfigMap asks the controller for nothing."""
        return self.config_map is None or self.config_map.get(ENABLE_KEY) == "false"

    @cached_property
    def known_chassis(self) -> frozenset[str]:
        """The chassis in SB."""
        return frozenset(row.name for row in self.ovn.chassis)

    @cached_property
    def mapped_chassis(self) -> frozenset[str]:
        """The chassis that say that the physical network has a bridge there."""
        return frozenset(row.name for row in self.ovn.chassis if self.network in row.bridge_mappings)

    def mapped(self, name: str) -> bool:
        """Whether the physical network has a bridge on a node, as its chassis says."""
        node = self.node(name)
        return node is not None and node.chassis in self.mapped_chassis and name not in self.stale_mappings

    def members(self, gateway: ExternalGateway) -> Members:
        """Which gateways belong in NB now, and why the others do not."""
        return members_of(
            gateway,
            self.nodes,
            self.evidence,
            self.known_chassis,
            frozenset(self.row_of),
            self.names_in(RESCUED_NOTE),
            {*self.listed, *self.names_in(LEAVING_NOTE)},
        )


def listed_nodes(text: str) -> list[str]:
    """The node names in a ConfigMap's list, as the controller reads it."""
    return [name for part in text.split(",") if (name := part.strip())]


# --- the ConfigMap --------------------------------------------------------------------------------------------------


def config_data(gateway: ExternalGateway) -> dict[str, str]:
    """The ConfigMap's data for a gateway."""
    data = {
        ENABLE_KEY: "true" if gateway.enabled else "false",  # anything but the exact string "false" enables
        "type": gateway.type,
        NODES_KEY: ",".join(gateway.nodes),
        "external-gw-nic": gateway.nic,
        "external-gw-addr": gateway.gateway,
        "nic-ip": gateway.nic_ip,
        "nic-mac": gateway.nic_mac,
    }
    return data if gateway.switch == "external" else {**data, SWITCH_KEY: gateway.switch}


def changed_data(gateway: ExternalGateway, seen: Texts | None) -> dict[str, str]:
    """The keys to write so that the ConfigMap means what is asked. Another spelling of the same is left alone."""
    asked = config_data(gateway)
    if SWITCH_KEY in (seen or {}):  # newer versions obey it
        asked[SWITCH_KEY] = gateway.switch
    return {key: value for key, value in asked.items() if not same_text(key, value, (seen or {}).get(key))}


def makes_anew(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether there is something that only kube-ovn-controller makes: switch, ports, the gateways of newcomers.

    With `distributed` it never recovers from a list that changed, until one is written as a centralized gateway's.
    """
    if seen.disabled or broken_parts(seen)[0] or missing_parts(seen):
        return True
    lost = (seen.config_map or {}).get("type") == "distributed" and bool(unlabelled(gateway, seen))
    return lost or any(name not in seen.listed for name in gateway.nodes)


def leaving_gateways(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Gateways that are to go and forward until others are ready.

    Not those whose chassis is not in SB: the controller fails at a node without one, whether listed or labelled, after
    it has taken all labels off (getGatewayChassis in external_gw.go). So their label goes before it looks.
    """
    rows = {} if broken_parts(seen)[0] else seen.row_of
    nodes = [node for name in stray_labels(gateway, seen) if (node := seen.node(name))]
    return [node.name for node in nodes if node.chassis in rows and node.chassis in seen.known_chassis]


def coming_rows(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes that should have no gateway chassis now, and get one from the controller at any write."""
    names = [*seen.members(gateway).out, *hand_labelled(gateway, seen)]
    return [name for name in names if (node := seen.node(name)) and node.chassis in seen.known_chassis]


def unsettled(seen: Observed) -> bool:
    """Whether a run was killed before the controller took its turn at what it wrote."""
    return any(seen.notes.get(key) for key in PASSING_NOTES)


def written_data(gateway: ExternalGateway, seen: Observed) -> dict[str, str]:
    """The keys of the ConfigMap that a run writes; where none differs a revision makes the controller look again."""
    texts = changed_data(gateway, seen.config_map)
    if seen.config_map is None:
        return texts
    again = unsettled(seen) if texts else gateway.enabled and makes_anew(gateway, seen)
    if gateway.enabled and list(texts) == [NODES_KEY] and makes_anew(gateway, seen):
        again = again or seen.listed == [*gateway.nodes, *leaving_gateways(gateway, seen)]  # what is written first
    return texts | ({REVISION_KEY: next_revision(seen.config_map)} if again else {})


def next_revision(current: Texts) -> str:
    """A value that the revision key does not have now."""
    seen = current.get(REVISION_KEY, "")
    return str(int(seen) + 1) if seen.isdecimal() else "1"


def same_text(key: str, asked: str, seen: str | None) -> bool:
    """Whether two values of a key mean the same to the controller."""
    if seen is None:
        return False
    if key == NODES_KEY:
        return listed_nodes(seen) == listed_nodes(asked)
    return asked.lower() == seen.lower() if key == "nic-mac" else asked == seen


# --- gateway chassis ------------------------------------------------------------------------------------------------


def rows_of(gateway: ExternalGateway, seen: Observed) -> list[GatewayChassis]:
    """The gateway chassis that belong in NB, in the order that they belong in."""
    nodes = [node for name in seen.members(gateway).order if (node := seen.node(name))]
    return [seen.row_of[node.chassis] for node in nodes if node.chassis in seen.row_of]


def surplus_rows(gateway: ExternalGateway, seen: Observed) -> list[GatewayChassis]:
    """Gateway chassis that do not belong in NB: of nodes that nobody asked for, or that are out for now."""
    wanted = {row.uuid for row in rows_of(gateway, seen)}
    return [row for row in seen.rows if row.uuid not in wanted]


def missing_rows(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes without the gateway chassis that they should have. A dead one may do without."""
    members = seen.members(gateway)
    return [
        name
        for name in members.order
        if name not in members.dead and (node := seen.node(name)) and node.chassis not in seen.row_of
    ]


def priorities(gateway: ExternalGateway, seen: Observed, first: int) -> list[tuple[GatewayChassis, int]]:
    """The priorities that put the gateways first and in order, nobody else above them: those that differ."""
    ordered = rows_of(gateway, seen) + surplus_rows(gateway, seen)
    return [(row, first - index) for index, row in enumerate(ordered) if row.priority != first - index]


def in_order(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether the priorities already do what is asked, whatever their values."""
    ranks = [row.priority for row in rows_of(gateway, seen)]
    return all(higher > lower for higher, lower in pairwise(ranks))


def outranked(gateway: ExternalGateway, seen: Observed) -> bool:
    """Whether a gateway that goes stands above one that stays: then traffic moves before the row goes."""
    mine = [row.priority for row in rows_of(gateway, seen)]
    return bool(mine) and any(row.priority >= min(mine) for row in surplus_rows(gateway, seen))


def first_alive(gateway: ExternalGateway, seen: Observed) -> GatewayNode | None:
    """The node that has to be active: the first that is not dead and has a gateway chassis."""
    members = seen.members(gateway)
    nodes = (node for name in members.order if name not in members.dead and (node := seen.node(name)))
    return next((node for node in nodes if node.chassis in seen.row_of), None)


# --- labels ---------------------------------------------------------------------------------------------------------


def hand_labelled(gateway: ExternalGateway | None, seen: Observed) -> list[str]:
    """Nodes that somebody else labelled as gateways, for custom VPCs: neither asked for nor in the ConfigMap."""
    own = {*(gateway.nodes if gateway else ()), *seen.listed, *seen.names_in(LEAVING_NOTE)}
    noted = set(seen.names_in(HAND_NOTE))
    return [
        node.name
        for node in seen.nodes
        if node.name not in own and (node.gateway_label == "true" or node.name in noted)
    ]


def stray_labels(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Gateways that were asked for once and are not now, whose label is still on."""
    own = {*seen.listed, *seen.names_in(LEAVING_NOTE)} - set(gateway.nodes)
    return [node.name for node in seen.nodes if node.gateway_label == "true" and node.name in own]


def unlabelled(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """Nodes asked for whose label is not yet "true"."""
    return [name for name in gateway.nodes if (node := seen.node(name)) and node.gateway_label != "true"]


# --- switch, ports, policies, NAT rows ------------------------------------------------------------------------------


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


def misplaced_rules(gateway: ExternalGateway, seen: Observed) -> list[tuple[NatRule, HolderPort | None]]:
    """EIPs whose NAT is done on the other side than the type asks for, with the port that does it when distributed.

    Kube-OVN only makes new ones so (UpdateDnatAndSnat in pkg/ovs/ovn-nb-nat.go). An OvnFip's row always has a port.
    """
    rules = [
        rule for rule in seen.ovn.nat_rules if rule.type == "dnat_and_snat" and rule.external_ip not in seen.ovn_eips
    ]
    if gateway.type != "distributed":
        return [(rule, None) for rule in rules if rule.distributed or rule.stateless]
    ports = seen.ovn.holder_ports
    return [
        (rule, port)
        for rule in rules
        if (port := ports.get(rule.logical_ip))
        and (rule.logical_port, rule.external_mac, rule.stateless) != (port.name, port.mac, True)
    ]


def wrong_localnet(seen: Observed) -> SwitchPort | None:
    """The localnet port when it is tied to another network, or VLAN, than the bridges are."""
    for port in seen.ovn.switch_ports:
        if port.name == seen.ovn.names.localnet_port and port.type == "localnet":
            right = seen.vlan is None or (port.tag or 0) == seen.vlan
            return None if right and port.options.get("network_name") == seen.network else port
    return None


def _right_kind(port: SwitchPort, seen: Observed) -> bool:
    """Whether one of the two ports that Kube-OVN makes on the external switch is of the kind that it makes."""
    names = seen.ovn.names
    if port.name == names.switch_router_port:
        return port.type == "router" and port.options.get("router-port") == names.router_port
    return port.type == "localnet"


def broken_parts(seen: Observed) -> tuple[bool, list[SwitchPort]]:
    """What is in the controller's way: whether the router port must go, and which ports of the switch.

    It makes the router port and the switch's port together or not at all, so a half has to go before it makes both.
    """
    names = seen.ovn.names
    own = [port for port in seen.ovn.switch_ports if port.name in (names.switch_router_port, names.localnet_port)]
    wrong = [port for port in own if not _right_kind(port, seen)]
    halves = [port for port in own if port.name == names.switch_router_port]
    if seen.ovn.router_port and not any(port not in wrong for port in halves):
        return True, wrong
    if not seen.ovn.router_port:
        wrong += [port for port in halves if port not in wrong]
    return False, wrong


def missing_parts(seen: Observed) -> list[str]:
    """What of switch and router port is not there, by OVN's names."""
    names = seen.ovn.names
    ports = {port.name for port in seen.ovn.switch_ports if _right_kind(port, seen)}
    parts = [] if seen.ovn.switch_uuid else [f"switch {names.switch}"]
    parts += [] if seen.ovn.router_port else [f"router port {names.router_port}"]
    wanted = (names.localnet_port, names.switch_router_port)
    return parts + [f"switch port {name}" for name in wanted if name not in ports]


def router_pair(seen: Observed) -> list[str]:
    """What of router port and switch router port is in NB, by OVN's names."""
    names = seen.ovn.names
    found = [f"router port {names.router_port}"] if seen.ovn.router_port else []
    return found + [f"switch port {one.name}" for one in seen.ovn.switch_ports if one.name == names.switch_router_port]


def leftovers(seen: Observed) -> list[str]:
    """What of the gateway is in NB, by OVN's names. A switch of a VLAN subnet is not the ConfigMap's."""
    pair = router_pair(seen)
    own = [f"switch {seen.ovn.names.switch}"] if seen.ovn.switch_uuid and not seen.underlay else []
    return pair[:1] + own + pair[1:] if seen.ovn.router_port else own + pair


def changed_options(asked: Texts, seen: Observed) -> dict[str, str]:
    """NB_Global's options that are to have another value."""
    return {key: value for key, value in asked.items() if seen.ovn.options.get(key) != value}


def tears_down(seen: Observed) -> bool:
    """Whether the controller takes the router port away when the list of nodes changes.

    removeExternalGateway in pkg/controller/external_gw.go: on a VLAN subnet, and by a slip on a switch `ovn-external`.
    """
    return seen.underlay or seen.ovn.names.switch == "ovn-external"


def present(items: Iterable[str]) -> str | None:
    """A list for an annotation; None takes the annotation away."""
    return ",".join(items) or None
