# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting: it looks at once, pauses ever longer, looks once more at the deadline, and says what it saw last."""

from __future__ import annotations

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Deadline, SystemClock, until


class HandClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_what_is_true_already_costs_no_time() -> None:
    clock = HandClock()
    assert until(lambda: 7, lambda seen: seen == 7, 0, clock) == 7
    assert clock.pauses == []


def test_it_returns_what_was_seen_when_it_became_true() -> None:
    clock = HandClock()
    assert until(lambda: clock.now, lambda now: now >= 103, 10, clock) >= 103
    assert clock.now < 104.1


def test_pauses_grow_up_to_a_second() -> None:
    clock = HandClock()
    with pytest.raises(Deadline):
        until(lambda: None, lambda _seen: False, 20, clock)
    assert clock.pauses[0] == pytest.approx(0.1)
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert max(clock.pauses) == 1.0


def test_at_the_deadline_it_looks_once_more_and_keeps_what_it_saw() -> None:
    clock = HandClock()
    seen: list[float] = []

    def probe() -> float:
        seen.append(clock.now)
        return clock.now

    with pytest.raises(Deadline, match="5 s") as caught:
        until(probe, lambda _seen: False, 5, clock)
    assert seen[-1] == pytest.approx(105.0)
    assert caught.value.last == seen[-1]


def test_without_time_it_still_looks_once() -> None:
    with pytest.raises(Deadline) as caught:
        until(lambda: "seen", lambda _seen: False, 0, HandClock())
    assert caught.value.last == "seen"


def test_the_systems_clock_runs() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01


def drained(clock: HandClock, look: float, pace: float, last: int = 0, hold: float = 0) -> list[float]:
    """When it looks at a thousand things that somebody else does, so many a second; a look takes its time.

    last: of the thousand so many come last, and each takes so long: hold.
    """
    looks: list[float] = []
    held = (1000 - last) / pace

    def probe() -> int:
        looks.append(clock.now - 100)
        late = looks[-1] - held
        left = max(0, last - int(late / hold)) if last and late > 0 else max(last, round(1000 - looks[-1] * pace))
        clock.now += look
        return left

    until(probe, lambda left: left == 0, 60, clock, left=lambda left: left)
    return looks


@pytest.mark.parametrize("look", [0.05, 0.4, 1.2, 3.0])
@pytest.mark.parametrize("pace", [2.5, 5.0, 6.5, 40.0])
def test_long_work_is_looked_at_seldom_and_soon_after_its_end(look: float, pace: float) -> None:
    """Whoever does the work needs the processor for it: all looks take a small share of the time, and the last one
    comes when the work has just been done, as far as its pace tells."""
    clock = HandClock()
    looks = drained(clock, look, pace)
    end = 1000 / pace
    assert looks[-1] < end + 2 * look + 1.1
    assert len(looks) * look < 0.08 * end + 4 * look
    if look > 1:
        assert len(looks) < 10 + end / 30


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("hold", [3, 6])
def test_the_last_ones_are_not_waited_for_like_many(last: int, hold: float) -> None:
    """Between two looks nothing may become done, though the end is near."""
    clock = HandClock()
    looks = drained(clock, 2.5, 2.3, last, hold)
    assert looks[-1] < (1000 - last) / 2.3 + last * hold + 10
    assert len(looks) < 25


def test_what_stands_still_is_looked_at_ever_more_seldom() -> None:
    """An hour of the controller's absence costs a tenth of a processor, at most."""
    clock, looks = HandClock(), []

    def probe() -> int:
        looks.append(clock.now)
        clock.now += 2.5
        return 1 if len(looks) > 2 else 5

    with pytest.raises(Deadline):
        until(probe, lambda left: left == 0, 600, clock, left=lambda left: left)
    assert len(looks) < 600 / 27.5 + 8


def test_a_long_run_tells_how_far_it_is() -> None:
    clock = HandClock()
    drained(clock, 0.8, 1.0)
    assert max(clock.pauses) == 30.0


def test_what_is_looked_at_in_no_time_is_looked_at_often() -> None:
    clock = HandClock()
    drained(clock, 0.02, 2.0)
    assert max(clock.pauses) < 1.01
