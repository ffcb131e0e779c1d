# SPDX-License-Identifier: GPL-3.0-or-later
"""The bond of a gateway in service is changed as role gateway_nic's README says, while an EIP's traffic runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bench.site import G1, G3, NICS, ROUTER, Site
from bench.traffic import traffic
from support.ansible import module
from support.bonded import ADDRESS, MEMBERS, NIC, bonded_site, playbook
from support.commands import CommandFailed, Show
from support.lab import Lab

pytestmark = pytest.mark.full

GAP = 3.0  # seconds without answers that a machine as slow as the lab's may cost; what was really lost is shown
LACP = {"bond_mode": "802.3ad", "bond_partner": "never"}  # nobody speaks it on the lab: one member works alone
CHANGES: dict[str, dict[str, Any]] = {
    "a member is taken out, with another MTU": {"members": MEMBERS[1:], "mtu": 1400},
    "a member more and another mode, the MTU as it was": LACP,
    "the first mode again": {},
}


@pytest.fixture(scope="module")
def site(up: Lab) -> Iterator[Site]:
    with bonded_site(up) as site:
        yield site


def nics(**variables: Any) -> None:
    """Role gateway_nic on the gateway with the bond, as a user runs it."""
    named = {f"gateway_nic_{name}": value for name, value in variables.items()}
    playbook(str(NICS), f"--limit={G3}", gateway_nic_timeout=90, **named)


@contextmanager
def measured(site: Site, show: Show, what: str) -> Iterator[None]:
    """The traffic is seen before, during and after the change, and ends where it began."""
    site.settle(ROUTER, ADDRESS, active=G3)
    with traffic(ROUTER, ADDRESS) as seen:
        yield
        site.settle(ROUTER, ADDRESS, active=G3)
    for address, loss in seen.losses.items():
        show(f"{what}: lost to {address}: {loss}")
    assert max(loss.silence for loss in seen.losses.values()) < GAP


@contextmanager
def drained(site: Site) -> Iterator[None]:
    """The active gateway without traffic."""
    playbook("drain_gateway", drain_gateway_nodes=[G3])
    assert site.active() == G1
    yield
    playbook("return_gateway", return_gateway_nodes=[G3])


@pytest.mark.parametrize("change", CHANGES)
def test_the_bond_of_a_gateway_in_service(site: Site, show: Show, change: str) -> None:
    with measured(site, show, f"bond of the active gateway, {change}"), drained(site):
        nics(drained=True, **CHANGES[change])


def test_a_bond_that_is_made_anew_waits_for_a_drain(site: Site) -> None:
    with pytest.raises(CommandFailed, match=r"Drain\s+the\s+gateway"):
        nics(**LACP)
    site.settle(ROUTER, ADDRESS, active=G3)


def test_a_bond_that_was_made_anew_and_is_restored_forwards_again(site: Site, show: Show) -> None:
    def config(**options: Any) -> dict[str, Any]:
        options = {"nic": NIC, **options}
        name = "kubeovn.core.ovn_gateway_node_config"
        result = module(name, options, host=G3, arguments=("--inventory", os.environ["LAB_INVENTORY"]))
        assert not result["failed"], result["msg"]
        return result

    with measured(site, show, "bond of the active gateway, made anew and restored"), drained(site):
        made = config(members=MEMBERS, bond={"mode": "802.3ad", "miimon": 100}, rollback=900)
        assert f"have Open vSwitch open {NIC} anew in br-external" in made["steps"]
        assert config(state="restored")["restored"] == "now"
