# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gateway nodes showed of themselves, as far as it tells whether packets pass: NIC, MTU, tunnels. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem

OVERLAY_LINK = "ovn0"  # the node's own port on the overlay: Kube-OVN's daemon gives it the MTU that it gives to pods


@dataclass(frozen=True)
class NodeSide:
    """One node. None: it did not show that."""

    nic: str | None = None  # name of its external NIC
    link_up: bool | None = None  # whether that is there, up, and has a carrier
    mtu: int | None = None  # its MTU
    tunnels: Mapping[str, str] = field(default_factory=dict)  # address of the other end -> state of its BFD session
    overlay_mtu: int | None = None


def evidence_problems(results: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with option `node_evidence`: what has the names of a result's parts, and is none of them."""
    hint = "a result of ovn_gateway_node_info, as it was registered on the node"
    return [
        Problem(f"node_evidence.{name}.{part}", "is not what ovn_gateway_node_info returns there", hint)
        for name, result in results.items()
        if isinstance(result, Mapping)
        for part, fits in PARTS.items()
        if result.get(part) is not None and not fits(result[part])
    ]


def _is_link(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("mtu") or 0, int)


def _are_links(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_link, value.values()))


def _is_ovs(value: Any) -> bool:
    tunnels = value.get("tunnels") or [] if isinstance(value, Mapping) else None
    return isinstance(tunnels, list) and all(isinstance(one, Mapping) for one in tunnels)


def _is_gateway(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(f"tunnels_{state}") or [], list) for state in ("up", "down")
    )


PARTS: Mapping[str, Callable[[Any], bool]] = {
    "links": _are_links,
    "nic": _is_link,
    "ovs": _is_ovs,
    "gateway": _is_gateway,
}


def sides(results: Mapping[str, Any], nic: str | None) -> dict[str, NodeSide]:
    """By node, from results of ovn_gateway_node_info, whole or in part. `nic`: the name that the ConfigMap has.

    What is no result of that module (of a node that was not reached) shows nothing.
    """
    return {
        name: _side(result, nic)
        for name, result in results.items()
        if isinstance(result, Mapping) and ("links" in result or "nic" in result)
    }


def _side(result: Mapping[str, Any], name: str | None) -> NodeSide:
    links: Mapping[str, Any] = result.get("links") or {}
    nic: Mapping[str, Any] = result.get("nic") or {}
    if not nic and name and links:
        nic = {"name": name, "exists": name in links, **links.get(name, {})}
    state = bool(nic.get("exists", True) and nic.get("up") and nic.get("carrier")) if nic else None
    overlay = (links.get(OVERLAY_LINK) or {}).get("mtu")
    return NodeSide(nic.get("name") or name, state, nic.get("mtu") or None, _tunnels(result), overlay)


def _tunnels(result: Mapping[str, Any]) -> dict[str, str]:
    """Those with a BFD session. A role that keeps evidence small keeps the lists of those up and down only."""
    known = (result.get("ovs") or {}).get("tunnels")
    if known is not None:
        return {one["remote"]: one["bfd"] for one in known if one.get("remote") and one.get("bfd")}
    lists: Mapping[str, Any] = result.get("gateway") or {}
    return {end: state for state in ("down", "up") for end in lists.get(f"tunnels_{state}") or ()}
