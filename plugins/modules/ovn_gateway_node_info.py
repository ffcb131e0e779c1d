#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node itself shows of an external gateway: its NIC, its bridge, and the links that must not be touched."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_gateway_node_info
short_description: What a node itself shows of an external gateway
version_added: 0.1.0
description:
  - Looks at a gateway node from the inside, where neither Kubernetes nor OVN's databases can - its links, its routes
    and its own Open vSwitch database.
  - Says whether a NIC may be handed over to Kube-OVN as external NIC, and if not, why. Links that carry a default route
    of any table, Ansible's own connection, the way to the API server, the overlay's encapsulation address or the node's
    InternalIP are protected, with everything that shares a path with them - masters, members, VLAN links, ports of the
    same Open vSwitch bridge. Ways are looked for in all routing tables, with all their next hops.
  - A NIC that carries VLAN links, macvlans, ipvlans or tunnels is refused as well.
  - Says what the node still lacks to be a gateway, or what it still has of one.
  - With O(arp_probe), asks the physical network who has which address.
  - Changes nothing.
notes:
  - Runs on the node itself, as root. Needs Python 3.8 or newer without any library, and iproute2 4.18 or newer.
  - A veth counts as a NIC only where the machine itself is a container (systemd-nspawn, LXC), since there the NICs it
    was given are veths. On any other machine a veth is the host's end of a pod's cable, and is refused.
author:
  - kubeovn.core contributors (@kubeovn-core)
attributes:
  check_mode:
    description: Can run in check mode and returns the same. The probes of O(arp_probe) are sent then, too.
    support: full
  diff_mode:
    description: Returns what has changed, or would change.
    support: N/A
    details: Nothing is changed.
options:
  nic:
    description:
      - The external NIC, the link that is to be a port of O(bridge).
      - Left out, only the node's links are returned.
    type: str
  members:
    description: The NICs that O(nic) is, or is to be, a bond of.
    type: list
    elements: str
    default: []
  macs:
    description:
      - Links that are found by their MAC address, since they are still to get their name
        (M(kubeovn.core.ovn_gateway_node_config)) - name and MAC address of O(nic), or with O(members) of those.
    type: dict
    default: {}
  bond:
    description: What the bond is to be like. What is left out may be as it is.
    type: dict
    suboptions:
      mode:
        description: Its mode, as the kernel names it.
        type: str
        choices: [active-backup, 802.3ad, balance-rr, balance-xor, balance-tlb, balance-alb, broadcast]
      miimon:
        description: Milliseconds between two looks at its members' links.
        type: int
      primary:
        description:
          - The member that carries the traffic whenever it can.
          - For modes V(active-backup), V(balance-tlb) and V(balance-alb).
        type: str
      lacp_rate:
        description: How often the partner is asked to speak. Mode V(802.3ad).
        type: str
        choices: [slow, fast]
      hash_policy:
        description: What decides which member a packet takes. Modes V(802.3ad), V(balance-xor), V(balance-tlb).
        type: str
        choices: [layer2, layer2+3, layer3+4, encap2+3, encap3+4, vlan+srcmac]
  override:
    description:
      - Links that may be handed over although the node lives on them, each by its name. This can take the node offline.
        What is no NIC at all is refused all the same.
    type: list
    elements: str
    default: []
  mtu:
    description: The MTU that O(nic) is to have. Left out, any is right.
    type: int
  bridge:
    description: The bridge that Kube-OVN makes for the external network.
    type: str
    default: br-external
  mapping:
    description: The external network's name in C(ovn-bridge-mappings), which is the logical switch's name, too.
    type: str
    default: external
  api_servers:
    description:
      - The API servers, as the node reaches them - URLs, names or addresses. The links that lead there are protected.
    type: list
    elements: str
    default: []
    aliases:
      - api_server
  internal_ips:
    description: The node's InternalIP addresses, as Kubernetes knows them. The links that have them are protected.
    type: list
    elements: str
    default: []
  ovs_socket:
    description: Open vSwitch's database socket. Left out, the usual places are tried.
    type: path
  arp_probe:
    description:
      - Addresses for which the physical network is asked who has them, by ARP probes (RFC 5227) that leave no trace in
        anybody's tables.
      - Single addresses (V(10.4.19.110)), ranges (V(10.4.19.110-10.4.19.150), or short V(10.4.19.110-150)) and networks
        (V(10.4.19.128/26), without its own and its broadcast address). At most 4096 addresses.
    type: list
    elements: str
  arp_nic:
    description:
      - The NIC by which they are asked for. Left out, the one that O(bridge) holds, or else O(nic).
      - The frames pass by the bridge, which is down as Kube-OVN makes it. OVN on this node does not hear them.
    type: str
  arp_tag:
    description: The physical network's VLAN, where the NIC carries it tagged. V(0) is none.
    type: int
    default: 0
  arp_wait:
    description: Seconds in which answers are waited for. Who is silent is asked twice, each time for so long.
    type: float
    default: 1
  arp_required:
    description: Whether it is a failure when the network cannot be asked, since the NIC is not there or has no carrier.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Look at the node
  kubeovn.core.ovn_gateway_node_info:
    nic: enp8s0
    api_servers: https://10.4.18.1:6443
  register: node

- name: Refuse a NIC that the node lives on
  ansible.builtin.assert:
    that: not node.refusals
    fail_msg: "{{ node.refusals | join('; ') }}"

- name: Wait until Kube-OVN has made the node a gateway
  kubeovn.core.ovn_gateway_node_info:
    nic: enp8s0
  register: node
  until: not node.gateway.missing
  retries: 30
  delay: 1

- name: See who answers on the physical network for addresses of a pool
  kubeovn.core.ovn_gateway_node_info:
    arp_probe: [10.4.19.110-10.4.19.150]
  delegate_to: jah-k3s-h100-001
  register: wire

- name: Draw from the pool what nobody answers for
  kubeovn.core.ovn_eip:
    eips:
      - {pool: 10.4.19.110-10.4.19.150, vm: testing}
    busy: "{{ wire.arp | map(attribute='address') | unique }}"
"""

RETURN = r"""
arp:
  description:
    - Who has one of the addresses of O(arp_probe), by address. An address with two MACs is there twice.
    - OVN answers for EIPs with its router port's MAC, see RV(kubeovn.core.ovn_nat_info#module:router_port.mac).
    - V(null) when the network could not be asked, without O(arp_required).
  returned: when O(arp_probe) is given
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
      returned: always
      sample: 10.4.19.112
    mac:
      description: The MAC address of who has it. It is the NIC's own where the node itself has the address.
      type: str
      returned: always
      sample: "52:54:00:12:34:56"
links:
  description: All links of the node, by name.
  returned: always
  type: dict
  contains:
    kind:
      description: The kernel's kind of link, V(bond), V(vlan), V(veth) and so on. Empty for hardware.
      type: str
      returned: always
    mac:
      description: MAC address.
      type: str
      returned: always
    permanent_mac:
      description: The hardware's own MAC address, where the link uses another one, else null.
      type: str
      returned: always
    mtu:
      description: MTU in bytes.
      type: int
      returned: always
    up:
      description: Whether the link is administratively up.
      type: bool
      returned: always
    carrier:
      description: Whether the link has a carrier.
      type: bool
      returned: always
    addresses:
      description: Addresses with prefix lengths.
      type: list
      elements: str
      returned: always
    master:
      description: The bond, bridge or VRF that it belongs to, or null.
      type: str
      returned: always
    bridge:
      description: The Open vSwitch bridge that it is a port of, or null.
      type: str
      returned: always
    owner:
      description:
        - Who manages it - V(networkd), V(netplan), V(networkmanager) or V(ifupdown), each with the file that says so.
        - Empty when nobody does. Two owners fight.
      type: dict
      returned: always
      sample: {"networkd": "/etc/systemd/network/10-mgmt.network"}
protected:
  description: Links that must not be touched, with the reasons.
  returned: always
  type: dict
  sample:
    enp1s0: ["carries the default route", "carries Ansible's connection from 10.4.18.1"]
unverified:
  description: What should be protected but could not be found on this node.
  returned: always
  type: list
  elements: str
ovs:
  description: Open vSwitch's own configuration.
  returned: always
  type: dict
  contains:
    problem:
      description: Why it could not be read, or null.
      type: str
      returned: always
    bridges:
      description: Bridges with their ports.
      type: dict
      returned: always
      sample: {"br-external": ["br-external", "enp8s0", "patch-localnet.external-to-br-int"]}
    bridge_mappings:
      description: The C(ovn-bridge-mappings).
      type: dict
      returned: always
      sample: {"external": "br-external"}
    encap_ips:
      description: Addresses of the overlay's tunnels.
      type: list
      elements: str
      returned: always
    system_id:
      description: Name of the OVN chassis.
      type: str
      returned: always
    tunnels:
      description: The overlay's tunnels to other chassis.
      type: list
      elements: dict
      returned: always
      contains:
        remote:
          description: Address of the other end.
          type: str
          returned: always
        bfd:
          description: State of its BFD session, V(up), V(down), V(init) or V(admin_down); null where OVN asks for none.
          type: str
          returned: always
        error:
          description: Open vSwitch's error, or null.
          type: str
          returned: always
nic:
  description: The external NIC.
  returned: when O(nic) is given
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: always
    exists:
      description: Whether the node has such a link.
      type: bool
      returned: always
    in_service:
      description: Whether it is a port of O(bridge) already.
      type: bool
      returned: always
    heard:
      description:
        - MAC addresses that O(bridge) has learned to be behind the NIC. Who answers O(arp_probe) is among them unless
          the bridge does not hear what the NIC receives. V(null) when the NIC is not in it, or it cannot be asked.
      type: list
      elements: str
      returned: always
    staged:
      description: Whether it is a port of O(bridge) that carries nothing yet (M(kubeovn.core.ovn_gateway_node_nic)).
      type: bool
      returned: always
    unprepared:
      description:
        - What it lacks before it can be handed over, in words - it is down, has an address, another O(mtu), other
          O(members) or another O(bond), or no carrier, which a bond has when one of its members has. Empty when it is
          as it should be.
      type: list
      elements: str
      returned: always
    up:
      description: Whether it is administratively up.
      type: bool
      returned: always
    carrier:
      description: Whether it has a carrier.
      type: bool
      returned: always
    mtu:
      description: Its MTU, 0 when it does not exist.
      type: int
      returned: always
    addresses:
      description: Its addresses other than link-local ones, its members' included.
      type: list
      elements: str
      returned: always
    link_local:
      description: Its link-local addresses.
      type: list
      elements: str
      returned: always
    sent:
      description: Packets that it has sent since it was made. V(null) when there is no such NIC.
      type: int
      returned: always
    names:
      description: Links of O(macs) that still have another name - what each is called, and what it is to be called.
      type: dict
      returned: always
      sample: {"enp9s0": "enp8s0"}
    bond:
      description:
        - A bond's options as in O(bond), its C(members) and the C(active) one, else null.
        - In mode V(802.3ad) also the C(partner)'s MAC address, empty when none has spoken, and how many members are
          C(aggregated) with it.
      type: dict
      returned: always
    bond_alone:
      description:
        - What a bond of mode V(802.3ad) lacks of its LACP partner, in words. Empty when all its members work together,
          and for other modes.
        - Right after the bond was made the partners need some seconds for each other.
      type: list
      elements: str
      returned: always
    warnings:
      description:
        - What works now and is not as safe as it looks, in words - a bond's member without carrier, while the bond has
          one by the others. RV(nic.unprepared) tells of a bond without any.
      type: list
      elements: str
      returned: always
      sample: ["bond member enp8s0f1 has no carrier"]
    bond_anew:
      description: Whether the bond has to be made anew to be as O(bond) says. Everything else is set while it works.
      type: bool
      returned: always
    bond_settings:
      description: What else is to be set, as words after C(ip link set dev NIC type bond).
      type: list
      elements: str
      returned: always
members:
  description: Each of O(members) with its C(name) and C(mac), the hardware's own.
  returned: when O(nic) is given
  type: list
  elements: dict
refusals:
  description:
    - Why O(nic) cannot be the external NIC, and O(members) not its members, each with the option's path in front. Empty
      when they can.
  returned: when O(nic) is given
  type: list
  elements: str
  sample: ["nic: enp1s0 carries the default route"]
gateway:
  description: What the node itself shows of the gateway.
  returned: when O(nic) is given
  type: dict
  contains:
    bridge:
      description: The bridge that was looked for, O(bridge).
      type: str
      returned: always
    mapping:
      description: The network that was looked for, O(mapping).
      type: str
      returned: always
    missing:
      description: What it lacks to be a gateway, or has too much, in words. Empty when it is one.
      type: list
      elements: str
      returned: always
    leftovers:
      description: What it still has of a gateway, in words. Empty when nothing is left.
      type: list
      elements: str
      returned: always
    other_nics:
      description: NICs in O(bridge) other than O(nic). Two of one network are a loop.
      type: list
      elements: str
      returned: always
    tunnels_up:
      description: Other ends of the overlay's tunnels whose BFD session is up.
      type: list
      elements: str
      returned: always
    tunnels_down:
      description:
        - Other ends of the overlay's tunnels whose BFD session is not up. That of a dead chassis is down on every other
          one.
        - Both lists are empty where OVN asks for no BFD, as it does with a single gateway.
      type: list
      elements: str
      returned: always
problems:
  description: What is wrong with the options, in words.
  returned: when an option is refused
  type: list
  elements: str
"""

from dataclasses import asdict
from ipaddress import IPv4Address
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils import (
    _node,
    _node_addresses,
    _node_bond,
    _node_frames,
    _node_names,
    _node_owner,
    _node_probe,
    _node_wire,
)

MOST = 4096  # addresses that one task may ask for: more is no pool but a scan of the network


def describe_link(link: _node.Link, ovs: _node.Ovs, owner: dict[str, str]) -> dict[str, Any]:
    """A link as it is returned."""
    names = ("kind", "mac", "permanent_mac", "mtu", "up", "carrier", "master")
    result = {name: value for name, value in asdict(link).items() if name in names}
    return dict(result, addresses=list(link.addresses), bridge=ovs.bridge_of(link.name), owner=owner)


def refusals(
    params: dict[str, Any],
    links: dict[str, _node.Link],
    ovs: _node.Ovs,
    protected: dict[str, list[str]],
    names: dict[str, str],
) -> list[str]:
    """Why the NIC cannot be handed over and its members not be bonded, each with its option in front.

    `names`: what links are called now -> are to be called, and what they are called in `links`.
    """
    name, members = params["nic"], params["members"]
    lifted = {names.get(link, link) for link in params["override"]} | set(params["override"])
    protected = {names.get(link, link): why for link, why in protected.items()}
    above = _node.on_top(links)
    container = _node_probe.in_container()
    problems = _node.bond_obstacles(name, members, links) if members else []
    guarded = {*protected, *above} - lifted
    protected = {link: [*protected.get(link, ()), *above.get(link, ())] for link in guarded}
    if name in links or not members:  # else the bond is still to be made
        problems += _node.obstacles(name, links, ovs, protected, params["bridge"], container)
    found = {f"nic: {name}": problems}
    for index, member in enumerate(members):
        problems = _node.obstacles(member, links, ovs, protected, params["bridge"], container, bond=name)
        found[f"members[{index}]: {member}"] = problems
    wrong = _node_bond.problems(params["bond"] or {}, members) if members else {}
    found.update((f"bond.{option}:", [text]) for option, text in wrong.items())
    return [f"{option} {', '.join(problems)}" for option, problems in found.items() if problems]


def describe_nic(
    params: dict[str, Any], links: dict[str, _node.Link], ovs: _node.Ovs, names: dict[str, str]
) -> dict[str, Any]:
    """The results about the NIC, its members and the gateway; `links` are called as they are to be."""
    name, members, bridge = params["nic"], params["members"], params["bridge"]
    container = _node_probe.in_container()
    link = links.get(name)
    bond, differing = None, {}
    silent = []
    number = ovs.numbers.get(name) if name in ovs.bridges.get(bridge, ()) else None
    heard = _node_wire.heard(_node_probe.ovs_socket(params.get("ovs_socket") or ""), bridge, number)
    if link is not None and link.kind == "bond":
        bond = dict(link.bond, members=_node.members_of(links, name), active=link.active_member, **link.aggregate)
        silent = _node_bond.silent(link.carrier, {each: links[each].carrier for each in bond["members"]})
        differing = _node_bond.differences(link.bond, params["bond"] or {}) if members else {}
    addresses = [text for other in (name, *members) if other in links for text in links[other].addresses]
    return {
        "nic": {
            "name": name,
            "exists": link is not None,
            "in_service": name in ovs.bridges.get(bridge, ()),
            "heard": heard,
            "staged": name in ovs.staged and name in ovs.bridges.get(bridge, ()),
            "unprepared": [
                *_node.unprepared(name, links, params["mtu"], members, params["bond"] or {}),
                *_node.without_carrier(name, links),
                *(f"has {wanted} under the name {current}" for current, wanted in names.items()),
            ],
            "up": link is not None and link.up,
            "carrier": link is not None and link.carrier,
            "mtu": link.mtu if link else 0,
            "sent": _node_probe.packets_sent(name),
            "names": names,
            "addresses": [text for text in addresses if not _node.is_link_local(text)],
            "link_local": [text for text in addresses if _node.is_link_local(text)],
            "bond": bond,
            "bond_alone": _node_bond.unaggregated(link.aggregate, bond["members"]) if link and bond else [],
            "warnings": silent,
            "bond_anew": _node_bond.anew(differing),
            "bond_settings": _node_bond.settings(differing),
        },
        "members": [
            {"name": member, "mac": (links[member].permanent_mac or links[member].mac) if member in links else ""}
            for member in members
        ],
        "gateway": {
            "bridge": bridge,
            "mapping": params["mapping"],
            "missing": _node.missing(links, ovs, name, bridge, params["mapping"], container),
            "leftovers": _node.leftovers(ovs, name, bridge, params["mapping"]),
            "other_nics": [other for other in _node.bridged_nics(links, ovs, bridge, container) if other != name],
            "tunnels_up": [tunnel.remote for tunnel in ovs.tunnels if tunnel.bfd == "up"],
            "tunnels_down": [tunnel.remote for tunnel in ovs.tunnels if tunnel.bfd not in (None, "up")],
        },
    }


def asked_by_arp(params: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The addresses to ask for, and what is wrong with the options about it."""
    addresses, problems = _node_addresses.expand("arp_probe", params["arp_probe"] or [], MOST)
    if not 0 <= params["arp_tag"] < _node.STAGED:
        problems.append(f"arp_tag: {params['arp_tag']} is no VLAN: 1 to 4094, or 0 for none")
    if not 0 < params["arp_wait"] <= 60:
        problems.append(f"arp_wait: {params['arp_wait']:g} is no time to wait for answers: up to 60 seconds")
    return addresses, problems


def arp_nic(params: dict[str, Any], links: dict[str, _node.Link], ovs: _node.Ovs) -> _node.Link:
    """The NIC that leads to the physical network; ValueError when there is none that could be asked by."""
    bridged = _node.bridged_nics(links, ovs, params["bridge"], _node_probe.in_container())
    carrying = [name for name in bridged if name not in ovs.staged]
    name = params["arp_nic"] or next(iter(carrying), params["nic"])
    if not name:
        raise ValueError(f"arp_nic: missing, since {params['bridge']} holds no NIC and nic is not given")
    if name not in links:
        raise ValueError(f"arp_nic: {name} is no link of this node")
    if not (links[name].up and links[name].carrier):
        raise ValueError(f"arp_nic: {name} {'has no carrier' if links[name].up else 'is down'}: nobody would answer")
    return links[name]


def who_has(
    params: dict[str, Any], links: dict[str, _node.Link], ovs: _node.Ovs, addresses: list[str]
) -> list[dict[str, str]]:
    """Who has these addresses: machines on the physical network, and the node itself, which does not ask itself."""
    nic = arp_nic(params, links, ovs)
    mac = _node_frames.parse_mac(nic.mac)
    found = _node_wire.who_has(nic.name, mac, addresses, params["arp_wait"], params["arp_tag"])
    own = {text.partition("/")[0]: link.mac for link in links.values() for text in link.addresses}
    found |= {(address, own[address]) for address in addresses if address in own}
    return [{"address": address, "mac": mac} for address, mac in sorted(found, key=lambda x: (IPv4Address(x[0]), x[1]))]


def main() -> None:
    """Entry point."""
    strings = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "nic": {"type": "str"},
            "members": strings,
            "macs": {"type": "dict", "default": {}},
            "bond": _node_bond.ARGUMENT,
            "override": strings,
            "mtu": {"type": "int"},
            "bridge": {"type": "str", "default": "br-external"},
            "mapping": {"type": "str", "default": "external"},
            "api_servers": dict(strings, aliases=["api_server"]),
            "internal_ips": strings,
            "ovs_socket": {"type": "path"},
            "arp_probe": {"type": "list", "elements": "str"},
            "arp_nic": {"type": "str"},
            "arp_tag": {"type": "int", "default": 0},
            "arp_wait": {"type": "float", "default": 1},
            "arp_required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    addresses, problems = asked_by_arp(module.params)
    if problems:
        module.fail_json(msg="; ".join(problems), problems=problems)
    try:
        links = _node_probe.links(module.run_command)
        ovs = _node_probe.open_vswitch(module.params["ovs_socket"] or "")
        api_servers, internal_ips = module.params["api_servers"], module.params["internal_ips"]
        found, unverified = _node_probe.anchors(module.run_command, links, ovs, api_servers, internal_ips)
        owners = _node_owner.look(module.run_command).owners
    except (_node_probe.ProbeError, ValueError) as error:
        module.fail_json(msg=f"This node cannot be looked at: {error}")
    protected = _node.protect(links, ovs, found)
    result = {
        "links": {name: describe_link(link, ovs, owners.get(name, {})) for name, link in links.items()},
        "protected": protected,
        "unverified": unverified,
        "ovs": {
            "problem": ovs.problem,
            "bridges": {name: list(ports) for name, ports in ovs.bridges.items()},
            "bridge_mappings": ovs.mappings,
            "encap_ips": ovs.encap_ips,
            "system_id": ovs.external_ids.get("system-id"),
            "tunnels": [asdict(tunnel) for tunnel in ovs.tunnels],
        },
    }
    if module.params["arp_probe"] is not None:
        try:
            result["arp"] = who_has(module.params, links, ovs, addresses) if addresses else []
        except (OSError, ValueError) as error:
            if module.params["arp_required"]:
                module.fail_json(msg=f"The physical network could not be asked who has which address: {error}")
            result["arp"] = None
    if module.params["nic"]:  # after the question, whose answers a bridge learns from
        container = _node_probe.in_container()
        macs, nic, members = module.params["macs"], module.params["nic"], module.params["members"]
        names, wrong = _node_names.find(macs, nic, members, links, ovs, container)
        called = _node_names.renamed(links, {} if wrong else names)
        result.update(describe_nic(module.params, called, ovs, names))
        result["refusals"] = wrong or refusals(module.params, called, ovs, protected, names)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
