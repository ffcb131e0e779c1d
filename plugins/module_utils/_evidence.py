# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gateway nodes showed of themselves, as evidence for the gateway's module, and what of it is enough. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def evidence_for(results: Mapping[str, Mapping[str, Any]], staging: bool = False) -> dict[str, dict[str, Any]]:
    """Results of ovn_gateway_node_info by node, without the links of its pods; who could not be asked has none.

    Who stages puts a new NIC into the bridge beside the old one before anything is written, and stops where that fails:
    then the evidence is that it is connected.
    """
    found = {}
    for node, result in results.items():
        if "gateway" not in result:
            continue
        nic = dict(result["nic"])
        if staging and result["gateway"]["other_nics"] and nic["exists"] and nic["carrier"]:
            nic["in_service"] = True
        found[node] = {"links": {}, "nic": nic, "gateway": dict(result["gateway"])}
    return found


def refusals_in(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why nodes cannot be gateways, each with its node in front."""
    return [
        f"{node}: {text.removeprefix('nic: ')}"
        for node, result in results.items()
        for text in result.get("refusals") or ()
    ]


def unfit(node: str, result: Mapping[str, Any], ready: bool) -> list[str]:
    """Why a gateway must not get traffic again: what its node shows, and what Kubernetes says of it. Empty: it may."""
    if "gateway" not in result:
        return [f"{node} cannot be asked: {result.get('msg') or 'no answer'}"]
    faults = [] if ready else [f"Kubernetes does not call {node} Ready"]
    faults += [f"{node}: {text}" for text in result["gateway"]["missing"]]
    nic = result["nic"]
    if not nic["carrier"]:
        faults.append(f"{node}: {nic['name']} has no carrier")
    tunnels = result["gateway"]
    if tunnels["tunnels_down"] and not tunnels["tunnels_up"]:
        faults.append(f"{node}: no tunnel is up (down: {', '.join(tunnels['tunnels_down'])})")
    return faults


def drained_in(nodes: Sequence[str], rows: Sequence[str]) -> list[str]:
    """Which gateways are drained now, from the order asked for and the order of the rows in OVN.

    Those in service stand first, those drained after them, each part in the order asked for: so the drained ones begin
    where the order falls. A gateway without a row is none: it was taken out, or is yet to come. The last of the order
    stands where it would stand drained, too.
    """
    ranks = [nodes.index(name) for name in rows if name in nodes]
    for place in range(1, len(ranks)):
        if ranks[place] < ranks[place - 1]:
            return [nodes[rank] for rank in ranks[place:]]
    return []


def ready_nodes(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the Node objects that are Ready."""
    return [
        node["metadata"]["name"] for node in objects if any(map(_says_ready, node["status"].get("conditions") or ()))
    ]


def _says_ready(condition: Mapping[str, Any]) -> bool:
    return (condition["type"], condition["status"]) == ("Ready", "True")
