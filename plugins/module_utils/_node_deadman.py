# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dead-man switch: the node itself puts back what its links were, unless it is told in time not to.

Before the first write a folder is made with copies of what will be replaced and a script that puts it back, and a
timer of systemd's runs that script after a set time. Who comes back over a new connection stops the timer. The folder
is also the memory of a change that was begun: a run that was killed is undone by its timer, or where that is gone, as
after a reboot, finished by the next run. Each run has a name of its own, so that it stops no other's timer.

Private to this collection: no promise is made to other users. For Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.kubeovn.core.plugins.module_utils import _node_ovsdb

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command

FOLDER = "/var/lib/kubeovn-gateway-nic"
REOPEN = "reopen.py"  # a program of our own beside the script
SETTLE = 3  # seconds for the manager before what is still missing is put back by hand


def script(folder: str, begun: Mapping[str, Any]) -> str:
    """What puts everything back; each step is taken whether or not the others succeed."""
    lines = [
        "#!/bin/sh",
        "# Written by kubeovn.core (ovn_gateway_node_config): puts the node's links back as they were before a change.",
        f"exec >>{shlex.quote(folder + '/log')} 2>&1",
        "set -x",
    ]
    lines += [shlex.join(command) for command in begun["before"]]
    for path, copy in sorted(begun["saved"].items()):
        lines += _put_back(folder, path, copy)
    lines += [f"ip link delete dev {shlex.quote(link)}" for link in begun["made"]]
    lines += [shlex.join(command) for command in begun["after"]]
    lines.append(f"sleep {SETTLE}")
    lines += [shlex.join(command) for command in begun["links"]]
    if begun.get("reopen"):
        lines.append(shlex.join([sys.executable, f"{folder}/{REOPEN}", *begun["reopen"]]))
    lines.append(f"date >{shlex.quote(folder + '/restored')}")
    return "\n".join(lines) + "\n"


def _put_back(folder: str, path: str, copy: str | None) -> list[str]:
    quoted = shlex.quote(path)
    if copy is None:
        return (
            [f"rm -f {quoted}", f"rmdir {shlex.quote(os.path.dirname(path))}"]
            if "/10-netplan-" in path
            else [f"rm -f {quoted}"]
        )
    return [f"mkdir -p {shlex.quote(os.path.dirname(path))}", f"cp -p {shlex.quote(folder + '/' + copy)} {quoted}"]


def as_they_are(
    links: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]], names: Iterable[str]
) -> list[list[str]]:
    """Commands that give these links what they have now, from the rows of `ip -json address` and `ip -json route`."""
    names = set(names)
    found: list[list[str]] = []
    for row in (row for row in links if row.get("ifname") in names):
        name, state = row["ifname"], "up" if "UP" in row.get("flags", ()) else "down"
        found.append(["ip", "link", "set", "dev", name, "mtu", str(row["mtu"]), state])
        found += [
            ["ip", "address", "replace", f"{each['local']}/{each['prefixlen']}", "dev", name]
            for each in row.get("addr_info") or ()
            if each.get("local") and each.get("scope") == "global"
        ]
    return found + [_route(row) for row in routes if row.get("dev") in names and row.get("protocol") != "kernel"]


def _route(row: Mapping[str, Any]) -> list[str]:
    # With its protocol, by which managers and routing daemons know their own routes.
    words = {
        "gateway": "via",
        "dev": "dev",
        "protocol": "proto",
        "prefsrc": "src",
        "metric": "metric",
        "table": "table",
    }
    family = ["-6"] if ":" in str(row.get("gateway", "")) + str(row.get("dst", "")) else []
    pairs = [[word, str(row[key])] for key, word in words.items() if row.get(key) is not None]
    flags = ["onlink"] if "onlink" in row.get("flags", ()) else []
    return ["ip", *family, "route", "replace", str(row["dst"]), *(word for pair in pairs for word in pair), *flags]


def merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """What to put back when a change comes on top of one that nobody has confirmed: what was there before the first."""
    if not earlier:
        return dict(later)
    both = {key: _union(earlier[key], later[key]) for key in ("before", "made", "after")}
    # A link that the earlier change made is none that was there before.
    known = {command[command.index("dev") + 1] for command in earlier["links"]} | set(both["made"])
    links = [command for command in later["links"] if command[command.index("dev") + 1] not in known]
    reopen = earlier.get("reopen") or later.get("reopen") or []
    saved = {**later["saved"], **earlier["saved"]}
    return {**both, "links": [*earlier["links"], *links], "saved": saved, "reopen": reopen}


def _union(one: list[Any], other: list[Any]) -> list[Any]:
    return [*one, *(each for each in other if each not in one)]


class Switch:
    """The dead-man switch of one NIC; `run_id` is this run's, empty where nobody has given it one."""

    def __init__(self, run: Run, nic: str, folder: str = "", run_id: str = "") -> None:
        self._run, self._nic, self._run_id = run, nic, run_id
        self._folder = os.path.join(folder or FOLDER, nic)
        self.unit = "kubeovn-restore-" + re.sub(r"[^A-Za-z0-9:_.-]", "_", nic)

    @property
    def begun(self) -> dict[str, Any]:
        """What a run has begun, and nobody has confirmed or restored; empty: nothing."""
        return {} if self.restored else self._record

    @property
    def _record(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self._folder, "begun.json"), encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
        except (OSError, ValueError):
            return {}
        return found

    @property
    def mine(self) -> bool:
        """Whether it is this run's own change that waits for a word; without its name nobody can tell, and none is."""
        return bool(self._run_id) and self.begun.get("run_id") == self._run_id

    @property
    def others(self) -> bool:
        """Whether what is there is another run's, restored or not."""
        return bool(self._run_id) and self._record.get("run_id", self._run_id) != self._run_id

    def in_the_way(self) -> str:
        """Why no change may begin now: another one's timer runs, and would strike in the midst of it; empty: it may.

        What is half made must not be taken for what was there before, nor made whole under another's timer.
        """
        if not os.path.exists(self._folder):  # nobody is asked then, as in most runs
            return ""
        self._wait_for_the_end()
        begun = self.begun
        if not begun or self.mine or not self._waits():
            return ""
        left = max(0, round(begun.get("until", 0) - time.time()))
        return (
            f"another run has changed {self._nic} and not confirmed it yet; unless it does, the node restores what it "
            f"had before in {left} s. Run this again then, or, when that run was killed, have it restored at once: "
            f"module kubeovn.core.ovn_gateway_node_config with nic: {self._nic} and state: restored"
        )

    def _waits(self) -> bool:
        return self._run(["systemctl", "is-active", "--quiet", f"{self.unit}.timer"])[0] == 0

    @property
    def restored(self) -> str:
        """When the node has put everything back; empty: it has not."""
        try:
            with open(os.path.join(self._folder, "restored"), encoding="utf-8") as file:
                return file.read().strip() or "just now"
        except OSError:
            return ""

    @property
    def log(self) -> str:
        """What putting it back said."""
        try:
            with open(os.path.join(self._folder, "log"), encoding="utf-8", errors="replace") as file:
                return file.read()[-4000:]
        except OSError:
            return ""

    def arm(self, paths: Iterable[str], begun: Mapping[str, Any], seconds: int) -> None:
        """Keep what will be replaced, and have systemd put it back after so many seconds; 0: only keep it."""
        earlier = self.begun
        if self.restored:
            self.forget()
        self._stop()
        if earlier and self.restored:
            raise OSError("the node has restored an earlier change this very moment; run this again")
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        saved = {path: self._save(path) for path in paths if path not in earlier.get("saved", {})}
        whole = {**merged(earlier, {**begun, "saved": saved}), "run_id": self._run_id, "until": time.time() + seconds}
        if whole.get("reopen"):
            self._write(REOPEN, inspect.getsource(_node_ovsdb))
        self._write("restore", script(self._folder, whole))
        self._write("begun.json", json.dumps(whole))
        if not seconds:
            return
        argv = ["systemd-run", f"--unit={self.unit}", f"--on-active={seconds}", "--timer-property=AccuracySec=100ms"]
        code, _out, err = self._run([*argv, "/bin/sh", os.path.join(self._folder, "restore")])
        if code != 0:
            if not earlier:
                self.forget()
            raise OSError(f"systemd takes no timer ({err.strip()}); nothing was changed")

    def _save(self, path: str) -> str | None:
        if not os.path.exists(path):
            return None
        name = "was-" + path.strip("/").replace("/", "-")
        shutil.copy2(path, os.path.join(self._folder, name))
        status = os.stat(path)
        os.chown(os.path.join(self._folder, name), status.st_uid, status.st_gid)
        return name

    def _write(self, name: str, text: str) -> None:
        path = os.path.join(self._folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".new", path)

    def cancel(self) -> str:
        """Stop the timer; when it has struck already, wait for the end of it, and say when that was."""
        self._stop()
        when = self.restored
        if not when:
            self.forget()
        return when

    def too_late(self) -> bool:
        """Whether the timer has struck while the change was made; then all of it is put back once more."""
        self._wait_for_the_end()
        if not self.restored:
            return False
        self._run(["/bin/sh", os.path.join(self._folder, "restore")])
        return True

    def restore(self) -> str:
        """Put everything back now, unless the timer was quicker; when it was, and empty when there is nothing to do."""
        if not self.begun and not self.restored:
            return ""
        self._stop()
        if not self.restored:
            self._run(["/bin/sh", os.path.join(self._folder, "restore")])
            self.forget()
            return "now"
        return self.restored

    def _stop(self) -> None:
        self._run(["systemctl", "stop", f"{self.unit}.timer"])
        self._wait_for_the_end()
        self._run(["systemctl", "reset-failed", f"{self.unit}.service"])

    def _wait_for_the_end(self) -> None:
        """Of the script, when the timer has struck."""
        deadline = time.monotonic() + 60
        while self._run(["systemctl", "is-active", "--quiet", f"{self.unit}.service"])[0] == 0 or self._activating():
            if time.monotonic() > deadline:
                raise OSError(f"{self.unit}.service does not end: look at `journalctl -u {self.unit}`")
            time.sleep(0.2)

    def _activating(self) -> bool:
        return self._run(["systemctl", "is-active", f"{self.unit}.service"])[1].strip() == "activating"

    def forget(self) -> None:
        """Remove the folder, and what nobody else has in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another NIC's
            os.rmdir(os.path.dirname(self._folder))
