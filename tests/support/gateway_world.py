# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a site for tests of the gateway's plan: what kube-ovn-controller, node daemons and OVN do with time.

It follows Kube-OVN's source (pkg/controller/external_gw.go, pkg/daemon/gateway_linux.go) and what was observed; it is
the clock too, so that waiting lets these parts act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.kubeovn.core.plugins.module_utils._controller import Leadership
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import NODES_KEY, Observed, listed_nodes
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    WARM_UP,
    Chassis,
    GatewayChassis,
    GatewayNode,
    HolderPort,
    Names,
    NatRule,
    Ovn,
    RoutePolicy,
    RouterPort,
    SwitchPort,
)
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed

NAMES = Names()
PRIORITIES = range(32768)  # that OVN's schema has of a gateway chassis
ROUTER_PORT, SWITCH_ROUTER_PORT, LOCALNET_PORT = NAMES.router_port, NAMES.switch_router_port, NAMES.localnet_port

ADDRESSES = {SWITCH_ROUTER_PORT: ("router",), LOCALNET_PORT: ("unknown",)}


@dataclass
class Machine:
    """A node: its label, its chassis (named after it), its bridge."""

    ready: bool = True
    label: str | None = None
    bridge: bool = False
    userspace: bool = False  # its daemon never deletes the bridge
    mapping: bool = False  # which its daemon never takes away, whatever becomes of the bridge
    chassis: bool = True  # in SB

    def __post_init__(self) -> None:
        self.mapping = self.mapping or self.bridge


@dataclass
class World:
    """The whole site."""

    machines: dict[str, Machine]
    config_map: dict[str, str] | None = None
    notes: dict[str, str] = field(default_factory=dict)  # the ConfigMap's annotations
    mac: str | None = None  # None: no router port
    networks: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)  # priority by chassis
    row_names: dict[str, str] = field(default_factory=dict)  # by chassis: whose name the row has, where that differs
    switch: bool = False
    ports: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of the switch's ports, where they differ
    disabled: set[str] = field(default_factory=set)  # ports
    nats: tuple[NatRule, ...] = ()
    policies: tuple[RoutePolicy, ...] = ()
    options: dict[str, str] = field(default_factory=dict)  # NB_Global's
    holder_ports: dict[str, HolderPort] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    enabled: bool = False
    # the controller's memory, and how it is
    memory: dict[str, str] | None = None
    established: bool = False
    known: bool = True  # False: it has just started, and does not know whether there is anything to take away
    stopped: float | None = None  # since when it does not run
    stale_cache: bool = False  # it reads labels as they were before it changed them,
    behind: frozenset[str] | None = None  # of these nodes only; None: of all
    turn: int = 1  # seconds between two looks of it
    tears_down: bool = False  # older versions rebuild switch and router port when the list of nodes changes
    now: float = 0.0
    writes: int = 0
    active: str | None = None
    dark: bool = False  # tunnels that are not up yet do not come up
    warm: tuple[str, ...] = ()  # gateways of the router that has tunnels watched
    watched: float | None = None  # since when OVN watches the gateways' tunnels; a second later they are up
    was_active: list[str] = field(default_factory=list)  # who forwarded, one after the other
    silent: list[float] = field(default_factory=list)  # moments when nobody forwarded, though a gateway was ready
    blind: list[float] = field(default_factory=list)  # moments when traffic went to a node without a bridge

    # --- time

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        end = self.now + seconds
        while self.now < end:
            before, self.now = self.now, min(end, int(self.now * 10 + 1) / 10)
            if int(self.now / self.turn) > int(before / self.turn) and self.stopped is None:
                self.control()
            if int(self.now / 3) > int(before / 3):
                self.run_daemons()
            self.elect()

    def elect(self) -> None:
        """The gateway that claims the port: the first that lives and, where there are more, has a live tunnel."""
        living = [name for name, machine in self.machines.items() if machine.ready and machine.chassis]
        alive = [name for name in self.rows if name in living]
        if len(self.rows) <= 1 and not self.warm:
            self.watched = None
        elif self.watched is None:
            self.watched = self.now
        if len(self.rows) > 1 and (len(living) < 2 or not self.tunnels_are_up):
            alive = []
        before = self.active
        self.active = max(alive, key=lambda name: (self.rows[name], name), default=None) if self.mac else None
        if self.active and not self.machines[self.active].bridge:
            self.blind.append(self.now)
        if self.active and self.was_active[-1:] != [self.active]:
            self.was_active.append(self.active)
        if before and not self.active and self.mac:
            self.silent.append(self.now)

    @property
    def tunnels_are_up(self) -> bool:
        return self.watched is not None and self.now >= self.watched + 1.0 and not self.dark

    def warm_up(self, chassis: Sequence[str]) -> None:
        self.guard(not self.warm)
        self.warm = tuple(chassis)
        self.elect()

    def await_warm_up(self, timeout: float) -> bool:
        end = self.now + timeout
        while not self.tunnels_are_up and self.now < end:
            self.sleep(0.1)
        return self.tunnels_are_up

    def cool_down(self) -> None:
        self.writes += 1
        self.warm = ()

    def run_daemons(self) -> None:
        """One round of each node's daemon (setExGateway in gateway_linux.go)."""
        for machine in self.machines.values():
            if not machine.ready:
                continue
            if machine.label != "true":
                machine.bridge = machine.bridge and machine.userspace
            elif self.config_map is not None:
                machine.bridge = machine.mapping = True

    def restart(self) -> None:
        """The controller starts anew and has forgotten what it did."""
        self.memory, self.established, self.known = None, False, False

    def control(self) -> None:
        """One round of kube-ovn-controller (resyncExternalGateway in external_gw.go)."""
        data = self.config_map
        if data is None or data.get("enable-external-gw") == "false":
            if self.established or self.enabled or not self.known:
                self.unlabel()
                self.memory, self.established, self.enabled, self.known = None, False, False, True
            return
        if self.established and data == self.memory:
            return
        cached = {name for name, machine in self.machines.items() if machine.label == "true"}
        old = self.memory or {}
        back = old.get("type") == "distributed" and data.get("type") == "centralized"
        if back or (self.memory is not None and old.get(NODES_KEY) != data.get(NODES_KEY)):
            self.unlabel()
            if self.tears_down:
                self.mac, self.networks, self.rows, self.switch, self.ports = None, (), {}, False, {}
        late = (cached if self.behind is None else cached & self.behind) if self.stale_cache else set()
        labelled = late | {name for name, machine in self.machines.items() if machine.label == "true"}
        # The cache's order is any: the reverse of the names is as good, and bad, as another.
        names = sorted(labelled, reverse=True)
        if data.get("type") != "distributed":
            names += [name for name in listed_nodes(data.get(NODES_KEY, "")) if name not in names]
        if names and self.relabel(names) and self.establish(data, names):
            self.memory, self.established, self.enabled, self.known = dict(data), True, True, True

    def relabel(self, names: Sequence[str]) -> bool:
        """Label them one by one; False at the first without a chassis: it fails there, and a second later again."""
        for name in names:
            if name not in self.machines:
                return False
            self.machines[name].label = "true"
            if not self.machines[name].chassis:
                return False
        return True

    def establish(self, data: Mapping[str, str], names: Sequence[str]) -> bool:
        """Make what is missing in NB; False when the controller fails, as it then does again and again."""
        self.switch = True
        self.ports.setdefault(LOCALNET_PORT, ("localnet", {"network_name": "external"}))
        if SWITCH_ROUTER_PORT not in self.ports:
            if self.mac is not None:
                return False  # a second router port of that name
            self.ports[SWITCH_ROUTER_PORT] = ("router", {"router-port": ROUTER_PORT})
            self.mac, self.networks, self.rows = data["nic-mac"], (data["nic-ip"],), {}
        if self.mac is None:
            return False  # no router port to add gateway chassis to
        for index, name in enumerate(names):
            if all(self.name_of(chassis) != name for chassis in self.rows):
                self.rows[name] = 100 - index
        return True

    def name_of(self, chassis: str) -> str:
        """Whose name a row has: the database holds each name once."""
        return self.row_names.get(chassis, chassis)

    def unlabel(self) -> None:
        for machine in self.machines.values():
            if machine.label == "true":
                machine.label = "false"

    # --- reading

    @property
    def ovn(self) -> World:
        return self

    def observe(self) -> Observed:
        self.elect()
        return Observed(
            config_map=None if self.config_map is None else dict(self.config_map),
            notes=dict(self.notes),
            nodes=tuple(
                GatewayNode(name, m.ready, m.label, name, userspace=m.userspace)
                for name, m in sorted(self.machines.items())
            ),
            ovn=Ovn(
                router_uuid="router",
                router_port=self.router_port(),
                switch_uuid="switch" if self.switch else None,
                switch_ports=tuple(self.switch_port(name) for name in sorted(self.ports)),
                nat_rules=self.nats,
                policies=self.policies,
                chassis=tuple(
                    Chassis(name, name, name, (), {"external": "br-external"} if m.mapping else {})
                    for name, m in sorted(self.machines.items())
                    if m.chassis
                ),
                active_chassis=self.active,
                options=dict(self.options),
                other_ports=(RouterPort("w", WARM_UP, "", ()),) if self.warm else (),
                holder_ports=dict(self.holder_ports),
            ),
            enabled=self.enabled,
            evidence=dict(self.evidence),
        )

    def router_port(self) -> RouterPort | None:
        if self.mac is None:
            return None
        rows = [
            GatewayChassis(name, f"{ROUTER_PORT}-{self.name_of(name)}", name, priority)
            for name, priority in self.rows.items()
        ]
        ordered = sorted(rows, key=lambda row: (-row.priority, row.name))
        return RouterPort(
            "port", ROUTER_PORT, self.mac, self.networks, tuple(ordered), ROUTER_PORT not in self.disabled
        )

    def switch_port(self, name: str) -> SwitchPort:
        kind, options = self.ports[name]
        addresses = self.addresses.get(name, ADDRESSES.get(name, ()))
        return SwitchPort(name, name, kind, addresses, options, enabled=name not in self.disabled)

    def leadership(self) -> Leadership | None:
        last = (self.now if self.stopped is None else self.stopped) // 6 * 6
        return Leadership("controller", f"at {last:g}", self.now - last, 30.0)

    # --- writing Kubernetes

    def write_config_map(self, data: Mapping[str, str], notes: Mapping[str, str | None], /) -> None:
        self.config_map = {**(self.config_map or {}), **data}
        self.note(notes)

    def note(self, notes: Mapping[str, str | None], /) -> None:
        self.writes += 1
        kept = {key: value for key, value in self.notes.items() if key not in notes}
        self.notes = kept | {key: value for key, value in notes.items() if value is not None}

    def delete_config_map(self) -> None:
        self.writes += 1
        self.config_map, self.notes = None, {}

    def label(self, labels: Mapping[str, str | None], /) -> None:
        self.writes += 1
        for name, value in labels.items():
            self.machines[name].label = value

    # --- writing NB

    def set_router_port(self, port: RouterPort, mac: str, networks: Sequence[str]) -> None:
        self.guard((port.mac, port.networks) == (self.mac, self.networks))
        self.mac, self.networks = mac, tuple(networks)

    def set_priorities(self, priorities: Sequence[tuple[GatewayChassis, int]]) -> None:
        self.guard(all(self.rows.get(row.chassis) == row.priority for row, _priority in priorities))
        assert all(priority in PRIORITIES for _row, priority in priorities)
        self.rows |= {row.chassis: priority for row, priority in priorities}
        self.elect()

    def delete_gateway_chassis(self, port: RouterPort, rows: Sequence[GatewayChassis]) -> None:
        self.guard(port.mac == self.mac and all(self.rows.get(row.chassis) == row.priority for row in rows))
        for row in rows:
            del self.rows[row.chassis]
        self.elect()

    def add_gateway_chassis(self, port: RouterPort, added: Sequence[tuple[str, int]]) -> None:
        self.guard(port.mac == self.mac and all(chassis not in self.rows for chassis, _priority in added))
        assert all(priority in PRIORITIES for _chassis, priority in added)
        new = {name for name, _priority in added}
        self.rows = {name: rank for name, rank in self.rows.items() if self.name_of(name) not in new} | dict(added)
        self.elect()

    def set_localnet(self, port: SwitchPort, network: str, tag: int | None) -> None:
        self.guard(self.ports.get(port.name) == (port.type, port.options))
        assert tag is None
        self.ports[port.name] = (port.type, {**port.options, "network_name": network})

    def mend_ports(self, router_port: RouterPort | None, switch_ports: Sequence[tuple[SwitchPort, str]]) -> None:
        self.guard(all(port == self.switch_port(port.name) for port, _address in switch_ports))
        for port, address in switch_ports:
            assert (address,) == ADDRESSES[port.name]
            self.addresses.pop(port.name, None)
        self.disabled -= {port.name for port, _address in switch_ports} | ({router_port.name} if router_port else set())

    def set_options(self, values: Mapping[str, str | None]) -> None:
        self.writes += 1
        self.options = {key: value for key, value in self.options.items() if key not in values}
        self.options |= {key: value for key, value in values.items() if value is not None}

    def set_distribution(self, rules: Sequence[tuple[NatRule, HolderPort | None]]) -> None:
        self.guard(all(rule in self.nats for rule, _port in rules))
        new = {
            rule.uuid: rule._replace(logical_port=port.name, external_mac=port.mac, stateless=True)
            if port
            else rule._replace(logical_port=None, external_mac=None, stateless=False)
            for rule, port in rules
        }
        self.nats = tuple(new.get(rule.uuid, rule) for rule in self.nats)

    def set_nexthops(self, policies: Sequence[RoutePolicy], nexthop: str) -> None:
        self.guard(set(policies) <= set(self.policies))
        kept = [policy for policy in self.policies if policy not in policies]
        new = [RoutePolicy(one.uuid, one.priority, one.match, one.action, (nexthop,)) for one in policies]
        self.policies = tuple(kept + new)

    def clear_external(
        self,
        router_uuid: str | None,
        port: RouterPort | None,
        switch_uuid: str | None,
        switch_ports: Sequence[SwitchPort],
        delete_switch: bool,
        nat_rules: Sequence[NatRule] | None = None,
    ) -> None:
        self.guard(nat_rules is None or tuple(nat_rules) == self.nats)
        if port is not None:
            self.guard(router_uuid is not None and (port.mac, port.networks) == (self.mac, self.networks))
            self.mac, self.networks, self.rows = None, (), {}
            self.disabled.discard(port.name)
        for one in switch_ports:
            del self.ports[one.name]
            self.addresses.pop(one.name, None)
            self.disabled.discard(one.name)
        if delete_switch and switch_uuid is not None:
            self.guard(not self.ports)
            self.switch = False

    def guard(self, unchanged: bool) -> None:
        self.writes += 1
        if not unchanged:
            raise GuardFailed("changed meanwhile")
