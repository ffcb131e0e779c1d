# SPDX-License-Identifier: GPL-3.0-or-later
"""The NICs of gateways in service are changed as role gateway_nic's README says, while an EIP's traffic runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bench.site import G1, G2, G3, NICS, ROLE, ROUTER, Site
from bench.traffic import traffic
from support.ansible import module
from support.bonded import ADDRESS, MEMBERS, NIC, bonded_site, playbook
from support.commands import CommandFailed, Show
from support.lab import Lab

pytestmark = pytest.mark.full

OTHER = "ext0"  # the bond's name where its first member is still in service
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


def nics(limit: str = "gateway_nodes", **variables: Any) -> None:
    """Role gateway_nic on these gateways, as a user runs it."""
    named = {f"gateway_nic_{name}": value for name, value in variables.items()}
    playbook(str(NICS), f"--limit={limit}", gateway_nic_timeout=90, **named)


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
        nics(G3, drained=True, **CHANGES[change])


def test_a_bond_that_is_made_anew_waits_for_a_drain(site: Site) -> None:
    with pytest.raises(CommandFailed, match=r"Drain\s+the\s+gateway"):
        nics(G3, **LACP)
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


def mac(site: Site, node: str, link: str) -> str:
    """A NIC's own address; a bond's member has borrowed one."""
    [row] = json.loads(site.lab.run("node", node, "--", "ip", "-json", "-details", "link", "show", "dev", link))
    found: str = row.get("permaddr") or row["address"]
    return found


def serving(site: Site) -> str:
    """The bonded gateway's link that is a port of br-external."""
    ports = site.lab.run("node", G3, "--", "ovs-vsctl", "list-ports", "br-external").split()
    [link] = [port for port in ports if not port.startswith("patch-")]
    return link


@pytest.fixture
def plain(site: Site) -> Iterator[dict[str, str]]:
    """All three gateways have a plain NIC in service, and a second one that is free, whose MAC addresses these are."""
    free = {G1: "enp9s0", G2: "enp9s0", G3: MEMBERS[1]}
    addresses = {node: mac(site, node, link) for node, link in free.items()}
    first = mac(site, G3, MEMBERS[0])
    try:
        without_bond(site, members=[], macs={NIC: first})
        yield addresses
    finally:
        nics(f"{G1},{G2}", members=[])
        without_bond(site)


def without_bond(site: Site, **then: Any) -> None:
    """The bonded gateway leaves, has its NIC like this, and is there again; what is new on the others goes."""
    playbook(str(ROLE), kubeovn_gateway_nodes=[G1, G2], kubeovn_gateway_nic=serving(site))
    playbook(str(ROLE), kubeovn_gateway_nodes=[G1, G2])
    nics("gateway_nodes", name=OTHER, state="absent")
    nics(G3, state="absent")
    nics(G3, **then)
    playbook(str(ROLE))


def test_a_plain_nic_in_service_becomes_a_bond(site: Site, plain: dict[str, str], show: Show) -> None:
    with measured(site, show, "a plain NIC becomes a bond on the active gateway"):
        # The lab's other two have no kernel with bonds: their second NIC gets the bond's name.
        nics(G3, name=OTHER, members=MEMBERS[1:])
        for node in (G1, G2):
            nics(node, name=OTHER, members=[], macs={OTHER: plain[node]})
        playbook(str(ROLE), kubeovn_gateway_nic=OTHER)
        nics("gateway_nodes", name=NIC, members=[], state="absent")
        nics(G3, name=OTHER, members=MEMBERS[::-1])
    assert serving(site) == OTHER
    shown = site.lab.run("node", G3, "--", "cat", f"/proc/net/bonding/{OTHER}")
    assert all(f"Slave Interface: {member}" in shown for member in MEMBERS), shown
