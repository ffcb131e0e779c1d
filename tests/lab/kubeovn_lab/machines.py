# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's machines, whichever way they are booted: one interface, two implementations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from . import cgroups, outside
from .nspawn import NspawnMachine
from .site import Lab, Node
from .uml import UmlMachine


class Machine(Protocol):
    """What can be done with a machine from outside."""

    @property
    def lab(self) -> Lab: ...

    @property
    def node(self) -> Node: ...

    @property
    def console_log(self) -> Path:
        """What the machine says while it boots."""
        ...

    def boot(self) -> None:
        """Power on. A running machine is left alone; one that was powered off has its disk as it was."""
        ...

    def wait(self, deadline: float = ...) -> None:
        """Until one can log in by ssh."""
        ...

    def power_off(self) -> None:
        """Hard, without a word to the machine; its links go down. Harmless when it is off."""
        ...

    def alive(self) -> bool: ...

    def ssh_argv(self, command: list[str]) -> list[str]:
        """The command line that runs a command on it as root."""
        ...


def machine(lab: Lab, node: Node) -> Machine:
    """The node's machine."""
    return UmlMachine(lab, node) if lab.boot(node) == "uml" else NspawnMachine(lab, node)


def machines(lab: Lab) -> list[Machine]:
    return [machine(lab, node) for node in lab.nodes]


def up(lab: Lab) -> None:
    """Boot all machines and the outside host side by side; return when one can log in to each."""
    everyone = machines(lab)
    with ThreadPoolExecutor(len(everyone) + 1) as pool:
        jobs = [pool.submit(_up, one) for one in everyone]
        jobs.append(pool.submit(_outside_up, lab))
    for job in jobs:
        job.result()


def _up(one: Machine) -> None:
    one.boot()
    one.wait()


def _outside_up(lab: Lab) -> None:
    outside.start(lab)
    outside.wait(lab)


def down(lab: Lab) -> None:
    """Power everything off, whatever of it runs."""
    outside.down(lab)
    for one in machines(lab):
        one.power_off()
    cgroups.remove(lab)
