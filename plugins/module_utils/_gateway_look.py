# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking at a gateway's site: when the first look is worth a plan, and when a mapping is worth a bridge.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

CONTROLLER_PATIENCE = 10.0  # seconds; the controller looks every second
DAEMON_TURN = 4.0  # seconds in which a node daemon, which looks every 3, has seen its node's label and acted


def first_look(observe: Callable[[], Observed], clock: Clock) -> Observed:
    """One look; where the controller has yet to take a gateway away, one after it has.

    Until then the labels of a gateway whose ConfigMap was deleted just now look as if others had set them, and the
    controller drops these and those. Where it never does there is nothing to wait for, so no more than a while.
    """
    try:
        return until(observe, lambda seen: not (seen.disabled and seen.enabled), CONTROLLER_PATIENCE, clock)
    except Deadline as deadline:
        last: Observed = deadline.last
        return last


class Look:
    """Looks that tell a bridge from the mapping of one that was there once.

    A node daemon that deletes its bridge leaves the mapping (setExGateway in pkg/daemon/gateway_linux.go). So where
    there was a mapping and no label at first, it counts when the label has been there for the daemon to act. In user
    space a daemon deletes no bridge.
    """

    def __init__(self, observe: Callable[[], Observed], clock: Clock, first: Observed) -> None:
        self._observe = observe
        self._clock = clock
        idle = [node for node in first.nodes if node.gateway_label != "true" and not node.userspace]
        self._doubtful = [node.name for node in idle if first.mapped(node.name)]
        self._labelled: dict[str, float] = {}  # since when

    def __call__(self) -> Observed:
        seen, now = self._observe(), self._clock.monotonic()
        stale = set()
        for name in self._doubtful:
            node = seen.node(name)
            if node is None or node.gateway_label != "true":
                self._labelled.pop(name, None)
                stale.add(name)
            elif now < self._labelled.setdefault(name, now) + DAEMON_TURN:
                stale.add(name)
        return replace(seen, stale_mappings=frozenset(stale)) if stale else seen
