# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers with garbage: a clear error within the timeout, never a hang, never another exception."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _jsonrpc
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    SB_DATABASE,
    ConnectionLost,
    OvsdbError,
    Unreachable,
    connect,
)
from support.rogue import Answer, Rogue, reply

Make = Callable[..., Rogue]
GUARD = 30  # seconds after which a test calls it a hang; the client's own timeout is 1


@pytest.fixture
def rogue() -> Generator[Make]:
    made: list[Rogue] = []

    def make(answer: Answer, from_the_start: bool = False) -> Rogue:
        made.append(Rogue(answer, from_the_start))
        return made[-1]

    yield make
    for server in made:
        server.close()


def failure(server: Rogue, write: bool = False) -> OvsdbError:
    """What a module would get, in the words for its user; a hang fails the test."""
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client = connect(server.tcp, NB_DATABASE, 1, "nb_endpoint")
            if write:
                client.transact([{"op": "insert", "table": "NAT", "row": {}}])
            client.select("NAT", ["type"])
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(GUARD)
    assert not thread.is_alive(), "it hangs"
    [error] = caught
    assert isinstance(error, OvsdbError), repr(error)
    return error


def says(data: bytes) -> Answer:
    return lambda _request, line: line.sendall(data)


@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b'{"id":1,nonsense}',
        b"{\xff}",
        b"{}7{}",
        b"[1]",
        b'{"id":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"id":2,"result":[{"rows":[{"type":NaN}]}]}',
    ],
    ids=["http", "tls", "no json", "no utf-8", "a number", "a list", "huge number", "deep", "no number"],
)
def test_what_is_not_ovsdb_is_called_so_at_once(rogue: Make, said: bytes, from_the_start: bool) -> None:
    error = failure(rogue(says(said), from_the_start))
    assert isinstance(error, Unreachable)
    assert "does not speak OVSDB, it said b" in error.text
    assert (error.path, "another service" in error.hint) == ("nb_endpoint", True)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_truncated_answer_is_given_up_in_time(rogue: Make, from_the_start: bool) -> None:
    error = failure(rogue(says(b'{"id":2,"result":[{"rows":[{"type":"sn'), from_the_start))
    assert "gave no complete answer in 1 s, 38 bytes of an answer came" in error.text


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_silent_server_is_given_up_in_time(rogue: Make, from_the_start: bool) -> None:
    assert "gave no complete answer in 1 s" in failure(rogue(lambda _request, _line: None, from_the_start)).text


def test_answers_with_wrong_ids_are_no_answer(rogue: Make) -> None:
    error = failure(rogue(lambda request, line: reply(line, {"id": request["id"] + 7}, [{"rows": []}])))
    assert "gave no complete answer in 1 s, 1 answers to other requests came" in error.text


def test_a_server_that_dribbles_for_ever_is_given_up_in_time(rogue: Make) -> None:
    def dribble(_request: dict[str, Any], line: socket.socket) -> None:
        gone = threading.Event()
        with suppress(OSError):
            line.sendall(b'{"id":2,"x":"')
            while not gone.wait(0.05):
                line.sendall(b"x")

    assert "gave no complete answer in 1 s" in failure(rogue(dribble)).text


def test_a_server_that_only_asks_for_echoes_is_given_up_in_time(rogue: Make) -> None:
    def babble(_request: dict[str, Any], line: socket.socket) -> None:
        with suppress(OSError):
            while True:
                line.sendall(json.dumps({"id": "echo", "method": "echo", "params": []}).encode())

    assert isinstance(failure(rogue(babble)), Unreachable)


def test_an_answer_without_end_is_cut_off_at_the_largest(rogue: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jsonrpc, "LARGEST", 1 << 20)

    def flood(_request: dict[str, Any], line: socket.socket) -> None:
        with suppress(OSError):
            line.sendall(b'{"id":2,"x":"')
            while True:
                line.sendall(b"x" * 65536)

    assert "does not speak OVSDB" in failure(rogue(flood)).text


@pytest.mark.parametrize("write", [False, True])
def test_a_half_closed_connection_is_told(rogue: Make, write: bool) -> None:
    def half_close(_request: dict[str, Any], line: socket.socket) -> None:
        line.sendall(b'{"id":2,"resu')
        line.shutdown(socket.SHUT_WR)

    server = rogue(half_close)
    error = failure(server, write)
    assert isinstance(error, ConnectionLost)
    assert "closed by the other side" in error.text
    assert server.methods.count("transact") == (1 if write else 2)  # a read is asked again, a write never
    assert ("whether it was done is unknown" in error.text) is write


@pytest.mark.parametrize("said", [b"", b"{}7", b'{"id":2,"resu'])
def test_of_a_write_without_a_whole_answer_it_is_told_that_nobody_knows(rogue: Make, said: bytes) -> None:
    server = rogue(says(said))
    error = failure(server, write=True)
    assert "while it was writing: whether it was done is unknown" in error.text
    assert "it looks first" in error.hint
    assert server.methods.count("transact") == 1


def test_what_was_never_sent_is_not_called_unknown(rogue: Make) -> None:
    hung_up = threading.Event()

    def hang_up(request: dict[str, Any], line: socket.socket) -> None:
        if server.methods.count("monitor") == 1:
            reply(line, request, {} if request["method"] == "monitor" else [{}])
        if server.methods != ["monitor"]:
            line.shutdown(socket.SHUT_RDWR)
            hung_up.set()

    server = rogue(hang_up, from_the_start=True)
    client = connect(server.tcp, NB_DATABASE, 5, "nb_endpoint")
    client.transact([{"op": "delete", "table": "NAT", "where": []}])
    assert hung_up.wait(30), "before it does, a write would be sent"
    with pytest.raises(ConnectionLost) as caught:
        client.transact([{"op": "delete", "table": "NAT", "where": []}])
    assert server.methods == ["monitor", "transact", "monitor"]
    assert "unknown" not in str(caught.value)


@pytest.mark.parametrize(
    "result",
    [
        None,
        7,
        {},
        [],
        [7],
        [{}],
        [{"rows": 7}],
        [{"rows": [7]}],
        [{"rows": [["type"]]}],
        [{"rows": {"type": "snat"}}],
        [{"rows": [{}]}],
        [{"rows": [{"type": "snat"}, {}]}],
        [{"rows": [{"type": ["map", 7]}]}],
        [{"rows": [{"type": ["map", [["k"]]]}]}],
        [{"rows": [{"type": ["map", [[["set", [[1, 2, 3]]], 1]]]}]}],
        [{"rows": [{"type": ["set", None]}]}],
        [{"rows": [{"type": None}]}],
        [{"rows": [{"type": {"a": 1}}]}],
        [{"rows": [{"type": ["uuid", "u", "v"]}]}],
        [{"rows": [{"type": ["sort", []]}]}],
    ],
)
def test_results_of_the_wrong_form_are_an_error(rogue: Make, result: Any) -> None:
    error = failure(rogue(lambda request, line: reply(line, request, result)))
    assert error.text.startswith(f"{NB_DATABASE}: ")


@pytest.mark.parametrize("identities", [True, False])
@pytest.mark.parametrize("value", [7, "x", True, ["map", [["a", "b"]]], ["set", ["a", "b"]], ["uuid", "u"]])
def test_values_that_ovn_has_in_no_such_column_are_an_error(rogue: Make, value: Any, identities: bool) -> None:
    """The rows are whole and OVSDB's, but not OVN's. Two of a router that names rows which are not there, and so on."""

    def answer(request: dict[str, Any], line: socket.socket) -> None:
        columns = [operation["columns"] for operation in request["params"][1:]]
        reply(line, request, [{"rows": [dict.fromkeys(names, value)] * 2} for names in columns])

    server = rogue(answer)
    northbound = Northbound(connect(server.tcp, NB_DATABASE, 5), connect(server.tcp, SB_DATABASE, 5))
    with pytest.raises(OvsdbError, match="rows came that OVN does not write"):
        northbound.observe(identities=identities)
    assert server.methods.count("transact") <= 3


def test_a_schema_of_the_wrong_form_is_an_error(rogue: Make) -> None:
    server = rogue(lambda request, line: reply(line, request, {"tables": []}))
    with pytest.raises(OvsdbError, match="get_schema was answered with no schema"):
        connect(server.tcp, NB_DATABASE, 1).columns()


@pytest.mark.parametrize("who", [7, {"Database": 7}, {"Database": {"x": 7}}, {"Database": {"x": {"new": 7}}}])
def test_nonsense_about_who_leads_does_no_harm(rogue: Make, who: Any) -> None:
    def answer(request: dict[str, Any], line: socket.socket) -> None:
        reply(line, request, who if request["method"] == "monitor" else [{"rows": []}])

    assert connect(rogue(answer, True).tcp, NB_DATABASE, 5).select("NAT", ["type"]) == []
