# SPDX-License-Identifier: GPL-3.0-or-later
"""Each playbook's variables are specified, documented, and really used, under one name everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from support.commands import TOP, VENV, run
from support.examples import tasks

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
    assert name in SPECS
    text = (PLAYBOOKS / f"{name}.yml").read_text()
    assert f"playbook_name: {name}" in text
    assert "tasks/arguments.yml" in text


AWX = sorted((TOP / "awx" / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("path", [*(PLAYBOOKS / f"{name}.yml" for name in NAMES), *AWX], ids=lambda path: path.stem)
def test_the_clusters_plays_run_on_the_pattern(path: Path) -> None:
    """No play names localhost, so that each can run over several clusters."""
    plays = yaml.safe_load(path.read_text())
    hosts = {play["hosts"] for play in plays if "hosts" in play}
    pattern = "{{ kubeovn_clusters | default('kubeovn_clusters' if 'kubeovn_clusters' in groups else 'localhost') }}"
    assert hosts <= {"gateway_nodes", "kubeovn_vms", pattern}


# --- what roles are told counts for the playbooks that look at what they made


def options_of(path: Path, module: str) -> list[dict[str, Any]]:
    """What a file's tasks give to a module."""
    found = yaml.safe_load(path.read_text())
    return [dict(task.get(f"kubeovn.core.{module}") or {}) for task in tasks(found) if f"kubeovn.core.{module}" in task]


def test_adopt_plans_with_all_that_site_would_give_to_the_gateway() -> None:
    role = options_of(TOP / "roles" / "external_gateway" / "tasks" / "main.yml", "ovn_external_gw")[-1]
    [planned] = options_of(PLAYBOOKS / "tasks" / "adopt.yml", "ovn_external_gw")
    for_a_run = {"state", "max_disruption", "force", "wait_timeout"}
    assert {key for key in role if key not in planned} <= for_a_run | {"may_leave"}
    derived = yaml.safe_load((PLAYBOOKS / "vars" / "cluster.yml").read_text())
    texts = {key: re.sub(r"\bcluster_\w+", lambda name: derived[name[0]], text) for key, text in planned.items()}
    wrong = [key for key, text in texts.items() if key != "node_evidence" and "external_gateway_" not in text]
    assert wrong == []


def test_the_hosts_eips_are_attached_with_all_that_the_role_would_give() -> None:
    [role] = options_of(TOP / "roles" / "vm_eip" / "tasks" / "main.yml", "ovn_eip")
    [given] = options_of(TOP / "awx" / "playbooks" / "eips_of_hosts.yml", "ovn_eip")
    for_others = {"state", "rotate", "rotation", "batch", "stop_on_failure"}  # of a release and of a rotation
    assert role.keys() - given.keys() == for_others
    assert [key for key, text in given.items() if key != "eips" and f"vm_eip_{key}" not in text] == []


def test_the_gateways_role_looks_for_claims_where_the_other_role_keeps_them() -> None:
    defaults = yaml.safe_load((TOP / "roles" / "external_gateway" / "defaults" / "main.yml").read_text())
    assert defaults["external_gateway_claims_namespace"] == "{{ vm_eip_claims_namespace | default('kubeovn-core') }}"
    [planned] = options_of(PLAYBOOKS / "tasks" / "adopt.yml", "ovn_external_gw")
    assert "vm_eip_claims_namespace" in planned["claims_namespace"]


def test_what_a_playbook_leaves_under_the_collections_name_is_documented() -> None:
    """Internal ones have names of their own; those of the proof are what its other plays read."""
    kept = re.compile(r"register: (kubeovn_\w+)|set_fact:\n\s+(kubeovn_\w+):")
    left = {a or b for path in PLAYBOOKS.rglob("*.yml") for a, b in kept.findall(path.read_text())}
    internal = set(SPECS["proof"]["provides"])
    assert {"kubeovn_pruned", "kubeovn_proof", "kubeovn_audit"} <= left
    assert [name for name in sorted(left - internal) if f"`{name}`" not in README] == []


LOOKS = {
    "audit.yml": 2,
    "report.yml": 2,
    "tasks/failover_refuse.yml": 1,
    "tasks/adopt.yml": 1,
    "tasks/proof_gather.yml": 1,
    "prune.yml": 1,
}


@pytest.mark.parametrize(("file", "namespaces"), LOOKS.items())
def test_claims_are_looked_for_where_the_role_keeps_them(file: str, namespaces: int) -> None:
    module = "ovn_eip" if file in {"tasks/adopt.yml", "prune.yml"} else "ovn_nat_info"
    looks = options_of(PLAYBOOKS / file, module)
    assert looks
    for options in looks:
        assert "vm_eip_claims_namespace" in options.get("claims_namespace", "")
        kept = options.get("configmap_namespace", "")
        assert (namespaces == 1) or "external_gateway_configmap_namespace" in kept


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


@pytest.fixture
def derived(collections_path: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the playbooks' files of variables make of an inventory's."""

    def derive(names: list[str], machines: Mapping[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
        files = [
            str(PLAYBOOKS / "vars" / f"{name}.yml")
            for name in ("cluster", "gateways", "probe", "failover_test", "report")
        ]
        copy = {
            "content": "{{ dict(names | zip(names | map('extract', vars))) | to_json }}",
            "dest": str(tmp_path / "told.json"),
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": files,
            "tasks": [{"ansible.builtin.copy": copy}],
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        hosts = {"localhost": LOCAL | variables}
        gateways: dict[str, Any] = {"hosts": {"a": {}, "b": {}}}
        inventory = {
            "all": {"hosts": hosts, "children": {"gateway_nodes": gateways, "kubeovn_vms": {"hosts": machines or {}}}}
        }
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        argv = [VENV / "bin" / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
        argv += [f"-e{json.dumps({'names': names})}"]
        run(argv, cwd=tmp_path, env={"ANSIBLE_COLLECTIONS_PATH": collections_path})
        return dict(json.loads((tmp_path / "told.json").read_text()))

    return derive


SITE = {
    "kubeovn_gateway_nic": "none0",
    "kubeovn_gateway_address": "10.4.19.1/24",
    "kubeovn_gateway_nic_ip": "10.4.19.254/24",
}


def test_what_the_gateways_role_is_told_counts_for_all_playbooks(derived: Callable[..., dict[str, Any]]) -> None:
    plain = {
        "gateway_nodes_asked": ["a", "b"],
        "external_gateway_nodes": ["a", "b"],
        "probe_nodes": ["a", "b"],
        "probe_router": "10.4.19.254",
        "probe_physical_gateway": "10.4.19.1",
        "cluster_nic": "none0",
        "cluster_address": "10.4.19.1/24",
        "cluster_nic_ip": "10.4.19.254/24",
        "cluster_nic_mac": "",
        "failover_undo": {"ovn_controller": "systemctl start ovn-controller", "nic": "ip link set dev none0 up"},
    }
    assert derived(list(plain), **SITE) == plain
    told = {
        "external_gateway_nodes": ["b"],
        "external_gateway_nic": "other0",
        "external_gateway_address": "10.4.20.1/24",
        "external_gateway_nic_ip": "10.4.20.254/24",
        "external_gateway_nic_mac": "16:52:f3:13:6a:25",
    }
    assert derived(list(plain), **SITE, kubeovn_gateway_nodes=["a"], **told) == plain | {
        **{name: ["b"] for name in ("gateway_nodes_asked", "external_gateway_nodes", "probe_nodes")},
        "probe_router": "10.4.20.254",
        "probe_physical_gateway": "10.4.20.1",
        "cluster_nic": "other0",
        "cluster_address": "10.4.20.1/24",
        "cluster_nic_ip": "10.4.20.254/24",
        "cluster_nic_mac": "16:52:f3:13:6a:25",
        "failover_undo": {"ovn_controller": "systemctl start ovn-controller", "nic": "ip link set dev other0 up"},
    }


def test_the_eips_are_found_where_the_role_finds_them(derived: Callable[..., dict[str, Any]]) -> None:
    """Of this cluster's machines; a list counts before them, and what the role is told before that."""
    one, two, three = ({"vm": name, "address": f"10.4.19.{last}"} for name, last in (("a", 11), ("b", 12), ("c", 13)))
    machines = {"a": {"kubeovn_eip": one}, "b": {"kubeovn_eip": two, "kubeovn_cluster": "west"}, "c": {}}
    expected = {"cluster_eips": [one], "probe_addresses": ["10.4.19.11"]}
    assert derived(list(expected), machines, **SITE) == expected
    assert derived(["cluster_eips"], machines, **SITE, kubeovn_eips=[two]) == {"cluster_eips": [two]}
    assert derived(["cluster_eips"], machines, **SITE, kubeovn_eips=[]) == {"cluster_eips": []}
    told = derived(["cluster_eips"], machines, **SITE, kubeovn_eips=[two], vm_eip_eips=[three])
    assert told == {"cluster_eips": [three]}
    assert derived(["cluster_eips"], **SITE) == {"cluster_eips": []}


def test_no_playbook_goes_by_the_inventory_alone_where_the_role_may_be_told_another() -> None:
    """A derived variable is the one place; plays on nodes, which have no such file, say both names."""
    alone = re.compile(r"(?<!default\()\bkubeovn_gateway_(?:nic|address|nic_ip|nic_mac|nodes)\b")
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in PLAYBOOKS.rglob("*.yml")
        if path.name != "arguments.yml"
        for line in path.read_text().splitlines()
        if alone.search(line.partition("# ")[0])
    ]
    assert wrong == []


def test_text_with_commas_is_the_list_that_the_argument_check_takes_it_for(
    derived: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """`-e name=a,b` gives text, which passes that check."""
    texts = {
        "kubeovn_gateway_nodes": "b, a",
        "failover_test_ways": "drain,nic",
        "failover_test_addresses": "10.4.19.254,10.4.19.101",
        "kubeovn_report_failover": f"{tmp_path}/one.json,{tmp_path}/two.json",
    }
    names = ["gateway_nodes_asked", "probe_nodes", "failover_ways", "failover_addresses", "report_failover_files"]
    assert list(derived(names, **SITE, **texts).values()) == [
        ["b", "a"],
        ["b", "a"],
        ["drain", "nic"],
        ["10.4.19.254", "10.4.19.101"],
        [f"{tmp_path}/one.json", f"{tmp_path}/two.json"],
    ]
    lists = {
        option
        for name in NAMES
        for option, spec in SPECS[name]["options"].items()
        if spec["type"] == "list" and spec["elements"] != "dict"
    }
    source = "\n".join(path.read_text() for path in PLAYBOOKS.rglob("*.yml") if path.name != "arguments.yml")
    for option in sorted(lists):
        uses = re.findall(rf"{{{{[^}}]*\b{option}\b[^}}]*}}}}", source)
        assert uses
        assert [use for use in uses if "| flatten" not in use or "map('split', ',')" not in use] == [], option


# --- what is refused before anything is done: of two clusters, neither of which can be reached

CLUSTERS = {"all": {"children": {"kubeovn_clusters": {"hosts": {"east": {}, "west": {}}, "vars": LOCAL}}}}


@pytest.fixture
def said(collections_path: str, tmp_path: Path) -> Callable[..., str]:
    """What a playbook says that fails."""
    inventory = tmp_path / "clusters.yml"

    def run_it(name: str, hosts: Mapping[str, Any] = CLUSTERS, **variables: Any) -> str:
        inventory.write_text(yaml.safe_dump(hosts))
        argv = [
            VENV / "bin" / "ansible-playbook",
            "-i",
            inventory,
            f"kubeovn.core.{name}",
            f"-e{json.dumps(variables)}",
        ]
        nowhere = {"K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "none", "ANSIBLE_NOCOLOR": "1"}
        env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections_path, "K8S_AUTH_KUBECONFIG": "", **nowhere}
        done = subprocess.run(list(map(str, argv)), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        return re.sub(r"\s+", " ", done.stdout + done.stderr)

    return run_it


def test_misspelt_variables_and_one_file_of_two_clusters_are_refused(said: Callable[..., str], tmp_path: Path) -> None:
    told = said("audit", kubeovn_audit_metric="x", kubeovn_audit_snapshot=str(tmp_path / "seen.json"))
    assert "kubeovn_audit_metric: playbook kubeovn.core.audit has no such variable" in told
    assert f"kubeovn_audit_snapshot=localhost:{tmp_path}/seen.json: several clusters would write this file" in told
    assert "does not answer" not in told


def test_a_wrong_value_is_refused(said: Callable[..., str]) -> None:
    told = said("report", kubeovn_report_nodes="perhaps", kubeovn_report_file="{{ inventory_hostname }}.html")
    assert "kubeovn_report_nodes" in told
    assert "does not answer" not in told


def test_a_file_for_each_cluster_is_not_refused(said: Callable[..., str], tmp_path: Path) -> None:
    """So the clusters are asked."""
    files = str(tmp_path / "{{ inventory_hostname }}.json")
    told = said("audit", kubeovn_audit_snapshot=files, kubeovn_audit_metrics_host="{{ inventory_hostname }}")
    assert "would write this file" not in told
    assert told.count("https://127.0.0.1:1 does not answer") >= 2
    alone = said("report", kubeovn_clusters="east", kubeovn_report_file=str(tmp_path / "report.html"))
    assert "https://127.0.0.1:1 does not answer" in alone


@pytest.mark.parametrize(
    ("name", "misspelt"),
    [("site", "kubeovn_proof_prob"), ("teardown", "teardown_gatway"), ("proof", "kubeovn_proof_prob")],
)
def test_the_nodes_of_a_cluster_that_is_refused_are_left_alone(
    said: Callable[..., str], name: str, misspelt: str
) -> None:
    clusters = {"hosts": {"east": {}, "west": {misspelt: False}}, "vars": LOCAL}
    nodes = {"hosts": {f"{one}-node": {"kubeovn_cluster": one} for one in ("east", "west")}, "vars": LOCAL}
    told = said(name, {"all": {"children": {"kubeovn_clusters": clusters, "gateway_nodes": nodes}}}, **SITE)
    assert f"{misspelt}: playbook kubeovn.core.{name} has no such variable" in told
    assert "[east-node" in told
    looked = re.findall(r"(?:ok|changed|fatal): \[(\w+-node)", told)
    assert set(looked) == {"east-node"}


def test_the_gateway_of_a_cluster_that_still_has_its_eips_stays(said: Callable[..., str]) -> None:
    eips = {"kubeovn_eips": [{"vm": "testing", "address": "10.4.19.101"}]}
    clusters = {"hosts": {"east": {"teardown_eips": False}, "west": eips}, "vars": LOCAL}
    nodes = {"hosts": {f"{one}-node": {"kubeovn_cluster": one} for one in ("east", "west")}, "vars": LOCAL}
    told = said("teardown", {"all": {"children": {"kubeovn_clusters": clusters, "gateway_nodes": nodes}}}, **SITE)
    assert set(re.findall(r"(?:ok|changed|fatal): \[(\w+-node)", told)) == {"east-node"}


def test_a_maintenance_of_what_is_no_gateway_is_refused_before_the_first_of_them(said: Callable[..., str]) -> None:
    named = {"kubeovn_gateway_nodes": ["a", "b"], "rolling_maintenance_nodes": ["a", "c"]}
    told = said("rolling_maintenance", **named, **SITE, rolling_maintenance_tasks="/no/such/file.yml")
    lost = "rolling_maintenance_tasks: /no/such/file.yml is no file here"
    assert f"rolling_maintenance_nodes: c: no gateway; those are a, b; {lost}. Nothing was changed." in told
    assert "does not answer" not in told


def test_gateways_can_be_named_in_one_text(said: Callable[..., str]) -> None:
    told = said("rolling_maintenance", kubeovn_gateway_nodes="a,b", rolling_maintenance_nodes="a, c", **SITE)
    assert "rolling_maintenance_nodes: c: no gateway; those are a, b." in told


@pytest.mark.parametrize("name", ["site", "teardown", "attach_eips"])
def test_a_wrong_eip_is_refused_before_anything_is_done(said: Callable[..., str], name: str) -> None:
    """Not after NICs and gateway; so is what role vm_eip cannot take."""
    told = said(name, **SITE, kubeovn_eips=[{"vm": "testing", "adress": "10.4.19.101"}], vm_eip_kind="strange")
    assert re.search(r"kubeovn_eips\.adress|adress.{0,40}found in kubeovn_eips", told)
    assert "got: strange" in told
    assert "does not answer" not in told
    assert "PLAY [External NIC" not in told


@pytest.mark.parametrize("name", ["attach_eips", "release_eips", "rotate_eips"])
def test_eips_that_nobody_names_are_refused(said: Callable[..., str], name: str) -> None:
    told = said(name, rotate_eips_rotation="one") if name == "rotate_eips" else said(name)
    assert f"{name}: give kubeovn_eips, a list" in told
    assert "does not answer" not in told


def test_the_role_goes_by_what_the_machines_of_its_cluster_say(said: Callable[..., str]) -> None:
    clusters = {"hosts": {"east": {}, "west": {}}, "vars": LOCAL}
    machine = {"kubeovn_cluster": "west", "kubeovn_eip": {"vm": "testing", "kind": "strange", "address": "10.4.19.101"}}
    told = said(
        "attach_eips",
        {"all": {"children": {"kubeovn_clusters": clusters, "kubeovn_vms": {"hosts": {"testing": machine}}}}},
    )
    assert "got: strange found in vm_eip_eips" in told
    failed = dict(re.findall(r"(east|west) : .*? failed=(\d)", told.partition("PLAY RECAP")[2]))
    assert failed == {"east": "0", "west": "1"}


def test_a_rotation_without_a_name_is_refused(said: Callable[..., str]) -> None:
    told = said("rotate_eips", kubeovn_eips=[{"vm": "testing", "pool": "10.4.19.101"}], rotate_eips_rotation="")
    assert "rotate_eips_rotation: it is empty" in told
    assert "does not answer" not in told


def test_a_failover_test_that_measures_nothing_is_refused(said: Callable[..., str]) -> None:
    told = said("failover_test", **SITE, failover_test_seconds=0)
    assert "failover_test_seconds: 0, failover_test_timeout: 300: both are seconds, 1 or more." in told
    assert "does not answer" not in told


def test_a_cluster_without_eips_has_none_to_rotate(said: Callable[..., str]) -> None:
    hosts = {"east": {"kubeovn_eips": []}, "west": {"kubeovn_eips": [{"vm": "testing", "pool": "10.4.19.101"}]}}
    clusters = {"all": {"children": {"kubeovn_clusters": {"hosts": hosts, "vars": LOCAL}}}}
    told = said("rotate_eips", clusters, rotate_eips_rotation="one")
    failed = dict(re.findall(r"(east|west) : .*? failed=(\d)", told.partition("PLAY RECAP")[2]))
    assert failed == {"east": "0", "west": "1"}


def test_a_gateway_that_is_out_of_reach_when_it_is_put_back_is_waited_for(tmp_path: Path) -> None:
    """Its own timer undoes it; the run goes on to what waits for that, and leaves the timer alone."""
    hosts = {"localhost": LOCAL, "gone": {"ansible_host": "127.0.0.1", "ansible_port": 1}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    include = {"ansible.builtin.include_tasks": str(PLAYBOOKS / "tasks" / "failover_on_node.yml")}
    after = {"ansible.builtin.debug": {"msg": "now it is waited for"}}
    variables = {
        "failover_test_node": "gone",
        "failover_way": "nic",
        "failover_undo": {"nic": "true"},
        "failover_down": False,
    }
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [include, after]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    told = run([VENV / "bin" / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"], cwd=tmp_path)
    assert "now it is waited for" in told
    assert re.search(r"Stop the node's own timer\] \*+\nskipping", told)


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
