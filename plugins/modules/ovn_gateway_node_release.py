#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes back on a node what Kube-OVN's daemon leaves of an external gateway: the NIC in its bridge, the mapping."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_gateway_node_release
short_description: Take back what is left of an external gateway on a node
version_added: 0.1.0
description:
  - Takes the external NIC out of its bridge, and the external network out of C(ovn-bridge-mappings), on a node that is
    no gateway any more.
  - Kube-OVN's node daemon never does the latter, and the former only with the kernel's datapath. OVN itself removes the
    patch port then.
  - Both happen in one transaction of Open vSwitch's own database. The bridge itself stays, or goes by the daemon.
notes:
  - Runs on the node itself, as root. Needs Python 3.8 or newer without any library.
  - Use it only after M(kubeovn.core.ovn_external_gw) has taken the gateway away from the node. While the node is a
    gateway for Kubernetes, its daemon undoes this.
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
    description: The external NIC.
    type: str
    required: true
  bridge:
    description: The bridge that Kube-OVN makes for the external network.
    type: str
    default: br-external
  mapping:
    description: The external network's name in C(ovn-bridge-mappings).
    type: str
    default: external
  ovs_socket:
    description: Open vSwitch's database socket. Left out, the usual places are tried.
    type: path
seealso:
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: Take the NIC back from a node that is no gateway any more
  kubeovn.core.ovn_gateway_node_release:
    nic: enp8s0
"""

RETURN = r"""
leftovers:
  description: What the node has had of a gateway, in words.
  returned: always
  type: list
  elements: str
  sample: ["br-external still holds enp8s0", "ovn-bridge-mappings still has external:br-external"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_ovsdb, _node_probe


def picture(ovs: _node.Ovs, bridge: str) -> dict[str, object]:
    """What a diff shows."""
    return {bridge: list(ovs.bridges.get(bridge, ())), "ovn-bridge-mappings": dict(ovs.mappings)}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "nic": {"type": "str", "required": True},
            "bridge": {"type": "str", "default": "br-external"},
            "mapping": {"type": "str", "default": "external"},
            "ovs_socket": {"type": "path"},
        },
        supports_check_mode=True,
    )
    nic, bridge, mapping = (module.params[name] for name in ("nic", "bridge", "mapping"))
    sock = _node_probe.ovs_socket(module.params["ovs_socket"] or "") or ""
    before = _node_probe.open_vswitch(sock)
    if before.problem:
        module.fail_json(msg=f"Open vSwitch cannot be read: {before.problem}")
    after = before.without(nic, bridge, mapping)
    try:
        operations = _node.release(before, nic, bridge, mapping, _node_probe.port_uuids(sock))
        if operations and not module.check_mode:
            _node_ovsdb.transact(sock, operations)
            after = _node_probe.open_vswitch(sock)
    except OSError as error:
        module.fail_json(msg=f"Open vSwitch could not be changed: {sock}: {error}")
    module.exit_json(
        changed=bool(operations),
        leftovers=_node.leftovers(before, nic, bridge, mapping),
        diff={"before": picture(before, bridge), "after": picture(after, bridge)},
    )


if __name__ == "__main__":
    main()
