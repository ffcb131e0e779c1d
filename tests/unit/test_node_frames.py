# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that announce, the table that a bridge has learned, and OpenFlow's answers, recorded from real gateways."""

from __future__ import annotations

import json
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_frames, _node_wire

MAC = bytes.fromhex("1652f3136a26")

# Bodies of ovs-vswitchd 3.5's answers about flows to 16:52:f3:13:6a:26, OVN 25.03.
ACTIVE = bytes.fromhex(
    "000100000000000000e80800000000302db77dc000780000000000000000000000000000a947eab10000000000000000000000000000"
    "00000001003b800006061652f3136a2680000a0208008000140101800026010380002801040001150800010000000100008000040800"
    "0000000000000400000000000004007800000000ffff001800002320001b000000011c040020000000000000ffff001800002320001b"
    "000000011e040020000000000000ffff001800002320001c000000011c040020000000000000ffff001800002320001c000000011e04"
    "0020000000000000ffff001000002320000efff82400000000e80800000000302db77dc000780000000000000000000000000000a947"
    "eab1000000000000000000000000000000000001003b800006061652f3136a2680000a0286dd800014013a80003a010280003c010000"
    "011508000100000001000080000408000000000000000400000000000004007800000000ffff001800002320001b000000011c040020"
    "000000000000ffff001800002320001b000000011e040020000000000000ffff001800002320001c000000011c040020000000000000"
    "ffff001800002320001c000000011e040020000000000000ffff001000002320000efff82400000000880800000000302db77dc00032"
    "00000000000000000000000000006f16b45a0000000000000084000000000000325000010022800006061652f3136a2600011c040000"
    "00038000040800000000000000010000000000000004003000000000ffff0018000023200007102f0001de1000001652f3136a26ffff"
    "001000002320000efff80900000000782400000000302db77dc0003200000000000000000000000000000088388c0000000000000083"
    "00000000000032260001001a800006061652f3136a268000040800000000000000040000000000000004002800000000001900100001"
    "1e040000000200000000ffff001000002320000efff828000000"
)
STANDBY = bytes.fromhex(
    "000100000000000000e80800000000312db77dc000780000000000000000000000000000a947eab10000000000000000000000000000"
    "00000001003b800006061652f3136a2680000a0208008000140101800026010380002801040001150800010000000100008000040800"
    "0000000000000400000000000004007800000000ffff001800002320001b000000011c040020000000000000ffff001800002320001b"
    "000000011e040020000000000000ffff001800002320001c000000011c040020000000000000ffff001800002320001c000000011e04"
    "0020000000000000ffff001000002320000efff82400000000e80800000000312db77dc000780000000000000000000000000000a947"
    "eab1000000000000000000000000000000000001003b800006061652f3136a2680000a0286dd800014013a80003a010280003c010000"
    "011508000100000001000080000408000000000000000400000000000004007800000000ffff001800002320001b000000011c040020"
    "000000000000ffff001800002320001b000000011e040020000000000000ffff001800002320001c000000011c040020000000000000"
    "ffff001800002320001c000000011e040020000000000000ffff001000002320000efff82400000000f80800000000312db77dc00078"
    "00000000000000000000000000002c2268e9000000000000000000000000000000000001003b800006061652f3136a2680000a020800"
    "80001401018000260103800028010400011508000100000001000080000408000000000000000100000000000004008800000000ffff"
    "001800002320001b000000011c040020000000000000ffff001800002320001b000000011e040020000000000000ffff001800002320"
    "001c000000011c040020000000000000ffff001800002320001c000000011e0400200000000000000019001000011c04000000030000"
    "0000ffff001000002320000efff80900000000f80800000000312db77dc0007800000000000000000000000000002c2268e900000000"
    "0000000000000000000000000001003b800006061652f3136a2680000a0286dd800014013a80003a010280003c010000011508000100"
    "000001000080000408000000000000000100000000000004008800000000ffff001800002320001b000000011c040020000000000000"
    "ffff001800002320001b000000011e040020000000000000ffff001800002320001c000000011c040020000000000000ffff00180000"
    "2320001c000000011e0400200000000000000019001000011c040000000300000000ffff001000002320000efff809000000"
)
EMPTY = bytes.fromhex("0001000000000000")


def test_only_the_active_gateway_delivers() -> None:
    assert _node_frames.delivers(ACTIVE)
    assert not _node_frames.delivers(STANDBY)
    assert not _node_frames.delivers(EMPTY)


def test_half_an_answer_delivers_nothing_and_ends() -> None:
    assert not _node_frames.delivers(STANDBY[:-7])
    assert not _node_frames.delivers(EMPTY + b"\0" * 80)


def test_the_question_names_all_tables_and_the_mac() -> None:
    text = _node_frames.ask_flows_to(MAC, 7)
    version, kind, length, number = struct.unpack_from("!BBHI", text)
    assert (version, kind, length, number) == (4, 18, len(text), 7)
    assert text[16] == 0xFF
    assert text.endswith(bytes.fromhex("0001000e80000606") + MAC + b"\0\0")
    assert len(text) % 8 == 0


def test_gratuitous_arp_is_a_request_and_a_reply() -> None:
    request, reply = _node_frames.gratuitous_arp(MAC, "10.4.19.254")
    ip, head = bytes([10, 4, 19, 254]), b"\xff" * 6 + MAC + b"\x08\x06"
    assert len(request) == len(reply) == 60
    assert request.startswith(head + bytes.fromhex("0001080006040001") + MAC + ip + b"\0" * 6 + ip)
    # Linux takes a reply as gratuitous only when it is about its sender in both fields.
    assert reply.startswith(head + bytes.fromhex("0001080006040002") + MAC + ip + MAC + ip)


def test_a_tagged_network_gets_tagged_frames() -> None:
    for frame in (*_node_frames.gratuitous_arp(MAC, "10.4.19.254", 210), _node_frames.reverse_arp(MAC, 210)):
        assert frame[12:16] == bytes.fromhex("810000d2")
        assert len(frame) >= 60


def test_reverse_arp_names_no_address() -> None:
    frame = _node_frames.reverse_arp(MAC)
    assert frame[12:22] == bytes.fromhex("80350001080006040003")
    assert frame[22:42] == (MAC + b"\0" * 4) * 2


@pytest.mark.parametrize("tag", [0, 210])
def test_an_announcement_is_known_as_one(tag: int) -> None:
    request, reply = _node_frames.gratuitous_arp(MAC, "10.4.19.254", tag)
    assert _node_frames.announces(request)
    assert _node_frames.announces(reply)
    asks_for_another = request.replace(bytes([10, 4, 19, 254]), bytes([10, 4, 19, 1]), 1)
    assert not _node_frames.announces(asks_for_another)
    assert not _node_frames.announces(_node_frames.reverse_arp(MAC, tag))
    assert not _node_frames.announces(request[:30])


@pytest.mark.parametrize("text", ["16:52:f3:13:6a:25", "16-52-F3-13-6A-25"])
def test_mac_addresses_are_read(text: str) -> None:
    assert _node_frames.parse_mac(text) == bytes.fromhex("1652f3136a25")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("16:52:f3:13:6a", "is no MAC address"),
        ("", "is no MAC address"),
        ("01:00:5e:00:00:01", "is a multicast address"),
    ],
)
def test_other_texts_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _node_frames.parse_mac(text)


def test_the_filter_compares_the_source() -> None:
    program = [struct.unpack_from("HBBI", _node_frames.frames_from(MAC), at) for at in range(0, 48, 8)]
    assert [line[3] for line in program] == [6, 0x1652F313, 10, 0x6A26, 0xFFFF, 0]
    # Each comparison that fails jumps to the last line, which drops.
    assert [at + 1 + line[2] for at, line in enumerate(program) if line[0] == 0x15] == [5, 5]


# --- who has an address ---

NIC = bytes.fromhex("024b0f03000c")
# A probe as a gateway of the lab sent it, what a Linux host answered, and a question as such a host asks it.
PROBE = (
    bytes.fromhex("ffffffffffff024b0f03000c08060001080006040001024b0f03000c000000000000000000000a0413b1") + b"\0" * 18
)
ANSWER = bytes.fromhex("024b0f03000c024b0f03001d08060001080006040002024b0f03001d0a0413b1024b0f03000c00000000")
QUESTION = bytes.fromhex("ffffffffffff024b0f03001d08060001080006040001024b0f03001d0a0413b10000000000000a041301")
HOST = ("10.4.19.177", "02:4b:0f:03:00:1d")


def test_a_probe_names_no_sender_that_anybody_would_remember() -> None:
    assert _node_frames.arp_probe(NIC, "10.4.19.177") == PROBE
    assert _node_frames.arp_sender(PROBE) is None
    assert _node_frames.arp_probe(NIC, "10.4.19.177", 210) == tagged(PROBE)[:60]


def tagged(frame: bytes) -> bytes:
    return frame[:12] + bytes.fromhex("810000d2") + frame[12:]


def test_who_speaks_arp_has_an_address() -> None:
    for frame in (ANSWER, QUESTION, tagged(ANSWER), ANSWER + b"\0" * 18):
        assert _node_frames.arp_sender(frame) == HOST


def test_other_frames_and_halves_of_one_say_nothing() -> None:
    for frame in (ANSWER[:41], tagged(ANSWER)[:45], ANSWER[:12], b"", _node_frames.reverse_arp(MAC)):
        assert _node_frames.arp_sender(frame) is None
    assert _node_frames.arp_sender(ANSWER.replace(bytes.fromhex("080006040002"), bytes.fromhex("86dd06100002"))) is None


def passes(program: bytes, frame: bytes) -> bool:
    """What the kernel does with these few instructions; a load behind a frame's end drops the frame."""
    value, at = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("HBBI", program, 8 * at)
        at += 1
        if code == 0x06:
            return bool(k)
        if code == 0x15:
            at += yes if value == k else no
            continue
        size = {0x28: 2, 0x20: 4}[code]
        if k + size > len(frame):
            return False
        value = int.from_bytes(frame[k : k + size], "big")


def test_the_filters_of_the_kernel() -> None:
    arp, own = _node_frames.frames_of_arp(), _node_frames.frames_from(MAC)
    others = (_node_frames.reverse_arp(MAC), _node_frames.reverse_arp(MAC, 210), ANSWER[:13])
    assert all(passes(arp, frame) for frame in (ANSWER, QUESTION, tagged(ANSWER)))
    assert not any(passes(arp, frame) for frame in others)
    assert passes(own, others[0])
    assert not passes(own, ANSWER)


TABLE = """\
 port  VLAN  MAC                Age
    2     0  16:52:f3:13:6a:25   50
    3     0  02:4b:0f:03:00:1d   36
    2   210  16:52:f3:13:6a:26   36
LOCAL     0  36:03:ff:ff:00:01    3
"""


def test_what_a_bridge_has_behind_it() -> None:
    numbers = {"br-external": 65534, "enp8s0": 3, "patch": 2, "broken": -1}
    ports = _node_frames.behind(numbers, ["enp8s0"])
    assert ports == [2]
    assert _node_frames.learned(TABLE, ports) == [("16:52:f3:13:6a:25", 0), ("16:52:f3:13:6a:26", 210)]
    assert _node_frames.learned("", ports) == []


def test_a_bridge_tells_what_it_has_heard(tmp_path: Path) -> None:
    """Asked by the socket that ovs-appctl uses; who cannot be asked has not heard nothing."""
    database = str(tmp_path / "db.sock")
    assert _node_wire.heard(database, "br-external", 3) is None  # no ovs-vswitchd
    assert _node_wire.heard(None, "br-external", 3) is None
    assert _node_wire.heard(database, "br-external", None) is None
    (tmp_path / "ovs-vswitchd.pid").write_text("7\n")
    asked: list[dict[str, Any]] = []

    def answer() -> None:
        connection, _address = listener.accept()
        with connection:
            asked.append(json.loads(connection.recv(1 << 16)))
            connection.sendall(json.dumps({"id": 0, "result": TABLE, "error": None}).encode())

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ovs-vswitchd.7.ctl"))
        listener.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        assert _node_wire.heard(database, "br-external", 3) == ["02:4b:0f:03:00:1d"]
        thread.join()
    assert (asked[0]["method"], asked[0]["params"]) == ("fdb/show", ["br-external"])
