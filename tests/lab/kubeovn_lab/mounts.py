# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of a lab: made once, found again, and all taken away. What is mounted is read from the kernel."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from . import processes
from .site import Lab


def mounted(lab: Lab) -> list[Path]:
    """Every mount point below the lab's state, the innermost first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if lab.state in point.parents:
            points.append(point)
    return sorted(points, key=lambda point: len(point.parts), reverse=True)


def overlay(lab: Lab, lower: Path, point: Path) -> None:
    """A writable root over a read-only tree; its changes stand beside the mount point."""
    if point in mounted(lab):
        return
    upper, work = point.parent / "upper", point.parent / "work"
    for folder in (point, upper, work):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    processes.run(["mount", "-t", "overlay", f"kol-{lab.name}", "-o", options, point])


def bind(lab: Lab, source: Path, point: Path) -> None:
    """Another folder, seen read-only at a place of the lab."""
    if point in mounted(lab):
        return
    point.mkdir(parents=True, exist_ok=True)
    processes.run(["mount", "--bind", source, point])
    processes.run(["mount", "-o", "remount,bind,ro", point])


def down(lab: Lab) -> None:
    """Take every mount of the lab away; the last threads of killed processes may hold one a moment longer."""
    for point in mounted(lab):
        processes.wait_until(partial(_unmounted, lab, point), 15, f"{point} unmounted")


def _unmounted(lab: Lab, point: Path) -> bool:
    processes.run(["umount", point], check=False)
    return point not in mounted(lab)
