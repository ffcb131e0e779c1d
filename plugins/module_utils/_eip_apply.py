# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: reading the cluster and OVN, doing the plan's steps, and going on until all is as asked.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from ansible_collections.kubeovn.core.plugins.module_utils._eip import (
    CLEAN,
    INSTANCE,
    POD,
    REROUTE,
    TEMPLATE,
    is_late,
    plan,
    wants_kept,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    EIP_ANNOTATION,
    ROUTED_ANNOTATION,
    Eip,
    Plan,
    PodView,
    Problem,
    Step,
    VmView,
)
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import kept_addresses, pod_view, vm_view
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

RESOURCES: Mapping[str, Resource] = {TEMPLATE: VMS, INSTANCE: VMIS, POD: PODS, REROUTE: PODS}
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
    return Observed(**{**vars(observed), "kept": kept})


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


def apply(steps: Sequence[Step], cluster: Cluster, northbound: Northbound) -> None:
    """Do steps in their order, those of one kind side by side. The first kind with a refusal is the last."""
    for action, group in groupby(steps, key=lambda step: step.action):
        batch = list(group)
        if action == CLEAN:
            rules = dict.fromkeys(rule for step in batch for rule in step.data["rules"])
            policies = dict.fromkeys(policy for step in batch for policy in step.data["policies"])
            northbound.delete_leftovers(tuple(rules), tuple(policies))
            continue
        resource = RESOURCES[action]
        answers = cluster.patch_many([(resource, one.data["namespace"], one.data["name"], body(one)) for one in batch])
        refused = [
            Problem(f"{resource.plural} {step.data['namespace']}/{step.data['name']}", str(answer))
            for step, answer in zip(batch, answers, strict=True)
            if isinstance(answer, ClusterError) and answer.status not in MOVED
        ]
        if refused:
            raise Failure("the API server refused a write; what was written before it stands", refused, changed=True)


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


# --- until it is so -----------------------------------------------------------------------------------------------


@dataclass
class Run:
    """One run of the module: what it does between the first look and the last."""

    desired: Sequence[Eip]
    state: str
    look: Callable[[], Observed]
    act: Callable[[Sequence[Step]], None]
    seen: Observed = field(init=False)
    planned: Plan = field(init=False)
    done: dict[tuple[Any, ...], Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = self.look()
        self.planned = plan(self.desired, self.state, self.seen)

    def write(self) -> None:
        """All steps at once, without waiting for anything."""
        self._do(self.planned.steps)
        if self.done:
            self.seen = self.look()

    def settle(self, timeout: float, clock: Clock | None = None) -> None:
        """Do what can be done, look again, until nothing is left to do and all is as asked."""
        self._do([step for step in self.planned.steps if not is_late(step)])
        if not self.planned.steps and not self._left():
            return
        try:
            until(self._again, lambda finished: finished, timeout, clock)
        except Deadline as deadline:
            raise self._failure(deadline.waited) from deadline

    def _again(self) -> bool:
        self.seen = self.look()
        steps = plan(self.desired, self.state, self.seen).steps
        # Each object is written once in a run: who reverts our writes is told of in the end, not fought.
        self._do([step for step in steps if not is_late(step) and key_of(step) not in self.done])
        return not steps and not self._left()

    def _do(self, steps: Sequence[Step]) -> None:
        try:
            self.act(steps)
        except GuardFailed:
            return  # a row changed since it was read: the next look plans anew
        self.done.update({key_of(step): step for step in steps})

    def _left(self) -> list[Problem]:
        return unfinished(self.desired, self.state, self.seen)

    def _failure(self, waited: float) -> Failure:
        left = self._left()
        named = " ".join(problem.path for problem in left)
        left += [
            Problem(step.data.get("holder") or step.data["name"], f"not done: {step.text}")
            for step in plan(self.desired, self.state, self.seen).steps
            if step.data.get("holder", step.data.get("name")) not in named
        ]
        text = f"written, but not as asked after {waited:g} s" if self.done else f"not as asked after {waited:g} s"
        return Failure(text, left, changed=bool(self.done))

    @property
    def result(self) -> Plan:
        """What was planned, and what turned out to be needed besides."""
        known = {key_of(step) for step in self.planned.steps}
        more = tuple(step for key, step in self.done.items() if key not in known)
        return Plan(self.planned.steps + more, self.planned.before, self.planned.after)


def key_of(step: Step) -> tuple[Any, ...]:
    """What makes a step the same one in two plans."""
    if step.action == CLEAN:
        return (CLEAN, *(row.uuid for row in (*step.data["rules"], *step.data["policies"])))
    return (step.action, step.data["namespace"], step.data["name"], step.data["uid"])


# --- tell ---------------------------------------------------------------------------------------------------------


def report(desired: Sequence[Eip], first: Observed, last: Observed) -> list[dict[str, Any]]:
    """Each EIP as it is now."""
    before, site = Site(first), Site(last)
    return [_report(eip, before, site) for eip in desired]


def _report(eip: Eip, before: Site, site: Site) -> dict[str, Any]:
    holder = eip.holder
    pod = site.pod_of(holder)
    address = eip.address or next(iter(before.claims_of(holder)), None)
    own = site.logical_addresses(holder)
    rule = next((rule for rule in site.own_rules(holder) if rule.external_ip == address), None)
    policy = next(iter(site.policies_for(own)), None)
    claimed = address is not None and address in site.claims_of(holder)
    attached = claimed and rule is not None and pod is not None
    return {
        "address": address,
        "holder": {"kind": holder.kind, "namespace": holder.namespace, "name": holder.name},
        "pod": pod.name if pod else None,
        "node": pod.node if pod else None,
        "logical_ip": own[0] if own else None,
        "logical_port": pod.logical_port if pod else None,
        "nat_rule": _row(rule, "type", "external_ip", "logical_ip", "logical_port") if rule else None,
        "policy": _row(policy, "priority", "match", "action", "nexthops") if policy else None,
        "status": "attached" if attached else "pending" if claimed else "detached",
    }


def _row(record: object, *names: str) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
