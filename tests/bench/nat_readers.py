# SPDX-License-Identifier: GPL-3.0-or-later
"""One reading of all NAT rows in a process of its own: by the collection, or by the Python IDL. Prints what it took.

And the least that any reading takes: `floor`.

Usage: nat_readers.py ours|idl ENDPOINT. Time and memory are those of the reading: what it needs has been imported.
Memory is what the process has at its peak, less what it had before.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.kubeovn.core.plugins.module_utils._jsonrpc import CHUNK, parse_endpoints
from ansible_collections.kubeovn.core.plugins.module_utils._nat_rows import ADDRESSES, nat_queries, nat_rules
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import NB_DATABASE, connect, many

ROUTER = "ovn-cluster"
PATIENCE = 600


def ours(endpoint: str) -> int:
    """As Northbound.observe reads them for ovn_nat_info: connected anew, typed records in the end."""
    nb = connect(endpoint, NB_DATABASE, PATIENCE)
    others, *rows = nb.select_many([("Logical_Router", ["nat"], [("name", "!=", ROUTER)]), *nat_queries(False)])
    found = nat_rules(rows, False, {key for router in others for key in many(router["nat"])})
    nb.close()
    assert found is not None
    return len(found[0])


def floor(endpoint: str) -> int:
    """The cheapest answer that has both addresses, taken off the socket and neither parsed nor looked at: its bytes.

    Without conditions, for a server needs time for each; without columns that name a row, which cost more; in no order.
    """
    [place] = parse_endpoints(endpoint)
    select = {"op": "select", "table": "NAT", "where": [], "columns": list(ADDRESSES), "sort": []}
    request = {"method": "transact", "params": [NB_DATABASE, select], "id": 0}
    answer = bytearray()
    with place.open(PATIENCE) as sock:
        sock.sendall(json.dumps(request).encode())
        while not answer.endswith(b"}") or answer.count(b"{") != answer.count(b"}"):
            answer += sock.recv(CHUNK)
    return len(answer)


def idl(endpoint: str) -> int:
    """By `ovs`, with nothing registered but the columns that are needed, and its schema asked for beforehand."""
    ovs = {name: importlib.import_module(f"ovs.{name}") for name in ("db.idl", "poller", "stream", "jsonrpc")}
    client = ovs["db.idl"]
    error, stream = ovs["stream"].Stream.open_block(ovs["stream"].Stream.open(endpoint))
    assert not error
    connection = ovs["jsonrpc"].Connection(stream)
    _error, reply = connection.transact_block(ovs["jsonrpc"].Message.create_request("get_schema", [NB_DATABASE]))
    connection.close()
    helper = client.SchemaHelper(None, reply.result)
    helper.register_columns("NAT", ["type", "external_ip", "logical_ip", "logical_port", "external_mac", "options"])
    helper.register_columns("Logical_Router", ["name", "nat"])
    replica = client.Idl(endpoint, helper, leader_only=False)
    while not replica.has_ever_connected():
        replica.run()
        if not replica.has_ever_connected():
            poller = ovs["poller"].Poller()
            replica.wait(poller)
            poller.block()
    [router] = [row for row in replica.tables["Logical_Router"].rows.values() if row.name == ROUTER]
    found = [(rule.type, rule.external_ip, rule.logical_ip, rule.logical_port) for rule in router.nat]
    replica.close()
    return len(found)


def peak() -> float:
    """The process' largest memory so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main(name: str, endpoint: str) -> None:
    """Read once."""
    readers: dict[str, Callable[[str], int]] = {"ours": ours, "idl": idl}
    if name == "idl":
        for module in ("db.idl", "poller", "stream", "jsonrpc"):
            importlib.import_module(f"ovs.{module}")
    before, began = peak(), time.perf_counter()
    rows = readers[name](endpoint)
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began, "added": peak() - before, "peak": peak()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
