# SPDX-License-Identifier: GPL-3.0-or-later
"""A real RAFT cluster of ovsdb-servers on loopback with OVN's northbound database."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.ovsdb import wait_for

NAME = "OVN_Northbound"
SCHEMA = Path(__file__).parent / "schemas" / "ovn-nb.ovsschema"


@dataclass
class Member:
    """One ovsdb-server of the cluster."""

    folder: Path
    tcp: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                "ovsdb-server",
                "--no-chdir",
                f"--log-file={log}",
                "--verbose=console:off",
                f"--unixctl={self.folder}/ctl",
                f"--remote=ptcp:{self.tcp.split(':')[-1] or '0'}:127.0.0.1",
                str(self.folder / "db"),
            ]
        )
        if self.tcp:
            return  # the port is known; it listens when it has found the others
        ports = wait_for("a member listens", lambda: re.findall(r"127\.0\.0\.1: listening on port (\d+)", self.log()))
        self.tcp = f"tcp:127.0.0.1:{ports[0]}"

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def leads(self) -> bool:
        return self.process is not None and "Role: leader" in self.status()

    def joined(self) -> bool:
        return "Status: cluster member" in self.status()

    def status(self) -> str:
        command = ["ovs-appctl", "-t", f"{self.folder}/ctl", "cluster/status", NAME]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@dataclass
class RaftCluster:
    """Three members; `tcp` names all of them."""

    members: list[Member]

    @property
    def tcp(self) -> str:
        return ",".join(member.tcp for member in self.members)

    def leader(self) -> Member:
        leading: Member = wait_for("a leader", lambda: next((m for m in self.members if m.leads()), None), 30)
        return leading

    def followers(self) -> list[Member]:
        leader = self.leader()
        return [member for member in self.members if member is not leader]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. Members have to know each other's before they start."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _number in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@contextmanager
def raft_cluster(folder: Path) -> Generator[RaftCluster]:
    """Three members that have found each other; they are ended with the block."""
    addresses = [f"tcp:127.0.0.1:{port}" for port in free_ports(3)]
    cluster = RaftCluster([Member(folder / f"member{number}") for number in range(3)])
    try:
        for member, address in zip(cluster.members, addresses, strict=True):
            member.folder.mkdir()
            place = str(member.folder / "db")
            if address == addresses[0]:
                create = ["create-cluster", place, str(SCHEMA), address]
            else:
                create = ["join-cluster", place, NAME, address, addresses[0]]
            subprocess.run(["ovsdb-tool", *create], check=True)
            member.start()
            wait_for("the member joined", member.joined, 30)
        cluster.leader()
        yield cluster
    finally:
        for member in cluster.members:
            member.kill()
