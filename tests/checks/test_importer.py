# SPDX-License-Identifier: GPL-3.0-or-later
"""galaxy-importer on the built tarball: what Ansible Galaxy does with an upload, here without Galaxy."""

from __future__ import annotations

import hashlib
import os
import sys
import venv
from pathlib import Path

import pytest
from support.commands import TOP, cache_folder, run

PINS = TOP / "tests" / "tools" / "importer.txt"


@pytest.fixture
def programs() -> Path:
    """Its environment, made once for these pins and this Python."""
    key = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_folder() / f"importer-{key}"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        run([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PINS], timeout=900)
        (folder / "complete").touch()
    return folder / "bin"


def importer(programs: Path, tarball: Path, folder: Path) -> str:
    """What it says. It would lint too, with a deadline that a busy machine misses: test_tools does that."""
    return run(
        [programs / "python", "-m", "galaxy_importer.main", tarball],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"},
        timeout=900,
    )


def test_galaxy_would_take_it_without_a_warning(collections_path: str, programs: Path, tmp_path: Path) -> None:
    (tarball,) = Path(collections_path).glob("kubeovn-core-*.tar.gz")
    said = importer(programs, tarball, tmp_path)
    assert "Importer processing completed successfully" in said
    assert not [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR", "CRITICAL"))], said
    assert "Loading module ovn_eip" in said
    assert "Loading role vm_eip" in said
