# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation on the lab: each command and each task of it is run as it stands, in a folder like a reader's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.ansible import module, recap
from support.commands import TOP
from support.eip_lab import ROUTED
from support.examples import Example, documented
from support.guides import ELSEWHERE, MARK, Desk, holders, is_long, page_of, plays, scripts, uses_eips
from support.lab import LAB, Lab
from support.live import Live, eventually

SCRIPTS, PLAYS = list(scripts()), plays()
EVERYBODY = {
    "fip": [
        {"vm": "testing"},
        {"vm": "testing-2"},
        {"vm": "web-1", "namespace": "shop"},
        {"vm": "web-2", "namespace": "shop"},
        {"pod": "probe", "namespace": "tools"},
    ],
    "snat": [{"deployment": "crawler", "namespace": "shop"}],
}
COUNT = sum(map(len, EVERYBODY.values()))


def cases(examples: list[Example]) -> list[Any]:
    """One test each."""
    marks = [[pytest.mark.full] if is_long(one) else [] for one in examples]
    names = [f"{one.where} {one.text.split(' -e ')[0][:60].strip()!r}" for one in examples]
    return [pytest.param(one, marks=mark, id=name) for one, mark, name in zip(examples, marks, names, strict=True)]


@pytest.fixture(scope="module")
def live(lab: Lab) -> Live:
    return Live(lab)


@pytest.fixture(scope="module")
def desk(live: Live) -> Iterator[Desk]:
    """The reader's folder, and the site that README's commands make, with everybody that the guides speak of."""
    with TemporaryDirectory(prefix="guide-") as folder:
        desk = Desk(Path(folder))
        desk.make(LAB)
        try:
            live.apply(*holders())
            everybody(live)
            desk.run("ansible-playbook -i my-site kubeovn.core.site")
            yield desk
        finally:
            release(live)
            live.kubectl("delete", "vm", "testing", "testing-2", "-n", "default", "--ignore-not-found", "--wait=true")
            live.kubectl("delete", "namespace", "shop", "tools", "--ignore-not-found", "--wait=true")
            module("kubeovn.core.ovn_eip", {"state": "pruned"})


def everybody(live: Live) -> None:
    """Wait until all have their network."""

    def routed() -> int:
        pods = json.loads(live.kubectl("get", "pods", "-A", "-l", MARK, "-o", "json"))["items"]
        found = [one for one in pods if one["status"].get("phase") == "Running"]
        return sum((one["metadata"].get("annotations") or {}).get(ROUTED) == "true" for one in found)

    eventually(routed, lambda count: count == COUNT, 180, "everybody runs")


def release(live: Live) -> None:
    """Nobody has an EIP."""
    if live.kubectl("get", "leases", "-n", "kubeovn-core", "-o", "name").strip():
        for kind, those in EVERYBODY.items():
            result = module("kubeovn.core.ovn_eip", {"eips": those, "state": "absent", "kind": kind})
            assert not result["failed"], result["msg"]


def test_every_example_is_run_by_a_test() -> None:
    """What is not run here is named, with the test that does; and there is nothing else."""
    sources = {page_of(one) for one in documented()}
    assert sources >= ELSEWHERE.keys()
    assert [name for name in ELSEWHERE.values() if not (TOP / name).is_file()] == []
    assert len(SCRIPTS) > 15
    assert len(PLAYS) > 15


@pytest.mark.parametrize("script", cases(SCRIPTS))
def test_commands(desk: Desk, script: Example) -> None:
    try:
        said = desk.script(script)
    finally:
        if is_long(script):
            desk.run("ansible-playbook -i my-site kubeovn.core.site")
    assert "[WARNING]: Could not match supplied host pattern" not in said
    for counts in recap(said).values():
        assert (counts["failed"], counts["unreachable"]) == (0, 0)
    for line in script.text.replace("\\\n", "").splitlines():
        if line.startswith("ansible-playbook"):
            assert recap(said), said


@pytest.mark.parametrize("play", cases(PLAYS))
def test_tasks(desk: Desk, live: Live, play: Example) -> None:
    if uses_eips(play):
        release(live)
    try:
        said = desk.play(play)
    finally:
        if is_long(play):
            desk.run("ansible-playbook -i my-site kubeovn.core.site")
    assert recap(said), said
    for counts in recap(said).values():
        assert counts["ok"] > 0
        assert (counts["failed"], counts["unreachable"]) == (0, 0)


def test_each_inventory_of_the_plugins_examples(desk: Desk) -> None:
    [text] = [one.text for one in documented() if one.where == "plugins/inventory/kubeovn_eip.py"]
    desk.run("cp home/.kube/config east.kubeconfig; ansible-playbook -i my-site kubeovn.core.attach_eips")
    names = []
    for number, document in enumerate(text.split("---\n")):
        (desk.folder / f"{number}.kubeovn_eip.yml").write_text(document)
        told = json.loads(desk.run('ansible-inventory -i "$1" --list 2> /dev/null', f"{number}.kubeovn_eip.yml"))
        names += [host for host in told["_meta"]["hostvars"] if "testing" in host]
    assert names == ["default-testing", "default-testing", "default-testing-east"]
