# SPDX-License-Identifier: GPL-3.0-or-later
"""Entering a network namespace from Python."""

from __future__ import annotations

import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000


def enter(netns: str) -> None:
    """Move the calling thread, and it alone, into a namespace; sockets it makes from now on are there."""
    with open(f"/run/netns/{netns}") as space:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space.fileno(), CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter {netns}: {os.strerror(number)}")


def accepts(netns: str, address: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    with ThreadPoolExecutor(1) as thread:  # a thread of its own, which ends in that namespace
        return thread.submit(_accepts, netns, address, port).result()


def _accepts(netns: str, address: str, port: int) -> bool:
    enter(netns)
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
