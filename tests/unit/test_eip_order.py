# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs write the same in the same order: a test that is costly, on a lab, need not do all of them."""

from __future__ import annotations

from copy import deepcopy

from support.eip_cases import ask, draw, run
from support.eip_world import World


def test_a_rotation_writes_what_a_change_writes_and_a_release_what_detaching_does() -> None:
    world = World()
    vm = world.add_vm("testing", "10.253.0.2")
    world.controller()
    other, pool = deepcopy(world), draw(vm, pool="10.4.19.101-10.4.19.102")
    run(world, ask((vm, "10.4.19.101")))
    run(other, pool)
    changed = run(world, ask((vm, "10.4.19.102")))
    assert {"claim", "annotate_pod", "clean", "release_claim"} <= set(changed)
    assert run(other, pool, rotate=True, rotation="first") == changed
    detached = run(world, ask((vm, None)), "detached")
    assert run(other, ask((vm, None)), "absent") == [*detached, "release_claim"]
