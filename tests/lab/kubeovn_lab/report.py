# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab says while it works: one line per thing done, with the time since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGIN = time.monotonic()


def say(text: str) -> None:
    """One line on standard error, so that standard output stays a verb's answer."""
    print(f"lab {time.monotonic() - _BEGIN:6.1f}s  {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say that a thing is done, and how long it took."""
    begin = time.monotonic()
    yield
    say(f"{text} ({time.monotonic() - begin:.1f} s)")
