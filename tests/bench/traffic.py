# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outside host loses while something is changed: pings at 10 Hz to several addresses at the same time."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.kubeovn.core.plugins.module_utils._probe import Ping, parse_ping

INTERVAL = 0.1  # seconds between two packets
BEFORE = 1.0  # seconds of traffic before the change
AFTER = 2.0  # and after it
PACKETS = 100  # at least so many count
IN_FLIGHT = 5  # the last ones sent, whose answers may have been on their way when ping was ended, do not count
GRACE = 30.0  # seconds for the far side to end

# Reads a line, which is the sign to end, and then prints what each ping said. A background job of `sh` ignores
# SIGINT, but ping sets its own handler.
SCRIPT = """\
cd "$(mktemp -d)"
pids=
interval=$1
shift
for address in "$@"; do
    ping -n -D -i "$interval" "$address" >"$address" 2>&1 &
    pids="$pids $!"
done
echo started
read -r _
kill -INT $pids
wait
for address in "$@"; do echo "== $address"; cat "$address"; done
rm -r "$PWD"
"""


@dataclass(frozen=True)
class Loss:
    """What became of the packets to one address."""

    ping: Ping
    interval: float = INTERVAL

    @property
    def sent(self) -> int:
        return self.ping.sent or 0

    @property
    def lost(self) -> int:
        return self.sent - self.ping.received

    @property
    def silence(self) -> float:
        """Seconds of the longest gap in which packets were lost."""
        return self.ping.silence(self.interval)

    @property
    def _digits(self) -> int:
        return 1 if self.interval >= INTERVAL else 2

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent}" + (f" ({self.silence:.{self._digits}f} s)" if self.lost else "")


@dataclass
class Traffic:
    """Filled when the traffic has ended."""

    losses: dict[str, Loss] = field(default_factory=dict)

    def lost(self, address: str) -> int:
        return self.losses[address].lost


def counted(text: str, interval: float = INTERVAL) -> Loss:
    """ping's output without the last packets, of which nobody can say whether they were lost."""
    whole = parse_ping(text)
    assert whole.sent is not None, f"ping did not get as far as its summary:\n{text}"
    sent = max(whole.sent - IN_FLIGHT, 0)
    return Loss(Ping(sent, tuple(reply for reply in whole.replies if reply.seq <= sent)), interval)


@contextmanager
def traffic(*addresses: str, interval: float = INTERVAL) -> Iterator[Traffic]:
    """Traffic to these addresses before, during and after the block, and for at least PACKETS packets."""
    seen = Traffic()
    far = shlex.join(["sh", "-c", SCRIPT, "sh", str(interval), *addresses])
    argv = ["ssh", "-F", os.environ["LAB_SSH_CONFIG"], "outside-host", far]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "started\n", "the outside host does not ping"
        enough = time.monotonic() + (PACKETS + 2 * IN_FLIGHT) * interval
        time.sleep(BEFORE)
        yield seen
        time.sleep(max(AFTER, enough - time.monotonic()))
    finally:
        try:
            text, _none = process.communicate("\n", timeout=GRACE)
        finally:
            process.kill()  # harmless once it has ended
    parts = text.split("== ")[1:]
    seen.losses = {part.splitlines()[0]: counted(part, interval) for part in parts}
    assert list(seen.losses) == list(addresses), text


def median(values: Iterable[float]) -> float:
    """The middle one: what a loaded machine does once does not count."""
    return statistics.median(values)
