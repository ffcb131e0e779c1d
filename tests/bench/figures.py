# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make bench` measured: each figure beside its goal and the machine's load, as one table at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.commands import Show

HEADS = ("figure", "measured", "goal", "load", "")


@dataclass(frozen=True)
class Figure:
    """One line of the table. met is None where there is no goal: the figure is only told."""

    name: str
    measured: str
    goal: str
    met: bool | None
    load: float

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.met is None else "met" if self.met else "MISSED"
        return self.name, self.measured, self.goal, f"{self.load:.1f}", verdict


@dataclass
class Figures:
    """All figures so far."""

    taken: list[Figure] = field(default_factory=list)

    def add(self, show: Show, name: str, measured: str, goal: str = "", met: bool | None = None) -> None:
        """Keep a figure and show it. One that misses its goal fails its test, once that has taken all it takes."""
        figure = Figure(name, measured, goal, met, os.getloadavg()[0])
        self.taken.append(figure)
        show("  ".join(cell for cell in (*figure.cells[:3], f"(load {figure.cells[3]})", figure.cells[4]) if cell))

    def missed(self, since: int) -> list[str]:
        """Those after the first `since` that missed their goal."""
        late = [figure for figure in self.taken[since:] if figure.met is False]
        return [f"{figure.name}: {figure.measured}; the goal is {figure.goal}" for figure in late]

    def table(self) -> list[str]:
        """The lines of the table."""
        rows = [HEADS, *(figure.cells for figure in self.taken)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
        lines = [_line(row, widths) for row in rows]
        return [lines[0], "─" * (sum(widths) + 2 * len(widths)), *lines[1:]]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
