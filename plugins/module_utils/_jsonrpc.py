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
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._transports import (
    ConnectionLost,
    Endpoint,
    OvsdbError,
    Tls,
    Unreachable,
    parse_endpoints,
)

__all__ = ["ConnectionLost", "Framing", "OvsdbError", "StreamTransport", "Tls", "Unreachable", "parse_endpoints"]

CHUNK = 1 << 20
LARGEST = 1 << 29  # bytes of one answer; a hundred thousand NAT rows are 40 MB
BLANK = re.compile(r"\s*")
LEADER = "leader"  # name of the monitor that tells who leads
AGAIN = 0.1  # seconds between two looks for a leader while a cluster elects one


class Follower(Unreachable):
    """This member of a cluster does not lead it, or has lost it."""


def no_json(text: str) -> Any:
    """NaN and the infinities, which Python's parser takes for numbers."""
    raise ValueError(f"{text} is not JSON")


class Framing:
    """Cuts a stream of bytes into messages. JSON has no frame: a message ends where its first brace closes."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Add bytes, take out the messages that are complete; ValueError if it cannot become JSON objects."""
        self.pending += piece if self.pending else piece.lstrip()
        if len(self.pending) > LARGEST:
            raise ValueError("larger than any database's answer")
        if self.pending and not self.pending.startswith(b"{"):
            raise ValueError("not a JSON object")
        if not piece.rstrip().endswith(b"}"):
            return []  # the last message is not complete: do not parse megabytes in vain
        text = self.pending.decode()  # what ends with a brace ends no character in its middle
        self.pending = bytearray()  # a large answer is not kept twice
        messages, position = [], 0
        decoder = json.JSONDecoder(parse_constant=no_json)
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
        except RecursionError as error:
            raise ValueError("nested deeper than any answer") from error
        finally:
            self.pending = bytearray(text[position:].encode())  # what an error tells the beginning of, too
        return messages


class StreamTransport:
    """JSON-RPC over a stream socket; it connects by itself and answers the server's echo requests.

    Of a clustered `database` it speaks to the leader, whose data is the newest, and leaves a server that leads no more.
    """

    pushes = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        timeout: float,
        option: str = "endpoint",
        database: str = "",
        tls: Tls | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._timeout = timeout
        self._option = option
        self._database = database
        self._tls = self._context(tls)
        self._peer = endpoints[0].text
        self._socket: socket.socket | None = None
        self._framing = Framing()
        self._serial = 0
        self._strangers = 0  # answers to nothing that was asked
        self._leads = True
        self._watched: list[str] = []
        self._stirred = False

    def _context(self, tls: Tls | None) -> ssl.SSLContext | None:
        secure = [endpoint.text for endpoint in self._endpoints if endpoint.secure]
        if secure and tls is None:
            text = f"{self._option}: {secure[0]!r}: ssl endpoints are not supported here"
            raise OvsdbError(text, path=self._option, hint="use ovn_connection: exec, or a tcp endpoint")
        return tls.context() if secure and tls else None

    def call(self, method: str, params: Sequence[Any], repeatable: bool) -> Any:
        """Send one request and wait for its answer, within the timeout altogether."""
        deadline = time.monotonic() + self._timeout
        self._discard_stale(deadline)
        if not repeatable:
            return self._once(self.connect(deadline), method, params, deadline)
        try:
            return self._exchange(method, params, deadline)
        except ConnectionLost:
            return self._exchange(method, params, deadline)

    def close(self) -> None:
        """Close the connection, if there is one. Its monitors end with it."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._framing = Framing()
        self._strangers = 0
        self._leads = True
        self._watched = []

    # --- monitors ---

    def subscribe(self, database: str, requests: Sequence[Mapping[str, Any]]) -> None:
        """Have the server tell of changes in these tables, each a parameter of monitor_cond; forget earlier changes."""
        self._stirred = False
        if self._socket is not None and len(self._watched) == len(requests):
            return
        for request in requests:
            self._serial += 1
            name = f"watch{self._serial}"
            self.call("monitor_cond", [database, name, request], True)
            self._watched.append(name)

    def unsubscribe(self) -> None:
        """End the monitors."""
        try:
            while self._watched:
                self.call("monitor_cancel", [self._watched.pop()], False)
        except OvsdbError:
            self.close()  # which ends them as well

    def wait(self, deadline: float) -> None:
        """Return when a change was told since `subscribe`, when the monitors are gone, or at the deadline."""
        while self._socket is not None and self._watched and not self._stirred and self._leads:
            try:
                if not _readable(self._socket, deadline - time.monotonic()):
                    return
                for message in self._receive(self._socket, deadline):
                    self._take(self._socket, message, deadline)
            except Unreachable:
                self.close()

    # --- connecting ---

    def connect(self, deadline: float) -> socket.socket:
        """The connection, made now when there is none, to the first endpoint that takes it and leads."""
        while self._socket is None:
            failures: list[Exception] = []
            for index, endpoint in enumerate(self._endpoints):
                try:
                    left = deadline - time.monotonic()
                    return self._open(endpoint, time.monotonic() + left / (len(self._endpoints) - index))
                except (
                    OSError,
                    UnicodeError,
                    Unreachable,
                ) as error:  # a name with an empty part cannot even be looked up
                    self.close()
                    failures.append(error)
            electing = any(isinstance(failure, Follower) for failure in failures)
            if not electing or deadline - time.monotonic() < AGAIN:
                raise self._unreachable(failures)
            time.sleep(AGAIN)
        return self._socket

    def _open(self, endpoint: Endpoint, deadline: float) -> socket.socket:
        self._peer = endpoint.text
        sock = endpoint.open(max(deadline - time.monotonic(), 0.05), self._tls if endpoint.secure else None)
        self._socket = sock
        if self._database:
            columns = ["name", "model", "leader", "connected"]
            try:
                first = self._request(
                    sock, "monitor", ["_Server", LEADER, {"Database": {"columns": columns}}], deadline
                )
            except Unreachable:
                raise
            except OvsdbError:  # a server older than clusters
                return sock
            self._note_leader(first)
            if not self._leads:
                text = f"{self._option}: {endpoint.text} does not lead the cluster of {self._database}"
                hint = "no member named there leads: give all members' endpoints, separated by commas"
                raise Follower(text, path=self._option, hint=hint)
        return sock

    def _unreachable(self, failures: Sequence[Exception]) -> Unreachable:
        if len(failures) == 1 and isinstance(failures[0], Unreachable):
            return failures[0]
        reasons = []
        for endpoint, failure in zip(self._endpoints, failures, strict=True):
            # A failed getaddrinfo, a refusal, a certificate: each says in its own words why.
            said = failure.text if isinstance(failure, OvsdbError) else getattr(failure, "strerror", "") or str(failure)
            reasons.append(f"{endpoint.text}: {said.removeprefix(f'{self._option}: {endpoint.text} ')}")
        hint = f"is {self._option} right, the database running, and no firewall between?"
        return Unreachable(f"{self._option}: cannot connect to {'; '.join(reasons)}", path=self._option, hint=hint)

    def _note_leader(self, tables: Any) -> None:
        rows = tables.get("Database") if isinstance(tables, dict) else None
        for change in rows.values() if isinstance(rows, dict) else ():
            row = change.get("new") if isinstance(change, dict) else None
            if isinstance(row, dict) and row.get("name") == self._database and row.get("model") == "clustered":
                self._leads = bool(row.get("leader")) and bool(row.get("connected"))

    def _discard_stale(self, deadline: float) -> None:
        """Answer the echo requests of an idle time; forget a server that hung up or leads no more meanwhile."""
        try:
            while self._socket is not None and _readable(self._socket, 0):
                for message in self._receive(self._socket, deadline, 0):
                    self._take(self._socket, message, deadline)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass  # TLS had something to say to itself
        except Unreachable:
            self.close()
        if not self._leads:
            self.close()

    # --- requests ---

    def _once(self, sock: socket.socket, method: str, params: Sequence[Any], deadline: float) -> Any:
        """A write. Without a whole answer nobody knows whether it was done, so that it must not be sent again."""
        try:
            return self._request(sock, method, params, deadline)
        except Unreachable as lost:
            hint = "run again: it looks first and does only what is still missing"
            text = f"{lost.text} while it was writing: whether it was done is unknown"
            raise type(lost)(text, path=self._option, hint=hint) from lost

    def _exchange(self, method: str, params: Sequence[Any], deadline: float) -> Any:
        return self._request(self.connect(deadline), method, params, deadline)

    def _request(self, sock: socket.socket, method: str, params: Sequence[Any], deadline: float) -> Any:
        try:
            self._serial += 1
            serial = self._serial
            self._send(sock, {"method": method, "params": list(params), "id": serial}, deadline)
            answer = None
            while answer is None:
                for message in self._receive(sock, deadline):
                    if message.get("id") == serial and "method" not in message:
                        answer = message
                    else:
                        self._take(sock, message, deadline)
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
        code = str(details.get("error"))
        other = f"does {self._option} lead to the other database? OVN's northbound listens on 6641, southbound on 6642"
        raise OvsdbError(text, path=self._option, code=code, hint=other if code == "unknown database" else "")

    def _take(self, sock: socket.socket, message: Mapping[str, Any], deadline: float) -> None:
        """What a server says unasked. It asks for an echo to see whether its client lives, and tells of changes."""
        method, params = message.get("method"), message.get("params")
        if method == "echo":
            self._send(sock, {"id": message.get("id"), "result": params or [], "error": None}, deadline)
        elif isinstance(method, str) and method.startswith("update") and isinstance(params, list) and len(params) > 1:
            if params[0] == LEADER:
                self._note_leader(params[1])
            elif params[0] in self._watched:
                self._stirred = True
        elif method is None:
            self._strangers += 1

    def _send(self, sock: socket.socket, message: Mapping[str, Any], deadline: float) -> None:
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.05))
            sock.sendall(json.dumps(message, separators=(",", ":")).encode())
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error

    def _receive(self, sock: socket.socket, deadline: float, patience: float | None = None) -> list[dict[str, Any]]:
        """The messages that the next piece completes; none when more has to come. Patience 0: do not wait."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._silent()
        try:
            sock.settimeout(remaining if patience is None else patience)
            piece = sock.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            raise
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
        got += f", {self._strangers} answers to other requests came" if self._strangers else ""
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


def _readable(sock: socket.socket, timeout: float) -> bool:
    """Whether there is something to read; TLS may have it in its own buffer already."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    return bool(select.select([sock], [], [], max(timeout, 0))[0])
