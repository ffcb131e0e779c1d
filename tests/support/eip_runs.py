# SPDX-License-Identifier: GPL-3.0-or-later
"""A model world with a clock and the ways into it that a run over EIPs has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip import wants_kept
from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import Claim, Eip, Holder, Step

from support.eip_cases import CLAIMS, ask, wish
from support.eip_world import World

VM = Holder("VirtualMachine", "default", "testing")
WEB = Holder("Pod", "default", "web")


class Clock:
    """Time passes when somebody sleeps, and so does the controller's work."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.world.controller()


class RunSite:
    """A model world with the ways into it that a run has: looking and writing, each recorded."""

    def __init__(self) -> None:
        self.world = World()
        self.world.add_vm("testing", "10.253.0.2")
        self.world.add_pod("web", "10.253.0.3")
        self.world.controller()
        self.clock = Clock(self.world)
        self.writes: list[str] = []
        self.kept_read: list[bool] = []  # of each look, whether the addresses that Kube-OVN keeps were read

    def observe(self, desired: Sequence[Eip], wishes: Wishes) -> Observed:
        whole = wishes.state == "pruned" or (wishes.adopt and not desired)
        self.kept_read.append(whole or wants_kept(desired, wishes, self.world.observed(kept=False)))
        return self.world.observed(kept=self.kept_read[-1])

    def claims(self) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
        return tuple(self.world.claims.values()), ()

    def act(self, steps: Sequence[Step]) -> Done:
        done = Done()
        for step in steps:
            if step.action == "create_namespace" and self.world.home:
                done.idle.append(step)
                continue
            if step.action == "claim" and self.world.claims.get(step.data["after"].address) != step.data["before"]:
                done.lost.append(step)
                continue
            self.writes += [step.action] if step.action not in CLAIMS else []
            self.world.apply(step)
        return done

    def run(self, *pairs: tuple[Holder, str | None], state: str = "present", **more: Any) -> Run:
        return Run(ask(*pairs), wish(state, **more), self, self.act)

    def settle(self, *pairs: tuple[Holder, str | None], state: str = "present", **more: Any) -> Run:
        run = self.run(*pairs, state=state, **more)
        run.claim()
        run.settle(30, self.clock)
        return run


def said(run: Run) -> str:
    """All that a run found wrong."""
    return "; ".join(str(problem) for found in run.bad.values() for problem in found)
