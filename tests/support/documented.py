# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module has returned, held against its own RETURN: every key documented, of that type, and none missing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

MODULES = "ansible_collections.kubeovn.core.plugins.modules"
COMMON = frozenset({"changed", "failed", "msg", "diff", "warnings", "deprecations", "exception"})  # of any module
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": object,
}
DUE = ("always", "success", "when a plan could be made")  # with a success there was a plan
GIVEN = re.compile(r"when O\((\w+)\) is given")
BY_NAME = re.compile(r"\bby name\b")  # a mapping whose values are what is documented

Field = Mapping[str, Any]


def faults(module: str, options: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Where a result is other than documented. What a failure lacks is none."""
    fields: dict[str, Field] = yaml.safe_load(importlib.import_module(f"{MODULES}.{module}").RETURN)
    own = {key: value for key, value in result.items() if key in fields or not _is_ansibles(key, value)}
    due = set() if result.get("failed") else {key for key, field in fields.items() if _is_due(field, options)}
    return list(_object(fields, own, due, module))


def _is_ansibles(key: str, value: Any) -> bool:
    """Whether Ansible has added it: of a machine it found the Python."""
    return key in COMMON or (key == "ansible_facts" and set(value) == {"discovered_interpreter_python"})


def _is_due(field: Field, options: Mapping[str, Any]) -> bool:
    returned = str(field.get("returned") or "always")
    given = GIVEN.search(returned)
    return bool(options.get(given[1])) if given else returned.split(",")[0] in DUE


def _object(fields: Mapping[str, Field], value: Mapping[str, Any], due: set[str], path: str) -> Iterator[str]:
    for key in sorted(set(value) - set(fields)):
        yield f"{path}.{key} is not documented"
    for key in sorted(due - set(value)):
        yield f"{path}.{key} is missing"
    for key in sorted(set(value) & set(fields)):
        yield from _value(fields[key], value[key], f"{path}.{key}")


def _value(field: Field, value: Any, path: str) -> Iterator[str]:
    text = " ".join([field["description"]] if isinstance(field["description"], str) else field["description"])
    if value is None:
        if field["type"] != "raw" and not re.search(r"\bnull\b", text, re.IGNORECASE):
            yield f"{path} is null, which its description does not say"
    elif not _is_a(field["type"], value):
        yield f"{path} is {value!r}, not of type {field['type']}"
    elif field["type"] == "list":
        for number, item in enumerate(value):
            if not _is_a(field["elements"], item):
                yield f"{path}[{number}] is {item!r}, not of type {field['elements']}"
            else:
                yield from _contents(field, item, f"{path}[{number}]")
    elif field["type"] == "dict" and BY_NAME.search(text):
        for name, item in value.items():
            yield from _contents(field, item, f"{path}.{name}")
    else:
        yield from _contents(field, value, path)


def _contents(field: Field, value: Any, path: str) -> Iterator[str]:
    contains: Mapping[str, Field] | None = field.get("contains")
    if contains:
        due = {key for key, inner in contains.items() if str(inner.get("returned") or "always") in DUE}
        yield from _object(contains, value, due, path)


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "bool" or kind == "raw" or not isinstance(value, bool))
