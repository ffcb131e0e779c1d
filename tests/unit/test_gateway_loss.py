# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes of the gateway cost, on the model of a site: never more than the plan declares, whatever state it is in."""

from __future__ import annotations

from ansible_collections.kubeovn.core.plugins.module_utils._gateway_plan import plan
from support.gateway_cases import gateway, run, up

# --- gateways without a chassis -------------------------------------------------------------------------------------


def test_a_gateway_whose_chassis_is_gone_is_replaced() -> None:
    """The controller fails at it, each second again, and takes all labels off each time."""
    world = up("g1", "g2")
    world.machines["g1"].ready = world.machines["g1"].chassis = False
    world.elect()
    world.was_active.clear()
    run(gateway("g3", "g2"), world)
    world.sleep(10)
    assert world.blind == world.silent == []
    assert world.rows == {"g3": 100, "g2": 99}
    assert plan(gateway("g3", "g2"), world.observe()).steps == ()
