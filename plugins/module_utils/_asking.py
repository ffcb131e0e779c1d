# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one command for each of many addresses, many at once, again where it fails.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PLACE = "{address}"  # in a word of the command, where the address comes
NO_SUCH_COMMAND, TOO_LATE = 127, 124  # what a shell and `timeout` say


@dataclass(frozen=True)
class Answer:
    """What the last try said."""

    address: str
    rc: int
    stdout: str
    stderr: str
    tries: int


def words_for(argv: list[str], address: str) -> list[str]:
    """The command for one address."""
    return [word.replace(PLACE, address) for word in argv]


def ask_all(
    argv: list[str], addresses: list[str], parallel: int, tries: int, delay: float, timeout: float
) -> list[Answer]:
    """The answers, in the order of the addresses."""
    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(lambda address: _ask(words_for(argv, address), address, tries, delay, timeout), addresses))


def _ask(command: list[str], address: str, tries: int, delay: float, timeout: float) -> Answer:
    for number in range(1, tries + 1):
        rc, stdout, stderr = _run(command, timeout)
        if rc == 0 or number == tries:
            break
        time.sleep(delay)
    return Answer(address, rc, stdout, stderr, number)


def _run(command: list[str], timeout: float) -> tuple[int, str, str]:
    pipe = subprocess.PIPE
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        return TOO_LATE, _text(late.stdout), f"no end after {timeout:g} s"
    except OSError as error:
        return NO_SUCH_COMMAND, "", f"{command[0]}: {error.strerror}"
    return done.returncode, _text(done.stdout), _text(done.stderr)


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace").strip()
