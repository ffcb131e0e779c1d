# SPDX-License-Identifier: GPL-3.0-or-later
"""How OVN's databases are reached: by endpoints, or through the API server by the ovn-central pods that lead."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound, open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import GuardFailed, OvsdbError, Unreachable
from support.ovn_site import EIPS, MAC, NETWORK, fill_northbound, port_of, standing
from support.ovsdb import OvsdbServer


@pytest.fixture
def site(ovsdb: OvsdbServer) -> Northbound:
    return standing(ovsdb.tcp)


class LocalPods:
    """The cluster's two calls that reaching OVN needs. What is exec'ed is the real ovsdb-client, run here."""

    def __init__(self, server: OvsdbServer, ready: str = "True") -> None:
        self.server = server
        self.ready = ready
        self.broken: set[str] = set()
        self.execs: list[str] = []
        self.timeouts: set[float] = set()

    def list(self, _resource: object, namespace: str, label_selector: str) -> list[dict[str, Any]]:
        assert namespace == "kube-system"
        assert label_selector in ("ovn-nb-leader=true", "ovn-sb-leader=true")
        name = "central-b" if "central-a" in self.broken else "central-a"
        conditions = [{"type": "Ready", "status": self.ready}]
        return [{"metadata": {"name": name}, "status": {"conditions": conditions}}]

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout: float) -> str:
        self.timeouts.add(timeout)
        assert (namespace, container) == ("kube-system", "ovn-central")
        self.execs.append(pod)
        if pod in self.broken:
            raise ClusterError(f"exec of {argv[0]} in pod {namespace}/{pod} failed")
        remotes = ("unix:/var/run/ovn/ovnnb_db.sock", "unix:/var/run/ovn/ovnsb_db.sock")
        local = [self.server.unix if part in remotes else part for part in argv]
        return subprocess.run(local, capture_output=True, text=True, check=True).stdout


def as_cluster(pods: LocalPods) -> Cluster:
    return cast(Cluster, pods)


@pytest.mark.parametrize("way", [{}, {"ovn_connection": "auto"}, {"ovn_connection": "tcp"}])
def test_endpoints_lead_to_tcp(ovsdb: OvsdbServer, way: dict[str, str]) -> None:
    pods = LocalPods(ovsdb)
    northbound = open_ovn({"nb_endpoint": ovsdb.tcp, "sb_endpoint": ovsdb.tcp, **way}, as_cluster(pods))
    fill_northbound(northbound.nb, EIPS)
    assert [rule.external_ip for rule in northbound.observe().nat_rules] == ["10.4.19.101", "10.4.19.102"]
    assert pods.execs == []


@pytest.mark.parametrize(
    "params", [{}, {"ovn_connection": "exec"}, {"ovn_connection": "exec", "nb_endpoint": "tcp:x:1"}]
)
def test_without_endpoints_it_is_exec(site: Northbound, ovsdb: OvsdbServer, params: dict[str, str]) -> None:
    pods = LocalPods(ovsdb)
    by_exec = open_ovn(params, as_cluster(pods))
    ovn = by_exec.observe(["testing.default"])
    assert ovn == site.observe(["testing.default"])
    assert pods.execs == ["central-a", "central-a"]
    by_exec.set_router_port(port_of(ovn), "0a:00:00:00:00:01", [NETWORK])
    assert port_of(site.observe()).mac == "0a:00:00:00:00:01"
    with pytest.raises(GuardFailed):
        by_exec.set_router_port(port_of(ovn), "0a:00:00:00:00:02", [NETWORK])


def test_an_exec_ends_a_little_after_its_command_was_to_end(ovsdb: OvsdbServer) -> None:
    """What the option allows is allowed, and an API server that says nothing is given up."""
    for option, seconds in ((None, 15), (60, 65)):
        pods = LocalPods(ovsdb)
        open_ovn({"ovn_timeout": option}, as_cluster(pods)).observe()
        assert pods.timeouts == {seconds}


def test_a_leader_that_moved_is_looked_up_again(site: Northbound, ovsdb: OvsdbServer) -> None:
    pods = LocalPods(ovsdb)
    by_exec = open_ovn({}, as_cluster(pods))
    before = by_exec.observe()
    pods.broken.add("central-a")
    assert by_exec.observe() == before == site.observe()
    assert pods.execs[-1] == "central-b"


def test_a_write_by_exec_that_failed_is_not_sent_again(site: Northbound, ovsdb: OvsdbServer) -> None:
    pods = LocalPods(ovsdb)
    by_exec = open_ovn({}, as_cluster(pods))
    port = port_of(by_exec.observe())
    pods.broken.add("central-a")
    pods.execs.clear()
    with pytest.raises(Unreachable, match="cannot run ovsdb-client in pod kube-system/central-a"):
        by_exec.set_router_port(port, "0a:00:00:00:00:01", [NETWORK])
    assert pods.execs == ["central-a"]
    assert port_of(site.observe()).mac == MAC


def test_no_leader_is_said_with_the_way_out(ovsdb: OvsdbServer) -> None:
    northbound = open_ovn({}, as_cluster(LocalPods(ovsdb, ready="False")))
    with pytest.raises(Unreachable, match=r"no ready pod with label ovn-nb-leader=true .*give nb_endpoint"):
        northbound.observe()


WITHOUT = "or use ovn_connection: none"


class Denied(LocalPods):
    """An identity that lacks one of the two rights."""

    def __init__(self, server: OvsdbServer, right: str) -> None:
        super().__init__(server)
        self.right = right

    def list(self, _resource: object, namespace: str, label_selector: str) -> list[dict[str, Any]]:
        if self.right == "list pods":
            raise ClusterError("no list of pods in kube-system", 403, "docs/rbac.yml lists the rights")
        return super().list(_resource, namespace, label_selector)

    def exec(self, *_arguments: object, **_more: object) -> str:
        raise ClusterError("exec was refused: Forbidden", 403, "right pods/exec is needed, see docs/rbac.yml")


@pytest.mark.parametrize("right", ["list pods", "pods/exec"])
def test_an_identity_that_may_not_is_told_of_the_ways_that_it_has(ovsdb: OvsdbServer, right: str) -> None:
    for without in (WITHOUT, ""):
        with pytest.raises(Unreachable, match=r"docs/rbac.yml.*nb_endpoint and sb_endpoint") as caught:
            open_ovn({}, as_cluster(Denied(ovsdb, right)), without).observe()
        assert caught.value.path == "ovn_connection"
        assert ("ovn_connection: none" in str(caught.value)) == bool(without)


def test_a_pod_that_does_not_answer_is_no_reason_to_do_without_it(ovsdb: OvsdbServer) -> None:
    pods = LocalPods(ovsdb)
    pods.broken |= {"central-a", "central-b"}
    with pytest.raises(Unreachable) as caught:
        open_ovn({}, as_cluster(pods), WITHOUT).observe()
    assert "nb_endpoint" in caught.value.hint
    assert "none" not in caught.value.hint


@pytest.mark.parametrize(
    ("params", "missing"),
    [
        ({"nb_endpoint": "tcp:127.0.0.1:1"}, "sb_endpoint"),
        ({"sb_endpoint": "tcp:127.0.0.1:1"}, "nb_endpoint"),
        ({"ovn_connection": "tcp"}, "nb_endpoint and sb_endpoint"),
    ],
)
def test_a_missing_endpoint_is_named(ovsdb: OvsdbServer, params: dict[str, str], missing: str) -> None:
    with pytest.raises(OvsdbError, match=f"^{missing}: missing"):
        open_ovn(params, as_cluster(LocalPods(ovsdb)))


@pytest.mark.parametrize("way", ["tcp", "exec"])
def test_a_time_that_cannot_be_is_refused(ovsdb: OvsdbServer, way: str) -> None:
    params = {"ovn_connection": way, "nb_endpoint": ovsdb.tcp, "sb_endpoint": ovsdb.tcp, "ovn_timeout": -1}
    with pytest.raises(OvsdbError, match=r"^ovn_timeout: -1 is less than nothing") as caught:
        open_ovn(params, as_cluster(LocalPods(ovsdb)))
    assert caught.value.path == "ovn_timeout"
