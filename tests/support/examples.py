# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples out of the documentation, and the argument specs that they are held against: the modules' own."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from support.commands import TOP

OURS = "kubeovn.core."
SAMPLES: dict[str, Any] = {"bool": True, "int": 1, "float": 1.0, "list": [], "dict": {}}
OPTIONS_OF_RUN = {"mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by"}


@dataclass(frozen=True)
class Example:
    """A piece of YAML or a command, and where it stands."""

    where: str
    text: str


def modules() -> list[str]:
    """The collection's modules."""
    return sorted(path.stem for path in (TOP / "plugins" / "modules").glob("*.py"))


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a module really gives to AnsibleModule."""
    module = importlib.import_module(f"ansible_collections.kubeovn.core.plugins.modules.{name}")
    caught: dict[str, Any] = {}

    def catch(*_work: object, **options: Any) -> NoReturn:
        caught.update(options)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("ansible.module_utils.basic.AnsibleModule.__init__", catch)
        if hasattr(module, "run"):
            patch.setattr(module, "run", catch)
        with pytest.raises(SystemExit):
            module.main()
    return caught


def problems(spec: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """What a module would refuse of these options; a template stands for any value of its type."""
    arguments = dict(spec["argument_spec"])
    rules = {key: value for key, value in spec.items() if key in OPTIONS_OF_RUN}
    validator = ModuleArgumentSpecValidator(arguments, **rules)
    return list(validator.validate(_filled(options, arguments)).error_messages)


def _filled(value: Any, arguments: Mapping[str, Any]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _one(entry, _argument(key, arguments)) for key, entry in value.items()}


def _argument(key: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, argument in arguments.items():
        if key == name or key in argument.get("aliases", ()):
            return dict(argument)
    return {}


def _one(value: Any, argument: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and "{{" in value:
        return (argument.get("choices") or [SAMPLES.get(argument.get("type", "str"), "x")])[0]
    if isinstance(value, list):
        return [_filled(entry, argument.get("options") or {}) for entry in value]
    return _filled(value, argument.get("options") or {})


# --- where examples stand


def pages() -> list[str]:
    """The Markdown files of the collection, the lab's own left out."""
    found = [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), *TOP.glob("roles/*/README.md"), *TOP.glob("playbooks/**/*.md")]
    found += [*TOP.glob("examples/*.md"), *TOP.glob("inventories/**/*.md")]
    return sorted(str(path.relative_to(TOP)) for path in found)


def blocks(page: str) -> Iterator[Example]:
    """Each indented or fenced block of a page."""
    lines = (TOP / page).read_text().splitlines()
    block: list[str] = []
    fenced, began = False, 0
    for number, line in enumerate([*lines, "end"], 1):
        fence = line.strip().startswith("```")
        inside = fenced or (line.startswith("    ") and line.strip()) or (block and not line.strip())
        if inside and not fence:
            began = began if block else number
            block.append(line)
        elif block:
            yield Example(f"{page}:{began}", textwrap.dedent("\n".join(block)).strip() + "\n")
            block = []
        fenced ^= fence


def documented() -> list[Example]:
    """All YAML: pages, modules' EXAMPLES, plays of examples/."""
    found = [one for page in pages() for one in blocks(page) if one.text.startswith(("- ", "---"))]
    for path in sorted((TOP / "plugins").rglob("*.py")):
        text = _constant(path.read_text(), "EXAMPLES")
        if text:
            found.append(Example(str(path.relative_to(TOP)), text))
    found += [Example(str(path.relative_to(TOP)), path.read_text()) for path in sorted(TOP.glob("examples/*.yml"))]
    return found


def _constant(source: str, name: str) -> str:
    """A text that a source assigns to a name; empty without one."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == [name]:
                return str(node.value.value)
    return ""


def tasks(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping that may be a task, at any depth: of plays, blocks and handlers."""
    if isinstance(value, list):
        for entry in value:
            yield from tasks(entry)
    elif isinstance(value, dict):
        yield value
        for key in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always", "roles"):
            yield from tasks(value.get(key))


def calls(example: Example) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our modules in an example, with the options that it gives them."""
    try:
        documents = list(yaml.safe_load_all(example.text))
    except yaml.YAMLError as error:
        raise AssertionError(f"{example.where} is no YAML: {error}") from error
    for task in tasks(documents):
        for key, options in task.items():
            if key.startswith(OURS):
                yield key.removeprefix(OURS), options or {}


COMMAND = re.compile(r"^(ansible(?:-playbook|-doc|-inventory)? (?:'[^']*'|[^\n\\']|\\.|\\\n)*)", re.MULTILINE)
INLINE = re.compile(r"`(ansible(?:-playbook|-doc|-inventory)? [^`]*kubeovn[^`]*)`")


def commands() -> list[tuple[str, list[str]]]:
    """Every ansible, ansible-playbook and ansible-doc command of the pages, as words."""
    texts = [
        Example(one.where, found) for page in pages() for one in blocks(page) for found in COMMAND.findall(one.text)
    ]
    texts += [Example(page, found) for page in pages() for found in INLINE.findall((TOP / page).read_text())]
    return [(one.where, _words(one)) for one in texts]


def _words(command: Example) -> list[str]:
    try:
        return shlex.split(command.text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise AssertionError(f"{command.where}: {command.text}: {error}") from error


def extra_vars(words: list[str]) -> dict[str, Any]:
    """What a command's -e options set."""
    found: dict[str, Any] = {}
    for word, value in pairwise(words):
        if word in {"-e", "--extra-vars"}:
            if value.startswith("{"):
                found |= json.loads(value)
            else:
                found |= dict(part.split("=", 1) for part in value.split())
    return found
