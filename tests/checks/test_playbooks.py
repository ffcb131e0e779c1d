# SPDX-License-Identifier: GPL-3.0-or-later
"""Each playbook's variables are specified, documented, and really used, under one name everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from support.commands import TOP

PLAYBOOKS = TOP / "playbooks"
SPECS: dict[str, dict[str, Any]] = yaml.safe_load((PLAYBOOKS / "vars" / "arguments.yml").read_text())[
    "playbook_arguments"
]
README = (PLAYBOOKS / "README.md").read_text()
NAMES = sorted(path.stem for path in PLAYBOOKS.glob("*.yml"))


def own(name: str) -> set[str]:
    """The options that are a playbook's own."""
    prefixes = tuple(SPECS[name].get("prefixes", [f"{name}_"]))
    return {option for option in SPECS[name]["options"] if option.startswith(prefixes)}


def texts(name: str) -> str:
    """The playbook with everything that it may include."""
    parts = [PLAYBOOKS / f"{name}.yml", *(PLAYBOOKS / "tasks").glob("*.yml"), *(PLAYBOOKS / "vars").glob("*.yml")]
    return "\n".join(path.read_text() for path in parts if path.name != "arguments.yml")


@pytest.mark.parametrize("name", SPECS)
def test_each_option_is_documented_and_used(name: str) -> None:
    used = texts(name)
    assert [option for option in SPECS[name]["options"] if f"`{option}`" not in README] == []
    assert [option for option in own(name) if not re.search(rf"\b{option}\b", used)] == []


@pytest.mark.parametrize("name", SPECS)
def test_each_default_is_the_one_that_is_used(name: str) -> None:
    """What a playbook falls back to is what its specification says."""
    wrong: list[str] = []
    for option in own(name):
        said = SPECS[name]["options"][option].get("default")
        found = re.findall(rf"\b{option} \| default\(([^,)]*)", texts(name))
        wrong += [
            f"{option}: {text}, specified {said!r}"
            for text in found
            if said is not None and yaml.safe_load(text) != said
        ]
    assert wrong == []


@pytest.mark.parametrize("name", SPECS)
def test_each_specification_is_one(name: str) -> None:
    """Ansible itself takes it."""
    options = {option: {"type": spec["type"]} for option, spec in SPECS[name]["options"].items()}
    result = ArgumentSpecValidator(options).validate({})
    assert result.error_messages == []
    keys = {key for spec in SPECS[name]["options"].values() for key in spec}
    assert keys <= {"description", "type", "elements", "choices", "default", "required"}


@pytest.mark.parametrize("name", NAMES)
def test_each_playbook_is_listed_and_checks_its_variables(name: str) -> None:
    assert f"`kubeovn.core.{name}`" in README
    text = (PLAYBOOKS / f"{name}.yml").read_text()
    if name in SPECS:
        assert f"playbook_name: {name}" in text
        assert "tasks/arguments.yml" in text


@pytest.mark.parametrize("name", NAMES)
def test_the_clusters_plays_run_on_the_pattern(name: str) -> None:
    """No play names localhost, so that each can run over several clusters."""
    plays = yaml.safe_load(Path(PLAYBOOKS / f"{name}.yml").read_text())
    hosts = {play["hosts"] for play in plays if "hosts" in play}
    pattern = "{{ kubeovn_clusters | default('kubeovn_clusters' if 'kubeovn_clusters' in groups else 'localhost') }}"
    assert hosts <= {"gateway_nodes", pattern}


# --- Molecule

ACT_EACH_TIME = {"failover_test", "rolling_maintenance"}  # that is what they are for


def seen_by_play_tool(value: Any) -> Iterator[tuple[str, str]]:
    """How tests/molecule/play.py is called in a scenario: flag and playbook."""
    if isinstance(value, list):
        if value[:1] == ["{{ play_tool }}"] and "--stand" not in value:
            yield (value[1], value[2]) if value[1].startswith("--") else ("", value[1])
        for entry in value:
            yield from seen_by_play_tool(entry)
    elif isinstance(value, dict):
        if {"flag", "playbook"} <= value.keys():
            yield value["flag"], value["playbook"]
        if "ansible.builtin.import_playbook" in value:
            yield "", value["ansible.builtin.import_playbook"].removeprefix("kubeovn.core.")
        for entry in value.values():
            yield from seen_by_play_tool(entry)


def test_each_playbook_runs_in_a_scenario_once_more_and_in_check_mode_with_nothing_written() -> None:
    files = (TOP / "molecule").rglob("*.yml")
    calls = {call for path in files for call in seen_by_play_tool(yaml.safe_load(path.read_text()))}
    runs = {name for flag, name in calls if not flag or flag == "--idle"}
    assert sorted(runs & set(NAMES)) == NAMES
    assert {name for flag, name in calls if flag == "--idle"} >= set(NAMES) - ACT_EACH_TIME
    assert {name for flag, name in calls if flag == "--check"} >= set(NAMES)
