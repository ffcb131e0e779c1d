# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of the demo: announced, timed, with their evidence; at the end one table of all of them."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field


class StepFailed(Exception):
    """A step did not show what it had to show."""


@dataclass
class Step:
    """One step: what it is, what was seen, how long it took."""

    title: str
    evidence: list[str] = field(default_factory=list)
    status: str = "ok"
    seconds: float = 0.0

    def saw(self, text: str, status: str = "ok") -> None:
        """Keep a piece of evidence, and print it at once."""
        self.evidence.append(text if status == "ok" else f"{status}: {text}")
        print(f"  {'✓' if status == 'ok' else '✗'} {self.evidence[-1]}", flush=True)
        if status != "ok":
            self.status = status

    def require(self, condition: bool, text: str) -> None:
        """Evidence that must hold."""
        self.saw(text, "ok" if condition else "failed")
        if not condition:
            raise StepFailed(text)


def progress(line: str) -> None:
    """A line of a command that runs."""
    print(f"  │ {line}", flush=True)


@dataclass
class Demo:
    """The steps so far."""

    total: int
    steps: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Generator[Step, None, None]:
        """Announce a step and time it; a failure ends the demo but not before the table."""
        step = Step(title)
        self.steps.append(step)
        print(f"\n━━ {len(self.steps)}/{self.total} {title}", flush=True)
        began = time.monotonic()
        try:
            yield step
            if step.status != "ok":
                raise StepFailed(title)
        except BaseException:
            step.status = "failed"
            raise
        finally:
            step.seconds = time.monotonic() - began
            print(f"  {step.status}, {step.seconds:.1f} s", flush=True)

    def table(self) -> str:
        """All steps with their evidence and times."""
        width = max(80, min(shutil.get_terminal_size((140, 24)).columns, 180))
        first = max(len(step.title) for step in self.steps)
        lines = ["━" * width, f"{'step':<{first}}  {'result':<7} {'time':>7}  evidence", "─" * width]
        for step in self.steps:
            evidence = [
                part
                for text in step.evidence
                for part in textwrap.wrap(text, width - first - 20, subsequent_indent="  ")
            ]
            head = f"{step.title:<{first}}  {step.status:<7} {step.seconds:>5.1f} s  "
            for index, text in enumerate(evidence or [""]):
                lines.append(f"{head if index == 0 else ' ' * len(head)}{text}".rstrip())
        lines += ["─" * width, f"{'all':<{first}}  {'':<7} {time.monotonic() - self.started:>5.1f} s", "━" * width]
        return "\n".join(lines)
