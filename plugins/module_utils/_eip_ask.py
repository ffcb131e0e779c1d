# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module options for EIPs as records: what can be read, and what is wrong with the rest. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import parse_address
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_check import OPTIONS
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Port
from ansible_collections.kubeovn.core.plugins.module_utils._model import AUTO, DNAT, FIP, Eip, Holder, Problem
from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool, parse_pool

_NAMESPACE = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, as Kubernetes has it
_NAME = re.compile("[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
PORTS = range(1, 65536)


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
    found += _general(params)
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


def _general(params: Mapping[str, Any]) -> Iterable[Problem]:
    """What is wrong with options that concern no single EIP."""
    for name in ("claims_namespace", "configmap_namespace"):
        yield from _misnamed(name, params[name], _NAMESPACE)
    if params["batch"] < 0:
        yield Problem("batch", f"{params['batch']} is less than 0", "0 deals with all EIPs at once")
    if params["wait_timeout"] < 1:
        hint = "wait: false does not wait at all"
        yield Problem("wait_timeout", f"{params['wait_timeout']} is less than a second", hint)
    if params["batch"] > 0 and params["all_or_nothing"]:
        text = "given beside all_or_nothing: when a later batch fails, the ones before it are done"
        yield Problem("batch", text, "give one of them")


def _misnamed(path: str, name: str, form: re.Pattern[str] = _NAME) -> Iterable[Problem]:
    """A name that nothing in Kubernetes can have: looked for, it would be taken for one that is gone."""
    if form.fullmatch(name):
        return
    meant = name.strip().lower()
    hint = f"is {meant} meant?" if form.fullmatch(meant) else "small letters, digits and - make a name, as in web-1"
    yield Problem(path, f"{name!r} is no name that Kubernetes knows", hint)


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
        needs = [*_needs(path, item, wishes), *_bad_ports(path, item, item.get("kind") or kind, wishes)]
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
    holder = Holder(kind, str(item.get("namespace") or "default"), str(item[option]))
    wrong = [*_misnamed(f"{path}.{option}", holder.name)]
    wrong += _misnamed(f"{path}.namespace", holder.namespace, _NAMESPACE)
    found += wrong
    return None if wrong else holder


def _ports(item: Mapping[str, Any]) -> tuple[Port, ...]:
    return tuple(Port(one["external"], one["internal"], one["protocol"]) for one in item.get("ports") or ())


def _bad_ports(path: str, item: Mapping[str, Any], kind: str, wishes: Wishes) -> Iterable[Problem]:
    """Ports that are none, or with a kind for which they would be ignored: the whole address would lead there."""
    ports = _ports(item)
    if ports and kind != DNAT and wishes.state == "present":
        hint = "kind: dnat leads single ports"
        yield Problem(f"{path}.ports", f"ports are given, but kind is {kind}, for which each port leads there", hint)
    for number in dict.fromkeys(number for port in ports for number in (port.external, port.internal)):
        if number not in PORTS:
            yield Problem(f"{path}.ports", f"{number} is no port", "ports go from 1 to 65535")


def _needs(path: str, item: Mapping[str, Any], wishes: Wishes) -> list[Problem]:
    """Which address it is about."""
    address, pool = item.get("address"), item.get("pool")
    if wishes.state != "present":
        if address == "":  # a variable that is empty, and would release all that the holder has
            return [Problem(f"{path}.address", "empty", "leave it out (omit) to release whatever the holder has")]
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
