# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a result can differ from what its module documents is found; all of the lab's are held so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import ansible
from support.documented import faults

TRY = {"item": "10.4.19.101", "rc": 0, "stdout": "", "stderr": "", "tries": 1}
PROBED = {"changed": False, "failed": False, "results": [TRY], "also": [], "silent": []}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"warnings": ["w"]}, []),
        ({"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3"}}, []),
        ({"ansible_facts": {"more": 1}}, ["ovn_probe.ansible_facts is not documented"]),
        ({"more": 1}, ["ovn_probe.more is not documented"]),
        ({"silent": None}, ["ovn_probe.silent is null, which its description does not say"]),
        ({"silent": "x"}, ["ovn_probe.silent is 'x', not of type list"]),
        ({"silent": [7]}, ["ovn_probe.silent[0] is 7, not of type str"]),
        ({"results": [TRY | {"rc": True}]}, ["ovn_probe.results[0].rc is True, not of type int"]),
        ({"results": [TRY | {"more": 1}]}, ["ovn_probe.results[0].more is not documented"]),
        ({"results": [{**TRY, "rc": None}]}, ["ovn_probe.results[0].rc is null, which its description does not say"]),
        ({"results": [dict(list(TRY.items())[:-1])]}, ["ovn_probe.results[0].tries is missing"]),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], expected: list[str]) -> None:
    assert faults("ovn_probe", {}, PROBED | change) == expected


def test_a_key_that_is_missing_is_none_in_a_failure_only() -> None:
    told = {key: value for key, value in PROBED.items() if key != "silent"}
    assert faults("ovn_probe", {}, told) == ["ovn_probe.silent is missing"]
    assert faults("ovn_probe", {}, told | {"failed": True}) == []
    assert faults("ovn_probe", {}, {"failed": True, "more": 1}) == ["ovn_probe.more is not documented"]


def test_what_an_option_asks_for_is_due_with_it() -> None:
    told: dict[str, Any] = {"failed": False, "changed": False}
    with_it = faults("ovn_nat_info", {"query": "path"}, told)
    assert set(with_it) - set(faults("ovn_nat_info", {}, told)) == {"ovn_nat_info.queried is missing"}


def test_what_is_told_by_name_is_held_one_by_one() -> None:
    wrong = faults("ovn_gateway_node_info", {}, {"failed": True, "links": {"eth0": {}, "eth1": {}}})
    assert {"ovn_gateway_node_info.links.eth0.mac is missing", "ovn_gateway_node_info.links.eth1.mtu is missing"} < set(
        wrong
    )


def test_a_null_is_fine_where_the_description_says_so() -> None:
    assert faults("ovn_nat_info", {}, {"failed": True, "active_gateway": None}) == []


def test_every_result_of_a_module_of_this_collection_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ansible"
    monkeypatch.setattr(ansible, "BIN", tmp_path)
    for told, wrong in ((PROBED, False), (PROBED | {"more": 1}, True)):
        fake.write_text(f"#!/bin/sh\ncat <<'END'\nlocalhost | SUCCESS => {json.dumps(told)}\nEND\n")
        fake.chmod(0o755)
        if wrong:
            with pytest.raises(AssertionError, match=r"ovn_probe\.more is not documented"):
                ansible.module("kubeovn.core.ovn_probe")
        else:
            assert ansible.module("kubeovn.core.ovn_probe") == told
        assert ansible.module("ansible.builtin.ping") == told
