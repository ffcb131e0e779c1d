# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's runs as processes of their own, as on as many control nodes: one to be killed, or many at one moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

LOAD = 'importlib.import_module("ansible_collections.kubeovn.core.plugins.modules." + sys.argv.pop())'


class Process:
    """One process of a module, begun when it is made."""

    def __init__(self, module: str, options: Mapping[str, Any]) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by kill
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import importlib, sys; {LOAD}.main()", module],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(_arguments(options))
        self._process.stdin.close()

    @property
    def ended(self) -> bool:
        """Whether it has, by itself."""
        return self._process.poll() is not None

    def kill(self) -> str:
        """SIGKILL; what it had said until then."""
        self._process.kill()
        self._process.wait()
        with self._said:
            self._said.seek(0)
            return self._said.read()


# To import a module takes longer than most of its runs: it is done once, and each run is a fork of that, as real a
# process as any. A line for the folder of each run, then an empty line: all of them begin at the same moment.
NURSERY = f"""
import importlib, os, sys
module = {LOAD}
places = []
for line in sys.stdin:
    if line.strip():
        places.append(line.strip())
        continue
    barrier, start = os.pipe()
    for place in places:
        if not os.fork():
            os.close(start)
            os.read(barrier, 1)  # returns when the last of them has been started
            for number, name in enumerate(("arguments", "result", "errors")):
                os.dup2(os.open(place + "/" + name, os.O_RDWR | os.O_CREAT, 0o600), number)
            sys.exit(module.main())
    os.close(barrier)
    os.close(start)
    while places:
        os.wait()
        places.pop()
    print("done", flush=True)
"""
SETTINGS = ("ANSIBLE_", "K8S_", "KUBEOVN_")  # what a module reads of its environment


@lru_cache
def _nursery(module: str, _settings: tuple[tuple[str, str], ...]) -> subprocess.Popen[str]:
    """It ends with the tests: then its standard input does."""
    return subprocess.Popen(
        [sys.executable, "-c", NURSERY, module],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def fleet(module: str, options: Sequence[Mapping[str, Any]], timeout: float = 600) -> list[dict[str, Any]]:
    """The results of as many processes as there are options, which all begin at the same moment."""
    settings = sorted((key, value) for key, value in os.environ.items() if key.startswith(SETTINGS))
    nursery = _nursery(module, tuple(settings))
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(number)) for number in range(len(options))]
        for place, each in zip(places, options, strict=True):
            place.mkdir()
            (place / "arguments").write_text(_arguments(each))
        timer = threading.Timer(timeout, os.killpg, (nursery.pid, signal.SIGKILL))
        timer.start()
        try:
            nursery.stdin.write("".join(f"{place}\n" for place in places) + "\n")
            nursery.stdin.flush()
            assert nursery.stdout.readline() == "done\n", f"{module} could not be loaded, or did not end"
        finally:
            timer.cancel()
        return [_result((place / "result").read_text(), (place / "errors").read_text()) for place in places]


def alone(module: str, options: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
    """The result of one, in a fraction of the time that Ansible takes to begin it; check: as with --check --diff."""
    mode = {"_ansible_check_mode": True, "_ansible_diff": True} if check else {}
    return fleet(module, [{**options, **mode}])[0]


def _environment() -> dict[str, str]:
    """The collection as it is installed."""
    return {**os.environ, "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]}


def _arguments(options: Mapping[str, Any]) -> str:
    return json.dumps({"ANSIBLE_MODULE_ARGS": dict(options)})


def _result(output: str, errors: str) -> dict[str, Any]:
    """What a module says in the end, as Ansible would have it: `failed` and `changed` are there always."""
    answers = [line for line in output.splitlines() if line.startswith("{")]
    if not answers:
        raise AssertionError(f"the module gave no result:\n{output}{errors}")
    result: dict[str, Any] = json.loads(answers[-1])
    return {"failed": False, "changed": False, **result}
