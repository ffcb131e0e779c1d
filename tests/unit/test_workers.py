# SPDX-License-Identifier: GPL-3.0-or-later
"""Which worker takes which file of tests."""

from __future__ import annotations

from support.workers import choose

BOND, PLAIN = "tests/molecule/test_scenarios.py", "tests/integration/test_eip.py"


def test_the_first_worker_begins_with_what_only_its_lab_can_do() -> None:
    assert choose([PLAIN, BOND], first=True) == BOND
    assert choose([PLAIN], first=True) == PLAIN


def test_the_others_leave_that_to_it() -> None:
    assert choose([BOND, PLAIN], first=False) == PLAIN
    assert choose([BOND], first=False) is None
    assert choose([], first=False) is None
