# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands run by tests: shown line by line while they run; a failure carries the last lines."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TOP = Path(__file__).parents[2]
VENV = TOP / ".venv"
Show = Callable[[str], None]


class CommandFailed(AssertionError):
    """A command that had to succeed did not."""


def cache_folder() -> Path:
    """Everything that tests and lab keep outside the checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubeovn-core-lab"


def run(
    argv: Sequence[object],
    *,
    show: Show | None = None,
    cwd: Path = TOP,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    tail: int = 60,
) -> str:
    """Run a command without standard input, show each line as it comes, return its whole output (both streams)."""
    __tracebackhide__ = True
    command = [str(part) for part in argv]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    # The timer ends a command that says nothing; reading line by line alone would wait for it for ever.
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if show:
                show(line.rstrip("\n"))
        status = process.wait()
    finally:
        expired = not timer.is_alive()
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    if status:
        reason = f"did not end within {timeout:g} s" if expired else f"failed with status {status}"
        raise CommandFailed(f"{shlex.join(command)[:300]} {reason}; its last lines:\n{''.join(deque(lines, tail))}")
    return "".join(lines)
