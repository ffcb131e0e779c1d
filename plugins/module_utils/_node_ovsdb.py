# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Transactions in Open vSwitch's own database, and a port that goes and comes back, so that its link is opened anew.

It is a program as well, which the dead-man switch keeps beside its script and runs when nothing of the collection is on
the node: it imports nothing of it. Private to this collection: no promise is made to other users. Standard library
only, and for Python 3.8.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any

WAIT = 30.0  # seconds for a link that is made anew
# What somebody may have set, of all that a row has; what Open vSwitch writes itself is left.
SETTINGS = {
    "Port": ("external_ids", "other_config", "tag", "trunks", "vlan_mode", "cvlans", "protected", "qos"),
    "Interface": (
        "external_ids",
        "other_config",
        "options",
        "type",
        "mtu_request",
        "ingress_policing_rate",
        "ingress_policing_burst",
    ),
}


def transact(path: str, operations: list[dict[str, Any]], timeout: float = 10) -> list[dict[str, Any]]:
    """Results of one transaction in the database Open_vSwitch behind a unix socket (RFC 7047); all of it or OSError."""
    request = {"method": "transact", "params": ["Open_vSwitch", *operations], "id": 1}
    decoder, data = json.JSONDecoder(), b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(json.dumps(request).encode())
        while True:
            piece = sock.recv(1 << 16)
            if not piece:
                raise OSError("the connection ended before the answer")
            data += piece
            try:
                answer, end = decoder.raw_decode(data.decode().lstrip())
            except ValueError:
                continue  # not all of it is here yet
            if answer.get("id") == 1:
                return _results(answer)
            data = data.decode().lstrip()[end:].encode()  # the server's echo request


def _results(answer: dict[str, Any]) -> list[dict[str, Any]]:
    results = [part for part in answer.get("result") or [] if part is not None]
    problems = [part.get("details") or part["error"] for part in results if "error" in part]
    if answer.get("error") or problems:
        raise OSError(f"it refused: {answer.get('error') or problems[0]}")
    return results


def apply(path: str, operations: list[dict[str, Any]], timeout: float = 10) -> None:
    """One transaction, and wait until ovs-vswitchd has done what it says; OSError when it does not in time."""
    bump = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
    read = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg", "cur_cfg"]}
    wanted = transact(path, [*operations, bump, read])[-1]["rows"][0]["next_cfg"]
    deadline = time.monotonic() + timeout
    while transact(path, [read])[0]["rows"][0]["cur_cfg"] < wanted:
        if time.monotonic() > deadline:
            raise OSError(f"ovs-vswitchd did not take the change over within {timeout:g} s")
        time.sleep(0.01)


def reopen(path: str, nic: str, wait: float = WAIT, links: str = "/sys/class/net") -> bool:
    """Take a NIC out of its bridge, and put it back with all its settings; whether it is in one at all.

    Open vSwitch's userspace datapath goes on listening to a link that was removed and made anew under the same name. So
    the new one has to be there first: Kube-OVN's node daemon puts the port back within seconds, too.
    """
    deadline = time.monotonic() + wait
    while not os.path.exists(os.path.join(links, nic)):
        if time.monotonic() > deadline:
            raise OSError(f"there is no link {nic} after {wait:g} s")
        time.sleep(0.1)
    rows = {table: transact(path, [_rows(table, nic)])[0]["rows"] for table in SETTINGS}
    bridges = transact(path, [{"op": "select", "table": "Bridge", "where": [], "columns": ["_uuid", "ports"]}])[0]
    if not rows["Port"] or not rows["Interface"]:
        return False
    port = rows["Port"][0]["_uuid"]
    bridge = next((row["_uuid"] for row in bridges["rows"] if port in _uuids(row["ports"])), None)
    if bridge is None:
        return False
    apply(path, [_mutate(bridge, "delete", port)])
    settings = {
        table: {key: rows[table][0][key] for key in keys if key in rows[table][0]} for table, keys in SETTINGS.items()
    }
    try:
        apply(path, _insert(bridge, nic, settings["Port"], settings["Interface"]))
    except OSError:
        if not transact(path, [_rows("Port", nic)])[0]["rows"]:  # else Kube-OVN's node daemon was quicker
            raise
    return True


def _rows(table: str, name: str) -> dict[str, Any]:
    return {"op": "select", "table": table, "where": [["name", "==", name]]}


def _uuids(value: list[Any]) -> list[Any]:
    """A set of references as a list: OVSDB sends a single one bare."""
    return list(value[1]) if value[0] == "set" else [value]


def _mutate(bridge: list[str], verb: str, port: list[str]) -> dict[str, Any]:
    where, mutation = [["_uuid", "==", bridge]], ["ports", verb, port]
    return {"op": "mutate", "table": "Bridge", "where": where, "mutations": [mutation]}


def _insert(bridge: list[str], nic: str, port: dict[str, Any], interface: dict[str, Any]) -> list[dict[str, Any]]:
    link = {"name": nic, **interface}
    row = {"name": nic, "interfaces": ["named-uuid", "interface"], **port}
    return [
        {"op": "insert", "table": "Interface", "row": link, "uuid-name": "interface"},
        {"op": "insert", "table": "Port", "row": row, "uuid-name": "port"},
        _mutate(bridge, "insert", ["named-uuid", "port"]),
    ]


if __name__ == "__main__":
    reopen(sys.argv[1], sys.argv[2])
