# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody changed of the gateway's rows in NB that Kube-OVN takes for its own, and never looks at again. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed, broken_parts, missing_rows
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ExternalGateway,
    GatewayChassis,
    RouterPort,
    SwitchPort,
)


def misnamed_rows(gateway: ExternalGateway, seen: Observed) -> list[GatewayChassis]:
    """Rows that have the name of a gateway without one, and are another chassis'.

    NB holds each name once, and Kube-OVN looks for names: as long as such a row is there nobody makes the right one
    (newGatewayChassis in pkg/ovs/ovn-nb-gateway_chassis.go).
    """
    port = seen.ovn.router_port
    if port is None:
        return []
    nodes = (seen.node(name) for name in missing_rows(gateway, seen))
    names = {f"{port.name}-{node.chassis}" for node in nodes if node}
    return [row for row in seen.rows if row.name in names]


@dataclass(frozen=True)
class SpoiltPorts:
    """Ports that are there and out of service, or without the address that Kube-OVN gives them."""

    router_port: RouterPort | None  # when it is disabled
    switch_ports: tuple[tuple[SwitchPort, str], ...]  # with the address that each should have

    @property
    def names(self) -> list[str]:
        """What they are, by OVN's names."""
        found = [f"router port {self.router_port.name}"] if self.router_port else []
        return found + [f"switch port {port.name}" for port, _address in self.switch_ports]


def spoilt_ports(seen: Observed) -> SpoiltPorts:
    """Of the ports that stay those that are not as Kube-OVN makes them."""
    names = seen.ovn.names
    right = {names.localnet_port: "unknown", names.switch_router_port: "router"}
    drop_port, broken = broken_parts(seen)
    port = None if drop_port else seen.ovn.router_port
    own = [one for one in seen.ovn.switch_ports if one.name in right and one not in broken]
    wrong = [one for one in own if not one.enabled or one.addresses != (right[one.name],)]
    return SpoiltPorts(port if port and not port.enabled else None, tuple((one, right[one.name]) for one in wrong))
