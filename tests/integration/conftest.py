# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test in this folder runs against the lab, whose gateways have their external NICs ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import VENV, Show, run
from support.given_back import seen, settled
from support.lab import Lab
from support.live import Live

NICS = Path(__file__).with_name("nics.yml")
given_key = pytest.StashKey[set[str]]()


@pytest.fixture(autouse=True, scope="session")
def up(lab: Lab, show: Show) -> Lab:
    """Without naming it, each test here needs the lab."""
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], NICS]
    run(argv, env={"ANSIBLE_NOCOLOR": "1"}, show=lambda line: show(line) if line.startswith("TASK") else None)
    return lab


@pytest.fixture(autouse=True, scope="module")
def given_back(up: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each file of tests leaves EIPs on the lab as it found them; else the next one would fail for it."""
    live, stash = Live(up), request.config.stash
    if given_key not in stash:
        stash[given_key] = seen(live)
    before = stash[given_key]
    yield
    after = stash[given_key] = settled(live, before)
    more, less = sorted(after - before), sorted(before - after)
    assert not more, f"{request.path.name} has left behind: {more}"
    assert not less, f"{request.path.name} has taken what was there before: {less}"
