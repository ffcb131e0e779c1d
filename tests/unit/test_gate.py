# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate that tests kill modules at: what it holds is not done, or done and not answered, and the rest passes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import NB_DATABASE, Client, OvsdbError, connect
from support.gate import Api, Database, Gate
from support.ovsdb import OvsdbServer

DEADLINE = 10.0


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    asked: list[str]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.asked.append(f"{self.command} {self.path} {self.headers['Authorization']} {body}")
        answer = json.dumps({"asked": self.asked[-1]}).encode()
        self.send_response(409 if "taken" in self.path else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def log_request(self, *_what: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[list[str], str]]:
    """What a server was asked, and a kubeconfig that leads to it."""
    asked: list[str] = []
    http = HTTPServer(("127.0.0.1", 0), type("Handler", (Echo,), {"asked": asked}))
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    kubeconfig = {
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{http.server_port}"}}],
        "users": [{"name": "x", "user": {"token": "let-me-in"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    yield asked, str(path)
    http.shutdown()
    http.server_close()


def ask(api: Api, method: str, path: str, answers: list[int]) -> threading.Thread:
    """Ask in a thread of its own, which ends when there is an answer, or none will come."""

    def run() -> None:
        headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
        try:
            answer = urllib3.request(method, api.url + path, body=b"{}", headers=headers, retries=False)
            answers.append(answer.status)
        except urllib3.exceptions.HTTPError:
            answers.append(0)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("done", [False, True])
def test_one_write_to_the_api_server_is_held(server: tuple[list[str], str], done: bool) -> None:
    asked, kubeconfig = server
    gate = Gate(hold=2, done=done)
    api = Api(gate, kubeconfig)
    answers: list[int] = []
    for method, path in [
        ("GET", "/api/v1/pods?limit=500"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        ("POST", "/taken"),
    ]:
        ask(api, method, path, answers).join(DEADLINE)
    held = ask(api, "PATCH", "/second", answers)
    assert gate.held.wait(DEADLINE)
    ask(api, "DELETE", "/third", answers).join(DEADLINE)
    assert answers == [200, 200, 409, 200], "all but the second write is answered as the server does"
    assert held.is_alive()
    gate.close()
    held.join(DEADLINE)
    api.close()
    assert answers[4:] == [0], "who is let go gets no answer"
    assert gate.writes == ["POST /taken", "PATCH /second", "DELETE /third"]
    assert [line for line in asked if "/second" in line] == ["PATCH /second Bearer let-me-in {}"] * done


@pytest.mark.parametrize("done", [False, True])
def test_one_write_to_the_database_is_held(make_ovsdb: Callable[..., OvsdbServer], done: bool) -> None:
    server = make_ovsdb()
    gate = Gate(hold=2, done=done)
    database = Database(gate, server.tcp)
    client = connect(database.tcp, NB_DATABASE, timeout=DEADLINE)

    def insert(name: str, through: Client) -> list[Any]:
        return through.transact([{"op": "insert", "table": "Logical_Switch", "row": {"name": name}}])

    def names() -> list[str]:
        direct = connect(server.tcp, NB_DATABASE, timeout=DEADLINE)
        return sorted(row["name"] for row in direct.select("Logical_Switch", ["name"]))

    assert client.select("Logical_Switch", ["name"]) == []
    insert("first", client)
    lost: list[str] = []

    def write() -> None:
        try:
            insert("second", client)
        except OvsdbError as error:
            lost.append(str(error))

    held = threading.Thread(target=write)
    held.start()
    assert gate.held.wait(DEADLINE)
    assert names() == (["first", "second"] if done else ["first"])
    other = connect(database.tcp, NB_DATABASE, timeout=DEADLINE)
    insert("third", other)
    assert held.is_alive()
    gate.close()
    database.close()
    held.join(DEADLINE)
    assert "connection" in lost[0]
    assert names() == (["first", "second", "third"] if done else ["first", "third"])
    assert gate.writes == ["transact ['insert']"] * 3
