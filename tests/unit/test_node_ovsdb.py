# SPDX-License-Identifier: GPL-3.0-or-later
"""A port that goes and comes back, so that Open vSwitch opens its link anew: against a real database."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_ovsdb, _node_probe
from support.vswitch import fill, server

BRIDGE, NIC, PATCH = "br-external", "enp8s0", "patch-localnet.external-to-br-int"
IDS = ["map", [["vendor", "kube-ovn"]]]
Bridges = list[tuple[str, ...]]


@pytest.fixture
def vswitch(tmp_path: Path) -> Generator[str]:
    with server(tmp_path) as sock:
        nic = {"external_ids": IDS, "mtu_request": 9000, "ofport": 4}
        patch = {"type": "patch", "options": ["map", [["peer", "other"]]]}
        fill(sock, {"br-phy": {"enp2s0": {}}, BRIDGE: {BRIDGE: {"type": "internal"}, NIC: nic, PATCH: patch}}, {})
        row = {"external_ids": IDS, "trunks": ["set", [7, 9]], "vlan_mode": "trunk"}
        _node_ovsdb.transact(str(sock), [{"op": "update", "table": "Port", "where": [["name", "==", NIC]], "row": row}])
        yield str(sock)


def settings(sock: str, table: str) -> dict[str, Any]:
    row = {"op": "select", "table": table, "where": [["name", "==", NIC]]}
    [found] = _node_ovsdb.transact(sock, [row])[0]["rows"]
    return {key: found[key] for key in _node_ovsdb.SETTINGS[table]}


@contextmanager
def vswitchd(sock: str, quicker: bool = False) -> Iterator[Bridges]:
    """Takes each configuration over, as ovs-vswitchd does; the bridge's ports in each of them.

    `quicker`: Kube-OVN's node daemon puts a lost port back before anybody else can.
    """
    seen: Bridges = []
    end = threading.Event()

    def work() -> None:
        read = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg", "cur_cfg"]}
        while not end.wait(0.01):
            [row] = _node_ovsdb.transact(sock, [read])[0]["rows"]
            if row["cur_cfg"] == row["next_cfg"]:
                continue
            seen.append(_node_probe.open_vswitch(sock).bridges[BRIDGE])
            if quicker and NIC not in seen[-1]:
                add(sock)
            done = {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"cur_cfg": row["next_cfg"]}}
            _node_ovsdb.transact(sock, [done])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


def add(sock: str) -> None:
    """As `ovs-vsctl add-port` does."""
    interface = {"op": "insert", "table": "Interface", "row": {"name": NIC}, "uuid-name": "i"}
    port = {"op": "insert", "table": "Port", "row": {"name": NIC, "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"}
    mutations = [["ports", "insert", ["named-uuid", "p"]]]
    bridge = {"op": "mutate", "table": "Bridge", "where": [["name", "==", BRIDGE]], "mutations": mutations}
    _node_ovsdb.transact(sock, [interface, port, bridge])


def test_it_was_away_and_is_as_it_was(vswitch: str, tmp_path: Path) -> None:
    (tmp_path / NIC).touch()
    tables = [settings(vswitch, table) for table in _node_ovsdb.SETTINGS]
    before = _node_probe.open_vswitch(vswitch).bridges
    with vswitchd(vswitch) as seen:
        assert _node_ovsdb.reopen(vswitch, NIC, links=str(tmp_path))
    # Open vSwitch has to see a moment without it: of what is there before and after it makes nothing anew.
    assert seen == [(BRIDGE, PATCH), (BRIDGE, NIC, PATCH)]
    assert _node_probe.open_vswitch(vswitch).bridges == before
    assert [settings(vswitch, table) for table in _node_ovsdb.SETTINGS] == tables
    assert tables[0]["trunks"] == ["set", [7, 9]]
    assert tables[1]["mtu_request"] == 9000


def test_who_puts_it_back_is_all_the_same(vswitch: str, tmp_path: Path) -> None:
    (tmp_path / NIC).touch()
    with vswitchd(vswitch, quicker=True) as seen:
        assert _node_ovsdb.reopen(vswitch, NIC, links=str(tmp_path))
    assert seen[0] == (BRIDGE, PATCH)
    assert NIC in _node_probe.open_vswitch(vswitch).bridges[BRIDGE]


def test_what_is_in_no_bridge_stays_so(vswitch: str, tmp_path: Path) -> None:
    (tmp_path / "enp9s0").touch()
    assert not _node_ovsdb.reopen(vswitch, "enp9s0", links=str(tmp_path))
    with pytest.raises(OSError, match=r"there is no link enp8s0 after 0\.1 s"):
        _node_ovsdb.reopen(vswitch, NIC, wait=0.1, links=str(tmp_path))
    assert NIC in _node_probe.open_vswitch(vswitch).bridges[BRIDGE]


def test_it_is_a_program_that_needs_nothing_of_the_collection(vswitch: str, tmp_path: Path) -> None:
    """`lo` is a link of every machine; it is in none of these bridges."""
    program = tmp_path / "reopen.py"
    program.write_text(Path(_node_ovsdb.__file__).read_text())
    subprocess.run([sys.executable, "-I", program, vswitch, "lo"], check=True, cwd=tmp_path)
