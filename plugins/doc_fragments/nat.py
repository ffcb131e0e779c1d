# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that say what of the NAT rules is told."""

from __future__ import annotations


class ModuleDocFragment:
    """For the modules that only read; see module_utils/_nat_task.py."""

    DOCUMENTATION = r"""
options:
  addresses:
    description:
      - Tell only the NAT rules, claims and findings of these external addresses and networks (C(10.4.19.96/28)), and
        findings that are about no address.
      - All are told when this is empty. What is given of different filters has to hold together.
    type: list
    elements: str
    default: []
  holders:
    description:
      - Tell only the NAT rules, claims and findings of these holders, and findings that are about no address. Each is
        C(NAME), C(NAMESPACE/NAME) or C(KIND/NAMESPACE/NAME), with the kinds V(VirtualMachine), V(Pod) and
        V(Deployment).
    type: list
    elements: str
    default: []
  namespaces:
    description:
      - Tell only the NAT rules, claims and findings of holders in these namespaces, and findings that are about no
        address.
    type: list
    elements: str
    default: []
  findings:
    description:
      - Tell only findings with these codes, and only the NAT rules and claims of addresses that such a finding is
        about. The collection's C(docs/findings.md) lists the codes.
    type: list
    elements: str
    default: []
  query:
    description:
      - An expression in JMESPath (U(https://jmespath.org)) over everything that this module returns, after the filters.
        Its answer is returned, too.
      - Needs the Python library C(jmespath).
    type: str
  trace:
    description:
      - Tell the way of a packet from outside to an EIP's holder, and back, as OVN's databases have it. Nothing is sent.
    type: dict
    suboptions:
      eip:
        description: The EIP.
        type: str
        required: true
  node_evidence:
    description:
      - What gateway nodes show of themselves - results of M(kubeovn.core.ovn_gateway_node_info), by the node's name.
        With its option O(kubeovn.core.ovn_gateway_node_info#module:nic), or with all of its
        RV(kubeovn.core.ovn_gateway_node_info#module:links).
      - Links, MTU and BFD sessions are only known from there. Of a node without evidence they are called
        V(unverified), and no finding is made of them.
    type: dict
  claims_namespace:
    description:
      - Namespace of the claims, as M(kubeovn.core.ovn_eip) has it.
    type: str
    default: kubeovn-core
  configmap_namespace:
    description:
      - Namespace of the gateway's ConfigMap, with which the findings compare OVN.
    type: str
    default: kube-system
"""
