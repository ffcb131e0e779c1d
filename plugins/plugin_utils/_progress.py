# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module says while it works, shown while it works: Ansible itself hears of a module only when that has ended.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.kubeovn.core.plugins.module_utils._tell import PROGRESS_VARIABLE

PERIOD = 0.5  # seconds between two looks at what the module has said


@contextmanager
def progress(show: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, each line that a module on this machine tells is shown."""
    handle, name = tempfile.mkstemp(prefix="kubeovn-core-progress-")
    os.close(handle)
    path, ended = Path(name), threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as lines:
            while True:
                last = ended.wait(PERIOD)
                for line in lines:
                    show(line.rstrip("\n"))
                if last:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    old = os.environ.get(PROGRESS_VARIABLE)
    os.environ[PROGRESS_VARIABLE] = name
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink()
        if old is None:
            del os.environ[PROGRESS_VARIABLE]
        else:
            os.environ[PROGRESS_VARIABLE] = old
