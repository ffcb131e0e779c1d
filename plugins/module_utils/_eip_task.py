# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task of module ovn_eip from its options to its result.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Hands
from ansible_collections.kubeovn.core.plugins.module_utils._eip_ask import requests, wishes_of
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes, taken_addresses
from ansible_collections.kubeovn.core.plugins.module_utils._eip_look import Eyes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import report
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import site_warnings
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import warnings
from ansible_collections.kubeovn.core.plugins.module_utils._model import Eip, Plan, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._module import (
    Failure,
    disruption_problems,
    outcome,
    refuse,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError
from ansible_collections.kubeovn.core.plugins.module_utils._tell import tell
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, SystemClock

WITHOUT_OVN = "or use ovn_connection: none, which works on Kubernetes alone and says in `unverified` what was not seen"
NOT_BEGUN = Problem("", "not begun, since a batch before it failed", "solve that, and run again")


class Teller:
    """Says every few seconds how far a run is, so that whoever waits for a thousand EIPs sees them come."""

    PERIOD = 5.0  # seconds

    def __init__(self, total: int, clock: Clock) -> None:
        self._total = total
        self._clock = clock
        self._last = clock.monotonic()

    def __call__(self, waiting: int) -> None:
        """waiting: EIPs that are not yet as asked."""
        now = self._clock.monotonic()
        if now - self._last >= self.PERIOD:
            self._last = now
            tell(f"{self._total - waiting} of {self._total} EIPs are as asked")


@dataclass
class Task:
    """One call of the module."""

    module: AnsibleModule
    cluster: Cluster
    eyes: Eyes
    hands: Hands
    wishes: Wishes
    finished: int = 0  # runs that were brought to their end

    def run(self, asked: Sequence[Eip] | None, unreadable: Sequence[Problem]) -> dict[str, Any]:
        """Batch after batch; what fails is told of in the end, with all that was done."""
        whole = self._whole(asked, unreadable)
        if self.module.check_mode:
            return self._tell([whole], whole)
        size = self.module.params["batch"]
        runs: list[Run] = []
        try:
            if asked and 0 < size < len(asked):
                self._batches(asked, size, runs, taken_addresses(Site(whole.seen)))
            else:
                runs.append(whole)
                self._go(whole)
        except (ClusterError, OvsdbError) as error:
            raise self._broken_off(error, runs, whole) from error
        return self._tell(runs, whole)

    def _batches(self, asked: Sequence[Eip], size: int, runs: list[Run], former: set[str]) -> None:
        """One batch after the other, each noted before it begins. former: what was somebody's in the beginning."""
        for start in range(0, len(asked), size):
            runs.append(self._part(asked[start : start + size], asked, former))
            self._go(runs[-1])
            if runs[-1].bad and self.module.params["stop_on_failure"]:
                break

    def _whole(self, asked: Sequence[Eip] | None, unreadable: Sequence[Problem]) -> Run:
        """Look at all of it, and refuse what stops everything before the first write.

        That is a task that cannot be meant so: then all that is wrong is told at once. An EIP that is only impossible
        as things are stops the others when asked so.
        """
        run = Run(asked, self.wishes, self.eyes, self.hands.apply, self._forbidden, self.module.params["wait"])
        single = [problem for found in run.bad.values() for problem in found]
        if unreadable or run.general or self.module.params["all_or_nothing"]:
            refuse([*unreadable, *run.general, *single])
        refuse(disruption_problems(run.planned, self.module.params["max_disruption"]))
        if not self.module.check_mode:
            refuse(self.hands.denied(run.planned.steps) + self.hands.idle(run.planned.steps, SystemClock()))
        return run

    def _part(self, batch: Sequence[Eip], asked: Sequence[Eip], former: set[str]) -> Run:
        """Look for one batch. Addresses that the rest of the task names are nobody else's."""
        mine = {eip.path for eip in batch}
        others = {eip.address for eip in asked if eip.address and eip.path not in mine}
        wishes = replace(self.wishes, reserved=frozenset(others), former=frozenset(former))
        run = Run(batch, wishes, self.eyes, self.hands.apply, self._forbidden, self.module.params["wait"])
        for eip in batch if run.general else ():
            run.bad.setdefault(eip.path, []).extend(run.general)
        return run

    def _warnings(self, run: Run) -> list[str]:
        if self.wishes.state != "present":
            return []
        return [*warnings(run.viable, Site(run.seen)), *site_warnings(run.viable, run.seen)]

    def _forbidden(self, step: Step) -> list[Problem]:
        """Why a step that only a later look has planned must not be done, though the first plan was allowed."""
        return disruption_problems(Plan((step,), {}, {}), self.module.params["max_disruption"])

    def _go(self, run: Run) -> None:
        params = self.module.params
        run.claim(params["all_or_nothing"])
        if params["all_or_nothing"] and run.bad:
            raise Failure("nothing was changed", [one for found in run.bad.values() for one in found])
        if params["wait"]:
            run.settle(params["wait_timeout"], tell=Teller(len(run.viable), SystemClock()))
        else:
            run.write()
        self.finished += 1

    def _broken_off(self, error: Exception, runs: Sequence[Run], whole: Run) -> Failure:
        """What was done until nobody answered any more: the batches before have their result, old -> new and all."""
        bad = {path: found for run in runs for path, found in run.bad.items()}
        for run in runs[self.finished :]:
            for eip in run.viable:
                problem = Problem(f"{eip.address} of {eip.holder}", "nobody knows how far it is", "run again")
                bad[eip.path] = [problem]
        result = self._result(runs, whole, bad)
        result["changed"] = any(run.done for run in runs)
        found = [problem for problems in bad.values() for problem in problems]
        return Failure(f"{error} [on the way; run again when that is solved]", found, **result)

    def _result(self, runs: Sequence[Run], whole: Run, bad: dict[str, list[Problem]]) -> dict[str, Any]:
        """The result. bad: what is wrong, by EIP, to which is added what was not begun."""
        begun = {eip.path for run in runs for eip in _all_of(run)}
        skipped = [eip for eip in whole.asked or () if eip.path not in begun]
        bad.update({eip.path: [replace(NOT_BEGUN, path=eip.path)] for eip in skipped})
        rows = [row for run in runs for row in report(_all_of(run), run.first, run.seen, bad)]
        last = runs[-1] if runs else whole
        rows += report(skipped, last.first, last.seen, bad)
        result = outcome(self.cluster, _joined(runs), eips=rows)
        result["unverified"] = list(dict.fromkeys(text for run in [*runs, last] for text in run.seen.unseen))
        result["unclear"] = [_told(problem) for run in runs for problem in run.unclear]
        return result

    def _tell(self, runs: Sequence[Run], whole: Run) -> dict[str, Any]:
        bad = {path: found for run in runs for path, found in run.bad.items()}
        result = self._result(runs, whole, bad)
        for text in dict.fromkeys(text for run in runs for text in self._warnings(run)):
            self.module.warn(text)
        found = [problem for problems in bad.values() for problem in problems]
        if found:
            if not self.module.check_mode:
                result["changed"] = any(run.done for run in runs)
            head = "not all is as asked" if result["changed"] else "nothing was changed"
            raise Failure(head, found, **result)
        return result


def _all_of(run: Run) -> list[Eip]:
    """A run's EIPs in the order in which they were asked for, those for which a pool has no address among them."""
    chosen = {eip.path: eip for eip in run.desired}
    return list(chosen.values()) if run.asked is None else [chosen.get(eip.path, eip) for eip in run.asked]


def _joined(runs: Sequence[Run]) -> Plan:
    """What all batches did."""
    plans = [run.result for run in runs]
    before = {key: value for plan in reversed(plans) for key, value in plan.before.items()}
    after = {key: value for plan in plans for key, value in plan.after.items()}
    return Plan(tuple(step for plan in plans for step in plan.steps), before, after)


def _told(problem: Problem) -> dict[str, str]:
    return {"path": problem.path, "text": problem.text, "hint": problem.hint}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    """Read the options, refuse what cannot be, and do the rest."""
    params = module.params
    wishes, found = wishes_of(params)
    asked, unreadable = (None, []) if params["eips"] is None else requests(params["eips"], wishes, params["kind"])
    refuse(found)
    without = WITHOUT_OVN if wishes.state != "pruned" else ""
    northbound = None if params["ovn_connection"] == "none" else open_ovn(params, cluster, without)
    eyes = Eyes(cluster, northbound, params["configmap_namespace"], params["claims_namespace"], without)
    hands = Hands(cluster, northbound, params["claims_namespace"])
    return Task(module, cluster, eyes, hands, wishes).run(asked, unreadable)
