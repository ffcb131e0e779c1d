# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines by user-mode Linux: a kernel of their own, so that bonds, VLANs and reboots are real; slower.

The disk is a copy-on-write file over the image of the same tree that nspawn boots. The machine's folder and the Go
programs come by hostfs, mounted as its kernel command line says. Its NICs are taps in the `wire` namespace.
"""

from __future__ import annotations

import contextlib
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
        env = {
            "HOME": str(self.lab.machine_dir(self.node)),
            "TMPDIR": "/dev/shm",  # noqa: S108
            "LD_PRELOAD": str(self.lab.uml_registers),
        }
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
        processes.stop(self.lab, self.process, hard=True)
        # Processes inside are traced by the kernel and end with it, but a killed tracer may leave them stopped. They
        # share its files, and one that stays keeps the disk locked. Who they are is known by the disk alone: the kernel
        # may have started one in its last moment, or have ended before, by itself.
        processes.wait_until(self._unplugged, 20, f"{self.node.name}: its processes ended", 0.02)
        network.detach(self.lab, self.node)

    def _unplugged(self) -> bool:
        """Whether nothing of it is left; what is left is killed."""
        left = _users(self.lab.uml_kernel.resolve(), self.disk.resolve())
        for one in left:
            one.signal(signal.SIGKILL)
        return not left

    def wait(self, deadline: float = 180) -> None:
        """Until one can log in."""

        def answers() -> bool:
            return ssh.answers(self.lab, self.node.mgmt_address)

        processes.wait_ready(self.lab, self.process, answers, deadline, f"{self.node.name}: ssh answers")

    def ssh_argv(self, command: list[str]) -> list[str]:
        return ssh.argv(self.lab, self.node.mgmt_address, command)


def _users(program: Path, file: Path) -> list[Identity]:
    """The processes of a program that have a file open."""
    found = []
    for exe in Path("/proc").glob("[0-9]*/exe"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if exe.readlink() == program and any(each.readlink() == file for each in (exe.parent / "fd").iterdir()):
                found.append(identity_of(int(exe.parent.name)))
    return [one for one in found if one is not None]
