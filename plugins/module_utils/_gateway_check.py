# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is refused before anything is written, and what is still wrong with the external gateway afterwards. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, ip_network
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import (
    check_nic_name,
    derived_mac,
    not_a_host_of,
    parse_interface,
    parse_mac,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    Observed,
    changed_data,
    in_order,
    leftovers,
    missing_parts,
    missing_rows,
    old_policies,
    stray_labels,
    surplus_rows,
    unlabelled,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CHASSIS_ANNOTATION,
    CONFIG_MAP,
    EXTERNAL_SWITCH,
    GATEWAY_LABEL,
    LOCALNET_PORT,
    ROUTER_PORT,
    SWITCH_ROUTER_PORT,
    ExternalGateway,
    GatewayNode,
    Problem,
)

CONTROLLER_HINT = "kube-ovn-controller does this; its log names the reason when it cannot"

# --- options --------------------------------------------------------------------------------------------------------


def wanted(options: Mapping[str, Any], seen: Observed) -> tuple[ExternalGateway, list[Problem]]:
    """The gateway that a task's options ask for, and all that is wrong with them."""
    problems: list[Problem] = []
    names = [str(name).strip() for name in options["nodes"]]
    _check_nodes(names, seen, problems)
    check_nic_name("nic", options["nic"], problems)
    gateway = parse_interface("gateway", options["gateway"], problems)
    own = parse_interface("nic_ip", options["nic_ip"], problems)
    if gateway and own:
        _check_networks(gateway, own, seen, problems)
    mac = parse_mac("nic_mac", options["nic_mac"], problems) if options.get("nic_mac") else _kept_mac(own, seen)
    asked = ExternalGateway(
        nodes=tuple(names),
        nic=options["nic"],
        gateway=str(gateway),
        nic_ip=str(own),
        nic_mac=mac or "",
        type=options.get("type") or "centralized",
    )
    problems += site_problems(seen)
    return asked, problems


def site_problems(seen: Observed) -> list[Problem]:
    """What about the cluster keeps the ConfigMap from having any effect."""
    problems = []
    if seen.extra_subnets:
        text = f"spec.extraExternalSubnets is set ({', '.join(seen.extra_subnets)}): Kube-OVN then ignores {CONFIG_MAP}"
        problems.append(Problem("vpc ovn-cluster", text, "clear it, or give this cluster its gateway by subnets"))
    if seen.ovn.router_uuid is None:
        text = "NB has no logical router ovn-cluster"
        problems.append(Problem("vpc ovn-cluster", text, "is this Kube-OVN's database, and did its controller start?"))
    return problems


def _kept_mac(own: IPv4Interface | None, seen: Observed) -> str:
    """The MAC when none is asked for: the one in use, else the one on record, else one made from the address."""
    if seen.ovn.router_port:
        return seen.ovn.router_port.mac.lower()
    recorded = parse_mac("", (seen.config_map or {}).get("nic-mac", ""), [])
    return recorded or (derived_mac(own.ip) if own else "")


def _check_nodes(names: Sequence[str], seen: Observed, problems: list[Problem]) -> None:
    if not names:
        problems.append(Problem("nodes", "no node is named", "name the machines that have the external NIC"))
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        path = f"nodes[{index}]"
        if name in first:
            text = f"{name} stands in nodes[{first[name]}] already"
            problems.append(Problem(path, text, "the order is the priority, so each node has one place"))
            continue
        first[name] = index
        problems += _node_problems(path, name, seen)


def _node_problems(path: str, name: str, seen: Observed) -> Iterable[Problem]:
    node = seen.node(name)
    if node is None:
        yield Problem(path, f"the cluster has no node {name!r}", "`kubectl get nodes` shows the names")
    elif node.chassis is None:
        text = f"node {name} has no annotation {CHASSIS_ANNOTATION}: Kube-OVN's node daemon has not run there"
        yield Problem(path, text, "kube-ovn-controller would make no gateway at all; see to kube-ovn-cni on that node")
    elif all(row.name != node.chassis for row in seen.ovn.chassis):
        text = f"chassis {node.chassis} of node {name} is not in OVN's southbound database"
        yield Problem(path, text, "kube-ovn-controller would make no gateway at all; see to ovs-ovn on that node")


def _check_networks(gateway: IPv4Interface, own: IPv4Interface, seen: Observed, problems: list[Problem]) -> None:
    if gateway.network != own.network:
        text = f"{own} is not in the gateway's network {gateway.network}"
        problems.append(Problem("nic_ip", text, "the router port stands on the same network as the physical gateway"))
    elif gateway.ip == own.ip:
        text = f"{own.ip} is the physical gateway's address"
        problems.append(Problem("nic_ip", text, f"take a free address of {own.network}"))
    for name, cidr in sorted(seen.overlays.items()):
        if any(part.overlaps(own.network) for part in _networks(cidr)):
            text = f"{own.network} overlaps subnet {name} ({cidr}) of the cluster"
            problems.append(Problem("nic_ip", text, "the external network has to be one of its own"))
    owners = [node.name for node in seen.nodes if str(own.ip) in node.internal_ips]
    problems += [Problem("nic_ip", f"{own.ip} is the address of node {name}", "take a free one") for name in owners]
    _check_eips(gateway, own, seen, problems)


def _networks(cidr: str) -> list[IPv4Network]:
    found = (ip_network(part.strip(), strict=False) for part in cidr.split(",") if part.strip())
    return [network for network in found if isinstance(network, IPv4Network)]


def _check_eips(gateway: IPv4Interface, own: IPv4Interface, seen: Observed, problems: list[Problem]) -> None:
    """No EIP in use may lose its network, or be the address of a gateway as well."""
    current = [
        ip_network(cidr, strict=False) for cidr in (seen.ovn.router_port.networks if seen.ovn.router_port else ())
    ]
    strangers = []
    for address, user in sorted(_eips(seen).items()):
        for path, host in (("nic_ip", own.ip), ("gateway", gateway.ip)):
            if address == host:
                hint = "take a free address, or release the EIP first"
                problems.append(Problem(path, f"{address} is an EIP in use, of {user}", hint))
        if not_a_host_of(address, own.network) and any(address in network for network in current):
            strangers.append(f"{address} (of {user})")
    if strangers:
        text = f"EIPs in use would be outside of {own.network}: {', '.join(strangers)}"
        problems.append(Problem("nic_ip", text, "release them first"))


def _eips(seen: Observed) -> dict[IPv4Address, str]:
    """The external addresses that NAT rows have, and whose each is."""
    found = {}
    for rule in seen.ovn.nat_rules:
        with suppress(AddressValueError):  # NAT rows of IPv6 are none of Kube-OVN's EIPs
            found[IPv4Address(rule.external_ip)] = rule.logical_port or rule.logical_ip
    return found


def absent_problems(seen: Observed) -> list[Problem]:
    """What still needs the gateway that is to go."""
    problems = [
        Problem(
            f"EIP {rule.external_ip}",
            f"{rule.type} {rule.external_ip} -> {rule.logical_ip} still uses the gateway",
            "release it first: kubeovn.core.ovn_eip with state=absent",
        )
        for rule in sorted(seen.ovn.nat_rules, key=lambda rule: rule.external_ip)
    ]
    own = (LOCALNET_PORT, SWITCH_ROUTER_PORT)
    foreign = [port.name for port in seen.ovn.switch_ports if port.name not in own and not seen.underlay]
    if foreign:
        text = f"ports {', '.join(foreign)} are on it, which the gateway's ConfigMap did not make"
        problems.append(Problem(f"switch {EXTERNAL_SWITCH}", text, "disconnect these VPCs or pods first"))
    return problems


# --- what is still wrong --------------------------------------------------------------------------------------------


def unfinished(gateway: ExternalGateway | None, seen: Observed) -> list[Problem]:
    """Where the world is not yet as asked: each with its probable cause."""
    return list(_absent_unfinished(seen) if gateway is None else _present_unfinished(gateway, seen))


def _absent_unfinished(seen: Observed) -> Iterable[Problem]:
    if seen.config_map is not None:
        yield Problem(f"ConfigMap {CONFIG_MAP}", "is still there, or again", "does something else write it?")
    for name in leftovers(seen):
        yield Problem(name, "is still in NB", "does something else make it?")
    for node in seen.nodes:
        if node.gateway_label is not None:
            yield Problem(f"node {node.name}", f"still has label {GATEWAY_LABEL}={node.gateway_label}", CONTROLLER_HINT)
    if seen.ovn.active_chassis:
        text = f"is still claimed by {seen.node_of(seen.ovn.active_chassis)} in SB"
        yield Problem(f"router port {ROUTER_PORT}", text, "northd or ovn-controller is behind: are they running?")


def _present_unfinished(gateway: ExternalGateway, seen: Observed) -> Iterable[Problem]:
    for key, value in changed_data(gateway, seen.config_map).items():
        found = (seen.config_map or {}).get(key, "missing")
        text = f"{key} is {found}, not {value}"
        yield Problem(f"ConfigMap {CONFIG_MAP}", text, "does something else write it?")
    for name in missing_parts(seen):
        yield Problem(name, "is not in NB", CONTROLLER_HINT)
    port = seen.ovn.router_port
    if port and (port.mac.lower() != gateway.nic_mac or port.networks != (gateway.nic_ip,)):
        text = f"has {port.mac} {', '.join(port.networks)}, not {gateway.nic_mac} {gateway.nic_ip}"
        yield Problem(f"router port {ROUTER_PORT}", text, "does something else write it?")
    yield from _nodes_unfinished(gateway, seen)
    if port:
        yield from _chassis_unfinished(gateway, seen)
    if old_policies(gateway, seen):
        text = f"{len(old_policies(gateway, seen))} of them do not send to {gateway.gateway.split('/')[0]}"
        yield Problem("policies of EIPs", text, "is kube-ovn-controller writing them at the same time?")


def _nodes_unfinished(gateway: ExternalGateway, seen: Observed) -> Iterable[Problem]:
    for name in unlabelled(gateway, seen):
        yield Problem(f"node {name}", f"does not have label {GATEWAY_LABEL}=true", CONTROLLER_HINT)
    for name in stray_labels(gateway, seen):
        yield Problem(f"node {name}", f"has label {GATEWAY_LABEL}=true", "does something else label it?")
    for name in gateway.nodes:
        node = seen.node(name)
        if node is None:
            yield Problem(f"node {name}", "is gone", "was it deleted just now?")
        elif node.ready and not seen.mapped(name):
            text = f"its chassis has no bridge mapping for network {EXTERNAL_SWITCH}"
            hint = (
                f"its node daemon puts NIC {gateway.nic} into br-external: is the NIC there, is kube-ovn-cni running?"
            )
            yield Problem(f"node {name}", text, hint)


def _chassis_unfinished(gateway: ExternalGateway, seen: Observed) -> Iterable[Problem]:
    path = f"router port {ROUTER_PORT}"
    missing = missing_rows(gateway, seen)
    if missing:
        yield Problem(path, f"has no gateway chassis for {', '.join(missing)}", CONTROLLER_HINT)
    surplus = [seen.node_of(row.chassis) for row in surplus_rows(gateway, seen)]
    if surplus:
        yield Problem(path, f"has a gateway chassis for {', '.join(surplus)}", "does something else add it?")
    if not in_order(gateway, seen):
        ranks = ", ".join(f"{seen.node_of(row.chassis)}={row.priority}" for row in seen.rows)
        yield Problem(
            path, f"has priorities {ranks}, not {' > '.join(gateway.nodes)}", "does something else write them?"
        )
    first = first_ready(gateway, seen)
    active = seen.node_of(seen.ovn.active_chassis) if seen.ovn.active_chassis else "no gateway"
    if first is None:
        yield Problem("nodes", "none that is asked for is Ready", "external traffic needs one at least")
    elif active != first.name:
        hint = f"{first.name} is first of those that are Ready: does ovn-controller run there, are its tunnels up?"
        yield Problem(path, f"is active on {active}, not on {first.name}", hint)


def first_ready(gateway: ExternalGateway, seen: Observed) -> GatewayNode | None:
    """The node that has to be active: the first that is Ready and has a gateway chassis."""
    have = {row.chassis for row in seen.rows}
    nodes = (node for name in gateway.nodes if (node := seen.node(name)))
    return next((node for node in nodes if node.ready and node.chassis in have), None)


def unverified(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """What nobody can say from here: the node's own side, which a role gathers."""
    nodes = [node for name in gateway.nodes if (node := seen.node(name))]
    away = [node.name for node in nodes if not node.ready]
    found = [f"node {name} is not Ready: whether its bridge, NIC and tunnels are right was not seen" for name in away]
    text = f"whether {gateway.nic} is in the node's bridge is seen on the node only; role external_gateway looks"
    return found + [f"node {node.name}: {text}" for node in nodes if node.ready]
