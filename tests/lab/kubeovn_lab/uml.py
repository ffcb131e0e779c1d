# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines by user-mode Linux: a kernel of their own, so that bonds, VLANs and reboots are real; slower.

The disk is a copy-on-write file over the image of the same tree that nspawn boots. The machine's folder and the Go
programs come by hostfs, mounted as its kernel command line says. Its NICs are taps in the `wire` namespace.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from . import machine_config, network, processes, ssh
from .network import Cable
from .processes import Identity, identity_of
from .site import Lab, Node

MEMORY = "640M"


@dataclass(frozen=True)
class UmlMachine:
    """A machine with a kernel of its own."""

    lab: Lab
    node: Node

    @property
    def process(self) -> str:
        return f"machine-{self.node.short}"

    @property
    def console_log(self) -> Path:
        return processes.log_path(self.lab, self.process)

    @property
    def disk(self) -> Path:
        return self.lab.machine_dir(self.node) / "disk.cow"

    def alive(self) -> bool:
        return processes.alive(self.lab, self.process)

    def boot(self) -> None:
        """Plug it in; a running machine is left alone."""
        if self.alive():
            return
        self.power_off()
        config = machine_config.write(self.lab, self.node)
        cables = network.attach_taps(self.lab, self.node)
        # A starting process is several times faster when the kernel's processes do not wander between cores.
        argv = [
            "taskset",
            "--cpu-list",
            str(self._core()),
            str(self.lab.uml_kernel),
            *self._command_line(config, cables),
        ]
        # Sockets and the memory file go to the machine's folder; TMPDIR is where the kernel maps its memory from.
        env = {"HOME": str(self.lab.machine_dir(self.node)), "TMPDIR": "/dev/shm"}  # noqa: S108
        processes.start(self.lab, self.process, argv, netns=self.lab.netns("wire"), env=env)

    def _core(self) -> int:
        """Spread the machines over the cores we may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cores[[node.name for node in self.lab.nodes].index(self.node.name) % len(cores)]

    def _command_line(self, config: Path, cables: list[Cable]) -> list[str]:
        vectors = [
            f"vec{number}:transport=tap,ifname={cable.port},mac={cable.mac},gro=0"
            for number, cable in enumerate(cables)
        ]
        folders = {"/etc/lab": config, "/opt/lab/bin": self.lab.bin.resolve()}
        mounts = [f"systemd.mount-extra=lab:{point}:hostfs:{folder},ro" for point, folder in folders.items()]
        return [
            f"umid=kol-{self.lab.name}-{self.node.short}",
            f"uml_dir={self.lab.machine_dir(self.node)}/uml",
            f"mem={MEMORY}",
            f"ubd0={self.disk},{self.lab.uml_image}",
            "root=/dev/ubda",
            "rw",
            "quiet",
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
            *vectors,
            *mounts,
            f"systemd.hostname={self.node.name}",
            f"systemd.machine_id={machine_config.machine_id(self.lab, self.node).hex}",
        ]

    def power_off(self) -> None:
        """Hard: the kernel and every process of it are killed; what it wrote to its disk stays."""
        who = processes.identity(self.lab, self.process)
        if who is not None:
            # Processes inside are traced by the kernel and end with it, but a killed tracer may leave them stopped.
            family = _descendants(who)
            processes.stop(self.lab, self.process, hard=True)
            for child in family:
                child.signal(signal.SIGKILL)
            processes.wait_until(
                lambda: not any(child.alive() for child in family), 20, f"{self.node.name}: its processes ended", 0.02
            )
        processes.stop(self.lab, self.process, hard=True)
        network.detach(self.lab, self.node)

    def wait(self, deadline: float = 180) -> None:
        """Until one can log in."""

        def answers() -> bool:
            return ssh.answers(self.lab, self.node.mgmt_address)

        processes.wait_ready(self.lab, self.process, answers, deadline, f"{self.node.name}: ssh answers")

    def ssh_argv(self, command: list[str]) -> list[str]:
        return ssh.argv(self.lab, self.node.mgmt_address, command)


def _descendants(who: Identity) -> list[Identity]:
    """All processes below one, by who their parents are."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: list[Identity] = []
    todo = [who.pid]
    while todo:
        for pid in children.get(todo.pop(), ()):
            todo.append(pid)
            child = identity_of(pid)
            if child is not None:
                found.append(child)
    return found
