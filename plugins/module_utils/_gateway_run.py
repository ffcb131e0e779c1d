# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carrying out a gateway's plan step by step, and looking until the world is as asked or time is up.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ansible_collections.kubeovn.core.plugins.module_utils._controller import Leadership, idle_problem, is_idle
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    Observed,
    first_alive,
    hand_labelled,
    in_order,
    misplaced_rules,
    missing_parts,
    missing_rows,
    old_policies,
    outranked,
    priorities,
    rows_of,
    stray_labels,
    surplus_rows,
    unsettled,
    wrong_localnet,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import absent_problems
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_drift import spoilt_ports
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_look import CONTROLLER_PATIENCE, Look
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    FIRST_CHASSIS_PRIORITY,
    WARM_UP,
    ExternalGateway,
    GatewayChassis,
    Plan,
    Problem,
    Step,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

CONTROLLER_TURN = 3.0  # seconds in which it has seen a changed ConfigMap and made of it what it makes of it
WARM_UP_PATIENCE = 10.0  # seconds; sessions are up after 2 with OVN's own timers
HIGH_PRIORITY = 1000  # above whatever the controller gives to a gateway chassis that it adds

Labels = dict[str, "str | None"]


class Site(Protocol):
    """What carrying out needs of a site; _gateway_site.GatewaySite is one."""

    @property
    def ovn(self) -> Any:
        """OVN's databases, a _northbound.Northbound."""

    def observe(self) -> Observed:
        """One look."""

    def leadership(self) -> Leadership | None:
        """Who leads kube-ovn-controller."""

    def write_config_map(self, data: Mapping[str, str], notes: Mapping[str, str | None], /) -> None:
        """Set keys and annotations of the ConfigMap."""

    def note(self, notes: Mapping[str, str | None], /) -> None:
        """Set or remove annotations of the ConfigMap."""

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
        self,
        gateway: ExternalGateway | None,
        site: Site,
        seen: Observed,
        clock: Clock,
        timeout: float,
        force: bool = False,
    ) -> None:
        self._gateway = gateway
        self._site = site
        self._look = Look(site.observe, clock, seen)
        self._clock = clock
        self._end = clock.monotonic() + timeout
        self._timeout = timeout
        self._force = force
        self._leadership: Leadership | None = None
        self._renumber = False
        # From then on nothing that was written, be it by a run that was killed, is still to be taken notice of.
        self._quiet = clock.monotonic() + CONTROLLER_TURN if _pending(gateway, seen) else 0.0
        self._coming: set[str] = set()  # chassis that the controller gives a row at its turn
        self._kept: set[str] = set()  # of those the ones that have a row already, until the plan says that it goes
        self._tidied_rows: frozenset[str] = frozenset()  # those with a row before the last tidying
        self.by_hand = tuple(hand_labelled(gateway, seen))
        self.seen = seen
        self.done: list[Step] = []

    # --- the controller

    def check_controller(self, actions: Collection[str]) -> list[Problem]:
        """Whether a plan needs kube-ovn-controller and there is none: known before anything is written."""
        if not {"write_config_map", "delete_config_map"} & set(actions):
            return []
        first = self._leadership = self._site.leadership()
        return [idle_problem(first)] if first and is_idle(first, self._site.leadership, self._clock) else []

    # --- steps

    def apply(self, plan: Plan) -> None:
        """Take the plan's steps in their order."""
        ovn = self._site.ovn
        actions: dict[str, Callable[[Step], None]] = {
            "clear": self._clear,
            "set_options": lambda step: ovn.set_options(step.data),
            "mend_ports": self._mend_ports,
            "set_localnet": self._set_localnet,
            "set_router_port": self._set_router_port,
            "set_nexthop": lambda step: ovn.set_nexthops(old_policies(self._present, self.seen), step.data["hop"]),
            "raise": self._raise,
            "warm_up": self._warm_up,
            "cool_down": lambda _step: ovn.cool_down(),
            "write_config_map": self._write_config_map,
            "add_gateway_chassis": self._add_rows,
            "order": self._order,
            "delete_gateway_chassis": self._take_out,
            "label": lambda step: self._site.label(step.data["labels"]),
            "keep_labels": self._keep_labels,
            "set_distribution": self._set_distribution,
            "note": self._note,
            "delete_router_port": self._delete_router_port,
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

    def _mend_ports(self, _step: Step) -> None:
        spoilt = spoilt_ports(self.seen)
        self._site.ovn.mend_ports(spoilt.router_port, spoilt.switch_ports)

    def _set_localnet(self, step: Step) -> None:
        self._site.ovn.set_localnet(wrong_localnet(self.seen), step.data["network"], step.data["tag"])

    def _set_router_port(self, step: Step) -> None:
        self._site.ovn.set_router_port(self.seen.ovn.router_port, step.data["mac"], step.data["networks"])

    def _set_distribution(self, _step: Step) -> None:
        def placed() -> Observed:
            seen = self._look()
            rules = misplaced_rules(self._present, seen)
            return self._guarded(lambda: self._site.ovn.set_distribution(rules), bool(rules), seen)

        self._until(placed, lambda seen: not misplaced_rules(self._present, seen))

    def _raise(self, _step: Step) -> None:
        def raised() -> Observed:
            seen = self._look()
            ranks = priorities(self._present, seen, HIGH_PRIORITY)
            return self._guarded(lambda: self._site.ovn.set_priorities(ranks), bool(ranks), seen)

        self._until(raised, lambda seen: not priorities(self._present, seen, HIGH_PRIORITY))
        self._renumber = True

    def _warm_up(self, step: Step) -> None:
        """Until the first of the chassis holds that port, as it does with a tunnel up; no more than a while."""
        if any(port.name == WARM_UP for port in self.seen.ovn.other_ports):
            self._site.ovn.cool_down()  # of a run that was killed
        self._site.ovn.warm_up(step.data["chassis"])
        patience = min(WARM_UP_PATIENCE, max(self._end - self._clock.monotonic(), 0.0))
        if self._site.ovn.await_warm_up(patience):
            return
        known = {row.name for row in self.seen.ovn.chassis} - set(step.data["chassis"])
        if any(node.ready and node.chassis in known for node in self.seen.nodes):
            return  # the active gateway has other tunnels
        self._site.ovn.cool_down()
        names = ", ".join(self.seen.node_of(name) for name in step.data["chassis"][1:])
        text = f"no tunnel to {names} comes up"
        hint = "with its gateway chassis the active gateway would let go; see to ovn-controller and the tunnel there"
        raise NotReached("a gateway was not added", [Problem(f"node {names}", text, hint)], self._look())

    def _write_config_map(self, step: Step) -> None:
        nodes = [self.seen.node(name) for name in step.data.get("coming", ())]
        coming = {node.chassis for node in nodes if node and node.chassis}
        self._kept = coming & set(self.seen.row_of)
        enabled = self._gateway is not None and self._gateway.enabled
        if enabled and step.data["data"].get("type") == "distributed":  # never in one look with a list that changed
            self._await_controller()
        self._site.write_config_map(step.data["data"], step.data["notes"])
        self._quiet = self._clock.monotonic() + CONTROLLER_TURN
        self._coming = coming
        if self._gateway is None:  # nothing is taken away that the controller is still to write
            self._await_removal()

    def _note(self, step: Step) -> None:
        if all(value is None for value in step.data["notes"].values()):
            self._await_controller()  # they were for the time until it has had its turn
        self._site.note(step.data["notes"])

    def _keep_labels(self, step: Step) -> None:
        """Once the controller has had its turn: with the gateway enabled it has then set its own labels again."""
        if self._gateway is None or not self._gateway.enabled:
            self._await_removal()
        else:
            self._await_controller()
        seen = self._look()
        labels: Labels = {name: "true" for name in step.data["nodes"] if _label_of(seen, name) != "true"}
        if labels:
            self._site.label(labels)

    def _add_rows(self, _step: Step) -> None:
        gateway = self._present

        def added() -> Observed:
            seen = self._look()
            nodes = [seen.node(name) for name in missing_rows(gateway, seen) if seen.mapped(name)]
            lowest = min((row.priority for row in seen.rows), default=FIRST_CHASSIS_PRIORITY + 1)
            if lowest < len(nodes):  # no room below the rows that are there: OVN has no priority less than 0
                raised = [(row, row.priority + FIRST_CHASSIS_PRIORITY) for row in seen.rows]
                return self._guarded(lambda: self._site.ovn.set_priorities(raised), True, seen)
            rows = [(node.chassis, lowest - 1 - index) for index, node in enumerate(nodes) if node]
            write = self._site.ovn.add_gateway_chassis
            return self._guarded(lambda: write(seen.ovn.router_port, rows), bool(rows), seen)

        self._until(added, lambda seen: not missing_rows(gateway, seen))
        self._renumber = True

    def _order(self, _step: Step) -> None:
        gateway = self._present
        if self._coming:  # with priorities of the controller's own: they have to come and go before the raised ones
            self._await_controller()

        def lacking(seen: Observed) -> list[Problem]:
            parts = [*missing_parts(seen), *(f"gateway chassis of {name}" for name in missing_rows(gateway, seen))]
            first = first_alive(gateway, seen)  # it gets the traffic: its bridge has to be there before
            parts += [f"bridge mapping of {first.name}"] if first and not seen.mapped(first.name) else []
            return [Problem(part, "is missing") for part in parts]

        def settled() -> Observed:
            seen = self._look()
            if lacking(seen):
                return seen
            wrong = self._renumber or not in_order(gateway, seen) or outranked(gateway, seen)
            return self._guarded(lambda: self._number(seen), wrong, seen)

        self._until(
            settled, lambda seen: not lacking(seen) and in_order(gateway, seen) and not outranked(gateway, seen)
        )

    def _number(self, seen: Observed) -> None:
        self._site.ovn.set_priorities(priorities(self._present, seen, FIRST_CHASSIS_PRIORITY))
        self._renumber = False

    def _take_out(self, step: Step) -> None:
        gateway = self._present
        going = set(step.data["chassis"])
        self._kept -= going

        def taken() -> Observed:
            seen = self._look()
            rows = [row for row in surplus_rows(gateway, seen) if row.chassis in going]
            # Traffic moves first; from a dead gateway it has gone already, whatever SB still says.
            node = seen.node(seen.active) if seen.active else None
            free = not self._forwards(rows, seen) or node is None or not node.ready
            return self._guarded(
                lambda: self._site.ovn.delete_gateway_chassis(seen.ovn.router_port, rows), free and bool(rows), seen
            )

        self._until(taken, lambda seen: all(row.chassis not in going for row in surplus_rows(gateway, seen)))

    def _forwards(self, going: Sequence[GatewayChassis], seen: Observed) -> bool:
        """Whether traffic goes through a chassis for the sake of rows that are to go, and has somewhere else to go."""
        kept = {row.chassis for row in rows_of(self._present, seen)}
        return bool(kept) and seen.ovn.active_chassis in {row.chassis for row in going} - kept

    def _delete_router_port(self, _step: Step) -> None:
        self._await_removal()
        seen = self.seen = self._look()
        ovn, name = seen.ovn, seen.ovn.names.switch_router_port
        ports = [port for port in ovn.switch_ports if port.name == name]
        if ovn.router_port or ports:
            self._site.ovn.clear_external(ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ports, False)

    def _delete_config_map(self, _step: Step) -> None:
        self._site.delete_config_map()
        self._await_removal()

    def _await_removal(self) -> None:
        """Until the controller is through with taking the gateway away: then it is past writing labels and NB.

        It has then said so in the VPC. Where it never took notice of the ConfigMap there is nothing to wait for, so no
        more than a while.
        """
        patience = min(CONTROLLER_PATIENCE, max(self._end - self._clock.monotonic(), 0.0))

        def through(seen: Observed) -> bool:
            labelled = [node.name for node in seen.nodes if node.gateway_label == "true"]
            return not seen.enabled and set(labelled) <= set(self.by_hand)

        try:
            until(self._look, through, patience, self._clock)
        except Deadline as deadline:
            if self.by_hand and patience < CONTROLLER_PATIENCE:  # they are put back when it is through, not before
                text = "has not taken the gateway away yet, and with it labels that others set"
                problem = Problem("kube-ovn-controller", text, "run again; its log names the reason when it cannot")
                raise NotReached(f"not as asked within {self._timeout:g} s", [problem], deadline.last) from deadline

    def _delete_external(self, _step: Step) -> None:
        seen = self.seen = self._look()
        problems = [] if self._force else absent_problems(seen)
        if problems:
            raise NotReached("the gateway came into use meanwhile", problems, seen)
        ovn = seen.ovn
        pair = (ovn.names.switch_router_port,)
        ports = [port for port in ovn.switch_ports if not seen.underlay or port.name in pair]
        rules = None if self._force else ovn.nat_rules
        self._site.ovn.clear_external(
            ovn.router_uuid, ovn.router_port, ovn.switch_uuid, ports, not seen.underlay, rules
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
        return self._look()

    def _until(self, probe: Callable[[], Observed], done: Callable[[Observed], bool]) -> None:
        left = max(self._end - self._clock.monotonic(), 0.0)
        try:
            self.seen = until(probe, done, left, self._clock)
        except Deadline as deadline:
            self.seen = deadline.last
            raise NotReached(
                f"not as asked within {self._timeout:g} s", self._causes(self.seen), self.seen
            ) from deadline

    def _unfinished(self, seen: Observed) -> list[Problem]:
        return unfinished(self._gateway, seen, self.by_hand)

    def _causes(self, seen: Observed) -> list[Problem]:
        problems = self._unfinished(seen)
        before, now = self._leadership, self._site.leadership()
        idle = now and (not now.holder or (before and before.renewed == now.renewed and now.age > now.duration))
        return [idle_problem(now), *problems] if now and idle else problems

    def verify(self) -> None:
        """Look until the world is as asked. After own changes, put right what the controller made of them."""
        if not self.done and not self._unfinished(self.seen):
            return  # the look that the plan was made from showed it
        self._kept = set()
        self._await_controller()
        self._until(self._tidied if self.done else self._look, lambda seen: not self._unfinished(seen))

    def _await_controller(self) -> None:
        """Let the controller take its turn at the ConfigMap before the world is called as asked.

        Whatever text changed, it adds chassis rows that were left out; older versions tear down and build anew, in an
        order of their own. Where such rows are to come it is seen to have looked; else it leaves no sign of it, so
        there is nothing to wait for but the time.
        """
        now = self._clock.monotonic()
        if now >= self._quiet:
            return
        patience = CONTROLLER_PATIENCE if self._coming else self._quiet - now
        came: set[str] = set()

        def looked() -> Observed:
            seen = self._tidied()
            came.update(self._coming & self._tidied_rows)
            return seen

        def done(_seen: Observed) -> bool:
            return bool(self._coming) and came == self._coming and self._clock.monotonic() >= self._quiet

        with suppress(Deadline):
            self.seen = until(looked, done, min(patience, max(self._end - now, 0.0)), self._clock)
        if self._clock.monotonic() < self._quiet:
            seen = self._look()
            raise NotReached(f"not as asked within {self._timeout:g} s", self._causes(seen), seen)
        self._coming = set()

    def _tidied(self) -> Observed:
        seen = self._look()
        self._tidied_rows = frozenset(seen.row_of)
        lost: Labels = {name: "true" for name in self.by_hand if _label_of(seen, name) not in ("true", None)}
        labels: Labels
        if self._gateway is None:
            stale = {node.name for node in seen.nodes if node.gateway_label is not None} - set(self.by_hand)
            labels = dict.fromkeys(stale)
            return self._guarded(
                lambda: self._site.label(labels | lost), bool(labels | lost) and not seen.config_map, seen
            )
        gateway = self._gateway
        if not gateway.enabled:
            labels = dict.fromkeys((name for name in gateway.nodes if _label_of(seen, name) == "true"), "false")
            return self._guarded(
                lambda: self._site.label(labels | lost), bool(labels | lost) and not seen.enabled, seen
            )
        first = first_alive(gateway, seen)
        if missing_parts(seen) or missing_rows(gateway, seen) or first is None or not seen.mapped(first.name):
            return seen  # not the moment to take anything away
        surplus = [row for row in surplus_rows(gateway, seen) if row.chassis not in self._kept]
        if not in_order(gateway, seen) or outranked(gateway, seen):
            return self._guarded(lambda: self._number(seen), True, seen)
        active = seen.node(seen.active) if seen.active else None
        busy = active is not None and active.ready and self._forwards(surplus, seen)
        if surplus and not busy:
            port = seen.ovn.router_port
            return self._guarded(lambda: self._site.ovn.delete_gateway_chassis(port, surplus), True, seen)
        labels = dict.fromkeys(stray_labels(gateway, seen), "false")
        return self._guarded(lambda: self._site.label(labels | lost), bool(labels | lost) and not surplus, seen)


def _pending(gateway: ExternalGateway | None, seen: Observed) -> bool:
    """Whether the controller may still have to take its turn at what a run wrote that was killed."""
    half = (
        gateway is not None and gateway.type == "distributed" and (seen.config_map or {}).get("type") == "centralized"
    )
    return unsettled(seen) or half


def _label_of(seen: Observed, name: str) -> str | None:
    node = seen.node(name)
    return node.gateway_label if node else None
