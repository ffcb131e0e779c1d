# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks each of many addresses, many at once, again where it fails: by a command, or by a TCP connection.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable, Sequence

    Once = Callable[[str], tuple[int, str, str]]  # one try: exit status, output, errors

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


def by_command(argv: list[str], timeout: float) -> Once:
    """One try by a command."""
    return lambda address: _run(words_for(argv, address), timeout)


def by_connection(port: int, timeout: float) -> Once:
    """One try by a TCP connection: the number of the error is its exit status."""
    return lambda address: _connect(address, port, timeout)


def ask_all(asks: Sequence[tuple[Once, str]], parallel: int, tries: int, delay: float) -> list[Answer]:
    """The answers, in the order of what is asked and whom."""
    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(lambda ask: _ask(ask[0], ask[1], tries, delay), asks))


def _ask(once: Once, address: str, tries: int, delay: float) -> Answer:
    for number in range(1, tries + 1):
        rc, stdout, stderr = once(address)
        if rc == 0 or number == tries:
            break
        time.sleep(delay)
    return Answer(address, rc, stdout, stderr, number)


def _connect(address: str, port: int, timeout: float) -> tuple[int, str, str]:
    try:
        socket.create_connection((address, port), timeout).close()
    except socket.timeout:  # noqa: UP041 - two things before Python 3.10
        return TOO_LATE, "", f"port {port}: no answer in {timeout:g} s"
    except OSError as error:
        number = error.errno or 1
        text = os.strerror(number) if number in errno.errorcode else str(error)
        heard = ": its host answers, and nothing listens there" if number == errno.ECONNREFUSED else ""
        return abs(number), "", f"port {port}: {text}{heard}"
    return 0, "", ""


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
