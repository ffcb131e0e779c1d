# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JSON-RPC over a stream socket as OVSDB speaks it (RFC 7047, section 4): framing, echoes, deadlines, reconnecting.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHUNK = 1 << 20
BLANK = re.compile(r"\s*")


class OvsdbError(Exception):
    """The database did not do what was asked: what, which option leads there, and what to do next."""

    def __init__(self, text: str, *, path: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(text + (f" ({hint})" if hint else ""))
        self.text = text
        self.path = path
        self.hint = hint
        self.code = code  # the server's own error name, "constraint violation"


class Unreachable(OvsdbError):
    """Nobody answered at the endpoint, or not in OVSDB's language, or not in time."""


class ConnectionLost(Unreachable):
    """The connection ended between a request and its answer."""


class Framing:
    """Cuts a stream of bytes into messages. JSON has no frame: a message ends where its first brace closes."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Add bytes, take out the messages that are complete; ValueError if it cannot become JSON objects."""
        self.pending += piece if self.pending else piece.lstrip()
        if self.pending and not self.pending.startswith(b"{"):
            raise ValueError("not a JSON object")
        if not piece.rstrip().endswith(b"}"):
            return []  # the last message is not complete: do not parse megabytes in vain
        text = self.pending.decode()  # what ends with a brace ends no character in its middle
        messages, position = [], 0
        decoder = json.JSONDecoder()
        try:
            while position < len(text):
                message, end = decoder.raw_decode(text, position)
                if not isinstance(message, dict):
                    raise ValueError("not a JSON object")
                messages.append(message)
                blank = BLANK.match(text, end)
                position = blank.end() if blank else end
        except json.JSONDecodeError as error:
            # Cut off is an error at the very end, or a string without an end; anything else is not JSON.
            if error.pos < len(text) and not error.msg.startswith("Unterminated string"):
                raise
        self.pending = bytearray(text[position:].encode())
        return messages


@dataclass(frozen=True)
class Endpoint:
    """One place to connect to. `text` is what the user wrote."""

    text: str
    host: str = ""
    port: int = 0
    path: str = ""

    def open(self, timeout: float) -> socket.socket:
        """A connected socket."""
        if self.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            try:
                sock.connect(self.path)
            except OSError:
                sock.close()
                raise
            return sock
        sock = socket.create_connection((self.host, self.port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def parse_endpoints(text: str, option: str = "endpoint") -> tuple[Endpoint, ...]:
    """The endpoints of a comma-separated list, as OVN's own tools take it: tcp:10.0.0.1:6641,tcp:[fd00::1]:6641."""
    form = "tcp:HOST:PORT, IPv6 as tcp:[ADDRESS]:PORT, or unix:/path; several are separated by commas"
    found = []
    for part in (piece.strip() for piece in text.split(",")):
        if part.startswith("ssl:"):
            hint = "use ovn_connection: exec, or a tcp endpoint"
            raise OvsdbError(f"{option}: {part!r}: ssl endpoints are not supported", path=option, hint=hint)
        tcp = re.fullmatch(r"tcp:(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/\s]+)):(\d{1,5})", part)
        if tcp and 0 < int(tcp[3]) < 65536:
            found.append(Endpoint(part, host=tcp[1] or tcp[2], port=int(tcp[3])))
        elif re.fullmatch(r"unix:/\S+", part):
            found.append(Endpoint(part, path=part[len("unix:") :]))
        else:
            raise OvsdbError(f"{option}: {part!r} is not an OVSDB endpoint", path=option, hint=form)
    return tuple(found)


class StreamTransport:
    """JSON-RPC over a stream socket; it connects by itself and answers the server's echo requests."""

    def __init__(self, endpoints: Sequence[Endpoint], timeout: float, option: str = "endpoint") -> None:
        self._endpoints = endpoints
        self._timeout = timeout
        self._option = option
        self._peer = endpoints[0].text
        self._socket: socket.socket | None = None
        self._framing = Framing()
        self._serial = 0

    def call(self, method: str, params: Sequence[Any], repeatable: bool) -> Any:
        """Send one request and wait for its answer, within the timeout altogether."""
        deadline = time.monotonic() + self._timeout
        self._discard_stale()
        try:
            return self._exchange(method, params, deadline)
        except ConnectionLost as lost:
            if not repeatable:
                hint = "run again: it looks first and does only what is still missing"
                text = f"{lost.text} while it was writing: whether it was done is unknown"
                raise ConnectionLost(text, path=self._option, hint=hint) from lost
        return self._exchange(method, params, deadline)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._framing = Framing()

    def connect(self, deadline: float) -> socket.socket:
        """The connection, made now when there is none, to the first endpoint that takes it."""
        if self._socket is not None:
            return self._socket
        reasons = []
        for endpoint in self._endpoints:
            try:
                self._socket = endpoint.open(max(deadline - time.monotonic(), 0.05))
                self._peer = endpoint.text
                return self._socket
            except OSError as error:
                # A failed getaddrinfo, a refusal, a timeout: each says in its own words why.
                reasons.append(f"{endpoint.text}: {error.strerror or error}")
        hint = f"is {self._option} right, the database running, and no firewall between?"
        raise Unreachable(f"{self._option}: cannot connect to {'; '.join(reasons)}", path=self._option, hint=hint)

    def _discard_stale(self) -> None:
        """Answer the echo requests of an idle time; forget a connection that the server has closed meanwhile."""
        try:
            while self._socket is not None and select.select([self._socket], [], [], 0)[0]:
                for message in self._receive(self._socket, time.monotonic() + 1):
                    self._answer(self._socket, message)
        except Unreachable:
            self.close()

    def _exchange(self, method: str, params: Sequence[Any], deadline: float) -> Any:
        try:
            sock = self.connect(deadline)
            self._serial += 1
            self._send(sock, {"method": method, "params": list(params), "id": self._serial}, deadline)
            answer = None
            while answer is None:
                for message in self._receive(sock, deadline):
                    if message.get("id") == self._serial and "method" not in message:
                        answer = message
                    else:
                        self._answer(sock, message)
        except Unreachable:
            self.close()  # half an answer must not meet the next request
            raise
        return self._result(answer, method)

    def _result(self, message: Mapping[str, Any], method: str) -> Any:
        error = message.get("error")
        if error is None:
            return message.get("result")
        details = error if isinstance(error, dict) else {"error": error}
        text = f"{self._peer} refused {method}: {details.get('error')}: {details.get('details', '')}".rstrip(": ")
        raise OvsdbError(text, path=self._option, code=str(details.get("error")))

    def _answer(self, sock: socket.socket, message: Mapping[str, Any]) -> None:
        """A server asks for an echo to see whether its client lives, and hangs up on one that does not answer."""
        if message.get("method") == "echo":
            reply = {"id": message.get("id"), "result": message.get("params", []), "error": None}
            self._send(sock, reply, time.monotonic() + self._timeout)

    def _send(self, sock: socket.socket, message: Mapping[str, Any], deadline: float) -> None:
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.05))
            sock.sendall(json.dumps(message, separators=(",", ":")).encode())
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error

    def _receive(self, sock: socket.socket, deadline: float) -> list[dict[str, Any]]:
        """The messages that the next piece completes; none when more has to come."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._silent()
        try:
            sock.settimeout(remaining)
            piece = sock.recv(CHUNK)
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        if not piece:
            raise self._lost("closed by the other side")
        try:
            return self._framing.feed(piece)
        except ValueError as error:  # no JSON, or no UTF-8
            raise self._garbage() from error

    def _silent(self) -> Unreachable:
        came = len(self._framing.pending)
        got = f", {came} bytes of an answer came" if came else ""
        hint = "raise ovn_timeout if the database is only slow"
        return Unreachable(
            f"{self._option}: {self._peer} gave no complete answer in {self._timeout:g} s{got}",
            path=self._option,
            hint=hint,
        )

    def _lost(self, reason: str) -> ConnectionLost:
        return ConnectionLost(f"{self._option}: connection to {self._peer} lost: {reason}", path=self._option)

    def _garbage(self) -> Unreachable:
        start = bytes(self._framing.pending[:40])
        hint = f"is another service listening there? {self._option} must be the plain OVSDB port"
        return Unreachable(
            f"{self._option}: {self._peer} does not speak OVSDB, it said {start!r}", path=self._option, hint=hint
        )
