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

BIN = VENV / "bin"
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def module(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The result of one module on the control node: an ad-hoc task; `failed` is true in it when it failed."""
    argv = [str(BIN / "ansible"), "localhost", "-m", name, *arguments]
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
    # localhost | SUCCESS => {...}   after what --diff prints
    before, arrow, answer = done.stdout.partition("=> {")
    if not arrow:
        raise AssertionError(f"{name} gave no result:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.JSONDecoder().raw_decode("{" + answer)[0]
    result.setdefault("failed", "FAILED" in before)
    return result


def recap(output: str) -> dict[str, dict[str, int]]:
    """What a playbook's recap says: host -> ok, changed, unreachable, failed."""
    names = ("ok", "changed", "unreachable", "failed")
    return {host: dict(zip(names, map(int, counts), strict=True)) for host, *counts in RECAP.findall(output)}
