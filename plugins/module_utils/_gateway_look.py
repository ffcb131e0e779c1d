# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking at a gateway's site: when the first look is worth a plan.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, Deadline, until

CONTROLLER_PATIENCE = 10.0  # seconds; the controller looks every second


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
