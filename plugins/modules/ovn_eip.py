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
  - Attaches addresses of the physical network (EIPs) to KubeVirt virtual machines, pods and Deployments, moves,
    rotates and releases them, and cleans up what Kube-OVN leaves behind.
  - Success means that OVN does it. There is exactly one NAT rule for external and overlay address, the policy that
    sends the holder's packets to the physical gateway is there, the holder's logical port is bound to a node that is
    Ready, and a gateway that is Ready holds the router port, that of the holder's own VPC. What is not so at the
    deadline is named for each address with its probable cause.
  - A virtual machine keeps its EIP over restart and migration. Template, instance and launcher pod are written, in
    that order.
  - An address belongs to one holder. It is claimed by a Lease before anything else is written, so that of several
    runs at once exactly one gets it, for a machine that is stopped, too. The claim is the last that goes.
  - What Kube-OVN's controller does is left to it. Written in OVN is only what it never does, which is deleting stale
    NAT rules, policies and routes, in one transaction that fails when a row is no longer what it was.
  - Any number of EIPs costs one LIST of each kind and one read of OVN. Everything is written first and waited for once.
    The claims alone are listed once more before the first write; what was taken meanwhile is left to its new holder.
  - One EIP that cannot be does not stop the others, see O(all_or_nothing). The task fails in the end, with the results
    of all in RV(eips).
  - The first EIP changes the source address of the holder's connections to the outside, so that existing ones break.
notes:
  - That packets find their way to an EIP is seen only from outside, and a module runs on one host, which here is one
    that reaches the API server. Ask from another one by M(kubeovn.core.ovn_probe) with C(delegate_to), or have role
    P(kubeovn.core.vm_eip#role) do it and name the probable cause (O(kubeovn.core.vm_eip#role:main:vm_eip_probe_from)).
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
    support: partial
    details:
      - With O(rotate=true) and without O(rotation), each run rotates again. Otherwise full.
options:
  eips:
    description:
      - The EIPs, each with its one holder. Nobody else's are looked at.
      - Left out only with O(adopt=true), for every address that annotations or objects name, and with O(state=pruned).
    type: list
    elements: dict
    suboptions:
      address:
        description:
          - An IPv4 address of the gateway's subnet.
          - With O(state=present), one of O(eips[].address) and O(eips[].pool) is needed. Otherwise, leave it out to
            release whatever the holder has; an empty one is refused then.
        type: str
      pool:
        description:
          - Addresses to draw from, in the order of preference. The first free one is taken, and kept on all later runs.
          - A list, or one comma-separated string, of single addresses (V(10.4.19.110)), ranges
            (V(10.4.19.110-10.4.19.150), or short V(10.4.19.110-150)) and networks (V(10.4.19.128/26), without the
            network's own and its broadcast address).
          - V(!) before a part excludes it, wherever it stands, as in V(10.4.19.110-150,!10.4.19.120). Before a network
            it excludes all of its addresses. In a YAML list such a part needs quotes.
          - Addresses outside the external gateway's subnet are passed over, and so are those that a node, a router
            port, a NAT rule of any router, an OvnEip, an IP object, an annotation or a claim has.
        type: list
        elements: str
      kind:
        description:
          - What the address is to the holder. Without it, O(kind).
        type: str
        choices: [fip, snat, dnat]
      ports:
        description:
          - The ports that lead to the holder, with O(eips[].kind=dnat).
        type: list
        elements: dict
        suboptions:
          external:
            description:
              - A port of the address.
            type: int
            required: true
          internal:
            description:
              - The holder's port that it leads to.
            type: int
            required: true
          protocol:
            description:
              - Its protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
      backend:
        description:
          - What makes the EIP. V(annotation) is what Kube-OVN offers in its default VPC. V(objects) are OvnEip with
            OvnFip, OvnSnatRule or OvnDnatRule, for all other VPCs. V(auto) is what the holder's VPC needs.
          - Where the other one cannot work it is refused.
        type: str
        choices: [auto, annotation, objects]
        default: auto
      vm:
        description:
          - Name of a KubeVirt VirtualMachine. One of O(eips[].vm), O(eips[].pod) and O(eips[].deployment) is needed.
          - A stopped one is prepared, so that it has the EIP when it starts; until then its status is V(pending).
        type: str
      pod:
        description:
          - Name of a pod that stays, and not one of a ReplicaSet, a DaemonSet, a Job or a VirtualMachineInstance, where
            another pod follows it under another name.
          - The annotation goes with the pod. Of a StatefulSet, whose pods come back under the same name, the claim
            stays, and the next run attaches the same address again.
        type: str
      deployment:
        description:
          - Name of a Deployment of one replica and strategy Recreate. Others are refused, as several pods would share
            the address; but for O(eips[].kind=snat). So are those with C(hostNetwork), and paused ones.
          - Its template is written, so that Kubernetes ends its pod and starts another one. The plan says so.
        type: str
      namespace:
        description:
          - Namespace of the holder.
        type: str
        default: default
  state:
    description:
      - V(present) attaches the EIPs. An address that anybody else has is refused, and who has it is named. A holder
        has one EIP of a kind. Another address replaces the one before, whose NAT rule, policy and claim go when the new
        one works.
      - V(detached) takes annotations, NAT rules and what Kube-OVN leaves behind. The claim stays, so that nobody else
        gets the address, and a pool gives the holder the same one again.
      - V(absent) releases the claim as well. A holder that exists no more is no error. When the address is given, what
        a deleted machine left behind in OVN goes too.
      - V(pruned) is for the whole cluster, without O(eips). It removes NAT rules, policies and routes that Kube-OVN has
        left behind and that something proves to be leftovers, and claims of holders that exist no more with the objects
        that make their EIPs in other VPCs. What nothing tells whose it is stays and is listed in RV(unclear). Look at
        its plan in check mode first.
    type: str
    choices: [present, detached, absent, pruned]
    default: present
  kind:
    description:
      - What the addresses are. V(fip) is a floating address of one holder, for both directions. V(snat) is the source
        address of the holder's connections to the outside, and may have many holders. V(dnat) are single ports of an
        address, only in VPCs other than the default one.
    type: str
    choices: [fip, snat, dnat]
    default: fip
  reassign:
    description:
      - Whether an address that another VM, pod or Deployment has is taken from it. That one is wholly cleaned before
        the new holder gets the address, so that no moment has both.
    type: bool
    default: false
  adopt:
    description:
      - Whether addresses that were annotated by hand are taken over. A holder then keeps such an address, even when it
        is not in its pool.
      - Without O(eips), each address that any annotation of the cluster names is claimed for the holder that has it,
        and template and instance of a virtual machine get it where only its pod has it.
    type: bool
    default: false
  rotate:
    description:
      - Whether each holder gets another address of its pool than it has. The new one works before the old one goes.
      - A run that was killed is finished by the next one, which does not rotate twice.
    type: bool
    default: false
  rotation:
    description:
      - A name for this rotation, such as V(2026-11). Who has an address of that rotation keeps it, so that the task can
        be repeated, as after a failure in the middle of a fleet.
    type: str
  batch:
    description:
      - How many EIPs are dealt with at once. V(0) is all of them. Not together with O(all_or_nothing).
    type: int
    default: 0
  stop_on_failure:
    description:
      - Whether the batches after one with a failure are left alone.
    type: bool
    default: true
  all_or_nothing:
    description:
      - Whether nothing is written when one of the EIPs cannot be.
    type: bool
    default: false
  busy:
    description:
      - Addresses for which somebody on the wire answers, found by an ARP probe from a gateway node
        (M(kubeovn.core.ovn_gateway_node_info)). They are not drawn from a pool, and refused for a holder that does not
        have them yet.
    type: list
    elements: str
    default: []
  max_disruption:
    description:
      - How much a plan may interrupt. V(none) refuses one that interrupts anybody's traffic, V(brief) one that does for
        longer than some seconds.
    type: str
    choices: [none, brief, any]
    default: any
  claims_namespace:
    description:
      - Namespace of the claims, which are Leases named after their addresses. It is made when it is missing.
      - All that share an external network must use the same one.
    type: str
    default: kubeovn-core
  configmap_namespace:
    description:
      - Namespace of ConfigMap C(ovn-external-gw-config), which is Kube-OVN's own namespace.
    type: str
    default: kube-system
  ovn_connection:
    description:
      - V(tcp) speaks to O(nb_endpoint) and O(sb_endpoint). V(exec) runs C(ovsdb-client) in the ovn-central pod that
        leads. V(auto) is V(tcp) when an endpoint is given, else V(exec).
      - V(none) is for tenants who have rights in their own namespaces only. The annotations are written and the
        controller is waited for, and RV(unverified) says what was not looked at.
    type: str
    choices: [auto, tcp, exec, none]
    default: auto
  wait:
    description:
      - Wait until all is as asked. Without it, success says only that the writes were accepted. What has to wait for
        Kube-OVN is left to the next run, as are the rule and the claim of an address that was replaced or released.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds without any progress until waiting ends with an error that names what is missing. Kube-OVN does about
        six pods a second, so that a thousand take minutes; as long as it goes on, so does the wait.
    type: int
    default: 120
seealso:
  - module: kubeovn.core.ovn_external_gw
  - module: kubeovn.core.ovn_nat_info
  - module: kubeovn.core.ovn_probe
"""

EXAMPLES = r"""
- name: Give a virtual machine an address of the physical network
  kubeovn.core.ovn_eip:
    eips:
      - address: 10.4.19.101
        vm: testing

- name: Ask them for an answer from outside
  kubeovn.core.ovn_probe:
    addresses: [10.4.19.101]
    tries: 10
  delegate_to: outside-host

- name: Show what would change for several holders
  kubeovn.core.ovn_eip:
    eips:
      - {address: 10.4.19.101, vm: testing, namespace: default}
      - {pool: 10.4.19.110-10.4.19.150, vm: web-1, namespace: shop}
      - {address: 10.4.19.103, pod: probe, namespace: tools}
  check_mode: true
  diff: true

- name: Give each machine another address of the pool, ten at a time
  kubeovn.core.ovn_eip:
    eips:
      - {pool: 10.4.19.110-10.4.19.150, vm: web-1, namespace: shop}
      - {pool: 10.4.19.110-10.4.19.150, vm: web-2, namespace: shop}
    rotate: true
    rotation: 2026-11
    batch: 10
  register: rotated

- name: Tell who updates DNS
  ansible.builtin.debug:
    msg: "{{ item.holder.name }}: {{ item.previous }} -> {{ item.address }}"
  loop: "{{ rotated.eips }}"

- name: One source address for all of a Deployment's pods
  kubeovn.core.ovn_eip:
    kind: snat
    eips:
      - {address: 10.4.19.200, deployment: crawler, namespace: shop}

- name: Move an address to another machine
  kubeovn.core.ovn_eip:
    eips:
      - {address: 10.4.19.101, vm: testing-2}
    reassign: true

- name: Take over what was annotated by hand
  kubeovn.core.ovn_eip:
    adopt: true

- name: Take its EIP back, whichever it is
  kubeovn.core.ovn_eip:
    eips:
      - vm: testing
    state: absent

- name: Show what Kube-OVN has left behind
  kubeovn.core.ovn_eip:
    state: pruned
  check_mode: true
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
unverified:
  description: What was not looked at, since this identity may not, or OVN was left out.
  returned: when a plan could be made
  type: list
  elements: str
  sample: []
unclear:
  description: With O(state=pruned), what may be a leftover and was left alone, since nothing tells whose it is.
  returned: when a plan could be made
  type: list
  elements: dict
  contains:
    path:
      description: The row or the claim.
      returned: always
      type: str
      sample: NAT rule dnat_and_snat 10.4.19.120 -> 10.253.0.9
    text:
      description: What is odd about it.
      returned: always
      type: str
      sample: leads to nobody
    hint:
      description: What to do about it.
      returned: always
      type: str
      sample: somebody may have made it by hand
eips:
  description:
    - The EIPs asked for, in the same order, as they are after the run. In check mode, as they are now, but for the
      address that a pool would give.
  returned: when a plan could be made
  type: list
  elements: dict
  contains:
    address:
      description: The EIP. V(null) when it was left out and the holder had none.
      returned: always
      type: str
      sample: 10.4.19.101
    kind:
      description: V(fip), V(snat) or V(dnat).
      returned: always
      type: str
      sample: fip
    previous:
      description: The address that the holder had before this one. V(null) when there was none.
      returned: always
      type: str
      sample: 10.4.19.100
    claim:
      description: The Lease by which the address is the holder's. V(null) when it is not.
      returned: always
      type: str
      sample: eip-10.4.19.101
    holder:
      description: Who has it.
      returned: always
      type: dict
      contains:
        kind:
          description: V(VirtualMachine), V(Pod) or V(Deployment).
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
      description: The node of that pod. V(null) when there is none.
      returned: always
      type: str
      sample: jah-k3s-l40s-001
    logical_ip:
      description: The holder's overlay address. V(null) when it has none.
      returned: always
      type: str
      sample: 10.253.0.11
    logical_port:
      description: Name of the holder's logical switch port. V(null) when no pod has one.
      returned: always
      type: str
      sample: testing.default
    objects:
      description:
        - The holder's objects of Kube-OVN, where these make the EIP, each with its address and port.
        - Empty in the default VPC, where annotations do.
      returned: always
      type: list
      elements: str
      sample: ["OvnFip eip-10-4-19-101: 10.4.19.101"]
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
        - V(claimed) when they do not, and the address is kept for it.
        - V(detached) when none of that is so.
      returned: always
      type: str
      sample: attached
    problems:
      description: What is wrong with this one. Empty when it is as asked.
      returned: always
      type: list
      elements: dict
      sample: []
"""

from ansible_collections.kubeovn.core.plugins.module_utils._eip_task import work
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, run


def main() -> None:
    """Ansible's way in."""
    ports = {
        "external": {"type": "int", "required": True},
        "internal": {"type": "int", "required": True},
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    }
    suboptions = {
        "address": {"type": "str"},
        "pool": {"type": "list", "elements": "str"},
        "kind": {"type": "str", "choices": ["fip", "snat", "dnat"]},
        "ports": {"type": "list", "elements": "dict", "options": ports},
        "backend": {"type": "str", "choices": ["auto", "annotation", "objects"], "default": "auto"},
        "vm": {"type": "str"},
        "pod": {"type": "str"},
        "deployment": {"type": "str"},
        "namespace": {"type": "str", "default": "default"},
    }
    spec = {
        "eips": {"type": "list", "elements": "dict", "options": suboptions},
        "state": {"type": "str", "choices": ["present", "detached", "absent", "pruned"], "default": "present"},
        "kind": {"type": "str", "choices": ["fip", "snat", "dnat"], "default": "fip"},
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
