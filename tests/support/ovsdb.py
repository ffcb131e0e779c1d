# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ovsdb-server with OVN's two databases."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMAS = {"OVN_Northbound": "ovn-nb.ovsschema", "OVN_Southbound": "ovn-sb.ovsschema"}


def wait_for(what: str, condition: Callable[[], Any], timeout: float = 10) -> Any:
    """Poll until the condition gives something true; fail by name at the deadline."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.01)
    return value


@dataclass
class OvsdbServer:
    """A running ovsdb-server. Its databases are empty at first."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    tcp: str = ""
    dropped: Iterable[tuple[str, str]] = field(default_factory=tuple)  # (table, column) that an older OVN lacks
    schemas: str = "."  # folder of the schemas: OVN 25.03's, or "23.03"
    options: Sequence[str] = ()  # more of ovsdb-server's: another remote, TLS files

    @property
    def unix(self) -> str:
        return f"unix:{self.folder}/db.sock"

    def start(self) -> None:
        for database, name in SCHEMAS.items():
            schema = json.loads((Path(__file__).parent / "schemas" / self.schemas / name).read_text())
            for table, column in self.dropped:
                schema["tables"].get(table, {"columns": {}})["columns"].pop(column, None)
            path = self.folder / name
            path.write_text(json.dumps(schema))
            if not (self.folder / f"{database}.db").exists():
                subprocess.run(["ovsdb-tool", "create", self.folder / f"{database}.db", path], check=True)
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                "ovsdb-server",
                "--no-chdir",
                f"--log-file={log}",
                "--verbose=console:off",
                f"--unixctl={self.folder}/ctl",
                f"--remote=p{self.unix}",
                "--remote=ptcp:0:127.0.0.1",
                "--remote=db:OVN_Northbound,NB_Global,connections",
                *self.options,
                *(str(self.folder / f"{database}.db") for database in SCHEMAS),
            ]
        )
        port = wait_for("ovsdb-server listens", lambda: self.ports()[:1])[0]
        self.tcp = f"tcp:127.0.0.1:{port}"

    def ports(self, address: str = "127.0.0.1") -> list[int]:
        """The ports that it listens on at an address, in the order of opening them."""
        log = self.folder / "log"
        text = log.read_text() if log.exists() else ""
        return [int(port) for port in re.findall(rf"{re.escape(address)}: listening on port (\d+)", text)]

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextmanager
def servers(folder: Path) -> Generator[Callable[..., OvsdbServer]]:
    """Start servers in a folder, and end them all."""
    if not (shutil.which("ovsdb-server") and shutil.which("ovsdb-client")):
        raise FileNotFoundError("ovsdb-server is missing: apt-get install openvswitch-common")
    started: list[OvsdbServer] = []

    def start(dropped: Iterable[tuple[str, str]] = (), schemas: str = ".", options: Sequence[str] = ()) -> OvsdbServer:
        place = folder / f"ovsdb{len(started)}"
        place.mkdir()
        started.append(OvsdbServer(place, dropped=dropped, schemas=schemas, options=options))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()
