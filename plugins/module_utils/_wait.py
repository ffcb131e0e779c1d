# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for a condition with a deadline, with the clock passed in.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
# With much to come, a pause is so many times as long as the look before it: whoever does the work needs the processor.
SHARE = 10  # at least
LARGEST_SHARE = 50  # at most, so that what is looked at in no time is looked at often
FAR = 30.0  # the longest pause: so often a long run tells how far it is


class Clock(Protocol):
    """What waiting needs of time; module `time` is one."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def sleep(self, seconds: float, /) -> None:
        """Let that many seconds pass."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)


class Phases:
    """How long each part of a run took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """Do the work; its time counts also when it fails."""
        began = self._clock.monotonic()
        try:
            return work()
        finally:
            self.seconds[name] = round(self._clock.monotonic() - began, 3)


class Deadline(Exception):
    """The condition did not come true in time. `last` is what the probe saw last."""

    def __init__(self, last: Any, waited: float) -> None:
        super().__init__(f"not reached within {waited:g} s")
        self.last = last
        self.waited = waited


def until(
    probe: Callable[[], T],
    done: Callable[[T], bool],
    timeout: float,
    clock: Clock | None = None,
    left: Callable[[T], int] | None = None,
) -> T:
    """Probe until `done` says yes and return what was seen. It probes at least once, and once more at the deadline.

    left: how much is still to come. Whenever that is less than ever before, the timeout begins anew, and from how fast
    it became less follows when the end is worth a look: until half of the way there, none is.
    """
    clock = clock or SystemClock()
    start = clock.monotonic()
    pause, least = FIRST_PAUSE, None
    earlier: tuple[float, int] | None = None
    while True:
        began = clock.monotonic()
        seen = probe()
        if done(seen):
            return seen
        now = clock.monotonic()
        if left and (least is None or left(seen) < least):
            least, start = left(seen), now
        remaining = start + timeout - now
        if remaining <= 0:
            raise Deadline(seen, timeout)
        latest = (began, left(seen)) if left else None
        moving = earlier is None or latest is None or latest[1] < earlier[1]
        soon = _until_end(earlier, latest, now)
        half = soon / 2 if moving and math.isfinite(soon) else 0.0
        rest = _rest(now - began, half, first=earlier is None) if left else 0.0
        clock.sleep(min(max(pause, rest), max(soon, pause), remaining))
        if latest:  # while nothing moves the time counts from when it last did
            earlier = latest if moving or not earlier else (earlier[0], latest[1])
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _until_end(earlier: tuple[float, int] | None, latest: tuple[float, int] | None, now: float) -> float:
    """Seconds until nothing is left, if it goes on as between two looks: (when, how much was left). Else infinite.

    Where nothing became less meanwhile, the next one may be just about to: the last few are not waited for like many.
    """
    if earlier is None or latest is None:
        return math.inf
    pace = (latest[0] - earlier[0]) / max(earlier[1] - latest[1], 1)
    return latest[1] * pace - (now - latest[0])


def _rest(look: float, half: float, first: bool) -> float:
    """Seconds without a look after one that took so long; half: seconds to half of the way to the end, 0 if unknown."""
    if first:  # two looks are needed to know how fast it goes
        return min(SHARE * look, look + LONGEST_PAUSE)
    return max(SHARE * look, min(half, FAR, LARGEST_SHARE * look))
