# SPDX-License-Identifier: GPL-3.0-or-later
"""The oldest and the newest ansible-core that the collection promises and this Python can run."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest
from support.commands import TOP, Show, cache_folder, run
from support.lab import Lab
from support.live import Live, eventually

# ansible-core 2.20 needs Python 3.12; the pinned environment has 2.19.
VERSIONS = ["2.18", *(["2.20"] if sys.version_info >= (3, 12) else [])]


def environment(version: str) -> Path:
    """An environment with that ansible-core and what the modules import, made once."""
    folder = cache_folder() / f"ansible-{version}-python-{sys.version_info.minor}"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        requirements = ["-r", TOP / "requirements.txt", f"ansible-core~={version}.0"]
        run([folder / "bin" / "pip", "install", "--quiet", *requirements])
        (folder / "complete").touch()
    return folder / "bin"


@pytest.fixture
def vm(lab: Lab) -> Live:
    """The example site's VM, with its network."""
    live = Live(lab)
    live.kubectl("apply", "-f", str(TOP / "tests" / "lab" / "manifests" / "vm.yml"))
    eventually(lambda: live.launcher("testing"), bool, 120, "the VM's launcher pod")
    return live


@pytest.mark.full
@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize("version", VERSIONS)
def test_site_twice(version: str, show: Show) -> None:
    """The whole site under that version: it comes about, and a second run changes nothing."""
    programs = environment(version)
    argv = [programs / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], "kubeovn.core.site"]
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    assert f"[core {version}." in run([argv[0], "--version"], env=env)
    run(argv, env=env, show=lambda line: show(line) if line.startswith(("PLAY", "TASK", "fatal")) else None)
    again = run(argv, env=env)
    recap = again.partition("PLAY RECAP")[2].splitlines()[1:]
    assert [line for line in recap if "changed=" in line]
    assert not [line for line in recap if "changed=" in line and "changed=0 " not in line]
