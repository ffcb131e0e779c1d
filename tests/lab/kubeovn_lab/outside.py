# SPDX-License-Identifier: GPL-3.0-or-later
"""The outside host: a user's machine on the external network, reached by ssh over mgmt so that probes stay apart.

The same tree as the machines', but nothing runs in it except an sshd.
"""

from __future__ import annotations

from pathlib import Path

from . import nspawn, processes, site, ssh
from .site import Lab

PROCESS = "outside"


def folder(lab: Lab) -> Path:
    return lab.state / "machines" / "outside-host"


def start(lab: Lab) -> None:
    if processes.alive(lab, PROCESS):
        return
    down(lab)
    config = folder(lab) / "config"
    config.mkdir(parents=True, exist_ok=True)
    files = {
        "authorized_keys": lab.ssh_key.with_suffix(".pub").read_text(),
        "ssh_host_ed25519_key": ssh.host_key(lab).read_text(),
        "id_ed25519": lab.ssh_key.read_text(),
        "known_hosts": ssh.known_hosts(lab).read_text(),
    }
    for name, text in files.items():
        (config / name).touch(mode=0o600)
        (config / name).write_text(text)
    options = [
        "--as-pid2",
        "--console=pipe",
        "--hostname=outside-host",
        f"--bind-ro={config}:/etc/lab",
        "--",
        "/bin/sh",
        "-c",
        "mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e",
    ]
    nspawn.start(lab, PROCESS, "outside", folder(lab), options)


def wait(lab: Lab, deadline: float = 60) -> None:
    """Until one can log in."""

    def answers() -> bool:
        return ssh.answers(lab, site.OUTSIDE_MGMT_ADDRESS)

    processes.wait_ready(lab, PROCESS, answers, deadline, "the outside host: ssh answers")


def down(lab: Lab) -> None:
    nspawn.kill(lab, PROCESS, "outside")
