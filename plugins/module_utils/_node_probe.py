# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the node it runs on: links and routes by `ip`, Open vSwitch by its socket, the connection by /proc.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_ovsdb

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command

OVS_SOCKETS = ("/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock", "/usr/local/var/run/openvswitch/db.sock")


class ProbeError(Exception):
    """The node cannot be looked at, and why."""


def ip_rows(run: Run, *arguments: str) -> list[dict[str, Any]]:
    """The rows that `ip -json` prints."""
    code, out, err = run(["ip", "-json", *arguments])
    if code != 0:
        raise ProbeError(f"ip {' '.join(arguments)}: {err.strip() or 'exit status ' + str(code)}")
    try:
        return [row for row in json.loads(out or "[]") if row]
    except ValueError as error:
        raise ProbeError(
            f"ip {' '.join(arguments)} did not print JSON, iproute2 4.18 or newer is needed: {error}"
        ) from error


def links(run: Run) -> dict[str, _node.Link]:
    """All links of the node."""
    return _node.parse_links(ip_rows(run, "-details", "address", "show"))


def default_routes(run: Run) -> list[tuple[str, str]]:
    """Links that carry a default route of any table, IPv4 and IPv6."""
    return [
        found
        for family in ("-4", "-6")
        for found in _node.default_routes(ip_rows(run, family, "route", "show", "table", "all", "default"))
    ]


def way_to(run: Run, known: dict[str, _node.Link], address: str, source: str = "") -> str | None:
    """The link that packets to this address leave by; for an own address, the link that has it.

    `source` is what they come from, where that is known: a rule may send them another way for it.
    """
    own = _node.holder(known, address)
    if own is not None:
        return own
    for words in [["from", source], []] if source else [[]]:
        with contextlib.suppress(ProbeError):
            rows = ip_rows(run, "route", "get", address, *words)
            return next((row["dev"] for row in rows if row.get("dev")), None)
    return None


def routes_to(run: Run, addresses: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Address -> (link, table) of the routes that lead there, of all tables; asked for by one process."""
    lines = [f"route show table all match {address}" for address in addresses]
    if not lines:
        return {}
    code, out, _err = run(["ip", "-json", "-batch", "-"], data="\n".join(lines) + "\n")
    rows: list[dict[str, Any]] = []
    decoder, text = json.JSONDecoder(), out.strip()
    while text and code == 0:
        try:
            found, end = decoder.raw_decode(text)
        except ValueError as error:
            raise ProbeError(f"ip -batch did not print JSON, iproute2 4.18 or newer is needed: {error}") from error
        rows += [row for row in found if row]
        text = text[end:].lstrip()
    return {address: _node.routes_to(address, rows) for address in addresses}


def connection(environ: dict[str, str], pid: int) -> tuple[str, str] | None:
    """(client, server) addresses of the SSH connection that this process came by.

    sudo takes SSH_CONNECTION out of the environment, so the parents' environments are read, too.
    """
    text = environ.get("SSH_CONNECTION", "")
    while not text and pid > 1:
        pid, text = _parent(pid)
    parts = text.split()
    if len(parts) != 4:
        return None
    return parts[0].partition("%")[0], parts[2].partition("%")[0]


def _parent(pid: int) -> tuple[int, str]:
    """A process' parent and the parent's SSH_CONNECTION."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/environ", encoding="utf-8", errors="replace") as file:
            entries = file.read().split("\0")
    except (OSError, ValueError, IndexError):
        return 0, ""
    return parent, next((entry.partition("=")[2] for entry in entries if entry.startswith("SSH_CONNECTION=")), "")


def in_container(path: str = "/run/systemd/container", environ: str = "/proc/1/environ") -> bool:
    """Whether this machine is itself a container (systemd-nspawn, LXC, ...): then its NICs are veths."""
    if os.path.exists(path):
        return True
    try:
        with open(environ, encoding="utf-8", errors="replace") as file:
            return any(re.match(r"container=.", entry) for entry in file.read().split("\0"))
    except OSError:
        return False


def udev_version(run: Run, control: str = "/run/udev/control") -> int | None:
    """The version of udev, where it names the links at all: in a container it does not."""
    if not os.path.exists(control):
        return None
    words = run(["udevadm", "--version"])[1].split()
    return int(words[0]) if words and words[0].isdigit() else 0


def packets_sent(nic: str, root: str = "/sys/class/net") -> int | None:
    """What a NIC's counter says."""
    try:
        with open(os.path.join(root, nic, "statistics", "tx_packets"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def resolve(server: str) -> list[str]:
    """Addresses of a URL, host or host:port; empty when its name is not known here."""
    text = server if "//" in server else f"//{server}"
    try:
        host = server if _is_address(server) else urlsplit(text).hostname
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, ValueError):
        return []
    return sorted({str(entry[4][0]).partition("%")[0] for entry in found})


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def anchors(
    run: Run,
    links: dict[str, _node.Link],
    ovs: _node.Ovs,
    api_servers: Iterable[str] = (),
    internal_ips: Iterable[str] = (),
) -> tuple[list[tuple[str, str]], list[str]]:
    """(link, reason) of everything that the node lives on, and what of it could not be found."""
    found, unverified = default_routes(run), []
    held = []  # addresses that a link of the node has
    ways = []  # address, where packets come from that go there, why it counts
    peer = connection(dict(os.environ), os.getpid())
    if peer is None:
        unverified.append("Ansible's connection: it is not an SSH connection that this node can see")
    else:
        held.append((peer[1], f"holds {peer[1]}, which Ansible's connection came to"))
        ways.append((peer[0], peer[1], f"Ansible's connection from {peer[0]}"))
    for server in api_servers:
        addresses = resolve(server)
        ways += [(address, "", f"the way to the API server {address}") for address in addresses]
        if not addresses:
            unverified.append(f"the way to the API server {server}: its name is not known on this node")
    held += [(address, f"holds the encapsulation address {address}") for address in ovs.encap_ips]
    held += [(address, f"holds the node's InternalIP {address}") for address in internal_ips]
    if ovs.problem:
        unverified.append(f"the encapsulation address: {ovs.problem}")
    for address, reason in held:
        link = _node.holder(links, address)
        if link is None:
            unverified.append(f"no link {reason}")
        else:
            found.append((link, reason))
    ways += _tunnels_from_nowhere(links, ovs)
    routes = routes_to(run, {address: None for address, _source, _what in ways})
    for address, source, what in ways:
        link = way_to(run, links, address, source)
        if link is None:
            unverified.append(f"no link carries {what}")
        else:
            found.append((link, f"carries {what}"))
        more = [(name, table) for name, table in routes.get(address, ()) if name != link]
        found += [(name, f"has a route of table {table} for {what}") for name, table in more]
    return found, unverified


def _tunnels_from_nowhere(links: dict[str, _node.Link], ovs: _node.Ovs) -> list[tuple[str, str, str]]:
    """The ways of tunnels whose own address is on a link that leads nowhere, as where a node announces it."""
    held = (links.get(_node.holder(links, address) or "") for address in ovs.encap_ips)
    apart = [link for link in held if link is not None and (link.loopback or link.kind == "dummy")]
    if not apart:
        return []
    return [(x.remote, ovs.encap_ips[0], f"the overlay's tunnel to {x.remote}") for x in ovs.tunnels]


# --- Open vSwitch ---------------------------------------------------------------------------------------------


def _decode(value: Any) -> Any:
    """An OVSDB value as Python's: set -> list, map -> dict, UUID -> str."""
    if isinstance(value, list) and len(value) == 2:
        if value[0] == "set":
            return [_decode(item) for item in value[1]]
        if value[0] == "map":
            return {_decode(key): _decode(item) for key, item in value[1]}
        if value[0] == "uuid":
            return value[1]
    return value


def _each(value: Any) -> list[Any]:
    """A set column as a list: OVSDB sends a single element bare."""
    return value if isinstance(value, list) else [value]


def select(path: str, queries: Iterable[tuple[str, list[str]]]) -> list[list[dict[str, Any]]]:
    """Rows of some tables, read at one moment."""
    operations = [{"op": "select", "table": table, "where": [], "columns": columns} for table, columns in queries]
    results = _node_ovsdb.transact(path, operations)
    return [[{key: _decode(value) for key, value in row.items()} for row in part["rows"]] for part in results]


def ovs_socket(path: str = "") -> str | None:
    """Open vSwitch's database socket, if there is one."""
    return next((name for name in ((path,) if path else OVS_SOCKETS) if os.path.exists(name)), None)


def port_uuids(path: str) -> dict[str, str]:
    """The rows of all ports by name."""
    (ports,) = select(path, [("Port", ["_uuid", "name"])])
    return {row["name"]: row["_uuid"] for row in ports}


def open_vswitch(path: str = "") -> _node.Ovs:
    """What Open vSwitch's database says; with its `problem` when it cannot be read."""
    found = ovs_socket(path)
    if found is None:
        return _node.Ovs(problem=f"there is no socket {path or OVS_SOCKETS[0]}: is Open vSwitch installed and running?")
    queries = [
        ("Open_vSwitch", ["external_ids"]),
        ("Bridge", ["name", "ports"]),
        ("Port", ["_uuid", "interfaces", "tag", "trunks"]),
        ("Interface", ["_uuid", "name", "type", "options", "error", "ofport", "bfd_status"]),
    ]
    try:
        tables = select(found, queries)
    except OSError as error:
        return _node.Ovs(problem=f"{found}: {error}")
    return _ovs(*tables)


def _ovs(
    systems: list[dict[str, Any]],
    bridges: list[dict[str, Any]],
    ports: list[dict[str, Any]],
    interfaces: list[dict[str, Any]],
) -> _node.Ovs:
    names = {row["_uuid"]: row["name"] for row in interfaces}
    of_port = {row["_uuid"]: [names[uuid] for uuid in _each(row["interfaces"]) if uuid in names] for row in ports}
    return _node.Ovs(
        bridges={
            row["name"]: tuple(sorted(name for port in _each(row["ports"]) for name in of_port.get(port, ())))
            for row in bridges
        },
        errors={row["name"]: row["error"] for row in interfaces if row["error"] and isinstance(row["error"], str)},
        peers={row["name"]: row["options"]["peer"] for row in interfaces if row["options"].get("peer")},
        external_ids=systems[0]["external_ids"] if systems else {},
        types={row["name"]: row["type"] for row in interfaces if row["type"]},
        numbers={row["name"]: row["ofport"] for row in interfaces if isinstance(row["ofport"], int)},
        staged=frozenset(
            name
            for row in ports
            if _each(row["trunks"]) == [_node.STAGED] and not _each(row["tag"])
            for name in of_port[row["_uuid"]]
        ),
        tunnels=tuple(_tunnel(row) for row in interfaces if row["options"].get("remote_ip")),
    )


def _tunnel(row: dict[str, Any]) -> _node.Tunnel:
    error = row["error"] if isinstance(row["error"], str) else None
    return _node.Tunnel(row["options"]["remote_ip"], row["bfd_status"].get("state"), error or None)
