# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ovsdb-server with Open vSwitch's own database, filled as ovs-vsctl does."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import connect

from support.ovsdb import wait_for

SCHEMA = Path(__file__).with_name("schemas") / "vswitch.ovsschema"


@contextmanager
def server(folder: Path) -> Generator[Path]:
    """Its socket; the database is empty."""
    subprocess.run(["ovsdb-tool", "create", folder / "conf.db", SCHEMA], check=True)
    sock = folder / "db.sock"
    remote = [f"--remote=punix:{sock}", f"--unixctl={folder}/ctl", "--verbose=off", "--no-chdir"]
    with subprocess.Popen(["ovsdb-server", *remote, str(folder / "conf.db")]) as process:
        try:
            wait_for("ovsdb-server listens", lambda: listens(sock))
            yield sock
        finally:
            process.kill()


def listens(sock: Path) -> bool:
    """Whether somebody answers there: the socket's file is made a moment before."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(sock)) == 0


def fill(sock: Path, bridges: dict[str, dict[str, dict[str, Any]]], external_ids: dict[str, str]) -> None:
    """Insert bridges with their interfaces as ovs-vsctl does."""
    operations: list[dict[str, Any]] = []
    made: list[list[str]] = []
    for number, (bridge, interfaces) in enumerate(bridges.items()):
        refs = []
        for index, (name, columns) in enumerate(interfaces.items()):
            key = f"{number}x{index}"
            refs.append(["named-uuid", f"p{key}"])
            row = {"name": name, **columns}
            operations.append({"op": "insert", "table": "Interface", "row": row, "uuid-name": f"i{key}"})
            row = {"name": name, "interfaces": ["named-uuid", f"i{key}"]}
            operations.append({"op": "insert", "table": "Port", "row": row, "uuid-name": f"p{key}"})
        row = {"name": bridge, "ports": ["set", refs]}
        operations.append({"op": "insert", "table": "Bridge", "row": row, "uuid-name": f"b{number}"})
        made.append(["named-uuid", f"b{number}"])
    system = {"bridges": ["set", made], "external_ids": ["map", [list(pair) for pair in external_ids.items()]]}
    operations.append({"op": "insert", "table": "Open_vSwitch", "row": system})
    client = connect(f"unix:{sock}", "Open_vSwitch", 10)
    client.transact(operations)
    client.close()
