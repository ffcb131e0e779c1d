# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carrying out a gateway's plan step by step, and looking until the world is as asked or time is up.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ansible_collections.kubeovn.core.plugins.module_utils._controller import Leadership, idle_problem, is_idle
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    Observed,
    in_order,
    missing_parts,
    missing_rows,
    old_policies,
    outranked,
    priorities,
    stray_labels,
    surplus_rows,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import (
    absent_problems,
    first_ready,
    unfinished,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    FIRST_CHASSIS_PRIORITY,
    ExternalGateway,
    Plan,
    Problem,
    Step,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

CONTROLLER_PATIENCE = 10.0  # seconds; the controller looks every second
CONTROLLER_TURN = 3.0  # seconds in which it has seen a changed ConfigMap and made of it what it makes of it
HIGH_PRIORITY = 1000  # above whatever the controller gives to a gateway chassis that it adds


class Site(Protocol):
    """What carrying out needs of a site; _gateway_site.GatewaySite is one."""

    @property
    def ovn(self) -> Any:
        """OVN's databases, a _northbound.Northbound."""

    def observe(self) -> Observed:
        """One look."""

    def leadership(self) -> Leadership | None:
        """Who leads kube-ovn-controller."""

    def write_config_map(self, data: Mapping[str, str], /) -> None:
        """Set keys of the ConfigMap."""

    def delete_config_map(self) -> None:
        """Delete the ConfigMap."""

    def label(self, labels: Mapping[str, str | None], /) -> None:
        """Set or remove the gateway label."""


class NotReached(Exception):
    """Something did not come true in time. problems: what, and the probable causes."""

    def __init__(self, what: str, problems: Sequence[Problem], seen: Observed) -> None:
        super().__init__(what)
        self.problems = tuple(problems)
        self.seen = seen


class Run:
    """One plan on its way. `done` are the steps that were taken."""

    def __init__(
        self, gateway: ExternalGateway | None, site: Site, seen: Observed, clock: Clock, timeout: float
    ) -> None:
        self._gateway = gateway
        self._site = site
        self._clock = clock
        self._end = clock.monotonic() + timeout
        self._timeout = timeout
        self._leadership: Leadership | None = None
        self._raised = False
        self._quiet = 0.0  # from then on, nothing that was written is still to be taken notice of
        self.seen = seen
        self.done: list[Step] = []

    # --- the controller

    def check_controller(self, plan: Plan) -> list[Problem]:
        """Whether the plan needs kube-ovn-controller and there is none: known before anything is written."""
        if not any(step.action in ("write_config_map", "delete_config_map") for step in plan.steps):
            return []
        first = self._leadership = self._site.leadership()
        return [idle_problem(first)] if first and is_idle(first, self._site.leadership, self._clock) else []

    # --- steps

    def apply(self, plan: Plan) -> None:
        """Take the plan's steps in their order."""
        actions: dict[str, Callable[[Step], None]] = {
            "clear": self._clear,
            "set_router_port": self._set_router_port,
            "set_nexthop": self._set_nexthop,
            "raise": self._raise,
            "write_config_map": self._write_config_map,
            "order": self._order,
            "delete_gateway_chassis": self._take_out,
            "label": lambda step: self._site.label(step.data["labels"]),
            "delete_config_map": self._delete_config_map,
            "delete_external": self._delete_external,
        }
        for step in plan.steps:
            actions[step.action](step)
            self.done.append(step)

    def _clear(self, step: Step) -> None:
        ovn = self.seen.ovn
        ports = [port for port in ovn.switch_ports if port.name in step.data["switch_ports"]]
        port = ovn.router_port if step.data["router_port"] else None
        self._site.ovn.clear_external(ovn.router_uuid, port, ovn.switch_uuid, ports, False)

    def _set_router_port(self, step: Step) -> None:
        self._site.ovn.set_router_port(self.seen.ovn.router_port, step.data["mac"], step.data["networks"])

    def _set_nexthop(self, step: Step) -> None:
        self._site.ovn.set_nexthops(old_policies(self._present, self.seen), step.data["hop"])

    def _raise(self, _step: Step) -> None:
        self._site.ovn.set_priorities(priorities(self._present, self.seen, HIGH_PRIORITY))
        self._raised = True

    def _write_config_map(self, step: Step) -> None:
        self._site.write_config_map(step.data)
        self._quiet = min(self._clock.monotonic() + CONTROLLER_TURN, self._end)

    def _order(self, _step: Step) -> None:
        gateway = self._present

        def lacking(seen: Observed) -> list[Problem]:
            parts = [*missing_parts(seen), *(f"gateway chassis of {name}" for name in missing_rows(gateway, seen))]
            first = first_ready(gateway, seen)  # it gets the traffic: its bridge has to be there before
            parts += [f"bridge mapping of {first.name}"] if first and not seen.mapped(first.name) else []
            return [Problem(part, "is missing") for part in parts]

        def settled() -> Observed:
            seen = self._site.observe()
            if lacking(seen):
                return seen
            wrong = self._raised or not in_order(gateway, seen) or outranked(gateway, seen)
            return self._guarded(
                lambda: self._site.ovn.set_priorities(priorities(gateway, seen, FIRST_CHASSIS_PRIORITY)), wrong, seen
            )

        self._until(
            settled, lambda seen: not lacking(seen) and in_order(gateway, seen) and not outranked(gateway, seen)
        )

    def _take_out(self, step: Step) -> None:
        gateway = self._present
        going = set(step.data["chassis"])

        def taken() -> Observed:
            seen = self._site.observe()
            rows = [row for row in seen.rows if row.chassis in going]
            free = seen.ovn.active_chassis not in going
            return self._guarded(
                lambda: self._site.ovn.delete_gateway_chassis(seen.ovn.router_port, rows), free and bool(rows), seen
            )

        self._until(taken, lambda seen: all(row.chassis not in going for row in surplus_rows(gateway, seen)))

    def _delete_config_map(self, _step: Step) -> None:
        self._site.delete_config_map()
        # The controller is through when it has said so in the VPC: then it is past writing labels and NB. Where it
        # never took notice of the ConfigMap there is nothing to wait for, so no more than a while.
        patience = min(CONTROLLER_PATIENCE, max(self._end - self._clock.monotonic(), 0.0))
        with suppress(Deadline):
            until(
                self._site.observe,
                lambda seen: not seen.enabled and all(node.gateway_label != "true" for node in seen.nodes),
                patience,
                self._clock,
            )

    def _delete_external(self, _step: Step) -> None:
        seen = self.seen = self._site.observe()
        problems = absent_problems(seen)
        if problems:
            raise NotReached("the gateway came into use meanwhile", problems, seen)
        ovn = seen.ovn
        ports = [port for port in ovn.switch_ports if not seen.underlay or port.type == "router"]
        self._site.ovn.clear_external(
            ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ports, not seen.underlay, ovn.nat_rules
        )

    # --- waiting

    @property
    def _present(self) -> ExternalGateway:
        if self._gateway is None:
            raise AssertionError("a removal's plan has no step that needs the gateway asked for")
        return self._gateway

    def _guarded(self, write: Callable[[], None], wanted: bool, seen: Observed) -> Observed:
        """Write if that is wanted and look again; a row that somebody changed meanwhile is met at the next look."""
        if not wanted:
            return seen
        try:
            write()
        except GuardFailed:
            return seen
        self._raised = False
        return self._site.observe()

    def _until(self, probe: Callable[[], Observed], done: Callable[[Observed], bool]) -> None:
        left = max(self._end - self._clock.monotonic(), 0.0)
        try:
            self.seen = until(probe, done, left, self._clock)
        except Deadline as deadline:
            self.seen = deadline.last
            raise NotReached(
                f"not as asked within {self._timeout:g} s", self._causes(self.seen), self.seen
            ) from deadline

    def _causes(self, seen: Observed) -> list[Problem]:
        problems = unfinished(self._gateway, seen)
        before, now = self._leadership, self._site.leadership()
        idle = now and (not now.holder or (before and before.renewed == now.renewed and now.age > now.duration))
        return [idle_problem(now), *problems] if now and idle else problems

    def verify(self) -> None:
        """Look until the world is as asked. After own changes, put right what the controller made of them."""
        if not self.done and not unfinished(self._gateway, self.seen):
            return  # the look that the plan was made from showed it
        self._await_controller()
        self._until(self._tidied if self.done else self._site.observe, lambda seen: not unfinished(self._gateway, seen))

    def _await_controller(self) -> None:
        """Let the controller take its turn at the ConfigMap before the world is called as asked.

        Whatever text changed, it adds chassis rows that were left out; older versions tear down and build anew, in an
        order of their own. It leaves no sign of having looked, so there is nothing to wait for but the time.
        """
        left = self._quiet - self._clock.monotonic()
        if left > 0:
            with suppress(Deadline):
                until(self._tidied, lambda _seen: False, left, self._clock)

    def _tidied(self) -> Observed:
        seen = self._site.observe()
        labels: dict[str, str | None]
        if self._gateway is None:
            labels = {node.name: None for node in seen.nodes if node.gateway_label is not None}
            return self._guarded(lambda: self._site.label(labels), bool(labels) and seen.config_map is None, seen)
        gateway = self._gateway
        labels = dict.fromkeys(stray_labels(gateway, seen), "false")
        surplus = surplus_rows(gateway, seen)
        if missing_parts(seen) or missing_rows(gateway, seen) or first_ready(gateway, seen) is None:
            return seen  # not the moment to take anything away
        if not in_order(gateway, seen) or outranked(gateway, seen):
            new = priorities(gateway, seen, FIRST_CHASSIS_PRIORITY)
            return self._guarded(lambda: self._site.ovn.set_priorities(new), True, seen)
        if surplus and seen.ovn.active_chassis not in {row.chassis for row in surplus}:
            port = seen.ovn.router_port
            return self._guarded(lambda: self._site.ovn.delete_gateway_chassis(port, surplus), True, seen)
        return self._guarded(lambda: self._site.label(labels), bool(labels) and not surplus, seen)
