# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether kube-ovn-controller runs, by the Lease that its leader renews: known before anything is written.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import LEASES, Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

CONTROLLER = "kube-ovn-controller"  # also the name of its Lease
CONTROLLER_NAMESPACE = "kube-system"


@dataclass(frozen=True)
class Leadership:
    """Who leads kube-ovn-controller, as its Lease says."""

    holder: str  # empty: the last leader stepped down when it was stopped
    renewed: str
    age: float  # seconds since then, by this machine's clock
    duration: float  # after so many seconds without renewal another one may lead


def leadership(cluster: Cluster) -> Leadership | None:
    """Who leads kube-ovn-controller; None when that cannot be seen."""
    try:
        lease = cluster.get(LEASES, CONTROLLER_NAMESPACE, CONTROLLER)
    except ClusterError as error:
        if error.status == 403:  # nice to know, no more
            return None
        raise
    spec = (lease or {}).get("spec") or {}
    renewed = spec.get("renewTime")
    if not renewed:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(renewed)
    holder, duration = spec.get("holderIdentity") or "", float(spec.get("leaseDurationSeconds") or 30)
    return Leadership(holder, renewed, age.total_seconds(), duration)


def is_idle(first: Leadership | None, ask: Callable[[], Leadership | None], clock: Clock) -> bool:
    """Whether nobody renews the Lease that was first seen so."""
    if first is None or (first.holder and first.age <= first.duration):
        return False
    # This machine's clock may be wrong: believe only a Lease that is not renewed before our eyes.
    patience = first.duration / 2 if first.holder else 0.0
    try:
        until(ask, lambda now: now is None or now.renewed != first.renewed, patience, clock)
    except Deadline:
        return True
    return False


def idle_problem(lease: Leadership) -> Problem:
    """What to tell of a Lease that nobody renews."""
    last = f"its Lease was last renewed at {lease.renewed}" + (f" by {lease.holder}" if lease.holder else "")
    hint = f"start it: kubectl -n kube-system get pods -l app={CONTROLLER}"
    return Problem(CONTROLLER, f"is not running: {last}", hint)
