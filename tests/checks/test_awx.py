# SPDX-License-Identifier: GPL-3.0-or-later
"""AWX as data: fields that infra.aap_configuration documents, no dangling name, surveys as argument specs have them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible import BIN
from support.awx import AWX, SURVEYS, controller, written
from support.commands import TOP, run

FIELDS = yaml.safe_load((TOP / "tests" / "support" / "awx_fields.yml").read_text())
RULE = re.compile(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=(HOURLY|DAILY|WEEKLY|MONTHLY);[A-Z0-9=;,]+")
KINDS = [name for name in FIELDS if name.startswith("controller_")]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return controller()


def parts(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each thing with the kind of fields that it has."""
    for kind in KINDS:
        for one in data[kind]:
            yield kind, one
            for node in one.get("simplified_workflow_nodes", []):
                yield "nodes", node
                if "approval_node" in node:
                    yield "approvals", node["approval_node"]
            for question in one.get("survey_spec", {}).get("spec", []):
                yield "questions", question


def names(data: Mapping[str, Any], *kinds: str) -> set[str]:
    return {one["name"] for kind in kinds for one in data[kind]}


def test_every_field_is_a_documented_one(data: dict[str, Any]) -> None:
    assert sorted(name for name in data if name.startswith("controller_")) == sorted(KINDS)
    wrong = [
        f"{kind} {one}: unknown {sorted(set(one) - set(FIELDS[kind]['known']))}, "
        f"missing {sorted(set(FIELDS[kind]['required']) - set(one))}"
        for kind, one in parts(data)
        if set(one) - set(FIELDS[kind]["known"]) or set(FIELDS[kind]["required"]) - set(one)
    ]
    assert not wrong


def test_names_are_unique_and_lead_somewhere(data: dict[str, Any]) -> None:
    for kind in KINDS:
        assert len(names(data, kind)) == len(data[kind]), kind
    for template in data["controller_templates"]:
        assert (TOP / template["playbook"]).is_file(), template["playbook"]
        assert template["project"] in names(data, "controller_projects")
        assert template["inventory"] in names(data, "controller_inventories")
        assert template["execution_environment"] in names(data, "controller_execution_environments")
    for source in data["controller_inventory_sources"]:
        assert (TOP / source["source_path"]).exists()
        assert source["inventory"] in names(data, "controller_inventories")
        assert source["source_project"] in names(data, "controller_projects")
    for schedule in data["controller_schedules"]:
        assert schedule["unified_job_template"] in names(data, "controller_templates", "controller_workflows")
        assert RULE.fullmatch(schedule["rrule"]), schedule["rrule"]


def test_workflows_go_from_node_to_node(data: dict[str, Any]) -> None:
    for workflow in data["controller_workflows"]:
        nodes = {node["identifier"]: node for node in workflow["simplified_workflow_nodes"]}
        assert len(nodes) == len(workflow["simplified_workflow_nodes"])
        followed = {name for node in nodes.values() for name in node.get("success_nodes", [])}
        assert followed == set(nodes) - {workflow["simplified_workflow_nodes"][0]["identifier"]}
        for node in nodes.values():
            assert ("approval_node" in node) != ("unified_job_template" in node)
            template = node.get("unified_job_template")
            assert template is None or template in names(data, "controller_templates")


def test_surveys_are_what_the_argument_specs_say(data: dict[str, Any]) -> None:
    assert SURVEYS.read_text() == written(), "run tests/tools/surveys"
    for kind, question in parts(data):
        if kind == "questions":
            assert question["type"] in FIELDS["question_types"]
            assert re.fullmatch(r"[a-z][a-z0-9_]*", question["variable"])
            assert bool(question["choices"]) == question["type"].startswith("multi")


def test_a_workflow_asks_for_all_that_its_templates_need(data: dict[str, Any]) -> None:
    templates = {one["name"]: one for one in data["controller_templates"]}
    [workflow] = [one for one in data["controller_workflows"] if one.get("survey_enabled")]
    asked = {question["variable"] for question in workflow["survey_spec"]["spec"]}
    for node in workflow["simplified_workflow_nodes"]:
        spec = templates[node["unified_job_template"]]["survey_spec"]["spec"]
        needed = {question["variable"] for question in spec if question["required"]}
        assert needed <= asked, node["identifier"]


@pytest.mark.parametrize("cluster", ["east", "west"])
def test_a_slice_of_the_example_of_two_clusters_knows_all_gateways(cluster: str) -> None:
    """By name, one by one: in a slice of a job a group has only the slice's hosts."""
    folder = TOP / "inventories" / "two-clusters"
    groups = yaml.safe_load((folder / "hosts.yml").read_text())["all"]["children"]["gateway_nodes"]["children"]
    said = yaml.safe_load((folder / "group_vars" / f"{cluster}_site.yml").read_text())
    assert said["kubeovn_gateway_nodes"] == list(groups[f"{cluster}_gateways"]["hosts"])


def test_every_template_is_run_by_a_test(data: dict[str, Any]) -> None:
    text = (TOP / "tests" / "integration" / "test_awx.py").read_text()
    run_by_workflows = {
        node.get("unified_job_template")
        for workflow in data["controller_workflows"]
        if f'"{workflow["name"]}"' in text
        for node in workflow["simplified_workflow_nodes"]
    }
    assert not {name for name in names(data, "controller_templates") - run_by_workflows if f'"{name}"' not in text}


def test_the_credential_is_found_by_the_modules(data: dict[str, Any]) -> None:
    [kind] = data["controller_credential_types"]
    fields = {field["id"] for field in kind["inputs"]["fields"]}
    used = set(re.findall(r"{{ (\w+)", str(kind["injectors"]))) - {"tower"}
    assert used == fields
    assert {field["id"] for field in kind["inputs"]["fields"] if field.get("secret")} == {"kubeconfig"}


def test_the_execution_environment_is_one_that_ansible_builder_takes(tmp_path: Path) -> None:
    version = yaml.safe_load((TOP / "galaxy.yml").read_text())["version"]
    tarball = tmp_path / f"kubeovn-core-{version}.tar.gz"
    tarball.write_text("")
    shutil.copy(TOP / "execution-environment.yml", tmp_path)
    run([BIN / "ansible-builder", "create", "--context", tmp_path / "context"], cwd=tmp_path)
    wanted = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())["collections"]
    assert wanted[0] == {"name": f"collections/{tarball.name}", "type": "file"}
    assert (tmp_path / "context" / "_build" / "collections" / tarball.name).is_file()


def test_an_answer_that_is_left_empty_is_the_default(tmp_path: Path) -> None:
    """AWX hands it on as empty text: of a number that would be 0, no limit, and of a yes a no."""
    defaults = {"pruned_at_most": 100, "rotation_batch": 10, "returned_timeout": 120, "maintained_timeout": 600}
    expected: dict[str, Any] = {**defaults, "maintained_reboot": True, "released_keep_claims": False}
    expected |= {"rotation_max_disruption": "any", "drained_max_disruption": "brief"}
    given: dict[str, str] = {}
    for path in (AWX / "playbooks").glob("*.yml"):
        for play in yaml.safe_load(path.read_text()):
            given |= {
                name: text
                for text in play.get("vars", {}).values()
                for name in expected
                if isinstance(text, str) and re.search(rf"\b{name}\b", text)
            }
    assert given.keys() == expected.keys()

    def told(**answers: Any) -> dict[str, Any]:
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {f"x_{name}": text for name, text in given.items()},
        }
        results = "{" + ", ".join(f"'{name}': x_{name}" for name in given) + "}"
        copy = {"content": "{{ " + results + " | to_json }}", "dest": str(tmp_path / "told.json")}
        play["tasks"] = [{"ansible.builtin.copy": copy}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        run([BIN / "ansible-playbook", tmp_path / "play.yml", f"-e{json.dumps(answers)}"], cwd=tmp_path)
        return dict(json.loads((tmp_path / "told.json").read_text()))

    assert told() == expected
    assert told(**dict.fromkeys(given, "")) == expected
    others = {"pruned_at_most": 0, "rotation_batch": 0, "maintained_reboot": False}
    assert told(**others) == expected | others
    assert told(**{name: str(value).lower() for name, value in others.items()}) == expected | others


def test_playbooks_are_for_templates_only(data: dict[str, Any]) -> None:
    files = {str(path.relative_to(TOP)) for path in (AWX / "playbooks").glob("*.yml")}
    assert files == {one["playbook"] for one in data["controller_templates"] if one["playbook"].startswith("awx/")}
