# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Frames that tell a physical network where a MAC address lives or ask who has an address, and what is asked of OVS.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

BROADCAST = b"\xff" * 6
NOWHERE = b"\0" * 6
ETH_ARP, ETH_RARP, ETH_VLAN = 0x0806, 0x8035, 0x8100
SHORTEST = 60  # bytes of an Ethernet frame without its checksum


def parse_mac(text: str) -> bytes:
    """The six bytes of a MAC address; ValueError with the right form."""
    if not re.fullmatch(r"(?i)[0-9a-f]{2}([:-][0-9a-f]{2}){5}", text):
        raise ValueError(f"{text!r} is no MAC address like 16:52:f3:13:6a:25")
    mac = bytes.fromhex(re.sub("[:-]", "", text))
    if mac[0] & 1:
        raise ValueError(f"{text!r} is a multicast address: no port can have it")
    return mac


def _frame(mac: bytes, tag: int, kind: int, operation: int, sender: bytes, target: bytes) -> bytes:
    vlan = struct.pack("!HH", ETH_VLAN, tag) if tag else b""
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender + target
    return (BROADCAST + mac + vlan + struct.pack("!H", kind) + arp).ljust(SHORTEST, b"\0")


def gratuitous_arp(mac: bytes, address: str, tag: int = 0) -> list[bytes]:
    """Request and reply that say to all: this address has this MAC now. Some neighbours heed only one of both."""
    ip = IPv4Address(address).packed
    request = _frame(mac, tag, ETH_ARP, 1, mac + ip, NOWHERE + ip)
    reply = _frame(mac, tag, ETH_ARP, 2, mac + ip, mac + ip)
    return [request, reply]


def reverse_arp(mac: bytes, tag: int = 0) -> bytes:
    """What a hypervisor sends after a migration: switches learn where the MAC is, neighbours' caches stay."""
    return _frame(mac, tag, ETH_RARP, 3, mac + b"\0" * 4, mac + b"\0" * 4)


def announces(frame: bytes) -> bool:
    """Whether a frame is a gratuitous ARP: its sender speaks about itself."""
    start = 18 if frame[12:14] == b"\x81\x00" else 14
    arp = frame[start:]
    return frame[start - 2 : start] == b"\x08\x06" and len(arp) >= 28 and arp[14:18] == arp[24:28]


def arp_probe(mac: bytes, address: str, tag: int = 0) -> bytes:
    """Asks who has an address, as one that has none itself (RFC 5227): nobody remembers anything of it."""
    return _frame(mac, tag, ETH_ARP, 1, mac + b"\0" * 4, NOWHERE + IPv4Address(address).packed)


def arp_sender(frame: bytes) -> tuple[str, str] | None:
    """(address, MAC) of who sent a frame of ARP, be it answer or question. None: it is no such, or names nobody."""
    start = 18 if frame[12:14] == b"\x81\x00" else 14
    arp = frame[start : start + 28]
    if frame[start - 2 : start] != b"\x08\x06" or len(arp) < 28 or arp[:6] != b"\0\1\x08\0\6\4":
        return None
    if arp[14:18] == b"\0" * 4:
        return None  # somebody else who only asks
    return str(IPv4Address(arp[14:18])), ":".join(f"{byte:02x}" for byte in arp[8:14])


_LOAD_WORD, _LOAD_HALF, _EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06  # classic BPF's instructions


def frames_from(mac: bytes) -> bytes:
    """A classic BPF program that lets only the frames through that have this source."""
    high, low = struct.unpack("!IH", mac)
    return _program(
        (_LOAD_WORD, 0, 0, 6),
        (_EQUAL, 0, 3, high),
        (_LOAD_HALF, 0, 0, 10),
        (_EQUAL, 0, 1, low),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    )


def frames_of_arp() -> bytes:
    """A classic BPF program that lets only ARP through, tagged or not."""
    return _program(
        (_LOAD_HALF, 0, 0, 12),
        (_EQUAL, 3, 0, ETH_ARP),
        (_EQUAL, 0, 3, ETH_VLAN),
        (_LOAD_HALF, 0, 0, 16),
        (_EQUAL, 0, 1, ETH_ARP),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    )


def _program(*lines: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("HBBI", *line) for line in lines)


# --- a bridge's table of MAC addresses ------------------------------------------------------------------------


def learned(text: str, ports: Iterable[int]) -> list[tuple[str, int]]:
    """(MAC, VLAN) of what `fdb/show` lists behind these ports."""
    wanted = {str(port) for port in ports}
    rows = (line.split() for line in text.splitlines())
    return sorted({(row[2], int(row[1])) for row in rows if len(row) >= 4 and row[0] in wanted and row[1].isdigit()})


def behind(numbers: Mapping[str, int], nics: Iterable[str]) -> list[int]:
    """OpenFlow numbers of a bridge's ports that do not lead to the physical network."""
    outside = set(nics)
    return sorted(number for name, number in numbers.items() if name not in outside and 0 < number < 0xFF00)


# --- OpenFlow 1.3, as much of it as asks for the flows to one MAC ----------------------------------------------

VERSION = 4
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, MULTIPART_REQUEST, MULTIPART_REPLY = 0, 1, 2, 3, 18, 19
FLOWS, MORE = 1, 1
ETH_DST, ETH_TYPE = 3, 5  # fields of the class OpenFlow basic
BASIC = 0x8000


def message(kind: int, number: int, body: bytes = b"") -> bytes:
    """A message with its header."""
    return struct.pack("!BBHI", VERSION, kind, 8 + len(body), number) + body


def ask_flows_to(mac: bytes, number: int) -> bytes:
    """Asks for every flow, of any table, whose match names this destination."""
    any_port, any_group = 0xFFFFFFFF, 0xFFFFFFFF
    match = struct.pack("!HH", 1, 14) + struct.pack("!HBB", BASIC, ETH_DST << 1, 6) + mac + b"\0\0"
    request = struct.pack("!B3xII4xQQ", 0xFF, any_port, any_group, 0, 0) + match
    return message(MULTIPART_REQUEST, number, struct.pack("!HH4x", FLOWS, 0) + request)


def delivers(body: bytes) -> bool:
    """Whether a reply has a flow that takes any frame to the MAC asked for, whatever its kind.

    OVN has such flows for a router port's MAC only where the port lives. Other gateways have flows for single kinds of
    packet to it (ICMP's "too big").
    """
    return any(ETH_TYPE not in fields for fields in _matches(body[8:]))


def _matches(flows: bytes) -> Iterator[set[int]]:
    """The basic fields that each flow of a reply matches on."""
    while len(flows) >= 52:
        (length,) = struct.unpack_from("!H", flows)
        (size,) = struct.unpack_from("!H", flows, 50)
        if length < 52:
            return
        yield set(_basic_fields(flows[52 : 48 + size]))
        flows = flows[length:]


def _basic_fields(match: bytes) -> Iterator[int]:
    while len(match) >= 4:
        group, field, length = struct.unpack_from("!HBB", match)
        if group == BASIC:
            yield field >> 1
        match = match[4 + length :]
