# SPDX-License-Identifier: GPL-3.0-or-later
"""Which worker (pytest-xdist) runs which file of tests: each has a lab of its own, and only the first one's has bonds.

A machine with a kernel of its own costs as much as the rest of a lab, even when nobody uses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

FIRST = "gw0"
NEED_KERNEL = ("tests/molecule/", "tests/integration/test_gateway_nic")  # how the names of such files begin


def worker() -> str | None:
    """The name of this process among the workers; nothing where pytest runs without them."""
    return os.environ.get("PYTEST_XDIST_WORKER")


def lab_name(name: str) -> str:
    """The name of this worker's lab."""
    return name + (worker() or "").removeprefix("gw")


def lab_boot(boot: str) -> str:
    """How the machines of this worker's lab boot."""
    return boot if worker() in (None, FIRST) else "nspawn"


def choose(files: Iterable[str], first: bool) -> str | None:
    """The file that a worker takes next: the first one takes those that nobody else can, then all go in their order."""
    waiting = list(files)
    special = [name for name in waiting if name.startswith(NEED_KERNEL)]
    if first and special:
        return special[0]
    return next((name for name in waiting if name not in special), None)


class Scheduling(LoadFileScheduling):
    """File by file, in the order in which they were collected."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        name = choose(self.workqueue, node.gateway.id == FIRST)
        if name is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(name, last=False)
        super()._assign_work_unit(node)
