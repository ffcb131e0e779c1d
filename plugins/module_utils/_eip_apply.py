# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: reading the cluster and OVN, and doing a plan's steps there.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    IPS,
    OVN_EIPS,
    PODS,
    SUBNETS,
    VMIS,
    VMS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._controller import idle_problem, is_idle, leadership
from ansible_collections.kubeovn.core.plugins.module_utils._eip import (
    CLEAN,
    INSTANCE,
    POD,
    REROUTE,
    TEMPLATE,
    wants_kept,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    EIP_ANNOTATION,
    ROUTED_ANNOTATION,
    Eip,
    PodView,
    Problem,
    Step,
    VmView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import kept_addresses, pod_view, vm_view
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock

RESOURCES: Mapping[str, Resource] = {TEMPLATE: VMS, INSTANCE: VMIS, POD: PODS, REROUTE: PODS}
RIGHTS_HINT = "docs/rbac.yml of this collection lists the rights needed"
MOVED = (404, 409)  # the object is gone, or another one bears its name: the next look shows what is there now


# --- observe ------------------------------------------------------------------------------------------------------


def observe(
    cluster: Cluster, northbound: Northbound, desired: Sequence[Eip], state: str, config_namespace: str
) -> Observed:
    """One LIST of each kind that matters, then one read of OVN: in this order, see Observed."""
    pods = tuple(pod_view(item) for item in cluster.list(PODS))
    vms = _machines(cluster) if state == "present" or _may_be_machines(desired, pods) else ()
    eips = {_address(item): item["metadata"]["name"] for item in cluster.list(OVN_EIPS, absent_ok=True)}
    config = ((cluster.get(CONFIG_MAPS, config_namespace, CONFIG_MAP) or {}).get("data")) or {}
    addresses = tuple(config.get(key, "").partition("/")[0] for key in ("external-gw-addr", "nic-ip"))
    holders = {(eip.holder.namespace, eip.holder.name) for eip in desired}
    ports = {pod.logical_port for pod in pods if (pod.namespace, pod.vm or pod.name) in holders}
    observed = Observed(
        configured=bool(config) and config.get("enable-external-gw") != "false",
        next_hop=addresses[0] or None,
        gateway_addresses=tuple(address for address in addresses if address),
        pods=pods,
        vms=vms,
        ovn=northbound.observe(ports),
        ovn_eips={address: name for address, name in eips.items() if address},
        kept=None,
    )
    if not wants_kept(desired, observed):
        return observed
    kept = kept_addresses(cluster.list(IPS, absent_ok=True), cluster.list(SUBNETS, absent_ok=True))
    return replace(observed, kept=kept)


def _may_be_machines(desired: Sequence[Eip], pods: Sequence[PodView]) -> bool:
    launchers = {(pod.namespace, pod.name) for pod in pods if pod.vm}
    return any(
        eip.holder.kind == "VirtualMachine" or (eip.holder.namespace, eip.holder.name) in launchers for eip in desired
    )


def _machines(cluster: Cluster) -> tuple[VmView, ...] | None:
    """All VirtualMachines with their instances; None when the cluster has no KubeVirt."""
    try:
        machines = cluster.list(VMS)
    except ClusterError as error:
        if error.status == 404:
            return None
        raise
    instances = {_key(item): item for item in cluster.list(VMIS, absent_ok=True)} if machines else {}
    return tuple(vm_view(item, instances.get(_key(item))) for item in machines)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _address(ovn_eip: Mapping[str, Any]) -> str:
    status, spec = ovn_eip.get("status") or {}, ovn_eip.get("spec") or {}
    return str(status.get("v4Ip") or spec.get("v4Ip") or "")


# --- apply --------------------------------------------------------------------------------------------------------


def denied(steps: Sequence[Step], cluster: Cluster) -> list[Problem]:
    """The rights that this identity lacks for these steps, asked before the first write."""
    needed = dict.fromkeys((RESOURCES[step.action], step.data["namespace"]) for step in steps if step.action != CLEAN)
    return [
        Problem(f"patch {resource}", f"this identity may not do that in namespace {namespace}", RIGHTS_HINT)
        for resource, namespace in needed
        if not cluster.may("patch", resource, namespace)
    ]


def idle(steps: Sequence[Step], cluster: Cluster, clock: Clock) -> list[Problem]:
    """Whether the steps need kube-ovn-controller and there is none, asked before the first write."""
    if not any(step.action in (POD, REROUTE) for step in steps):
        return []
    first = leadership(cluster)
    return [idle_problem(first)] if first and is_idle(first, lambda: leadership(cluster), clock) else []


def apply(steps: Sequence[Step], cluster: Cluster, northbound: Northbound) -> None:
    """Do steps in their order, those of one kind side by side. The first kind with a refusal is the last."""
    written = False
    for action, group in groupby(steps, key=lambda step: step.action):
        batch = list(group)
        if action == CLEAN:
            rules = dict.fromkeys(rule for step in batch for rule in step.data["rules"])
            policies = dict.fromkeys(policy for step in batch for policy in step.data["policies"])
            northbound.delete_leftovers(tuple(rules), tuple(policies))
            written = True
            continue
        resource = RESOURCES[action]
        answers = cluster.patch_many([(resource, one.data["namespace"], one.data["name"], body(one)) for one in batch])
        refused = [
            Problem(f"{resource.plural} {step.data['namespace']}/{step.data['name']}", str(answer))
            for step, answer in zip(batch, answers, strict=True)
            if isinstance(answer, ClusterError) and answer.status not in MOVED
        ]
        written = written or len(refused) < len(batch)
        if refused:
            raise Failure("the API server refused a write; what was written before it stands", refused, changed=written)


def body(step: Step) -> dict[str, Any]:
    """A step's merge patch. The uid makes it fail on an object that was made anew under the same name."""
    guard = {"uid": step.data["uid"]} if step.data.get("uid") else {}
    if step.action == TEMPLATE:
        annotations = {"metadata": {"annotations": {EIP_ANNOTATION: step.data["eip"]}}}
        return {"metadata": guard, "spec": {"template": annotations}}
    changes = {} if step.action == REROUTE else {EIP_ANNOTATION: step.data["eip"]}
    if step.action in (POD, REROUTE):
        changes[ROUTED_ANNOTATION] = None
    return {"metadata": {**guard, "annotations": changes}}
