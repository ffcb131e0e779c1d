# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines by systemd-nspawn: the host's kernel, a systemd of their own, native speed.

The overlay of a machine's changes over the common tree is mounted in a mount namespace of its own, so it ends with the
machine's last process and nothing can be left mounted.
"""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import cgroups, machine_config, network, processes, ssh
from .processes import Identity, identity_of
from .site import Lab, Node


def script(lab: Lab, name: str, folder: Path, options: list[str]) -> str:
    """Shell lines that mount the overlay and become systemd-nspawn; to be run in a new mount namespace."""
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    overlay = f"lowerdir={lab.rootfs},upperdir={folder}/upper,workdir={folder}/work"
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--directory={folder}/root",
        f"--machine=kol-{lab.name}-{name}",
        f"--network-namespace-path=/run/netns/{lab.netns(name)}",
        "--capability=all",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        *options,
    ]
    mount = ["mount", "-t", "overlay", f"kol-{lab.name}-{name}", "-o", overlay, f"{folder}/root"]
    # systemd-nspawn leaves folders here, even of machines it does not register.
    own = "mkdir -p /run/systemd/nspawn && mount -t tmpfs none /run/systemd/nspawn"
    return f"{cgroups.join_script(lab, name)}{own}\n{shlex.join(mount)}\nexec {shlex.join(nspawn)}\n"


def start(lab: Lab, process: str, name: str, folder: Path, options: list[str]) -> None:
    """Start systemd-nspawn with a mount namespace of its own."""
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script(lab, name, folder, options)]
    # A machine may set what concerns its network, below /proc/sys/net, and nothing else of the kernel it shares.
    env = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    processes.start(lab, process, argv, env=env)


def kill(lab: Lab, process: str, name: str) -> None:
    """Pull the plug: kill the container's first process, with which the kernel ends all the others at once."""
    who = processes.identity(lab, process)
    if who is not None:
        for leader in _children(who):
            leader.signal(signal.SIGKILL)
            processes.wait_until(partial(_ended, leader), 20, f"{name}: pid {leader.pid} ended", 0.02)
    processes.stop(lab, process, hard=True)
    cgroups.remove(lab, name)


def _ended(who: Identity) -> bool:
    return not who.alive()


def _children(who: Identity) -> list[Identity]:
    """A process's children, whichever of its threads made them."""
    pids = [int(pid) for task in Path(f"/proc/{who.pid}/task").glob("*/children") for pid in task.read_text().split()]
    return [child for pid in pids if (child := identity_of(pid)) is not None]


@dataclass(frozen=True)
class NspawnMachine:
    """A machine that shares the host's kernel."""

    lab: Lab
    node: Node

    @property
    def process(self) -> str:
        return f"machine-{self.node.short}"

    @property
    def console_log(self) -> Path:
        return processes.log_path(self.lab, self.process)

    def alive(self) -> bool:
        return processes.alive(self.lab, self.process)

    def boot(self) -> None:
        """Plug it in; a running machine is left alone."""
        if self.alive():
            return
        self.power_off()
        config = machine_config.write(self.lab, self.node)
        network.attach_veths(self.lab, self.node)
        options = [
            "--boot",
            "--console=read-only",
            f"--hostname={self.node.name}",
            f"--uuid={machine_config.machine_id(self.lab, self.node)}",
            "--bind=/dev/net/tun",
            f"--bind-ro={config}:/etc/lab",
            f"--bind-ro={self.lab.bin}:/opt/lab/bin",
        ]
        start(self.lab, self.process, self.node.short, self.lab.machine_dir(self.node), options)

    def power_off(self) -> None:
        """Hard, as if the cord were pulled; what was written to its disk stays."""
        kill(self.lab, self.process, self.node.short)
        network.detach(self.lab, self.node)

    def wait(self, deadline: float = 60) -> None:
        """Until one can log in."""
        processes.wait_ready(
            self.lab,
            self.process,
            lambda: ssh.answers(self.lab, self.node.mgmt_address),
            deadline,
            f"{self.node.name}: ssh answers",
        )

    def ssh_argv(self, command: list[str]) -> list[str]:
        return ssh.argv(self.lab, self.node.mgmt_address, command)
