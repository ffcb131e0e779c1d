# SPDX-License-Identifier: GPL-3.0-or-later
"""What pages tell to type that needs no lab: targets of make, installing the collection, loading AWX's data."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import yaml
from support.awx import controller
from support.commands import TOP, VENV, run
from support.examples import Example, blocks, pages

MAKE = re.compile(r"(?:^|`|&& )make ([a-z][a-z-]*)(?=$|`| *&&)", re.MULTILINE)
DISPATCH = "infra.aap_configuration.dispatch"
# In the place of AWX's own role, which needs an AWX: keeps what that role would read.
KEEPS = """\
- ansible.builtin.copy:
    content: "{{ dict(names | zip(query('ansible.builtin.vars', *names))) | to_json }}"
    dest: "{{ lookup('ansible.builtin.env', 'KEPT') }}"
    mode: "0600"
  vars:
    names: "{{ query('ansible.builtin.varnames', '^controller_') }}"
"""


def block(page: str, start: str) -> Example:
    """The one block of a page that begins so."""
    [found] = [one for one in blocks(page) if one.text.startswith(start)]
    return found


def told(text: str) -> list[str]:
    """The targets of make that a text names."""
    return MAKE.findall(text)


def test_the_page_of_versions_tells_those_that_are_run() -> None:
    """What is pinned for the tests stands there as run, and not an older one."""
    page = (TOP / "docs" / "compatibility.md").read_text()
    pins = dict(line.split("==") for line in (TOP / "requirements-dev.txt").read_text().split() if "==" in line)
    told = [f"`{name}` {pins[name]}" for name in ("kubernetes", "netaddr", "jmespath")]
    told += [f"`ansible` {pins['ansible']}", pins["ansible-core"].rpartition(".")[0]]
    builds = {
        "kube-ovn": "github.com/kubeovn/kube-ovn",
        "kubernetes": "k8s.io/kubernetes",
        "kubevirt": "kubevirt.io/kubevirt",
    }
    for folder, module in builds.items():
        text = (TOP / "tests" / "lab" / "builds" / folder / "go.mod").read_text()
        told.append(" ".join(re.findall(rf"^(?:require )?\s*{module} v([0-9.]+)$", text, re.MULTILINE)))
    assert [version for version in told if not version or f"{version}" not in page] == []


def test_each_target_of_make_that_a_page_names_is_one() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = {page: told("\n".join(line.strip() for line in (TOP / page).read_text().splitlines())) for page in pages()}
    assert set(named["README.md"]) == {"demo", "lab-down"}
    assert named["docs/awx.md"] == ["build"]
    assert {name for those in named.values() for name in those} <= targets


def test_readme_installs_the_collection_as_it_stands(tmp_path: Path) -> None:
    """From a clone, beside the collections and packages that this one needs, so that nothing is fetched."""
    text = block("README.md", "git clone").text
    assert (text.count("<this repository>"), text.count("<it>")) == (1, 1)
    text = text.replace("<this repository>", f"--quiet --no-hardlinks {TOP} core").replace("<it>", "core")
    packages = next((VENV / "lib").glob("python3*")) / "site-packages"
    env = {
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": f"{tmp_path / 'collections'}:{packages}",
        "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:1",
        "PIP_NO_INDEX": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    run(["bash", "-euc", text], cwd=tmp_path, env=env)
    version = yaml.safe_load((TOP / "galaxy.yml").read_text())["version"]
    manifest = tmp_path / "collections" / "ansible_collections" / "kubeovn" / "core" / "MANIFEST.json"
    assert json.loads(manifest.read_text())["collection_info"]["version"] == version

    # An execution environment gets the same.
    [file] = re.findall(r"pip install -r (\S+)", text)
    needs = yaml.safe_load((TOP / "meta" / "execution-environment.yml").read_text())["dependencies"]
    assert needs["python"] == file


def test_the_play_that_loads_awx_hands_all_its_data_over(tmp_path: Path) -> None:
    """As it stands in the guide, to a role of that name which keeps what it is given."""
    text = block("docs/awx.md", "- hosts:").text
    assert DISPATCH in text
    namespace, collection, role = DISPATCH.split(".")
    tasks = tmp_path / "ansible_collections" / namespace / collection / "roles" / role / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(KEEPS)
    (tmp_path / "awx").symlink_to(TOP / "awx")
    (tmp_path / "play.yml").write_text(text)
    env = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "KEPT": str(tmp_path / "kept.json")}
    argv = [VENV / "bin" / "ansible-playbook", tmp_path / "play.yml"]
    expected = {name: value for name, value in controller().items() if name.startswith("controller_")}
    assert len(expected) > 5

    # The credentials are of a type of ours, and all else names them.
    [first] = re.findall(r"`ansible-playbook load.yml ([^`]+)`", (TOP / "docs" / "awx.md").read_text())
    run([*argv, *first.split()], cwd=tmp_path, env=env)
    kind = "controller_credential_types"
    assert json.loads((tmp_path / "kept.json").read_text()) == {kind: expected[kind]}

    run(argv, cwd=tmp_path, env=env)
    assert json.loads((tmp_path / "kept.json").read_text()) == expected
