# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run over EIPs: do the plan's steps, look again, go on until all is as asked, and tell. No I/O of its own.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip import CLEAN, is_late, plan
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Plan, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._module import Failure
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until


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
        self.act(self.planned.steps)
        self.done.update({key_of(step): step for step in self.planned.steps})
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
