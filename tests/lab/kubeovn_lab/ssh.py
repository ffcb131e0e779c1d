# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's ssh: one key pair for users, one host key for all its machines, and the command line to reach one.

The host key is made before the machines are, so clients check it like anywhere else.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import spaces
from .processes import inside, run
from .site import Lab

HOST_KEY_ALIAS = "kubeovn-lab"  # the name under which known_hosts has the host key


def host_key(lab: Lab) -> Path:
    """Private host key of every machine, guest and the outside host."""
    return lab.ssh_key.with_name("ssh_host_ed25519_key")


def known_hosts(lab: Lab) -> Path:
    return lab.ssh_key.with_name("known_hosts")


def ensure(lab: Lab) -> None:
    """Make the keys once."""
    lab.ssh_key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key in (lab.ssh_key, host_key(lab)):
        if not key.with_suffix(".pub").exists():
            key.unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"kubeovn-lab-{lab.name}", "-f", key])
    public = host_key(lab).with_suffix(".pub").read_text().split()
    known_hosts(lab).write_text(f"{HOST_KEY_ALIAS} {public[0]} {public[1]}\n")


def argv(lab: Lab, address: str, command: Sequence[str] = (), user: str = "root", space: str = "admin") -> list[str]:
    """The command line that runs `command` (or a shell) on a host of the lab, from one of its namespaces."""
    options = {
        "IdentityFile": lab.ssh_key,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": known_hosts(lab),
        "HostKeyAlias": HOST_KEY_ALIAS,
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "5",
        "LogLevel": "ERROR",
    }
    words: list[str] = ["ssh", "-F", "none"]
    for key, value in options.items():
        words += ["-o", f"{key}={value}"]
    words.append(f"{user}@{address}")
    if command:
        words.append(shlex.join(command))
    return inside(lab.netns(space), words)


def answers(lab: Lab, address: str) -> bool:
    """Whether one can log in there."""
    return spaces.accepts(lab.netns("admin"), address, 22) and not subprocess.call(
        argv(lab, address, ["true"]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
