# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules and playbooks run as users run them: by Ansible, from the installed collection."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from support.commands import TOP, VENV
from support.documented import faults

BIN = VENV / "bin"
OURS = "kubeovn.core."
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def module(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    host: str = "localhost",
) -> dict[str, Any]:
    """The result of one module, of an ad-hoc task; `failed` is true in it when it failed.

    Whatever a module of this collection returns must be as it documents it.
    """
    argv = [str(BIN / "ansible"), host, "-m", name, *arguments]
    if options:
        argv += ["-a", json.dumps(options)]
    if check:
        argv += ["--check", "--diff"]
    done = subprocess.run(
        argv,
        cwd=TOP,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    # HOST | SUCCESS => {...}   after what --diff prints
    before, arrow, answer = done.stdout.partition("=> {")
    if not arrow:
        raise AssertionError(f"{name} gave no result:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.JSONDecoder().raw_decode("{" + answer)[0]
    result.setdefault("failed", "FAILED" in before)
    wrong = faults(name.removeprefix(OURS), options or {}, result) if name.startswith(OURS) else []
    assert not wrong, f"{name} documents it otherwise: {'; '.join(wrong)}"
    return result


def recap(output: str) -> dict[str, dict[str, int]]:
    """What a playbook's recap says: host -> ok, changed, unreachable, failed."""
    names = ("ok", "changed", "unreachable", "failed")
    return {host: dict(zip(names, map(int, counts), strict=True)) for host, *counts in RECAP.findall(output)}
