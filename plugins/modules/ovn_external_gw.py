#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kube-OVN's external gateway: pushed, put right, removed, and seen in OVN."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_external_gw
short_description: Manage Kube-OVN's external gateway and see it work in OVN
version_added: 0.1.0
author:
  - kubeovn.core contributors (@kubeovn-core)
description:
  - Gives the default VPC of a Kube-OVN cluster a gateway to a physical network, as ConfigMap
    C(ovn-external-gw-config) describes it, and keeps it that way.
  - Kube-OVN's controller reads the ConfigMap once and never looks again. A changed address, a changed order or
    a removed node never reaches OVN, and what is lost in OVN stays lost. So this module compares OVN itself
    with what is asked, lets the controller do what it does, and does the rest in the northbound database.
  - Success means that the gateway was seen in the northbound and the southbound database as asked, never that a
    write was accepted.
  - It works through the API server and OVN's databases, on the control node. NICs and bridges on the nodes are
    made ready by role P(kubeovn.core.gateway_nic#role) and looked at by M(kubeovn.core.ovn_gateway_node_info).
extends_documentation_fragment:
  - kubeovn.core.auth
  - kubeovn.core.ovn
  - kubeovn.core.attributes
  - kubeovn.core.attributes.actiongroup_kubeovn
attributes:
  check_mode:
    support: full
    details:
      - The plan of check mode is the plan of a run.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) makes the gateway, or puts right what differs, in place where OVN allows it. Traffic is
        moved away from a node before its gateway chassis and its bridge go, and to a node only when its
        bridge is there.
      - V(absent) removes the ConfigMap, the nodes' labels, the router port and switch C(external), which
        Kube-OVN leaves behind. It is refused while EIPs, OvnEips, custom VPCs or a Subnet of the switch's name
        still use it.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - How external traffic leaves. V(centralized) is through the active gateway node.
      - With V(distributed) the traffic of an EIP leaves on the node of its holder, so every node that has one needs
        the external NIC and has to be in O(nodes); refused otherwise. Kube-OVN then takes its gateways from the
        nodes' labels, which this module sets.
      - When it changes, the NAT rows of EIPs in use are changed with it, which Kube-OVN does not do.
    type: str
    choices: [centralized, distributed]
    default: centralized
  enabled:
    description:
      - With V(false) the gateway is out of service and not removed - the ConfigMap keeps its values, the router port
        and its gateway chassis are gone from OVN, EIPs keep their NAT rows and do not work until it is enabled again.
    type: bool
    default: true
  nodes:
    description:
      - The gateway nodes, by their names in Kubernetes. Their order is their priority, the first that works
        is the active one.
      - Needed when O(state=present).
    type: list
    elements: str
  may_leave:
    description:
      - Whether gateways that O(nodes) does not name are taken out of service. V(false) refuses the task while there are
        such.
      - For lists that somebody else has made. In a slice of an AWX job, as an example, a group has only some of its
        hosts, and nothing tells that from a gateway that is to leave.
    type: bool
    default: true
  drained:
    description:
      - Those of O(nodes) that get no traffic while another one lives, before maintenance. They stay gateways and
        stand last in priority; the ConfigMap keeps the order of O(nodes), so nothing on the nodes changes.
      - Where the gateway that remains would have no other live chassis to have a tunnel with, OVN would not let it
        forward once the drained node is down. Then the drained node's gateway chassis is taken out instead.
    type: list
    elements: str
    default: []
  nic:
    description:
      - Name of the NIC or bond on each gateway node that the physical network is on. It becomes a port of
        bridge C(br-external).
      - When it changes, Kube-OVN adds the new NIC and leaves the old one in the bridge, where the two form a loop.
        Role P(kubeovn.core.external_gateway#role) changes one for the other on the nodes without loss.
      - Needed when O(state=present).
    type: str
  gateway:
    description:
      - Address of the physical gateway with the prefix length of its network.
      - When it changes, the policies of EIPs in use are changed with it.
      - Needed when O(state=present).
    type: str
  nic_ip:
    description:
      - Address of the logical router port, a free one on the same network, with the prefix length.
      - Needed when O(state=present).
    type: str
  nic_mac:
    description:
      - MAC address of the logical router port.
      - When it is left out, the one on record in the ConfigMap stays, or else the router port's own where that is
        unicast and nobody else's. A new gateway gets a stable, locally administered MAC that is derived from O(nic_ip).
      - After a change the neighbours know the old one until they ask again, for seconds. Role
        P(kubeovn.core.external_gateway#role) tells them at once, with RV(announce).
    type: str
  rescue:
    description:
      - Whether gateway chassis of dead nodes (not Ready, and nothing in O(node_evidence) says otherwise) are taken
        out of OVN while another gateway lives. A lone gateway forwards only then, and a rebooted node does not get
        the traffic back before it can forward.
      - Which were taken out is noted in the ConfigMap's annotation C(kubeovn.core/rescued). They come back in a run
        whose O(node_evidence) proves their nodes.
    type: bool
    default: false
  node_evidence:
    description:
      - What gateway nodes show of themselves - results of M(kubeovn.core.ovn_gateway_node_info) with its O(nic), by
        the node's name. Role P(kubeovn.core.external_gateway#role) gathers them.
    type: dict
  bfd:
    description:
      - Timers of OVN's tunnel BFD, by which a gateway's death is noticed. They hold for all tunnels of the cluster.
        What is left out is left alone; OVN's own are 1000, 100 and 5 in the northbound database's documentation, and
        a power-off took about 3 s with them.
      - With O(state=absent) those that have these values are taken away.
    type: dict
    suboptions:
      min_rx:
        description: Shortest time in milliseconds between two packets that is accepted.
        type: int
      min_tx:
        description: Shortest time in milliseconds between two packets that are sent.
        type: int
      multiplier:
        description: After so many packets missed in a row a tunnel is down.
        type: int
  max_disruption:
    description:
      - The most that the plan may interrupt. V(none) refuses every step that interrupts anyone's traffic, V(brief)
        those that do for longer than some seconds.
    type: str
    choices: [none, brief, any]
    default: any
  force:
    description:
      - With O(state=absent), remove the gateway although it is in use. NAT rows and policies of EIPs stay.
    type: bool
    default: false
  claims_namespace:
    description:
      - Namespace of the Leases in which M(kubeovn.core.ovn_eip) keeps who has which address. A stopped machine's EIP is
        seen there alone. Without the right to list them only EIPs in service count.
    type: str
    default: kubeovn-core
  configmap_namespace:
    description:
      - Namespace of the ConfigMap, where the controller was told to look for it elsewhere.
    type: str
    default: kube-system
  hold:
    description:
      - Whether to stop before the first write. Where something has to change, the result is that of check mode, with
        RV(held) V(true); a run that would be refused is refused. Where nothing has to, OVN is looked at as in any run.
      - So what must happen elsewhere at the moment of a change (RV(announce)) can be made ready before a second task
        that changes it, and a site that is as asked needs no second task.
    type: bool
    default: false
  wait:
    description:
      - Whether to wait until OVN is as asked, and fail when it is not in time.
      - With V(false) it ends at the first step that would have to wait for the controller or a node. What is left
        is said in RV(unverified), and the next run does it.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds in which the gateway has to be as asked.
    type: int
    default: 120
seealso:
  - module: kubeovn.core.ovn_eip
  - module: kubeovn.core.ovn_nat_info
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: Three gateway machines, the first one active
  kubeovn.core.ovn_external_gw:
    nodes: [jah-k3s-h100-001, jah-k3s-h100-002, jah-k3s-h100-003]
    nic: enp8s0
    gateway: 10.4.19.1/24
    nic_ip: 10.4.19.254/24
    nic_mac: "16:52:f3:13:6a:25"

- name: What would change, in words
  kubeovn.core.ovn_external_gw:
    nodes: [jah-k3s-h100-002, jah-k3s-h100-001]
    nic: enp8s0
    gateway: 10.4.19.1/24
    nic_ip: 10.4.19.254/24
  check_mode: true
  diff: true
  register: gateway

- name: Show it
  ansible.builtin.debug:
    msg: "{{ gateway.plan | map(attribute='text') }}"

- name: Take the active gateway out of service before its maintenance, moving the traffic first
  kubeovn.core.ovn_external_gw:
    nodes: [jah-k3s-h100-001, jah-k3s-h100-002, jah-k3s-h100-003]
    drained: [jah-k3s-h100-001]
    nic: enp8s0
    gateway: 10.4.19.1/24
    nic_ip: 10.4.19.254/24
    max_disruption: brief

- name: No external gateway any more
  kubeovn.core.ovn_external_gw:
    state: absent
"""

RETURN = r"""
cluster:
  description: URL of the API server that was spoken to.
  returned: always, unless no cluster is configured
  type: str
  sample: https://10.4.18.1:6443
plan:
  description: The steps from what was there to what is asked, in order. Check mode shows the steps that a run takes.
  returned: always, unless refused
  type: list
  elements: dict
  contains:
    action:
      description: Name of the step.
      type: str
      sample: set_router_port
    text:
      description: What it does.
      type: str
    interrupts:
      description: Whose traffic it interrupts, and for how long. Null when nobody's.
      type: str
    disruption:
      description: How much that is - V(none), V(brief) for seconds at most, or V(long).
      type: str
before:
  description: What the plan is about, as it was.
  returned: success
  type: dict
after:
  description: The same afterwards; in check mode as it will be.
  returned: success
  type: dict
config_map:
  description: Data of the ConfigMap. Null when there is none.
  returned: success
  type: dict
  sample: {"enable-external-gw": "true", "external-gw-nic": "enp8s0"}
router_port:
  description: The logical router port in the northbound database. Null when there is none.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: ovn-cluster-external
    mac:
      description: Its MAC address.
      type: str
      sample: "16:52:f3:13:6a:25"
    networks:
      description: Its addresses.
      type: list
      elements: str
      sample: [10.4.19.254/24]
    gateway_chassis:
      description: Its gateway chassis, highest priority first.
      type: list
      elements: dict
      contains:
        node:
          description: Name of the node.
          type: str
          sample: jah-k3s-h100-001
        chassis:
          description: Name of the node's chassis in OVN.
          type: str
        priority:
          description: Its priority.
          type: int
          sample: 100
        active:
          description: Whether it holds the router port.
          type: bool
switch:
  description: The external switch. Null when there is none.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: external
    localnet:
      description: The physical network that its localnet port is tied to. Null without such a port.
      type: dict
      contains:
        network_name:
          description: The network, as bridge mappings call it. Null when the port names none.
          type: str
          sample: external
        tag:
          description: Its VLAN, or null.
          type: int
announce:
  description:
    - What the neighbours on the physical network have to learn, when the router port gets another MAC, another
      gateway becomes the active one, or EIPs are no more distributed. Null otherwise.
    - Role P(kubeovn.core.external_gateway#role) tells them.
  returned: success
  type: dict
  contains:
    mac:
      description: The MAC address that the router port will have.
      type: str
    addresses:
      description: The addresses that it answers for, the router port's and those of EIPs.
      type: list
      elements: str
    tag:
      description: VLAN of the external network, or null.
      type: int
    again:
      description: Seconds for which to tell them again and again, from before the change; or null.
      type: int
    not_from:
      description: The node that is active before, when another one becomes it. Null when the MAC address changes.
      type: str
held:
  description: Whether something has to change and O(hold) has kept it from that. C(changed) is V(false) then.
  returned: success
  type: bool
degraded:
  description: What is less than a site should have - gateways that are dead, drained, left out or faulty, or alone.
  returned: success
  type: list
  elements: str
foreign_labels:
  description:
    - Nodes that others labelled as gateways, for custom VPCs. Their labels stay, and are put back when Kube-OVN drops
      them.
  returned: success
  type: list
  elements: str
phases:
  description: Seconds that C(observe), C(plan), C(apply) and C(verify) took.
  returned: success
  type: dict
  sample: {"observe": 0.21, "plan": 0.001, "apply": 1.2, "verify": 2.9}
active_node:
  description: The node whose chassis holds the router port in the southbound database. Null when none does.
  returned: success
  type: str
  sample: jah-k3s-h100-001
unverified:
  description:
    - What was not seen to be right, and why. A node's own side (its bridge and NIC) cannot be seen from here;
      role P(kubeovn.core.external_gateway#role) sees it on the node.
  returned: success
  type: list
  elements: str
problems:
  description: Why it was refused, or what was not as asked in time.
  returned: failure
  type: list
  elements: dict
  contains:
    path:
      description: The option, or the object.
      type: str
      sample: nodes[2]
    text:
      description: What is wrong with it.
      type: str
    hint:
      description: What would be right, or what to look at.
      type: str
"""

from ansible_collections.kubeovn.core.plugins.module_utils._gateway_task import work
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, run

PRESENT_NEEDS = ("nodes", "nic", "gateway", "nic_ip")


def main() -> None:
    """Ansible's way in."""
    timers = {name: {"type": "int"} for name in ("min_rx", "min_tx", "multiplier")}
    spec = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "type": {"type": "str", "choices": ["centralized", "distributed"], "default": "centralized"},
        "enabled": {"type": "bool", "default": True},
        "nodes": {"type": "list", "elements": "str"},
        "may_leave": {"type": "bool", "default": True},
        "drained": {"type": "list", "elements": "str", "default": []},
        "nic": {"type": "str"},
        "gateway": {"type": "str"},
        "nic_ip": {"type": "str"},
        "nic_mac": {"type": "str"},
        "rescue": {"type": "bool", "default": False},
        "node_evidence": {"type": "dict"},
        "bfd": {"type": "dict", "options": timers},
        "max_disruption": {"type": "str", "choices": ["none", "brief", "any"], "default": "any"},
        "force": {"type": "bool", "default": False},
        "hold": {"type": "bool", "default": False},
        "claims_namespace": {"type": "str", "default": "kubeovn-core"},
        "configmap_namespace": {"type": "str", "default": "kube-system"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 120},
    }
    run(
        work,
        argument_spec=ARGUMENTS | spec,
        required_if=[("state", "present", PRESENT_NEEDS)],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
