# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys of AWX job templates, made from argument specs so that form and playbook cannot come to differ."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from support.ansible import BIN
from support.commands import TOP

AWX = TOP / "awx"
SURVEYS = AWX / "controller" / "surveys.yml"
HEAD = """\
---
# SPDX-License-Identifier: GPL-3.0-or-later
# Surveys of the job templates. Made by tests/tools/surveys from the argument specs of roles: change those, and run it.
"""
SPECS = TOP / "playbooks" / "vars" / "arguments.yml"
TYPES = {"int": "integer", "float": "float", "bool": "multiplechoice"}  # all else is asked for as text
LONGEST = 1024  # characters of a text that AWX takes
MARKUP = re.compile(r"\b[A-Z]\(([^)]*)\)")


@dataclass(frozen=True)
class Question:
    """One question: whose option it is about, and where the answer goes."""

    spec: str  # a role, a playbook, or an entry of awx/arguments.yml
    option: str  # with its suboption after a dot
    variable: str = ""
    required: bool | None = None  # None: as the option


EIP = "vm_eip", "vm_eip_eips."
VM = (Question(EIP[0], EIP[1] + "vm", "vm_name", True), Question(EIP[0], EIP[1] + "namespace", "vm_namespace"))
ADDRESS = Question(EIP[0], EIP[1] + "address", "vm_address")
WHICH = (ADDRESS, Question(EIP[0], EIP[1] + "pool", "vm_pool"))
CREATE = tuple(Question("vm_create", name) for name in ("vm_name", "vm_namespace", "vm_public_key"))
QUESTIONS: Mapping[str, tuple[str, tuple[Question, ...]]] = {
    "vm_create": ("The virtual machine", CREATE),
    "vm_of": ("Which virtual machine", VM),
    "eip_attach": ("An EIP for a virtual machine", (*VM, *WHICH)),
    "eip_verify": ("The EIP of a virtual machine", (*VM, Question(EIP[0], EIP[1] + "address", "vm_address", True))),
    "vm_with_eip": ("A virtual machine with an EIP", (*CREATE, *WHICH)),
    "audit": ("An audit", (Question("audit", "kubeovn_audit_fail_on"),)),
    "eips_rotate": (
        "A rotation",
        (
            Question("rotate_eips", "rotate_eips_rotation", "rotation_name", False),
            Question("rotate_eips", "rotate_eips_batch", "rotation_batch"),
            Question("rotate_eips", "rotate_eips_max_disruption", "rotation_max_disruption"),
        ),
    ),
    "eips_release": (
        "EIPs that are taken back",
        (Question("release_eips", "release_eips_keep_claims", "released_keep_claims"),),
    ),
    "prune": ("Leftovers", (Question("prune", "prune_at_most", "pruned_at_most"),)),
    "gateway_drain": (
        "Gateways before their maintenance",
        (
            Question("drain_gateway", "drain_gateway_nodes", "drained_gateways"),
            Question("drain_gateway", "drain_gateway_max_disruption", "drained_max_disruption"),
        ),
    ),
    "gateway_return": (
        "Gateways after their maintenance",
        (
            Question("return_gateway", "return_gateway_nodes", "returned_gateways"),
            Question("return_gateway", "return_gateway_timeout", "returned_timeout"),
        ),
    ),
    "gateways_maintain": (
        "A maintenance",
        tuple(
            Question("rolling_maintenance", f"rolling_maintenance_{option}", variable)
            for option, variable in {
                "nodes": "maintained_gateways",
                "tasks": "maintained_tasks",
                "reboot": "maintained_reboot",
                "timeout": "maintained_timeout",
            }.items()
        ),
    ),
    "failover_test": (
        "A failover test",
        tuple(Question("failover_test", f"failover_test_{option}") for option in ("ways", "seconds", "timeout")),
    ),
    "teardown": (
        "What is taken away",
        tuple(Question("teardown", f"teardown_{option}") for option in ("eips", "gateway", "nics")),
    ),
}


def option_of(question: Question) -> Mapping[str, Any]:
    """The option's specification."""
    role = TOP / "roles" / question.spec / "meta" / "argument_specs.yml"
    if role.is_file():
        found = _read(role)["argument_specs"]["main"]
    else:
        found = {**_read(SPECS)["playbook_arguments"], **_read(AWX / "arguments.yml")}[question.spec]
    for name in question.option.split("."):
        found = found["options"][name]
    return dict(found)


def item(question: Question) -> dict[str, Any]:
    """The question as AWX keeps it."""
    option = option_of(question)
    kind = _kind(option)
    choices = option.get("choices", ["true", "false"] if option["type"] == "bool" else [])
    name = question.option.rpartition(".")[2]
    return {
        "question_name": name.removeprefix(f"{question.spec}_").replace("_", " "),
        "question_description": _description(option, kind),
        "required": bool(option.get("required")) if question.required is None else question.required,
        "type": kind,
        "variable": question.variable or name,
        "default": _default(option.get("default", "")),
        "choices": "\n".join(choices),
        "min": 0,
        "max": LONGEST if kind == "text" else 2**31 - 1 if kind == "integer" else 0,
        "new_question": False,
    }


def _kind(option: Mapping[str, Any]) -> str:
    if "choices" in option:
        return "multiselect" if option["type"] == "list" else "multiplechoice"
    return TYPES.get(option["type"], "text")


def _description(option: Mapping[str, Any], kind: str) -> str:
    description = option["description"]
    text = MARKUP.sub(r"\1", " ".join(description) if isinstance(description, list) else description)
    return f"{text} With commas between them." if (option["type"], kind) == ("list", "text") else text


def _default(value: Any) -> Any:
    """As AWX keeps it: words, and one line for each choice that is made."""
    if isinstance(value, bool):
        return str(value).lower()
    return "\n".join(value) if isinstance(value, list) else value


def surveys() -> dict[str, Any]:
    """All surveys, by the names under which templates refer to them."""
    return {
        name: {"name": title, "description": "", "spec": [item(question) for question in questions]}
        for name, (title, questions) in QUESTIONS.items()
    }


class _Indented(yaml.SafeDumper):
    """YAML whose lists are indented, as yamllint asks for."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def written() -> str:
    """The file with all surveys."""
    tree = {"kubeovn_awx_surveys": surveys()}
    return HEAD + str(yaml.dump(tree, Dumper=_Indented, sort_keys=False, width=150, allow_unicode=True))


def controller() -> dict[str, Any]:
    """All variables of awx/controller, as a play has them that includes the folder and then runs the dispatch role."""
    names = "query('ansible.builtin.varnames', '^(controller|kubeovn_awx)_')"
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [
                {"ansible.builtin.include_vars": {"dir": str(AWX / "controller")}},
                {"ansible.builtin.debug": {"msg": f"{{{{ dict({names} | zip({names} | map('extract', vars))) }}}}"}},
            ],
        }
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "play.yml"
        path.write_text(yaml.safe_dump(play))
        env = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOCALHOST_WARNING": "false"}
        argv = [str(BIN / "ansible-playbook"), str(path)]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True)
    told: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][-1]["hosts"]["localhost"]["msg"]
    return told


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


if __name__ == "__main__":
    SURVEYS.write_text(written())
