# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` on the collection as it is built and installed, with nothing from outside the package index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import VENV, Show, cache_folder, run

PYTHON = "{}.{}".format(*sys.version_info)

# ansible-test makes an environment for each of its tests and starts it with a script that it would download from a
# server of its own. Python brings pip along: this script, laid where ansible-test looks first, installs that one and
# then what was asked for.
BOOTSTRAP = """\
import runpy, sys
arguments = sys.argv[1:]
sys.argv = ['ensurepip']
import ensurepip
ensurepip.bootstrap(default_pip=True)
sys.argv = ['pip', 'install', *(a for a in arguments if a not in ('--no-setuptools', '--no-wheel'))]
runpy.run_module('pip', run_name='__main__', alter_sys=True)
"""


def bootstrap_name() -> str:
    """The file name that this version of ansible-test looks for."""
    code = (
        "import sys, json; from ansible_test._internal.python_requirements import get_venv_packages as g;"
        "from ansible_test._internal.host_configs import NativePythonConfig as P;"
        "print(json.dumps(g(P(version='%d.%d' % sys.version_info[:2], path=sys.executable))))"
    )
    answer = subprocess.run([VENV / "bin" / "python", "-c", code], check=True, capture_output=True, text=True).stdout
    return f"get_pip_{json.loads(answer)['pip'].replace('.', '_')}.py"


@pytest.fixture
def home() -> Path:
    """A home folder for ansible-test, kept between runs so that its environments are made once."""
    home = cache_folder() / "sanity-home"
    script = home / ".ansible" / "test" / "cache" / bootstrap_name()
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BOOTSTRAP)
    return home


@pytest.fixture
def installed(collections_path: str, tmp_path: Path) -> Path:
    """A copy of the installed collection, since ansible-test writes into the tree that it tests."""
    copy = tmp_path / "ansible_collections" / "kubeovn" / "core"
    shutil.copytree(Path(collections_path) / "ansible_collections" / "kubeovn" / "core", copy)
    return copy


def test_sanity(installed: Path, home: Path, collections_path: str, show: Show) -> None:
    real_home = Path.home()
    run(
        [VENV / "bin" / "ansible-test", "sanity", "-v", "--color", "no", "--python", PYTHON],
        cwd=installed,
        env={
            "HOME": str(home),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", f"{real_home}/.config"),
            "PIP_CACHE_DIR": f"{real_home}/.cache/pip",
            "ANSIBLE_COLLECTIONS_PATH": collections_path,
            "PATH": f"{VENV}/bin:{os.environ['PATH']}",
        },
        show=lambda line: show(line) if line.startswith(("Running sanity", "ERROR", "WARNING")) else None,
        timeout=1200,
        tail=100,
    )
