# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that no linter knows: headers, the action group, what the tarball holds, no path of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import yaml
from support.commands import TOP

LICENCE = "SPDX-License-Identifier:"
COPYRIGHT = "Copyright (c) 2026, kubeovn.core contributors"
COMMENTED = {".py", ".yml", ".yaml", ".sh", ".toml", ".go"}
LONGEST = 450  # lines that are neither blank nor comment


def tracked() -> list[Path]:
    """The checkout's own files, new ones included, ignored ones and links not."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(argv, cwd=TOP, check=True, capture_output=True, text=True).stdout.splitlines()
    return [path for path in map(TOP.joinpath, names) if path.is_file() and not path.is_symlink()]


def is_source(path: Path) -> bool:
    """Whether people write this file and its kind knows comments."""
    if "builds" in path.parts and path.suffix != ".go":
        return False  # go.mod and go.sum are Go's
    if "changelogs" in path.parts:
        return False  # written and read by antsibull-changelog
    return path.suffix in COMMENTED or (not path.suffix and path.read_bytes()[:2] == b"#!")


SOURCES = sorted(path.relative_to(TOP) for path in tracked() if is_source(path))
MODULES = sorted(path.stem for path in (TOP / "plugins" / "modules").glob("*.py"))


def test_headers() -> None:
    """Each source file says under which licence it stands and, in its first lines, what it is for."""
    wrong = []
    for source in SOURCES:
        head = (TOP / source).read_text().splitlines()[:12]
        if not any(LICENCE in line for line in head):
            wrong.append(f"{source}: no SPDX line in its first lines")
        if not any(_says_something(line) for line in head):
            wrong.append(f"{source}: its first lines do not say what it is for")
    assert not wrong


def _says_something(line: str) -> bool:
    prose = re.sub(r'^\W+|"""', "", line)
    boilerplate = ("SPDX-", "Copyright", "GNU General", "!/", "usr/bin", "changelogs")
    comment = line.lstrip().startswith(("#", '"""', "'''", "//", ";", "{#", "short_description", "release_summary"))
    return comment and len(prose.split()) > 2 and not prose.startswith(boilerplate)


def test_plugin_headers() -> None:
    """What Ansible loads also has the long licence line, which ansible-test asks for, and a copyright."""
    needed = ("GNU General Public License v3.0+ (see ", COPYRIGHT)
    plugins = [source for source in SOURCES if source.parts[0] == "plugins"]
    heads = {source: "\n".join((TOP / source).read_text().splitlines()[:6]) for source in plugins}
    assert not [f"{source}: no {text!r}" for source, head in heads.items() for text in needed if text not in head]


def test_lengths() -> None:
    """Files that one can read in one go."""
    programs = [source for source in SOURCES if source.suffix in {".py", ".sh", ".go", ""}]
    sizes = {source: _size((TOP / source).read_text()) for source in programs}
    assert not {str(source): size for source, size in sizes.items() if size > LONGEST}


def _size(text: str) -> int:
    """Lines of code: a module's reference text, which ansible-doc shows, is none."""
    text = re.sub(r'^(DOCUMENTATION|EXAMPLES|RETURN) = r""".*?"""$', "", text, flags=re.DOTALL | re.MULTILINE)
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def test_action_group() -> None:
    """A module with the Kubernetes options is in the action group, has its action, and says so; the others are not."""
    runtime = yaml.safe_load((TOP / "meta" / "runtime.yml").read_text())
    group = runtime["action_groups"]["kubeovn"]
    assert group[0] == {"metadata": {"extend_group": ["kubernetes.core.k8s"]}}
    with_cluster = [name for name in MODULES if "kubeovn.core.auth" in _fragments(name)]
    assert sorted(group[1:]) == with_cluster
    actions = {path.stem for path in (TOP / "plugins" / "action").glob("*.py")}
    assert actions == set(with_cluster), "each finds and decrypts its kubeconfig by an action of its name"


def _fragments(module: str) -> list[str]:
    """The documentation fragments that a module names."""
    tree = ast.parse((TOP / "plugins" / "modules" / f"{module}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["DOCUMENTATION"]:
                fragments = yaml.safe_load(str(node.value.value)).get("extends_documentation_fragment", [])
                return [fragments] if isinstance(fragments, str) else list(fragments)
    raise AssertionError(f"{module} has no DOCUMENTATION")


def test_versions() -> None:
    """What a module or role says of the version that it came with is not later than the collection's own."""
    ours = _version(yaml.safe_load((TOP / "galaxy.yml").read_text())["version"])
    documents = [*(TOP / "plugins").rglob("*.py"), *(TOP / "roles").glob("*/meta/argument_specs.yml")]
    said = {path: re.findall(r"^ *version_added: (\S+)$", path.read_text(), re.MULTILINE) for path in documents}
    assert any(said.values())
    late = [f"{path}: {text}" for path, texts in said.items() for text in texts if _version(text) > ours]
    assert not late


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("\"'").split("."))


def test_roles() -> None:
    """Each role says what it is for and which options it has."""
    roles = [path for path in (TOP / "roles").iterdir() if path.is_dir()]
    needed = ("README.md", "meta/argument_specs.yml", "meta/main.yml", "defaults/main.yml", "tasks/main.yml")
    assert roles
    assert not [f"{role.name}/{name}" for role in roles for name in needed if not (role / name).is_file()]


def test_links() -> None:
    """Every relative link of the documentation leads to a file."""
    pages = [path for path in tracked() if path.suffix == ".md"]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())]
    local = [(page, link) for page, link in links if not link.startswith(("http://", "https://"))]
    assert local
    assert not [f"{page.relative_to(TOP)}: {link}" for page, link in local if not (page.parent / link).exists()]


def test_tarball(collections_path: str) -> None:
    """Users get plugins, roles, playbooks and docs, and nothing that only a checkout can run."""
    installed = Path(collections_path) / "ansible_collections" / "kubeovn" / "core"
    names = {path.name for path in installed.iterdir()}
    assert {"plugins", "roles", "playbooks", "docs", "meta", "README.md", "LICENSE", "requirements.txt"} <= names
    assert not names & {"tests", "molecule", "Makefile", ".venv", ".git", ".ci", ".config", "pyproject.toml"}
    assert not [path for path in installed.rglob("*") if path.name == "__pycache__" or path.name.endswith("_cache")]


def test_no_private_paths() -> None:
    """Nothing names a folder of the machine that it was written on."""
    private = re.compile(r"(?<![\w.~}])/(work|farm|root)/(?!\.)|/tmp/(lab|uml|team)")
    found = []
    for path in tracked():
        if path.suffix in {".sum", ".svg"} or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if private.search(line):
                found.append(f"{path.relative_to(TOP)}:{number}: {line.strip()[:120]}")
    assert not found


def test_each_guide_is_in_the_list_of_guides() -> None:
    text = (TOP / "docs" / "README.md").read_text()
    assert [
        path.name for path in (TOP / "docs").glob("*.md") if f"]({path.name})" not in text and path.stem != "README"
    ] == []
