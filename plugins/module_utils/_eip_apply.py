# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: doing a plan's steps in the cluster and in OVN.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import MANAGED_BY, MANAGER, to_lease
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PODS,
    VMIS,
    VMS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._controller import idle_problem, is_idle, leadership
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import DELETE, DELETE_ADDRESS, OBJECT_ORDER
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import object_call, object_right
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import (
    CLAIM,
    CLEAN,
    HOME,
    INSTANCE,
    POD,
    RELEASE,
    REROUTE,
    TEMPLATE,
    path_of,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ANNOTATIONS,
    ROUTED_ANNOTATION,
    Problem,
    SourceRoute,
    Step,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock

RESOURCES: Mapping[str, Resource] = {INSTANCE: VMIS, POD: PODS, REROUTE: PODS}
RIGHTS_HINT = "docs/rbac.yml of this collection lists the rights needed"
HOME_HINT = "kubectl create namespace, or let this identity look at namespaces: then it is made when it is missing"
AGAIN_HINT = "run again when that is solved: a run goes on where another one has stopped"
NO_ANSWER, ABSENT, CONFLICT = 0, 404, 409
# Gone, made anew, or changed since it was read, or nobody knows: the next look shows what is there now.
MOVED = (ABSENT, CONFLICT)


@dataclass
class Done:
    """What came of steps."""

    refused: dict[str, list[Problem]] = field(default_factory=dict)  # by the option's path
    lost: list[Step] = field(default_factory=list)  # claims at which another run was faster
    unknown: list[Step] = field(default_factory=list)  # those of them that got no answer: perhaps they were made
    idle: list[Step] = field(default_factory=list)  # what was there already, or is not what was to be deleted


@dataclass
class Hands:
    """Where to write."""

    cluster: Cluster
    northbound: Northbound | None
    claims_namespace: str

    def apply(self, steps: Sequence[Step]) -> Done:
        """Do steps in their order, those of one kind side by side. What is refused stops what it was done for."""
        done = Done()
        for action, group in groupby(steps, key=lambda step: step.action):
            batch = [step for step in group if path_of(step) not in done.refused]
            if action == CLEAN:
                self._clean(batch)
                continue
            answers = self.cluster.together([self._call(step) for step in batch])
            for step, answer in zip(batch, answers, strict=True):
                self._note(step, answer, done)
            if done.lost:  # whoever lost must not go on to the next kind
                return done
        return done

    def _call(self, step: Step) -> Callable[[], Any]:
        cluster, home = self.cluster, self.claims_namespace
        if step.action in OBJECT_ORDER:
            return object_call(step, cluster)
        if step.action == HOME:
            body = {"metadata": {"name": home, "labels": {MANAGED_BY: MANAGER}}}
            return partial(cluster.create, NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", **body})
        if step.action in (CLAIM, RELEASE):
            before, after = step.data["before"], step.data["after"]
            if before is None:
                return partial(cluster.create, LEASES, home, to_lease(after))
            if after is None:
                return partial(cluster.delete, LEASES, home, step.data["name"], before.version)
            return partial(cluster.merge_patch, LEASES, home, step.data["name"], to_lease(after))
        return partial(cluster.merge_patch, resource_of(step), step.data["namespace"], step.data["name"], body_of(step))

    def _note(self, step: Step, answer: object, done: Done) -> None:
        if not isinstance(answer, ClusterError):
            return
        if step.action == HOME and answer.status == CONFLICT:
            done.idle.append(step)
        elif step.action == CLAIM and answer.status == ABSENT and step.data["before"] is None:
            text = f"namespace {self.claims_namespace} is not there, or another run has just deleted it"
            done.refused.setdefault(path_of(step), []).append(Problem("claims_namespace", text, HOME_HINT))
        elif step.action == CLAIM and answer.status in (NO_ANSWER, *MOVED):
            done.lost.append(step)
            if answer.status == NO_ANSWER:
                done.unknown.append(step)
        elif step.action in (DELETE, DELETE_ADDRESS) and answer.status == CONFLICT:
            done.idle.append(step)  # somebody changed it, so that it is not what was to go: the next look decides
        elif answer.status not in MOVED:
            names = (step.data.get("namespace", self.claims_namespace), step.data.get("name", ""))
            problem = Problem(f"{step.action} {names[0]}/{names[1]}", str(answer), AGAIN_HINT)
            done.refused.setdefault(path_of(step), []).append(problem)

    def _clean(self, batch: Sequence[Step]) -> None:
        if self.northbound is None:
            return
        rules = dict.fromkeys(rule for step in batch for rule in step.data["rules"])
        ways = dict.fromkeys(way for step in batch for way in step.data["policies"])
        routes = [way for way in ways if isinstance(way, SourceRoute)]
        self.northbound.delete_leftovers(tuple(rules), [way for way in ways if way not in routes], routes)

    # --- before the first write

    def denied(self, steps: Sequence[Step]) -> list[Problem]:
        """The rights that this identity lacks for these steps."""
        needed = dict.fromkeys(right for step in steps for right in self._rights(step))
        answers = self.cluster.together([partial(self.cluster.may, *right) for right in needed])
        found = []
        for (verb, resource, namespace), answer in zip(needed, answers, strict=True):
            if isinstance(answer, ClusterError):
                raise answer
            if not answer:
                where = f" in namespace {namespace}" if namespace else ""
                found.append(Problem(f"{verb} {resource}", f"this identity may not do that{where}", RIGHTS_HINT))
        return found

    def _rights(self, step: Step) -> Iterable[tuple[str, Resource, str | None]]:
        if step.action == HOME:
            yield ("create", NAMESPACES, None)
        elif step.action in OBJECT_ORDER:
            yield object_right(step)
        elif step.action in (CLAIM, RELEASE):
            verb = "create" if step.data["before"] is None else "patch" if step.data["after"] else "delete"
            yield (verb, LEASES, self.claims_namespace)
        elif step.action != CLEAN:
            yield ("patch", resource_of(step), step.data["namespace"])

    def idle(self, steps: Sequence[Step], clock: Clock) -> list[Problem]:
        """Whether the steps need kube-ovn-controller and there is none."""
        if not any(step.action in (POD, REROUTE, *OBJECT_ORDER) for step in steps):
            return []
        first = leadership(self.cluster)
        return [idle_problem(first)] if first and is_idle(first, lambda: leadership(self.cluster), clock) else []


def resource_of(step: Step) -> Resource:
    """The kind of object that an annotation is written to."""
    if step.action == TEMPLATE:
        return DEPLOYMENTS if step.data["workload"] == "Deployment" else VMS
    return RESOURCES[step.action]


def body_of(step: Step) -> dict[str, Any]:
    """A step's merge patch. The uid makes it fail on an object that was made anew under the same name."""
    guard = {"uid": step.data["uid"]} if step.data.get("uid") else {}
    annotation = ANNOTATIONS[step.data["kind"]]
    if step.action == TEMPLATE:
        annotations = {"metadata": {"annotations": {annotation: step.data["address"]}}}
        return {"metadata": guard, "spec": {"template": annotations}}
    changes = {} if step.action == REROUTE else {annotation: step.data["address"]}
    if step.action in (POD, REROUTE):
        changes[ROUTED_ANNOTATION] = None
    return {"metadata": {**guard, "annotations": changes}}
