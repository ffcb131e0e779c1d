# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway states of the tour: what each asks the module for, and what it then means in Kubernetes and OVN. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

from support.gateway_truth import G1, G2, G3, SITE, Picture, many


@dataclass(frozen=True)
class State:
    """A gateway, or none."""

    name: str
    nodes: tuple[str, ...] = (G1, G2, G3)
    nic_ip: str = SITE["nic_ip"]
    nic_mac: str = SITE["nic_mac"]
    gateway: str = SITE["gateway"]
    type: str = "centralized"
    enabled: bool = True
    drained: tuple[str, ...] = ()
    timers: tuple[tuple[str, int], ...] = ()
    present: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """What to ask the module for."""
        if not self.present:  # timers that a state set go with the gateway, when they are named
            return {"state": "absent", "bfd": dict(STATES["tuned"].timers)}
        asked = {**SITE, "nodes": list(self.nodes), "nic_ip": self.nic_ip, "nic_mac": self.nic_mac}
        asked["gateway"] = self.gateway
        asked |= {} if self.type == "centralized" else {"type": self.type}
        asked |= {} if self.enabled else {"enabled": False}
        asked |= {"drained": list(self.drained)} if self.drained else {}
        return asked | ({"bfd": dict(self.timers)} if self.timers else {})

    @property
    def order(self) -> list[str]:
        """The nodes by priority: drained ones stand last."""
        return sorted(self.nodes, key=lambda node: node in self.drained)

    @property
    def works(self) -> bool:
        """Whether there is a router port."""
        return self.present and self.enabled

    @property
    def data(self) -> dict[str, str] | None:
        """The ConfigMap."""
        if not self.present:
            return None
        return {
            "enable-external-gw": "true" if self.enabled else "false",
            "type": self.type,
            "external-gw-nodes": ",".join(self.nodes),
            "external-gw-nic": SITE["nic"],
            "external-gw-addr": self.gateway,
            "nic-ip": self.nic_ip,
            "nic-mac": self.nic_mac,
        }


OTHER_GATEWAY = "10.4.19.2/24"
STATES = {
    state.name: state
    for state in (
        State("absent", present=False),
        State("one", nodes=(G1,)),
        State("two", nodes=(G1, G2)),
        State("three"),
        State("without_first", nodes=(G2, G3)),
        State("reordered", nodes=(G3, G1, G2)),
        State("address", nic_ip="10.4.19.253/24"),
        State("mac", nic_mac="16:52:f3:13:6a:26"),
        State("gateway", gateway=OTHER_GATEWAY),
        State("active_drained", drained=(G1,)),
        State("standby_drained", drained=(G2,)),
        State("tuned", timers=(("min_rx", 300), ("min_tx", 400), ("multiplier", 5))),
        State("disabled", enabled=False),
        State("distributed", type="distributed"),
    )
}
# Walks through every kind of transition, each pair once; from a lab without a gateway back to it.
TOUR_TEXT = (
    "absent one without_first three standby_drained active_drained reordered address mac gateway two tuned disabled "
    "three distributed without_first absent"
)
TOUR = TOUR_TEXT.split()


def kinds(old: State, new: State) -> set[str]:
    """What is done to a gateway between two states."""
    if not old.present or not new.present:
        return {"made" if new.present else "removed"}
    found = set()
    if old.enabled != new.enabled:
        found.add("enabled" if new.enabled else "disabled")
    if old.type != new.type:
        found.add(f"to {new.type}")
    found |= _node_kinds(old, new)
    found |= {"address"} if old.nic_ip != new.nic_ip else set()
    found |= {"MAC"} if old.nic_mac != new.nic_mac else set()
    found |= {"physical gateway"} if old.gateway != new.gateway else set()
    active = old.order[0]
    found |= {f"{'active' if node == active else 'standby'} drained" for node in set(new.drained) - set(old.drained)}
    found |= {"drain ended"} if set(old.drained) - set(new.drained) else set()
    return found | ({"tuned"} if new.timers and new.timers != old.timers else set())


def _node_kinds(old: State, new: State) -> set[str]:
    gone, added = set(old.nodes) - set(new.nodes), set(new.nodes) - set(old.nodes)
    stay = [node for node in old.nodes if node not in gone]
    if not stay:
        return {"all nodes replaced"}
    found = {f"{'active' if node == old.order[0] else 'standby'} removed" for node in gone}
    found |= {"node added"} if added else set()
    return found | ({"reordered"} if stay != [node for node in new.nodes if node in stay] else set())


def all_kinds(pairs: Iterable[tuple[str, str]]) -> set[str]:
    """What all these transitions do."""
    return {kind for old, new in pairs for kind in kinds(STATES[old], STATES[new])}


def the_rest(start: str, names: Sequence[str], walked: Sequence[str]) -> list[tuple[str, str]]:
    """All ordered pairs that a closed walk left out, as a walk from `start` on: an Eulerian circuit (Hierholzer)."""
    done = set(pairwise(walked))
    left: dict[str, list[str]] = {name: [] for name in names}
    for old, new in permutations(names, 2):
        if (old, new) not in done:
            left[old].append(new)
    path, circuit = [start], []
    while path:
        if left[path[-1]]:
            path.append(left[path[-1]].pop())
        else:
            circuit.append(path.pop())
    return list(pairwise(reversed(circuit)))


# --- what each means ------------------------------------------------------------------------------------------------


def differences(new: State, before: Picture, now: Picture) -> list[str]:
    """Where the truth is not as the state means it, after a run from what was before."""
    wanted: dict[str, tuple[Any, Any]] = {
        "ConfigMap": (now.data, _data(new, before)),
        "annotations": (now.notes, {}),
        "labelled": (now.labelled, set(new.nodes) if new.works else set()),
        "router port": (now.port, (new.nic_mac, [new.nic_ip]) if new.works else None),
        "gateways": (now.order, new.order if new.works else []),
        "switch": (now.switch, _switch(new, before)),
        "active": (now.active, new.order[0] if new.works else None),
        "timers": (now.timers, _timers(new, before)),
        "policies": (now.policies, _policies(new, before)),
        # Without a router port the form of a NAT row is of no use to anybody: it stays until there is one again.
        "NAT": (_bare(now), _bare(before)) if new.works else (now.rules, before.rules),
    }
    if not new.present:
        wanted["labels"] = (now.labels, {})
    if before.port and new.works:
        wanted["router port's UUID"] = (now.port_id, before.port_id)  # changed in place, not made anew
    found = [f"{what}: {seen}, not {meant}" for what, (seen, meant) in wanted.items() if seen != meant]
    ranks = [rank for _name, rank in now.gateways]
    found += [f"priorities {now.gateways}"] if len(set(ranks)) != len(ranks) else []
    return found + (list(_rules(new, now)) if new.works else [])


def _data(new: State, before: Picture) -> dict[str, str] | None:
    """A key that is not the collection's stays."""
    return None if new.data is None else {**(before.data or {}), **new.data}


def _switch(new: State, before: Picture) -> dict[str, Any] | None:
    """Switch `external`: disabled, what there was of it stays but for the router's port."""
    localnet: dict[str, Any] = {"localnet.external": ("localnet", {"network_name": "external"}, [])}
    if new.works:
        return localnet | {"external-ovn-cluster": ("router", {"router-port": "ovn-cluster-external"}, [])}
    return localnet if new.present and before.switch else None


def _policies(new: State, before: Picture) -> dict[str, Any]:
    """Where there is a router port, the packets of EIPs go to the physical gateway by it."""
    hop = {"nexthops": new.gateway.split("/")[0]} if new.works else {}
    return {uuid: {**row, **hop} for uuid, row in before.policies.items()}


def _timers(new: State, before: Picture) -> dict[str, str]:
    """Left out, they are left alone; removed with a gateway that is asked to go with these."""
    keys = {"min_rx": "bfd-min-rx", "min_tx": "bfd-min-tx", "multiplier": "bfd-mult"}
    if not new.present:
        return {}
    return {keys[key]: str(value) for key, value in new.timers} or before.timers


def told(now: Picture) -> dict[str, Any]:
    """The truth in the form in which the module tells it, in its diff as well."""
    switch = now.switch or {}
    localnet = switch.get("localnet.external")
    return {
        "config_map": now.texts,
        "router_port": {"mac": now.port[0], "networks": now.port[1]} if now.port else None,
        "gateways": [f"{name} priority {rank}" for name, rank in now.gateways],
        "labels": now.labels,
        "switch_ports": sorted(switch),
        "localnet": {"network_name": localnet[1]["network_name"], "tag": localnet[2] or None} if localnet else None,
        "nexthops": sorted({hop for row in now.policies.values() for hop in many(row["nexthops"])}),
        "distributed": sorted(row["external_ip"] for row in now.rules.values() if row["external_mac"]),
        "bfd": now.timers,
    }


_FORM = ("logical_port", "external_mac", "options", "gateway_port")


def _bare(picture: Picture) -> dict[str, Any]:
    """NAT rows but for what a gateway's type decides of them."""
    return {uuid: {key: row[key] for key in row if key not in _FORM} for uuid, row in picture.rules.items()}


def _rules(new: State, now: Picture) -> Iterable[str]:
    """Distributed, an EIP is answered on its pod's own node; centralized, on the active gateway."""
    ports = {port["name"]: port for port in now.nb["Logical_Switch_Port"].values()}
    for row in now.rules.values():
        form = (row["logical_port"], row["external_mac"], row["options"].get("stateless"))
        if new.type == "distributed":
            port = ports.get(str(row["logical_port"]))
            mac = str(port["addresses"]).split()[0] if port else None
            meant: Any = (row["logical_port"], mac, "true")
        else:
            meant = ([], [], None)
        if form != meant:
            yield f"NAT {row['external_ip']}: {form}, not {meant}"
