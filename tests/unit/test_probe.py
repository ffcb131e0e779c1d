# SPDX-License-Identifier: GPL-3.0-or-later
"""What ping prints, in numbers."""

from __future__ import annotations

import pytest
from ansible_collections.kubeovn.core.plugins.filter.ping_summary import ping_summary, ping_targets
from ansible_collections.kubeovn.core.plugins.module_utils._probe import parse_ping

HEAD = "PING 10.4.19.101 (10.4.19.101) 56(84) bytes of data.\n"


def reply(seq: int, at: float | None = None, ttl: int = 62) -> str:
    stamp = f"[{at:.6f}] " if at is not None else ""
    return f"{stamp}64 bytes from 10.4.19.101: icmp_seq={seq} ttl={ttl} time=0.512 ms\n"


def summary(sent: int, received: int) -> str:
    return (
        "\n--- 10.4.19.101 ping statistics ---\n"
        f"{sent} packets transmitted, {received} received, {100 - 100 * received // sent}% packet loss, time 401ms\n"
    )


def test_all_answered() -> None:
    ping = parse_ping(HEAD + "".join(reply(seq) for seq in (1, 2, 3)) + summary(3, 3))
    assert (ping.sent, ping.received, ping.lost, ping.ttls) == (3, 3, 0, (62,))
    assert ping.silence(0.1) == 0
    assert ping.answers_at_the_end


def test_a_gap_is_measured_by_the_time_stamps() -> None:
    text = HEAD + reply(1, 100.0) + reply(2, 100.1) + reply(33, 103.25, ttl=61) + reply(34, 103.35) + summary(34, 4)
    ping = parse_ping(text)
    assert (ping.sent, ping.lost, ping.ttls) == (34, 30, (61, 62))
    assert ping.silence(0.1) == 3.15
    assert ping.answers_at_the_end


def test_a_gap_without_time_stamps_is_measured_by_the_packets() -> None:
    assert parse_ping(HEAD + reply(1) + reply(12) + summary(12, 2)).silence(0.1) == 1.0


def test_a_late_answer_is_no_silence() -> None:
    """Packets that all came back, one of them late, as on a machine that has other things to do."""
    ping = parse_ping(HEAD + reply(1, 100.0) + reply(2, 100.9) + reply(3, 101.0) + summary(3, 3))
    assert ping.silence(0.1) == 0


def test_a_silence_that_lasts() -> None:
    ping = parse_ping(HEAD + reply(1, 1.0) + reply(2, 1.1) + summary(12, 2))
    assert ping.silence(0.1) == 1.0
    assert not ping.answers_at_the_end


@pytest.mark.parametrize(("last", "answers"), [(8, True), (7, False)])
def test_a_packet_lost_at_the_end_is_no_silence(last: int, answers: bool) -> None:
    ping = parse_ping(HEAD + "".join(reply(seq) for seq in range(1, last + 1)) + summary(12, last))
    assert ping.answers_at_the_end is answers


def test_a_silence_at_the_start() -> None:
    ping = parse_ping(HEAD + reply(6, 1.5) + summary(6, 1))
    assert ping.silence(0.1) == 0.5
    assert ping.answers_at_the_end


def test_nothing_answered() -> None:
    text = HEAD + "From 10.4.19.29 icmp_seq=1 Destination Host Unreachable\n\n--- 10.4.19.101 ping statistics ---\n"
    ping = parse_ping(text + "10 packets transmitted, 0 received, +1 errors, 100% packet loss, time 9ms\npipe 4\n")
    assert (ping.sent, ping.received, ping.lost, ping.ttls) == (10, 0, 10, ())
    assert ping.silence(0.1) == 1.0
    assert not ping.answers_at_the_end


def test_duplicates_count_once() -> None:
    again = reply(1).rstrip() + " (DUP!)\n"
    text = HEAD + reply(1) + again + reply(2) + "\n2 packets transmitted, 2 received, +1 duplicates, 0% packet loss\n"
    assert parse_ping(text).received == 2


def test_no_summary_is_no_result() -> None:
    for text in ("", "ping: unknown host\n", HEAD + reply(1)):
        ping = parse_ping(text)
        assert ping.sent is None
        assert ping.lost is None
        assert not ping.answers_at_the_end


def test_other_versions_of_ping() -> None:
    by_name = "64 bytes from gateway.example (10.4.19.1): icmp_seq=1 ttl=254 time=1.0 ms\n"
    ipv6 = "64 bytes from 2001:db8::1: icmp_seq=2 ttl=63 time=1.0 ms\n"
    no_answer = "[1700000000.1] no answer yet for icmp_seq=3\n"
    assert parse_ping(by_name + ipv6 + no_answer + "3 packets transmitted, 2 packets received\n").ttls == (63, 254)


def test_the_targets_of_a_probe() -> None:
    """Each address has its own numbers."""
    lost, kept = HEAD + reply(1) + summary(2, 1), HEAD + reply(1) + reply(2) + summary(2, 2)
    targets = ping_targets([{"item": "10.4.19.101", "stdout": lost}, {"item": "10.4.19.254", "stdout": kept}], 0.1)
    assert [(one["address"], one["lost"]) for one in targets] == [("10.4.19.101", 1), ("10.4.19.254", 0)]
    assert targets[1] == {"address": "10.4.19.254", **ping_summary(kept, 0.1)}
