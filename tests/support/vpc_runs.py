# SPDX-License-Identifier: GPL-3.0-or-later
"""A model cluster with a custom VPC, a clock, and the ways into it that a run over EIPs has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_apply import Done
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_home import Homes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects import OBJECT_ORDER
from ansible_collections.kubeovn.core.plugins.module_utils._eip_run import Run
from ansible_collections.kubeovn.core.plugins.module_utils._eip_show import report
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import Claim, Eip, Holder, RouterPort, Step

from support.eip_cases import wish
from support.eip_world import GATEWAYS, World
from support.vpc_world import VpcWorld


class VpcSite:
    """A cluster with one VPC besides the default one: time passes when somebody sleeps, and so do the controllers."""

    def __init__(self) -> None:
        self.world, self.vpc = World(), VpcWorld()
        self.now = 0.0
        self.done: list[str] = []

    def add(self, name: str, ip: str) -> Holder:
        self.vpc.add_holder(name, ip, "Pod")
        return self.world.add_pod(name, ip, namespace="shop", vpc="shop")

    def observe(self, _desired: Sequence[Eip], _wishes: Wishes) -> Observed:
        seen, objects = self.world.observed(), self.vpc.seen()
        named = {eip.address: eip.name for eip in objects.eips}
        port = RouterPort("shop", "shop-external", "00:00:00:00:00:02", ("10.4.19.200/24",), GATEWAYS)
        held = {"cr-shop-external": seen.ovn.active_chassis}
        ovn = replace(seen.ovn, foreign_rules=tuple(self.vpc.rows), other_ports=(port,), redirects=held)
        homes = Homes({"shop-net": "shop", "ovn-default": "ovn-cluster"}, {"shop": frozenset({"shop"})})
        return replace(seen, objects=objects, ovn_eips=named, ovn=ovn, homes=homes)

    def claims(self) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
        return tuple(self.world.claims.values()), ()

    def act(self, steps: Sequence[Step]) -> Done:
        done = Done()
        for step in steps:
            if step.action in OBJECT_ORDER and not self.vpc.apply(step):
                done.idle.append(step)
                continue
            if step.action not in OBJECT_ORDER:
                self.world.apply(step)
            self.done.append(step.action)
        return done

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.world.controller()
        self.vpc.controller()

    def run(self, asked: Sequence[Eip], **wishes: Any) -> dict[str, Any]:
        """The result of one task, for its first EIP; what was done is in `done`."""
        run = self.whole(asked, **wishes)
        return report(run.desired, run.first, run.seen, run.bad)[0]

    def whole(self, asked: Sequence[Eip] | None, **wishes: Any) -> Run:
        """One task to its end; None: all that is there."""
        self.done = []
        run = Run(asked, wish(**wishes), self, self.act)
        assert not run.general
        run.claim()
        run.settle(60, self)
        return run
