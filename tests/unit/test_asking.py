# SPDX-License-Identifier: GPL-3.0-or-later
"""One command for each of many addresses: side by side, again where it failed, by real processes."""

from __future__ import annotations

import time
from pathlib import Path

from ansible_collections.kubeovn.core.plugins.module_utils._asking import ask_all
from ansible_collections.kubeovn.core.plugins.modules.ovn_probe import PING, problems_of


def shell(text: str) -> list[str]:
    return ["sh", "-c", text, "{address}"]


def test_each_address_has_its_own_answer_in_order() -> None:
    answers = ask_all(shell('echo "$0"; test "$0" != b || { echo no >&2; exit 3; }'), ["a", "b", "c"], 2, 1, 0, 10)
    assert [(one.address, one.rc, one.stdout, one.stderr) for one in answers] == [
        ("a", 0, "a", ""),
        ("b", 3, "b", "no"),
        ("c", 0, "c", ""),
    ]


def test_they_are_asked_at_once(tmp_path: Path) -> None:
    """Each waits for the other: one after the other they would never end."""
    wait = f'touch {tmp_path}/"$0"; until test -e {tmp_path}/a && test -e {tmp_path}/b; do sleep 0.05; done'
    assert [one.rc for one in ask_all(shell(wait), ["a", "b"], 2, 1, 0, 30)] == [0, 0]


def test_again_where_it_failed_and_only_there(tmp_path: Path) -> None:
    """Address b succeeds at its third try."""
    tries = f'echo x >> {tmp_path}/"$0"; test "$0" = a || test "$(wc -l < {tmp_path}/"$0")" -ge 3'
    assert [(one.rc, one.tries) for one in ask_all(shell(tries), ["a", "b"], 2, 5, 0.01, 10)] == [(0, 1), (0, 3)]
    assert [(one.rc, one.tries) for one in ask_all(["false", "{address}"], ["a"], 1, 2, 0.01, 10)] == [(1, 2)]


def test_what_does_not_end_is_ended() -> None:
    began = time.monotonic()
    answer = ask_all(["sleep", "60", "{address}"], ["0"], 1, 1, 0, 0.2)[0]
    assert (answer.rc, answer.stderr) == (124, "no end after 0.2 s")
    assert time.monotonic() - began < 30


def test_a_command_that_is_not_there_says_so() -> None:
    answer = ask_all(["no-such-command", "{address}"], ["a"], 1, 1, 0, 10)[0]
    assert answer.rc == 127
    assert answer.stderr == "no-such-command: No such file or directory"


def test_options() -> None:
    right: dict[str, object] = {"argv": PING, "parallel": 1, "tries": 1, "timeout": 1.0}
    assert problems_of(right) == []
    wrong = problems_of({"argv": ["ping"], "parallel": 0, "tries": -1, "timeout": 0.0})
    assert [text.partition(":")[0] for text in wrong] == ["parallel", "tries", "timeout", "argv"]
