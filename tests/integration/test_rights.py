# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/rbac.yml: the lab's identity has these rights and no others; each that is missing is named, nothing written."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from support.ansible import module
from support.commands import TOP, VENV, CommandFailed, run
from support.gateway_truth import G1, G2, G3, SITE, Truth
from support.lab import Lab
from support.live import OPERATOR, eventually
from support.rights import NAME, ROLES, Right, Rights, Role, rights

HOLDER, ADDRESS = "lab-rights", "10.4.19.197"  # a VM and a Deployment, and what they would get
POD = "lab-rights-pod"  # under the VM's name Kube-OVN would give it the VM's logical port, and leave its policy
VM = TOP / "tests" / "lab" / "manifests" / "vm.yml"
NICS = TOP / "tests" / "integration" / "nics.yml"
STATEFUL_SETS = ("list", "statefulsets")
DEFINITIONS = ("list", "network-attachment-definitions")  # without them: tests/unit/test_eip_nics.py
OPTIONAL = {("get", "leases"), ("get", "deployments"), STATEFUL_SETS, DEFINITIONS}  # the file says so

# For EIPs in custom VPCs: taken away in test_eip_vpc.py.
VPC_ONLY = {"ovn-fips", "ovn-snat-rules", "ovn-dnat-rules"}

ALL = [
    (*key, *right)
    for key, role in ROLES.items()
    for right in rights(role)
    if right[1] not in VPC_ONLY and (right[1] != "ovn-eips" or right[0] == "list")
]


class Identity(Rights):
    """The lab's operator, and how the lab is looked at."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth.kubectl)
        self.truth = truth


@pytest.fixture(scope="module")
def identity(lab: Lab) -> Generator[Identity, None, None]:
    """The lab with a gateway, and a pod and a VM to give an EIP to."""
    truth = Truth(lab)
    made = gateway()
    assert not made["failed"], made["msg"]
    own = {"name": HOLDER, "namespace": "default"}
    spec = {"nodeName": "jah-k3s-l40s-001", "containers": [{"name": "main", "image": "none"}]}
    machine = {**yaml.safe_load(VM.read_text()), "metadata": own}
    machine["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"] = "7f1c6b52-51b1-4c43-9d0a-2a8f3f0a1d07"
    labels = {"app": HOLDER}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": own,
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate"},
            "template": template,
        },
    }
    truth.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**own, "name": POD}, "spec": spec}, machine, deployment
    )
    phase = ("get", "vmi", HOLDER, "-n", "default", "--ignore-not-found", "-o", "jsonpath={.status.phase}")
    try:
        eventually(lambda: truth.kubectl(*phase), lambda seen: seen == "Running", 120, "the VM runs")
        yield Identity(truth)
    finally:
        names = (f"vm/{HOLDER}", f"pod/{POD}", f"deployment/{HOLDER}")
        truth.kubectl("delete", *names, "-n", "default", "--wait=false")
        assert not gateway()["failed"]


def gateway(**changes: Any) -> dict[str, Any]:
    return module("kubeovn.core.ovn_external_gw", {**SITE, **changes})


def test_the_lab_has_what_the_file_says_and_nothing_else(lab: Lab) -> None:
    truth = Truth(lab)
    for (kind, namespace), role in ROLES.items():
        found = json.loads(truth.kubectl("get", kind.lower(), NAME, "-n", namespace or "default", "-o", "json"))
        assert found["rules"] == role["rules"]
    bindings = json.loads(truth.kubectl("get", "rolebindings,clusterrolebindings", "-A", "-o", "json"))["items"]
    own = [
        (one["kind"], one["roleRef"]["kind"], one["roleRef"]["name"])
        for one in bindings
        for subject in one.get("subjects") or []
        if (subject["kind"], subject["name"]) == ("ServiceAccount", NAME)
    ]
    two = [("RoleBinding", "Role", NAME)] * 2  # kube-system's, and that of the claims
    assert sorted(own) == [("ClusterRoleBinding", "ClusterRole", NAME), *two]
    who = ("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    kubeconfig = f"--kubeconfig={os.environ['K8S_AUTH_KUBECONFIG']}"
    assert truth.kubectl(*who, kubeconfig) == OPERATOR


# --- one right less ---------------------------------------------------------------------------------------------------


def eip(state: str = "present", reassign: bool = False, **holder: str) -> dict[str, Any]:
    options = {"eips": [{"address": ADDRESS, **holder}], "state": state, "reassign": reassign}
    return module("kubeovn.core.ovn_eip", options)


def nic() -> dict[str, Any]:
    """What role gateway_nic says on one gateway."""
    argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], "--limit", G1, NICS]
    try:
        return {"failed": False, "changed": False, "msg": run(argv, env={"ANSIBLE_NOCOLOR": "1"}, timeout=300)}
    except CommandFailed as error:
        return {"failed": True, "changed": False, "msg": str(error)}


def use(right: Right) -> dict[str, Any]:
    """A task that needs this right."""
    match right:
        case ("delete", "configmaps"):
            return module("kubeovn.core.ovn_external_gw", {"state": "absent"})
        case (_, "pods/exec") | ("list", "pods"):
            return gateway(ovn_connection="exec")
        case ("patch", "pods") | ("list" | "create", "leases"):
            return eip(pod=POD)
        case ("patch", "leases"):
            return eip(vm=HOLDER, reassign=True)
        case ("delete", "leases"):
            return eip(pod=POD, state="absent")
        case (_, "deployments"):
            return eip(deployment=HOLDER)
        case (_, "ips"):
            return module("kubeovn.core.ovn_nat_info")
        case (_, "virtualmachines" | "virtualmachineinstances"):
            return eip(vm=HOLDER)
        case (_, "endpointslices"):
            return nic()
    return gateway(nodes=[G1, G2])  # the third is unlabelled, and its gateway chassis goes


@contextmanager
def need(identity: Identity, right: Right) -> Iterator[None]:
    """The state of the lab in which this right is needed."""
    if right == ("create", "configmaps"):
        gone = module("kubeovn.core.ovn_external_gw", {"state": "absent"})
        assert not gone["failed"], gone["msg"]
    elif right == ("get", "vlans"):
        spec = {"protocol": "IPv4", "vpc": "lab-none", "vlan": "lab-none", "cidrBlock": "10.4.19.0/24"}
        subnet = {"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": "external"}, "spec": spec}
        identity.truth.apply(subnet)
    elif right in (("patch", "leases"), ("delete", "leases")):
        given = eip(pod=POD)
        assert not given["failed"], given["msg"]
    try:
        yield
    finally:
        if right[1] == "leases":
            back = eip(pod=POD, state="absent")
            assert not back["failed"], back["msg"]
        if right == ("get", "vlans"):  # Kube-OVN takes the switch of that name along
            identity.truth.kubectl("delete", "subnet", "external")
        if right in (("create", "configmaps"), ("get", "vlans")):
            made = gateway()
            assert not made["failed"], made["msg"]


def settled(truth: Truth) -> dict[str, Any]:
    """NB, once Kube-OVN has done with it."""
    looks: list[dict[str, Any]] = []

    def look() -> bool:
        looks.append(truth.northbound())
        return len(looks) > 2 and looks[-1] == looks[-2] == looks[-3]

    eventually(look, bool, what="NB stays as it is")
    return looks[-1]


@pytest.mark.parametrize(
    ("role", "verb", "resource"),
    [pytest.param(one[:2], *one[2:], id=f"{one[2]} {one[3]}") for one in ALL if one[2:] not in OPTIONAL],
)
def test_a_missing_right_is_named_and_nothing_written(identity: Identity, role: Role, verb: str, resource: str) -> None:
    right = (verb, resource)
    with need(identity, right), identity.lacking(role, verb, resource):
        before, since = settled(identity.truth), identity.truth.log_length()
        result = use(right)
        assert result["failed"]
        assert identity.truth.written(since) == []
        assert identity.truth.northbound() == before
    assert not result["changed"]
    assert resource in result["msg"]
    if resource != "pods/exec":  # one thing to whoever asks for it, two verbs to the API server
        assert verb in result["msg"]
    if resource != "endpointslices":  # its role names the variables that do without
        assert "docs/rbac.yml" in result["msg"]


@pytest.mark.parametrize(("verb", "resource"), sorted(OPTIONAL - {STATEFUL_SETS, DEFINITIONS}))
def test_what_may_be_left_out_may_be_left_out(identity: Identity, verb: str, resource: str) -> None:
    with identity.lacking(("Role", "kube-system"), verb, resource):
        result = gateway(nodes=[G1, G3, G2])
        assert not result["failed"], result["msg"]
        assert result["changed"]
    assert not gateway()["failed"]


def test_statefulsets_may_be_left_out_and_the_result_says_so(identity: Identity) -> None:
    with identity.lacking(("ClusterRole", ""), *STATEFUL_SETS):
        result = eip(pod=POD, state="absent")
    assert not result["failed"], result["msg"]
    assert any("statefulsets" in text for text in result["unverified"])
    assert eip(pod=POD, state="absent")["unverified"] == []
