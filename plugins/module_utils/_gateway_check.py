# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is refused before anything is written: all findings at once, each with the option's path. Pure.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, ip_interface, ip_network
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import (
    check_nic_name,
    derived_macs,
    not_a_host_of,
    parse_interface,
    parse_mac,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed, hand_labelled, written_data
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CHASSIS_ANNOTATION,
    CONFIG_MAP,
    GATEWAY_LABEL,
    ExternalGateway,
    Problem,
)
from ansible_collections.kubeovn.core.plugins.module_utils._objects import put_out_of_use

BFD_KEYS = {"min_rx": "bfd-min-rx", "min_tx": "bfd-min-tx", "multiplier": "bfd-mult"}
BFD_LIMITS = {"min_rx": (1, 60_000), "min_tx": (1, 60_000), "multiplier": (1, 255)}  # milliseconds; ovn-nb(5)


def wanted(options: Mapping[str, Any], seen: Observed) -> tuple[ExternalGateway, list[Problem]]:
    """The gateway that a task's options ask for, and all that is wrong with them."""
    problems: list[Problem] = []
    names = [str(name).strip() for name in options["nodes"]]
    drained = [str(name).strip() for name in options.get("drained") or []]
    _check_nodes(names, seen, problems)
    _check_drained(drained, names, problems)
    _check_leaving(names, seen, may_leave=options.get("may_leave") is not False, problems=problems)
    check_nic_name("nic", options["nic"], problems)
    gateway = parse_interface("gateway", options["gateway"], problems)
    own = parse_interface("nic_ip", options["nic_ip"], problems)
    if gateway and own:
        _check_networks(gateway, own, seen, problems)
    asked = ExternalGateway(
        nodes=tuple(names),
        nic=options["nic"],
        gateway=str(gateway),
        nic_ip=str(own),
        nic_mac=_mac(options.get("nic_mac"), own, seen, problems),
        type=options.get("type") or "centralized",
        switch=seen.ovn.names.switch,
        enabled=options.get("enabled") is not False,
        drained=tuple(drained),
        rescue=bool(options.get("rescue")),
        bfd=bfd_options(options.get("bfd"), problems),
    )
    if asked.type == "distributed" and asked.enabled:
        problems += _distributed_problems(asked, seen)
    problems += [*site_problems(seen), *_subnet_problems(gateway, seen), *_blocking_nodes(asked, seen)]
    return asked, problems


def bfd_options(bfd: Mapping[str, Any] | None, problems: list[Problem]) -> dict[str, str]:
    """NB_Global's options for the BFD timers asked for."""
    found = {}
    for name, value in (bfd or {}).items():
        if value is None:
            continue
        lowest, highest = BFD_LIMITS[name]
        if not lowest <= value <= highest:
            hint = "milliseconds between packets" if name != "multiplier" else "packets that may be missing in a row"
            problems.append(Problem(f"bfd.{name}", f"{value} is not from {lowest} to {highest}", hint))
        found[BFD_KEYS[name]] = str(value)
    return found


# --- the cluster ----------------------------------------------------------------------------------------------------


def site_problems(seen: Observed) -> Iterator[Problem]:
    """What about the cluster keeps the ConfigMap from having any effect."""
    if seen.extra_subnets:
        text, command = put_out_of_use(seen.extra_subnets)
        hint = f"these subnets' own gateways rule instead; remove the field: {command}"
        yield Problem("vpc ovn-cluster", text, hint)
    if seen.ovn.router_uuid is None:
        text = "NB has no logical router ovn-cluster"
        yield Problem("vpc ovn-cluster", text, "is this Kube-OVN's database, and did its controller start?")
    if not seen.eip_snat:
        text = "was started with --enable-eip-snat=false: it looks neither at the ConfigMap nor at EIPs"
        yield Problem("kube-ovn-controller", text, "take the flag out of its Deployment")


def _subnet_problems(gateway: IPv4Interface | None, seen: Observed) -> Iterator[Problem]:
    """A Subnet that is named like the external switch rules it: it has to say the same."""
    switch, subnet = seen.ovn.names.switch, seen.subnet
    if subnet is None:
        return
    if subnet.network is None:
        text = f"Subnet {switch} ({subnet.cidr}) has no vlan: Kube-OVN makes switch {switch} an overlay network of it"
        yield Problem("switch", text, "delete that Subnet, or give it the vlan of the physical network")
    if gateway is None:
        return
    if all(network != gateway.network for network in _networks(subnet.cidr)):
        text = f"{gateway} is not of Subnet {switch}'s network {subnet.cidr}"
        yield Problem("gateway", text, "the ConfigMap and that Subnet describe one network")
    elif subnet.gateway and str(gateway.ip) not in subnet.gateway.split(","):
        text = f"{gateway.ip} is not the gateway of Subnet {switch}, {subnet.gateway}"
        yield Problem("gateway", text, "the ConfigMap and that Subnet describe one network")


# --- nodes ----------------------------------------------------------------------------------------------------------


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
        return
    if not node.ready and name not in seen.listed and node.chassis not in seen.row_of:
        text = f"node {name} is not Ready, and no gateway yet"
        yield Problem(path, text, "make it Ready first; a gateway that dies later is another matter")
    if node.chassis is None:
        text = f"node {name} has no annotation {CHASSIS_ANNOTATION}: Kube-OVN's node daemon has not run there"
        yield Problem(path, text, "kube-ovn-controller would make no gateway at all; see to kube-ovn-cni on that node")
        return
    chassis = next((row for row in seen.ovn.chassis if row.name == node.chassis), None)
    if chassis is None:
        text = f"chassis {node.chassis} of node {name} is not in OVN's southbound database"
        yield Problem(path, text, "kube-ovn-controller would make no gateway at all; see to ovs-ovn on that node")
    elif chassis.hostname and chassis.hostname != name:
        text = f"chassis {node.chassis} of node {name} calls itself {chassis.hostname!r}"
        hint = f"Kube-OVN finds chassis by hostname: on the node, ovs-vsctl set open . external-ids:hostname={name}"
        yield Problem(path, text, hint)


def _blocking_nodes(gateway: ExternalGateway, seen: Observed) -> Iterable[Problem]:
    """Nodes that others labelled and whose chassis the controller would not find: it then makes nothing at all.

    Only where it has something to make of the ConfigMap: a node that is just starting is no harm to a gateway at rest.
    """
    if not gateway.enabled or not written_data(gateway, seen):
        return
    known = {row.name for row in seen.ovn.chassis}
    for name in hand_labelled(gateway, seen):
        node = seen.node(name)
        if node and node.gateway_label == "true" and node.chassis not in known:
            text = f"has label {GATEWAY_LABEL}=true, and its chassis is not in OVN's southbound database"
            hint = "kube-ovn-controller would make no gateway at all; see to ovs-ovn there, or take the label off"
            yield Problem(f"node {name}", text, hint)


def _check_leaving(names: Sequence[str], seen: Observed, *, may_leave: bool, problems: list[Problem]) -> None:
    leaving = [] if may_leave else [name for name in seen.listed if name not in names]
    if leaving:
        text = f"{', '.join(leaving)}: a gateway by ConfigMap {CONFIG_MAP}, and not named here"
        hint = "name all gateways, in an inventory as kubeovn_gateway_nodes; or let it go with may_leave: true"
        problems.append(Problem("nodes", text, hint))


def _check_drained(drained: Sequence[str], names: Sequence[str], problems: list[Problem]) -> None:
    for index, name in enumerate(drained):
        if name not in names:
            problems.append(Problem(f"drained[{index}]", f"{name} is not in nodes", "only a gateway can be drained"))
    if names and set(names) <= set(drained):
        problems.append(Problem("drained", "all gateways are drained", "leave one of nodes in service"))


def _distributed_problems(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    """What an EIP needs on the node of its holder, where it is then translated."""
    for rule in seen.ovn.nat_rules:
        port = seen.ovn.holder_ports.get(rule.logical_ip)
        if rule.type != "dnat_and_snat" or port is None or port.chassis is None:
            continue
        name = seen.node_of(port.chassis)
        if name not in gateway.nodes:
            text = f"EIP {rule.external_ip} is held by {port.name} on node {name}, which is not in nodes"
            yield Problem("type", text, "distributed: each node with an EIP's holder needs the external NIC itself")


# --- addresses ------------------------------------------------------------------------------------------------------


def _mac(asked: str | None, own: IPv4Interface | None, seen: Observed, problems: list[Problem]) -> str:
    """The router port's MAC. When none is asked for: the one on record, else the one in use, else one derived."""
    users = _macs_in_use(seen)
    if asked:
        mac = parse_mac("nic_mac", asked, problems)
        if mac in users:
            hint = "take another, or leave nic_mac out for one that is derived"
            problems.append(Problem("nic_mac", f"{mac} is in use by {users[mac]}", hint))
        return mac or ""
    # What is on record was asked for once; a port that differs was changed behind it.
    port = seen.ovn.router_port
    for known in ((seen.config_map or {}).get("nic-mac", ""), port.mac if port else ""):
        mac = parse_mac("", known, [])
        if mac and mac not in users:
            return mac
    return next(mac for mac in derived_macs(own.ip) if mac not in users) if own else ""


def _macs_in_use(seen: Observed) -> dict[str, str]:
    found = {port.mac.lower(): f"router port {port.name}" for port in seen.ovn.other_ports}
    macs = {rule.external_mac: rule for rule in seen.ovn.nat_rules if rule.external_mac}
    return found | {mac.lower(): f"EIP {rule.external_ip}" for mac, rule in macs.items()}


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
    hint = f"take a free one of {own.network}"
    problems += [Problem("nic_ip", f"{own.ip} is the address of {user}", hint) for user in _users_of(own.ip, seen)]
    _check_eips(gateway, own, seen, problems)


def _users_of(address: IPv4Address, seen: Observed) -> Iterator[str]:
    text = str(address)
    yield from (f"node {node.name}" for node in seen.nodes if text in (*node.internal_ips, *node.external_ips))
    for port in seen.ovn.other_ports:
        if any(str(ip_interface(network).ip) == text for network in port.networks):
            yield f"router port {port.name}"
    name = seen.ovn_eips.get(text)
    if name and name != seen.ovn.names.router_port:
        yield f"OvnEip {name}"
    if text in seen.claims and text not in _own_addresses(seen):
        yield f"an EIP that {seen.claims[text]} has claimed"


def _networks(cidr: str) -> list[IPv4Network]:
    found = (ip_network(part.strip(), strict=False) for part in cidr.split(",") if part.strip())
    return [network for network in found if isinstance(network, IPv4Network)]


def _check_eips(gateway: IPv4Interface, own: IPv4Interface, seen: Observed, problems: list[Problem]) -> None:
    """No EIP in use may lose its network, or be the address of a gateway as well."""
    current = [
        ip_network(cidr, strict=False) for cidr in (seen.ovn.router_port.networks if seen.ovn.router_port else ())
    ]
    strangers = []
    shared = _shared(seen)
    for address, user in sorted(_eips(seen).items()):
        for path, host in (("nic_ip", own.ip), ("gateway", gateway.ip)):
            if address == host and not (path == "nic_ip" and str(address) in shared):
                hint = "take a free address, or release the EIP first"
                problems.append(Problem(path, f"{address} is an EIP in use, of {user}", hint))
        if not_a_host_of(address, own.network) and any(address in network for network in current):
            strangers.append(f"{address} (of {user})")
    if strangers:
        text = f"EIPs in use would be outside of {own.network}: {', '.join(strangers)}"
        problems.append(Problem("nic_ip", text, "release them first"))


def _shared(seen: Observed) -> set[str]:
    """The router port's address where it is the source of pods' connections too, as is usual with OVN.

    A disabled gateway has no port and keeps its NAT rows: then the address is on record only.
    """
    own = _own_addresses(seen)
    others = {rule.external_ip for rule in seen.ovn.nat_rules if rule.type != "snat"}
    return {rule.external_ip for rule in seen.ovn.nat_rules if rule.external_ip in own} - others


def _own_addresses(seen: Observed) -> set[str]:
    port = seen.ovn.router_port
    networks = port.networks if port else [(seen.config_map or {}).get("nic-ip", "")]
    return {network.split("/")[0] for network in networks}


def _eips(seen: Observed) -> dict[IPv4Address, str]:
    """The external addresses that NAT rows have, and whose each is."""
    found = {}
    for rule in seen.ovn.nat_rules:
        with suppress(AddressValueError):  # NAT rows of IPv6 are none of Kube-OVN's EIPs
            found[IPv4Address(rule.external_ip)] = rule.logical_port or rule.logical_ip
    return found


# --- absent ---------------------------------------------------------------------------------------------------------


def absent_problems(seen: Observed) -> list[Problem]:
    """What still needs the gateway that is to go."""
    switch = seen.ovn.names.switch
    force = "or give force: true"
    problems = [
        Problem(
            f"EIP {rule.external_ip}",
            f"{rule.type} {rule.external_ip} -> {rule.logical_ip} still uses the gateway",
            f"release it first: kubeovn.core.ovn_eip with state=absent; {force}",
        )
        for rule in sorted(seen.ovn.nat_rules, key=lambda rule: rule.external_ip)
    ]
    rows = {rule.external_ip for rule in seen.ovn.nat_rules}
    for address, holder in sorted(seen.claims.items()):
        if address not in rows:  # of a stopped machine nothing else tells
            text = f"{holder} has claimed it, though OVN has no rule of it now"
            hint = f"release it first: kubeovn.core.ovn_eip with state=absent, or pruned if nobody has it; {force}"
            problems.append(Problem(f"EIP {address}", text, hint))
    if seen.subnet:
        text = f"describes the external network too ({seen.subnet.cidr})"
        problems.append(Problem(f"Subnet {switch}", text, f"delete it first; {force}"))
    for name in seen.users:
        text = f"is connected to the external switch {switch}"
        problems.append(Problem(f"vpc {name}", text, f"set its spec.enableExternal to false first; {force}"))
    for address, name in sorted(seen.ovn_eips.items()):
        if name != seen.ovn.names.router_port:
            problems.append(Problem(f"OvnEip {name}", f"has {address} of this network", f"delete it first; {force}"))
    own = (seen.ovn.names.localnet_port, seen.ovn.names.switch_router_port)
    foreign = [port.name for port in seen.ovn.switch_ports if port.name not in own and not seen.underlay]
    if foreign:
        text = f"ports {', '.join(foreign)} are on it, which the gateway's ConfigMap did not make"
        problems.append(Problem(f"switch {switch}", text, f"disconnect these VPCs or pods first; {force}"))
    return problems
