# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_eip day after day on the lab: rotation, moving, SNAT, Deployments, what a restart breaks, pruning, tenants.

What is there is read by kubectl and ovn-nbctl and compared with what was there before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.eip_lab import (
    CLAIMS,
    EIP,
    ROUTED,
    SNAT,
    WORKER,
    claims,
    gateway,
    machine,
    noted,
    picture,
    pod,
    restart_controller,
    runs,
    table,
)
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually

VM, POD, SHOP = "days-vm", "days-pod", "days-shop"
POOL = "10.4.19.140-10.4.19.149"
FIRST, SECOND = "10.4.19.140", "10.4.19.141"
SOURCE = "10.4.19.150"


def eip(*eips: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
    given = {"eips": list(eips)} if eips else {}
    return alone("ovn_eip", {**given, **options}, check)


def good(*eips: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The result of a run that succeeds, which a second one repeats without a change."""
    result = eip(*eips, **options)
    assert not result["failed"], result.get("msg")
    return result


def deployment(replicas: int = 1, strategy: str = "Recreate") -> dict[str, Any]:
    """A Deployment on the worker."""
    labels = {"app": SHOP}
    spec = pod(SHOP)["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": SHOP, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": strategy},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, a running VM and a pod."""
    live = Live(lab)
    gateway(live)
    live.apply(machine(VM, running=True), pod(POD))
    runs(live, (VM,), (POD,))
    yield live
    live.kubectl("delete", "vm,pod,deployment", "-n", "default", "--ignore-not-found", VM, POD, SHOP, "--wait=true")


@pytest.fixture
def bare(live: Live) -> Iterator[tuple[Live, dict[str, Any]]]:
    """Nobody has an EIP, and so it is again in the end: neither row, annotation nor claim is left."""
    before = picture(live)
    yield live, before
    good({"vm": VM}, {"pod": POD}, state="absent")
    good({"vm": VM}, {"pod": POD}, state="absent", kind="snat")
    assert picture(live) == before


def overlay(live: Live, name: str) -> str:
    found = live.launcher(name) if name == VM else live.get("pod", name)
    assert found is not None
    return str(found["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"])


def leads(live: Live, address: str) -> list[str]:
    return sorted(logical for _type, external, logical in live.rules() if external == address)


Bare = tuple[Live, dict[str, Any]]


def test_rotation_gives_each_another_address_of_the_pool(bare: Bare) -> None:
    live, _before = bare
    both = ({"vm": VM, "pool": [POOL]}, {"pod": POD, "pool": [POOL]})
    given = good(*both)
    assert [told["address"] for told in given["eips"]] == [FIRST, SECOND]
    assert good(*both)["changed"] is False
    foretold = eip(*both, rotate=True, rotation="november", batch=1, check=True)
    rotated = good(*both, rotate=True, rotation="november", batch=1)
    pairs = [(told["previous"], told["address"]) for told in rotated["eips"]]
    assert pairs == [(FIRST, "10.4.19.142"), (SECOND, "10.4.19.143")], "not the one that the first batch has freed"
    assert [told["address"] for told in foretold["eips"]] == [new for _old, new in pairs]
    assert leads(live, "10.4.19.142") == [overlay(live, VM)]
    assert leads(live, FIRST) == leads(live, SECOND) == []
    assert sorted(claims(live)) == ["eip-10.4.19.142", "eip-10.4.19.143"]
    for address in ("10.4.19.142", "10.4.19.143"):
        assert live.answers(address) == [62, 62, 62]
    assert good(*both, rotate=True, rotation="november")["changed"] is False


def test_an_address_moves_to_another_holder(bare: Bare) -> None:
    live, _before = bare
    good({"vm": VM, "address": FIRST})
    refused = eip({"pod": POD, "address": FIRST})
    assert refused["failed"]
    assert f"{FIRST} is held by VirtualMachine default/{VM}" in refused["msg"]
    good({"pod": POD, "address": FIRST}, reassign=True)
    assert leads(live, FIRST) == [overlay(live, POD)]
    assert live.answers(FIRST) == [62, 62, 62]
    assert f"ip4.src == {overlay(live, VM)}" not in live.policies()
    assert claims(live)["eip-10.4.19.140"]["holder"] == f"Pod default/{POD}"
    assert EIP not in noted(live)[f"VirtualMachine {VM}"]
    assert good({"pod": POD, "address": FIRST}, reassign=True)["changed"] is False


def test_a_detached_address_stays_its_holders(bare: Bare) -> None:
    live, before = bare
    good({"vm": VM, "address": FIRST})
    good({"vm": VM}, state="detached")
    assert picture(live) == {**before, "claims": claims(live)}
    assert list(claims(live)) == ["eip-10.4.19.140"]
    assert f"claim eip-{FIRST}" in eip({"pod": POD, "address": FIRST})["msg"]
    assert good({"vm": VM, "pool": ["10.4.19.139-10.4.19.149"]})["eips"][0]["address"] == FIRST


def test_what_was_annotated_by_hand_is_taken_over_as_it_is(bare: Bare) -> None:
    live, _before = bare
    launcher = live.launcher(VM)
    assert launcher is not None
    for name, address in ((launcher["metadata"]["name"], FIRST), (POD, SECOND)):
        live.patch("pod", name, {"metadata": {"annotations": {EIP: address, ROUTED: None}}})
        eventually(partial(leads, live, address), bool, 60, f"Kube-OVN's rule of {address}")
    live.patch("vm", VM, {"spec": {"template": {"metadata": {"annotations": {EIP: FIRST}}}}})
    live.patch("vmi", VM, {"metadata": {"annotations": {EIP: FIRST}}})
    rows = live.rule_ids()
    foretold = eip(adopt=True, check=True)
    result = good(adopt=True)
    assert {step["action"] for step in result["plan"]} <= {"create_namespace", "claim"}
    assert result["plan"] == foretold["plan"]
    assert live.rule_ids() == rows
    made = claims(live)
    assert sorted(made) == [f"eip-{FIRST}", f"eip-{SECOND}"]
    assert good(adopt=True)["changed"] is False

    live.kubectl("delete", "lease", "-n", CLAIMS, *made)
    good(adopt=True)
    assert claims(live) == made, "rebuilt from the cluster"
    assert live.rule_ids() == rows


def test_one_source_address_serves_several_holders(bare: Bare) -> None:
    live, _before = bare
    result = good({"vm": VM, "address": SOURCE}, {"pod": POD, "address": SOURCE}, kind="snat")
    assert [told["status"] for told in result["eips"]] == ["attached", "attached"]
    assert leads(live, SOURCE) == sorted([overlay(live, VM), overlay(live, POD)])
    assert {kind for kind, external, _logical in live.rules() if external == SOURCE} == {"snat"}
    assert noted(live)[f"VirtualMachine {VM}"] == {SNAT: SOURCE}
    good({"vm": VM}, kind="snat", state="absent")
    assert leads(live, SOURCE) == [overlay(live, POD)]
    assert claims(live)[f"eip-{SOURCE}"]["holder"] == f"Pod default/{POD}"


def test_a_deployment_of_one_replica_has_an_eip_by_its_template(bare: Bare) -> None:
    live, before = bare
    live.apply(deployment())
    found = partial(_shop_pods, live)
    eventually(found, lambda pods: len(pods) == 1 and ROUTED in _notes(pods[0]), 120, "the Deployment's pod runs")
    (old,) = found()
    result = good({"deployment": SHOP, "address": FIRST})
    assert [(step["action"], step["disruption"]) for step in result["plan"] if "claim" not in step["action"]] == [
        ("annotate_template", "long")
    ]
    (new,) = found()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert leads(live, FIRST) == [_notes(new)["ovn.kubernetes.io/ip_address"]]
    refused = eip({"pod": new["metadata"]["name"], "address": SECOND})
    assert f"use deployment: {SHOP}" in refused["msg"]
    none = eip({"deployment": SHOP, "address": SECOND}, max_disruption="brief")
    assert none["failed"]
    assert leads(live, SECOND) == []
    good({"deployment": SHOP}, state="absent")
    live.kubectl("delete", "deployment", "-n", "default", SHOP, "--wait=true")
    eventually(found, lambda pods: not pods, 60, "its pod is gone")
    eventually(lambda: picture(live), lambda now: now == before, 60, "nothing of it is left")


def test_a_deployment_whose_pods_would_share_an_eip_is_refused(live: Live) -> None:
    for replicas, strategy, words in ((0, "RollingUpdate", "RollingUpdate"), (2, "Recreate", "2 replicas")):
        live.apply(
            {**deployment(replicas, strategy), "spec": {**deployment(replicas, strategy)["spec"], "paused": True}}
        )
        result = eip({"deployment": SHOP, "address": FIRST})
        assert result["failed"]
        assert words in result["msg"]
        live.kubectl("delete", "deployment", "-n", "default", SHOP, "--wait=true")


def _shop_pods(live: Live) -> list[dict[str, Any]]:
    answer = live.kubectl("get", "pods", "-n", "default", "-l", f"app={SHOP}", "-o", "json")
    items: list[dict[str, Any]] = json.loads(answer)["items"]
    return items


def _notes(found: dict[str, Any]) -> dict[str, str]:
    return found["metadata"].get("annotations") or {}


def test_policies_that_a_restarted_controller_takes_are_made_again(bare: Bare) -> None:
    live, _before = bare
    both = ({"vm": VM, "address": FIRST}, {"pod": POD, "address": SECOND})
    good(*both)
    restart_controller(live)
    eventually(live.policies, lambda found: not found, 120, "it takes all policies when it starts")
    eventually(lambda: eip(*both, check=True), lambda foretold: not foretold["failed"], 60, "it leads again")
    result = good(*both)
    assert [step["action"] for step in result["plan"]] == ["reroute_pod", "reroute_pod"]
    for name, address in ((VM, FIRST), (POD, SECOND)):
        assert live.policies()[f"ip4.src == {overlay(live, name)}"] == "10.4.19.1"
        assert live.answers(address) == [62, 62, 62]
    good({"vm": VM}, {"pod": POD}, state="absent")
    routes = table(live, "Logical_Router_Static_Route", "ip_prefix,policy")
    assert not [row for row in routes if "src-ip" in row], "the routes go with the EIPs"


def test_pruning_takes_what_is_proven_and_tells_of_the_rest(bare: Bare) -> None:
    live, before = bare
    good({"pod": POD, "address": FIRST})
    live.nbctl("lr-nat-add", "ovn-cluster", "dnat_and_snat", "10.4.19.148", "10.253.255.9")  # somebody's, by hand
    live.patch("pod", POD, {"metadata": {"annotations": {EIP: None, ROUTED: None}}})
    eventually(lambda: leads(live, FIRST), lambda found: not found, 60, "Kube-OVN takes the rule")
    assert f"ip4.src == {overlay(live, POD)}" in live.policies(), "Kube-OVN leaves it, or this test proves nothing"
    eip({"pod": POD, "address": FIRST}, state="detached")
    foretold = eip(state="pruned", check=True)
    result = good(state="pruned")
    assert result["plan"] == foretold["plan"]
    assert [one["path"] for one in result["unclear"]] == ["NAT rule dnat_and_snat 10.4.19.148 -> 10.253.255.9"]
    assert leads(live, "10.4.19.148") == ["10.253.255.9"], "not to be attributed, so left alone"
    live.nbctl("lr-nat-del", "ovn-cluster", "dnat_and_snat", "10.4.19.148")
    assert good(state="pruned")["changed"] is False
    good({"pod": POD, "address": FIRST}, state="absent")
    assert picture(live) == before


def test_a_tenant_with_rights_in_one_namespace_works_without_ovn(bare: Bare) -> None:
    live, _before = bare
    kubeconfig = tenant(live)
    result = good({"pod": POD, "address": FIRST}, kubeconfig=kubeconfig, ovn_connection="none")
    assert result["eips"][0]["status"] == "attached"
    assert any("OVN was not looked at" in text for text in result["unverified"])
    assert leads(live, FIRST) == [overlay(live, POD)], "seen by others"
    assert good({"pod": POD, "address": FIRST}, kubeconfig=kubeconfig, ovn_connection="none")["changed"] is False
    assert eip({"vm": VM, "address": FIRST}, kubeconfig=kubeconfig, ovn_connection="none")["failed"]


def tenant(live: Live) -> str:
    """The kubeconfig of a ServiceAccount that may only what docs/eips.md says that a tenant needs."""
    name = "days-tenant"
    own = {"name": name, "namespace": "default"}
    account = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    group = "rbac.authorization.k8s.io"
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own}]
    rules = {
        "default": [
            {"apiGroups": ["", "kubevirt.io", "apps"], "resources": ["*"], "verbs": ["list", "patch"]},
        ],
        "kubeovn-core": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}],
    }
    for namespace, allowed in rules.items():
        metadata = {"name": name, "namespace": namespace}
        reference = {"apiGroup": group, "kind": "Role", "name": name}
        objects += [
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": allowed},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": reference,
                "subjects": [account],
            },
        ]
    live.apply(*objects)
    token = live.kubectl("create", "token", name, "-n", "default", "--duration=1h").strip()
    config = yaml.safe_load(Path(os.environ["K8S_AUTH_KUBECONFIG"]).read_text(encoding="utf-8"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = live.folder / "tenant.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def test_the_worker_has_no_external_nic_of_its_own(live: Live) -> None:
    """All of this is about pods on a node that has none: else the tests above would prove less than they say."""
    found = live.get("pod", POD)
    assert found is not None
    assert found["spec"]["nodeName"] == WORKER
