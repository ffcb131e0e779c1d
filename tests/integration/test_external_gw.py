# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_external_gw on the lab's real Kube-OVN, judged by kubectl, nbctl and sbctl and from the outside host."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.ansible import module
from support.lab import Lab

G1, G2, G3 = NODES = ["jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003"]
SITE: dict[str, Any] = {
    "nodes": NODES,
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": "16:52:f3:13:6a:25",
}
CONFIG_MAP = ("-n", "kube-system", "configmap", "ovn-external-gw-config")


def push(check: bool = False, env: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    return module("kubeovn.core.ovn_external_gw", {**SITE, **changes}, check=check, env=env)


def done(**changes: Any) -> dict[str, Any]:
    result = push(**changes)
    assert not result["failed"], result["msg"]
    return result


def actions(result: dict[str, Any]) -> list[str]:
    return [step["action"] for step in result["plan"]]


def until(condition: Callable[[], bool], what: str, deadline: float = 60) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.3)


class Truth:
    """What others than the collection say about the lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def nbctl(self, *arguments: str) -> str:
        return self.lab.run("nbctl", *arguments).strip()

    def kubectl(self, *arguments: str) -> str:
        return self.lab.run("kubectl", *arguments).strip()

    def chassis(self) -> dict[str, str]:
        """Node by chassis."""
        listed = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        key = "ovn.kubernetes.io/chassis"
        return {node["metadata"].get("annotations", {}).get(key, ""): node["metadata"]["name"] for node in listed}

    def gateways(self) -> list[tuple[str, int]]:
        """The router port's gateway chassis, highest priority first."""
        if "ovn-cluster-external" not in self.nbctl("lrp-list", "ovn-cluster"):
            return []
        names = self.chassis()
        lines = [line.split() for line in self.nbctl("lrp-get-gateway-chassis", "ovn-cluster-external").splitlines()]
        return [(names[name.removeprefix("ovn-cluster-external-")], int(rank)) for name, rank in lines]

    def port(self) -> list[str]:
        """MAC and network of the router port."""
        text = self.nbctl("--bare", "--columns=mac,networks", "list", "logical_router_port", "ovn-cluster-external")
        return text.split()

    def data(self) -> dict[str, str] | None:
        text = self.kubectl("get", *CONFIG_MAP, "--ignore-not-found", "-o", "json")
        return json.loads(text)["data"] if text else None

    def labels(self) -> dict[str, str]:
        listed = json.loads(self.kubectl("get", "nodes", "-l", "ovn.kubernetes.io/external-gw", "-o", "json"))["items"]
        return {one["metadata"]["name"]: one["metadata"]["labels"]["ovn.kubernetes.io/external-gw"] for one in listed}

    def active(self) -> str | None:
        query = ("--bare", "--columns=chassis", "find", "port_binding", "logical_port=cr-ovn-cluster-external")
        row = self.lab.run("sbctl", *query).strip()
        return self.chassis()[self.lab.run("sbctl", "get", "chassis", row, "name").strip().strip('"')] if row else None

    def pings(self, address: str) -> bool:
        return "1 received" in self.lab.run("outside", "--", "sh", "-c", f"ping -c 1 -W 2 {address} || true")

    def state(self) -> tuple[Any, ...]:
        """All that the module may change."""
        port = self.port() if self.gateways() else []
        return self.gateways(), port, self.data(), self.labels(), self.nbctl("show", "external")

    def written(self, since: int) -> list[str]:
        """What the collection's identity wrote in the API server, as its audit log says."""
        lines = Path(os.environ["LAB_AUDIT_LOG"]).read_text().splitlines()[since:]
        events = [json.loads(line) for line in lines]
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in events
            if "kubeovn-operator" in event["user"]["username"]
            and event["verb"] in ("create", "update", "patch", "delete")
            and "selfsubjectaccessreviews" not in event["requestURI"]
        ]

    @staticmethod
    def log_length() -> int:
        return len(Path(os.environ["LAB_AUDIT_LOG"]).read_text().splitlines())


@pytest.fixture(scope="module")
def truth(lab: Lab) -> Generator[Truth, None, None]:
    """The lab, and at the end its gateway as the example site has it."""
    yield Truth(lab)
    done()


@pytest.fixture
def site(truth: Truth) -> Truth:
    """The lab with the gateway as the example site has it."""
    done()
    assert truth.active() == G1
    return truth


# --- from nothing, and back -------------------------------------------------------------------------------------------


def test_made_from_nothing_and_nothing_more_to_do(truth: Truth) -> None:
    gone = module("kubeovn.core.ovn_external_gw", {"state": "absent"})
    assert not gone["failed"], gone["msg"]
    assert (truth.data(), truth.labels(), truth.gateways(), truth.nbctl("ls-list")) == (
        None,
        {},
        [],
        "\n".join(line for line in truth.nbctl("ls-list").splitlines() if "(external)" not in line),
    )
    nothing = truth.state()
    foreseen = push(check=True)
    assert foreseen["changed"]
    assert truth.state() == nothing

    made = done()
    assert made["plan"] == foreseen["plan"]
    assert made["config_map"] == foreseen["config_map"] == truth.data()
    assert truth.data() == {
        "enable-external-gw": "true",
        "type": "centralized",
        "external-gw-nodes": ",".join(NODES),
        "external-gw-nic": "enp8s0",
        "external-gw-addr": "10.4.19.1/24",
        "nic-ip": "10.4.19.254/24",
        "nic-mac": "16:52:f3:13:6a:25",
    }
    assert truth.port() == ["16:52:f3:13:6a:25", "10.4.19.254/24"]
    assert truth.gateways() == [(G1, 100), (G2, 99), (G3, 98)]
    assert "localnet.external" in truth.nbctl("show", "external")
    assert truth.labels() == dict.fromkeys(NODES, "true")
    assert made["active_node"] == truth.active() == G1
    assert [one["node"] for one in made["router_port"]["gateway_chassis"]] == NODES
    assert [line.split(":")[0] for line in made["unverified"]] == [f"node {name}" for name in NODES]
    until(lambda: truth.pings("10.4.19.254"), "the router port answers from outside")

    before, since = truth.state(), truth.log_length()
    again = done()
    assert not again["changed"]
    assert again["plan"] == []
    assert truth.state() == before
    assert truth.written(since) == []


def test_removed_with_nothing_left(site: Truth) -> None:
    foreseen = module("kubeovn.core.ovn_external_gw", {"state": "absent"}, check=True)
    assert site.gateways()
    gone = module("kubeovn.core.ovn_external_gw", {"state": "absent"})
    assert gone["plan"] == foreseen["plan"]
    assert actions(gone) == ["delete_config_map", "delete_external", "label"]
    assert (site.data(), site.labels(), site.gateways()) == (None, {}, [])
    assert "external" not in [line.split()[1].strip("()") for line in site.nbctl("ls-list").splitlines()]
    again = module("kubeovn.core.ovn_external_gw", {"state": "absent"})
    assert not again["failed"]
    assert not again["changed"]


def test_not_removed_while_an_eip_uses_it(site: Truth) -> None:
    site.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", "10.4.19.199", "10.253.255.9")
    try:
        before = site.state()
        refused = module("kubeovn.core.ovn_external_gw", {"state": "absent"})
        taken = push(nic_ip="10.4.19.199/24")
    finally:
        site.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", "10.4.19.199")
    assert refused["failed"]
    assert "EIP 10.4.19.199" in [problem["path"] for problem in refused["problems"]]
    assert "10.4.19.199" in refused["msg"]
    assert taken["problems"][0]["path"] == "nic_ip"
    assert site.state() == before


# --- changes ----------------------------------------------------------------------------------------------------------


def test_address_and_mac_change_in_place(site: Truth) -> None:
    ports = site.nbctl("--bare", "--columns=_uuid", "list", "logical_router_port", "ovn-cluster-external")
    changed = done(nic_ip="10.4.19.253/24", nic_mac="16:52:f3:13:6a:26")
    assert actions(changed) == ["set_router_port", "write_config_map"]
    assert site.port() == ["16:52:f3:13:6a:26", "10.4.19.253/24"]
    data = site.data() or {}
    assert (data["nic-ip"], data["nic-mac"]) == ("10.4.19.253/24", "16:52:f3:13:6a:26")
    assert site.nbctl("--bare", "--columns=_uuid", "list", "logical_router_port", "ovn-cluster-external") == ports
    until(lambda: site.pings("10.4.19.253"), "the new address answers from outside")
    assert not site.pings("10.4.19.254")
    assert not done(nic_ip="10.4.19.253/24", nic_mac="16:52:f3:13:6a:26")["changed"]
    assert not done(nic_ip="10.4.19.253/24", nic_mac=None)["changed"]  # left out: the MAC stays


def test_active_node_removed_and_added_again(site: Truth) -> None:
    removed = done(nodes=[G2, G3])
    steps = actions(removed)
    assert steps.index("delete_gateway_chassis") < steps.index("label") < steps.index("write_config_map")
    assert [name for name, _rank in site.gateways()] == [G2, G3]
    assert site.labels() == {G1: "false", G2: "true", G3: "true"}
    assert site.active() == G2
    until(lambda: site.pings("10.4.19.254"), "the router port answers through the second node")
    assert (site.data() or {})["external-gw-nodes"] == f"{G2},{G3}"
    assert not done(nodes=[G2, G3])["changed"]

    done()
    assert [name for name, _rank in site.gateways()] == NODES
    assert site.labels() == dict.fromkeys(NODES, "true")
    assert site.active() == G1


def test_reordered(site: Truth) -> None:
    order = [G3, G1, G2]
    assert "raise" not in actions(done(nodes=order))
    assert [name for name, _rank in site.gateways()] == order
    assert site.active() == G3
    assert not done(nodes=order)["changed"]


def test_all_nodes_replaced_loses_little(site: Truth) -> None:
    done(nodes=[G1])
    probe = ("outside", "--", "sh", "-c", "ping -q -i 0.1 -w 30 10.4.19.254 || true")
    with ThreadPoolExecutor() as pool:
        pings = pool.submit(site.lab.run, *probe)
        done(nodes=[G2, G3])
    summary = next(line for line in pings.result().splitlines() if "transmitted" in line)
    sent, received = int(summary.split()[0]), int(summary.split(",")[1].split()[0])
    assert [name for name, _rank in site.gateways()] == [G2, G3]
    assert sent > 200
    # A busy machine loses some; were the old node taken out first, the time until the new ones are there is lost.
    assert sent - received <= 30, summary


# --- drift ------------------------------------------------------------------------------------------------------------


# Three of these kinds go through the same steps as the others, and take their time.
LOST = ["gateway chassis", "router port", "label"]
LOST_TOO = [pytest.param(what, marks=pytest.mark.full) for what in ("switch's half", "localnet port", "rank")]


@pytest.mark.parametrize("lost", [*LOST, *LOST_TOO])
def test_drift_is_put_right(site: Truth, lost: str) -> None:
    chassis = {node: name for name, node in site.chassis().items()}
    match lost:
        case "gateway chassis":
            site.nbctl("lrp-del-gateway-chassis", "ovn-cluster-external", chassis[G1])
        case "router port":
            site.nbctl("lrp-del", "ovn-cluster-external")
        case "switch's half":
            site.nbctl("lsp-del", "external-ovn-cluster")
        case "localnet port":
            site.nbctl("lsp-del", "localnet.external")
        case "label":
            site.kubectl("label", "node", G2, "ovn.kubernetes.io/external-gw=false", "--overwrite")
        case "rank":
            site.nbctl("lrp-set-gateway-chassis", "ovn-cluster-external", chassis[G3], "200")
    assert done()["changed"]
    assert [name for name, _rank in site.gateways()] == NODES
    assert site.port() == ["16:52:f3:13:6a:25", "10.4.19.254/24"]
    ports = site.nbctl("show", "external")
    assert "localnet.external" in ports
    assert "external-ovn-cluster" in ports
    assert site.labels() == dict.fromkeys(NODES, "true")
    assert site.active() == G1
    until(lambda: site.pings("10.4.19.254"), "the router port answers from outside")
    assert not done()["changed"]


def test_a_change_that_kube_ovn_ignored_is_put_right(site: Truth) -> None:
    patch = json.dumps({"data": {"nic-ip": "10.4.19.240/24", "external-gw-nodes": f"{G3},{G1}"}})
    site.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", patch)
    until(lambda: site.labels().get(G2) == "false", "the controller saw the list of nodes")
    assert site.port()[1] == "10.4.19.254/24"  # the controller ignored it
    assert done()["changed"]
    assert (site.data() or {})["nic-ip"] == "10.4.19.254/24"
    assert [name for name, _rank in site.gateways()] == NODES
    assert site.labels() == dict.fromkeys(NODES, "true")


def test_without_waiting_the_next_run_does_the_rest(site: Truth) -> None:
    first = done(nodes=[G3, G2], wait=False)
    assert first["changed"]
    done(nodes=[G3, G2])
    assert [name for name, _rank in site.gateways()] == [G3, G2]
    assert site.labels()[G1] == "false"


def test_through_exec_as_through_tcp(site: Truth) -> None:
    result = done(ovn_connection="exec")
    assert not result["changed"]
    assert result["active_node"] == G1
    assert actions(done(ovn_connection="exec", nodes=[G2, G1, G3])) == ["order", "write_config_map"]
    assert site.active() == G2


# --- bad input and faults ---------------------------------------------------------------------------------------------


def test_bad_input_is_refused_at_once_and_nothing_written(site: Truth) -> None:
    before, since = site.state(), site.log_length()
    refused = push(
        nodes=[G1, "jah-k3s-h100-01", "nobody", G1],
        nic="enp8s0/1",
        gateway="10.4.19.1",
        nic_ip="10.4.19.255/24",
        nic_mac="17:52:f3:13:6a:25",
    )
    assert refused["failed"]
    paths = [problem["path"] for problem in refused["problems"]]
    assert paths == ["nodes[1]", "nodes[2]", "nodes[3]", "nic", "gateway", "nic_ip", "nic_mac"]
    assert all(problem["hint"] for problem in refused["problems"])
    assert all(path in refused["msg"] for path in paths)
    assert site.state() == before
    assert site.written(since) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"nic_ip": "10.4.19.1/24"}, "nic_ip"),
        ({"nic_ip": "10.4.20.254/24"}, "nic_ip"),
        ({"gateway": "10.253.0.1/24", "nic_ip": "10.253.0.254/24"}, "nic_ip"),  # the overlay's own network
        ({"nodes": []}, "nodes"),
    ],
)
def test_options_that_cannot_work_are_refused(truth: Truth, changes: dict[str, Any], path: str) -> None:
    since = truth.log_length()
    refused = push(**changes)
    assert refused["failed"]
    assert path in [problem["path"] for problem in refused["problems"]]
    assert truth.written(since) == []


def test_an_api_server_that_does_not_answer(truth: Truth) -> None:
    assert truth
    env = {"K8S_AUTH_KUBECONFIG": "", "K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "secret-word"}
    result = push(env=env)
    assert result["failed"]
    assert "https://127.0.0.1:1 does not answer" in result["msg"]
    assert result["cluster"] == "https://127.0.0.1:1"
    assert "secret-word" not in json.dumps(result)


def test_an_identity_without_rights_is_refused_before_any_write(site: Truth) -> None:
    before = site.state()
    reader = {"K8S_AUTH_KUBECONFIG": os.environ["LAB_READER_KUBECONFIG"]}
    # Raising priorities in NB would come first: it must not happen, as the ConfigMap could not follow.
    result = push(env=reader, nodes=[G2, G1, G3])
    assert result["failed"]
    assert [problem["path"] for problem in result["problems"]] == ["patch configmaps"]
    assert "rbac.yml" in result["msg"]
    assert site.state() == before
    assert not push(env=reader)["failed"]  # nothing to change needs no right to write


@pytest.mark.parametrize("option", ["nb_endpoint", "sb_endpoint"])
def test_a_database_that_cannot_be_reached_stops_it_before_any_write(site: Truth, option: str) -> None:
    before, since = site.state(), site.log_length()
    changes: dict[str, Any] = {option: "tcp:127.0.0.1:1", "nodes": [G2, G1, G3]}
    result = push(**changes)
    assert result["failed"]
    assert "127.0.0.1:1" in result["msg"]
    assert site.state() == before
    assert site.written(since) == []


def test_a_stopped_controller_is_named_before_any_write(site: Truth) -> None:
    record = json.loads((Path(os.environ["LAB_STATE"]) / "run" / "kube-ovn-controller.json").read_text())
    os.kill(record["pid"], signal.SIGTERM)
    try:
        lease = ("get", "lease", "-n", "kube-system", "kube-ovn-controller", "-o", "jsonpath={.spec.holderIdentity}")
        until(lambda: site.kubectl(*lease) == "", "the controller gave its Lease back")
        before, since = site.state(), site.log_length()
        result = push(nodes=[G2, G1, G3])
        unchanged = push()
        assert site.state() == before
        assert site.written(since) == []
    finally:
        site.lab.run("up", timeout=300)
    assert result["failed"]
    assert "kube-ovn-controller: is not running" in result["msg"]
    assert not unchanged["failed"]  # what is as asked needs no controller
    assert not unchanged["changed"]
