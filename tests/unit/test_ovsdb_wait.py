# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what a database shows: the server tells of changes, and only rows and columns asked for are read."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    Client,
    ExecTransport,
    Row,
    Unreachable,
    connect,
)
from support.ovsdb import OvsdbServer, wait_for
from support.relay import Relay

LONG = 60.0  # seconds; nothing here takes them
Make = Callable[..., Any]


def add(client: Client, *names: str) -> None:
    client.transact([{"op": "insert", "table": "Logical_Switch", "row": {"name": name}} for name in names])


class Waiting:
    """A wait under way in a thread of its own, for a switch of this name."""

    def __init__(self, client: Client, name: str) -> None:
        self.looks: list[list[Row]] = []
        self.found: list[list[Row]] = []
        self._client, self._name = client, name
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        query = ("Logical_Switch", ("_uuid", "name"), [("name", "!=", "noise")])
        self.found.append(self._client.wait_until([query], self._condition, LONG))

    def _condition(self, answers: list[list[Row]]) -> list[Row]:
        self.looks.append(answers[0])
        return [row for row in answers[0] if row["name"] == self._name]

    def done(self) -> list[Row]:
        self._thread.join(LONG / 2)
        assert not self._thread.is_alive(), "it still waits"
        return self.found[0]


def test_what_is_there_already_is_found_at_once(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    add(client, "a")
    assert client.wait_until([("Logical_Switch", ["name"], ())], lambda rows: rows[0], LONG) == [{"name": "a"}]


def test_a_change_ends_the_wait_and_what_is_not_asked_for_is_not_told(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay: Relay = make_relay(ovsdb.tcp)
    waiting = Waiting(connect(relay.tcp, NB_DATABASE, 5), "a")
    wait_for("the first look", lambda: waiting.looks)
    other = connect(ovsdb.tcp, NB_DATABASE, 5)
    wait_for("the look's answer", lambda: b'"rows"' in relay.received)
    for _time in range(5):
        add(other, "noise")
    add(other, "a")
    assert [row["name"] for row in waiting.done()] == ["a"]
    assert b"noise" not in relay.received
    assert len(waiting.looks) == 2
    assert relay.received.count(b'"update2"') == 1


def test_an_end_of_a_wait_ends_its_monitors(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay: Relay = make_relay(ovsdb.tcp)
    client = connect(relay.tcp, NB_DATABASE, 5)
    assert client.wait_until([("Logical_Switch", ["name"], ()), ("NAT", ["type"], ())], any, 0) is False
    assert relay.sent.count(b'"monitor_cancel"') == 2
    add(client, "a")
    assert b'"update2"' not in relay.received


def test_a_wait_ends_at_its_deadline(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    began = time.monotonic()
    assert client.wait_until([("Logical_Switch", ["name"], ())], lambda rows: rows[0], 0.3) == []
    assert time.monotonic() - began >= 0.3
    add(client, "a")  # the connection is good for more


def test_a_wait_survives_a_restarted_server(ovsdb: OvsdbServer) -> None:
    waiting = Waiting(connect(ovsdb.unix, NB_DATABASE, 5), "b")
    wait_for("the first look", lambda: waiting.looks)
    ovsdb.stop()
    ovsdb.start()
    add(connect(ovsdb.tcp, NB_DATABASE, 5), "b")
    assert [row["name"] for row in waiting.done()] == ["b"]


def test_a_wait_for_a_server_that_stays_away_ends_with_its_error(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.unix, NB_DATABASE, 5)
    ovsdb.stop()
    with pytest.raises(Unreachable, match="cannot connect to unix:"):
        client.wait_until([("Logical_Switch", ["name"], ())], any, 0.3)


def test_columns_that_the_schema_lacks_are_not_watched(make_ovsdb: Make) -> None:
    server = make_ovsdb(schemas="23.03")
    client = connect(server.tcp, NB_DATABASE, 5)
    assert client.wait_until([("NAT", ["type", "priority"], ())], lambda rows: rows == [[]], LONG) is True


def test_by_command_it_is_looked_again(ovsdb: OvsdbServer) -> None:
    def run(argv: list[str]) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    waiting = Waiting(Client(ExecTransport(run, remote=ovsdb.unix), NB_DATABASE), "a")
    wait_for("the first look", lambda: waiting.looks)
    add(connect(ovsdb.tcp, NB_DATABASE, 5), "a")
    assert [row["name"] for row in waiting.done()] == ["a"]
