# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs on one node: each cancels its own timer only, and nobody begins in the midst of another's change."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_change, _node_deadman, _node_files, _node_lock
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link
from ansible_collections.kubeovn.core.plugins.module_utils._node_change import Plan, Seen
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import File
from ansible_collections.kubeovn.core.plugins.module_utils._node_deadman import Switch
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management
from ansible_collections.kubeovn.core.plugins.modules.ovn_gateway_node_config import Task
from support.commands import run as really
from support.systemd import Systemd

BOND = Link("enp8s0", "bond", "02:4b:0f:03:00:0d", 1500, True, True)


class Refusal(Exception):
    """What a module ends with."""


def fail_json(msg: str, **_result: Any) -> None:
    raise Refusal(msg)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.setattr(_node_deadman, "SETTLE", 0)
    monkeypatch.setattr(_node_deadman, "FOLDER", str(tmp_path / "state"))
    return {"before": [], "made": [], "after": [], "links": []}


def task(systemd: Systemd, run_id: str, state: str = "present", check: bool = False) -> Task:
    params = {"nic": "enp8s0", "state": state, "run_id": run_id, "rollback": 60}
    return Task(SimpleNamespace(params=params, check_mode=check, run_command=systemd, fail_json=fail_json))


def test_a_run_does_not_begin_while_anothers_timer_waits(begun: dict[str, Any]) -> None:
    systemd = Systemd()
    task(systemd, "one").switch.arm([], begun, 60)
    for name in ("two", ""):
        for act in (
            task(systemd, name).present,
            task(systemd, name).absent,
            task(systemd, name, check=True).present,
        ):
            with pytest.raises(_node_files.RefusedError, match=r"another run has changed enp8s0 .* in (60|59|58) s"):
                act()
    assert systemd.timers == ["--unit=kubeovn-restore-enp8s0"]
    assert Switch(systemd, "enp8s0", run_id="one").in_the_way() == ""
    systemd.timers.clear()  # as after a reboot: nobody strikes any more, and the next run finishes it
    assert Switch(systemd, "enp8s0", run_id="two").in_the_way() == ""


def test_where_nothing_was_begun_systemd_is_not_asked(begun: dict[str, Any]) -> None:
    systemd = Systemd()
    assert Switch(systemd, "enp8s0", run_id="one").in_the_way() == ""
    assert systemd.ran == []
    Switch(systemd, "enp8s0", run_id="one").arm([], begun, 60)
    assert "another run" in Switch(systemd, "enp8s0", run_id="two").in_the_way()


def test_a_run_cancels_its_own_timer_only(begun: dict[str, Any], tmp_path: Path) -> None:
    systemd, path = Systemd(), tmp_path / "file"
    task(systemd, "one").switch.arm([str(path)], begun, 60)
    path.write_text("half")
    with pytest.raises(Refusal, match="another run is changing it now"):
        task(systemd, "two", "confirmed").settle()
    assert task(systemd, "two", "restored").settle()["restored"] == ""
    assert (systemd.timers, path.read_text()) == (["--unit=kubeovn-restore-enp8s0"], "half")
    assert task(systemd, "one", "confirmed").settle()["restored"] == ""
    assert systemd.timers == []
    task(systemd, "one").switch.arm([], begun, 60)
    assert task(systemd, "", "restored").settle()["restored"] == "now"  # who has no name means whichever there is


def test_who_was_undone_is_told_so_although_another_has_begun_since(begun: dict[str, Any], tmp_path: Path) -> None:
    systemd = Systemd()
    task(systemd, "one").switch.arm([], begun, 60)
    really(["sh", str(tmp_path / "state" / "enp8s0" / "restore")])  # the timer strikes
    systemd.timers.clear()
    task(systemd, "two").switch.arm([], begun, 60)
    with pytest.raises(Refusal, match="was restored"):
        task(systemd, "one", "confirmed").settle()
    assert systemd.timers


def test_a_timer_that_strikes_while_it_is_armed_anew_is_said(begun: dict[str, Any], tmp_path: Path) -> None:
    switch = Switch(Systemd(), "enp8s0", run_id="one")
    switch.arm([], begun, 60)

    def strike(argv: list[str]) -> tuple[int, str, str]:
        if argv[1] == "stop":
            really(["sh", str(tmp_path / "state" / "enp8s0" / "restore")])
        return 3, "", ""

    with pytest.raises(OSError, match="restored an earlier change this very moment"):
        Switch(strike, "enp8s0", run_id="one").arm([], begun, 60)


def test_what_is_written_after_the_timer_has_struck_is_put_back_too(begun: dict[str, Any], tmp_path: Path) -> None:
    systemd, path = Systemd(), tmp_path / "file"

    switch = Switch(systemd, "enp8s0", run_id="one")
    switch.arm([str(path)], begun, 60)
    assert not switch.too_late()
    really(["sh", str(tmp_path / "state" / "enp8s0" / "restore")])  # the timer strikes
    path.write_text("after")
    assert switch.too_late()
    assert not path.exists()


# --- whether it is done ---------------------------------------------------------------------------------------


def gone(links: dict[str, Link], **seen: Any) -> Plan:
    found: Plan = _node_change.left("enp8s0", Seen(links, {}, {}, Management(**seen)), {"bond": True})
    return found


def test_absent_is_done_when_files_and_bond_are_gone() -> None:
    assert gone({}).words == ()
    assert gone({"enp8s0": BOND}).words == ("remove bond enp8s0",)
    theirs = {"enp8s0": {"networkd": "/etc/systemd/network/50-bond.network"}}
    assert gone({"enp8s0": BOND}, owners=theirs).words == ()  # others make one by this name, too
    own = {"/etc/network/interfaces.d/kubeovn-enp8s0": File("")}
    assert _node_change.left("enp8s0", Seen({}, own, own, Management()), {}).words


# --- the lock -------------------------------------------------------------------------------------------------

HOME = str(Path(_node_lock.__file__).parent)
HOLDER = """\
import sys, time
sys.path.append(sys.argv[2])
import _node_lock
with _node_lock.held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_task_at_a_time_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", HOLDER, path, HOME], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with (
                pytest.raises(_node_lock.LockedError, match="another task is changing this node's links"),
                _node_lock.held(path, 0.2),
            ):
                pass
        finally:
            other.kill()
    with _node_lock.held(path, 1):
        assert Path(path).exists()
    assert not Path(path).exists()


def test_who_waits_gets_it_next(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    argv = [sys.executable, "-c", HOLDER.replace("60", "0"), path, HOME]
    with _node_lock.held(path):
        waiting = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        assert waiting.poll() is None
    assert waiting.communicate(timeout=20)[0] == "held\n"
