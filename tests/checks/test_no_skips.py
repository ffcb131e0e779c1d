# SPDX-License-Identifier: GPL-3.0-or-later
"""That a skipped or expected-to-fail test really ends `make test` with a failure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.commands import TOP, VENV

TESTS = {
    "skip": "def test_it(): pytest.skip('no reason')",
    "skip mark": "@pytest.mark.skip\ndef test_it(): pass",
    "module skip": "pytest.skip('no reason', allow_module_level=True)",
    "missing import": "pytest.importorskip('no_such_module')",
    "xfail": "@pytest.mark.xfail\ndef test_it(): assert False",
    "unexpected pass": "@pytest.mark.xfail\ndef test_it(): pass",
    "xfail within": "def test_it(): pytest.xfail('known')",
}


def test_each_counts_as_a_failure(tmp_path: Path) -> None:
    for number, body in enumerate([*TESTS.values(), "def test_it(): pass"]):
        (tmp_path / f"test_{number}.py").write_text(f"import pytest\n{body}\n")
    options = ["-q", "-p", "support.no_skips", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    env = {**os.environ, "PYTHONPATH": str(TOP / "tests")}
    argv = [str(VENV / "bin" / "pytest"), *options]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert done.stdout.splitlines()[-1].startswith("4 failed, 1 passed, 3 errors"), done.stdout  # before or in the test
