# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules return is what they document. `support.ansible.module` holds every result so; here are those of modules
that elsewhere only roles call."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.ansible import module
from support.eip_lab import GATEWAYS, WORKER, gateway
from support.lab import Lab
from support.live import Live

NIC, OUTSIDE = "enp8s0", "outside-host"
ROUTER, ROUTER_MAC, PHYSICAL = "10.4.19.254", "16:52:f3:13:6a:25", "10.4.19.1"


@pytest.fixture(scope="module", autouse=True)
def site(lab: Lab) -> None:
    gateway(Live(lab))


@pytest.mark.parametrize(
    ("name", "host", "options", "check", "telling"),
    [
        ("ovn_gateway_node_info", GATEWAYS[0], {"nic": NIC, "arp_probe": [PHYSICAL]}, False, "arp"),
        ("ovn_gateway_node_info", WORKER, {}, False, "links"),
        ("ovn_gateway_node_nic", GATEWAYS[0], {"nic": NIC}, True, None),
        ("ovn_gateway_node_release", GATEWAYS[0], {"nic": NIC}, True, "leftovers"),
        ("ovn_gateway_node_announce", GATEWAYS[0], {"mac": ROUTER_MAC, "addresses": [ROUTER]}, True, None),
        ("ovn_nodes_info", "localhost", {}, False, "api_servers"),
        ("ovn_probe", OUTSIDE, {"addresses": [PHYSICAL]}, False, "results"),
    ],
)
def test_a_result_is_as_documented(
    name: str, host: str, options: dict[str, Any], check: bool, telling: str | None
) -> None:
    inventory = ("--inventory", os.environ["LAB_INVENTORY"])
    told = module(f"kubeovn.core.{name}", options, check=check, host=host, arguments=inventory)
    assert not told["failed"], told["msg"]
    assert telling is None or told[telling], "an empty list shows nothing"
