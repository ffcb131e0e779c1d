# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ovsdb-server for each test that asks, and a relay that makes its lines bad."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from support.ovsdb import OvsdbServer, servers
from support.relay import Relay


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
