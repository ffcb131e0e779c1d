# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: addresses that are named by objects which nothing here writes to, but from which pods get them. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Mention
from ansible_collections.kubeovn.core.plugins.module_utils._model import ANNOTATIONS, Holder
from ansible_collections.kubeovn.core.plugins.module_utils._objects import notes_of

Object = Mapping[str, Any]
ENDED = ("Succeeded", "Failed")


def lone(instances: Iterable[Object], machines: Iterable[Object]) -> list[Object]:
    """The VirtualMachineInstances that no VirtualMachine has made: a machine's are seen with the machine."""
    known = {_key(one) for one in machines}
    return [one for one in instances if _key(one) not in known and (one.get("status") or {}).get("phase") not in ENDED]


def outside_mentions(stateful_sets: Iterable[Object], instances: Iterable[Object]) -> Iterable[tuple[str, Mention]]:
    """Which address is whose by the templates of StatefulSets, and by instances without a machine."""
    for one in stateful_sets:
        name, spec = "/".join(_key(one)), one.get("spec") or {}
        # Its first pod, there or not, is the holder: it may be asked for by its own name.
        first = (spec.get("ordinals") or {}).get("start") or 0
        holder = Holder("Pod", one["metadata"]["namespace"], f"{one['metadata']['name']}-{first}")
        yield from _mentions(spec.get("template"), holder, f"annotation in the template of StatefulSet {name}")
    for one in instances:
        yield from _mentions(one, Holder("VirtualMachineInstance", *_key(one)), "its annotation")


def _mentions(annotated: Object | None, holder: Holder, where: str) -> Iterable[tuple[str, Mention]]:
    for kind, key in ANNOTATIONS.items():
        if address := notes_of(annotated).get(key):
            yield address, Mention(holder, kind, where, outside=True)


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
