# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ovsdb-server for each test that asks, a relay that makes its lines bad, and how generated tests run."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.ovsdb import OvsdbServer, servers
from support.relay import Relay

# The same examples at each run, so that a red test is never chance; `make test-full` looks for new ones. A busy machine
# is no fault of the code, so no example has a time limit. What a test sets itself comes on top.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", CALM, derandomize=True, database=None)
settings.register_profile("random", CALM, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def make_ovsdb(tmp_path: Path) -> Generator[Callable[..., OvsdbServer]]:
    """Start servers; `dropped` are columns that an older OVN does not have."""
    with servers(tmp_path) as start:
        yield start


@pytest.fixture
def ovsdb(make_ovsdb: Callable[..., OvsdbServer]) -> OvsdbServer:
    """A server with empty NB and SB databases."""
    return make_ovsdb()


@pytest.fixture
def make_relay() -> Generator[Callable[..., Relay]]:
    """Put a relay before an endpoint tcp:HOST:PORT."""
    relays = []

    def make(endpoint: str, **faults: Any) -> Relay:
        relays.append(Relay(endpoint, **faults))
        return relays[-1]

    yield make
    for relay in relays:
        relay.close()
