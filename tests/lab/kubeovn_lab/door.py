# SPDX-License-Identifier: GPL-3.0-or-later
"""The door: loopback ports of the host that lead into the lab's admin namespace.

A process of its own: it opens listening sockets on 127.0.0.1 in the host's network namespace, then moves itself into
the lab's, so that every connection it makes starts there. Nothing else joins the two.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from . import processes, site, spaces
from .site import Lab

NAME = "door"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def targets(lab: Lab) -> dict[str, tuple[str, int]]:
    """Every place the door leads to."""
    places = {
        "api": (site.ADMIN_ADDRESS, site.API_PORT),
        "nb": (site.ADMIN_ADDRESS, site.NB_PORT),
        "sb": (site.ADMIN_ADDRESS, site.SB_PORT),
        "outside-host": (site.OUTSIDE_MGMT_ADDRESS, 22),
    }
    return places | {node.name: (node.mgmt_address, 22) for node in lab.nodes}


def _ports_file(lab: Lab) -> Path:
    return lab.state / "door.json"


def ports(lab: Lab) -> dict[str, int]:
    """The door's port for each place; empty while there is none."""
    try:
        found: dict[str, int] = json.loads(_ports_file(lab).read_text())
    except FileNotFoundError:
        return {}
    return found


def up(lab: Lab) -> dict[str, int]:
    """Start the door and return its ports, the same ones as before where they are still free."""
    if not processes.alive(lab, NAME):
        env = {"PYTHONPATH": str(Path(__file__).parents[1])}
        processes.start(lab, NAME, [sys.executable, "-m", "kubeovn_lab.door", lab.name, _flag(lab)], env=env)
    processes.wait_ready(lab, NAME, lambda: _answers(lab), 10, "the door's ports open")
    return ports(lab)


def _flag(lab: Lab) -> str:
    return "worker" if lab.worker else "no-worker"


def _answers(lab: Lab) -> bool:
    found = ports(lab)
    if set(found) != set(targets(lab)):
        return False
    try:
        socket.create_connection(("127.0.0.1", found["api"]), 1).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    for wanted in (port, 0):
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", wanted))
        except OSError:
            server.close()
            continue
        server.listen(64)
        return server
    raise OSError("no free port on 127.0.0.1")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end; the other one may go on."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def _connected(place: tuple[str, int], near: Streams) -> None:
    """One connection: the far one is made when the near one comes."""
    writers = [near[1]]
    try:
        far = await asyncio.wait_for(asyncio.open_connection(*place), 10)
        writers.append(far[1])
        await asyncio.gather(_copy(near[0], far[1]), _copy(far[0], near[1]))
    except (OSError, TimeoutError):
        pass  # nobody there: the near side sees its connection close, as it would without a door
    finally:
        for writer in writers:
            writer.close()


async def _serve(listener: socket.socket, place: tuple[str, int]) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_connected(place, (reader, writer)))
        tasks.add(task)  # the event loop itself keeps only weak references
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, sock=listener)
    await server.serve_forever()


async def _main(lab: Lab) -> None:
    before = ports(lab)
    listeners = {name: _listen(before.get(name, 0)) for name in targets(lab)}
    temporary = _ports_file(lab).with_suffix(".tmp")
    temporary.write_text(json.dumps({name: server.getsockname()[1] for name, server in listeners.items()}))
    os.replace(temporary, _ports_file(lab))
    spaces.enter(lab.netns("admin"))
    await asyncio.gather(*(_serve(listeners[name], place) for name, place in targets(lab).items()))


if __name__ == "__main__":
    asyncio.run(_main(Lab(sys.argv[1], worker=sys.argv[2] == "worker")))
