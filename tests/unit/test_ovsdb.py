# SPDX-License-Identifier: GPL-3.0-or-later
"""The OVSDB client against a real ovsdb-server, on good lines and on bad ones."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._jsonrpc import Framing, parse_endpoints
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    Client,
    ConnectionLost,
    ExecTransport,
    GuardFailed,
    OvsdbError,
    Unreachable,
    connect,
    guard,
    many,
    named_uuid,
    one,
    to_map,
    to_set,
    uuid,
)
from hypothesis import given
from hypothesis import strategies as st
from support.ovsdb import OvsdbServer, wait_for

Make = Callable[..., Any]


def insert_switch(name: str, **columns: Any) -> dict[str, Any]:
    return {"op": "insert", "table": "Logical_Switch", "row": {"name": name, **columns}}


def names(client: Client) -> list[str]:
    return sorted(row["name"] for row in client.select("Logical_Switch", ["name"]))


# --- values and transactions ---


def test_every_kind_of_value_comes_back_as_it_went(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    nasty = 'quotes " braces }{ backslash \\ umlaut ü rocket \U0001f680 newline \n'
    client.transact(
        [
            {
                "op": "insert",
                "table": "Logical_Switch_Port",
                "uuid-name": "port",
                "row": {
                    "name": "p",
                    "addresses": to_set(["a", "b"]),
                    "options": to_map({"k": nasty}),
                    "up": True,
                    "tag": 7,
                },
            },
            insert_switch("s", ports=to_set([named_uuid("port")])),
        ]
    )
    columns = ["_uuid", "addresses", "options", "up", "tag", "port_security"]
    [port] = client.select("Logical_Switch_Port", columns, [("name", "==", "p")])
    [switch] = client.select("Logical_Switch", ["ports"])
    assert sorted(port["addresses"]) == ["a", "b"]
    assert port["options"] == {"k": nasty}
    assert (port["up"], port["tag"], port["port_security"]) == (True, 7, ())
    assert switch["ports"] == port["_uuid"]
    assert client.select("Logical_Switch", ["name"], [("_uuid", "==", uuid(port["_uuid"]))]) == []


def test_sets_of_none_one_and_two_read_alike() -> None:
    assert (many(()), many("a"), many(("a", "b")), many(None)) == ((), ("a",), ("a", "b"), ())
    assert (one(()), one("a"), one(("a",)), one(None), one(False)) == (None, "a", "a", None, False)


def test_selects_in_one_transaction_answer_in_their_order(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.unix, NB_DATABASE, 5)
    client.transact([insert_switch("a"), insert_switch("b")])
    query = ("Logical_Switch", ["name"])
    answers = client.select_many([(*query, [("name", "==", "b")]), ("NAT", ["type"], ()), (*query, ())])
    assert answers[:2] == [[{"name": "b"}], []]
    assert len(answers[2]) == 2


def test_the_server_is_told_not_to_sort(ovsdb: OvsdbServer, make_relay: Make) -> None:
    """It sorts by all columns unless it is told otherwise, and takes a list of columns to sort by."""
    relay = make_relay(ovsdb.tcp)
    client = connect(relay.tcp, NB_DATABASE, 5)
    client.transact([insert_switch(name) for name in ("b", "a", "c")])
    assert names(client) == ["a", "b", "c"]
    client.select_many([("Logical_Switch", ["name"], [("name", "==", "a")]), ("NAT", ["type"], ())])
    asked = [json.loads(one) for one in re.findall(rb'{"op":"select"[^}]*}', relay.sent)]
    assert [one["sort"] for one in asked if one["table"] in ("Logical_Switch", "NAT")] == [[], [], []]
    by_name = {"op": "select", "table": "Logical_Switch", "where": [], "columns": ["name"], "sort": ["name"]}
    assert [row["name"] for row in client.transact([by_name])[0]["rows"]] == ["a", "b", "c"]


def test_a_failing_operation_is_named_and_nothing_is_written(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    with pytest.raises(OvsdbError, match=r"operation 2 \(insert Logical_Switch\) failed: unknown column.*nope"):
        client.transact([insert_switch("a"), insert_switch("b", nope=1)])
    assert names(client) == []


def test_a_transaction_refused_at_its_commit_says_why(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    nobody = uuid("11111111-1111-1111-1111-111111111111")
    with pytest.raises(OvsdbError, match="transaction refused: referential integrity violation") as caught:
        client.transact([insert_switch("a", ports=to_set([nobody]))])
    assert caught.value.code == "referential integrity violation"
    assert names(client) == []


def test_a_guard_lets_through_what_was_seen_and_stops_what_changed(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 5)
    [result] = client.transact([insert_switch("a")])
    client.transact([guard("Logical_Switch", result["uuid"], {"name": "a"}), insert_switch("b")])
    with pytest.raises(GuardFailed, match=r"Logical_Switch changed meanwhile.*nothing was written.*run again"):
        client.transact([guard("Logical_Switch", result["uuid"], {"name": "other"}), insert_switch("c")])
    with pytest.raises(GuardFailed):
        client.transact([guard("Logical_Switch", "11111111-1111-1111-1111-111111111111", {"name": "a"})])
    assert names(client) == ["a", "b"]


def test_an_unknown_database_is_named(ovsdb: OvsdbServer) -> None:
    with pytest.raises(OvsdbError, match=r"unknown database.*OVN_Nowhere.*does nb_endpoint lead to the other"):
        connect(ovsdb.tcp, "OVN_Nowhere", 5, "nb_endpoint").select("NAT", ["type"])


# --- endpoints ---


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("tcp:10.0.0.1:6641", [("10.0.0.1", 6641, "")]),
        ("tcp:[fd00::1]:6641", [("fd00::1", 6641, "")]),
        ("ssl:nb.example:6641", [("nb.example", 6641, "")]),
        ("tcp:nb.example:1,unix:/run/a.sock", [("nb.example", 1, ""), ("", 0, "/run/a.sock")]),
    ],
)
def test_endpoints_as_ovn_writes_them(text: str, places: list[tuple[str, int, str]]) -> None:
    assert [(place.host, place.port, place.path) for place in parse_endpoints(text)] == places


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1:6641", "tcp:10.0.0.1", "tcp:fd00::1:6641", "tcp:a:0", "tcp:a:65536", "unix:", "tcp:a:1,"]
)
def test_a_wrong_endpoint_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(OvsdbError, match=r"nb_endpoint: .* is not an OVSDB endpoint .*tcp:HOST:PORT") as caught:
        connect(text, NB_DATABASE, 1, "nb_endpoint")
    assert caught.value.path == "nb_endpoint"


def test_the_first_endpoint_that_answers_is_taken(ovsdb: OvsdbServer) -> None:
    assert names(connect(f"tcp:127.0.0.1:{unused_port()},{ovsdb.tcp}", NB_DATABASE, 5)) == []


@pytest.mark.parametrize("host", ["10.4.18..1", "a" * 70 + ".example"])
def test_a_name_that_cannot_be_looked_up_is_named(host: str) -> None:
    with pytest.raises(
        Unreachable, match=f"nb_endpoint: cannot connect to tcp:{re.escape(host)}:6641: .*label"
    ) as caught:
        connect(f"tcp:{host}:6641", NB_DATABASE, 5, "nb_endpoint")
    assert caught.value.path == "nb_endpoint"


def test_a_refused_connection_names_endpoint_and_option() -> None:
    endpoint = f"tcp:127.0.0.1:{unused_port()}"
    with pytest.raises(Unreachable, match=f"nb_endpoint: cannot connect to {endpoint}: Connection refused"):
        connect(endpoint, NB_DATABASE, 5, "nb_endpoint")
    with pytest.raises(Unreachable, match="cannot connect to unix:/nowhere/sock: No such file"):
        connect("unix:/nowhere/sock", NB_DATABASE, 5)


# --- bad lines ---


def test_an_answer_that_comes_byte_by_byte(ovsdb: OvsdbServer, make_relay: Make) -> None:
    client = connect(make_relay(ovsdb.tcp, piece=1).tcp, NB_DATABASE, 10)
    client.transact([insert_switch('ü } " {'), insert_switch("b")])
    assert names(client) == ["b", 'ü } " {']


def test_a_huge_answer_is_whole(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.tcp, NB_DATABASE, 30)
    wide = "}" * 200  # tempts the reader to see the end where it is not
    for start in range(0, 10_000, 5_000):
        client.transact([insert_switch(f"s{n}", external_ids=to_map({"x": wide})) for n in range(start, start + 5_000)])
    rows = client.select("Logical_Switch", ["name", "external_ids"])
    assert len({row["name"] for row in rows}) == 10_000
    assert all(row["external_ids"]["x"] == wide for row in rows)


def test_a_server_that_says_nothing_is_given_up_in_time(ovsdb: OvsdbServer, make_relay: Make) -> None:
    client = connect(make_relay(ovsdb.tcp, mute=True).tcp, NB_DATABASE, 0.5, "nb_endpoint")
    with pytest.raises(Unreachable, match=r"nb_endpoint: tcp:.* gave no complete answer in 0.5 s.*ovn_timeout"):
        client.select("Logical_Switch", ["name"])


def test_half_an_answer_does_not_meet_the_next_request(ovsdb: OvsdbServer, make_relay: Make) -> None:
    client = connect(make_relay(ovsdb.tcp, cut=5, cuts=2).tcp, NB_DATABASE, 5)
    with pytest.raises(ConnectionLost):
        client.select("Logical_Switch", ["name"])
    assert names(client) == []


def test_a_read_is_sent_again_when_the_line_broke(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay = make_relay(ovsdb.tcp, cut=5, cuts=1)
    assert names(connect(relay.tcp, NB_DATABASE, 5)) == []
    assert relay.connections == 2


def test_a_write_is_never_sent_again_when_the_line_broke(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay = make_relay(ovsdb.tcp, cut=5, cuts=1)
    client = connect(relay.tcp, NB_DATABASE, 5)
    with pytest.raises(ConnectionLost, match=r"whether it was done is unknown.*run again"):
        client.transact([insert_switch("a")])
    assert relay.connections == 1
    assert names(connect(ovsdb.tcp, NB_DATABASE, 5)) == ["a"]
    assert names(client) == ["a"]


def test_a_restarted_server_is_found_again_also_for_a_write(ovsdb: OvsdbServer) -> None:
    client = connect(ovsdb.unix, NB_DATABASE, 5)
    client.transact([insert_switch("a")])
    ovsdb.stop()
    ovsdb.start()
    client.transact([insert_switch("b")])  # the broken line is seen before anything is sent
    assert names(client) == ["a", "b"]


def test_echo_requests_of_an_idle_time_are_answered(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay = make_relay(f"tcp:127.0.0.1:{impatient_port(ovsdb, 3000)}")
    client = connect(relay.tcp, NB_DATABASE, 5)
    assert names(client) == []
    wait_for("the server asks for an echo", lambda: b'"echo"' in relay.received)
    assert names(client) == []
    assert "echo" in [message.get("id") for message in Framing().feed(bytes(relay.sent))]
    assert relay.connections == 1


def test_a_connection_that_idled_too_long_is_made_anew(ovsdb: OvsdbServer, make_relay: Make) -> None:
    relay = make_relay(f"tcp:127.0.0.1:{impatient_port(ovsdb)}")
    client = connect(relay.tcp, NB_DATABASE, 5)
    assert names(client) == []
    wait_for("the server hangs up", lambda: relay.closed_by_server)
    client.transact([insert_switch("a")])
    assert names(client) == ["a"]
    assert relay.connections > 1  # on a busy machine it may have idled too long again


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    messages=st.lists(st.dictionaries(st.text(), json_values, max_size=4), min_size=1, max_size=5),
    cuts=st.lists(st.integers(min_value=0, max_value=2000), max_size=20),
    ascii_only=st.booleans(),
    gap=st.sampled_from(["", " ", "\n"]),
)
def test_any_messages_survive_any_cuts(
    messages: list[dict[str, Any]], cuts: list[int], ascii_only: bool, gap: str
) -> None:
    stream = gap.join(json.dumps(message, ensure_ascii=ascii_only) for message in messages).encode("utf-8", "replace")
    expected = [
        json.loads(json.dumps(message, ensure_ascii=ascii_only).encode("utf-8", "replace")) for message in messages
    ]
    framing, found = Framing(), []
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        found += framing.feed(stream[start:end])
    assert found == expected
    assert not framing.pending


# --- by command ---


def test_by_command_the_same_as_by_socket(ovsdb: OvsdbServer) -> None:
    client = Client(local_exec(ovsdb), NB_DATABASE)
    client.transact([insert_switch("ü", external_ids=to_map({"k": 'a "quoted" $(value)'}))])
    [row] = client.select("Logical_Switch", ["name", "external_ids"])
    assert row == {"name": "ü", "external_ids": {"k": 'a "quoted" $(value)'}}
    assert row == connect(ovsdb.tcp, NB_DATABASE, 5).select("Logical_Switch", ["name", "external_ids"])[0]
    with pytest.raises(GuardFailed):
        client.transact([guard("Logical_Switch", "11111111-1111-1111-1111-111111111111", {"name": "x"})])


def test_by_command_the_socket_is_the_databases_own() -> None:
    seen: list[list[str]] = []

    def run(argv: list[str]) -> str:
        seen.append(argv)
        return "[]"

    for database in ("OVN_Northbound", "OVN_Southbound"):
        Client(ExecTransport(run), database).transact([])
    assert [argv[3] for argv in seen] == ["unix:/var/run/ovn/ovnnb_db.sock", "unix:/var/run/ovn/ovnsb_db.sock"]
    assert all(argv[0] == "ovsdb-client" and argv[2] == "transact" for argv in seen)


@pytest.mark.parametrize("output", ["sh: ovsdb-client: not found", "[NaN]", "[" * 200_000 + "]" * 200_000])
def test_by_command_output_that_is_no_json_is_shown(output: str) -> None:
    client = Client(ExecTransport(lambda _argv: output), NB_DATABASE)
    with pytest.raises(OvsdbError, match=f"printed no JSON but: {re.escape(output[:50])}"):
        client.select("NAT", ["type"])


@pytest.mark.parametrize(("operation", "times"), [("select", 2), ("insert", 1)])
def test_by_command_only_reads_are_tried_again(operation: str, times: int) -> None:
    calls = []

    def run(argv: list[str]) -> str:
        calls.append(argv)
        raise Unreachable("the pod is gone")

    with pytest.raises(Unreachable, match="the pod is gone"):
        Client(ExecTransport(run), NB_DATABASE).transact([{"op": operation, "table": "NAT"}])
    assert len(calls) == times


# --- helpers ---


def local_exec(server: OvsdbServer) -> ExecTransport:
    """The command run here instead of in a pod: ovsdb-client itself is real."""

    def run(argv: list[str]) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unreachable(done.stderr)
        return done.stdout

    return ExecTransport(run, remote=server.unix)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def impatient_port(server: OvsdbServer, probe: int = 1000) -> int:
    """A port on which the server asks for an echo after so many milliseconds and hangs up after as many again."""
    connection = {"target": "ptcp:0:127.0.0.1", "inactivity_probe": probe}
    connect(server.unix, NB_DATABASE, 5).transact(
        [
            {"op": "insert", "table": "Connection", "uuid-name": "c", "row": connection},
            {"op": "insert", "table": "NB_Global", "row": {"connections": named_uuid("c")}},
        ]
    )
    return int(wait_for("the impatient port", lambda: server.ports()[1:])[0])
