# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which holders are gone for good, and of which that cannot be told. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder


def gone_of(holders: Sequence[Holder], site: Site) -> tuple[list[Holder], tuple[str, str] | None]:
    """The holders that are gone; or, for all of them, why that cannot be told and what to do then."""
    gone = [holder for holder in holders if not site.exists(holder)]
    if any(holder.kind == "VirtualMachine" for holder in gone) and site.observed.vms is None:
        text = "its holder is a VirtualMachine, and the cluster has no KubeVirt"
        return [], (text, "release it by vm and address, if KubeVirt is gone for good")
    ordinal = [holder for holder in gone if holder.kind == "Pod" and holder.name.rpartition("-")[2].isdigit()]
    if ordinal:
        text = f"{ordinal[0]} is not there, and may be of a StatefulSet that brings it back"
        return [], (text, "release it by pod and address, if it is gone for good")
    return gone, None


def holder_named(text: str | None) -> Holder | None:
    """A holder from what a rule notes of it; None for what is no holder's name."""
    kind, _blank, name = (text or "").partition(" ")
    namespace, slash, plain = name.partition("/")
    return Holder(kind, namespace, plain) if slash and plain else None
