#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells the physical network which MAC address a router port has now, from the gateway that is the active one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_gateway_node_announce
short_description: Tell the physical network a router port's MAC address
version_added: 0.1.0
description:
  - Waits until this node delivers frames to a router port's MAC address, which only the active gateway does, and then
    says at once, by gratuitous ARP out of the external NIC, that some IPv4 addresses have this MAC.
  - OVN itself says nothing when a router port's MAC address changes. The neighbours go on with the old one until their
    caches ask anew, which takes seconds. When another gateway becomes the active one OVN tells the network's switches
    of it, but only a second later.
  - Start it before the change on all gateways, but the one that delivers to the same MAC address already, with
    C(async). It ends on each as soon as one has spoken. Role P(kubeovn.core.external_gateway#role) does so.
notes:
  - Runs on the node itself, as root. Needs Python 3.8 or newer without any library. Open vSwitch is asked by its own
    sockets, no program of its is needed.
  - Nothing of the node is changed, so it never says C(changed).
author:
  - kubeovn.core contributors (@kubeovn-core)
attributes:
  check_mode:
    description: Can run in check mode, in which it neither waits nor sends.
    support: full
  diff_mode:
    description: Returns what has changed, or would change.
    support: N/A
    details: Nothing of the node is changed.
options:
  mac:
    description: The router port's MAC address.
    type: str
    required: true
  addresses:
    description: The IPv4 addresses that have it - the router port's own and those that OVN answers for, as EIPs.
    type: list
    elements: str
    required: true
  nic:
    description: The external NIC, or bond. Left out, the NICs that O(bridge) holds at that moment.
    type: str
  tag:
    description: The VLAN that the external network has on the NIC, V(0) for none.
    type: int
    default: 0
  again:
    description:
      - Seconds for which to say it again, each second, after the first times. For what another gateway may still send
        with this MAC address, as after a change from distributed to centralized.
    type: int
    default: 0
  bridge:
    description: The bridge that Kube-OVN makes for the external network.
    type: str
    default: br-external
  wait_timeout:
    description: Seconds in which this node, or another one, has to deliver to O(mac).
    type: float
    default: 60
  ovs_socket:
    description: Open vSwitch's database socket. Left out, the usual places are tried.
    type: path
seealso:
  - module: kubeovn.core.ovn_external_gw
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: Wait on each gateway for the new MAC, and tell the network
  kubeovn.core.ovn_gateway_node_announce:
    mac: "16:52:f3:13:6a:25"
    addresses: [10.4.19.254, 10.4.19.101]
  async: 90
  poll: 0
"""

RETURN = r"""
announced:
  description: Whether this node has told the network.
  returned: always
  type: bool
reason:
  description: What it was that ended the wait, in words.
  returned: always
  type: str
  sample: this node delivers to 16:52:f3:13:6a:25
nics:
  description: The NICs that it was told by.
  returned: always
  type: list
  elements: str
  sample: [enp8s0]
frames:
  description: How many frames were sent.
  returned: always
  type: int
waited:
  description: Seconds until the first frame.
  returned: always
  type: float
problems:
  description: What is wrong with the options, in words.
  returned: when an option is refused
  type: list
  elements: str
"""

import time
from ipaddress import IPv4Address
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_frames, _node_probe, _node_wire

INTERVAL = 0.05  # seconds between two looks: an answer takes Open vSwitch less than one of its milliseconds
PAUSES = (0, 0.15, 0.15, 0.7, 1)  # before each round


def external_nics(module: AnsibleModule, ovs: _node.Ovs) -> list[str]:
    """The NICs that lead to the physical network now."""
    if module.params["nic"]:
        return [module.params["nic"]]
    links = _node_probe.links(module.run_command)
    container = _node_probe.in_container()
    return [x for x in _node.bridged_nics(links, ovs, module.params["bridge"], container) if x not in ovs.staged]


def wait(flows: _node_wire.Flows, ear: _node_wire.Ear, mac: bytes, timeout: float) -> str | None:
    """Until someone delivers to this MAC: "here", "elsewhere"; None when nobody does in time."""
    deadline = time.monotonic() + timeout
    while not flows.deliver(mac):
        if ear.heard(INTERVAL):
            return "elsewhere"
        if time.monotonic() > deadline:
            return None
    return "here"


def forget(module: AnsibleModule, sock: str) -> None:
    """Have the bridge forget where MACs were.

    It has learned that the MAC is out there, at the gateway that was active, and would drop what comes from there for
    it until OVN itself sends something.
    """
    try:
        _node_wire.vswitchd(sock, "fdb/flush", module.params["bridge"])
    except OSError as error:
        module.warn(f"{module.params['bridge']} may still look for {module.params['mac']} outside: {error}")


def announce(module: AnsibleModule, sock: str, mac: bytes, frames: list[bytes]) -> dict[str, Any]:
    """Wait and tell; the module's result."""
    began, name = time.monotonic(), module.params["mac"]
    ovs = _node_probe.open_vswitch(sock)
    if ovs.problem:
        raise OSError(ovs.problem)
    nics = external_nics(module, ovs)
    result: dict[str, Any] = {"announced": False, "nics": nics, "frames": 0}
    flows = _node_wire.Flows(sock, ovs.integration_bridge)
    ear = _node_wire.Ear(nics, mac)
    try:
        where = wait(flows, ear, mac, 0 if module.check_mode else module.params["wait_timeout"])
    finally:
        flows.close()
        ear.close()
    result["waited"] = round(time.monotonic() - began, 3)
    if where == "here":
        if not module.check_mode:
            result["nics"] = external_nics(module, _node_probe.open_vswitch(sock))  # it may have changed meanwhile
            pauses = (*PAUSES, *[1] * module.params["again"])
            result["frames"] = _node_wire.send_rounds(result["nics"], frames, pauses, lambda: forget(module, sock))
        told = bool(result["nics"])
        reason = f"this node delivers to {name}" if told else f"there is no NIC in {module.params['bridge']}"
        return dict(result, announced=told and not module.check_mode, reason=reason)
    if where == "elsewhere":
        return dict(result, reason=f"another gateway has announced {name}")
    return dict(result, reason=f"this node does not deliver to {name}")


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "mac": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "nic": {"type": "str"},
            "tag": {"type": "int", "default": 0},
            "again": {"type": "int", "default": 0},
            "bridge": {"type": "str", "default": "br-external"},
            "wait_timeout": {"type": "float", "default": 60},
            "ovs_socket": {"type": "path"},
        },
        supports_check_mode=True,
    )
    problems, frames, mac = [], [], b""
    try:
        mac = _node_frames.parse_mac(module.params["mac"])
    except ValueError as error:
        problems.append(f"mac: {error}")
    for index, address in enumerate(module.params["addresses"]):
        try:
            frames += _node_frames.gratuitous_arp(mac, str(IPv4Address(address)), module.params["tag"])
        except ValueError:
            problems.append(f"addresses[{index}]: {address!r} is no IPv4 address like 10.4.19.254")
    if not 0 <= module.params["tag"] < _node.STAGED:
        problems.append(f"tag: {module.params['tag']} is no VLAN: 1 to 4094, or 0 for none")
    sock = _node_probe.ovs_socket(module.params["ovs_socket"] or "") or ""
    if not sock:
        problems.append("ovs_socket: there is no socket: is Open vSwitch installed and running?")
    if problems:
        module.fail_json(msg="; ".join(problems), problems=problems)
    try:
        result = announce(module, sock, mac, frames)
    except (OSError, _node_probe.ProbeError) as error:
        module.fail_json(msg=f"{module.params['mac']} could not be announced: {error}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
