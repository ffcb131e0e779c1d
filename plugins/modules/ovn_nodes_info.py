#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read-only module: the cluster's nodes and API servers, by which role gateway_nic knows what a node lives on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_nodes_info
short_description: Read a cluster's nodes and the addresses of its API servers
version_added: 0.1.0
description:
  - Tells of each node whether it is Ready and what its InternalIP addresses are, and where the API servers are.
  - Role P(kubeovn.core.gateway_nic#role) protects the links that these addresses are on, or are reached by.
  - Two lists are read, whatever the number of nodes. It writes nothing.
author:
  - kubeovn.core contributors (@kubeovn-core)
extends_documentation_fragment:
  - kubeovn.core.auth
  - kubeovn.core.attributes
  - kubeovn.core.attributes.info_module
  - kubeovn.core.attributes.actiongroup_kubeovn
seealso:
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: Read the nodes
  kubeovn.core.ovn_nodes_info:
  register: cluster

- name: Show those that are not Ready
  ansible.builtin.debug:
    msg: "{{ cluster.nodes | rejectattr('ready') | map(attribute='name') }}"
"""

RETURN = r"""
cluster:
  description: URL of the API server that was spoken to.
  returned: always, unless no cluster is configured
  type: str
  sample: https://10.4.18.1:6443
nodes:
  description: All nodes, by their names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: jah-k3s-h100-001
    ready:
      description: Whether its condition Ready is true.
      returned: always
      type: bool
    internal_ips:
      description: Its addresses of type InternalIP.
      returned: always
      type: list
      elements: str
      sample: [10.4.18.11]
api_servers:
  description: Addresses of the API servers, from the EndpointSlices of service default/kubernetes.
  returned: success
  type: list
  elements: str
  sample: [10.4.18.1]
problems:
  description: Always empty, since there is no option of its own that could be wrong.
  returned: failure
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import ENDPOINT_SLICES, NODES, Cluster
from ansible_collections.kubeovn.core.plugins.module_utils._module import AUTH_ARGUMENTS, run
from ansible_collections.kubeovn.core.plugins.module_utils._objects import endpoint_addresses, gateway_node

API_SERVERS = "kubernetes.io/service-name=kubernetes"


def work(_module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    """Two lists."""
    seen = sorted(map(gateway_node, cluster.list(NODES)), key=lambda node: node.name)
    nodes = [{"name": node.name, "ready": node.ready, "internal_ips": list(node.internal_ips)} for node in seen]
    slices = cluster.list(ENDPOINT_SLICES, "default", API_SERVERS)
    return {"changed": False, "cluster": cluster.host, "nodes": nodes, "api_servers": endpoint_addresses(slices)}


def main() -> None:
    """Run the module."""
    run(work, argument_spec=AUTH_ARGUMENTS, supports_check_mode=True)


if __name__ == "__main__":
    main()
