# SPDX-License-Identifier: GPL-3.0-or-later
"""Systemd as the dead-man switch of role gateway_nic asks it; what else it runs is run for real."""

from __future__ import annotations

from support.commands import run as really


class Systemd:
    """Takes timers and never lets one strike; everything else is run."""

    def __init__(self, takes: bool = True) -> None:
        self.takes, self.timers = takes, list[str]()
        self.ran: list[list[str]] = []

    def __call__(self, argv: list[str]) -> tuple[int, str, str]:
        self.ran.append(argv)
        if argv[0] == "systemd-run":
            self.timers.append(argv[1])
            return (0, "", "") if self.takes else (1, "", "no bus")
        if argv[0] == "systemctl":
            if argv[1] == "stop":
                self.timers.clear()
            if argv[-1].endswith(".timer") and argv[1] == "is-active":
                return (0 if self.timers else 3, "", "")
            return (3, "inactive\n", "")
        return 0, really(argv), ""
