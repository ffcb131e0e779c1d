#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read-only module: NAT rules with their holders, and the external gateways, as facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_nat_facts
short_description: Gather the NAT rules and external gateways of Kube-OVN's default VPC as facts
version_added: 0.1.0
description:
  - Reads what OVN really does for the default VPC, C(ovn-cluster), joins it with what Kubernetes knows, and sets facts.
    NAT rules come with the virtual machine or pod that holds them, gateways with their nodes.
  - The facts describe a cluster, not a host. Run it once, and on the host that reaches the cluster.
  - See M(kubeovn.core.ovn_nat_info) for the same as a result.
author:
  - kubeovn.core contributors (@kubeovn-core)
extends_documentation_fragment:
  - kubeovn.core.auth
  - kubeovn.core.ovn
  - kubeovn.core.nat
  - kubeovn.core.attributes
  - kubeovn.core.attributes.facts
  - kubeovn.core.attributes.info_module
  - kubeovn.core.attributes.actiongroup_kubeovn
seealso:
  - module: kubeovn.core.ovn_nat_info
  - module: kubeovn.core.ovn_eip
  - module: kubeovn.core.ovn_external_gw
"""

EXAMPLES = r"""
- name: Gather NAT rules and gateways
  kubeovn.core.ovn_nat_facts:

- name: Show the gateways in their order
  ansible.builtin.debug:
    msg: "{{ kubeovn_gateways | map(attribute='node') | join(', ') }}; active is {{ kubeovn_active_gateway }}"

- name: Show the external address of virtual machine testing
  ansible.builtin.debug:
    msg: "{{ mine | map(attribute='external_ip') | list }}"
  vars:
    mine: "{{ kubeovn_nat_rules | selectattr('holder') | selectattr('holder.name', 'eq', 'testing') }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts about the cluster's external network.
  returned: success
  type: dict
  contains:
    kubeovn_cluster:
      description: URL of the API server that was asked.
      returned: always
      type: str
      sample: https://10.4.18.1:6443
    kubeovn_gateways:
      description:
        - The gateway chassis of the router port, highest priority first.
        - Empty when there is no router port.
      returned: success
      type: list
      elements: dict
      contains:
        node:
          description: Name of the Kubernetes node, V(null) when no node and no chassis of that name is known.
          returned: always
          type: str
          sample: jah-k3s-h100-001
        chassis:
          description: Name of the OVN chassis.
          returned: always
          type: str
          sample: 2b9c2a8e-64a5-4d0a-8e5f-0d7c7c1f4e11
        priority:
          description: Its priority in the northbound database.
          returned: always
          type: int
          sample: 100
        ready:
          description: Whether Kubernetes calls the node Ready.
          returned: always
          type: bool
          sample: true
        active:
          description: Whether it holds the router port now, according to the southbound database.
          returned: always
          type: bool
          sample: true
        bridge_mappings:
          description: Which bridge on it leads to which physical network, according to the southbound database.
          returned: always
          type: dict
          sample: {external: br-external}
        link:
          description:
            - Whether its external NIC is up and has a carrier, V(up) or V(down), as O(node_evidence) shows.
            - V(unverified) when it does not.
          returned: always
          type: str
          sample: up
        mtu:
          description: The MTU of its external NIC, as O(node_evidence) shows. V(null) when it does not.
          returned: always
          type: int
          sample: 1500
        bfd:
          description:
            - The worst state of its BFD sessions with the other gateways, as O(node_evidence) shows - V(up), V(down),
              V(init) or V(admin_down).
            - V(none) where OVN asks for no session, as it does with a single gateway. V(unverified) without evidence.
          returned: always
          type: str
          sample: up
        bfd_peers:
          description:
            - The state of its BFD session with each of the other gateways, by their nodes, as far as it is known.
          returned: always
          type: dict
          sample: {jah-k3s-h100-002: up, jah-k3s-h100-003: up}
    kubeovn_active_gateway:
      description: Name of the node that holds the router port now, V(null) when nobody does.
      returned: success
      type: str
      sample: jah-k3s-h100-001
    kubeovn_router_port:
      description: The logical router port on the physical network, V(null) when there is none.
      returned: success
      type: dict
      contains:
        name:
          description: Name of the port.
          returned: always
          type: str
          sample: ovn-cluster-external
        mac:
          description: Its MAC address.
          returned: always
          type: str
          sample: "16:52:f3:13:6a:25"
        networks:
          description: Its addresses with their prefix lengths.
          returned: always
          type: list
          elements: str
          sample: [10.4.19.254/24]
    kubeovn_external_switch:
      description: The logical switch that joins router and physical network, V(null) when there is none.
      returned: success
      type: dict
      contains:
        name:
          description: Name of the switch.
          returned: always
          type: str
          sample: external
        ports:
          description: Its ports, by name.
          returned: always
          type: list
          elements: dict
          contains:
            name:
              description: Name of the port.
              returned: always
              type: str
              sample: localnet.external
            type:
              description: Its type in OVN.
              returned: always
              type: str
              sample: localnet
            options:
              description: Its options in OVN.
              returned: always
              type: dict
              sample: {network_name: external}
        localnet:
          description: Its port to the physical network, V(null) when it has none.
          returned: always
          type: dict
          contains:
            port:
              description: Name of the port.
              returned: always
              type: str
              sample: localnet.external
            network:
              description:
                - The physical network's name, which RV(ansible_facts.kubeovn_gateways[].bridge_mappings) have.
                - V(null) when the port names none.
              returned: always
              type: str
              sample: external
            tag:
              description: Its VLAN. V(null) when it is not tagged.
              returned: always
              type: int
              sample: null
    kubeovn_nat_rules:
      description: The NAT rules of the default VPC's router, by external address.
      returned: success
      type: list
      elements: dict
      contains:
        type:
          description: V(dnat_and_snat) for an EIP, V(snat) or V(dnat).
          returned: always
          type: str
          sample: dnat_and_snat
        external_ip:
          description: The address on the physical network.
          returned: always
          type: str
          sample: 10.4.19.101
        logical_ip:
          description: The overlay address, or network.
          returned: always
          type: str
          sample: 10.253.0.11
        logical_port:
          description: The logical port that a distributed rule names, V(null) for a centralized one.
          returned: always
          type: str
          sample: null
        external_mac:
          description: The MAC that a distributed rule answers with, V(null) for a centralized one.
          returned: always
          type: str
          sample: null
        distributed:
          description: Whether the node of the holder translates, and not the active gateway.
          returned: always
          type: bool
          sample: false
        kind:
          description:
            - What has made it. V(annotation) when the holder's annotations ask for it, V(OvnFip), V(OvnSnatRule) or
              V(OvnDnatRule) when an OvnEip has its address, V(foreign) when neither does.
            - V(unverified) when this identity may not read OvnEips, and no annotation asks for it.
          returned: always
          type: str
          sample: annotation
        holder:
          description:
            - Who has the overlay address, V(null) when nobody has it.
            - The rule of a stopped virtual machine is its own still.
          returned: always
          type: dict
          contains:
            kind:
              description: V(VirtualMachine), V(Deployment) or V(Pod).
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
            - Name of the pod that has the overlay address now, of a virtual machine its launcher pod.
            - V(null) when none runs.
          returned: always
          type: str
          sample: virt-launcher-testing-x7k2p
        node:
          description: The node that this pod runs on, V(null) when none runs.
          returned: always
          type: str
          sample: jah-k3s-l40s-001
        mac:
          description: The MAC address that this pod has at the overlay address, V(null) when it has none.
          returned: always
          type: str
          sample: "0a:58:0a:fd:00:0b"
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
    kubeovn_claims:
      description: Who has claimed which address, attached or not, see M(kubeovn.core.ovn_eip).
      returned: always
      type: list
      elements: dict
      contains:
        address:
          description: The address.
          returned: always
          type: str
          sample: 10.4.19.101
        kind:
          description: V(fip), V(snat) or V(dnat).
          returned: always
          type: str
          sample: fip
        holders:
          description: Whose it is, each with its kind, namespace and name. Several of a SNAT address only.
          returned: always
          type: list
          elements: dict
          sample: [{kind: VirtualMachine, namespace: default, name: testing}]
        previous:
          description: The address that the holder had before this one. V(null) when there was none.
          returned: always
          type: str
          sample: null
        rotation:
          description: The rotation that gave it. V(null) when none did.
          returned: always
          type: str
          sample: null
    kubeovn_findings:
      description:
        - What is wrong, errors first. Empty on a healthy site.
        - Of one look only, so that what changes just then may be among it.
        - An EIP that a pod has asked for less than a minute ago is left out while Kube-OVN is not done with that pod.
      returned: success
      type: list
      elements: dict
      contains:
        code:
          description: What kind of finding it is; the collection's C(docs/findings.md) lists them.
          returned: always
          type: str
          sample: stale_row
        severity:
          description: V(error) when traffic is lost or goes astray now or at the next failure, else V(warning).
          returned: always
          type: str
          sample: error
        text:
          description: What was found.
          returned: always
          type: str
          sample: NAT rule dnat_and_snat 10.4.19.103 -> 10.253.0.99 is left over
        breaks:
          description: What it breaks.
          returned: always
          type: str
          sample: the address leads to nobody, or to a pod that did not ask for it
        repair:
          description: A task, or a command, that repairs it as it is written.
          returned: always
          type: str
          sample: "- kubeovn.core.ovn_eip: {state: pruned}"
        address:
          description: The external address that it is about. V(null) when it is about none.
          returned: always
          type: str
          sample: 10.4.19.103
        holder:
          description: The holder that it is about, with kind, namespace and name. V(null) when it is about none.
          returned: always
          type: dict
          sample: {kind: VirtualMachine, namespace: default, name: testing}
        node:
          description: The node that it is about. V(null) when it is about none.
          returned: always
          type: str
          sample: null
    kubeovn_path:
      description: The way of a packet from outside to the holder of the EIP of O(trace), and back.
      returned: when O(trace) is given
      type: dict
      contains:
        eip:
          description: The EIP.
          returned: always
          type: str
          sample: 10.4.19.101
        logical_ip:
          description: The overlay address that it leads to. V(null) when no NAT rule has it.
          returned: always
          type: str
          sample: 10.253.0.11
        logical_port:
          description: The holder's logical port. V(null) when there is none.
          returned: always
          type: str
          sample: testing.default
        gateway:
          description:
            - The node that answers ARP for the EIP and translates - the active gateway, or the holder's own node when
              the rule is a distributed one. V(null) when nobody does.
          returned: always
          type: str
          sample: jah-k3s-h100-001
        node:
          description: The node that the holder's port is bound to. V(null) when it is bound to none.
          returned: always
          type: str
          sample: jah-k3s-l40s-001
        distributed:
          description: Whether the rule is a distributed one. V(null) when there is none.
          returned: always
          type: bool
          sample: false
        router_mac:
          description: The MAC that hosts outside see at the EIP. V(null) when there is no router port.
          returned: always
          type: str
          sample: "16:52:f3:13:6a:25"
        complete:
          description: Whether both directions are whole.
          returned: always
          type: bool
          sample: true
        lacks:
          description: What they lack, in words.
          returned: always
          type: list
          elements: str
          sample: []
        inbound:
          description: The hops from outside to the holder, as far as they go.
          returned: always
          type: list
          elements: dict
          contains: &hop
            action:
              description:
                - Inbound V(enter), V(dnat), V(tunnel) unless the holder is on the gateway itself, V(deliver).
                - Outbound V(send), V(reroute), V(tunnel), V(snat), V(leave).
              returned: always
              type: str
              sample: dnat
            node:
              description: The node where it happens; of a tunnel the one where it ends. V(null) when no node is known.
              returned: always
              type: str
              sample: jah-k3s-h100-001
            via:
              description:
                - The bridge by which a packet enters or leaves, the router port that translates, the two ends of a
                  tunnel, the logical port, or the next hop of V(reroute). V(null) when it is not known.
              returned: always
              type: str
              sample: ovn-cluster-external
            source:
              description: The packet's source after it, V(outside) or an address.
              returned: always
              type: str
              sample: outside
            destination:
              description: The packet's destination after it, an address or V(outside).
              returned: always
              type: str
              sample: 10.253.0.11
        outbound:
          description: The hops from the holder to the outside, as far as they go.
          returned: always
          type: list
          elements: dict
          contains: *hop
    kubeovn_queried:
      description: The answer to O(query).
      returned: when O(query) is given
      type: raw
      sample: []
    kubeovn_unjudged:
      description: What could not be judged, since this identity may not read what it needs.
      returned: success
      type: list
      elements: str
      sample: []
    kubeovn_versions:
      description: The versions of Kube-OVN that run, by its pods' images. Several while it is upgraded.
      returned: success
      type: list
      elements: str
      sample: [v1.14.10]
cluster:
  description: URL of the API server that was asked.
  returned: failure
  type: str
  sample: https://10.4.18.1:6443
problems:
  description: Everything that is wrong with the options. Empty when something else failed.
  returned: failure
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      returned: always
      type: str
      sample: addresses[1]
    text:
      description: What is wrong with it.
      returned: always
      type: str
      sample: "'10.4.19.300' is neither an address nor a network"
    hint:
      description: What would be right.
      returned: always
      type: str
      sample: 10.4.19.101, or 10.4.19.96/28
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster
from ansible_collections.kubeovn.core.plugins.module_utils._module import run
from ansible_collections.kubeovn.core.plugins.module_utils._nat_task import NAT_ARGUMENTS, tell


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    """Look once, and tell."""
    facts = {f"kubeovn_{name}": value for name, value in tell(module, cluster).items()}
    return {"changed": False, "ansible_facts": facts}


def main() -> None:
    """Run the module."""
    run(work, argument_spec=NAT_ARGUMENTS, supports_check_mode=True)


if __name__ == "__main__":
    main()
