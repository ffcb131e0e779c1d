# SPDX-License-Identifier: GPL-3.0-or-later
"""One play over two clusters: the example inventory on two labs at once, and with one of them away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible import BIN, recap
from support.commands import TOP, Show
from support.eip_lab import GATEWAY, GATEWAYS, pod, runs
from support.lab import Lab
from support.live import Live, eventually

pytestmark = pytest.mark.full

POD, ADDRESSES = "clusters-pod", {"east": "10.4.19.157", "west": "10.4.19.158"}
PLAY = """\
- hosts: kubeovn_clusters
  gather_facts: false
  module_defaults:
    group/kubeovn.core.kubeovn: "{{ kubeovn_connection }}"
    kubeovn.core.ovn_eip: "{{ kubeovn_ovn_connection | default({}) }}"
    kubeovn.core.ovn_nat_info: "{{ kubeovn_ovn_connection | default({}) }}"
  vars:
    vm_eip_state: "{{ asked_state | default('present') }}"
  roles:
    - kubeovn.core.vm_eip
  tasks:
    - kubeovn.core.ovn_nat_info:
      register: seen
    - ansible.builtin.debug:
        msg: "{{ seen.cluster }} has {{ claimed | sort | join(' ') }} for {{ inventory_hostname }}"
      vars:
        claimed: "{{ seen.claims | map(attribute='address') }}"
"""
GATEWAYS_PLAY = """\
- hosts: gateway_nodes
  gather_facts: false
  module_defaults:
    group/kubeovn.core.kubeovn: "{{ kubeovn_connection }}"
    kubeovn.core.ovn_external_gw: "{{ kubeovn_ovn_connection }}"
  roles:
    - kubeovn.core.gateway_nic
    - kubeovn.core.external_gateway
"""
AWAY = "https://127.0.0.1:1"  # nobody listens there
# As the example's group_vars say: modules that speak to a cluster run here, with the libraries of this Python.
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
ROUTER_PORTS = {"east": "10.4.19.254/24", "west": "10.4.19.253/24"}


@dataclass
class Cluster:
    """A lab as one of the clusters."""

    live: Live
    env: dict[str, str]

    def connection(self, **other: Any) -> dict[str, Any]:
        """The variables of its host, and its EIP."""
        ovn = {"nb_endpoint": self.env["KUBEOVN_NB_ENDPOINT"], "sb_endpoint": self.env["KUBEOVN_SB_ENDPOINT"]}
        return {
            "kubeovn_connection": {"kubeconfig": self.env["K8S_AUTH_KUBECONFIG"], **other},
            "kubeovn_ovn_connection": ovn,
        }

    def outside(self, name: str) -> dict[str, dict[str, Any]]:
        """Its host on the physical network, from which the proof pings."""
        group = yaml.safe_load((Path(self.env["LAB_INVENTORY"]) / "hosts.yml").read_text())
        group = group["all"]["children"]["outside"]
        return {f"{name}-outside": {**group["vars"], **group["hosts"]["outside-host"], "kubeovn_cluster": name}}

    def gateways(self, name: str, **connection: Any) -> dict[str, dict[str, Any]]:
        """Its gateway nodes as hosts: both labs have machines of the same names."""
        group = yaml.safe_load((Path(self.env["LAB_INVENTORY"]) / "hosts.yml").read_text())
        group = group["all"]["children"]["gateway_nodes"]
        return {
            f"{name}-{node}": {
                **group["vars"],
                **own,
                **self.connection(**connection),
                "kubeovn_cluster": name,
                "gateway_nic_node": node,
                "external_gateway_node": node,
                "kubeovn_gateway_nodes": list(GATEWAYS),
                "kubeovn_gateway_nic_ip": ROUTER_PORTS[name],
            }
            for node, own in group["hosts"].items()
        }

    def router_port(self) -> str:
        """The address of its router port in NB."""
        return self.live.nbctl("--bare", "get", "logical_router_port", "ovn-cluster-external", "networks").strip(
            ' []"\n'
        )

    def has(self, address: str) -> bool:
        """Whether its OVN has a rule of that address."""
        return address in [rule[1] for rule in self.live.rules()]


@pytest.fixture(scope="module")
def second(lab: Lab, show: Show) -> Iterator[Lab]:
    """Another lab beside the tests' own."""
    other = Lab(f"{lab.name[:8]}west", ("--no-worker",))  # a lab's name may have 12 characters
    try:
        other.wait_up(show)
        yield other
    finally:
        other.down(show)


@pytest.fixture(scope="module")
def clusters(lab: Lab, second: Lab) -> Iterator[dict[str, Cluster]]:
    """Both, each with a gateway and a pod."""
    found = {}
    for name, one in (("east", lab), ("west", second)):
        env, live = one.environment(), Live(one)
        live.folder = Path(env["LAB_STATE"])
        found[name] = Cluster(live, env)
        if live.get("configmap", "ovn-external-gw-config", "kube-system") is None:
            metadata = {"name": "ovn-external-gw-config", "namespace": "kube-system"}
            live.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": GATEWAY})
        live.apply(pod(POD) | {"spec": {**pod(POD)["spec"], "nodeSelector": {"kubernetes.io/hostname": GATEWAYS[2]}}})
    for cluster in found.values():
        live = cluster.live
        eventually(partial(live.nbctl, "show", "ovn-cluster"), _has_port, 60, "a router port")
        runs(live, pods=(POD,))
    try:
        yield found
    finally:
        found["east"].live.kubectl("delete", "pod", "-n", "default", POD, "--ignore-not-found")


def _has_port(shown: str) -> bool:
    return "ovn-cluster-external" in shown


@pytest.fixture
def inventory(clusters: dict[str, Cluster], tmp_path: Path) -> Path:
    """The example, with these clusters in the places of its own: one EIP by host, one by table."""
    shutil.copytree(TOP / "inventories" / "two-clusters", tmp_path / "two")
    east, west = (clusters[name].connection() for name in ("east", "west"))
    vm = {"kubeovn_eip": {"address": ADDRESSES["east"], "pod": POD}}
    hosts = {"east": east, "west": {**west, "kubeovn_eips": [{"address": ADDRESSES["west"], "pod": POD}]}}
    hosts |= {"east-testing": vm, "east-web-1": {"kubeovn_cluster": "north"}}
    (tmp_path / "two" / "zz-labs.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return tmp_path / "two"


def played(inventory: Path, text: str = PLAY, **variables: Any) -> tuple[int, str]:
    """The play's exit code and output."""
    play = inventory.parent / "play.yml"
    play.write_text(text)
    return playbook(inventory, str(play), **variables)


def playbook(inventory: Path, name: str, **variables: Any) -> tuple[int, str]:
    """A playbook's exit code and output: what is reached is what the inventory says, and nothing of this shell."""
    argv = [str(BIN / "ansible-playbook"), "-i", str(inventory), name, f"--extra-vars={json.dumps(variables)}"]
    apart = ("K8S_AUTH_KUBECONFIG", "KUBEOVN_NB_ENDPOINT", "KUBEOVN_SB_ENDPOINT")
    env = {name: value for name, value in os.environ.items() if name not in apart} | {"ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def replace_west(inventory: Path, clusters: dict[str, Cluster], **other: Any) -> None:
    """Let west be reached otherwise."""
    path = inventory / "zz-labs.yml"
    tree = yaml.safe_load(path.read_text())
    tree["all"]["hosts"]["west"]["kubeovn_connection"] |= other
    path.write_text(yaml.safe_dump(tree))


def three(path: Path, clusters: dict[str, Cluster]) -> Path:
    """An inventory of both whole sites, and of a third cluster that does not answer."""
    out = "{{ inventory_hostname }}"
    variables = {
        "kubeovn_gateway_nic": GATEWAY["external-gw-nic"],
        "kubeovn_gateway_address": GATEWAY["external-gw-addr"],
        "kubeovn_gateway_nic_mac": GATEWAY["nic-mac"],
        "kubeovn_proof_report": f"{path.parent}/proof-{out}.json",
        "kubeovn_audit_metrics": f"{path.parent}/audit-{out}.prom",
        "kubeovn_report_file": f"{path.parent}/report-{out}.html",
    }
    hosts: dict[str, Any] = {
        name: {
            **one.connection(),
            "kubeovn_gateway_nodes": list(GATEWAYS),
            "kubeovn_gateway_nic_ip": ROUTER_PORTS[name],
            "kubeovn_eips": [{"address": ADDRESSES[name], "pod": POD}],
        }
        for name, one in clusters.items()
    }
    away = {"kubeovn_connection": {"host": AWAY, "api_key": "none"}, "kubeovn_gateway_nodes": []}
    hosts["south"] = {**hosts["east"], "kubeovn_ovn_connection": {}, **away}
    gateways = {host: own for name, one in clusters.items() for host, own in one.gateways(name).items()}
    outside = {host: own for name, one in clusters.items() for host, own in one.outside(name).items()}
    children = {
        "kubeovn_clusters": {"hosts": hosts, "vars": LOCAL},
        "gateway_nodes": {"hosts": gateways},
        "outside": {"hosts": outside},
    }
    path.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))
    return path


def test_the_playbooks_serve_two_clusters_beside_a_third_that_does_not_answer(
    clusters: dict[str, Cluster], tmp_path: Path
) -> None:
    inventory = three(tmp_path / "three.yml", clusters)

    def beside_the_third(name: str, **variables: Any) -> str:
        """What a playbook says that fails for the third cluster, and for nobody else."""
        code, output = playbook(inventory, f"kubeovn.core.{name}", **variables)
        assert {host for host, counts in recap(output).items() if counts["failed"]} == {"south"}, output[-6000:]
        assert code == 2
        assert AWAY in output
        return output

    def have() -> dict[str, set[str]]:
        return {name: {address for address in ADDRESSES.values() if one.has(address)} for name, one in clusters.items()}

    each_its_own = {name: {address} for name, address in ADDRESSES.items()}
    none: dict[str, set[str]] = {name: set() for name in ADDRESSES}
    try:
        beside_the_third("site")
        assert {name: one.router_port() for name, one in clusters.items()} == ROUTER_PORTS
        assert have() == each_its_own
        for name in clusters:
            proof = json.loads((tmp_path / f"proof-{name}.json").read_text())
            # No key for guests was given. The rest was seen, by this cluster's own nodes, whose names both have.
            unseen = {check["name"] for check in proof["checks"] if check["status"] != "ok"}
            assert unseen == {
                f"ssh over {ADDRESSES[name]} prints the guest's hostname",
                f"the guest of {ADDRESSES[name]} pings 10.4.19.1",
            }, proof
            assert [check["name"] for check in proof["checks"] if GATEWAYS[0] in check["name"]], proof
        assert not (tmp_path / "proof-south.json").exists()
        assert {counts["changed"] for counts in recap(beside_the_third("site")).values()} == {0}

        beside_the_third("release_eips")
        assert have() == none
        beside_the_third("attach_eips")
        assert have() == each_its_own

        said = beside_the_third("audit", kubeovn_audit_fail_on="never")
        for name, one in clusters.items():
            url = one.env["LAB_API_URL"]
            assert f"{url}: " in said
            assert f'cluster="{url}"' in (tmp_path / f"audit-{name}.prom").read_text()
        said = beside_the_third("report")
        for name, one in clusters.items():
            page = tmp_path / f"report-{name}.html"
            assert f"{one.env['LAB_API_URL']}: {page}" in said
            assert [address for address in ADDRESSES.values() if address in page.read_text()] == [ADDRESSES[name]]
        assert not (tmp_path / "report-south.html").exists()
    finally:
        playbook(inventory, "kubeovn.core.release_eips")
    assert have() == none


def test_each_cluster_gets_its_own_and_a_bad_one_stops_only_itself(
    clusters: dict[str, Cluster], inventory: Path
) -> None:
    east, west = clusters["east"], clusters["west"]
    try:
        code, output = played(inventory)
        assert code == 0, output[-4000:]
        for name, cluster in clusters.items():
            assert f"{cluster.env['LAB_API_URL']} has {ADDRESSES[name]} for {name}" in output
        assert (east.has(ADDRESSES["east"]), east.has(ADDRESSES["west"])) == (True, False)
        assert (west.has(ADDRESSES["east"]), west.has(ADDRESSES["west"])) == (False, True)
        code, output = played(inventory)
        assert (code, sum(one["changed"] for one in recap(output).values())) == (0, 0)

        replace_west(inventory, clusters, kubeconfig=None, host=AWAY, api_key="none")
        code, output = played(inventory, asked_state="absent")
        assert code == 2
        assert f"{AWAY} does not answer" in output
        assert (recap(output)["east"]["failed"], recap(output)["west"]["failed"]) == (0, 1)
        assert (east.has(ADDRESSES["east"]), west.has(ADDRESSES["west"])) == (False, True)

        config = yaml.safe_load(Path(west.env["K8S_AUTH_KUBECONFIG"]).read_text())
        config["users"][0]["user"] = {"token": "wrong"}
        wrong = inventory.parent / "wrong"
        wrong.write_text(yaml.safe_dump(config))
        replace_west(inventory, clusters, kubeconfig=str(wrong), host=None, api_key=None)
        code, output = played(inventory)
        assert code == 2
        assert "the credentials are not accepted" in output
        assert (recap(output)["east"]["failed"], recap(output)["west"]["failed"]) == (0, 1)
        assert east.has(ADDRESSES["east"])
    finally:
        replace_west(inventory, clusters, **west.connection()["kubeovn_connection"])
        played(inventory, asked_state="absent")


def machines(path: Path, hosts: dict[str, dict[str, Any]]) -> Path:
    """An inventory of both sites' gateway nodes."""
    variables = {
        "kubeovn_gateway_nic": GATEWAY["external-gw-nic"],
        "kubeovn_gateway_address": GATEWAY["external-gw-addr"],
        "kubeovn_gateway_nic_mac": GATEWAY["nic-mac"],
    }
    groups: dict[str, Any] = {"gateway_nodes": {"hosts": hosts}}
    groups["kubeovn_clusters"] = {"hosts": {name: {} for name in ROUTER_PORTS}, "vars": LOCAL}
    path.write_text(yaml.safe_dump({"all": {"vars": variables, "children": groups}}))
    return path


def test_the_gateways_of_both_in_one_play_and_a_bad_cluster_stops_only_its_own(
    clusters: dict[str, Cluster], tmp_path: Path
) -> None:
    hosts = {host: own for name, one in clusters.items() for host, own in one.gateways(name).items()}
    inventory = machines(tmp_path / "both.yml", hosts)
    code, output = played(inventory, GATEWAYS_PLAY)
    assert code == 0, output[-6000:]
    assert {name: one.router_port() for name, one in clusters.items()} == ROUTER_PORTS
    code, output = played(inventory, GATEWAYS_PLAY)
    assert (code, sum(one["changed"] for one in recap(output).values())) == (0, 0), output[-6000:]

    away = clusters["west"].gateways("west", kubeconfig=None, host=AWAY, api_key="none")
    code, output = played(machines(tmp_path / "one.yml", hosts | away), GATEWAYS_PLAY)
    assert code == 2
    failed = {host for host, counts in recap(output).items() if counts["failed"]}
    assert failed == set(away), output[-6000:]
