# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab that tests run against: started in the background while tests run that do not need it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from support.commands import TOP, CommandFailed, Show, cache_folder, run

LAB = TOP / "tests" / "lab" / "lab"
UP_DEADLINE = 45 * 60.0  # one-time builds included


def exports(text: str) -> dict[str, str]:
    """The variables that `lab env` prints as shell exports."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[:1] == ["export"]:
            for word in words[1:]:
                name, _, value = word.partition("=")
                found[name] = value
    return found


@dataclass
class Lab:
    """One lab by its name: the tests' own, or one that the calling shell uses and that is left as it is."""

    name: str
    options: tuple[str, ...] = ()
    borrowed: bool = False
    fresh: bool = True  # without anything that an earlier run has left of it
    log: Path = field(init=False)
    starting: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.log = cache_folder() / f"{self.name}-up.log"

    def start(self) -> None:
        """Begin `lab up`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            fresh = ["--fresh"] if self.fresh else []
            argv = [str(LAB), "up", "--name", self.name, *self.options, *fresh]
            self.starting = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_up(self, show: Show) -> None:
        """Show what `lab up` says until it is done."""
        if self.borrowed:
            return
        if self.starting is None:
            self.start()
        assert self.starting is not None
        deadline = time.monotonic() + UP_DEADLINE
        with self.log.open(encoding="utf-8", errors="replace") as log:
            while self.starting.poll() is None:
                self._show_new(log, show)
                if time.monotonic() > deadline:
                    raise CommandFailed(f"lab {self.name} was not up after {UP_DEADLINE:g} s; see {self.log}")
                try:
                    self.starting.wait(1)
                except subprocess.TimeoutExpired:
                    continue
            self._show_new(log, show)
        if self.starting.returncode:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
            raise CommandFailed(f"lab {self.name} did not come up; the last lines of {self.log}:\n{last}")

    def run(self, *verb: str, timeout: float = 120) -> str:
        """What one of the lab's verbs prints, e.g. run("nbctl", "show")."""
        return run([LAB, *verb], env={"LAB_NAME": self.name}, timeout=timeout)

    def environment(self) -> dict[str, str]:
        """What a shell gets by `eval "$(tests/lab/lab env)"`."""
        return exports(self.run("env"))

    def down(self, show: Show) -> None:
        """End the lab, also one that is still on its way up."""
        if self.starting is not None and self.starting.poll() is None:
            self.starting.send_signal(signal.SIGINT)  # as Ctrl-C: it ends its builds too
            self.starting.wait(60)
        run([LAB, "down", "--name", self.name], show=show, timeout=180)

    @staticmethod
    def _show_new(log: IO[str], show: Show) -> None:
        for line in log:
            show(line.rstrip("\n"))


def choose(name: str, options: tuple[str, ...], fresh: bool) -> Lab:
    """The lab of the calling shell's `lab env`, which is left up, or else one of the tests' own."""
    if os.environ.get("LAB_STATE"):
        return Lab(os.environ["LAB_NAME"], borrowed=True)
    return Lab(name, options, fresh=fresh)
