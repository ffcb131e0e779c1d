# SPDX-License-Identifier: GPL-3.0-or-later
"""Many runs of a module at once, each an interpreter of its own as on as many control nodes; without Ansible's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# It says when all is imported, and begins when it has read its arguments: so all of a fleet begin together.
PROGRAM = """
import importlib, sys
module = importlib.import_module("ansible_collections.kubeovn.core.plugins.modules." + sys.argv.pop())
print("ready", flush=True)
module.main()
"""


class Process:
    """A module's process. It is loaded when it is made, and begins with `go`."""

    def __init__(self, module: str, options: Mapping[str, Any], check: bool = False) -> None:
        self._arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check}}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, module],
            env={**os.environ, "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def loaded(self) -> None:
        """Wait until it is."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(f"the module could not be loaded:\n{self._process.stderr.read()}")

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._arguments))
        self._process.stdin.close()
        self._process.stdin = None  # it is told all, so `communicate` has nothing to add

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def result(self, timeout: float = 600) -> dict[str, Any]:
        """What it says in the end, as Ansible would have it: `failed` is there always."""
        output, errors = self._process.communicate(timeout=timeout)
        answers = [line for line in output.splitlines() if line.startswith("{")]
        if not answers:
            raise AssertionError(f"the module gave no result:\n{output}{errors}")
        result: dict[str, Any] = json.loads(answers[-1])
        return {"failed": False, **result}

    def kill(self) -> None:
        """SIGKILL, and none of it is left."""
        self._process.kill()
        self._process.communicate()


def fleet(module: str, options: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The results of as many processes as there are options, which all begin at the same moment."""
    processes: list[Process] = []
    try:
        processes.extend(Process(module, each) for each in options)
        for process in processes:
            process.loaded()
        for process in processes:
            process.go()
        return [process.result() for process in processes]
    finally:
        for process in processes:
            if not process.ended:
                process.kill()


def alone(module: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one."""
    return fleet(module, [options])[0]
