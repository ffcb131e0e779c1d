# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell around modules, run as processes: results, failures, and what must not be seen in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils import _module
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster
from ansible_collections.kubeovn.core.plugins.module_utils._model import Plan, Problem, Step
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, Failure, outcome, refuse

SECRET = "very-secret-token"  # noqa: S105  # nobody's

# A module of three lines whose work fails, or succeeds, as its arguments say.
SCRIPT = """
from ansible_collections.kubeovn.core.plugins.module_utils import _module
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import ClusterError
from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError

def work(module, cluster):
    match module.params["do"]:
        case "succeed":
            return {"changed": False, "cluster": cluster.host, "context": "one", "params": module.params}
        case "refuse":
            _module.refuse([Problem("nodes[2]", "no such node", "see kubectl"), Problem("nic", "bad")])
        case "cluster":
            raise ClusterError("nobody there", 0, "look")
        case "ovn":
            raise OvsdbError("no database", path="nb_endpoint", hint="look")

_module.run(work, argument_spec=_module.ARGUMENTS | {"do": {"type": "str", "default": "succeed"}})
"""
KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "one",
    "clusters": [{"name": "one", "cluster": {"server": "https://one:6443"}}],
    "users": [{"name": "one", "user": {"token": SECRET}}],
    "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
}


def run(tmp_path: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """The module's result, and all that it printed."""
    script, arguments = tmp_path / "script.py", tmp_path / "arguments.json"
    script.write_text(SCRIPT)
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"kubeconfig": KUBECONFIG, **options}}))
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, script, arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.stdout + done.stderr


def test_an_inline_kubeconfig_hides_its_secrets_and_nothing_else(tmp_path: Path) -> None:
    result, printed = run(tmp_path)
    assert result["cluster"] == "https://one:6443"
    assert result["context"] == "one"
    assert SECRET not in printed


def test_a_kubeconfigs_path_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    result, printed = run(tmp_path, kubeconfig=str(path))
    assert result["params"]["kubeconfig"] == str(path)
    assert SECRET not in printed


def test_a_refusal_names_all_problems(tmp_path: Path) -> None:
    result, _printed = run(tmp_path, do="refuse")
    assert result["failed"]
    assert result["msg"] == "nothing was changed: nodes[2]: no such node (see kubectl); nic: bad"
    assert result["problems"] == [
        {"path": "nodes[2]", "text": "no such node", "hint": "see kubectl"},
        {"path": "nic", "text": "bad", "hint": ""},
    ]
    assert result["cluster"] == "https://one:6443"


@pytest.mark.parametrize(("what", "text"), [("cluster", "nobody there (look)"), ("ovn", "no database (look)")])
def test_a_foreseen_error_is_one_message_and_no_traceback(tmp_path: Path, what: str, text: str) -> None:
    result, printed = run(tmp_path, do=what)
    assert result["failed"]
    assert result["msg"] == text
    assert result["cluster"] == "https://one:6443"
    assert "Traceback" not in printed


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    result, printed = run(tmp_path, kubeconfig="/nothing/there")
    assert result["failed"]
    assert "/nothing/there cannot be used" in result["msg"]
    assert "Traceback" not in printed


def test_the_result_of_a_plan() -> None:
    class Somewhere(Cluster):
        def __init__(self) -> None:
            self.host = "https://one:6443"

    plan = Plan((Step("label", "label a", "nobody", {"labels": {}}),), {"a": 1}, {"a": 2})
    assert outcome(Somewhere(), plan, active_node="a") == {
        "changed": True,
        "cluster": "https://one:6443",
        "plan": [{"action": "label", "text": "label a", "interrupts": "nobody", "disruption": "brief"}],
        "diff": {"before": {"a": 1}, "after": {"a": 2}},
        "active_node": "a",
    }
    assert outcome(Somewhere(), Plan())["changed"] is False


def test_no_problems_are_no_refusal() -> None:
    refuse([])
    with pytest.raises(Failure):
        refuse([Problem("a", "b")])


@pytest.mark.parametrize(("fragment", "arguments"), [("auth", _module.AUTH_ARGUMENTS), ("ovn", _module.OVN_ARGUMENTS)])
def test_documented_options_are_those_taken(fragment: str, arguments: dict[str, Any]) -> None:
    folder = Path(_module.__file__).parents[1] / "doc_fragments"
    text = (folder / f"{fragment}.py").read_text().split('r"""')[1].split('"""')[0]
    documented = yaml.safe_load(text)["options"]
    assert set(documented) == set(arguments)
    for name, option in documented.items():
        assert option["type"] == arguments[name]["type"], name
        assert option.get("aliases", []) == arguments[name].get("aliases", []), name
        assert option.get("default") == arguments[name].get("default"), name


def test_secret_options_are_never_logged() -> None:
    assert all(ARGUMENTS[name]["no_log"] for name in ("kubeconfig", "api_key", "password"))
