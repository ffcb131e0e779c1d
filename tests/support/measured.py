# SPDX-License-Identifier: GPL-3.0-or-later
"""One task as users run it, by ansible-playbook, with what it took: wall time, its module's process, API requests."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from support.commands import VENV, run

# Ansible calls this instead of Python, so that nothing but the module's own process is measured.
INTERPRETER = """\
#!{python} -IS
import json, os, sys, time
began = time.monotonic()
child = os.posix_spawn({real!r}, [{real!r}, *sys.argv[1:]], os.environ)
status, usage = os.wait4(child, 0)[1:]
cost = dict(wall=time.monotonic() - began, cpu=usage.ru_utime + usage.ru_stime, peak=usage.ru_maxrss)
with open({log!r}, "a") as log:
    log.write(json.dumps(cost) + chr(10))
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""


@dataclass(frozen=True)
class Taken:
    """What a task took. Times in seconds; peak: the module's process at its largest, in MiB."""

    changed: bool
    wall: float
    module: float
    cpu: float
    peak: float


class Bench:
    """Runs tasks in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "measured.log"
        self._play = folder / "measured.json"
        self._python = folder / "measured-python"
        real = str(VENV / "bin" / "python")
        self._python.write_text(INTERPRETER.format(python=sys.executable, real=real, log=str(self._log)))
        self._python.chmod(0o700)

    def task(self, name: str, options: dict[str, Any], **keywords: Any) -> Taken:
        """Run one task, which must succeed; keywords are those of a task, such as loop."""
        task = {"name": "Measured", name: options, **keywords}
        play = {"name": "Bench", "hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [task]}
        self._play.write_text(json.dumps([play | {"vars": {"ansible_python_interpreter": str(self._python)}}]))
        self._log.write_text("")
        began = time.monotonic()
        argv = [VENV / "bin" / "ansible-playbook", "--inventory=localhost,", self._play]
        text = run(argv, env={"ANSIBLE_NOCOLOR": "1"}, timeout=3600, tail=200)
        wall = time.monotonic() - began
        recap = re.search(r"changed=(\d+)", text)
        assert recap, text
        costs = [json.loads(line) for line in self._log.read_text().splitlines()]
        return Taken(
            changed=recap[1] != "0",
            wall=wall,
            module=sum(cost["wall"] for cost in costs),
            cpu=sum(cost["cpu"] for cost in costs),
            peak=max(cost["peak"] for cost in costs) / 1024,
        )


class Audit:
    """What the API server is asked from now on, as its audit log tells."""

    def __init__(self) -> None:
        self._log = Path(os.environ["LAB_AUDIT_LOG"])
        self._at = self._log.stat().st_size

    def more(self, *words: str) -> Iterator[dict[str, Any]]:
        """What came since the last call, of the lines with all these words."""
        assert self._log.stat().st_size >= self._at, f"{self._log} was begun anew: it was too long"
        with self._log.open("rb") as log:
            log.seek(self._at)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._at += len(line)
                if all(word.encode() in line for word in words):
                    yield json.loads(line)


def kinds(events: list[dict[str, Any]]) -> Counter[str]:
    """Requests by verb and kind; the further pages of a LIST by themselves."""
    return Counter(_kind(event) for event in events)


def _kind(event: dict[str, Any]) -> str:
    what = event.get("objectRef", {}).get("resource", event["requestURI"])
    return f"{event['verb']} {what}" + (", further pages" if "continue=" in event["requestURI"] else "")


def answered(event: dict[str, Any]) -> float:
    """When a request was answered, in seconds since 1970."""
    return datetime.fromisoformat(event["stageTimestamp"]).timestamp()
