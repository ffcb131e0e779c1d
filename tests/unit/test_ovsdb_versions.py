# SPDX-License-Identifier: GPL-3.0-or-later
"""The OVSDB client and databases of different OVN versions: 23.03 as in Debian 12, and 25.03 as in trixie."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    SB_DATABASE,
    Client,
    ExecTransport,
    OvsdbError,
    connect,
)
from support.ovn_site import clients, fill_northbound, fill_southbound
from support.ovsdb import OvsdbServer

Make = Callable[..., OvsdbServer]
VERSIONS = [("23.03", "7.0.0", "20.27.0"), (".", "7.11.0", "20.41.0")]
EIPS = [("10.4.19.101", "172.16.0.2"), ("10.4.19.102", "172.16.0.3")]


@pytest.mark.parametrize(("schemas", "nb_version", "sb_version"), VERSIONS, ids=["23.03", "25.03"])
def test_a_site_reads_alike_in_every_version(make_ovsdb: Make, schemas: str, nb_version: str, sb_version: str) -> None:
    server = make_ovsdb(schemas=schemas)
    northbound = Northbound(*clients(server.tcp))
    fill_northbound(northbound.nb, EIPS)
    fill_southbound(northbound.sb)
    ovn = northbound.observe()
    assert sorted(rule.external_ip for rule in ovn.nat_rules) == [external for external, _logical in EIPS]
    assert [chassis.name for chassis in ovn.chassis] == ["c-001", "c-002", "c-003"]
    northbound.nb.columns()
    northbound.sb.columns()
    assert (northbound.nb.version, northbound.sb.version) == (nb_version, sb_version)


@pytest.mark.parametrize("by_command", [False, True])
def test_a_column_of_newer_versions_is_left_out_and_a_write_to_it_refused(make_ovsdb: Make, by_command: bool) -> None:
    """NAT.priority came after 23.03."""
    server = make_ovsdb(schemas="23.03")
    client = Client(local_exec(server), NB_DATABASE) if by_command else connect(server.tcp, NB_DATABASE, 5)
    row = {"type": "snat", "external_ip": "10.4.19.200", "logical_ip": "10.0.0.0/8"}
    inserted = {"op": "insert", "table": "NAT", "row": row, "uuid-name": "n"}
    router = {"op": "insert", "table": "Logical_Router", "row": {"name": "r", "nat": ["named-uuid", "n"]}}
    lacking = {"op": "update", "table": "NAT", "where": [], "row": {"priority": 7}}
    client.transact([inserted, router])
    assert client.select("NAT", ["type", "priority"]) == [{"type": "snat"}]
    with pytest.raises(OvsdbError, match=r"schema 7\.0\.0 does not have columns priority of NAT: .*another version"):
        client.transact([lacking])
    with pytest.raises(OvsdbError, match="No table named Nope"):
        client.select("Nope", ["name"])


def test_a_table_of_newer_versions_cannot_be_written(make_ovsdb: Make) -> None:
    client = connect(make_ovsdb(schemas="23.03").tcp, NB_DATABASE, 5)
    with pytest.raises(OvsdbError, match=r"schema 7\.0\.0 does not have table Sampling_App"):
        client.transact([{"op": "insert", "table": "Sampling_App", "row": {"type": "drop", "id": 1}}])


def test_a_condition_on_a_column_that_is_not_there_is_an_error_and_not_all_rows(make_ovsdb: Make) -> None:
    """Leaving the condition out would show rows that were not asked for."""
    client = connect(make_ovsdb(schemas="23.03").tcp, NB_DATABASE, 5)
    with pytest.raises(OvsdbError, match="priority"):
        client.select("NAT", ["type"], [("priority", "==", 7)])


@pytest.mark.parametrize("way", ["[::1]", "unix"])
def test_ipv6_and_unix_sockets(make_ovsdb: Make, way: str) -> None:
    server = make_ovsdb(options=["--remote=ptcp:0:[::1]"])
    endpoint = server.unix if way == "unix" else f"tcp:[::1]:{server.ports(way)[0]}"
    assert connect(endpoint, SB_DATABASE, 5).select("Chassis", ["name"]) == []


def local_exec(server: OvsdbServer) -> ExecTransport:
    """The command run here instead of in a pod."""

    def run(argv: list[str]) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    return ExecTransport(run, remote=server.unix)
