# SPDX-License-Identifier: GPL-3.0-or-later
"""Each row of what was observed of Kube-OVN is in the guide and has tests, of the kind by which it is known."""

from __future__ import annotations

import ast
import re
from functools import cache

from support.commands import TOP
from support.observed import OBSERVED, Row

GUIDE = "docs/kube-ovn.md"
FOLDERS = {"lab": "integration", "source": "unit", "bench": "bench"}
ROWS = [row for rows in OBSERVED.values() for row in rows]


@cache
def functions(name: str) -> frozenset[str]:
    """The functions of a file of tests that pytest runs."""
    path = TOP / "tests" / name
    body = ast.parse(path.read_text()).body if path.is_file() else []
    return frozenset(one.name for one in body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


@cache
def guide() -> dict[str, dict[str, str]]:
    """By heading and first column: what happens, says the guide."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in (TOP / GUIDE).read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| "):
            what, happens, here = (cell.strip() for cell in line.strip("|").split(" | "))
            assert here, f"{what}: {GUIDE} does not say what this collection does"
            found.setdefault(heading, {})[what] = happens
    return {heading: dict([*rows.items()][1:]) for heading, rows in found.items()}  # the first is the head


def missing(row: Row) -> list[str]:
    """What a row lacks."""
    lost = [one for one in row.tests if one.partition("::")[2] not in functions(one.partition("::")[0])]
    kinds = row.seen.split(", ")
    none = [kind for kind in kinds if not any(one.startswith(f"{FOLDERS[kind]}/") for one in row.tests)]
    return [f"{row.what}: no test {one}" for one in lost] + [
        f"{row.what}: known from {kind}, and no test in tests/{FOLDERS[kind]} holds it" for kind in none
    ]


def test_each_row_has_its_tests() -> None:
    assert len(ROWS) > 40
    assert [text for row in ROWS for text in missing(row)] == []


def test_a_row_without_its_tests_is_named() -> None:
    [row] = [row for row in ROWS if row.what == "lose its NAT rule"]
    unit, lab, _again = row.tests
    assert missing(row) == []
    assert missing(row._replace(tests=(lab,))) == [
        "lose its NAT rule: known from source, and no test in tests/unit holds it"
    ]
    assert missing(row._replace(tests=(unit,))) == [
        "lose its NAT rule: known from lab, and no test in tests/integration holds it"
    ]
    for wrong in (f"{lab}_too", "integration/test_nothing.py::test_it"):
        assert missing(row._replace(tests=(unit, lab, wrong))) == [f"lose its NAT rule: no test {wrong}"]


def test_the_guide_has_the_same_rows_in_the_same_order() -> None:
    assert {heading: [*rows] for heading, rows in guide().items()} == {
        heading: [row.what for row in rows] for heading, rows in OBSERVED.items()
    }


def test_the_guide_says_what_was_not_run() -> None:
    texts = {what: happens for rows in guide().values() for what, happens in rows.items()}
    read = [what for what, happens in texts.items() if re.search(r"\(source\b", happens)]
    assert read == [row.what for row in ROWS if row.seen == "source"]
