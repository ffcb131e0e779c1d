#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: gives virtual machines and pods addresses of the physical network, and takes them back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_eip
short_description: Give virtual machines and pods their EIPs on a Kube-OVN external network
version_added: 0.1.0
description:
  - Attaches addresses of the physical network (EIPs) to KubeVirt virtual machines and to pods in Kube-OVN's default
    VPC, or releases them.
  - Success means that OVN does it. There is exactly one NAT rule for external and overlay address, the policy that
    sends the holder's packets to the physical gateway is there, and the holder's logical port is bound to a node.
  - A virtual machine keeps its EIP over restart and migration. Template, instance and launcher pod are written, in
    that order.
  - A changed EIP replaces the former one, whose NAT rule goes as soon as the new one works.
  - What Kube-OVN's controller does is left to it. Written in OVN is only what it never does, which is deleting stale
    NAT rules and policies, in one transaction that fails when a row is no longer what it was.
  - Any number of EIPs costs one LIST of each kind and one read of OVN. Everything is written first and waited for once.
  - The first EIP changes the source address of the holder's connections to the outside, so that existing ones break.
author:
  - kubeovn.core contributors (@kubeovn-core)
extends_documentation_fragment:
  - kubeovn.core.auth
  - kubeovn.core.ovn
  - kubeovn.core.attributes
  - kubeovn.core.attributes.actiongroup_kubeovn
attributes:
  check_mode:
    support: full
    details:
      - RV(plan) says what a run would do.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  eips:
    description:
      - The EIPs, each with its one holder. Nobody else's are looked at.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description:
          - An IPv4 address of the gateway's subnet.
          - Required with O(state=present). With O(state=absent), leave it out to release whatever the holder has.
        type: str
      vm:
        description:
          - Name of a KubeVirt VirtualMachine. One of O(eips[].vm) and O(eips[].pod) is needed.
          - A stopped one is prepared, so that it has the EIP when it starts; until then its status is V(pending).
        type: str
      pod:
        description:
          - Name of a pod. Its EIP goes with it, as pods do not come back under the same name.
        type: str
      namespace:
        description:
          - Namespace of the holder.
        type: str
        default: default
  state:
    description:
      - V(present) attaches the EIPs. An address that anybody else has is refused, and who has it is named.
      - V(absent) releases them. It takes annotations, NAT rules, and the policy that Kube-OVN leaves behind. A holder
        that exists no more is no error. When the address is given, what a deleted machine left behind in OVN goes too.
    type: str
    choices: [present, absent]
    default: present
  configmap_namespace:
    description:
      - Namespace of ConfigMap C(ovn-external-gw-config), which is Kube-OVN's own namespace.
    type: str
    default: kube-system
  wait:
    description:
      - Wait until all is as asked. Without it, success says only that the writes were accepted.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds until waiting ends with an error that names what is missing. Kube-OVN does about six pods a second.
    type: int
    default: 120
seealso:
  - module: kubeovn.core.ovn_external_gw
  - module: kubeovn.core.ovn_nat_info
"""

EXAMPLES = r"""
- name: Give a virtual machine an address of the physical network
  kubeovn.core.ovn_eip:
    eips:
      - address: 10.4.19.101
        vm: testing

- name: Show what would change for several holders
  kubeovn.core.ovn_eip:
    eips:
      - {address: 10.4.19.101, vm: testing, namespace: default}
      - {address: 10.4.19.102, vm: web-1, namespace: shop}
      - {address: 10.4.19.103, pod: probe, namespace: tools}
  check_mode: true
  diff: true

- name: Take its EIP back, whichever it is
  kubeovn.core.ovn_eip:
    eips:
      - vm: testing
    state: absent
"""

RETURN = r"""
cluster:
  description: URL of the API server that was spoken to.
  returned: always
  type: str
  sample: https://10.4.18.1:6443
plan:
  description: The steps in their order. Check mode returns the same ones as a run.
  returned: when a plan could be made
  type: list
  elements: dict
  contains:
    action:
      description: Kind of the step.
      returned: always
      type: str
      sample: annotate_pod
    text:
      description: What it does.
      returned: always
      type: str
      sample: set eip 10.4.19.101 on pod default/virt-launcher-testing-x7k2p, null routed in the same patch
    interrupts:
      description: Whose traffic suffers, and how. V(null) when nobody's does.
      returned: always
      type: str
      sample: null
    disruption:
      description: How much that is - V(none), V(brief) for seconds at most, or V(long).
      returned: always
      type: str
problems:
  description: Everything that is wrong with the options, or not as asked at the deadline.
  returned: failure
  type: list
  elements: dict
  contains:
    path:
      description: The option, or the EIP and its holder.
      returned: always
      type: str
      sample: eips[0].address
    text:
      description: What is wrong.
      returned: always
      type: str
      sample: 10.4.19.101 is held by VirtualMachine default/testing (annotation in its template)
    hint:
      description: What to do about it.
      returned: always
      type: str
      sample: release it there first, or choose another address
eips:
  description: The EIPs asked for, in the same order, as they are after the run. In check mode, as they are now.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The EIP. V(null) when it was left out and the holder had none.
      returned: always
      type: str
      sample: 10.4.19.101
    holder:
      description: Who has it.
      returned: always
      type: dict
      contains:
        kind:
          description: V(VirtualMachine) or V(Pod).
          returned: always
          type: str
          sample: VirtualMachine
        namespace:
          description: Its namespace.
          returned: always
          type: str
          sample: default
        name:
          description: Its name.
          returned: always
          type: str
          sample: testing
    pod:
      description:
        - The pod that does the holder's work now, of a virtual machine its launcher pod.
        - V(null) when there is none.
      returned: always
      type: str
      sample: virt-launcher-testing-x7k2p
    node:
      description: The node of that pod.
      returned: always
      type: str
      sample: jah-k3s-l40s-001
    logical_ip:
      description: The holder's overlay address.
      returned: always
      type: str
      sample: 10.253.0.11
    logical_port:
      description: Name of the holder's logical switch port.
      returned: always
      type: str
      sample: testing.default
    nat_rule:
      description: The NAT rule of the EIP in OVN. V(null) when there is none.
      returned: always
      type: dict
      contains:
        type:
          description: Type of the rule.
          returned: always
          type: str
          sample: dnat_and_snat
        external_ip:
          description: The EIP.
          returned: always
          type: str
          sample: 10.4.19.101
        logical_ip:
          description: The overlay address that it leads to.
          returned: always
          type: str
          sample: 10.253.0.11
        logical_port:
          description: Port of a distributed rule. V(null) when the gateway is centralized.
          returned: always
          type: str
          sample: null
    policy:
      description:
        - The routing policy that sends the holder's packets to the physical gateway. V(null) when there is none.
      returned: always
      type: dict
      contains:
        priority:
          description: Its priority.
          returned: always
          type: int
          sample: 29250
        match:
          description: Which packets it is for.
          returned: always
          type: str
          sample: ip4.src == 10.253.0.11
        action:
          description: What it does with them.
          returned: always
          type: str
          sample: reroute
        nexthops:
          description: Where it sends them.
          returned: always
          type: list
          elements: str
          sample: [10.4.19.1]
    status:
      description:
        - V(attached) when the holder has it.
        - V(pending) when its objects ask for it and OVN does not do it yet, as with a stopped machine.
        - V(detached) when neither is so.
      returned: always
      type: str
      sample: attached
"""

from ansible_collections.kubeovn.core.plugins.module_utils._eip_task import work
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, run


def main() -> None:
    """Ansible's way in."""
    suboptions = {
        "address": {"type": "str"},
        "pool": {"type": "list", "elements": "str"},
        "kind": {"type": "str", "choices": ["fip", "snat"]},
        "vm": {"type": "str"},
        "pod": {"type": "str"},
        "deployment": {"type": "str"},
        "namespace": {"type": "str", "default": "default"},
    }
    spec = {
        "eips": {"type": "list", "elements": "dict", "options": suboptions},
        "state": {"type": "str", "choices": ["present", "detached", "absent", "pruned"], "default": "present"},
        "kind": {"type": "str", "choices": ["fip", "snat"], "default": "fip"},
        "reassign": {"type": "bool", "default": False},
        "adopt": {"type": "bool", "default": False},
        "rotate": {"type": "bool", "default": False},
        "rotation": {"type": "str"},
        "batch": {"type": "int", "default": 0},
        "stop_on_failure": {"type": "bool", "default": True},
        "all_or_nothing": {"type": "bool", "default": False},
        "busy": {"type": "list", "elements": "str", "default": []},
        "max_disruption": {"type": "str", "choices": ["none", "brief", "any"], "default": "any"},
        "claims_namespace": {"type": "str", "default": "kubeovn-core"},
        "configmap_namespace": {"type": "str", "default": "kube-system"},
        "ovn_connection": {"type": "str", "choices": ["auto", "tcp", "exec", "none"], "default": "auto"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 120},
    }
    run(work, argument_spec=ARGUMENTS | spec, supports_check_mode=True)


if __name__ == "__main__":
    main()
