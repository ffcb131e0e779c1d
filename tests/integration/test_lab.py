# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's promises: a second `up` does nothing, a killed one is repaired, `down` leaves nothing, labs keep apart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubeovn_lab import labs, processes, site
from support.ansible import module
from support.commands import run
from support.lab import LAB, Lab

OTHER = "life"  # a lab of these tests' own, beside the one that all tests share


def identities(name: str) -> dict[str, processes.Identity | None]:
    """Every process of a lab, so that one that was started anew is told from the one before."""
    lab = labs.load(name)
    assert lab is not None
    return {part: processes.identity(lab, part) for part in labs.expected(lab)}


def leftovers(name: str) -> list[str]:
    """What of a lab the kernel still knows: namespaces, mounts, processes, control groups."""
    state = str(site.Lab(name).state)
    found = [f"namespace {path.name}" for path in Path("/run/netns").glob(f"kol-{name}-*")]
    found += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if f"{state}/" in line]
    found += [f"control group {path}" for path in Path("/sys/fs/cgroup").glob(f"**/kubeovn-lab-{name}")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().replace("\0", " ")
            root = os.readlink(process / "root")
        except OSError:
            continue  # it has ended meanwhile
        if f"{state}/" in words or root.startswith(state):
            found.append(f"process {process.name}: {words[:120]}")
    return found


def test_all_runs(lab: Lab) -> None:
    assert [part for part, identity in identities(lab.name).items() if identity is None] == []


def test_second_up_does_nothing(lab: Lab) -> None:
    before = identities(lab.name)
    assert "was up already" in run([LAB, "up", "--name", lab.name, *lab.options])
    assert identities(lab.name) == before


def test_other_settings_are_refused(lab: Lab) -> None:
    asked = subprocess.run(
        [LAB, "up", "--name", lab.name, "--no-worker"], check=False, capture_output=True, text=True, timeout=60
    )
    assert asked.returncode == 1
    assert "exists with other settings" in asked.stderr


def test_exec_into_ovn_central(lab: Lab) -> None:
    """The operator's documented rights are enough to reach OVN through the API server."""
    kubeconfig = lab.environment()["K8S_AUTH_KUBECONFIG"]
    answer = module("kubeovn.core.ovn_nat_info", {"ovn_connection": "exec", "kubeconfig": kubeconfig})
    assert not answer["failed"], answer["msg"]


def test_audit_log_names_the_operator(lab: Lab) -> None:
    """Tests that nothing was written rely on the audit log; so it must see a request of that identity."""
    environment = lab.environment()
    kubectl = [site.cache_dir() / "bin" / "kubectl", f"--kubeconfig={environment['K8S_AUTH_KUBECONFIG']}"]
    run([*kubectl, "get", "nodes"])
    lines = Path(environment["LAB_AUDIT_LOG"]).read_text().splitlines()
    events = (json.loads(line) for line in reversed(lines) if "kubeovn-operator" in line and '"nodes"' in line)
    event = next(events)
    assert event["user"]["username"] == "system:serviceaccount:kube-system:kubeovn-operator"
    assert event["verb"] == "list"


@pytest.fixture
def other_lab() -> Iterator[str]:
    """The name of a lab that is gone before and after."""
    run([LAB, "down", "--name", OTHER])
    yield OTHER
    run([LAB, "down", "--name", OTHER])


def _kill_when_it_says(name: str, words: str) -> None:
    """Start `lab up` and kill it hard as soon as it has said something."""
    said = []
    with subprocess.Popen([LAB, "up", "--name", name], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            said.append(line)
            if words in line:
                child.kill()
                break
    assert child.returncode == -9, f"`lab up` ended before it said {words!r}:\n{''.join(said)}"


@pytest.mark.parametrize(
    "words",
    [
        "machines booted",
        *(
            pytest.param(words, marks=pytest.mark.full)
            for words in ("OVN central listens", "API server ready", "controllers started")
        ),
    ],
)
def test_killed_up_is_repaired(lab: Lab, other_lab: str, words: str) -> None:
    """Beside the shared lab, which must not notice; afterwards nothing of the other is left."""
    before = identities(lab.name)
    _kill_when_it_says(other_lab, words)
    run([LAB, "up", "--name", other_lab])
    assert None not in identities(other_lab).values()
    run([LAB, "down", "--name", other_lab])
    assert leftovers(other_lab) == []
    assert identities(lab.name) == before


@pytest.mark.full
def test_a_fresh_lab_has_nothing_of_the_one_before(other_lab: str) -> None:
    """As the tests bring theirs up: a run that was killed leaves its lab, with whatever it had just made there."""
    run([LAB, "up", "--name", other_lab])
    made = [LAB, "kubectl", "--name", other_lab, "get", "namespace", "left", "--ignore-not-found", "--output=name"]
    run([LAB, "kubectl", "--name", other_lab, "create", "namespace", "left"])
    assert run(made).strip() == "namespace/left"
    assert "was up already" not in run([LAB, "up", "--fresh", "--name", other_lab])
    assert run(made).strip() == ""


@pytest.mark.full
def test_down_twice(other_lab: str) -> None:
    assert "there is no lab" in run([LAB, "down", "--name", other_lab])
    assert leftovers(other_lab) == []
