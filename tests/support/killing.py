# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of ovn_eip that is killed at one of its writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.fleet import Process
from support.gate import Gated
from support.live import eventually

DEADLINE = 120.0


def killed(options: Mapping[str, Any], number: int, done: bool = False) -> tuple[bool, list[str]]:
    """A run with SIGKILL at this write, or (done) after it: whether it had so many, and the writes until then."""
    with Gated(number, done) as way:
        process = Process("ovn_eip", {**options, **way.options})
        try:
            eventually(lambda: way.gate.held.is_set() or process.ended, bool, DEADLINE, "the write, or the run's end")
        finally:
            said = process.kill()
        held = way.gate.held.is_set()
        assert held or '"failed": true' not in said, said
        return held, list(way.gate.writes)
