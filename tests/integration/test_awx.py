# SPDX-License-Identifier: GPL-3.0-or-later
"""Each job template and workflow of AWX on the lab, run by ansible-runner as AWX runs it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from support.ansible import BIN, module
from support.awx import controller
from support.eip_lab import CLAIMS, GATEWAYS, WORKER, gateway, pod, runs
from support.lab import Lab
from support.live import Live
from support.runner import Awx, Job, finished, injected, slices

VM, POOL = "awx-vm", "10.4.19.151-10.4.19.152"
PODS = tuple(f"awx-{number}" for number in range(4))
POD_POOL = "10.4.19.153-10.4.19.156"
LAB_VM = {  # the lab has no CDI, and one node for VMs
    "vm_data_volume_templates": [],
    "vm_root_volume": {"containerDisk": {"image": "quay.io/containerdisks/ubuntu:24.04"}},
    "vm_placement": {"nodeSelector": {"kubernetes.io/hostname": WORKER}},
}
# A file of the project for a maintenance, and what it says in a job's output.
WORK = """\
- ansible.builtin.command: hostname
  changed_when: false
  register: worked
- ansible.builtin.debug:
    msg: worked on {{ worked.stdout }}
"""
WORKED = re.compile(r"worked on ([\w-]+)")
ANSWERS = {"vm_name": VM, "vm_public_key": "ssh-ed25519 AAAA somebody", "vm_pool": POOL}


@pytest.fixture(scope="module")
def live(lab: Lab) -> Live:
    live = Live(lab)
    gateway(live)
    return live


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return controller()


@pytest.fixture(scope="module")
def site(lab: Lab) -> dict[str, Any]:
    """The lab's inventory as AWX has it after an import; no EIPs are in it."""
    argv = [str(BIN / "ansible-inventory"), "-i", os.environ["LAB_INVENTORY"], "--list", "--export"]
    inventory: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    inventory["all"]["vars"] |= {"kubeovn_eips": [], "kubeovn_proof_hostnames_expected": {}}
    return inventory


@pytest.fixture
def awx(data: dict[str, Any], site: dict[str, Any], live: Live, tmp_path: Path) -> Iterator[Awx]:
    """With a credential of the type that this collection brings, and the rights to create VMs."""
    inputs = {
        "kubeconfig": Path(os.environ["KUBECONFIG_ADMIN"]).read_text(),
        "nb_endpoint": os.environ["KUBEOVN_NB_ENDPOINT"],
        "sb_endpoint": os.environ["KUBEOVN_SB_ENDPOINT"],
    }
    [kind] = data["controller_credential_types"]
    templates = {template["name"]: template for template in data["controller_templates"]}
    with TemporaryDirectory(prefix="awx-") as sockets:
        credential = injected(kind, inputs, tmp_path)
        yield Awx(tmp_path, templates, site, credential, Path(sockets), common=LAB_VM, own={"awx/work.yml": WORK})


@pytest.fixture
def vm(live: Live) -> Iterator[str]:
    """The name of a VM; what a test makes of it goes."""
    try:
        yield VM
    finally:
        module("kubeovn.core.ovn_eip", {"eips": [{"vm": VM}], "state": "absent"})
        live.kubectl("delete", "vm", VM, "-n", "default", "--ignore-not-found", "--wait=true")


def good(job: Job) -> Job:
    """A job that succeeded."""
    assert job.status == "successful", job.output[-6000:]
    return job


def workflow(awx: Awx, data: Mapping[str, Any], name: str, answers: Mapping[str, Any]) -> dict[str, Job]:
    """Run a workflow's nodes as they follow on each other; somebody approves of everything."""
    [one] = [each for each in data["controller_workflows"] if each["name"] == name]
    nodes = {node["identifier"]: node for node in one["simplified_workflow_nodes"]}
    jobs: dict[str, Job] = {}
    asks = one.get("survey_spec", {}).get("spec", [])
    # An answer that is left empty is given all the same, and takes precedence over what a node hands on.
    known = {question["variable"]: question["default"] for question in asks} | dict(answers)
    handed_on: dict[str, Any] = {}
    following = [one["simplified_workflow_nodes"][0]["identifier"]]
    while following:
        node = nodes[following.pop(0)]
        following += node.get("success_nodes", [])
        if "approval_node" in node:
            continue
        template = node["unified_job_template"]
        spec = awx.templates[template].get("survey_spec", {}).get("spec", [])
        asked = {question["variable"] for question in spec}
        given = {key: value for key, value in known.items() if key in asked}
        job = good(awx.run(template, handed_on=dict(handed_on), **given))
        jobs[node["identifier"]] = job
        handed_on |= job.artifacts
    return jobs


def test_a_vm_gets_its_eip_by_workflow_and_loses_it_by_template(
    awx: Awx, data: dict[str, Any], live: Live, vm: str
) -> None:
    jobs = workflow(awx, data, "Kube-OVN: a VM with an EIP", ANSWERS)
    assert list(jobs) == ["create", "wait", "attach", "verify"]
    address = jobs["attach"].artifacts["eip_address"]
    assert address in ("10.4.19.151", "10.4.19.152")
    assert f"{address} leads to {VM} through jah-k3s-h100-" in jobs["verify"].output
    assert address in [rule[1] for rule in live.rules()]
    again = good(awx.run("Kube-OVN: attach an EIP", vm_name=VM, vm_pool=POOL))
    assert (again.changed, again.artifacts["eip_address"]) == (0, address)
    good(awx.run("Kube-OVN: release an EIP", vm_name=VM))
    assert address not in [rule[1] for rule in live.rules()]
    assert awx.run("Kube-OVN: verify an EIP", vm_name=VM, vm_address=address).status == "failed"


def test_a_job_without_a_credential_touches_no_cluster(awx: Awx, live: Live) -> None:
    """AWX runs jobs in a pod, whose own identity would be AWX's own cluster."""
    awx.injected = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    job = awx.run("Kube-OVN: attach an EIP", vm_name=VM, vm_pool=POOL)
    assert job.status == "failed"
    assert "allow_in_cluster" in job.output


# --- what takes longer ---


def bearer_token(folder: Path) -> dict[str, str]:
    """What AWX's own credential for a bearer token injects."""
    config = yaml.safe_load(Path(os.environ["K8S_AUTH_KUBECONFIG"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = folder / "ca.crt"
    if "certificate-authority-data" in cluster:
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    else:
        ca.write_text(Path(cluster["certificate-authority"]).read_text())
    return {
        "K8S_AUTH_HOST": cluster["server"],
        "K8S_AUTH_API_KEY": user["token"],
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": str(ca),
    }


@pytest.mark.full
def test_the_site_with_a_bearer_token(awx: Awx, live: Live, tmp_path: Path) -> None:
    endpoints = {name: value for name, value in awx.injected.items() if name.startswith("KUBEOVN_")}
    awx.injected = {**bearer_token(tmp_path), **endpoints}
    good(awx.run("Kube-OVN: site"))
    assert good(awx.run("Kube-OVN: site, what would change")).changed == 0
    assert good(awx.run("Kube-OVN: proof")).changed == 0
    assert "errors" in good(awx.run("Kube-OVN: audit", kubeovn_audit_fail_on="never")).output


@pytest.mark.full
def test_slices_of_a_job_take_different_addresses_of_one_pool(
    awx: Awx, data: dict[str, Any], live: Live, site: dict[str, Any]
) -> None:
    hosts = {name: {"kubeovn_eip": {"pod": name, "namespace": "default", "pool": POD_POOL}} for name in PODS}
    inventory = {**site, "kubeovn_vms": {"hosts": list(hosts)}, "_meta": {"hostvars": hosts}}
    name = "Kube-OVN: EIPs of all VMs"
    count = awx.templates[name]["job_slice_count"]
    assert count == 2
    try:
        live.apply(*map(pod, PODS))
        runs(live, pods=PODS)
        started = [awx.start(name, {}, part) for part in slices(inventory, count)]
        for private, process in started:
            good(finished(private, process))
        own = [rule[1] for rule in live.rules() if rule[1] in {f"10.4.19.{last}" for last in range(153, 157)}]
        assert sorted(own) == [f"10.4.19.{last}" for last in range(153, 157)]
        assert good(awx.run(name, inventory)).changed == 0
        others = {PODS[0]: {**hosts[PODS[0]], "kubeovn_cluster": "west"}, PODS[1]: {}}
        refused = awx.run(name, {**inventory, "_meta": {"hostvars": hosts | others}})
        assert refused.status == "failed"
        assert f"Without one: {PODS[1]}; clusters: west, localhost" in refused.output
    finally:
        eips = [{"pod": name} for name in PODS]
        module("kubeovn.core.ovn_eip", {"eips": eips, "state": "absent"})
        live.kubectl("delete", "pods", "-n", "default", "--ignore-not-found", *PODS)


@pytest.mark.full
def test_slices_of_a_site_whose_gateways_are_named_take_none_away(awx: Awx, live: Live, site: dict[str, Any]) -> None:
    """A slice's group gateway_nodes has its own hosts only; kubeovn_gateway_nodes counts first, and is asked for."""
    variables = {**site["all"]["vars"], "kubeovn_gateway_nodes": list(GATEWAYS)}
    inventory = {**site, "all": {**site["all"], "vars": variables}}
    good(awx.run("Kube-OVN: site", inventory))

    def gateways() -> tuple[Any, str]:
        config = live.get("configmap", "ovn-external-gw-config", "kube-system") or {}
        return config.get("data"), live.nbctl("lrp-get-gateway-chassis", "ovn-cluster-external")

    before = gateways()
    parts = slices(inventory, 2)
    assert all(0 < len(part["gateway_nodes"]["hosts"]) < len(GATEWAYS) for part in parts)
    for private, process in [awx.start("Kube-OVN: site", {}, part) for part in parts]:
        assert good(finished(private, process)).changed == 0
    assert gateways() == before
    _ours, others = slices(site, 2)
    refused = awx.run("Kube-OVN: site", others)
    assert refused.status == "failed"
    assert "a gateway by ConfigMap ovn-external-gw-config, and not named here" in refused.output
    assert gateways() == before


@pytest.mark.full
def test_a_rotation_waits_for_its_approval(
    awx: Awx, data: dict[str, Any], live: Live, site: dict[str, Any], vm: str
) -> None:
    workflow(awx, data, "Kube-OVN: a VM with an EIP", ANSWERS)
    before = {rule[1] for rule in live.rules()}
    eips = [{"vm": vm, "namespace": "default", "pool": POOL}]
    variables = {**site["all"]["vars"], "kubeovn_eips": eips, "vm_eip_eips": eips}
    awx.inventory = {**site, "all": {**site["all"], "vars": variables}}
    awx.run("Kube-OVN: rotate EIPs, what would change", rotation_name="first")
    assert {rule[1] for rule in live.rules()} == before
    jobs = workflow(awx, data, "Kube-OVN: rotation with approval", {"kubeovn_audit_fail_on": "never"})
    assert jobs["plan"].changed > 0
    after = {rule[1] for rule in live.rules()}
    assert len(before - after) == len(after - before) == 1
    assert good(awx.run("Kube-OVN: rotate EIPs")).changed == 0


def active(live: Live) -> str:
    """The node that holds the router port in SB."""
    port = ("--bare", "--columns=chassis", "find", "port_binding", "logical_port=cr-ovn-cluster-external")
    chassis = live.lab.run("sbctl", "--", *port).strip()
    return live.lab.run("sbctl", "--", "get", "chassis", chassis, "hostname").strip().strip('"') if chassis else ""


@pytest.mark.full
def test_the_life_of_the_inventorys_eips(awx: Awx, live: Live, site: dict[str, Any]) -> None:
    name = PODS[0]
    eips = [{"pod": name, "namespace": "default", "pool": POD_POOL}]
    inventory = {**site, "all": {**site["all"], "vars": {**site["all"]["vars"], "kubeovn_eips": eips}}}
    awx.inventory = inventory
    try:
        live.apply(pod(name))
        runs(live, pods=(name,))
        before = {rule[1] for rule in live.rules()}
        good(awx.run("Kube-OVN: EIPs of the inventory"))
        [address] = {rule[1] for rule in live.rules()} - before
        # As if somebody had annotated it by hand: the claim goes, and is made anew.
        live.kubectl("delete", "lease", f"eip-{address}", "-n", CLAIMS)
        adopted = good(awx.run("Kube-OVN: adopt"))
        assert (adopted.changed, good(awx.run("Kube-OVN: adopt")).changed) == (1, 0)
        assert live.get("lease", f"eip-{address}", CLAIMS)
        good(awx.run("Kube-OVN: release the EIPs of the inventory", released_keep_claims="false"))
        assert address not in [rule[1] for rule in live.rules()]
        good(awx.run("Kube-OVN: prune", pruned_at_most=100))
        assert good(awx.run("Kube-OVN: prune")).changed == 0
    finally:
        module("kubeovn.core.ovn_eip", {"eips": [{"pod": name}], "state": "absent"})
        live.kubectl("delete", "pods", "-n", "default", "--ignore-not-found", name)


@pytest.mark.full
def test_gateways_are_drained_maintained_tested_and_taken_away(awx: Awx, live: Live) -> None:
    first, second, third = GATEWAYS
    good(awx.run("Kube-OVN: site"))
    try:
        assert active(live) == first
        good(awx.run("Kube-OVN: drain gateways", drained_gateways=f" {first},"))
        assert active(live) == second
        good(awx.run("Kube-OVN: return gateways", returned_gateways=first))
        assert active(live) == first
        answers: dict[str, Any] = {"maintained_gateways": f"{third}, {second}", "maintained_reboot": "false"}
        done = good(awx.run("Kube-OVN: rolling maintenance", maintained_tasks="awx/work.yml", **answers))
        assert WORKED.findall(done.output) == [third, second]
        tested = good(awx.run("Kube-OVN: failover test", failover_test_ways=["drain"], failover_test_seconds=45))
        assert f"from {first} to {second}" in tested.output
        assert active(live) == first
        good(awx.run("Kube-OVN: teardown", teardown_eips="false", teardown_gateway="true", teardown_nics="false"))
        assert live.get("configmap", "ovn-external-gw-config", "kube-system") is None
    finally:
        good(awx.run("Kube-OVN: site"))
    assert active(live) == first
