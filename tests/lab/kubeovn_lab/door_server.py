# SPDX-License-Identifier: GPL-3.0-or-later
"""The door's own process.

It opens its listening sockets on 127.0.0.1 in the host's network namespace, then moves itself into the lab's, so that
every connection it makes starts there.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

from . import spaces
from .door import ports, ports_file, targets
from .site import Lab

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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
    temporary = ports_file(lab).with_suffix(".tmp")
    temporary.write_text(json.dumps({name: server.getsockname()[1] for name, server in listeners.items()}))
    os.replace(temporary, ports_file(lab))
    spaces.enter(lab.netns("admin"))
    await asyncio.gather(*(_serve(listeners[name], place) for name, place in targets(lab).items()))


if __name__ == "__main__":
    asyncio.run(_main(Lab(sys.argv[1], worker=sys.argv[2] == "worker")))
