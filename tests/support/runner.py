# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of AWX's templates, run by ansible-runner from a folder as AWX makes it: see build_* in awx/main/tasks/jobs.py.

Project and inventory lie in that folder, the project read-only; the collection is installed as in an execution
environment; there is no home directory; credentials come as environment variables, and nothing else of the caller's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml

from support.ansible import BIN, recap
from support.commands import TOP

# A mount namespace of its own in which nobody, not even root, can write to the project.
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
PROJECT = ("awx", "examples")  # what of the repository the templates' playbooks are in
TIMEOUT = 900


@dataclass(frozen=True)
class Job:
    """How a job ended."""

    status: str
    output: str
    artifacts: Mapping[str, Any]  # what set_stats hands on in a workflow

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        return sum(counts["changed"] for counts in recap(self.output).values())


@dataclass
class Awx:
    """What AWX would know: templates, an inventory, and which variables its credentials inject."""

    folder: Path
    templates: Mapping[str, Mapping[str, Any]]
    inventory: Mapping[str, Any]
    injected: Mapping[str, str]
    sockets: Path  # short, since the name of a socket may have about 100 characters
    common: Mapping[str, Any] = field(default_factory=dict)  # extra variables that are given at each launch
    own: Mapping[str, str] = field(default_factory=dict)  # files of the project beside those of this repository
    jobs: int = 0

    def start(
        self,
        name: str,
        answers: Mapping[str, Any],
        inventory: Mapping[str, Any] | None = None,
        handed_on: Mapping[str, Any] | None = None,
    ) -> tuple[Path, subprocess.Popen[str]]:
        """Launch a template with answers to its survey, which has to ask for each of them.

        handed_on: artifacts of a workflow's nodes before, over which the workflow's answers take precedence.
        """
        template = self.templates[name]
        asked = {question["variable"] for question in template.get("survey_spec", {}).get("spec", [])}
        assert set(answers) <= asked, f"{name} does not ask for {set(answers) - asked}"
        self.jobs += 1
        private = self.folder / f"job{self.jobs}"
        extra = {**template.get("extra_vars", {}), **self.common, **(handed_on or {}), **answers}
        _write(private, inventory or self.inventory, extra, self._environment(private))
        for path, text in self.own.items():
            (private / "project" / path).write_text(text)
        switches = ["--check"] if template["job_type"] == "check" else []
        switches += ["--diff"] if template.get("diff_mode") else []
        runner = [str(BIN / "ansible-runner"), "run", str(private), "-p", template["playbook"], "-i", "1"]
        # One word, since argparse would take a switch that stands alone for an option of its own.
        runner += [f"--cmdline={' '.join(switches)}"] if switches else []
        argv = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh", str(private / "project"), *runner]
        pipe, both = subprocess.PIPE, subprocess.STDOUT
        env = {"PATH": os.environ["PATH"], "HOME": str(private / "tmp")}
        return private, subprocess.Popen(argv, env=env, stdout=pipe, stderr=both, stdin=subprocess.DEVNULL, text=True)

    def run(
        self,
        name: str,
        inventory: Mapping[str, Any] | None = None,
        handed_on: Mapping[str, Any] | None = None,
        **answers: Any,
    ) -> Job:
        """Launch, and wait for the end."""
        return finished(*self.start(name, answers, inventory, handed_on))

    def _environment(self, private: Path) -> dict[str, str]:
        return {
            **self.injected,
            "HOME": "/dev/null/none",
            "ANSIBLE_HOME": str(private / "tmp" / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(private / "tmp" / "local"),
            "ANSIBLE_REMOTE_TMP": str(private / "tmp" / "remote"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets),
            "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_NOCOLOR": "1",
        }


def finished(private: Path, process: subprocess.Popen[str]) -> Job:
    """Wait for a job's end."""
    output, _none = process.communicate(timeout=TIMEOUT)
    results = private / "artifacts" / "1"
    status = (results / "status").read_text() if (results / "status").is_file() else f"no status: {output}"
    events = [json.loads(path.read_text()) for path in (results / "job_events").glob("*.json")]
    stats = [event["event_data"].get("artifact_data", {}) for event in events if event["event"] == "playbook_on_stats"]
    return Job(status, output, stats[0] if stats else {})


def slices(inventory: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The inventory that each slice of a job gets: every count-th of the hosts, sorted, with all groups."""
    every = sorted(inventory["_meta"]["hostvars"])
    return [_only(inventory, set(every[number::count])) for number in range(count)]


def _only(inventory: Mapping[str, Any], hosts: set[str]) -> dict[str, Any]:
    cut = {
        name: {**group, "hosts": [host for host in group.get("hosts", []) if host in hosts]}
        for name, group in inventory.items()
        if name != "_meta"
    }
    kept = {host: values for host, values in inventory["_meta"]["hostvars"].items() if host in hosts}
    return {**cut, "_meta": {"hostvars": kept}}


def injected(kind: Mapping[str, Any], inputs: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment variables that a credential of this type injects, its file written."""
    files = {}
    for name, template in kind["injectors"]["file"].items():
        path = folder / name
        path.write_text(jinja2.Template(template).render(inputs))
        path.chmod(0o600)
        files[name.removeprefix("template.")] = str(path)
    variables = {**inputs, "tower": {"filename": files}}
    return {key: jinja2.Template(value).render(variables) for key, value in kind["injectors"]["env"].items()}


def _write(private: Path, inventory: Mapping[str, Any], extra: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """The folder with project, inventory script, extra variables and environment."""
    for name in ("env", "inventory", "project", "tmp"):
        (private / name).mkdir(parents=True)
    for name in PROJECT:
        shutil.copytree(TOP / name, private / "project" / name)
    script = private / "inventory" / "hosts"
    script.write_text(f"#!/usr/bin/env python3\nprint({json.dumps(inventory)!r})\n")
    script.chmod(0o700)
    (private / "env" / "extravars").write_text(yaml.safe_dump(dict(extra)))
    (private / "env" / "envvars").write_text(yaml.safe_dump(dict(env)))
