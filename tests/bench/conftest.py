# SPDX-License-Identifier: GPL-3.0-or-later
"""Benches: the example site on a lab of theirs, and the table of all figures at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench.figures import Figures
from bench.site import Site
from support.lab import Lab

figures_key = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[figures_key] = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, also when a figure was missed."""
    figures = config.stash[figures_key]
    if figures.taken:
        terminalreporter.section("figures")
        for line in figures.table():
            terminalreporter.write_line(line)


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> Iterator[Figures]:
    """Where a bench puts what it measured; it ends in an error when one of its figures missed the goal."""
    figures = pytestconfig.stash[figures_key]
    before = len(figures.taken)
    yield figures
    missed = figures.missed(before)
    assert not missed, "\n".join(missed)


@pytest.fixture(scope="session")
def site(lab: Lab) -> Site:
    """The example site, made once."""
    made = Site(lab)
    made.make()
    return made
