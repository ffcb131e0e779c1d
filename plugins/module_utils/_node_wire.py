# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Open vSwitch's and the network's sockets on a node: who is delivered to, what a bridge learned, frames out and in.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ansible_collections.kubeovn.core.plugins.module_utils import _node_frames

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable

ALL_FRAMES = 0x0003  # ETH_P_ALL
OUTGOING = 4  # PACKET_OUTGOING
ATTACH_FILTER = 26  # SO_ATTACH_FILTER, which Python's socket module does not name
BURST = 32  # frames at once: the answers to more would not fit into a socket's buffer, nor a switch's limits


class Flows:
    """Asks a bridge's ofproto by its own socket, since nodes whose Open vSwitch runs in a pod have no ovs-ofctl."""

    def __init__(self, ovs_socket: str, bridge: str, timeout: float = 5) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._data, self._number = b"", 0
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(os.path.join(os.path.dirname(ovs_socket), f"{bridge}.mgmt"))
            self._socket.sendall(_node_frames.message(_node_frames.HELLO, 0))
        except OSError:
            self._socket.close()
            raise

    def deliver(self, mac: bytes) -> bool:
        """Whether the bridge takes frames to this MAC."""
        self._number += 1
        self._socket.sendall(_node_frames.ask_flows_to(mac, self._number))
        found = False
        while True:
            kind, number, body = self._next()
            if kind == _node_frames.ECHO_REQUEST:
                self._socket.sendall(_node_frames.message(_node_frames.ECHO_REPLY, number, body))
            elif kind == _node_frames.ERROR:
                raise OSError(f"the bridge refused OpenFlow 1.3: error {body[:4].hex()}")
            elif kind == _node_frames.MULTIPART_REPLY and number == self._number:
                found = found or _node_frames.delivers(body)
                if not struct.unpack_from("!HH", body)[1] & _node_frames.MORE:
                    return found

    def _next(self) -> tuple[int, int, bytes]:
        kind, length, number = struct.unpack("!xBHI", self._take(8))
        return kind, number, self._take(length - 8)

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise OSError("the bridge closed the connection")
            self._data += piece
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def vswitchd(ovs_socket: str, command: str, *arguments: str, timeout: float = 5) -> str:
    """What ovs-vswitchd answers, as by ovs-appctl."""
    folder = os.path.dirname(ovs_socket)
    with open(os.path.join(folder, "ovs-vswitchd.pid"), encoding="ascii") as file:
        path = os.path.join(folder, f"ovs-vswitchd.{file.read().strip()}.ctl")
    data, decoder = "", json.JSONDecoder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(json.dumps({"id": 0, "method": command, "params": list(arguments)}).encode())
        while True:
            piece = sock.recv(1 << 16)
            if not piece:
                raise OSError(f"ovs-vswitchd did not answer {command}")
            data += piece.decode()
            try:
                answer: dict[str, Any] = decoder.raw_decode(data.lstrip())[0]
            except ValueError:
                continue  # not all of it is here yet
            break
    if answer.get("error"):
        raise OSError(f"ovs-vswitchd refused {command}: {str(answer['error']).strip()}")
    return str(answer.get("result") or "")


def heard(ovs_socket: str | None, bridge: str, port: int | None) -> list[str] | None:
    """MAC addresses that a bridge has learned to be behind a port; None where it cannot be asked."""
    if ovs_socket is None or port is None:
        return None
    try:
        table = vswitchd(ovs_socket, "fdb/show", bridge)
    except OSError:
        return None
    return sorted({mac for mac, _vlan in _node_frames.learned(table, [port])})


def send(nic: str, frames: Iterable[bytes]) -> int:
    """Send frames out of a NIC, past its bridge; how many."""
    count = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((nic, 0))
        for frame in frames:
            sock.send(frame)
            count += 1
    return count


def send_rounds(
    nics: Iterable[str], frames: Iterable[bytes], pauses: Iterable[float], before: Callable[[], object] = int
) -> int:
    """Send frames out of all NICs, again after each pause, since a single frame may be lost; how many in all."""
    names, every, count = list(nics), list(frames), 0
    for pause in pauses:
        time.sleep(pause)
        before()
        count += sum(send(name, every) for name in names)
    return count


class Ear:
    """Listens on NICs for another machine that announces a MAC."""

    def __init__(self, nics: Iterable[str], mac: bytes) -> None:
        self._sockets: list[socket.socket] = []
        program = _node_frames.frames_from(mac)
        try:
            for nic in nics:
                self._sockets.append(_listen(nic, program))
        except OSError:
            self.close()
            raise

    def heard(self, timeout: float) -> bool:
        """Whether one was within this time."""
        deadline = time.monotonic() + timeout
        while True:
            ready = select.select(self._sockets, [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                return False
            for frame, source in (sock.recvfrom(64) for sock in ready):
                if source[2] != OUTGOING and _node_frames.announces(frame):
                    return True

    def close(self) -> None:
        """Stop listening."""
        for sock in self._sockets:
            sock.close()


def who_has(nic: str, mac: bytes, addresses: Collection[str], wait: float, tag: int = 0) -> set[tuple[str, str]]:
    """(address, MAC) of all who say that they have one of these addresses. The silent ones are asked a second time."""
    found: set[tuple[str, str]] = set()
    ear = _listen(nic, _node_frames.frames_of_arp())
    try:
        for _round in range(2):
            known = {address for address, _mac in found}
            silent = [address for address in addresses if address not in known]
            if not silent:
                break
            for start in range(0, len(silent), BURST):
                send(nic, (_node_frames.arp_probe(mac, address, tag) for address in silent[start : start + BURST]))
                found |= _heard(ear, 0.01)
            found |= _heard(ear, wait)
    finally:
        ear.close()
    wanted = set(addresses)
    return {each for each in found if each[0] in wanted}


def _heard(ear: socket.socket, timeout: float) -> set[tuple[str, str]]:
    """Who spoke ARP within this time."""
    deadline = time.monotonic() + timeout
    found: set[tuple[str, str]] = set()
    while select.select([ear], [], [], max(0.0, deadline - time.monotonic()))[0]:
        frame, source = ear.recvfrom(64)
        sender = None if source[2] == OUTGOING else _node_frames.arp_sender(frame)
        if sender is not None:
            found.add(sender)
        if time.monotonic() > deadline:
            break  # however much is said
    return found


def _listen(nic: str, program: bytes) -> socket.socket:
    """All frames, since those for an Open vSwitch of the kernel pass by every narrower socket."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: nothing comes before the filter is there
    buffer = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(buffer)))
    sock.bind((nic, ALL_FRAMES))
    return sock
