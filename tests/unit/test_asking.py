# SPDX-License-Identifier: GPL-3.0-or-later
"""One command or connection for each of many addresses: side by side, again where it failed, by real processes."""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path

from ansible_collections.kubeovn.core.plugins.module_utils import _asking
from ansible_collections.kubeovn.core.plugins.module_utils._asking import Answer, by_command, by_connection
from ansible_collections.kubeovn.core.plugins.modules.ovn_probe import PING, ask, problems_of


def shell(text: str) -> list[str]:
    return ["sh", "-c", text, "{address}"]


def ask_all(once: _asking.Once, addresses: list[str], parallel: int, tries: int, delay: float) -> list[Answer]:
    """All are asked the same."""
    return _asking.ask_all([(once, address) for address in addresses], parallel, tries, delay)


def test_each_address_has_its_own_answer_in_order() -> None:
    once = by_command(shell('echo "$0"; test "$0" != b || { echo no >&2; exit 3; }'), 10)
    answers = ask_all(once, ["a", "b", "c"], 2, 1, 0)
    assert [(one.address, one.rc, one.stdout, one.stderr) for one in answers] == [
        ("a", 0, "a", ""),
        ("b", 3, "b", "no"),
        ("c", 0, "c", ""),
    ]


def test_they_are_asked_at_once(tmp_path: Path) -> None:
    """Each waits for the other: one after the other they would never end."""
    wait = f'touch {tmp_path}/"$0"; until test -e {tmp_path}/a && test -e {tmp_path}/b; do sleep 0.05; done'
    assert [one.rc for one in ask_all(by_command(shell(wait), 30), ["a", "b"], 2, 1, 0)] == [0, 0]


def test_again_where_it_failed_and_only_there(tmp_path: Path) -> None:
    """Address b succeeds at its third try."""
    tries = f'echo x >> {tmp_path}/"$0"; test "$0" = a || test "$(wc -l < {tmp_path}/"$0")" -ge 3'
    asked = ask_all(by_command(shell(tries), 10), ["a", "b"], 2, 5, 0.01)
    assert [(one.rc, one.tries) for one in asked] == [(0, 1), (0, 3)]
    asked = ask_all(by_command(["false", "{address}"], 10), ["a"], 1, 2, 0.01)
    assert [(one.rc, one.tries) for one in asked] == [(1, 2)]


def test_what_does_not_end_is_ended() -> None:
    began = time.monotonic()
    answer = ask_all(by_command(["sleep", "60", "{address}"], 0.2), ["0"], 1, 1, 0)[0]
    assert (answer.rc, answer.stderr) == (124, "no end after 0.2 s")
    assert time.monotonic() - began < 30


def test_a_command_that_is_not_there_says_so() -> None:
    answer = ask_all(by_command(["no-such-command", "{address}"], 10), ["a"], 1, 1, 0)[0]
    assert answer.rc == 127
    assert answer.stderr == "no-such-command: No such file or directory"


def test_a_connection_tells_who_listens_and_who_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        heard = ask_all(by_connection(port, 5), ["127.0.0.1", "127.0.0.2"], 2, 1, 0)
    assert [(one.address, one.rc) for one in heard] == [("127.0.0.1", 0), ("127.0.0.2", errno.ECONNREFUSED)]
    assert heard[1].stderr == f"port {port}: Connection refused: its host answers, and nothing listens there"
    (late,) = ask_all(by_connection(port, 5), ["127.0.0.1"], 1, 2, 0.01)
    assert (late.rc, late.tries) == (errno.ECONNREFUSED, 2), "nobody listens any more"


def test_a_connection_that_nobody_answers_is_ended() -> None:
    with socket.socket() as full:  # its queue holds one, so that the next ones wait
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        (answer,) = ask_all(by_connection(port, 0.2), ["127.0.0.1"], 1, 1, 0)
        for one in waiting:
            one.close()
    assert (answer.rc, answer.stderr) == (124, f"port {port}: no answer in 0.2 s")


def test_what_is_asked_beside_is_asked_at_the_same_time_and_told_apart(tmp_path: Path) -> None:
    """The address waits for what is asked beside it, however few are asked at once; each has its tries."""
    wait = shell(f'until test -e {tmp_path}/"$0"; do sleep 0.05; done; echo "$0"')
    let = ["sh", "-c", 'test -e "$1/tried" || { touch "$1/tried"; exit 1; }; touch "$1/$0"', "{address}", str(tmp_path)]
    common: dict[str, object] = {"port": None, "tries": 2, "delay": 0.01, "timeout": 30.0}
    said = ask(
        {**common, "addresses": ["a", "a"], "argv": wait, "also": [{"address": "a", "argv": let}], "parallel": 2}
    )
    assert [(one["item"], one["rc"], one["stdout"]) for one in said["results"]] == [("a", 0, "a")]
    assert [(one["item"], one["rc"], one["tries"]) for one in said["also"]] == [("a", 0, 2)]
    silent = ask({**common, "addresses": ["b"], "argv": ["false", "{address}"], "also": [], "parallel": 1})
    assert (silent["silent"], silent["also"]) == (["b"], [])
    beside = [{"address": "b", "argv": ["false"]}]
    heard = ask({**common, "addresses": ["a"], "argv": ["true", "{address}"], "also": beside, "parallel": 1})
    assert (heard["silent"], heard["also"][0]["rc"]) == ([], 1)


def test_options() -> None:
    right: dict[str, object] = {"argv": PING, "port": None, "also": [], "parallel": 1, "tries": 1, "timeout": 1.0}
    assert problems_of(right) == []
    also = [{"address": "a", "argv": PING}, {"address": "a", "argv": []}]
    wrong = problems_of({"argv": ["ping"], "port": 65536, "also": also, "parallel": 0, "tries": -1, "timeout": 0.0})
    assert [text.partition(":")[0] for text in wrong] == [
        "parallel",
        "tries",
        "timeout",
        "port",
        "argv",
        "also[1].argv",
    ]
