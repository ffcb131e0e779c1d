# SPDX-License-Identifier: GPL-3.0-or-later
"""The example site with its bonded machine as the active gateway, and a VM on the worker with an EIP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.site import G1, G2, G3, NICS, ROLE, Site

from support.ansible import module
from support.commands import TOP, VENV, run
from support.eip_lab import machine, runs
from support.lab import Lab
from support.live import Live, eventually

NIC, MEMBERS = "enp8s0", ["enp8s0f0", "enp8s0f1"]
HOLDER, ADDRESS = "bond-guest", "10.4.19.171"
ORDER = [G3, G1, G2]  # the one with the bond first
EIPS = "kubeovn.core.ovn_eip"


@contextmanager
def bonded_site(lab: Lab) -> Iterator[Site]:
    """It is as it was afterwards: the usual order, no VM, no EIP."""
    site, live = Site(lab), Live(lab)
    try:
        live.apply(machine(HOLDER, running=True))
        playbook(str(NICS))
        playbook(str(ROLE))
        runs(live, vms=(HOLDER,))
        site.succeed(EIPS, {"eips": [{"vm": HOLDER, "namespace": "default", "address": ADDRESS}]})
        yield site
    finally:
        module(EIPS, {"state": "absent", "eips": [{"vm": HOLDER, "namespace": "default"}]})
        live.kubectl("delete", "vm", "-n", "default", HOLDER, "--ignore-not-found")
        eventually(lambda: live.launcher(HOLDER), lambda found: found is None, 120, "the VM is gone")
        module(EIPS, {"state": "pruned"})
        site.push()


def playbook(name: str, /, *options: str, **variables: Any) -> str:
    """One of the collection's, or a file of the caller's, with the order of this site."""
    book = name if name.endswith(".yml") else f"kubeovn.core.{name}"
    extra = json.dumps({"kubeovn_gateway_nodes": ORDER, **variables})
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], book, *options]
    return run([*argv, "--extra-vars", extra], cwd=TOP, env={"ANSIBLE_NOCOLOR": "1"}, tail=400, timeout=900)
