# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP relay for tests: it passes bytes between a client and a real server, and does harm on the way when asked."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Listens on loopback and relays each connection.

    piece: pass the server's bytes on in pieces of so many. cut: close a connection after so many bytes of the
    server's answers, on the first `cuts` connections, once the client has asked for OVN's data (who leads is another
    matter). mute: pass nothing of what the server says then.
    """

    def __init__(self, endpoint: str, piece: int = 1 << 16, cut: int = -1, cuts: int = 1 << 30, mute: bool = False):
        _scheme, host, port = endpoint.split(":")
        self._server = (host, int(port))
        self._piece, self._cut, self._cuts, self._mute = piece, cut, cuts, mute
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.tcp = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.closed_by_server = 0
        self.sent = bytearray()  # what clients said
        self.received = bytearray()  # what the server said
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End the relay and its connections."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    server = socket.create_connection(self._server)
                except OSError:  # it refuses
                    client.close()
                    continue
                self._sockets += [client, server]
                self.connections += 1
                cut = self._cut if self.connections <= self._cuts else -1
                asked = threading.Event()
                threading.Thread(target=self._forward, args=(client, server, asked), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client, cut, asked), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                self.sent += data
                if b'["OVN_' in data:
                    asked.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket, cut: int, asked: threading.Event) -> None:
        ended = False
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if 0 <= cut < len(data) and asked.is_set():
                    client.sendall(data[:cut])
                    break
                for start in range(0, 0 if self._mute and asked.is_set() else len(data), self._piece):
                    client.sendall(data[start : start + self._piece])
                self.received += data  # noted when the client has it
            else:
                ended = True
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        self.closed_by_server += ended  # noted when the client can see it
