# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached processes of a lab: started, remembered by pid and start time, stopped; and waiting for conditions.

A pid alone is no proof of identity, since numbers are used again. Every process is remembered with its start time as
/proc shows it, and a signal is sent only while both still match.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .site import Lab


class LabError(Exception):
    """Something a user can act on; shown without a traceback."""


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int  # clock ticks since boot: field 22 of /proc/PID/stat

    def alive(self) -> bool:
        return identity_of(self.pid) == self

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        if not self.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)


def identity_of(pid: int) -> Identity | None:
    """The identity of a running process; None when there is none or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Identity(pid, int(fields[19]))


def wait_until(condition: Callable[[], object], deadline: float, what: str, pause: float = 0.1) -> None:
    """Return when the condition holds; LabError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {deadline:.0f} s")
        time.sleep(pause)


def run(argv: Sequence[object], netns: str | None = None, check: bool = True, stdin: str = "") -> str:
    """Run a short command to its end; its output. LabError with what it said when it fails."""
    full = inside(netns, argv)
    done = subprocess.run(full, check=False, input=stdin, capture_output=True, text=True)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(full)}: exit {done.returncode}\n{said}")
    return done.stdout


def inside(netns: str | None, argv: Sequence[object]) -> list[str]:
    """The command to run argv in a network namespace; nsenter execs, so the pid stays the program's own."""
    words = [str(word) for word in argv]
    return words if netns is None else ["nsenter", f"--net=/run/netns/{netns}", "--", *words]


def _record(lab: Lab, name: str) -> Path:
    return lab.run / f"{name}.json"


def log_path(lab: Lab, name: str) -> Path:
    return lab.logs / f"{name}.log"


def names(lab: Lab) -> list[str]:
    """Every process this lab remembers, running or not."""
    return sorted(path.stem for path in lab.run.glob("*.json"))


def identity(lab: Lab, name: str) -> Identity | None:
    """The remembered process if it still runs."""
    try:
        found = json.loads(_record(lab, name).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    who = Identity(found["pid"], found["started"])
    return who if who.alive() else None


def alive(lab: Lab, name: str) -> bool:
    return identity(lab, name) is not None


def start(
    lab: Lab,
    name: str,
    argv: Sequence[object],
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bool:
    """Start a detached process, its own session's leader, unless it already runs. True if it was started.

    The child waits on a pipe until its identity is on disk, so that a lab killed in between owns no stranger.
    """
    if alive(lab, name):
        return False
    lab.run.mkdir(parents=True, exist_ok=True)
    lab.logs.mkdir(parents=True, exist_ok=True)
    gate_read, gate_write = os.pipe()
    gated = ["sh", "-c", 'read go && exec "$@" </dev/null', "sh", *inside(netns, argv)]
    with open(log_path(lab, name), "ab") as log:
        child = subprocess.Popen(
            gated,
            stdin=gate_read,
            stdout=log,
            stderr=log,
            env={**os.environ, **(env or {})},
            cwd=cwd or lab.state,
            start_new_session=True,
        )
    os.close(gate_read)
    who = identity_of(child.pid)
    if who is None:
        os.close(gate_write)
        raise LabError(f"{name}: could not be started\n{tail(lab, name)}")
    temporary = _record(lab, name).with_suffix(".tmp")
    temporary.write_text(json.dumps({"pid": who.pid, "started": who.started, "argv": [str(a) for a in argv]}))
    temporary.rename(_record(lab, name))
    os.write(gate_write, b"go\n")
    os.close(gate_write)
    return True


def stop(lab: Lab, name: str, deadline: float = 10.0, group: bool = False, hard: bool = False) -> bool:
    """End a remembered process (or its whole process group): TERM, then KILL. True if it ran."""
    who = identity(lab, name)
    if who is not None:
        if not hard:
            who.signal(signal.SIGTERM, group)
            _gone(who, deadline)
        who.signal(signal.SIGKILL, group)
        if not _gone(who, 10):
            raise LabError(f"{name} (pid {who.pid}) does not end, not even killed")
    _record(lab, name).unlink(missing_ok=True)
    return who is not None


def _gone(who: Identity, deadline: float) -> bool:
    end = time.monotonic() + deadline
    while who.alive():
        if time.monotonic() > end:
            return False
        _reap(who.pid)
        time.sleep(0.02)
    return True


def _reap(pid: int) -> None:
    """Collect the process if it is this program's own child, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def tail(lab: Lab, name: str, lines: int = 15) -> str:
    """The last lines of a process's log, for an error message."""
    path = log_path(lab, name)
    try:
        with open(path, "rb") as log:
            log.seek(max(0, path.stat().st_size - 16384))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return f"(no log {path})"
    return "\n".join([f"--- the end of {path}", *(f"  {line[:300]}" for line in text.splitlines()[-lines:])])


def wait_ready(lab: Lab, name: str, ready: Callable[[], object], deadline: float, what: str) -> None:
    """Wait until a started process does its work; on death or deadline show the end of its log."""

    def checked() -> object:
        if not alive(lab, name):
            raise LabError(f"{name} has ended while waiting for: {what}\n{tail(lab, name)}")
        return ready()

    try:
        wait_until(checked, deadline, what)
    except LabError as error:
        if "--- the end of" in str(error):
            raise
        raise LabError(f"{error}\n{tail(lab, name)}") from None
