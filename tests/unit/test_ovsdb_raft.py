# SPDX-License-Identifier: GPL-3.0-or-later
"""The OVSDB client and a real RAFT cluster: it speaks to the leader, and survives that another one leads."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    Client,
    ConnectionLost,
    Unreachable,
    connect,
)
from support.ovsdb import wait_for
from support.raft import RaftCluster, raft_cluster
from support.relay import Relay

PATIENCE = 30  # seconds; an election takes two, on a busy machine more


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[RaftCluster]:
    with raft_cluster(tmp_path) as running:
        yield running


def add(client: Client, name: str) -> None:
    client.transact([{"op": "insert", "table": "Logical_Switch", "row": {"name": name}}])


def names(client: Client) -> list[str]:
    return sorted(row["name"] for row in client.select("Logical_Switch", ["name"]))


def test_the_leader_is_taken_wherever_it_is_named(cluster: RaftCluster) -> None:
    leader = cluster.leader()
    relay = Relay(leader.tcp)
    try:
        last = ",".join([*(member.tcp for member in cluster.followers()), relay.tcp])
        client = connect(last, NB_DATABASE, PATIENCE)
        add(client, "a")
        assert names(client) == ["a"]
        assert b'"insert"' in relay.sent
    finally:
        relay.close()


def test_only_followers_are_refused_with_the_way_out(cluster: RaftCluster) -> None:
    follower = cluster.followers()[0]
    with pytest.raises(Unreachable, match=r"nb_endpoint: .* does not lead the cluster .*all members' endpoints"):
        connect(follower.tcp, NB_DATABASE, 0.5, "nb_endpoint")


def test_a_killed_leader_is_replaced_for_reads_and_writes(cluster: RaftCluster) -> None:
    client = connect(cluster.tcp, NB_DATABASE, PATIENCE)
    add(client, "a")
    first = cluster.leader()
    first.kill()
    assert names(client) == ["a"]
    add(client, "b")
    assert names(client) == ["a", "b"]
    assert cluster.leader() is not first


def test_a_leader_killed_with_a_request_under_way_is_survived_by_a_read(cluster: RaftCluster) -> None:
    leader = cluster.leader()
    relay = Relay(leader.tcp, mute=True)  # the answer stays under way
    try:
        others = [member.tcp for member in cluster.followers()]
        client = connect(",".join([relay.tcp, *others]), NB_DATABASE, PATIENCE)
        found: list[list[str]] = []
        reading = threading.Thread(target=lambda: found.append(names(client)), daemon=True)
        reading.start()
        wait_for("the request is at the leader", lambda: b'"select"' in relay.sent)
        leader.kill()
        reading.join(PATIENCE)
        assert found == [[]]
    finally:
        relay.close()


def test_a_write_that_a_killed_leader_did_not_answer_is_told_and_not_repeated(cluster: RaftCluster) -> None:
    leader = cluster.leader()
    relay = Relay(leader.tcp, mute=True)
    try:
        others = [member.tcp for member in cluster.followers()]
        client = connect(",".join([relay.tcp, *others]), NB_DATABASE, PATIENCE)
        told: list[BaseException] = []

        def write() -> None:
            try:
                add(client, "a")
            except ConnectionLost as error:
                told.append(error)

        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        wait_for("the leader has answered", lambda: b'"uuid"' in relay.received)
        leader.kill()
        writing.join(PATIENCE)
        assert [error for error in told if "whether it was done is unknown" in str(error)] == told != []
        assert names(client) == ["a"]  # done once: a look at the new leader tells
    finally:
        relay.close()


def test_a_leader_that_lives_but_leads_no_more_is_left(cluster: RaftCluster) -> None:
    relays = [Relay(member.tcp) for member in cluster.members]
    try:
        client = connect(",".join(relay.tcp for relay in relays), NB_DATABASE, PATIENCE)
        add(client, "a")
        for member in cluster.followers():
            member.kill()  # alone it can lead nobody
        [alone] = [index for index, member in enumerate(cluster.members) if member.process is not None]
        said = relays[alone].received
        wait_for("it says that it leads no more", lambda: b'"update"' in said, PATIENCE)
        for member in cluster.members:
            if member.process is None:
                member.start()
        assert names(client) == ["a"]
        add(client, "b")
        leading = relays[cluster.members.index(cluster.leader())]
        assert b'"b"' in leading.sent
    finally:
        for relay in relays:
            relay.close()
