# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man switch's script puts back what was there, run for real on files of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_deadman
from ansible_collections.kubeovn.core.plugins.module_utils._node_deadman import Switch, as_they_are, merged
from support.commands import run as really
from support.systemd import Systemd


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(_node_deadman, "SETTLE", 0)
    return {"before": [["true"]], "made": [], "after": [["false"], ["true"]], "links": []}


def test_what_was_there_is_put_back_and_nothing_is_left(tmp_path: Path, begun: dict[str, Any]) -> None:
    changed, new, gone = (tmp_path / name for name in ("changed", "new", "gone"))
    changed.write_text("before")
    changed.chmod(0o640)
    gone.write_text("was here")
    systemd = Systemd()
    switch = Switch(systemd, "enp8s0", str(tmp_path / "state"))
    switch.arm([str(path) for path in (changed, new, gone)], begun, 60)
    assert systemd.timers == ["--unit=kubeovn-restore-enp8s0"]
    changed.write_text("after")
    changed.chmod(0o600)
    new.write_text("after")
    gone.unlink()
    assert Switch(systemd, "enp8s0", str(tmp_path / "state")).begun  # another run knows of it
    # A second change before anybody confirmed the first: what was there before the first is what counts.
    later = tmp_path / "later"
    later.write_text("before")
    switch.arm([str(changed), str(later)], {**begun, "made": ["enp8s0x"]}, 60)
    later.write_text("after")
    assert switch.restore() == "now"
    assert (changed.read_text(), changed.stat().st_mode & 0o777) == ("before", 0o640)
    assert (new.exists(), gone.read_text(), later.read_text()) == (False, "was here", "before")
    assert systemd.timers == []
    assert not (tmp_path / "state").exists()
    assert switch.restore() == ""


def test_a_confirmed_change_stays(tmp_path: Path, begun: dict[str, Any]) -> None:
    path = tmp_path / "file"
    switch = Switch(Systemd(), "enp8s0", str(tmp_path / "state"))
    switch.arm([str(path)], begun, 60)
    path.write_text("after")
    assert switch.cancel() == ""
    assert path.read_text() == "after"
    assert not (tmp_path / "state").exists()
    assert switch.begun == {}


def test_who_comes_too_late_is_told(tmp_path: Path, begun: dict[str, Any]) -> None:
    path = tmp_path / "file"
    switch = Switch(Systemd(), "enp8s0", str(tmp_path / "state"))
    switch.arm([str(path)], begun, 60)
    path.write_text("after")
    really(["sh", str(tmp_path / "state" / "enp8s0" / "restore")])  # the timer strikes
    assert not path.exists()
    assert switch.cancel()
    assert "rm -f" in switch.log
    assert switch.begun == {}  # nothing is on its way any more
    switch.forget()
    assert not (tmp_path / "state").exists()


def test_without_a_timer_nothing_may_be_changed(tmp_path: Path, begun: dict[str, Any]) -> None:
    switch = Switch(Systemd(takes=False), "enp8s0", str(tmp_path / "state"))
    with pytest.raises(OSError, match=r"systemd takes no timer \(no bus\); nothing was changed"):
        switch.arm([], begun, 60)
    assert not (tmp_path / "state").exists()  # else the next run would take it for a change that was begun


def test_never_is_never(tmp_path: Path, begun: dict[str, Any]) -> None:
    systemd = Systemd()
    Switch(systemd, "enp8s0", str(tmp_path / "state")).arm([], begun, 0)
    assert systemd.timers == []


def test_a_link_that_is_made_anew_is_opened_anew(tmp_path: Path, begun: dict[str, Any]) -> None:
    switch = Switch(Systemd(), "enp8s0", str(tmp_path / "state"))
    switch.arm([], {**begun, "reopen": [str(tmp_path / "db.sock"), "lo"]}, 60)
    switch.arm([], begun, 60)  # on top of it
    really(["sh", str(tmp_path / "state" / "enp8s0" / "restore")])
    assert switch.restored
    assert "FileNotFoundError" in switch.log  # the program was run, and there is no Open vSwitch here


def test_links_as_they_are() -> None:
    rows = json.loads(
        '[{"ifname": "enp1s0", "mtu": 1500, "flags": ["UP"], "addr_info": ['
        '{"local": "10.4.18.13", "prefixlen": 24, "scope": "global"},'
        '{"local": "fe80::1", "prefixlen": 64, "scope": "link"}]},'
        '{"ifname": "enp8s0", "mtu": 9000, "flags": []}, {"ifname": "enp2s0", "mtu": 1500, "flags": ["UP"]}]'
    )
    routes: list[dict[str, Any]] = [
        {
            "dst": "default",
            "gateway": "10.4.18.1",
            "dev": "enp1s0",
            "metric": 100,
            "protocol": "static",
            "flags": ["onlink"],
        },
        {"dst": "10.4.18.0/24", "dev": "enp1s0", "protocol": "kernel"},
        {"dst": "default", "gateway": "fd00::1", "dev": "enp1s0", "protocol": "ra", "table": "7"},
        {"dst": "default", "gateway": "10.4.17.1", "dev": "enp2s0", "protocol": "static"},
    ]
    assert [" ".join(command) for command in as_they_are(rows, routes, ["enp1s0", "enp8s0"])] == [
        "ip link set dev enp1s0 mtu 1500 up",
        "ip address replace 10.4.18.13/24 dev enp1s0",
        "ip link set dev enp8s0 mtu 9000 down",
        "ip route replace default via 10.4.18.1 dev enp1s0 proto static metric 100 onlink",
        "ip -6 route replace default via fd00::1 dev enp1s0 proto ra table 7",
    ]


def test_a_change_on_top_of_another_goes_back_to_before_the_first() -> None:
    def up(name: str, state: str) -> list[str]:
        return ["ip", "link", "set", "dev", name, "mtu", "1500", state]

    first = {"before": [], "made": ["bond0"], "after": [["a"]], "links": [up("eth0", "down")], "saved": {"f": "was-f"}}
    second = {
        "before": [["b"]],
        "made": [],
        "after": [["a"], ["c"]],
        "links": [up("eth0", "up"), up("eth1", "up"), up("bond0", "up")],
        "saved": {"g": None},
    }
    assert merged(first, second) == {
        "before": [["b"]],
        "made": ["bond0"],
        "after": [["a"], ["c"]],
        "links": [up("eth0", "down"), up("eth1", "up")],
        "saved": {"f": "was-f", "g": None},
        "reopen": [],
    }
    assert merged({}, second) == second
