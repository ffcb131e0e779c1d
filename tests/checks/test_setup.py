# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting up: a machine that cannot be served is told everything at once, and untouched; README's way works."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.commands import TOP, VENV, run

SETUP = TOP / "tests" / "tools" / "setup"


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of another machine, as far as the script asks for it: its commands come first in PATH."""
    answers = {
        "uname": "case $1 in -s) echo Darwin;; *) echo arm64;; esac",
        "id": "case $1 in -u) echo 1000;; *) echo someone;; esac",
        "df": "echo Avail; echo 2G",
        "apt-get": 'echo "apt-get $*" >>"$CALLS"',
    }
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in answers.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CALLS": str(calls),
    }


def test_everything_that_is_wrong_is_said_at_once(elsewhere: dict[str, str]) -> None:
    done = subprocess.run([SETUP, "lab"], env=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for said in ("This is Darwin; Linux is needed", "arm64 machine; x86-64", "You are someone", "Only 2 GiB are free"):
        assert said in done.stderr
    assert not Path(elsewhere["CALLS"]).read_text(), "apt-get was called"
    assert not list(Path(elsewhere["XDG_CACHE_HOME"]).rglob("venv-*"))


def test_a_second_time_there_is_nothing_to_do() -> None:
    done = subprocess.run([SETUP, "tools"], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.full
def test_the_readmes_installation(tmp_path: Path) -> None:
    """From a clone to a collection that ansible-doc knows; those that Galaxy has are in the `ansible` package."""
    [lines] = [part for part in (TOP / "README.md").read_text().split("\n\n") if "git clone" in part]
    commands = "\n".join(line.strip() for line in lines.splitlines())
    for told, here in (
        ("git clone <this repository> && cd <it>", f"git clone --quiet {TOP} it && cd it"),
        ("collection install", "collection install --no-deps --collections-path ../installed"),
    ):
        assert told in commands
        commands = commands.replace(told, here)
    shown = "ANSIBLE_COLLECTIONS_PATH=../installed ansible-doc kubeovn.core.ovn_eip"
    path = f"{VENV / 'bin'}:{os.environ['PATH']}"
    said = run(["bash", "-euc", f"{commands}\n{shown}"], cwd=tmp_path, env={"PATH": path}, tail=40)
    assert "was installed successfully" in said
    assert str(tmp_path / "installed") in said
