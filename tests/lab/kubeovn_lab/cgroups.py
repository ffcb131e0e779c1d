# SPDX-License-Identifier: GPL-3.0-or-later
"""A control group for each nspawn machine.

Without one, the systemds of all machines would share the caller's group and take each other's services for their own.
The hierarchies are mounted where only the calling process sees them, so this works with whatever the host has mounted.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from .processes import run
from .site import Lab

# hierarchy -> how to mount it: the unified one, and systemd's own on machines with version 1
HIERARCHIES = {"unified": "-t cgroup2 none", "systemd": "-t cgroup -o none,name=systemd none"}


def _mounts(lab: Lab) -> dict[str, Path]:
    """Mount points for the hierarchies this kernel has in use."""
    used = Path("/proc/self/cgroup").read_text()
    names = [name for name in HIERARCHIES if name == "unified" or re.search(r"^\d+:name=systemd:", used, re.MULTILINE)]
    return {name: lab.state / "cgroup" / name for name in names}


def _mount_script(lab: Lab) -> str:
    lines = []
    for name, point in _mounts(lab).items():
        point.mkdir(parents=True, exist_ok=True)
        lines.append(f"mount {HIERARCHIES[name]} {shlex.quote(str(point))}")
    return "\n".join(lines) + "\n"


def join_script(lab: Lab, machine: str) -> str:
    """Shell lines that put the shell itself into the machine's group; for a private mount namespace."""
    lines = _mount_script(lab)
    for point in _mounts(lab).values():
        group = shlex.quote(f"{point}/kubeovn-lab-{lab.name}/{machine}")
        lines += f"mkdir -p {group}\necho $$ >{group}/cgroup.procs\n"
    return lines


def remove(lab: Lab, machine: str = "") -> None:
    """Remove the group of a machine that has ended, or with no name all of the lab's."""
    script = _mount_script(lab)
    for point in _mounts(lab).values():
        group = shlex.quote(f"{point}/kubeovn-lab-{lab.name}/{machine}".rstrip("/"))
        script += f"[ ! -d {group} ] || find {group} -depth -type d -exec rmdir {{}} +\n"
    run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script])
