# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: in which VPC a holder will be that has no address yet. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Homes:
    """What decides on a new pod's VPC: the Subnet that it names, else what its namespace is bound to.

    So it is in getPodDefaultSubnet and handleAddNamespace of v1.14, but for Subnets that choose namespaces by labels.
    """

    switches: Mapping[str, str]  # Subnet -> its VPC
    bound: Mapping[str, frozenset[str]]  # namespace -> the VPCs of the Subnets that list it, and those that do so
    elsewhere: frozenset[tuple[str, str]] = frozenset()  # whose addresses are in other VPCs: (namespace, name)

    def vpc_of(self, namespace: str, switch: str | None) -> str | None:
        """The VPC of a new pod; None: it cannot be told."""
        if switch:
            return self.switches.get(switch)
        vpcs = self.bound.get(namespace, {DEFAULT_VPC})
        return next(iter(vpcs)) if len(vpcs) == 1 else None


def homes_of(subnets: Iterable[Object], vpcs: Iterable[Object], ips: Iterable[Object] = ()) -> Homes:
    """From the objects, as they are listed."""
    switches: dict[str, str] = {}
    bound: dict[str, set[str]] = defaultdict(set)
    for one in subnets:
        spec = one.get("spec") or {}
        switches[one["metadata"]["name"]] = vpc = spec.get("vpc") or DEFAULT_VPC
        for namespace in spec.get("namespaces") or []:
            bound[namespace].add(vpc)
    for one in vpcs:
        for namespace in (one.get("spec") or {}).get("namespaces") or []:
            bound[namespace].add(one["metadata"]["name"])
    specs = [one.get("spec") or {} for one in ips]
    away = [one for one in specs if switches.get(one.get("subnet") or "", DEFAULT_VPC) != DEFAULT_VPC]
    elsewhere = frozenset((one.get("namespace") or "", one.get("podName") or "") for one in away)
    return Homes(switches, {name: frozenset(group) for name, group in bound.items()}, elsewhere)
