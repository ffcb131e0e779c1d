# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's links and Open vSwitch say about its external NIC: which links are protected, which may be handed over.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils import _node_bond

OVS_DATAPATH = "ovs-system"  # every port of a kernel datapath has this master, whatever its bridge
STAGED = 4095  # a port that carries this VLAN alone carries nothing: no frame can have that tag


@dataclass(frozen=True)
class Link:
    """A network link, from `ip -d addr show`."""

    name: str
    kind: str  # bond, vlan, veth, ...; empty: hardware
    mac: str
    mtu: int
    up: bool
    carrier: bool
    addresses: tuple[str, ...] = ()  # with prefix length, link-local ones too
    master: str | None = None
    lower: str | None = None  # the link it stands on (VLAN, macvlan); a veth's peer, when it is in this namespace
    permanent_mac: str | None = None  # of a bond's member
    loopback: bool = False
    bond: Mapping[str, Any] = field(default_factory=dict)  # a bond's options, see _node_bond
    active_member: str | None = None
    aggregate: Mapping[str, Any] = field(default_factory=dict)  # a bond's with its LACP partner, see _node_bond
    altnames: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tunnel:
    """A tunnel of the overlay to another chassis."""

    remote: str
    bfd: str | None = None  # up, down, init, admin_down; None: nobody asks for BFD on it
    error: str | None = None


@dataclass(frozen=True)
class Ovs:
    """What Open vSwitch's database says. `problem`: why it could not be read."""

    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # bridge -> its interfaces
    errors: Mapping[str, str] = field(default_factory=dict)  # interface -> Open vSwitch's error
    peers: Mapping[str, str] = field(default_factory=dict)  # patch port -> the port at its other end
    external_ids: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)  # interface -> its type, unless a link of the machine
    numbers: Mapping[str, int] = field(default_factory=dict)  # interface -> its OpenFlow number
    staged: frozenset[str] = frozenset()  # interfaces whose port carries nothing yet
    tunnels: tuple[Tunnel, ...] = ()
    problem: str | None = None

    def bridge_of(self, interface: str) -> str | None:
        """The bridge that has this interface, if any."""
        return next((name for name, ports in self.bridges.items() if interface in ports and interface != name), None)

    @property
    def mappings(self) -> dict[str, str]:
        """ovn-bridge-mappings as network -> bridge."""
        pairs = self.external_ids.get("ovn-bridge-mappings", "").split(",")
        return {
            net: bridge for net, colon, bridge in (pair.strip().partition(":") for pair in pairs) if colon and bridge
        }

    @property
    def encap_ips(self) -> list[str]:
        """Addresses that the overlay's tunnels start from."""
        return [text.strip() for text in self.external_ids.get("ovn-encap-ip", "").split(",") if text.strip()]

    def patch_port(self, mapping: str) -> str:
        """The port with which ovn-controller ties a network's bridge to OVN's own."""
        return f"patch-localnet.{mapping}-to-{self.integration_bridge}"

    def without(self, nic: str, bridge: str, mapping: str) -> Ovs:
        """As it would be without this NIC in this bridge and without this network."""
        gone = (nic, self.patch_port(mapping))
        bridges = {
            name: tuple(port for port in ports if name != bridge or port not in gone)
            for name, ports in self.bridges.items()
        }
        kept = ",".join(f"{net}:{name}" for net, name in self.mappings.items() if net != mapping)
        types = {name: kind for name, kind in self.types.items() if name not in gone}
        external_ids = {**self.external_ids, "ovn-bridge-mappings": kept}
        return replace(self, bridges=bridges, types=types, external_ids=external_ids)

    @property
    def integration_bridge(self) -> str:
        """OVN's own bridge."""
        return self.external_ids.get("ovn-bridge", "br-int")


def parse_links(rows: Iterable[Mapping[str, Any]]) -> dict[str, Link]:
    """Links by name from the rows of `ip -json -details addr show`."""
    return {link.name: link for link in (_parse_link(row) for row in rows if row.get("ifname"))}


def _parse_link(row: Mapping[str, Any]) -> Link:
    info = row.get("linkinfo") or {}
    data = info.get("info_data") or {}
    is_bond = info.get("info_kind") == "bond"
    addresses = [a for a in row.get("addr_info") or () if a.get("local")]
    return Link(
        name=row["ifname"],
        kind=info.get("info_kind", ""),
        mac=row.get("address", ""),
        mtu=row.get("mtu", 0),
        up="UP" in row.get("flags", ()),
        carrier="LOWER_UP" in row.get("flags", ()),
        addresses=tuple(f"{a['local']}/{a['prefixlen']}" for a in addresses),
        master=row.get("master"),
        lower=row.get("link") or data.get("link"),  # a vxlan tells it among its data
        permanent_mac=row.get("permaddr"),
        loopback=row.get("link_type") == "loopback",
        bond=_node_bond.options_of(data) if is_bond else {},
        active_member=data.get("active_slave") if is_bond else None,
        aggregate=_node_bond.aggregate_of(data) if is_bond else {},
        altnames=tuple(row.get("altnames") or ()),
    )


def default_routes(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(link, reason) for each default route of the rows of `ip -json route show table all default`."""
    found = []
    for row in rows:
        table = row.get("table", "main")
        reason = "carries the default route" + ("" if table == "main" else f" of table {table}")
        hops = [row, *(row.get("nexthops") or ())]
        found += [(hop["dev"], reason) for hop in hops if hop.get("dev")]
    return found


def routes_to(address: str, rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(link, table) of the routes that lead to an address in each table; default routes are told apart.

    Which table counts is up to rules that may ask for marks, so that each of them may be the one; in a table it is
    the longest prefix, with all its next hops and metrics.
    """
    wanted, found = ip_address(address), []
    for row in rows:
        if row.get("dst", "default") == "default" or row.get("table") == "local":
            continue
        network = ip_network(row["dst"], strict=False)
        if wanted in network:
            hops = [row, *(row.get("nexthops") or ())]
            table = str(row.get("table", "main"))
            found += [(table, network.prefixlen, hop["dev"]) for hop in hops if hop.get("dev")]
    longest = {table: max(length for each, length, _dev in found if each == table) for table, _length, _dev in found}
    return sorted({(dev, table) for table, length, dev in found if length == longest[table]})


def on_top(links: Mapping[str, Link]) -> dict[str, list[str]]:
    """What stands on a link and would lose its network with it: VLAN links, macvlans, ipvlans, tunnels."""
    above = [link for link in links.values() if link.lower in links and link.kind != "veth"]
    return {
        name: [f"carries {', '.join(sorted(f'{x.name} ({x.kind})' for x in above if x.lower == name))}"]
        for name in {link.lower for link in above if link.lower}
    }


def holder(links: Mapping[str, Link], address: str) -> str | None:
    """The link that has this address."""
    wanted = ip_address(address)
    for link in links.values():
        if any(ip_interface(text).ip == wanted for text in link.addresses):
            return link.name
    return None


def is_link_local(address: str) -> bool:
    """Whether an address with prefix length is a link-local one."""
    return ip_interface(address).ip.is_link_local


def _neighbours(links: Mapping[str, Link], ovs: Ovs) -> dict[str, set[str]]:
    """Links that share one path: master and member, VLAN and what it stands on, the ports of one OVS bridge."""
    near: dict[str, set[str]] = {name: set() for name in links}

    def join(one: str, other: str | None) -> None:
        if one in near and other in near and other is not None:
            near[one].add(other)
            near[other].add(one)

    for link in links.values():
        if link.master != OVS_DATAPATH:
            join(link.name, link.master)
        join(link.name, link.lower)
    for bridge, interfaces in ovs.bridges.items():
        if bridge != ovs.integration_bridge:  # it joins all pods, not one path
            for interface in interfaces:
                join(interface, bridge)
    return near


def protect(links: Mapping[str, Link], ovs: Ovs, anchors: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Why each protected link must not be touched: the anchors' reasons, also for all that shares a path with them."""
    near = _neighbours(links, ovs)
    result: dict[str, list[str]] = {}
    for anchor, reason in anchors:
        if anchor not in near or links[anchor].loopback:
            continue
        reached, todo = {anchor}, [anchor]
        while todo:
            new = near[todo.pop()] - reached
            reached |= new
            todo += sorted(new)
        for name in sorted(reached):
            text = reason if name == anchor else f"shares its path with {anchor}, which {reason}"
            if text not in result.setdefault(name, []):
                result[name].append(text)
    return result


_KINDS = {
    "vlan": "is a VLAN link: hand over {lower} and leave the tag to Kube-OVN",
    "bridge": "is a Linux bridge",
    "openvswitch": "is Open vSwitch's own",
    "team": "is a team: make it a bond",
    "veth": "is a veth of this machine, not a NIC",
    "dummy": "is a dummy: nothing is behind it",
}


def obstacles(
    name: str,
    links: Mapping[str, Link],
    ovs: Ovs,
    protected: Mapping[str, list[str]],
    bridge: str,
    in_container: bool,
    bond: str | None = None,
) -> list[str]:
    """Why a link cannot be the external NIC (or, with `bond`, a member of that bond); empty: it can.

    A veth is a NIC only where the machine itself is a container: what it was given as NICs are veths whose other end is
    outside. Everywhere else a veth is the host's end of some pod's cable.
    """
    link = links.get(name)
    if link is None:
        other = called(name, links)
        if other is not None:
            return [f"is another name of {other}: give that one"]
        nics = sorted(x.name for x in links.values() if not _kind_obstacles(x, ovs, in_container, bond))
        return [f"does not exist on this node, whose NICs are {', '.join(nics) or 'none'}"]
    found = list(protected.get(name, ()))
    found += _kind_obstacles(link, ovs, in_container, bond)
    owner = ovs.bridge_of(name)
    if owner is not None and (owner != bridge or bond):
        found.append(f"is a port of Open vSwitch bridge {owner}")
    if link.master == OVS_DATAPATH:
        if ovs.problem:
            found.append(f"is a port of an Open vSwitch bridge, and which one cannot be read: {ovs.problem}")
    elif link.master is not None and link.master != bond:
        kind = links[link.master].kind if link.master in links else ""
        found.append(f"is enslaved to {kind + ' ' if kind else ''}{link.master}")
    return found


def _kind_obstacles(link: Link, ovs: Ovs, in_container: bool, bond: str | None) -> list[str]:
    if link.loopback:
        return ["is the loopback"]
    if link.name in ovs.bridges:
        return ["is an Open vSwitch bridge"]
    is_nic = link.kind == "" or (link.kind == "veth" and in_container and link.lower is None)
    if is_nic or (link.kind == "bond" and not bond):
        return []
    text = _KINDS.get(link.kind, "is a {kind} link, not a NIC or a bond")
    return [text.format(kind=link.kind, lower=link.lower or "the NIC below it")]


def called(name: str, links: Mapping[str, Link]) -> str | None:
    """The link that has this as another name, or as its MAC address; None: there is none."""
    text = name.lower()
    by_mac = (x.name for x in links.values() if text and text in (x.permanent_mac, x.mac) and x.lower is None)
    return next((x.name for x in links.values() if name in x.altnames), next(by_mac, None))


def bond_obstacles(name: str, members: Iterable[str], links: Mapping[str, Link]) -> list[str]:
    """Why a bond of this name cannot be made of these members, whatever they are."""
    found, members = [], list(members)
    if name in members:
        found.append("is among its own members")
    elif name in links and links[name].kind != "bond":
        found.append("exists already and is not a bond: the bond needs another name")
    elif called(name, links) is not None and name not in links:
        found.append(f"is another name of {called(name, links)}: the bond needs one of its own")
    if not re.fullmatch(r"[^\s/:%*?\[\]]{1,15}", name) or name in (".", "..", "all", "default"):
        found.append("is no name for a link: at most 15 characters, without spaces and slashes")
    if len(set(members)) != len(members):
        found.append(f"has a member twice: {', '.join(members)}")
    return found


def members_of(links: Mapping[str, Link], bond: str) -> list[str]:
    """Names of a bond's members."""
    return sorted(link.name for link in links.values() if link.master == bond)


def unprepared(
    name: str, links: Mapping[str, Link], mtu: int | None, members: Iterable[str], bond: Mapping[str, Any]
) -> list[str]:
    """What the external NIC still lacks before it can be handed over, in words; empty: it is as it should be."""
    link = links.get(name)
    if link is None:
        return ["does not exist"]
    found = [] if link.up else ["is down"]
    if mtu and link.mtu != mtu:
        found.append(f"has MTU {link.mtu}, not {mtu}")
    found += [f"has the address {address}" for address in link.addresses]
    wanted = sorted(members)
    if wanted and link.kind == "bond":
        if members_of(links, name) != wanted:
            found.append(f"has the members {', '.join(members_of(links, name)) or 'none'}, not {', '.join(wanted)}")
        found += _node_bond.in_words(_node_bond.differences(link.bond, bond))
        found += [f"has the member {x}, which is down" for x in wanted if x in links and not links[x].up]
    return found


def without_carrier(name: str, links: Mapping[str, Link]) -> list[str]:
    """That nothing is behind the external NIC, in words; nobody's configuration helps there, so it is told apart."""
    link = links.get(name)
    if link is None or not link.up or link.carrier:
        return []
    members = members_of(links, name)
    return [f"has no carrier, since none of {', '.join(members)} has" if members else "has no carrier"]


def missing(
    links: Mapping[str, Link], ovs: Ovs, nic: str, bridge: str, mapping: str, in_container: bool = False
) -> list[str]:
    """What a node lacks to be a gateway, or has too much, in words; empty: it is one."""
    if ovs.problem:
        return [f"Open vSwitch cannot be read: {ovs.problem}"]
    found = _missing_ports(ovs, nic, bridge, mapping)
    found += [
        f"{bridge} still holds {name}: two NICs of one network are a loop"
        for name in bridged_nics(links, ovs, bridge, in_container)
        if name != nic and name not in ovs.staged
    ]
    if ovs.mappings.get(mapping) != bridge:
        has = ovs.external_ids.get("ovn-bridge-mappings") or "nothing"
        found.append(f"ovn-bridge-mappings has {has}, not {mapping}:{bridge}")
    link = links.get(nic)
    if link is None:
        found.append(f"there is no link {nic}")
    elif not link.up:
        found.append(f"{nic} is down")
    elif not link.carrier:
        found.append(f"{nic} has no carrier")
    return found


def bridged_nics(links: Mapping[str, Link], ovs: Ovs, bridge: str, in_container: bool) -> list[str]:
    """The NICs and bonds in a bridge; patch ports, taps and veths of the machine's own are none."""
    ports = [name for name in ovs.bridges.get(bridge, ()) if name != bridge]

    def is_nic(name: str) -> bool:
        if name in links and ovs.types.get(name, "system") == "system":
            return not _kind_obstacles(links[name], ovs, in_container, None)
        return ovs.types.get(name) in ("dpdk", "afxdp")

    return [name for name in ports if is_nic(name)]


def _missing_ports(ovs: Ovs, nic: str, bridge: str, mapping: str) -> list[str]:
    if bridge not in ovs.bridges:
        return [f"bridge {bridge} does not exist"]
    found = []
    ports, inner = ovs.bridges[bridge], ovs.integration_bridge
    patch = ovs.patch_port(mapping)
    if nic not in ports:
        found.append(f"{bridge} does not hold {nic}")
    elif nic in ovs.staged:
        found.append(f"{nic} in {bridge} is staged only, it carries nothing yet")
    elif ovs.errors.get(nic):
        found.append(f"{nic} in {bridge} does not work: {ovs.errors[nic]}")
    if patch not in ports:
        found.append(f"{bridge} has no patch port {patch}")
    elif ovs.peers.get(patch) not in ovs.bridges.get(inner, ()):
        found.append(f"patch port {patch} has no other end in {inner}")
    return found


def leftovers(ovs: Ovs, nic: str, bridge: str, mapping: str) -> list[str]:
    """What a node still has of a gateway that is to be gone, in words."""
    if ovs.problem:
        return [f"Open vSwitch cannot be read: {ovs.problem}"]
    found = []
    ports = ovs.bridges.get(bridge, ())
    found += [f"{bridge} still holds {port}" for port in (nic, ovs.patch_port(mapping)) if port in ports]
    if mapping in ovs.mappings:
        found.append(f"ovn-bridge-mappings still has {mapping}:{ovs.mappings[mapping]}")
    return found


def release(ovs: Ovs, nic: str, bridge: str, mapping: str, uuids: Mapping[str, str]) -> list[dict[str, Any]]:
    """OVSDB operations that take NIC and patch port out of the bridge and the network out of ovn-bridge-mappings.

    `uuids` are the ports' rows by name. ovn-controller takes its patch port back, but not in the first seconds
    after its start, and then only when something wakes it.
    They need no further guard: deleting a pair from a map does nothing when its value has changed meanwhile, and
    inserting one does nothing while its key is there.
    """
    operations: list[dict[str, Any]] = []
    ports = [port for port in (nic, ovs.patch_port(mapping)) if port in uuids and port in ovs.bridges.get(bridge, ())]
    if ports:
        mutation = ["ports", "delete", ["set", [["uuid", uuids[port]] for port in ports]]]
        operations.append(
            {"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": [mutation]}
        )
    if mapping in ovs.mappings:
        key = "ovn-bridge-mappings"
        kept = ovs.without(nic, bridge, mapping).external_ids[key]
        mutations = [["external_ids", "delete", ["map", [[key, ovs.external_ids[key]]]]]]
        if kept:
            mutations.append(["external_ids", "insert", ["map", [[key, kept]]]])
        operations.append({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutations})
    return operations
