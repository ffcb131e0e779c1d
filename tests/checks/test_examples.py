# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documentation can be run as it stands: known modules, options, playbooks and variables.

That the examples do what they say is shown elsewhere: examples/ and what the guides tell run on the lab.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import TOP
from support.examples import OURS, Example, blocks, calls, commands, documented, extra_vars, modules, problems, spec_of

PLAYBOOKS = {path.stem for path in (TOP / "playbooks").glob("*.yml")}
PLUGINS = {path.stem for path in (TOP / "plugins").glob("*/*.py")}
ROLES = {path.name for path in (TOP / "roles").iterdir() if path.is_dir()}


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {name: spec_of(name, monkeypatch) for name in modules()}


def test_each_task_would_be_taken_by_its_module(specs: dict[str, Any]) -> None:
    wrong, used = [], set()
    for example in documented():
        for name, options in calls(example):
            if name not in specs:
                wrong.append(f"{example.where}: there is no module {name}")
                continue
            used.add(name)
            wrong += [f"{example.where}: {name}: {problem}" for problem in problems(specs[name], options)]
    assert not wrong
    assert used == set(modules()), "each module has an example"


def test_a_wrong_example_would_be_found(specs: dict[str, Any]) -> None:
    text = "- kubeovn.core.ovn_eip: {eips: [{adress: 10.4.19.101, vm: testing}], state: gone}\n"
    ((name, options),) = calls(Example("here", text))
    found = " ".join(problems(specs[name], options))
    assert "adress" in found
    assert "gone" in found


def test_blocks_are_found_in_both_forms(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n    - one:\n\n        two\n\ntext\n```yaml\n- three\n```\n")
    assert [one.text for one in blocks(str(page))] == ["- one:\n\n    two\n", "- three\n"]


def test_each_command_names_what_there_is(specs: dict[str, Any]) -> None:
    known, wrong = variables(), []
    found = commands()
    assert len(found) > 10
    for where, words in found:
        for word in words[1:]:
            name = word.removeprefix(OURS)
            if word.startswith(OURS) and name not in (PLAYBOOKS if words[0] == "ansible-playbook" else PLUGINS):
                wrong.append(f"{where}: there is no {word}")
        wrong += [f"{where}: nobody knows variable {name}" for name in extra_vars(words) if name not in known]
        if "-m" in words and "-a" in words:
            options = yaml.safe_load(words[words.index("-a") + 1])
            module = words[words.index("-m") + 1].removeprefix(OURS)
            wrong += [f"{where}: {problem}" for problem in problems(specs[module], options)]
    assert not wrong


def variables() -> set[str]:
    """Every variable that the playbooks' page or a role's argument spec knows."""
    known = set(re.findall(r"`([a-z][a-z0-9_]+)`", (TOP / "playbooks" / "README.md").read_text()))
    for role in ROLES:
        spec = yaml.safe_load((TOP / "roles" / role / "meta" / "argument_specs.yml").read_text())
        known |= set(spec["argument_specs"]["main"]["options"])
    return known


def test_the_example_inventory_sets_variables_that_there_are() -> None:
    known, wrong = variables(), []
    files = sorted((TOP / "inventories").rglob("group_vars/*.yml"))
    assert files
    for path in files:
        names = [*(yaml.safe_load(path.read_text()) or {}), *re.findall(r"^# (\w+): ", path.read_text(), re.MULTILINE)]
        wrong += [f"{path}: {name}" for name in names if name not in known and not name.startswith("ansible_")]
    assert not wrong


def test_each_playbook_and_each_of_its_variables_is_documented() -> None:
    text = (TOP / "playbooks" / "README.md").read_text()
    wrong = [f"playbooks/README.md has no {OURS}{name}" for name in PLAYBOOKS if f"`{OURS}{name}`" not in text]
    sources = {path.name: path.read_text() for path in sorted((TOP / "playbooks").rglob("*.yml"))}
    own = r"register: (\w+)|tasks/(\w+)\.yml"
    registered = {
        name for source in sources.values() for names in re.findall(own, source, re.MULTILINE) for name in names
    }
    for file, source in sources.items():
        used = set(re.findall(r"\b(?:kubeovn_(?:audit|report|proof)|failover_test)_[a-z_]+\b", source))
        wrong += [f"{file}: {name} is not documented" for name in sorted(used - registered) if name not in text]
    assert not wrong
