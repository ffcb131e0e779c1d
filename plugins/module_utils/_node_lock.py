# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One task at a time changes a node's links: a lock on the node, which the kernel lets go when its holder is killed.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

PATH = "/run/kubeovn-gateway-nic.lock"
WAIT = 60.0  # seconds for the other task, which takes as long as its network manager


class LockedError(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def held(path: str = PATH, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock; LockedError when another still has it after so many seconds. Its file goes with it."""
    deadline = time.monotonic() + wait
    handle = _take(path)
    while handle is None:
        if time.monotonic() > deadline:
            raise LockedError(f"another task is changing this node's links ({path} is locked); run this one again")
        time.sleep(0.1)
        handle = _take(path)
    try:
        yield
    finally:
        os.unlink(path)  # while it is ours: who waits for this very file sees that it is gone, and takes the next
        os.close(handle)


def _take(path: str) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError:  # it is another's, or its file is gone already
        pass
    os.close(handle)
    return None
