# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run over EIPs: claim, do the plan's steps, look again, go on until all is as asked. No I/O of its own.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ansible_collections.kubeovn.core.plugins.module_utils._claims import is_too_large
from ansible_collections.kubeovn.core.plugins.module_utils._eip import plan
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes, adopted, assign
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import doubles, gateway_problems, problems
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import (
    CREATE,
    CREATE_ADDRESS,
    OBJECT_ORDER,
    object_key,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_prune import prune
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site
from ansible_collections.kubeovn.core.plugins.module_utils._eip_steps import (
    CLAIM,
    CLEAN,
    HOME,
    INSTANCE,
    POD,
    RELEASE,
    TEMPLATE,
    is_late,
    path_of,
    release,
)
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import LATE_HINT, unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import Claim, Eip, Plan, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

Problems = dict[str, list[Problem]]  # by the path of the EIP that they are of
PORTION = 100  # claims that are made before the first of their holders are written
GIVES = frozenset((TEMPLATE, INSTANCE, POD, CREATE_ADDRESS, CREATE))  # steps that a holder has its address from
ROUNDS = 300  # other runs can be faster at an address so many times


class Look(Protocol):
    """What a run sees with."""

    def observe(self, desired: Sequence[Eip], wishes: Wishes) -> Observed:
        """Everything."""

    def claims(self) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
        """The claims alone."""


class Outcome(Protocol):
    """What came of steps."""

    refused: Problems
    lost: list[Step]
    unknown: list[Step]
    idle: list[Step]


@dataclass
class Run:
    """One run of the module: what it does between the first look and the last."""

    asked: Sequence[Eip] | None  # None: all that annotations ask for
    wishes: Wishes
    look: Look
    act: Callable[[Sequence[Step]], Outcome]
    forbidden: Callable[[Step], list[Problem]] = lambda _step: []  # why a step must not be done, as by max_disruption
    waits: bool = True  # whether late steps are this run's: one that does not wait leaves them to the next
    first: Observed = field(init=False)
    seen: Observed = field(init=False)
    desired: list[Eip] = field(init=False)  # each with its address, those that are refused too
    older: frozenset[str] = field(init=False)  # what was claimed when the run began
    general: list[Problem] = field(init=False)  # problems of no single EIP
    unclear: list[Problem] = field(default_factory=list)  # what nothing tells whose it is
    bad: Problems = field(default_factory=dict)
    planned: Plan = field(init=False)
    done: dict[tuple[Any, ...], Step] = field(default_factory=dict)
    tried: set[tuple[Any, ...]] = field(default_factory=set)  # claims that need not be made again
    unknown: list[Step] = field(default_factory=list)  # claims of which nobody knows yet whether they were made
    lost: list[Eip] = field(default_factory=list)  # that others took after this run wrote something for them
    waiting: int = 0  # EIPs that were not as asked at the last look

    def __post_init__(self) -> None:
        self.first = self.seen = self.look.observe(self.asked or (), self.wishes)
        self.older = frozenset(claim.address for claim in self.first.claims)
        self._decide()

    def _decide(self) -> None:
        """From what was seen: who gets which address, what is refused, and the plan for the rest."""
        if self.wishes.state == "pruned":
            self.desired, self.general = [], []
            self.planned, self.unclear = prune(self.seen)
            return
        site = Site(self.seen)
        asked = adopted(site) if self.asked is None else self.asked
        twice = doubles(asked)
        self.general = gateway_problems(site) if self._needs_gateway(asked, site) else []
        self.general += twice if self.asked is not None else []
        self.desired, found = assign(asked, self.wishes, site)
        # What a task says twice is wrong as a whole; what a cluster says twice, or a pool meets, is of single EIPs.
        found += twice if self.asked is None else [] if twice else doubles(self.desired)
        found += problems(self.desired, self.wishes, self.seen)
        self.bad = _by_path(found)
        self.planned = plan(self.viable, self.wishes, self.seen)
        afters = [step.data["after"] for step in self.planned.steps if step.action == CLAIM]
        for claim in (one for one in afters if is_too_large(one)):
            text = f"{len(claim.claimants)} holders are too many for one claim, of {claim.address}"
            self.general.append(Problem("eips", text, "share several SNAT addresses among them"))

    def _needs_gateway(self, asked: Sequence[Eip], site: Site) -> bool:
        """Whether an EIP of the default VPC is asked for: other VPCs have router ports of their own."""
        return self.wishes.state == "present" and any(not site.by_objects(eip) for eip in asked)

    @property
    def viable(self) -> list[Eip]:
        """The EIPs for which nothing speaks against going on."""
        return [eip for eip in self.desired if eip.path not in self.bad]

    def claim(self, all_or_nothing: bool = False) -> None:
        """Make the addresses the holders', before anything of theirs is written: of several runs one gets each.

        Many are claimed and begun in portions: Kube-OVN's controller is the ceiling, and works on the first meanwhile.
        """
        mine: list[Step] = []
        losses = 0
        while steps := self._to_claim():
            portion = steps if all_or_nothing else steps[:PORTION]
            before = set(self.bad)
            faster = self._do(portion)
            mine += [step for step in portion if step.action == CLAIM]
            self._look_at_claims()
            if faster:
                refused = {path: found for path, found in self.bad.items() if path not in before}
                self._decide()
                self.bad = {**self.bad, **refused}
                losses += 1
            self._give_in_to_twins(mine)
            if all_or_nothing and self.bad:
                self._do(_given_back(mine, Site(self.seen)))
                return
            if losses >= ROUNDS:
                self._give_up_claiming()
                break
            if not faster:
                self.tried.update(key_of(step) for step in portion)
                self._begin({path_of(step) for step in portion} if len(portion) < len(steps) else ())
        if self.bad:  # without a claim nothing else is written
            self.planned = plan(self.viable, self.wishes, self.seen)

    def _to_claim(self) -> list[Step]:
        """The claims that are still to be made, the namespace before them."""
        steps = [step for step in self.planned.steps if step.action in (HOME, CLAIM) and path_of(step) not in self.bad]
        return [step for step in steps if key_of(step) not in self.tried]

    def _begin(self, paths: Collection[str]) -> None:
        """Write at once what is for EIPs that are claimed."""
        self._give_in([eip for eip in self.viable if eip.path in paths])
        steps = [step for step in self.planned.steps if step.action not in (HOME, CLAIM) and not is_late(step)]
        self._do([step for step in steps if path_of(step) in paths and path_of(step) not in self.bad])

    def _look_at_claims(self) -> None:
        """What is claimed by now, and whether this run has made those of which it got no answer."""
        claims, unreadable = self.look.claims()
        self.seen = replace(self.seen, claims=claims, unreadable=unreadable, claims_home=True)
        self._note_unknown()

    def _give_up_claiming(self) -> None:
        for step in self._to_claim():
            problem = Problem(step.data["name"], "other runs were faster, again and again", "run again")
            self.bad.setdefault(path_of(step), []).append(problem)

    def _note_unknown(self) -> None:
        """Claims whose answer was lost, and that are there: this run has made them, as far as anybody can tell."""
        claims = Site(self.seen).claims
        for step in self.unknown:
            after = step.data["after"]
            now = claims.get(after.address)
            if (
                now
                and now.claimants == after.claimants
                and now.version != getattr(step.data["before"], "version", None)
            ):
                self.done[key_of(step)] = step
        self.unknown = []

    def _give_in_to_twins(self, mine: Sequence[Step]) -> None:
        """Give back what was claimed for a holder that another run gives another address at the same time."""
        site = Site(self.seen)
        made = {step.data["after"].address: step for step in mine}
        for eip in self.viable if made else ():
            twin = self._twin(eip, site)
            if twin and eip.address in made:
                self.bad.setdefault(eip.path, []).append(twin)
                self._do(_given_back([made[eip.address]], site))

    def _twin(self, eip: Eip, site: Site) -> Problem | None:
        """Another run's claim for the same holder, made since this one began."""
        claims = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
        others = [address for address in claims if address not in self.older and address != eip.address]
        if not others:
            return None
        text = f"another run gives it {others[0]} at the same time"
        return Problem(f"{eip.address} of {eip.holder}", text, "agree on one address, and run again")

    def write(self) -> None:
        """What can be written at once, without waiting for Kube-OVN: late steps are left to the next run."""
        self._check_claims()
        steps = self._agreed([step for step in self.planned.steps if step.action not in (HOME, CLAIM)])
        for _try in range(3):  # a row may have changed since it was read
            steps = [step for step in steps if not is_late(step) and key_of(step) not in self.done]
            if not steps:
                break
            self._do(steps)
            self._see()
            self._give_in(self.viable)
            lost = {eip.path for eip in self.lost}
            steps = [step for step in self._steps() if step.action == CLEAN or path_of(step) in lost]

    def settle(
        self, timeout: float, clock: Clock | None = None, tell: Callable[[int], None] = lambda _left: None
    ) -> None:
        """Do what can be done, look again, until nothing is left to do and all is as asked; or note what is not."""
        self._check_claims()
        now = [step for step in self.planned.steps if step.action not in (HOME, CLAIM) and not is_late(step)]
        self._do(self._agreed([step for step in now if key_of(step) not in self.done]))
        if not self.planned.steps and not self._left() and not self.lost:
            return

        def again() -> int:
            left = self.look_again()
            tell(self.waiting)
            return left

        try:
            until(again, lambda left: not left, timeout, clock, left=lambda left: left)
        except Deadline as deadline:
            self._give_up(deadline.waited)

    def look_again(self) -> int:
        """Look, and do what can be done by now: how many steps and EIPs are still to come.

        What nobody else has to do anything for is not waited for: a claim goes right after the rows that kept it.
        """
        while True:
            self._see()
            self._give_in(self.viable)
            steps = self._steps()
            # The same is written to an object once in a run: who reverts it is told of in the end, not fought.
            now = [step for step in steps if not is_late(step) and key_of(step) not in self.done]
            self._do(now)
            left = self._left()
            self.waiting = len(left)
            ours = {path_of(step) for step in now if step.action in (CLEAN, RELEASE) and key_of(step) in self.done}
            if not ours.issuperset([*left, *map(path_of, steps)]) or not ours or self._has_objects():
                return len(steps) + self.waiting

    def _see(self) -> None:
        """Look again. By now each holder has its address: which others are free need not be known any more."""
        self.seen = self.look.observe(self.desired, replace(self.wishes, rotate=False))

    def _has_objects(self) -> bool:
        """Whether this run has written objects: Kube-OVN takes a moment to let go of those that are deleted."""
        return any(step.action in OBJECT_ORDER for step in self.done.values())

    def _check_claims(self) -> None:
        """Look at the claims alone right before anything is written, and write nothing for EIPs that others took.

        The look that the plan is from can be old by now: claims of many are made in between.
        """
        if self.wishes.state != "present" or all(step.action in (HOME, CLAIM) for step in self.planned.steps):
            return
        self._look_at_claims()
        before = len(self.bad)
        self._give_in(self.viable)
        if len(self.bad) > before:
            self.planned = plan(self.viable, self.wishes, self.seen)

    def _give_in(self, eips: Iterable[Eip]) -> None:
        """Leave to another run what it has taken from this one: two that take from each other would never end.

        What this run has written for it by then is taken back: the other one may have looked for it too early.
        """
        site = Site(self.seen)
        written = {path_of(step) for step in self.done.values() if _gives(step)}
        for eip in eips if self.wishes.state == "present" else ():
            if twin := self._twin(eip, site):
                self.bad.setdefault(eip.path, []).append(twin)
                continue
            claim = site.claims.get(eip.address or "")
            if claim is None or not claim.of(eip.holder):
                names = ", ".join(str(one.holder) for one in claim.claimants) if claim else ""
                text = (
                    f"another run has taken it for {names} meanwhile" if claim else "its claim was released meanwhile"
                )
                problem = Problem(f"{eip.address} of {eip.holder}", text, "agree on who is to have it")
                self.bad.setdefault(eip.path, []).append(problem)
                self.lost += [eip] if eip.path in written else []

    def _steps(self) -> tuple[Step, ...]:
        if self.wishes.state == "pruned":
            return prune(self.seen)[0].steps
        back = plan(self.lost, replace(self.wishes, state="absent"), self.seen).steps if self.lost else ()
        return (*back, *plan(self.viable, self.wishes, self.seen).steps)

    def _agreed(self, steps: list[Step]) -> list[Step]:
        """Of what is to be pruned, what a second look finds as well.

        No look is of one moment: what another run was just about to make can look like something that is left over.
        """
        if self.wishes.state != "pruned" or not steps:
            return steps
        self._see()
        again = {key_of(step) for step in self._steps()}
        return [step for step in steps if key_of(step) in again]

    def _do(self, steps: Sequence[Step]) -> bool:
        """Do them; whether another run was faster."""
        refused = {path_of(step): found for step in steps if (found := self.forbidden(step))}
        for path, found in refused.items():
            self.bad.setdefault(path, []).extend(found)
        steps = [step for step in steps if path_of(step) not in refused]
        if not steps:
            return False
        try:
            outcome = self.act(steps)
        except GuardFailed:
            return False  # a row changed since it was read: the next look plans anew
        self.unknown += outcome.unknown
        undone = [*outcome.lost, *outcome.idle]
        done = [step for step in steps if step not in undone and path_of(step) not in outcome.refused]
        self.done.update({key_of(step): step for step in done})
        for path, found in outcome.refused.items():
            self.bad.setdefault(path, []).extend(found)
        return bool(outcome.lost)

    def _left(self) -> Problems:
        return unfinished(self.viable, self.wishes, self.seen)

    def _give_up(self, waited: float) -> None:
        left = self._left()
        for step in self._steps():
            if path_of(step) not in left:
                problem = Problem(step.data.get("holder", ""), f"not done: {step.text}", LATE_HINT)
                left.setdefault(path_of(step), []).append(problem)
        for path, found in left.items():
            late = [replace(one, text=f"{one.text} [after {waited:g} s]") for one in found[:1]]
            self.bad.setdefault(path, []).extend([*late, *found[1:]])

    @property
    def result(self) -> Plan:
        """What was planned of this run, and what turned out to be needed besides."""
        planned = tuple(step for step in self.planned.steps if self.waits or not is_late(step))
        known = {key_of(step) for step in planned}
        claims = tuple(step for key, step in self.done.items() if step.action in (HOME, CLAIM) and key not in known)
        known |= {key_of(step) for step in claims}
        more = tuple(step for key, step in self.done.items() if key not in known)
        steps = claims + planned + more
        return Plan(steps, self.planned.before, self.planned.after) if steps else Plan((), {}, {})


def _given_back(claimed: Iterable[Step], site: Site) -> list[Step]:
    """Steps that undo the claims that a run has made: each is again as it was found."""
    found = []
    for step in claimed:
        before, after = step.data["before"], step.data["after"]
        now = site.claims.get(after.address)
        if now is None or now.claimants != after.claimants:
            continue
        if before is None:
            found.append(release(None, now, path_of(step)))
            continue
        back = replace(before, version=now.version)
        text = f"give the claim on {now.address} back as it was"
        found.append(replace(step, text=text, data={**step.data, "before": now, "after": back}))
    return found


def _gives(step: Step) -> bool:
    """Whether a holder has its address from what the step writes."""
    return step.action in GIVES and bool(step.data.get("address", True))


def _by_path(found: Iterable[Problem]) -> Problems:
    """Problems by the EIP that they are of: eips[3].address is of eips[3]."""
    result: Problems = {}
    for problem in found:
        head, bracket, _option = problem.path.partition("]")
        result.setdefault(head + bracket, []).append(problem)
    return result


def key_of(step: Step) -> tuple[Any, ...]:
    """What makes a step the same one in two plans."""
    if step.action == CLEAN:
        return (CLEAN, *(row.uuid for row in (*step.data["rules"], *step.data["policies"])))
    if step.action in (CLAIM, RELEASE):
        return (step.action, step.data["name"], step.data["holder"], step.data["before"])
    if step.action in OBJECT_ORDER:
        return object_key(step)
    return (step.action, *(step.data.get(name) for name in ("namespace", "name", "uid", "kind", "address")))
