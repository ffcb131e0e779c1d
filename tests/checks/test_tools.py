# SPDX-License-Identifier: GPL-3.0-or-later
"""Every linter and style checker, one test each, so that `make lint` and `make test` report them alike."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.commands import TOP, VENV, run

BIN = VENV / "bin"


def tracked(*patterns: str) -> list[str]:
    """The checkout's files that match, new ones included, ignored ones not."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(argv, cwd=TOP, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in names if (TOP / name).is_file()]


def python_sources() -> list[str]:
    """Python files, programs without a suffix included."""
    programs = [name for name in tracked() if not Path(name).suffix and _first_line(name).rstrip().endswith("python3")]
    return tracked("*.py") + programs


def _first_line(name: str) -> str:
    with (TOP / name).open("rb") as file:
        return file.readline(200).decode(errors="replace")


@pytest.fixture(scope="module")
def source() -> Path:
    """A folder whose ansible_collections/kubeovn/core is the checkout, as imports see it."""
    tool = TOP / "tests" / "tools" / "collection"
    printed = subprocess.run([tool, "--source"], check=True, capture_output=True, text=True).stdout
    return Path(printed.strip()) / "ansible_collections" / "kubeovn" / "core"


def test_ruff_format() -> None:
    run([BIN / "ruff", "format", "--check", "--diff", *python_sources()])


def test_ruff() -> None:
    run([BIN / "ruff", "check", "--output-format=concise", *python_sources()])


def test_mypy(source: Path) -> None:
    root = source.parents[2]
    names = [name for name in tracked("plugins/*.py", "tests/*.py") if not name.startswith("tests/lab/image/")]
    bases = [root, source / "tests", source / "tests" / "lab"]
    run(
        [BIN / "mypy", "--config-file", TOP / "pyproject.toml", *(source / name for name in names)],
        cwd=root,
        env={"MYPYPATH": os.pathsep.join(map(str, bases))},
    )


def test_yamllint() -> None:
    run([BIN / "yamllint", "--strict", *tracked("*.yml", "*.yaml")])


def test_shellcheck() -> None:
    scripts = [
        name for name in tracked() if _first_line(name).startswith("#!") and _first_line(name).rstrip().endswith("sh")
    ]
    assert scripts
    run([BIN / "shellcheck", "--external-sources", *scripts])


def test_ansible_lint(collections_path: str) -> None:
    run([BIN / "ansible-lint", "-v"], env={"ANSIBLE_COLLECTIONS_PATH": collections_path, "NO_COLOR": "1"})


def test_antsibull_docs(collections_path: str) -> None:
    installed = Path(collections_path) / "ansible_collections" / "kubeovn" / "core"
    checks = ["--plugin-docs", "--validate-collection-refs=all"]
    run(
        [BIN / "antsibull-docs", "lint-collection-docs", *checks, installed],
        env={"ANSIBLE_COLLECTIONS_PATH": collections_path, "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"},
    )


def test_the_plugins_documentation_is_rendered(tmp_path: Path) -> None:
    """`make docs`: a page for each plugin and role, with what its options are."""
    run([TOP / "tests" / "tools" / "docs", tmp_path], timeout=600)
    pages = {path.stem: path.read_text() for path in (tmp_path / "html").rglob("*.html")}
    wanted = {f"{path.stem}_module" for path in (TOP / "plugins" / "modules").glob("ovn_*.py")}
    wanted |= {f"{path.stem}_filter" for path in (TOP / "plugins" / "filter").glob("*.yml")}
    wanted |= {f"{path.name}_role" for path in (TOP / "roles").iterdir()} | {"kubeovn_eip_inventory", "index"}
    assert wanted <= pages.keys(), sorted(wanted - pages.keys())
    assert "max_disruption" in pages["ovn_external_gw_module"]
    assert "vm_eip_wait_timeout" in pages["vm_eip_role"]


def test_changelog() -> None:
    run([BIN / "antsibull-changelog", "lint"])
