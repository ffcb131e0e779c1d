#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives a gateway in service another external NIC, in two stages, without a loop and without a gap."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_gateway_node_nic
short_description: Change the external NIC of a gateway in service
version_added: 0.1.0
description:
  - Puts a new external NIC in the place of the one that a gateway's bridge holds, without a moment in which the bridge
    holds both or none.
  - Kube-OVN's node daemon adds the new NIC when its ConfigMap names another one, and leaves the old one where it is.
    Two NICs of one network in one bridge are a loop, which fills the network.
  - So first, on every gateway, O(state=staged) puts the new NIC into the bridge as a port that carries nothing. Then
    the ConfigMap changes, and the daemon finds that NIC in its place. At last O(state=switched), on each gateway with
    the active one as the last, lets the new one carry the traffic and takes the old one out, in one transaction. Role
    P(kubeovn.core.external_gateway#role) does all this.
  - After the switch the new NIC tells the network's switches, by reverse ARP, which MAC addresses are behind it.
  - A bridge without another NIC is left as it is. To give a gateway its first NIC is Kube-OVN's.
notes:
  - Runs on the node itself, as root. Needs Python 3.8 or newer without any library, and iproute2 4.18 or newer. Open
    vSwitch is spoken to by its own sockets.
  - A staged port is a trunk of VLAN 4095 only, which no frame can have. Unlike OpenFlow's port configuration that is
    kept in Open vSwitch's database, and holds from the port's first moment.
author:
  - kubeovn.core contributors (@kubeovn-core)
attributes:
  check_mode:
    description: Can run in check mode and says what a run would change.
    support: full
  diff_mode:
    description: Returns what has changed, or would change.
    support: full
options:
  nic:
    description: The new external NIC, or bond.
    type: str
    required: true
  state:
    description: V(staged) puts it beside the old one, carrying nothing. V(switched) has it take the old one's place.
    type: str
    choices: [staged, switched]
    default: switched
  bridge:
    description: The bridge that Kube-OVN makes for the external network.
    type: str
    default: br-external
  ovs_socket:
    description: Open vSwitch's database socket. Left out, the usual places are tried.
    type: path
seealso:
  - module: kubeovn.core.ovn_external_gw
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: The new NIC beside the old one
  kubeovn.core.ovn_gateway_node_nic:
    nic: enp9s0
    state: staged

# Here kubeovn.core.ovn_external_gw changes the NIC in the ConfigMap.

- name: The new NIC in the old one's place
  kubeovn.core.ovn_gateway_node_nic:
    nic: enp9s0
"""

RETURN = r"""
steps:
  description: What was done, or would be, in words.
  returned: always
  type: list
  elements: str
  sample: ["let enp9s0 in br-external carry traffic", "take enp8s0 out of br-external"]
replaced:
  description: The NICs that O(nic) takes the place of.
  returned: always
  type: list
  elements: str
  sample: [enp8s0]
taught:
  description: MAC addresses that the network's switches were told of.
  returned: always
  type: list
  elements: str
  sample: ["16:52:f3:13:6a:25"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils import (
    _node,
    _node_frames,
    _node_nic,
    _node_ovsdb,
    _node_probe,
    _node_wire,
)

PAUSES = (0, 0.1, 0.2)  # before each round of frames


def picture(ovs: _node.Ovs, bridge: str) -> dict[str, object]:
    """What a diff shows."""
    ports = ovs.bridges.get(bridge, ())
    return {bridge: list(ports), "carrying nothing yet": [name for name in ports if name in ovs.staged]}


def refuse(module: AnsibleModule, links: dict[str, _node.Link], ovs: _node.Ovs) -> None:
    """End here when the NIC must not be handed over."""
    nic, bridge = module.params["nic"], module.params["bridge"]
    anchors, _unverified = _node_probe.anchors(module.run_command, links, ovs)
    protected = _node.protect(links, ovs, anchors)
    problems = _node.obstacles(nic, links, ovs, protected, bridge, _node_probe.in_container())
    if nic in links and not (links[nic].up and links[nic].carrier):
        problems.append("has no carrier" if links[nic].up else "is down")
    if problems:
        module.fail_json(msg=f"nic: {nic} {', '.join(problems)}. Nothing was changed.")


def behind(sock: str, ovs: _node.Ovs, bridge: str, nics: list[str]) -> list[tuple[str, int]]:
    """(MAC, VLAN) of what is behind the bridge, seen from the network."""
    numbers = {name: ovs.numbers[name] for name in ovs.bridges.get(bridge, ()) if name in ovs.numbers}
    table = _node_wire.vswitchd(sock, "fdb/show", bridge)
    return _node_frames.learned(table, _node_frames.behind(numbers, nics))


def change(module: AnsibleModule, sock: str, before: _node.Ovs, old: list[str]) -> list[str]:
    """Carry it out; the MACs that the network was told of."""
    nic, bridge, switch = module.params["nic"], module.params["bridge"], module.params["state"] == "switched"
    known: list[tuple[str, int]] = []
    if switch:
        try:
            known = behind(sock, before, bridge, [nic, *old])
        except OSError as error:
            module.warn(f"The network's switches cannot be told of the new NIC: {error}")
    _node_ovsdb.apply(sock, _node_nic.operations(before, nic, bridge, old, switch, _node_probe.port_uuids(sock)))
    frames = [_node_frames.reverse_arp(_node_frames.parse_mac(mac), tag) for mac, tag in known]
    try:
        _node_wire.send_rounds([nic] if frames else [], frames, PAUSES)
    except OSError as error:
        module.warn(f"The network's switches could not be told of the new NIC: {nic}: {error}")
        return []
    return [mac for mac, _tag in known]


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "nic": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["staged", "switched"], "default": "switched"},
            "bridge": {"type": "str", "default": "br-external"},
            "ovs_socket": {"type": "path"},
        },
        supports_check_mode=True,
    )
    nic, bridge, switch = module.params["nic"], module.params["bridge"], module.params["state"] == "switched"
    sock = _node_probe.ovs_socket(module.params["ovs_socket"] or "") or ""
    before = _node_probe.open_vswitch(sock)
    if before.problem:
        module.fail_json(msg=f"Open vSwitch cannot be read: {before.problem}")
    result: dict[str, Any] = {"taught": []}
    try:
        links = _node_probe.links(module.run_command)
        found = _node.bridged_nics(links, before, bridge, _node_probe.in_container())
        old = [name for name in found if name != nic]
        steps = _node_nic.steps(before, nic, bridge, old, switch)
        if steps:
            refuse(module, links, before)
        after = _node_nic.after(before, nic, bridge, old, switch)
        if steps and not module.check_mode:
            result["taught"] = change(module, sock, before, old)
            after = _node_probe.open_vswitch(sock)
    except (OSError, ValueError, _node_probe.ProbeError) as error:
        module.fail_json(msg=f"{bridge} could not be given {nic}: {error}")
    module.exit_json(
        changed=bool(steps),
        steps=steps,
        replaced=old,
        diff={"before": picture(before, bridge), "after": picture(after, bridge)},
        **result,
    )


if __name__ == "__main__":
    main()
