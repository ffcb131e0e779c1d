# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_external_gw on the lab's real Kube-OVN, judged by kubectl, nbctl and sbctl and from the outside host."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from support.ansible import module
from support.gateway_states import told
from support.gateway_truth import CONFIG_MAP, G1, G2, G3, LABEL, NODES, PORT, SITE, Picture, Truth
from support.lab import Lab

SWITCH_PORT, LOCALNET = "external-ovn-cluster", "localnet.external"


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


# What single changes come to is test_gateway_tour.py's, what is refused test_gateway_preflight.py's and what a removal
# leaves test_gateway_absent.py's; here is what else may happen.
# --- changes ----------------------------------------------------------------------------------------------------------


def test_all_nodes_replaced(site: Truth) -> None:
    """What it costs is the bench's to say."""
    done(nodes=[G1])
    done(nodes=[G2, G3])
    assert [name for name, _rank in site.gateways()] == [G2, G3]
    assert site.active() == G2


def test_hold_stops_before_the_first_write_and_looks_where_there_is_none(site: Truth) -> None:
    before, since = site.northbound(), site.log_length()
    held = done(hold=True, nodes=[G2, G1, G3])
    assert held["held"]
    assert not held["changed"]
    assert held["plan"] == push(check=True, nodes=[G2, G1, G3])["plan"] != []
    assert held["announce"]["not_from"] == G1
    idle = done(hold=True)
    assert (idle["held"], idle["changed"], idle["plan"]) == (False, False, [])
    assert "verify" in idle["phases"], "it has not looked as a run does"
    assert site.written(since) == []
    assert site.northbound() == before


# --- drift ------------------------------------------------------------------------------------------------------------


# What somebody does to NB. {1} is the chassis of the first gateway, {rows[1]} its row.
IN_NB = {
    "gateway chassis": f"lrp-del-gateway-chassis {PORT} {{1}}",
    "chassis name": "set Gateway_Chassis {rows[2]} chassis_name=lost",
    "chassis of another": "set Gateway_Chassis {rows[1]} chassis_name={2}",
    "rank": f"lrp-set-gateway-chassis {PORT} {{3}} 200",
    "router port": f"lrp-del {PORT}",
    "router port disabled": f"lrp-set-enabled {PORT} disabled",
    "switch's half": f"lsp-del {SWITCH_PORT}",
    "switch's half disabled": f"lsp-set-enabled {SWITCH_PORT} disabled",
    "addresses": f"lsp-set-addresses {SWITCH_PORT} 0a:00:00:00:00:09",
    "localnet port": f"lsp-del {LOCALNET}",
    "localnet addresses": f"lsp-set-addresses {LOCALNET} 0a:00:00:00:00:09",
    "localnet options": f"lsp-set-options {LOCALNET} network_name=lost",
    "localnet tag": f"set Logical_Switch_Port {LOCALNET} tag=7",
    "mac": f'set Logical_Router_Port {PORT} mac="16:52:f3:13:6a:99"',
    "networks": f'set Logical_Router_Port {PORT} networks="10.4.19.240/24"',
}
IN_KUBERNETES: dict[str, tuple[str, ...]] = {
    "label": ("label", "node", G2, f"{LABEL}=false", "--overwrite"),
    "label deleted": ("label", "node", G3, f"{LABEL}-"),
    "key": ("patch", *CONFIG_MAP, "--type=merge", "-p", json.dumps({"data": {"nic-mac": None}})),
}


def spoil(site: Truth, what: str) -> None:
    """Change or delete by hand what is the gateway's."""
    if what in IN_KUBERNETES:
        site.kubectl(*IN_KUBERNETES[what])
        return
    chassis = {node: name for name, node in site.chassis().items()}
    names = [chassis[node] for node in NODES]
    of_name = {row["name"]: uuid for uuid, row in site.northbound()["Gateway_Chassis"].items()}
    rows = ["", *(of_name[f"{PORT}-{name}"] for name in names)]
    site.nbctl(*IN_NB[what].format("", *names, rows=rows).split())


# The others go through the same steps as these, and take their time.
LOST = [
    "gateway chassis",
    "chassis name",
    "router port",
    "addresses",
    "localnet options",
    "localnet tag",
    "mac",
    "label",
    "key",
]
LOST_TOO = [pytest.param(what, marks=pytest.mark.full) for what in [*IN_NB, *IN_KUBERNETES] if what not in LOST]


@pytest.mark.parametrize("lost", [*LOST, *LOST_TOO])
def test_drift_is_put_right(site: Truth, lost: str) -> None:
    """Check mode sees it and says what a run then does; nothing else changes."""
    before = site.picture()
    with site.started_with("--external-gateway-vlanid=0"):  # or nobody knows which tag is right
        spoil(site, lost)
        foreseen = push(check=True)
        result = done()
        now = site.picture()
        again = done()
    assert (foreseen["failed"], foreseen["changed"], result["changed"], again["changed"]) == (False, True, True, False)
    assert foreseen["plan"] == result["plan"]
    assert foreseen["after"] == result["after"] == told(now)
    assert now.order == NODES
    assert (now.data, now.notes, now.labels) == (before.data, before.notes, before.labels)
    assert (now.port, now.switch, now.active) == (before.port, before.switch, G1)
    assert members(now) == members(before)
    until(lambda: site.pings("10.4.19.254"), "the router port answers from outside")


def members(picture: Picture) -> dict[str, tuple[Any, Any] | None]:
    """Whether the gateway's ports are in service, and the addresses of the switch's."""
    ports = {row["name"]: (row["enabled"], row["addresses"]) for row in picture.nb["Logical_Switch_Port"].values()}
    own = {name: ports.get(name) for name in (SWITCH_PORT, LOCALNET)}
    router = {row["name"]: (row["enabled"], None) for row in picture.nb["Logical_Router_Port"].values()}
    return {**own, PORT: router.get(PORT)}


def test_a_mac_changed_by_hand_is_put_right_where_none_is_asked_for(site: Truth) -> None:
    spoil(site, "mac")
    assert actions(done(nic_mac=None)) == ["set_router_port"]
    assert site.port() == [SITE["nic_mac"], SITE["nic_ip"]]


def test_a_site_that_was_built_by_hand_is_taken_over(truth: Truth) -> None:
    """The controller gives the rows their priorities in an order of its own: nothing else may differ."""
    done()
    data = truth.data()
    done(state="absent", force=True)
    metadata = {"name": CONFIG_MAP[-1], "namespace": "kube-system"}
    truth.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    until(lambda: len(truth.gateways()) == len(NODES) and truth.active() is not None, "the controller has made it")
    result = done()
    assert set(actions(result)) <= {"order"}
    assert {"observe", "plan", "apply", "verify"} <= set(result["phases"])
    assert all(seconds >= 0 for seconds in result["phases"].values())
    assert truth.data() == data
    assert not done()["changed"]


def test_a_change_that_kube_ovn_ignored_is_put_right(site: Truth) -> None:
    ignored = {"nic-ip": "10.4.19.240/24", "nic-mac": "16:52:f3:13:6a:99"}
    patch = json.dumps({"data": {**ignored, "external-gw-nodes": f"{G3},{G1}"}})
    site.kubectl("patch", *CONFIG_MAP, "--type=merge", "-p", patch)
    until(lambda: site.labels().get(G2) == "false", "the controller saw the list of nodes")
    assert site.port() == [SITE["nic_mac"], SITE["nic_ip"]]  # the controller ignored it
    assert done()["changed"]
    assert {key: (site.data() or {})[key] for key in ignored} == {"nic-ip": SITE["nic_ip"], "nic-mac": SITE["nic_mac"]}
    assert site.port() == [SITE["nic_mac"], SITE["nic_ip"]]
    assert [name for name, _rank in site.gateways()] == NODES
    assert site.labels() == dict.fromkeys(NODES, "true")


def test_without_waiting_the_next_run_does_the_rest(site: Truth) -> None:
    first = done(nodes=[G3, G2], wait=False)
    assert first["changed"]
    done(nodes=[G3, G2])
    assert [name for name, _rank in site.gateways()] == [G3, G2]
    assert site.labels()[G1] == "false"


def test_through_exec_as_through_tcp(site: Truth) -> None:
    result = done(ovn_connection="exec", nic_mac=None)  # left out: the MAC stays
    assert not result["changed"]
    assert result["active_node"] == G1
    assert actions(done(ovn_connection="exec", nodes=[G2, G1, G3])) == ["order", "write_config_map", "note"]
    assert site.active() == G2


# --- faults -----------------------------------------------------------------------------------------------------------


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
