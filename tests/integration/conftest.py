# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test in this folder runs against the lab, whose gateways have their external NICs ready."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import VENV, Show, run
from support.lab import Lab

NICS = Path(__file__).with_name("nics.yml")


@pytest.fixture(autouse=True, scope="session")
def up(lab: Lab, show: Show) -> Lab:
    """Without naming it, each test here needs the lab."""
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], NICS]
    run(argv, env={"ANSIBLE_NOCOLOR": "1"}, show=lambda line: show(line) if line.startswith("TASK") else None)
    return lab
