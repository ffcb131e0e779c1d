# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test in this folder runs against the lab."""

from __future__ import annotations

import pytest
from support.lab import Lab


@pytest.fixture(autouse=True, scope="session")
def up(lab: Lab) -> Lab:
    """Without naming it, each test here needs the lab."""
    return lab
