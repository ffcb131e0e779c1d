# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where OVSDB servers listen, as OVN writes it, and sockets to them: tcp, ssl (both sides verified) and unix.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass


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


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the CA that signed the server's certificate, and this client's certificate and key."""

    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = ""

    def context(self) -> ssl.SSLContext:
        """How a server is verified. As in OVN, whose certificates name no hosts, the CA decides, not the name."""
        if not self.ca_cert:
            hint = "an ssl endpoint needs the CA that signed the server's certificate"
            raise OvsdbError("ovn_ca_cert: missing", path="ovn_ca_cert", hint=hint)
        if bool(self.client_cert) != bool(self.client_key):
            option = "ovn_client_key" if self.client_cert else "ovn_client_cert"
            raise OvsdbError(f"{option}: missing", path=option, hint="certificate and key go together")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca_cert)
        except OSError as error:
            raise _unreadable("ovn_ca_cert", self.ca_cert, error) from error
        if self.client_cert:
            try:
                # An encrypted key would ask at the terminal; an empty password makes it an error instead.
                context.load_cert_chain(self.client_cert, self.client_key, password="")
            except OSError as error:
                files = f"{self.client_cert} with {self.client_key}"
                raise _unreadable("ovn_client_cert", files, error) from error
        return context


def _unreadable(option: str, files: str, error: OSError) -> OvsdbError:
    hint = "a file in PEM that this user can read is needed; a key must not be encrypted, and fit its certificate"
    return OvsdbError(f"{option}: cannot use {files}: {error.strerror or error}", path=option, hint=hint)


@dataclass(frozen=True)
class Endpoint:
    """One place to connect to. `text` is what the user wrote."""

    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    secure: bool = False

    def open(self, timeout: float, tls: ssl.SSLContext | None = None) -> socket.socket:
        """A connected socket; for an ssl endpoint the handshake is done."""
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
        if tls is None:
            return sock
        try:
            return tls.wrap_socket(sock)
        except OSError:
            sock.close()
            raise


def parse_endpoints(text: str, option: str = "endpoint") -> tuple[Endpoint, ...]:
    """The endpoints of a comma-separated list, as OVN's own tools take it: tcp:10.0.0.1:6641,tcp:[fd00::1]:6641."""
    form = "tcp:HOST:PORT or ssl:HOST:PORT, IPv6 as tcp:[ADDRESS]:PORT, or unix:/path; several are separated by commas"
    found = []
    for part in (piece.strip() for piece in text.split(",")):
        inet = re.fullmatch(r"(tcp|ssl):(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/\s]+)):(\d{1,5})", part)
        if inet and 0 < int(inet[4]) < 65536:
            found.append(Endpoint(part, host=inet[2] or inet[3], port=int(inet[4]), secure=inet[1] == "ssl"))
        elif re.fullmatch(r"unix:/\S+", part):
            found.append(Endpoint(part, path=part[len("unix:") :]))
        else:
            raise OvsdbError(f"{option}: {part!r} is not an OVSDB endpoint", path=option, hint=form)
    return tuple(found)
