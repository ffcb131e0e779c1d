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
        Kube-OVN leaves behind. It is refused while an EIP is in use.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - How external traffic leaves. V(centralized) is through the gateway nodes.
    type: str
    choices: [centralized]
    default: centralized
  nodes:
    description:
      - The gateway nodes, by their names in Kubernetes. Their order is their priority, the first that works
        is the active one.
      - Needed when O(state=present).
    type: list
    elements: str
  nic:
    description:
      - Name of the NIC or bond on each gateway node that the physical network is on. It becomes a port of
        bridge C(br-external).
      - When it changes, Kube-OVN adds the new NIC and leaves the old one in the bridge; take it out on the
        nodes before, or the two form a loop.
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
      - When it is left out, a router port keeps the one that it has, and a new one gets a stable, locally
        administered MAC that is derived from O(nic_ip).
    type: str
  configmap_namespace:
    description:
      - Namespace of the ConfigMap, where the controller was told to look for it elsewhere.
    type: str
    default: kube-system
  wait:
    description:
      - Whether to wait until OVN is as asked, and fail when it is not in time.
      - With V(false) only what needs no waiting for the controller is done. What is left is said in
        RV(unverified), and the next run does it.
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

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed, config_data, plan, report
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import (
    absent_problems,
    unverified,
    wanted,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_site import GatewaySite
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, Plan
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, Failure, outcome, refuse, run
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError
from ansible_collections.kubeovn.core.plugins.module_utils._wait import SystemClock

PRESENT_NEEDS = ("nodes", "nic", "gateway", "nic_ip")


def work(module: AnsibleModule, cluster: Cluster) -> Mapping[str, Any]:
    """Observe, plan, apply, verify."""
    params = module.params
    ovn = open_ovn(params, cluster)
    names = [str(name).strip() for name in params["nodes"] or []]
    site = GatewaySite(cluster, ovn, params["configmap_namespace"], names if params["state"] == "present" else [])
    seen = site.observe()
    gateway: ExternalGateway | None = None
    if params["state"] == "present":
        gateway, problems = wanted(params, seen)
    else:
        problems = absent_problems(seen)
    refuse(problems)
    steps = plan(gateway, seen)
    _warn(module, gateway, seen)
    if module.check_mode:
        return outcome(cluster, steps, **_predicted(gateway, seen), unverified=[])
    doing = Run(gateway, site, seen, SystemClock(), params["wait_timeout"] if params["wait"] else 0)
    refuse(site.denied([step.action for step in steps.steps], create=seen.config_map is None))
    refuse(doing.check_controller(steps))
    left = _carry_out(doing, steps, cluster, params["wait"])
    left += unverified(gateway, doing.seen) if gateway else []
    return outcome(cluster, steps, **report(doing.seen), unverified=left)


def _carry_out(doing: Run, steps: Plan, cluster: Cluster, wait: bool) -> list[str]:
    """Take the steps and look. Returns what is left over when nobody waits for it."""
    try:
        doing.apply(steps)
        doing.verify()
    except NotReached as reason:
        if wait:
            raise Failure(str(reason), reason.problems, **_done(doing, steps, cluster)) from reason
        later = [f"not done yet: {step.text}" for step in steps.steps[len(doing.done) :]]
        return later + [str(problem) for problem in reason.problems]
    except (ClusterError, OvsdbError) as error:
        if not steps.steps:
            raise
        number = len(doing.done) + 1
        step = steps.steps[len(doing.done)].text if number <= len(steps.steps) else "looking whether all is as asked"
        text = f"{error} [at step {number} of {len(steps.steps)}: {step}; run again when that is solved]"
        raise Failure(text, (), **_done(doing, steps, cluster)) from error
    return []


def _done(doing: Run, steps: Plan, cluster: Cluster) -> dict[str, Any]:
    """What a failed run says about the steps that it took."""
    taken = outcome(cluster, Plan(tuple(doing.done), steps.before, steps.after))
    return {"changed": taken["changed"], "plan": taken["plan"]}


def _warn(module: AnsibleModule, gateway: ExternalGateway | None, seen: Observed) -> None:
    """Say what no plan can put right."""
    old = (seen.config_map or {}).get("external-gw-nic")
    if gateway and old and old != gateway.nic:
        module.warn(
            f"nic changes from {old} to {gateway.nic}: Kube-OVN leaves {old} in br-external on each gateway node. "
            "Take it out there (ovs-vsctl del-port), or two NICs on one network form a loop"
        )
    if gateway and (seen.config_map or {}).get("type") == "distributed":
        module.warn("the gateway was distributed: EIPs made under it keep their own MAC until they are attached again")


def _predicted(gateway: ExternalGateway | None, seen: Observed) -> dict[str, Any]:
    """What check mode can say of the result: the ConfigMap as it will be, OVN as it is."""
    found = report(seen)
    if gateway is None:
        return {**found, "config_map": None}
    return {**found, "config_map": {**(seen.config_map or {}), **config_data(gateway)}}


def main() -> None:
    """Ansible's way in."""
    spec = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "type": {"type": "str", "choices": ["centralized"], "default": "centralized"},
        "nodes": {"type": "list", "elements": "str"},
        "nic": {"type": "str"},
        "gateway": {"type": "str"},
        "nic_ip": {"type": "str"},
        "nic_mac": {"type": "str"},
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
