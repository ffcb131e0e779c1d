# SPDX-License-Identifier: GPL-3.0-or-later
"""Bonds at work: a gateway's member loses its link under an EIP's traffic, both do, and LACP with a real partner.

The machine with a kernel of its own is the active gateway. Its kernel does not see it when the tap behind a NIC is
taken down outside, so links are taken down inside: there the bond's monitor sees it, and outside the tap loses its
carrier in the same moment, so that the lab's bridge forgets what was behind it as a switch does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.site import G1, G3, ROUTER, Site
from bench.traffic import Loss, median, traffic
from support.ansible import module
from support.bonded import ADDRESS, MEMBERS, NIC, bonded_site, playbook
from support.commands import CommandFailed, Show
from support.lab import Lab
from support.live import eventually

pytestmark = pytest.mark.full

FAST = 0.02  # seconds between two pings
MIIMON = 0.1
ROUND = 2 * FAST  # seconds: the ping that was on its way when the link went, and the one when the other took over
CUTS = 5
INFO, NODE_INFO = "kubeovn.core.ovn_nat_info", "kubeovn.core.ovn_gateway_node_info"
NODE_CONFIG = "kubeovn.core.ovn_gateway_node_config"


class Cables:
    """The cables behind the bonded gateway's external NICs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def sh(self, script: str) -> str:
        return self.lab.run("node", G3, "--", "sh", "-c", script, timeout=300)

    def pull(self, *members: str) -> None:
        self.sh("; ".join(f"ip link set dev {member} down" for member in members))

    def plug(self, *members: str) -> None:
        self.sh("; ".join(f"ip link set dev {member} up" for member in members))

    def bond(self) -> dict[str, Any]:
        [row] = json.loads(self.sh(f"ip -json -details link show dev {NIC}"))
        return {"carrier": "LOWER_UP" in row["flags"], **row["linkinfo"]["info_data"]}

    def active(self) -> str:
        """The member that carries the traffic; empty: none."""
        return self.bond().get("active_slave") or ""

    @contextmanager
    def pulled(self, *members: str) -> Iterator[None]:
        try:
            self.pull(*members)
            yield
        finally:
            self.plug(*members)


@pytest.fixture
def cables(up: Lab) -> Cables:
    return Cables(up)


@pytest.fixture(scope="module")
def site(up: Lab) -> Iterator[Site]:
    with bonded_site(up) as site:
        yield site


def warnings() -> list[str]:
    """What the bonded gateway says of its NIC."""
    seen = module(NODE_INFO, {"nic": NIC}, host=G3, arguments=("--inventory", os.environ["LAB_INVENTORY"]))
    found: list[str] = seen["nic"]["warnings"]
    return found


def findings(site: Site) -> list[tuple[str, str]]:
    """Codes and nodes of what is wrong, given what the bonded gateway shows of itself."""
    seen = module(NODE_INFO, {"nic": NIC}, host=G3, arguments=("--inventory", os.environ["LAB_INVENTORY"]))
    result = site.succeed(INFO, {"node_evidence": {G3: seen}})
    return [(one["code"], one["node"]) for one in result["findings"] if one["node"]]


def cut(cables: Cables) -> dict[str, Loss]:
    """The active member loses its link under traffic, the other one goes on, and the first is back."""
    active = eventually(cables.active, bool, 30, "a member is active")
    with traffic(ROUTER, ADDRESS, interval=FAST) as seen, cables.pulled(active):
        eventually(cables.active, lambda now: now not in (active, ""), 30, "the other member is active")
        time.sleep(1)  # what the change costs later is lost traffic, too
    return seen.losses


def test_a_member_loses_its_link_and_the_other_one_goes_on(site: Site, cables: Cables, show: Show) -> None:
    """At most the bond's interval is lost, by the median of several cuts: what a busy machine does once is not its."""
    site.settle(ROUTER, ADDRESS, active=G3)
    lost: list[float] = []
    for _each in range(CUTS):
        for address, loss in cut(cables).items():
            show(f"a member of the active gateway loses its link: lost to {address}: {loss}; a ping each {FAST} s")
            lost.append(loss.lost * FAST)
    show(f"median of {len(lost)}: {median(lost):.2f} s of traffic lost; the bond looks each {MIIMON} s")
    assert any(lost), "the traffic did not go by the members that were cut"
    assert median(lost) <= MIIMON + ROUND
    assert site.active() == G3
    assert findings(site) == []
    with cables.pulled(MEMBERS[1]):
        eventually(warnings, lambda said: said == [f"bond member {MEMBERS[1]} has no carrier"], 20, "it is said")
    eventually(warnings, lambda said: said == [], 20, "nothing is said of members that have their links")


def test_both_lose_their_links_and_only_a_drain_helps(site: Site, cables: Cables, show: Show) -> None:
    site.settle(ROUTER, ADDRESS, active=G3)
    with cables.pulled(*MEMBERS):
        eventually(cables.bond, lambda bond: not bond["carrier"], 30, "the bond has no carrier")
        time.sleep(6)  # twice what OVN's BFD needs for a gateway that is off
        assert site.active() == G3, "OVN does not watch the NIC"
        assert site.answering(ROUTER, ADDRESS) == []
        assert findings(site) == [("external_link_down", G3)]
        began = time.monotonic()
        playbook("drain_gateway", drain_gateway_nodes=[G3])
        told = time.monotonic() - began
        eventually(lambda: site.answering(ROUTER, ADDRESS), lambda those: len(those) == 2, 60, "the drain has moved it")
        answered = time.monotonic() - began
        show(f"both members without link: playbook drain_gateway took {told:.1f} s, answers after {answered:.1f} s")
        assert site.active() == G1
    eventually(cables.bond, lambda bond: bond["carrier"], 30, "the bond has its carrier again")
    with traffic(ROUTER, ADDRESS) as seen:
        playbook("return_gateway", return_gateway_nodes=[G3])
    for address, loss in seen.losses.items():
        show(f"gateway given back by playbook return_gateway: lost to {address}: {loss}")
    site.settle(ROUTER, ADDRESS, active=G3)
    assert findings(site) == []


# --- LACP

PARTNER = """set -e
ip netns add lacp
ip -n lacp link add partner type bond mode 802.3ad miimon 100 lacp_rate fast
for number in 0 1; do
    ip link add lacp$number type veth peer name port$number netns lacp
    ip -n lacp link set port$number master partner
    ip -n lacp link set port$number up
done
ip -n lacp link set partner up
"""
NO_PARTNER = """ip netns delete lacp 2>/dev/null || true
for name in kg-lacp lacp0 lacp1; do [ ! -e /sys/class/net/$name ] || ip link delete $name; done
"""
LACP = {
    "nic": "kg-lacp",
    "members": ["lacp0", "lacp1"],
    "bond": {"mode": "802.3ad", "miimon": 100, "lacp_rate": "fast", "hash_policy": "layer3+4"},
}
LOOK = f"""\
- hosts: {G3}
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: kubeovn.core.gateway_nic
        tasks_from: partner.yml
"""


@pytest.fixture
def partner(cables: Cables) -> Iterator[str]:
    """A bond with the same mode in a namespace of its own, behind two cables; its MAC address."""
    cables.sh(NO_PARTNER)  # of a run that was killed
    try:
        cables.sh(PARTNER)
        yield json.loads(cables.sh("ip -n lacp -json link show dev partner"))[0]["address"]
    finally:
        try:
            ask(NODE_CONFIG, {"nic": LACP["nic"], "state": "absent", "rollback": 0})
            ask(NODE_CONFIG, {"nic": LACP["nic"], "state": "confirmed"})
        finally:
            cables.sh(NO_PARTNER)


def ask(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """A module on the bonded machine. A veth is no NIC there for the role, but the modules do as they are told."""
    result = module(name, options, host=G3, arguments=("--inventory", os.environ["LAB_INVENTORY"]))
    assert not result["failed"], result["msg"]
    return result


def alone() -> list[str]:
    words: list[str] = ask(NODE_INFO, LACP)["nic"]["bond_alone"]
    return words


def test_a_bond_aggregates_with_its_partner_and_says_what_it_lacks_of_it(
    cables: Cables, partner: str, tmp_path: Path
) -> None:
    play = tmp_path / "look.yml"
    play.write_text(LOOK)

    def look(wanted: str) -> str:
        """What the role itself says of the partner; the whole role takes no veth, and only veths show a speed here."""
        return playbook(str(play), gateway_nic_name=LACP["nic"], gateway_nic_bond_partner=wanted)

    assert ask(NODE_CONFIG, {**LACP, "rollback": 0})["changed"]
    ask(NODE_CONFIG, {"nic": LACP["nic"], "state": "confirmed"})
    eventually(alone, lambda words: words == [], 60, "both members are in one aggregate")
    bond = ask(NODE_INFO, LACP)["nic"]["bond"]
    assert (bond["partner"], bond["aggregated"], bond["lacp_rate"]) == (partner, 2, "fast")
    assert not ask(NODE_CONFIG, {**LACP, "rollback": 0})["changed"]
    assert "in its aggregate" not in look("required")
    cables.sh("ip -n lacp link set port1 down")
    out = [f"has 1 of its 2 members in its aggregate with {partner}"]
    eventually(alone, lambda words: words == out, 60, "one member is out")
    assert out[0] in look("warn")
    with pytest.raises(CommandFailed, match=r"(?s)has\s+1\s+of\s+its\s+2.*configured\s+as\s+asked"):
        look("required")
    cables.sh("ip -n lacp link set port1 up")
    eventually(alone, lambda words: words == [], 60, "both again")
