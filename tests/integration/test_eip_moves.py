# SPDX-License-Identifier: GPL-3.0-or-later
"""EIPs whose holders move on the lab: live migration, a node without power, a StatefulSet's pod made anew; and batches.

After each move all that an EIP is made of is compared with what there was before, row by row, by kubectl and ovn-nbctl.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from support.commands import CommandFailed
from support.eip_lab import (
    EIP,
    GATEWAYS,
    ROUTED,
    WORKER,
    bound,
    gateway,
    gateway_rows,
    machine,
    noted,
    picture,
    pod,
    runs,
    unbound,
)
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually

VM, SET, PODS = "moves-vm", "moves-set", ("moves-one", "moves-two")
ADDRESS, SECOND, THIRD = "10.4.19.170", "10.4.19.171", "10.4.19.172"
PORT = "ovn-cluster-external"
HELD = "lab.kubeovn.core/migration-held"  # what the lab's stand-in for virt-handler goes by
# As virt-api's webhook would leave it: without the finalizer whoever deletes it cancels nothing.
MIGRATION = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstanceMigration",
    "metadata": {"name": "moves", "namespace": "default", "finalizers": ["kubevirt.io/migrationJobFinalize"]},
    "spec": {"vmiName": VM},
}
RUNNING = 180.0  # seconds in which a machine is there again, on a busy lab
SETTLED = 120.0  # the same for what Kube-OVN has to do


def eip(*eips: dict[str, Any], **options: Any) -> dict[str, Any]:
    return alone("ovn_eip", {"eips": list(eips), **options})


def good(*eips: dict[str, Any], **options: Any) -> dict[str, Any]:
    result = eip(*eips, **options)
    assert not result["failed"], result.get("msg")
    return result


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A site with a gateway, and a VM that may run on any node."""
    live = Live(lab)
    gateway(live)
    mover = machine(VM, running=True)
    del mover["spec"]["template"]["spec"]["nodeSelector"]
    try:
        live.apply(mover)
        runs(live, (VM,))
        yield live
    finally:
        live.kubectl("delete", "vm,pod", "-n", "default", "--ignore-not-found", VM, *PODS, "--wait=true")


@pytest.fixture
def bare(live: Live) -> Iterator[Live]:
    """Nobody has an EIP, and so it is again in the end."""
    before = picture(live)
    yield live
    good({"vm": VM}, state="absent")
    forget_migration(live)
    after = picture(live)
    assert {key: after[key] for key in ("claims", "rules", "policies")} == {
        key: before[key] for key in ("claims", "rules", "policies")
    }


def forget_migration(live: Live) -> None:
    """Nothing of it is left: Kube-OVN ties the VM's port to its nodes until the pod that has ended is deleted.

    The next migration's pod would wait for its port for ever.
    """
    live.kubectl("delete", "vmim", "-n", "default", "moves", "--ignore-not-found", "--wait=true")
    ended = ("-l", f"vm.kubevirt.io/name={VM}", "--field-selector=status.phase!=Running", "--wait=true")
    live.kubectl("delete", "pods", "-n", "default", *ended)
    eventually(lambda: is_tied(live), lambda tied: not tied, SETTLED, "the VM's port is free")


def is_tied(live: Live) -> bool:
    """Whether the VM's port may only be on certain nodes."""
    port = ("--bare", "--columns=options", "find", "Logical_Switch_Port", f"name={VM}.default")
    return "requested-chassis" in live.nbctl(*port)


def launcher(live: Live) -> tuple[str, str]:
    """The VM's pod and its node."""
    found = eventually(lambda: live.launcher(VM), bool, RUNNING, f"VM {VM} runs")
    assert found is not None
    return found["metadata"]["name"], found["spec"]["nodeName"]


def guest(live: Live, address: str) -> str:
    """The name of the machine that answers ssh at an address, asked from outside; nothing while none does."""
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=10",
        "ServerAliveInterval=5",
    )
    words = [word for option in options for word in ("-o", option)]
    try:
        return live.lab.run("outside", "--", "timeout", "20", "ssh", *words, f"ubuntu@{address}", "hostname").strip()
    except CommandFailed:
        return ""


def test_a_vm_that_migrates_keeps_its_eip(bare: Live) -> None:
    good({"vm": VM, "address": ADDRESS})
    assert bare.answers(ADDRESS) == [62, 62, 62]
    before = picture(bare)
    migrate(bare)
    assert picture(bare) == before
    rows = bare.rule_ids()
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    assert bare.rule_ids() == rows
    assert is_tied(bare), "Kube-OVN frees it by itself, or this test proves nothing"


def test_a_migration_whose_end_kube_ovn_overlooks_changes_nothing(bare: Live) -> None:
    """It leaves what this does by hand where KubeVirt calls a migration completed before Kube-OVN looks at its end."""
    _pod, here = launcher(bare)
    there = next(node for node in GATEWAYS if node != here)
    port = f"{VM}.default"
    bare.nbctl("lsp-set-options", port, f"requested-chassis={there},{here}")
    try:
        eventually(
            lambda: bound(bare, port), lambda found: found == (0, 1), SETTLED, "an additional chassis beside none"
        )
        assert good({"vm": VM, "address": ADDRESS})["changed"] is True
        assert bare.answers(ADDRESS) == [62, 62, 62]
        assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    finally:
        bare.nbctl("lsp-set-options", port)
        eventually(lambda: bound(bare, port), lambda found: found == (1, 0), SETTLED, "the port is bound")


def migrate(live: Live) -> None:
    """To another node, until the VM answers there at its EIP."""
    old, source = launcher(live)
    with held(live):  # or it might be over before Kube-OVN has taken note of it
        live.apply(MIGRATION)
        eventually(lambda: is_tied(live), bool, RUNNING, "Kube-OVN ties the VM's port to both nodes")
    eventually(lambda: _phase(live), lambda phase: phase == "Succeeded", RUNNING, "the migration")
    _new, target = eventually(lambda: launcher(live), lambda found: found[0] != old, RUNNING, "the new launcher pod")
    # OVN hands packets to both guests until the old one is gone: a connection to that one hangs.
    eventually(lambda: _alive(live, old), lambda alive: not alive, RUNNING, "the old launcher pod's end")
    assert target != source
    assert (live.get("vmi", VM) or {})["status"]["nodeName"] == target
    eventually(lambda: live.answers(ADDRESS), bool, RUNNING, f"{ADDRESS} answers")
    eventually(lambda: guest(live, ADDRESS), lambda name: name == VM, RUNNING, f"{VM} at {ADDRESS}")


def _alive(live: Live, pod: str) -> bool:
    return ((live.get("pod", pod) or {}).get("status") or {}).get("phase") == "Running"


def _phase(live: Live) -> str | None:
    migration = live.get("vmim", "moves") or {}
    phase = (migration.get("status") or {}).get("phase")
    assert phase != "Failed", migration
    return None if phase is None else str(phase)


@contextmanager
def cancelled(live: Live) -> Iterator[dict[str, Any]]:
    """A migration that goes on until it is cancelled at the end: its target's pod."""
    source, _node = launcher(live)
    with held(live):
        live.apply(MIGRATION)
        eventually(lambda: _phase(live), lambda phase: phase == "Running", RUNNING, "the migration is under way")
        eventually(lambda: is_tied(live), bool, RUNNING, "Kube-OVN ties the VM's port to both nodes")
        [target] = others(live, source)
        yield target
        live.kubectl("delete", "vmim", "-n", "default", "moves", "--wait=true")
        eventually(lambda: _migration(live).get("failed"), bool, RUNNING, "the source's virt-handler has cancelled it")
        eventually(lambda: others(live, source), lambda found: not found, RUNNING, "the target's pod ends")
        assert _migration(live)["abortStatus"] == "Succeeded"
        assert launcher(live)[0] == source, "it runs where it did"


@contextmanager
def held(live: Live) -> Iterator[None]:
    """Meanwhile a migration of the VM does not come to its end."""
    live.patch("vmi", VM, {"metadata": {"annotations": {HELD: ""}}})
    try:
        yield
    finally:
        live.patch("vmi", VM, {"metadata": {"annotations": {HELD: None}}})


def _migration(live: Live) -> dict[str, Any]:
    """What the instance says of its last migration."""
    return ((live.get("vmi", VM) or {}).get("status") or {}).get("migrationState") or {}


def others(live: Live, source: str) -> list[dict[str, Any]]:
    """The VM's other launcher pods that have not come to their end."""
    pods = json.loads(live.kubectl("get", "pods", "-n", "default", "-l", f"vm.kubevirt.io/name={VM}", "-o", "json"))
    return [
        pod
        for pod in pods["items"]
        if pod["metadata"]["name"] != source and pod["status"]["phase"] in ("Pending", "Running")
    ]


@pytest.mark.full
def test_a_cancelled_migration_leaves_the_eip_where_it_was_and_the_next_one_takes_it_along(bare: Live) -> None:
    good({"vm": VM, "address": ADDRESS})
    assert bare.answers(ADDRESS) == [62, 62, 62]
    before, rows = picture(bare), bare.rule_ids()
    with cancelled(bare) as target:
        notes = target["metadata"]["annotations"]
        assert (notes[EIP], notes[ROUTED]) == (ADDRESS, "true"), "the target's pod has it of the instance"
        assert good({"vm": VM, "address": ADDRESS})["changed"] is False
        assert bare.answers(ADDRESS) == [62, 62, 62]
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    assert (picture(bare), bare.rule_ids()) == (before, rows)
    assert bare.answers(ADDRESS) == [62, 62, 62]
    assert guest(bare, ADDRESS) == VM
    forget_migration(bare)
    migrate(bare)
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    assert (picture(bare), bare.rule_ids()) == (before, rows)


@pytest.mark.full
def test_an_eip_on_the_pod_alone_is_lost_at_a_migration_and_cancelling_brings_nothing_back(
    bare: Live,
) -> None:
    source, _node = launcher(bare)
    bare.patch("pod", source, {"metadata": {"annotations": {EIP: ADDRESS, ROUTED: None}}})
    eventually(partial(_external, bare), lambda found: found == [ADDRESS], SETTLED, "Kube-OVN's rule")
    with cancelled(bare):
        eventually(partial(_external, bare), lambda found: found == [], SETTLED, "the target's routing takes the rule")
    assert _external(bare) == [], "Kube-OVN makes it again by itself, or this test proves nothing"
    assert good({"vm": VM, "address": ADDRESS})["changed"]
    assert _external(bare) == [ADDRESS]
    assert bare.answers(ADDRESS) == [62, 62, 62]


def test_a_node_without_power_comes_back_with_its_vms_eip(bare: Live) -> None:
    on_node(bare, WORKER)
    good({"vm": VM, "address": ADDRESS})
    before = picture(bare)
    bare.lab.run("power", "off", WORKER)
    try:
        eventually(lambda: _ready(bare), lambda ready: not ready, 120, f"{WORKER} is NotReady")
        assert bare.ping(ADDRESS) == []
        said = eip({"vm": VM, "address": ADDRESS}, wait_timeout=5)
        assert said["failed"]
        assert f"its node {WORKER} is not Ready" in said["msg"]
        assert picture(bare) == before
    finally:
        bare.lab.run("power", "on", WORKER, timeout=300)
    eventually(lambda: _ready(bare), bool, RUNNING, f"{WORKER} is Ready")
    eventually(lambda: bare.ping(ADDRESS), bool, RUNNING, f"{ADDRESS} answers again")
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    assert picture(bare) == before


@pytest.mark.full
def test_the_vm_of_a_lost_node_takes_its_eip_to_another_node(bare: Live) -> None:
    """As who fences a node does it: the node has no power, its pod and instance are deleted without it."""
    old = on_node(bare, WORKER)
    good({"vm": VM, "address": ADDRESS})
    before = picture(bare)
    bare.lab.run("power", "off", WORKER)
    try:
        eventually(lambda: _ready(bare), lambda ready: not ready, 120, f"{WORKER} is NotReady")
        may_run_on(bare, GATEWAYS[1])
        bare.kubectl("delete", "vmi", "-n", "default", VM, "--wait=false")
        bare.kubectl("delete", "pod", "-n", "default", old, "--force", "--grace-period=0", "--wait=false")
        eventually(lambda: launcher(bare), lambda found: found[0] != old, RUNNING, "the VM starts elsewhere")
        assert launcher(bare)[1] == GATEWAYS[1]
        good({"vm": VM, "address": ADDRESS})
        assert bare.answers(ADDRESS) == [62, 62, 62]
        assert picture(bare) == before
        assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    finally:
        bare.lab.run("power", "on", WORKER, timeout=300)
        may_run_on(bare, None)
    eventually(lambda: _ready(bare), bool, RUNNING, f"{WORKER} is Ready")
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False
    assert picture(bare) == before, "the node that is back brings nothing of the old instance"


@pytest.mark.full
@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ((), [f"router port {PORT} has no gateway chassis"]),
        (
            (("nobody", 100),),
            [f"no gateway holds router port {PORT}", "gateway chassis nobody: no node has this chassis"],
        ),
    ],
    ids=["no gateway chassis", "no live gateway"],
)
def test_an_eip_that_no_gateway_forwards_fails_at_the_deadline(
    bare: Live, rows: tuple[tuple[str, int], ...], texts: list[str]
) -> None:
    good({"vm": VM, "address": ADDRESS})
    assert bare.answers(ADDRESS) == [62, 62, 62]
    with gateway_rows(bare, PORT, *rows):
        eventually(lambda: bare.ping(ADDRESS), lambda ttls: not ttls, SETTLED, f"{ADDRESS} is silent")
        assert_named(bare, *texts)
    assert bare.answers(ADDRESS) == [62, 62, 62]
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False


@pytest.mark.full
def test_an_eip_whose_logical_port_is_bound_nowhere_fails_at_the_deadline(bare: Live) -> None:
    good({"vm": VM, "address": ADDRESS})
    assert bare.answers(ADDRESS) == [62, 62, 62]
    with unbound(bare, f"{VM}.default"):
        assert_named(bare, f"logical port {VM}.default is bound to no chassis")
    assert bare.answers(ADDRESS) == [62, 62, 62]
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False


@pytest.mark.full
def test_a_gateway_without_power_that_nobody_takes_over_from_is_named(bare: Live) -> None:
    on_node(bare, WORKER)
    good({"vm": VM, "address": ADDRESS})
    with gateway_rows(bare, PORT, (GATEWAYS[0], 100)):
        assert bare.answers(ADDRESS) == [62, 62, 62]
        bare.lab.run("power", "off", GATEWAYS[0])
        try:
            eventually(lambda: _ready(bare, GATEWAYS[0]), lambda ready: not ready, 120, f"{GATEWAYS[0]} is NotReady")
            assert_named(bare, f"router port {PORT} is held by {GATEWAYS[0]}, which is not Ready")
        finally:
            bare.lab.run("power", "on", GATEWAYS[0], timeout=300)
            may_run_on(bare, None)
        eventually(lambda: _ready(bare, GATEWAYS[0]), bool, RUNNING, f"{GATEWAYS[0]} is Ready")
    eventually(lambda: bare.ping(ADDRESS), bool, RUNNING, f"{ADDRESS} answers again")
    assert good({"vm": VM, "address": ADDRESS})["changed"] is False


def assert_named(live: Live, *texts: str) -> None:
    """A run has nothing to do and fails all the same: it says what keeps traffic away, and writes nothing."""
    before, rows = picture(live), live.rule_ids()
    said = eip({"vm": VM, "address": ADDRESS}, wait_timeout=10)
    assert said["failed"]
    assert said["changed"] is False
    for text in texts:
        assert text in said["msg"]
    assert (picture(live), live.rule_ids()) == (before, rows)


def on_node(live: Live, node: str) -> str:
    """The VM's pod, which is made anew on a node."""
    may_run_on(live, node)
    old, _node = launcher(live)
    live.kubectl("delete", "vmi", "-n", "default", VM, "--wait=true")
    eventually(lambda: launcher(live), lambda found: found[0] != old, RUNNING, f"the VM starts on {node}")
    found, where = launcher(live)
    assert where == node
    return found


def may_run_on(live: Live, node: str | None) -> None:
    """Where the VM's next instance may run: on one node, or on each."""
    selector = {"kubernetes.io/hostname": node} if node else None
    live.patch("vm", VM, {"spec": {"template": {"spec": {"nodeSelector": selector}}}})


def _ready(live: Live, node: str = WORKER) -> bool:
    conditions = (live.get("node", node) or {})["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def test_a_statefulsets_pod_that_is_made_anew_is_given_its_eip_again_by_the_next_run(bare: Live) -> None:
    """A pod's annotation goes with the pod: its claim stays, so that nobody else takes the address meanwhile."""
    labels, name = {"app": SET}, f"{SET}-0"
    spec = {
        "serviceName": SET,
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod(SET)["spec"]},
    }
    metadata = {"name": SET, "namespace": "default"}
    bare.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec})
    try:
        eventually(lambda: bare.get("pod", name), bool, SETTLED, f"pod {name}")
        runs(bare, pods=(name,))
        good({"pod": name, "address": ADDRESS})
        assert bare.answers(ADDRESS) == [62, 62, 62]
        before = picture(bare)
        uid = (bare.get("pod", name) or {})["metadata"]["uid"]
        bare.kubectl("delete", "pod", "-n", "default", name, "--wait=true")
        eventually(lambda: _uid(bare, name), lambda now: now not in (None, uid), SETTLED, "the new pod")
        runs(bare, pods=(name,))
        assert EIP not in noted(bare)[f"Pod {name}"]
        assert _external(bare) == [], "Kube-OVN takes the rule; its overlay address stays the pod's, and so the policy"
        assert picture(bare)["claims"] == before["claims"]
        assert f"claim eip-{ADDRESS}" in eip({"vm": VM, "address": ADDRESS})["msg"]
        assert good({"pod": name, "address": ADDRESS})["changed"]
        assert bare.answers(ADDRESS) == [62, 62, 62]
        assert good({"pod": name, "address": ADDRESS})["changed"] is False
        good({"pod": name}, state="absent")
    finally:
        bare.kubectl("delete", "statefulset", "-n", "default", SET, "--wait=true")


def _uid(live: Live, name: str) -> str | None:
    found = live.get("pod", name)
    return None if found is None else str(found["metadata"]["uid"])


def test_batches_stop_after_a_failure_and_one_bad_item_stops_nobody_else(bare: Live) -> None:
    bare.apply(*(pod(name) for name in PODS))
    runs(bare, pods=PODS)
    first, last = ({"pod": PODS[0], "address": ADDRESS}, {"pod": PODS[1], "address": THIRD})
    three = (first, {"pod": "moves-nobody", "address": SECOND}, last)
    before = picture(bare)

    refused = eip(*three, all_or_nothing=True)
    assert refused["failed"]
    assert "Pod default/moves-nobody does not exist" in refused["msg"]
    assert picture(bare) == before

    stopped = eip(*three, batch=1)
    assert [told["status"] for told in stopped["eips"]] == ["attached", "detached", "detached"]
    assert "not begun" in json.dumps(stopped["eips"][2]["problems"])
    assert [rule[1] for rule in bare.rules() if rule[1] in (ADDRESS, SECOND, THIRD)] == [ADDRESS]

    others = eip(*three)
    assert others["failed"]
    assert [told["status"] for told in others["eips"]] == ["attached", "detached", "attached"]
    assert bare.answers(THIRD) == [62, 62, 62]

    good(first, last, state="absent")
    at_once = good(first, last, wait=False)
    assert at_once["changed"]
    eventually(partial(_external, bare), lambda found: found == [ADDRESS, THIRD], SETTLED, "Kube-OVN's rules")
    assert good(first, last)["changed"] is False
    good(last, state="absent")
    bare.kubectl("delete", "pod", "-n", "default", PODS[0], "--wait=true")
    eventually(
        partial(_external, bare), lambda found: found == [], SETTLED, "with a plain pod Kube-OVN takes its rule,"
    )
    eventually(bare.policies, lambda found: not found, SETTLED, "and its policy")
    assert good(first, state="absent")["changed"], "its claim outlives it"


def _external(live: Live) -> list[str]:
    return sorted(external for _type, external, _logical in live.rules() if external in (ADDRESS, SECOND, THIRD))
