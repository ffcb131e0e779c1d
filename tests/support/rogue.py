# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on loopback that answers OVSDB requests as a test tells it: wrongly."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[dict[str, Any], socket.socket], None]


def reply(line: socket.socket, request: dict[str, Any], result: Any) -> None:
    """Answer as a server does."""
    line.sendall(json.dumps({"id": request["id"], "result": result, "error": None}).encode())


class Rogue:
    """Who leads it tells rightly (unless `from_the_start`); what else is asked is left to `answer`."""

    def __init__(self, answer: Answer, from_the_start: bool = False) -> None:
        self._answer = answer
        self._from_the_start = from_the_start
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.tcp = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.methods: list[str] = []  # that were asked
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it and its connections."""
        for sock in (self._listener, *self._lines):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                self._lines.append(line)
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        decoder, text = json.JSONDecoder(), ""
        with contextlib.suppress(OSError):
            while data := line.recv(1 << 16):
                text += data.decode()
                with contextlib.suppress(json.JSONDecodeError):
                    request, end = decoder.raw_decode(text)
                    text = text[end:]
                    self.methods.append(str(request.get("method")))
                    if request.get("method") == "monitor" and not self._from_the_start:
                        reply(line, request, {})
                    else:
                        self._answer(request, line)
