# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into an OVSDB server, with the time at which it was seen: a small client of RFC 7047's monitor."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One row as it was and as it is; {} where there is none."""

    at: float  # time.monotonic()
    table: str
    old: Row
    new: Row


class Monitor:
    """Collects all changes of some columns from when it is made until it is closed."""

    def __init__(self, endpoint: str, database: str, tables: Mapping[str, list[str]]) -> None:
        _scheme, host, port = endpoint.split(":")
        self.writes: list[Write] = []
        self._socket = socket.create_connection((host, int(port)))
        self._begun = threading.Event()
        wanted = {table: {"columns": columns, "select": {"initial": False}} for table, columns in tables.items()}
        self._send({"method": "monitor", "params": [database, None, wanted], "id": "begin"})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._begun.wait(10), f"{endpoint} did not begin to report changes of {database}"

    def close(self) -> None:
        """No more changes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def last(self, which: Callable[[Write], object]) -> float:
        """When the last such change was seen."""
        return max(write.at for write in self.writes if which(write))

    def _send(self, message: Row) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def _read(self) -> None:
        for message in messages(self._socket):
            if message.get("method") == "echo":
                self._send({"result": message["params"], "error": None, "id": message["id"]})
            elif message.get("method") == "update":
                now = time.monotonic()
                for table, rows in message["params"][1].items():
                    changes = rows.values()
                    self.writes += [Write(now, table, one.get("old", {}), one.get("new", {})) for one in changes]
            else:
                self._begun.set()


def messages(connection: socket.socket) -> Iterator[Row]:
    """The JSON messages of a connection, until it ends."""
    text = b""
    with contextlib.suppress(OSError):
        while data := connection.recv(1 << 16):
            text += data
            done, text = split(text)
            yield from done


def split(text: bytes) -> tuple[list[Row], bytes]:
    """The whole JSON messages at the beginning of a stream, and what is left of it."""
    decoder, found = json.JSONDecoder(), []
    rest = text.decode()
    while rest := rest.lstrip():
        try:
            message, end = decoder.raw_decode(rest)
        except json.JSONDecodeError:
            break
        found.append(message)
        rest = rest[end:]
    return found, rest.encode()
