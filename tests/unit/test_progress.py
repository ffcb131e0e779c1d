# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module tells while it works arrives while it works."""

from __future__ import annotations

import os
import threading

from ansible_collections.kubeovn.core.plugins.module_utils._eip_task import Teller
from ansible_collections.kubeovn.core.plugins.module_utils._tell import PROGRESS_VARIABLE, tell
from ansible_collections.kubeovn.core.plugins.plugin_utils._progress import progress


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_each_line_is_shown_while_the_module_still_works() -> None:
    shown: list[str] = []
    arrived = threading.Event()

    def show(line: str) -> None:
        shown.append(line)
        arrived.set()

    with progress(show):
        tell("10 of 1000 EIPs are as asked")
        assert arrived.wait(10), "not only in the end"
        tell("20 of 1000 EIPs are as asked")
    assert shown == ["10 of 1000 EIPs are as asked", "20 of 1000 EIPs are as asked"]


def test_nothing_of_it_is_left() -> None:
    with progress(lambda _line: None):
        path = os.environ[PROGRESS_VARIABLE]
    assert not os.path.exists(path)
    assert PROGRESS_VARIABLE not in os.environ
    tell("nobody listens")


def test_a_short_run_says_nothing_and_a_long_one_speaks_every_few_seconds() -> None:
    shown: list[str] = []
    clock = Clock()
    with progress(shown.append):
        teller = Teller(1000, clock)
        for second in range(12):
            teller(1000 - 10 * second)
            clock.sleep(1)
    assert shown == ["50 of 1000 EIPs are as asked", "100 of 1000 EIPs are as asked"]
