# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible callback for `make bench`: each task, its seconds and its machines, to the file BENCH_LEDGER."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: ledger
type: notification
short_description: What each task cost
description: Internal to the benches.
"""

# Done by Ansible on the control node, whatever the host.
HERE = {"set_fact", "debug", "assert", "fail", "validate_argument_spec", "meta", "include_tasks", "include_role"}


class CallbackModule(CallbackBase):
    """One JSON line for each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "ledger"

    def __init__(self) -> None:
        super().__init__()
        self._play = ""
        self._task: dict[str, Any] | None = None

    def _end(self) -> None:
        if self._task:
            self._task["seconds"] = time.time() - self._task.pop("began")
            with open(os.environ["BENCH_LEDGER"], "a", encoding="utf-8") as ledger:
                ledger.write(json.dumps(self._task) + "\n")
        self._task = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end()
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        self._end()
        name = task.action.rpartition(".")[2]
        self._task = {"play": self._play, "task": task.get_name(), "action": name, "machines": [], "began": time.time()}

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._task and self._task["action"] not in HERE:
            machine = self.host_label(result).rpartition("-> ")[2]  # "host -> where it was delegated to"
            self._task["machines"].append(machine)

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002
        self._end()
