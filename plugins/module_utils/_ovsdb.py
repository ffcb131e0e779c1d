# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small OVSDB client (RFC 7047), standard library only: select and transact over tcp, unix or a command.

It replicates nothing: one `transact` of the columns asked for is many times faster than an IDL.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
import re
import select as selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NB_DATABASE = "OVN_Northbound"
SB_DATABASE = "OVN_Southbound"
# Where ovn-central keeps its sockets, as Kube-OVN's own kubectl plugin relies on.
CENTRAL_SOCKETS = {NB_DATABASE: "unix:/var/run/ovn/ovnnb_db.sock", SB_DATABASE: "unix:/var/run/ovn/ovnsb_db.sock"}

READS = frozenset({"select", "wait", "comment"})  # operations that can be sent again without harm
CHUNK = 1 << 20

Row = dict[str, Any]
Operation = dict[str, Any]
Condition = tuple[str, str, Any]
Query = tuple[str, Sequence[str], Sequence[Condition]]


class OvsdbError(Exception):
    """The database did not do what was asked: what, which option leads there, and what to do next."""

    def __init__(self, text: str, *, path: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(text + (f" ({hint})" if hint else ""))
        self.text = text
        self.path = path
        self.hint = hint
        self.code = code  # the server's own error name, "constraint violation"


class GuardFailed(OvsdbError):
    """A row was no longer as it was when the write was planned: nothing was written."""


class Unreachable(OvsdbError):
    """Nobody answered at the endpoint, or not in OVSDB's language, or not in time."""


class ConnectionLost(Unreachable):
    """The connection ended between a request and its answer."""


# --- values -----------------------------------------------------------------------------------------------------


def uuid(value: str) -> list[str]:
    """The wire form of a row's UUID."""
    return ["uuid", value]


def named_uuid(value: str) -> list[str]:
    """The wire form of a row that the same transaction inserts."""
    return ["named-uuid", value]


def to_set(values: Iterable[Any]) -> list[Any]:
    """The wire form of a set of atoms."""
    return ["set", list(values)]


def to_map(values: Mapping[str, Any]) -> list[Any]:
    """The wire form of a map."""
    return ["map", [[key, value] for key, value in values.items()]]


def decode(value: Any) -> Any:
    """A wire value as Python's: set -> tuple, map -> dict, UUID -> str."""
    if type(value) is not list or len(value) != 2:
        return value
    kind, content = value
    if kind == "set":
        return tuple(decode(item) for item in content)
    if kind == "map":
        return {decode(key): decode(item) for key, item in content}
    if kind in ("uuid", "named-uuid"):
        return content
    return value


def one(value: Any) -> Any:
    """The only element of an optional column, or None: OVSDB sends one element bare and none as an empty set."""
    if isinstance(value, tuple):
        return value[0] if value else None
    return value


def many(value: Any) -> tuple[Any, ...]:
    """A set column as a tuple, however many elements it has (a column that an older schema lacks is empty)."""
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)


# --- endpoints --------------------------------------------------------------------------------------------------


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


# --- transports -------------------------------------------------------------------------------------------------


class Transport(Protocol):
    """A way to have one JSON-RPC method answered. `repeatable`: it may be sent again when the connection broke."""

    def call(self, method: str, params: Sequence[Any], repeatable: bool) -> Any:
        """The method's result, or OvsdbError."""

    def close(self) -> None:
        """Let go of what it holds."""


class StreamTransport:
    """JSON-RPC over a stream socket; it connects by itself and answers the server's echo requests."""

    def __init__(self, endpoints: Sequence[Endpoint], timeout: float, option: str = "endpoint") -> None:
        self._endpoints = endpoints
        self._timeout = timeout
        self._option = option
        self._peer = endpoints[0].text
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
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
        self._buffer.clear()

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
            while self._socket is not None and selectors.select([self._socket], [], [], 0)[0]:
                self._receive(time.monotonic() + 1)
                for message in self._messages():
                    self._answer(message)
        except Unreachable:
            self.close()

    def _exchange(self, method: str, params: Sequence[Any], deadline: float) -> Any:
        try:
            self.connect(deadline)
            self._serial += 1
            self._send({"method": method, "params": list(params), "id": self._serial}, deadline)
            while True:
                self._receive(deadline)
                for message in self._messages():
                    if message.get("id") == self._serial and "method" not in message:
                        return self._result(message, method)
                    self._answer(message)
        except Unreachable:
            self.close()  # half an answer must not meet the next request
            raise

    def _result(self, message: Mapping[str, Any], method: str) -> Any:
        error = message.get("error")
        if error is None:
            return message.get("result")
        details = error if isinstance(error, dict) else {"error": error}
        text = f"{self._peer} refused {method}: {details.get('error')}: {details.get('details', '')}".rstrip(": ")
        raise OvsdbError(text, path=self._option, code=str(details.get("error")))

    def _answer(self, message: Mapping[str, Any]) -> None:
        """A server asks for an echo to see whether its client lives, and hangs up on one that does not answer."""
        if message.get("method") == "echo":
            reply = {"id": message.get("id"), "result": message.get("params", []), "error": None}
            self._send(reply, time.monotonic() + self._timeout)

    def _send(self, message: Mapping[str, Any], deadline: float) -> None:
        assert self._socket is not None
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.05))
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode())
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error

    def _receive(self, deadline: float) -> None:
        """Add what has come to the buffer: one piece, at least one byte."""
        assert self._socket is not None
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._silent()
        try:
            self._socket.settimeout(remaining)
            piece = self._socket.recv(CHUNK)
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        if not piece:
            raise self._lost("closed by the server")
        self._buffer += piece

    def _messages(self) -> list[dict[str, Any]]:
        """Take the complete messages out of the buffer. JSON has no frame: a message ends where its brace closes."""
        if not self._buffer.lstrip()[:1] == b"{":
            raise self._garbage()
        if not self._buffer.endswith(b"}") and not self._buffer.rstrip().endswith(b"}"):
            return []  # the last message is not complete: do not parse megabytes in vain
        messages = []
        try:
            text = self._buffer.decode()
            position = 0
            decoder = json.JSONDecoder()
            while position < len(text):
                message, end = decoder.raw_decode(text, position)
                messages.append(message)
                position = end + len(text[end:]) - len(text[end:].lstrip())
            self._buffer.clear()
        except UnicodeDecodeError as error:
            raise self._garbage() from error
        except json.JSONDecodeError as error:
            # Cut off is an error at the very end, or in a string without an end; anything else is not JSON.
            if error.pos < len(text) and not error.msg.startswith("Unterminated string"):
                raise self._garbage() from error
            del self._buffer[: len(text[:position].encode())]
        return messages

    def _silent(self) -> Unreachable:
        got = f", {len(self._buffer)} bytes of an answer came" if self._buffer else ""
        hint = "raise ovn_timeout if the database is only slow"
        return Unreachable(
            f"{self._option}: {self._peer} gave no complete answer in {self._timeout:g} s{got}",
            path=self._option,
            hint=hint,
        )

    def _lost(self, reason: str) -> ConnectionLost:
        return ConnectionLost(f"{self._option}: connection to {self._peer} lost: {reason}", path=self._option)

    def _garbage(self) -> Unreachable:
        start = bytes(self._buffer[:40])
        hint = f"is another service listening there? {self._option} must be the plain OVSDB port"
        return Unreachable(
            f"{self._option}: {self._peer} does not speak OVSDB, it said {start!r}", path=self._option, hint=hint
        )


class ExecTransport:
    """JSON-RPC by the command ovsdb-client, run where the database's socket is (the ovn-central leader)."""

    def __init__(self, run: Callable[[list[str]], str], remote: str = "", timeout: float = 10) -> None:
        self._run = run
        self._remote = remote
        self._timeout = timeout

    def call(self, method: str, params: Sequence[Any], repeatable: bool) -> Any:
        """Run ovsdb-client once; once more after a failure (the leader may have moved) if that is harmless."""
        try:
            return self._once(method, params)
        except Unreachable:
            if not repeatable:
                raise
        return self._once(method, params)

    def close(self) -> None:
        """Nothing is held."""

    def _once(self, method: str, params: Sequence[Any]) -> Any:
        remote = self._remote or CENTRAL_SOCKETS[params[0]]
        argv = ["ovsdb-client", f"--timeout={max(1, round(self._timeout))}"]
        if method == "transact":
            argv += ["transact", remote, json.dumps(list(params), separators=(",", ":"))]
        else:
            argv += [method.replace("_", "-"), remote, *params]
        output = self._run(argv)
        try:
            return json.loads(output)
        except ValueError as error:
            said = " ".join(output.split())[:200] or "nothing"
            raise OvsdbError(f"ovsdb-client {method} printed no JSON but: {said}") from error


# --- the client -------------------------------------------------------------------------------------------------


class Client:
    """One database behind one transport."""

    def __init__(self, transport: Transport, database: str) -> None:
        self.transport = transport
        self.database = database
        self._columns: dict[str, frozenset[str]] | None = None

    def close(self) -> None:
        """Close the transport."""
        self.transport.close()

    def select(self, table: str, columns: Sequence[str], where: Sequence[Condition] = ()) -> list[Row]:
        """The rows of a table for which all conditions hold, with the columns asked for."""
        return self.select_many([(table, columns, where)])[0]

    def select_many(self, queries: Sequence[Query]) -> list[list[Row]]:
        """Several selects in one transaction: what they show was true at one moment.

        A column that this server's schema does not have (an older OVN) is left out of the rows.
        """
        try:
            answers = self.transact([_select(table, columns, where) for table, columns, where in queries])
        except OvsdbError as error:
            if error.code not in ("syntax error", "unknown column") or self._columns is not None:
                raise
            known = self.columns()
            answers = self.transact(
                [
                    _select(table, [name for name in columns if name in known.get(table, columns)], where)
                    for table, columns, where in queries
                ]
            )
        return [answer["rows"] for answer in answers]

    def columns(self) -> dict[str, frozenset[str]]:
        """The columns of each table, as the server's schema has them."""
        if self._columns is None:
            schema = self.transport.call("get_schema", [self.database], True)
            self._columns = {
                name: frozenset(table["columns"]) | {"_uuid", "_version"} for name, table in schema["tables"].items()
            }
        return self._columns

    def transact(self, operations: Sequence[Operation]) -> list[Row]:
        """Do the operations as one transaction, all or none. A write is never sent twice."""
        repeatable = all(operation["op"] in READS for operation in operations)
        results = self.transport.call("transact", [self.database, *operations], repeatable)
        if not isinstance(results, list):
            raise OvsdbError(f"{self.database}: transact was answered with {type(results).__name__}, not a list")
        for index, result in enumerate(results):
            if isinstance(result, dict) and result.get("error"):
                raise self._failed(operations, index, result)
        if len(results) < len(operations) or not all(isinstance(result, dict) for result in results):
            raise OvsdbError(f"{self.database}: transact was answered with {len(results)} incomplete results")
        return [_decode_result(result) for result in results]

    def _failed(self, operations: Sequence[Operation], index: int, result: Mapping[str, Any]) -> OvsdbError:
        code, details = str(result["error"]), str(result.get("details") or "")
        if index >= len(operations):  # it failed as a whole, at its commit
            return OvsdbError(f"{self.database}: transaction refused: {code}: {details}", code=code)
        operation = operations[index]
        where = f"{operation['op']} {operation.get('table', '')}".strip()
        if operation["op"] == "wait" and code == "timed out":
            rows = json.dumps(operation.get("rows"), separators=(",", ":"))
            return GuardFailed(
                f"{self.database}: a row of {operation['table']} changed meanwhile and is no longer {rows}; "
                "nothing was written",
                hint="run again: it looks anew",
                code=code,
            )
        return OvsdbError(f"{self.database}: operation {index + 1} ({where}) failed: {code}: {details}", code=code)


def connect(endpoint: str, database: str, timeout: float, option: str = "endpoint") -> Client:
    """A client of the database at tcp:HOST:PORT or unix:/path, connected. `option` names the endpoint in errors."""
    transport = StreamTransport(parse_endpoints(endpoint, option), timeout, option)
    transport.connect(time.monotonic() + timeout)
    return Client(transport, database)


def guard(table: str, row_uuid: str, row: Mapping[str, Any]) -> Operation:
    """An operation that lets the transaction pass only if the row still has these (wire) values."""
    return {
        "op": "wait",
        "table": table,
        "timeout": 0,
        "where": [["_uuid", "==", uuid(row_uuid)]],
        "columns": list(row),
        "until": "==",
        "rows": [dict(row)],
    }


def _select(table: str, columns: Sequence[str], where: Sequence[Condition]) -> Operation:
    conditions = [list(condition) for condition in where]
    return {"op": "select", "table": table, "where": conditions, "columns": list(columns)}


def _decode_result(result: Mapping[str, Any]) -> Row:
    decoded = {key: decode(value) for key, value in result.items() if key != "rows"}
    if "rows" in result:
        decoded["rows"] = [
            {key: value if type(value) is str else decode(value) for key, value in row.items()}
            for row in result["rows"]
        ]
    return decoded
