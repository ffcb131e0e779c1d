# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Molecule scenario against the lab, one test each; the default one prepares and ends what they share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.commands import TOP, VENV, Show, run
from support.given_back import seen
from support.lab import Lab
from support.live import Live, eventually

SCENARIOS = sorted(path.parent.name for path in (TOP / "molecule").glob("*/molecule.yml"))
# They power machines off or boot them, which takes minutes: only in `make test-full`.
FULL = {"failover", "rolling"}
SHOWN = ("PLAY [", "TASK [", "INFO", "WARNING", "ERROR", "CRITICAL", "fatal:", "[ERROR]")


def molecule(show: Show, command: str, scenario: str, *options: str) -> None:
    """One Molecule command; the names of its plays and tasks are shown while they run."""
    run(
        [VENV / "bin" / "molecule", command, "--scenario-name", scenario, *options],
        env={"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        show=lambda line: show(line) if line.lstrip().startswith(SHOWN) else None,
        timeout=1200,
        tail=120,
    )


@pytest.fixture(scope="module")
def shared(show: Show, lab: Lab) -> Iterator[None]:
    """What all scenarios share: made before the first, ended after the last, when nothing of theirs may be left."""
    live = Live(lab)
    before = seen(live)
    molecule(show, "create", "default")
    yield
    molecule(show, "destroy", "default")
    nics = TOP / "molecule" / "shared" / "nics.yml"
    run([VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], nics])
    eventually(lambda: seen(live) - before, lambda left: not left, 60, "nothing is left of the scenarios' EIPs")
    port = live.nbctl("--bare", "--columns=name", "find", "logical_router_port", "name=ovn-cluster-external")
    assert port.strip() == ""
    assert live.get("configmap", "ovn-external-gw-config", "kube-system") is None
    assert live.get("vm", "testing") is None


def test_those_for_the_full_set_exist() -> None:
    """A scenario that was renamed must not slip into `make test`."""
    assert set(SCENARIOS) >= FULL


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=[pytest.mark.full] if name in FULL else []) for name in SCENARIOS if name != "default"],
)
@pytest.mark.usefixtures("shared")
def test_scenario(scenario: str, show: Show) -> None:
    # What scenarios share is ended once, by the fixture: else the whole site would be torn down after each of them.
    molecule(show, "test", scenario, "--destroy", "never")
