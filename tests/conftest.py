# SPDX-License-Identifier: GPL-3.0-or-later
"""For every test: the collection can be imported, nothing may be skipped, and the lab is there for who needs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import TOP, VENV, Show
from support.lab import Lab, choose
from support.workers import Scheduling, lab_boot, lab_name, worker
from xdist.remote import Producer

COLLECTION_TOOL = TOP / "tests" / "tools" / "collection"
pytest_plugins = ["support.no_skips"]
lab_key = pytest.StashKey[Lab]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lab")
    group.addoption("--lab-name", default="test", help="name of the lab that the tests bring up")
    # One gateway with a kernel of its own, so that a bond is really made on the test's site.
    group.addoption("--lab-boot", default="jah-k3s-h100-003=uml", help="how the machines boot: `lab up --boot`")
    group.addoption("--keep-lab", action="store_true", help="take the tests' lab as it is, and leave it up")


def pytest_configure(config: pytest.Config) -> None:
    """Modules import each other as ansible_collections.kubeovn.core...: let that name be this checkout."""
    source = subprocess.run([COLLECTION_TOOL, "--source"], check=True, capture_output=True, text=True).stdout.strip()
    sys.path.insert(0, source)
    os.environ["PATH"] = f"{VENV}/bin:{os.environ['PATH']}"
    name, boot = lab_name(config.getoption("--lab-name")), lab_boot(config.getoption("--lab-boot"))
    # A run that was killed leaves its lab, with whatever it had just made there.
    config.stash[lab_key] = choose(name, ("--boot", boot), fresh=not config.getoption("--keep-lab"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """pytest-xdist asks for it when there are workers."""
    return Scheduling(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the lab's builds and boot go on beside the tests that do not need it."""
    needed = any("lab" in getattr(item, "fixturenames", ()) for item in session.items)
    lab = session.config.stash[lab_key]
    if needed and not session.config.option.collectonly and not lab.borrowed:
        lab.start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the lab, whatever happened to the tests."""
    lab = session.config.stash[lab_key]
    if lab.starting is not None and not session.config.getoption("--keep-lab"):
        lab.down(print)


@pytest.fixture(scope="session")
def show(pytestconfig: pytest.Config) -> Show:
    """Writes a line to the terminal at once, although pytest captures what tests print."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    name = worker()

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            # A worker's standard output is its wire to pytest.
            stream, mark = (sys.stderr, f"[{name}] ") if name else (sys.stdout, "    ")
            stream.write(f"{mark}{line}\n")
            stream.flush()

    return write


@pytest.fixture(scope="session")
def collections_path() -> str:
    """ANSIBLE_COLLECTIONS_PATH with the collection as a user has it: built, and installed from the tarball."""
    return subprocess.run([COLLECTION_TOOL], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config, show: Show, collections_path: str) -> Lab:
    """The lab, up, its variables in the environment."""
    lab = pytestconfig.stash[lab_key]
    show("")
    lab.wait_up(show)
    os.environ.update(lab.environment())
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = collections_path
    return lab
