# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the output of ping says, in numbers: packets, TTLs, and the longest time without an answer.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPLY = re.compile(r"^(?:\[(?P<at>\d+\.\d+)\] )?\d+ bytes from .*?icmp_seq=(?P<seq>\d+) ttl=(?P<ttl>\d+)")
_SUMMARY = re.compile(r"^(?P<sent>\d+) packets transmitted, (?P<received>\d+) (?:packets )?received")
LAST = 5  # so many packets are the end of a probe: one that is lost is no silence


@dataclass(frozen=True)
class Reply:
    """One answered packet. `at` is the time stamp that ping -D prints."""

    seq: int
    ttl: int
    at: float | None


@dataclass(frozen=True)
class Ping:
    """One run of ping. sent is None when ping did not get as far as its summary (no route, killed, no such command)."""

    sent: int | None
    replies: tuple[Reply, ...]  # the first answer to each packet, in order of the packets

    @property
    def received(self) -> int:
        return len(self.replies)

    @property
    def lost(self) -> int | None:
        return None if self.sent is None else self.sent - self.received

    @property
    def ttls(self) -> tuple[int, ...]:
        return tuple(sorted({reply.ttl for reply in self.replies}))

    def silence(self, interval: float) -> float:
        """The longest time between two answers (or an answer and start or end) in which packets were lost; else 0."""
        longest = 0.0
        ends = (None, *self.replies, None)
        for index in range(len(ends) - 1):
            before, after = ends[index], ends[index + 1]
            first = before.seq if before else 0
            last = after.seq if after else (self.sent or first) + 1
            if last - first <= 1:
                continue
            if before and after and before.at is not None and after.at is not None:
                longest = max(longest, after.at - before.at)
            else:  # no time stamps: count the packets that had no answer
                longest = max(longest, (last - first - 1) * interval)
        return round(longest, 3)

    @property
    def answers_at_the_end(self) -> bool:
        """Whether one of the last packets was answered: a silence that lasts is not one that ended."""
        return self.sent is not None and bool(self.replies) and self.replies[-1].seq > self.sent - LAST


def parse_ping(text: str) -> Ping:
    """Read what iputils' ping prints, with or without -D and -O (up to 65535 packets: then icmp_seq starts anew)."""
    replies: dict[int, Reply] = {}
    sent: int | None = None
    for line in text.splitlines():
        reply = _REPLY.match(line.strip())
        if reply:
            seq = int(reply["seq"])
            if seq not in replies:
                at = reply["at"]
                replies[seq] = Reply(seq, int(reply["ttl"]), float(at) if at else None)
            continue
        summary = _SUMMARY.match(line.strip())
        if summary:
            sent = int(summary["sent"])
    return Ping(sent, tuple(replies[seq] for seq in sorted(replies)))
