# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small OVSDB client (RFC 7047), standard library only: over tcp, ssl, unix or a command.

It selects, writes guarded, and waits for changes instead of polling (`Client.wait_until`). It replicates nothing: one
`transact` of the columns asked for is many times faster than an IDL.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from ansible_collections.kubeovn.core.plugins.module_utils._jsonrpc import (
    ConnectionLost,
    OvsdbError,
    StreamTransport,
    Tls,
    Unreachable,
    no_json,
    parse_endpoints,
)

__all__ = [
    "CENTRAL_SOCKETS",
    "NB_DATABASE",
    "SB_DATABASE",
    "Client",
    "ConnectionLost",
    "ExecTransport",
    "GuardFailed",
    "Operation",
    "OvsdbError",
    "Query",
    "Row",
    "Tls",
    "Unreachable",
    "connect",
    "decode",
    "guard",
    "many",
    "named_uuid",
    "one",
    "to_map",
    "to_set",
    "uuid",
]

NB_DATABASE = "OVN_Northbound"
SB_DATABASE = "OVN_Southbound"
# Where ovn-central keeps its sockets, as Kube-OVN's own kubectl plugin relies on.
CENTRAL_SOCKETS = {NB_DATABASE: "unix:/var/run/ovn/ovnnb_db.sock", SB_DATABASE: "unix:/var/run/ovn/ovnsb_db.sock"}

ATOMS = frozenset({str, int, float, bool})
READS = frozenset({"select", "wait", "comment"})  # operations that can be sent again without harm

POLL = 1.0  # seconds between two looks where the server cannot tell of changes
RETRY = 0.2  # seconds until a server that went away during a wait is tried again
FOUND = TypeVar("FOUND")
Row = dict[str, Any]
Operation = dict[str, Any]
Condition = tuple[str, str, Any]
Query = tuple[str, Sequence[str], Sequence[Condition]]


class GuardFailed(OvsdbError):
    """A row was no longer as it was when the write was planned: nothing was written."""


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
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "set":
        return tuple(decode(item) for item in content)
    if kind == "map":
        return {decode(key): decode(item) for key, item in content}
    if kind in ("uuid", "named-uuid"):
        return content
    raise ValueError(f"{kind!r} is no kind of value")


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


# --- transports -------------------------------------------------------------------------------------------------


class Transport(Protocol):
    """A way to have one JSON-RPC method answered. `repeatable`: it may be sent again when the connection broke."""

    def call(self, method: str, params: Sequence[Any], repeatable: bool) -> Any:
        """The method's result, or OvsdbError."""

    def close(self) -> None:
        """Let go of what it holds."""

    @property
    def pushes(self) -> bool:
        """Whether the server can tell of changes by itself."""

    def subscribe(self, database: str, requests: Sequence[Mapping[str, Any]]) -> None:
        """Have changes told, each request a parameter of monitor_cond; forget earlier changes."""

    def unsubscribe(self) -> None:
        """End what `subscribe` began."""

    def wait(self, deadline: float) -> None:
        """Return when looking again is worth it, at the latest at the deadline."""


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

    pushes = False

    def subscribe(self, database: str, requests: Sequence[Mapping[str, Any]]) -> None:
        """A command that ended tells of no changes."""

    def unsubscribe(self) -> None:
        """Nothing was begun."""

    def wait(self, deadline: float) -> None:
        """Sleep until the next look."""
        time.sleep(max(0.0, min(POLL, deadline - time.monotonic())))

    def _once(self, method: str, params: Sequence[Any]) -> Any:
        remote = self._remote or CENTRAL_SOCKETS[params[0]]
        argv = ["ovsdb-client", f"--timeout={max(1, round(self._timeout))}"]
        if method == "transact":
            argv += ["transact", remote, json.dumps(list(params), separators=(",", ":"))]
        else:
            argv += [method.replace("_", "-"), remote, *params]
        output = self._run(argv)
        try:
            return json.loads(output, parse_constant=no_json)
        except (ValueError, RecursionError) as error:
            said = " ".join(output.split())[:200] or "nothing"
            raise OvsdbError(f"ovsdb-client {method} printed no JSON but: {said}") from error


# --- the client -------------------------------------------------------------------------------------------------


class Client:
    """One database behind one transport."""

    def __init__(self, transport: Transport, database: str) -> None:
        self.transport = transport
        self.database = database
        self.version = ""  # of the schema, once it was asked for
        self._columns: dict[str, frozenset[str]] | None = None

    def close(self) -> None:
        """Close the transport."""
        self.transport.close()

    def select(self, table: str, columns: Sequence[str], where: Sequence[Condition] = ()) -> list[Row]:
        """The rows of a table for which all conditions hold, with these columns, in no order. Rows alike in them come
        once."""
        return self.select_many([(table, columns, where)])[0]

    def select_many(self, queries: Sequence[Query]) -> list[list[Row]]:
        """Several selects in one transaction: what they show was true at one moment.

        A column that this server's schema does not have (an older OVN) is left out of the rows.
        """
        try:
            return self._selected(queries)
        except OvsdbError as error:
            known = self.columns() if error.code in ("syntax error", "unknown column") else {}
            there = [
                (table, [name for name in columns if name in known.get(table, columns)], where)
                for table, columns, where in queries
            ]
            if all(len(less[1]) == len(query[1]) for less, query in zip(there, queries, strict=True)):
                raise
            return self._selected(there)

    def _selected(self, queries: Sequence[Query]) -> list[list[Row]]:
        answers = self.transact([_select(*query) for query in queries])
        for (table, columns, _where), answer in zip(queries, answers, strict=False):
            rows = answer.get("rows")
            if not isinstance(rows, list):
                raise OvsdbError(f"{self.database}: a select was answered without rows")
            if rows and not rows[0].keys() >= set(columns):  # as all the others have: they were decoded alike
                lacking = ", ".join(sorted(set(columns) - rows[0].keys()))
                raise OvsdbError(f"{self.database}: rows of {table} came without {lacking}")
        return [answer["rows"] for answer in answers[: len(queries)]]

    def wait_until(
        self, queries: Sequence[Query], condition: Callable[[list[list[Row]]], FOUND], timeout: float
    ) -> FOUND:
        """What the condition makes of the queries' rows, as soon as it is true; at the deadline, what it is then.

        The server tells when one of the rows or columns asked for changes; only these are read, and only then. By
        command it is looked every second. A connection that breaks is made anew within the time.
        """
        deadline = time.monotonic() + timeout
        try:
            while True:
                try:
                    if self.transport.pushes:
                        self.transport.subscribe(self.database, self._watches(queries))
                    value = condition(self.select_many(queries))
                    if value or time.monotonic() >= deadline:
                        return value
                    self.transport.wait(deadline)
                except Unreachable:
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(RETRY)
        finally:
            self.transport.unsubscribe()

    def _watches(self, queries: Sequence[Query]) -> list[dict[str, Any]]:
        """Each query as a monitor of its own: one monitor must not name a column twice."""
        known = self.columns()
        watches = []
        for table, columns, where in queries:
            names = [name for name in columns if name in known.get(table, columns) and not name.startswith("_")]
            conditions = {"where": [list(item) for item in where]} if where else {}
            watches.append({table: [{"columns": names, "select": {"initial": False}, **conditions}]})
        return watches

    def columns(self) -> dict[str, frozenset[str]]:
        """The columns of each table, as the server's schema has them."""
        if self._columns is None:
            schema = self.transport.call("get_schema", [self.database], True)
            try:
                self._columns = {
                    name: frozenset(table["columns"]) | {"_uuid", "_version"}
                    for name, table in schema["tables"].items()
                }
                self.version = str(schema["version"])
            except (AttributeError, KeyError, TypeError) as error:
                raise OvsdbError(f"{self.database}: get_schema was answered with no schema") from error
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
        try:
            return [_decode_result(result) for result in results]
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise OvsdbError(f"{self.database}: transact was answered with values that are none of OVSDB's") from error

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
        text = f"{self.database}: operation {index + 1} ({where}) failed: {code}: {details}"
        return OvsdbError(text, code=code, hint=self._absent(operation, code))

    def _absent(self, operation: Mapping[str, Any], code: str) -> str:
        """What this server's schema lacks of what a write names, if that is why it was refused."""
        if operation["op"] in READS or code not in ("syntax error", "unknown column"):
            return ""
        known, table = self.columns(), str(operation.get("table"))
        lacking = sorted(set(operation.get("row") or ()) - known.get(table, frozenset()))
        what = f"columns {', '.join(lacking)} of {table}" if table in known else f"table {table}"
        reason = f"this OVN's schema {self.version} does not have {what}: it is another version of OVN"
        return reason if lacking else ""


def connect(endpoint: str, database: str, timeout: float, option: str = "endpoint", tls: Tls | None = None) -> Client:
    """A client of the database, connected to the leader among tcp:HOST:PORT, ssl:HOST:PORT and unix:/path.

    `option` names the endpoint in errors.
    """
    transport = StreamTransport(parse_endpoints(endpoint, option), timeout, option, database, tls)
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
    """`sort` is not in RFC 7047. Without it an ovsdb-server, of whatever version, sorts what it found by all columns of
    the table: of a hundred thousand rows that takes it a sixth of the time."""
    conditions = [list(condition) for condition in where]
    return {"op": "select", "table": table, "where": conditions, "columns": list(columns), "sort": []}


def _decode_result(result: Mapping[str, Any]) -> Row:
    decoded = {key: decode(value) for key, value in result.items() if key != "rows"}
    if "rows" in result:
        decoded["rows"] = rows = result["rows"]
        if rows and set(map(type, rows)) != {dict}:
            raise TypeError("rows are objects")
        for name in rows[0] if rows else ():  # all rows of a select have the same columns
            kinds = set(map(type, map(itemgetter(name), rows)))
            if not kinds <= ATOMS | {list}:
                raise TypeError("values are atoms, sets or maps")
            if list in kinds:  # of plain values there is nothing to do in each
                for row in rows:
                    row[name] = decode(row[name])  # in its place: of a hundred thousand rows there is no second copy
    return decoded
