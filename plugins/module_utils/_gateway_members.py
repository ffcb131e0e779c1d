# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which gateways belong in NB: one rule over the nodes asked for, the dead, the drained and the proven. Pure.

The reason for it (seen on OVN 25.03): a gateway without a live tunnel to any other chassis takes itself for the lost
one and never claims the router port, so rows of dead gateways can end all traffic. And OVN gives the port back to a
rebooted gateway at once, ready or not, so a row that was taken out comes back only when its node has been proven.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import ExternalGateway, GatewayNode


@dataclass(frozen=True)
class Evidence:
    """What a node showed of itself."""

    faults: tuple[str, ...]  # what is wrong with its side of the gateway
    connected: bool = False  # whether the NIC asked for is in its bridge, be it that it carries nothing yet

    @property
    def proven(self) -> bool:
        """Whether bridge, NIC, mapping and tunnels are right."""
        return not self.faults


def evidence_of(results: Mapping[str, Any]) -> dict[str, Evidence]:
    """The evidence in results of ovn_gateway_node_info, by node. A node that gave none (unreachable) has none."""
    found = {}
    for name, result in results.items():
        if isinstance(result, Mapping) and "links" in result:
            side = result.get("gateway")
            # A dead peer's tunnel is down on every healthy gateway: only one that has no tunnel up is cut off itself.
            down = [] if not side or side.get("tunnels_up") else side.get("tunnels_down") or []
            missing = ["its NIC was not looked at"] if side is None else [*side.get("missing", ())]
            faults = missing + [f"the tunnel to {peer} is down" for peer in down]
            nic = result.get("nic") or {}
            found[name] = Evidence(tuple(faults), bool(nic.get("in_service")))
    return found


@dataclass(frozen=True)
class Members:
    """The gateways that belong in NB, highest priority first, and why others do not."""

    order: tuple[str, ...]
    dead: frozenset[str]  # not Ready, and no evidence says otherwise; their rows may be there or not
    out: Mapping[str, str]  # node -> why its row does not belong in NB now
    rescued: tuple[str, ...]  # those of `out` that come back only when proven
    alone: str | None = None  # the only gateway in service
    cut_off: bool = False  # and no other chassis lives that it could have a tunnel with

    @property
    def first(self) -> str | None:
        """The one that has to be active, once it has its row."""
        return next((name for name in self.order if name not in self.dead), None)


def members_of(
    gateway: ExternalGateway,
    nodes: Collection[GatewayNode],
    evidence: Mapping[str, Evidence],
    chassis: Collection[str],
    rowed: Collection[str],
    rescued: Collection[str],
    listed: Collection[str],
) -> Members:
    """The rule. chassis: those in SB; rowed: those with a gateway chassis; rescued, listed: names in the ConfigMap."""
    by_name = {node.name: node for node in nodes}
    ranking = [name for name in gateway.ranking if name in by_name]
    dead = frozenset(name for name in ranking if not by_name[name].ready and name not in evidence)
    living = [name for name in ranking if name not in dead]
    unproven = {name for name in living if name in rescued and not (name in evidence and evidence[name].proven)}
    held = set() if unproven >= set(living) else unproven  # better one that is not proven than none
    able = [name for name in living if name not in held]
    serving = [name for name in able if name not in gateway.drained] or able  # better a drained one than one not proven
    alone = serving[0] if len(serving) == 1 else None

    # Who may be gone soon is no peer to count on.
    leaving = {node.name for node in nodes if node.chassis in rowed and node.name in listed} - set(gateway.nodes)
    drained = set(gateway.drained) - set(serving)
    peers = [node.name for node in nodes if node.ready and node.chassis in chassis]
    cut_off = alone is not None and not set(peers) - drained - {alone}
    soon = alone is not None and not set(peers) - drained - leaving - {alone}

    clear = gateway.rescue or (cut_off and bool(drained)) or (soon and bool(leaving))
    out: dict[str, str] = {}
    for name in ranking if living else ():
        if name in dead and (clear or name in rescued):
            out[name] = "it is dead"
        elif name in held:
            out[name] = "it was dead and is not proven yet"
        elif name in drained and cut_off:
            out[name] = f"it is drained, and {alone} has no other live chassis to have a tunnel with"
    noted = tuple(name for name in gateway.nodes if name in out and (name in dead or name in held))
    return Members(tuple(name for name in ranking if name not in out), dead, out, noted, alone, cut_off)
