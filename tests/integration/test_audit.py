# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks audit and report on the lab: what they say, what they write, and that it is nothing but their files."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.ansible import BIN
from support.eip_lab import gateway, pod, restart_controller, runs
from support.lab import Lab
from support.live import Live, eventually
from support.prometheus import parse

POD, ADDRESS = "audit-pod", "10.4.19.186"
DOUBLE, NOBODY, NOBODY_ELSE = "10.4.19.185", "10.253.255.240", "10.253.255.241"
NO_NODES = {"kubeovn_audit_nodes": False}
CHANGED = re.compile(r"^localhost +: .* changed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """A playbook's run."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Changed tasks, by the recap."""
        (found,) = CHANGED.findall(self.output)
        return int(found)


def play(name: str, variables: dict[str, Any], *options: str, env: dict[str, str] | None = None) -> Ran:
    """A playbook of the installed collection, run as a scheduler would."""
    argv = [BIN / "ansible-playbook", "-i", os.environ["LAB_INVENTORY"], f"kubeovn.core.{name}"]
    argv += [f"--extra-vars={json.dumps(variables)}", *options]
    done = subprocess.run(
        [str(part) for part in argv],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway, and one address that leads to two machines which are none."""
    live = Live(lab)
    gateway(live)
    for logical in (NOBODY, NOBODY_ELSE):
        row = f"-- --id=@row create NAT type=dnat_and_snat external_ip={DOUBLE} logical_ip={logical}".split()
        live.nbctl(*row, "--", "add", "Logical_Router", "ovn-cluster", "nat", "@row")
    yield live
    _delete(live, NOBODY)
    _delete(live, NOBODY_ELSE)


def _delete(live: Live, logical: str) -> None:
    for row in live.nbctl("--bare", "--columns=_uuid", "find", "NAT", f"logical_ip={logical}").split():
        live.nbctl("remove", "Logical_Router", "ovn-cluster", "nat", row)


def test_they_write_their_files_and_nothing_else(live: Live, tmp_path: Path) -> None:
    report, metrics, seen = tmp_path / "report.html", tmp_path / "kubeovn.prom", tmp_path / "seen.json"
    files: dict[str, Any] = {"kubeovn_report_file": str(report), "kubeovn_audit_fail_on": "never", **NO_NODES}
    files |= {"kubeovn_audit_metrics": str(metrics), "kubeovn_audit_snapshot": str(seen)}
    mark, rows = live.mark(), live.rule_ids()

    ran = play("report", files, "--check", "--diff")
    assert (ran.status, ran.changed) == (0, 1), ran.output
    assert f"+<title>EIPs of {os.environ['LAB_API_URL']}</title>" in ran.output
    assert not report.exists()

    ran = play("report", files)
    assert (ran.status, ran.changed) == (0, 1), ran.output
    page = report.read_text()
    assert DOUBLE in page
    assert "duplicate_external_address" in page
    ran = play("report", files)
    assert (ran.status, ran.changed) == (0, 0), "only the time is another one"
    assert report.read_text() != page

    ran = play("audit", files, "--check")
    assert (ran.status, list(tmp_path.iterdir())) == (0, [report]), ran.output
    ran = play("audit", files)
    assert (ran.status, ran.changed) == (0, 1), ran.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kubeovn.prom", "report.html", "seen.json"]
    samples = parse(metrics.read_text())
    site = {"cluster": os.environ["LAB_API_URL"]}
    assert samples["kubeovn_audit_success", frozenset(site.items())] == 1
    double = {**site, "code": "duplicate_external_address", "severity": "error"}
    assert samples["kubeovn_findings", frozenset(double.items())] == 1
    ran = play("audit", files)
    assert (ran.status, ran.changed) == (0, 0), ran.output

    assert live.written(mark) == []
    assert live.rule_ids() == rows


def test_it_ends_with_a_failure_when_something_is_wrong_and_tells_what_has_changed(live: Live, tmp_path: Path) -> None:
    files: dict[str, Any] = {"kubeovn_audit_snapshot": str(tmp_path / "before.json"), **NO_NODES}
    ran = play("audit", files)
    assert ran.status == 2
    assert "1 error duplicate_external_address" in ran.output
    assert (tmp_path / "before.json").exists(), "it is kept before the run fails"

    _delete(live, NOBODY_ELSE)
    compared = {"kubeovn_audit_before": str(tmp_path / "before.json"), "kubeovn_audit_fail_on": "never", **NO_NODES}
    ran = play("audit", compared)
    assert ran.status == 0, ran.output
    assert "not looked at: NIC and tunnels of jah-k3s-h100-001, " in ran.output
    assert f"changed eip {DOUBLE}" in ran.output
    assert f"changed finding duplicate_external_address {DOUBLE}" in ran.output
    ran = play("audit", {**compared, "kubeovn_audit_fail_on_change": True})
    assert ran.status == 2
    assert "differences from before" in ran.output


@pytest.fixture
def attached(live: Live) -> Iterator[dict[str, Any]]:
    """A pod with an EIP, and the version that OVN's pod tells: the variables that attach it."""
    eips = {"kubeovn_eips": [{"address": ADDRESS, "pod": POD}]}
    try:
        live.apply(pod(POD))
        runs(live, pods=(POD,))
        ran = play("attach_eips", eips)
        assert ran.status == 0, ran.output
        yield eips
    finally:
        _tell_version(live, "v1.14.10")
        play("release_eips", eips)
        live.kubectl("delete", "pod", POD, "-n", "default", "--ignore-not-found")


def _tell_version(live: Live, version: str) -> None:
    image = f"ovn-central=docker.io/kubeovn/kube-ovn:{version}"
    live.kubectl("set", "image", "-n", "kube-system", "pod/ovn-central-lab", image)


@pytest.mark.full
def test_around_an_upgrade_it_tells_what_that_has_broken_and_nothing_else(
    live: Live, attached: dict[str, Any], tmp_path: Path
) -> None:
    """What an upgrade does to a site: the controller starts anew, and the pods are of another version."""
    before: dict[str, Any] = {"kubeovn_audit_before": str(tmp_path / "before.json"), "kubeovn_audit_fail_on": "never"}
    before |= {"kubeovn_audit_fail_on_change": True, **NO_NODES}
    first = {"kubeovn_audit_snapshot": str(tmp_path / "before.json"), "kubeovn_audit_fail_on": "never"}
    ran = play("audit", {**first, **NO_NODES})
    assert ran.status == 0, ran.output
    ran = play("audit", before)
    assert ran.status == 0, ran.output
    assert "Kube-OVN was" not in ran.output

    restart_controller(live)
    eventually(live.policies, lambda found: not found, 120, "it takes all policies when it starts")
    _tell_version(live, "v1.15.0")
    ran = play("audit", before)
    assert ran.status == 2
    assert "Kube-OVN was v1.14.10, is v1.15.0" in ran.output
    told = re.findall(r"changed (\w+) (.*?): .* -> (gone|error)", ran.output)
    assert told == [("policy", ADDRESS, "gone"), ("finding", f"missing_reroute {ADDRESS}", "error")], ran.output
    assert "2 differences from before" in ran.output

    eventually(lambda: play("attach_eips", attached), lambda ran: ran.status == 0, 180, "the controller leads again")
    ran = play("audit", before)
    assert ran.status == 0, ran.output
    assert "Kube-OVN was v1.14.10, is v1.15.0" in ran.output
    assert "changed " not in ran.output.partition("TASK [What was found]")[2].partition("TASK")[0]


def test_a_link_that_is_down_is_told_since_the_nodes_are_asked(live: Live) -> None:
    """Neither the API nor OVN shows it."""
    node = "jah-k3s-h100-002"
    live.lab.run("node", node, "--", "ip", "link", "set", "enp8s0", "down")
    try:
        ran = play("audit", {"kubeovn_audit_fail_on": "never"})
    finally:
        live.lab.run("node", node, "--", "ip", "link", "set", "enp8s0", "up")
    assert ran.status == 0, ran.output
    assert f"external_link_down: enp8s0 on {node} has no link" in ran.output
    assert "not looked at" not in ran.output
    assert ran.changed == 0


@pytest.mark.usefixtures("live")
def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    ran = play("audit", {"kubeovn_audit_before": str(tmp_path / "nothing.json"), **NO_NODES})
    assert ran.status == 2
    assert "kubeovn_audit_before: there is no file" in ran.output
    metrics = tmp_path / "kubeovn.prom"
    nowhere = {"host": "https://127.0.0.1:1", "api_key": "none"}
    files = {
        "kubeovn_audit_metrics": str(metrics),
        "kubeovn_connection": nowhere,
        "kubeovn_audit_metrics_name": "berlin",
        **NO_NODES,
    }
    ran = play("audit", files, env={"K8S_AUTH_KUBECONFIG": ""})
    assert ran.status == 2
    assert "https://127.0.0.1:1" in ran.output
    samples = parse(metrics.read_text())
    assert samples["kubeovn_audit_success", frozenset({("cluster", "berlin")})] == 0
    assert {name for name, _labels in samples} == {"kubeovn_audit_success", "kubeovn_audit_timestamp_seconds"}
