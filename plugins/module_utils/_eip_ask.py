# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module options for EIPs as records: what can be read, and what is wrong with the rest. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import parse_address
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import OPTIONS
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Port
from ansible_collections.kubeovn.core.plugins.module_utils._model import AUTO, FIP, Eip, Holder, Problem
from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool, parse_pool


def wishes_of(params: Mapping[str, Any]) -> tuple[Wishes, list[Problem]]:
    """The task's options besides its EIPs, and which of them do not go together."""
    state = params["state"]
    found = [
        Problem(name, f"has no meaning with state {state}", "use it with state: present")
        for name in ("reassign", "adopt", "rotate")
        if params[name] and state != "present"
    ]
    if params["rotation"] and not params["rotate"]:
        found.append(Problem("rotation", "names a rotation, but rotate is false", "add rotate: true"))
    if params["eips"] is None and not (params["adopt"] or state == "pruned"):
        found.append(Problem("eips", "missing", "name the EIPs; only adopt: true and state: pruned go without"))
    if state == "pruned" and params["ovn_connection"] == "none":
        found.append(Problem("ovn_connection", "none, so that no leftover can be seen", "give access to OVN to prune"))
    if params["eips"] and state == "pruned":
        found.append(
            Problem("eips", "has no meaning with state pruned, which is for the whole cluster", "leave it out")
        )
    busy: list[Problem] = []
    for index, text in enumerate(params["busy"]):
        parse_address(f"busy[{index}]", text, busy)
    wishes = Wishes(
        state=state,
        reassign=params["reassign"],
        adopt=params["adopt"],
        rotate=params["rotate"],
        rotation=params["rotation"] or None,
        busy=frozenset(params["busy"]),
    )
    return wishes, found + busy


def requests(items: Sequence[Mapping[str, Any]], wishes: Wishes, kind: str = FIP) -> tuple[list[Eip], list[Problem]]:
    """Option `eips` as records, without the items that cannot be read; and what is wrong with these."""
    desired: list[Eip] = []
    found: list[Problem] = []
    pools: dict[tuple[str, ...], Pool] = {}
    for index, item in enumerate(items):
        path = f"eips[{index}]"
        holder = _holder(path, item, found)
        pool, bad = _pool(path, item, pools)
        found += bad
        address = item.get("address") or None
        needs = _needs(path, item, wishes)
        found += needs
        if holder is not None and not needs and not bad:
            # A pool says where to draw from, and a release draws nothing.
            drawn = pool if wishes.state == "present" else None
            ports, backend = _ports(item), item.get("backend") or AUTO
            desired.append(Eip(holder, address, path, item.get("kind") or kind, drawn, ports=ports, backend=backend))
    return desired, found


def _holder(path: str, item: Mapping[str, Any], found: list[Problem]) -> Holder | None:
    given = [(kind, option) for kind, option in OPTIONS.items() if item.get(option)]
    if len(given) != 1:
        names = " and ".join(option for _kind, option in given)
        text = f"{names} are given" if given else "neither vm nor pod nor deployment is given"
        found.append(Problem(path, text, "name the one holder: vm: NAME, pod: NAME or deployment: NAME"))
        return None
    kind, option = given[0]
    return Holder(kind, str(item.get("namespace") or "default"), str(item[option]))


def _ports(item: Mapping[str, Any]) -> tuple[Port, ...]:
    return tuple(Port(one["external"], one["internal"], one["protocol"]) for one in item.get("ports") or ())


def _needs(path: str, item: Mapping[str, Any], wishes: Wishes) -> list[Problem]:
    """Which address it is about."""
    address, pool = item.get("address"), item.get("pool")
    if wishes.state != "present":
        return []
    if address and pool:
        return [Problem(f"{path}.pool", "given beside address", "give one of them")]
    if not address and not pool:
        return [Problem(f"{path}.address", "missing", "like 10.4.19.101, or pool: 10.4.19.110-10.4.19.150")]
    if wishes.rotate and not pool:
        return [Problem(f"{path}.pool", "missing, rotate draws from it", "or name the new address without rotate")]
    return []


def _pool(path: str, item: Mapping[str, Any], known: dict[tuple[str, ...], Pool]) -> tuple[Pool | None, list[Problem]]:
    """The pool of an item. Many items have the same one, which is then parsed once."""
    parts = tuple(item.get("pool") or ())
    if not parts:
        return None, []
    if parts not in known:
        pool, problems = parse_pool(f"{path}.pool", list(parts))
        if pool is None:
            return None, problems
        known[parts] = pool
    return known[parts], []
