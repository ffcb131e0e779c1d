# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate between a module and its servers: all passes, but one write is held, or its answer, so that a kill meets it.

The API server and OVN's northbound database are reached through it, and their writes are counted together.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import urllib3
import yaml

READING = frozenset({"select", "wait", "comment"})  # OVSDB operations that change nothing
ASKING = "/apis/authorization.k8s.io/"  # a POST there changes nothing either
PASSED = frozenset({"accept", "authorization", "content-type", "user-agent"})


class Gate:
    """Counts writes. Number `hold` is held for ever: it is not passed on or, with `done`, done and not answered."""

    def __init__(self, hold: int = 0, done: bool = False) -> None:
        self.writes: list[str] = []  # all that came, in order
        self.held = threading.Event()
        self._hold, self._done = hold, done
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def comes(self, text: str) -> int:
        """Note a write: its number."""
        with self._lock:
            self.writes.append(text)
            return len(self.writes)

    def holds(self, number: int, done: bool) -> bool:
        """Whether this write goes no further. When so, it returns only after `close`."""
        if number != self._hold or done != self._done:
            return False
        self.held.set()
        self._closed.wait()
        return True

    def close(self) -> None:
        """Whoever is held is let go, to nowhere."""
        self._closed.set()


class Api:
    """Plain HTTP on loopback, passed on to the API server of a kubeconfig that has one cluster and one token."""

    def __init__(self, gate: Gate, kubeconfig: str) -> None:
        known = yaml.safe_load(Path(kubeconfig).read_text())
        cluster = known["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster.get("certificate-authority-data") or "").decode()
        context = ssl.create_default_context(cadata=authority or None)
        pool = urllib3.PoolManager(ssl_context=context, maxsize=32, retries=False)
        self.token = str(known["users"][0]["user"]["token"])
        self._server = _Server(("127.0.0.1", 0), _handler(gate, pool, cluster["server"]))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """End the proxy."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a module connects many times at once


def _handler(gate: Gate, pool: urllib3.PoolManager, server: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # an answer in one piece

        def handle_one_request(self) -> None:
            with contextlib.suppress(OSError):  # the client was killed
                super().handle_one_request()
                return
            self.close_connection = True

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            writes = self.command != "GET" and not self.path.startswith(ASKING)
            number = gate.comes(f"{self.command} {self.path}") if writes else 0
            if number and gate.holds(number, done=False):
                self.close_connection = True
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED}
            answer = pool.request(self.command, server + self.path, body=body, headers=headers, redirect=False)
            if number and gate.holds(number, done=True):
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

        def log_request(self, *_what: object) -> None:
            """Nothing: a test's output is its own."""

    return Handler


class Database:
    """OVSDB on loopback, passed on to an endpoint tcp:HOST:PORT."""

    def __init__(self, gate: Gate, endpoint: str) -> None:
        _scheme, host, port = endpoint.split(":")
        self._gate, self._server = gate, (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.tcp = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End the proxy and its connections."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """One request after the other, as the module sends them; the server's own echo requests are passed too."""
        waiting = [0]  # the number of the write whose answer is due
        threading.Thread(target=self._back, args=(server, client, waiting), daemon=True).start()
        with contextlib.suppress(OSError):
            for message in _messages(client):
                number = self._gate.comes(f"transact {_operations(message)}") if _writes(message) else 0
                if number and self._gate.holds(number, done=False):
                    return
                waiting[0] = number
                server.sendall(json.dumps(message).encode())
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket, waiting: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if waiting[0] and self._gate.holds(waiting[0], done=True):
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


def _messages(sock: socket.socket) -> Iterator[dict[str, Any]]:
    """The JSON values that come one behind the other."""
    decoder, text = json.JSONDecoder(), ""
    while data := sock.recv(1 << 16):
        text += data.decode("ascii")
        while text:
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break  # there is more of it to come
            yield message
            text = text[end:].lstrip()


def _writes(message: dict[str, Any]) -> bool:
    return message.get("method") == "transact" and bool(set(_operations(message)) - READING)


def _operations(message: dict[str, Any]) -> list[str]:
    return [part["op"] for part in message.get("params", ()) if isinstance(part, dict)]


class Gated:
    """The way through a gate to the lab that the environment names: a module's options for it."""

    def __init__(self, hold: int = 0, done: bool = False) -> None:
        self.gate = Gate(hold, done)
        self._api = Api(self.gate, os.environ["K8S_AUTH_KUBECONFIG"])
        self._database = Database(self.gate, os.environ["KUBEOVN_NB_ENDPOINT"])
        self.options = {"host": self._api.url, "api_key": self._api.token, "nb_endpoint": self._database.tcp}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.gate.close()
        self._api.close()
        self._database.close()
