# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Claims: which holder has an address, as Leases that the API server keeps apart. Pure.

One Lease per address, named after it: of two runs that create it at once exactly one succeeds, for a stopped machine
too, of which nothing else tells that its address is in use. A changed Lease bears the resourceVersion that it was read
with, so that of two runs that change it exactly one succeeds.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import DNAT, FIP, NAT_TYPES, Claim, Claimant, Holder

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "kubeovn.core"
SELECTOR = f"{MANAGED_BY}={MANAGER}"
PREFIX = "eip-"
ADDRESS, KIND = "kubeovn.core/address", "kubeovn.core/kind"
HOLDERS, FORMER = "kubeovn.core/holders", "kubeovn.core/former-holders"
PREVIOUS, ROTATION = "kubeovn.core/previous", "kubeovn.core/rotation"
SEVERAL = "several holders"
LIMIT = 256 * 1024  # bytes that all annotations of an object may have (TotalAnnotationSizeLimitB of Kubernetes)


def lease_name(address: str) -> str:
    """The name of an address's Lease."""
    return PREFIX + address


def to_lease(claim: Claim) -> dict[str, Any]:
    """The body that creates a claim's Lease, or changes it; null takes away what the claim no longer says."""
    notes = {
        ADDRESS: claim.address,
        KIND: claim.kind,
        HOLDERS: _written(claim.claimants),
        FORMER: _written(claim.former) if claim.former else None,
        PREVIOUS: claim.previous,
        ROTATION: claim.rotation,
    }
    metadata: dict[str, Any] = {
        "name": lease_name(claim.address),
        "labels": {MANAGED_BY: MANAGER},
        "annotations": notes,
    }
    if claim.version:
        metadata["resourceVersion"] = claim.version
    else:
        metadata["annotations"] = {key: value for key, value in notes.items() if value is not None}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {"holderIdentity": identity(claim)},
    }


def is_too_large(claim: Claim) -> bool:
    """Whether the API server would refuse a claim for the names of its holders: about 1,900 share one SNAT address."""
    notes = to_lease(claim)["metadata"]["annotations"]
    return sum(len(key) + len((text or "").encode()) for key, text in notes.items()) > LIMIT


def _written(claimants: Iterable[Claimant]) -> str:
    holders = [
        {"kind": one.holder.kind, "namespace": one.holder.namespace, "name": one.holder.name, "uid": one.uid}
        for one in claimants
    ]
    return json.dumps(holders, sort_keys=True)


def _read(text: str) -> tuple[Claimant, ...]:
    return tuple(
        Claimant(Holder(one["kind"], one["namespace"], one["name"]), one.get("uid", "")) for one in json.loads(text)
    )


def identity(claim: Claim) -> str:
    """Who has it, for `kubectl get lease`."""
    return str(claim.claimants[0].holder) if len(claim.claimants) == 1 else SEVERAL


def claims_of(leases: Iterable[Mapping[str, Any]]) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that Leases are, and the names of Leases that cannot be read: someone has written in them."""
    claims, unreadable = [], []
    for lease in leases:
        name = lease["metadata"]["name"]
        if not name.startswith(PREFIX):
            continue
        ours = (lease["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
        claim = _claim(lease) if ours else None
        if claim is None:
            unreadable.append(name)
        else:
            claims.append(claim)
    return tuple(claims), tuple(unreadable)


def _claim(lease: Mapping[str, Any]) -> Claim | None:
    metadata = lease["metadata"]
    notes = metadata.get("annotations") or {}
    address, kind = metadata["name"].removeprefix(PREFIX), notes.get(KIND, FIP)
    try:
        claimants, former = _read(notes.get(HOLDERS, "")), _read(notes.get(FORMER, "[]"))
        IPv4Address(address)
    except (ValueError, TypeError, KeyError, AttributeError, AddressValueError):
        return None
    if not claimants or kind not in (*NAT_TYPES, DNAT):
        return None
    version = metadata.get("resourceVersion") or None
    return Claim(
        address,
        kind,
        claimants,
        notes.get(PREVIOUS),
        notes.get(ROTATION),
        former,
        version,
        metadata.get("creationTimestamp") or "",
    )
