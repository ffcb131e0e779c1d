# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ovn_external_gw does with a task's options, from the first look to the result.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed, hand_labelled
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import (
    absent_problems,
    bfd_options,
    wanted,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_look import first_look
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import evidence_of
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_run import NotReached, Run
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_show import announcement, predicted, report, shape
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_site import GatewaySite
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_verify import degraded, unverified
from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, Plan, Problem
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure, disruption_problems, outcome, refuse
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Phases, SystemClock

WRITES = ("write_config_map", "label")  # what most plans do


def work(module: AnsibleModule, cluster: Cluster) -> Mapping[str, Any]:
    """Observe, plan, apply, verify."""
    params, phases = module.params, Phases(SystemClock())
    site = _site(params, cluster)
    seen = phases.timed("observe", lambda: _look(site))
    gateway, problems = _asked(params, seen)
    timeout = params["wait_timeout"] if params["wait"] else 0
    doing = Run(gateway, site, seen, SystemClock(), timeout, force=params["force"])
    if problems:  # there is no plan for such a gateway, but what every plan needs can be looked at
        needed = WRITES if gateway else [step.action for step in plan(None, seen).steps]
        refuse([*problems, *_hindrances(site, doing, needed, seen)])
    timers = {} if gateway else bfd_options(params["bfd"], [])
    steps = phases.timed("plan", lambda: plan(gateway, seen, timers))
    actions = [step.action for step in steps.steps]
    limits = disruption_problems(steps, params["max_disruption"])
    hindrances = _hindrances(site, doing, actions, seen)
    foretold = module.check_mode or (params["hold"] and steps.changed)
    if module.check_mode:  # who may only look gets the plan
        for problem in hindrances:
            module.warn(f"a run would be refused: {problem}")
        hindrances = []
    refuse([*limits, *hindrances])
    _warn(module, gateway, seen)
    announce = announcement(gateway, seen)
    if foretold:
        found = {**predicted(gateway, seen), **_judged(gateway, seen, seen), "unverified": []}
        ends = {"before": dict(steps.before), "after": dict(steps.after)}
        told = outcome(cluster, steps, **found, **ends, announce=announce, phases=phases.seconds)
        return {**told, "changed": module.check_mode and steps.changed, "held": not module.check_mode}
    left = _carry_out(doing, steps, cluster, params["wait"], phases)
    left += unverified(gateway, doing.seen) if gateway else []
    found = {**report(doing.seen), **_judged(gateway, doing.seen, seen), "unverified": left}
    ends = {"before": dict(steps.before), "after": shape(doing.seen)}
    return outcome(cluster, steps, **found, **ends, announce=announce, phases=phases.seconds, held=False)


def _hindrances(site: GatewaySite, doing: Run, actions: Sequence[str], seen: Observed) -> list[Problem]:
    """What would keep these actions from being done: rights that are missing, a controller that does not run."""
    return [*site.denied(actions, create=seen.config_map is None), *doing.check_controller(actions)]


def _site(params: Mapping[str, Any], cluster: Cluster) -> GatewaySite:
    evidence = evidence_of(params["node_evidence"] or {})
    holders = params["type"] == "distributed" and params["state"] == "present"
    homes = (params["configmap_namespace"], params["claims_namespace"])
    return GatewaySite(cluster, open_ovn(params, cluster), homes, evidence, holders)


def _look(site: GatewaySite) -> Observed:
    """The first look. When this identity may not even look, say all that it may not."""
    try:
        return first_look(site.observe, SystemClock())
    except (ClusterError, OvsdbError) as error:
        cause = error if isinstance(error, ClusterError) else error.__cause__
        if isinstance(cause, ClusterError) and cause.status == 403:
            refuse(site.denied_reading(by_exec=isinstance(error, OvsdbError)))
        raise


def _asked(params: Mapping[str, Any], seen: Observed) -> tuple[ExternalGateway | None, list[Problem]]:
    if params["state"] == "present":
        return wanted(params, seen)
    problems = [] if params["force"] else absent_problems(seen)
    bfd_options(params["bfd"], problems)
    return None, problems


def _judged(gateway: ExternalGateway | None, seen: Observed, first: Observed) -> dict[str, Any]:
    """What is less than good, and what is others'."""
    return {
        "degraded": degraded(gateway, seen, first) if gateway else [],
        "foreign_labels": hand_labelled(gateway, seen),
    }


def _carry_out(doing: Run, steps: Plan, cluster: Cluster, wait: bool, phases: Phases) -> list[str]:
    """Take the steps and look. Returns what is left over when nobody waits for it."""
    try:
        phases.timed("apply", lambda: doing.apply(steps))
        phases.timed("verify", doing.verify)
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
            f"nic changes from {old} to {gateway.nic}: Kube-OVN leaves {old} in the bridge on each gateway node, where "
            "two NICs on one network form a loop. Role external_gateway changes one for the other on the nodes"
        )
