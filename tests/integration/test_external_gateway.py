# SPDX-License-Identifier: GPL-3.0-or-later
"""Role external_gateway: a node that cannot be a gateway stops the run before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import VENV, CommandFailed, run
from support.lab import Lab
from support.live import Live

WORKER = "jah-k3s-l40s-001"  # it has no external NIC
PLAY = """\
- hosts: {hosts}
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.external_gateway
      vars: {variables}
"""


@pytest.mark.parametrize(
    ("hosts", "variables", "refusal"),
    [
        (
            "gateway_nodes",
            "{external_gateway_nic: enp9s9}",
            "external_gateway_nic: jah-k3s-h100-001: enp9s9 does not exist",
        ),
        ("gateway_nodes", "{external_gateway_nic: enp1s0}", "enp1s0 carries the default route"),
        (
            "gateway_nodes:worker_nodes",
            f"{{external_gateway_nodes: [jah-k3s-h100-001, {WORKER}]}}",
            f"external_gateway_nic: {WORKER}: enp8s0 does not exist",
        ),
    ],
)
def test_a_wrong_nic_or_node_is_refused_before_any_write(
    lab: Lab, tmp_path: Path, hosts: str, variables: str, refusal: str
) -> None:
    live = Live(lab)
    play = tmp_path / "play.yml"
    play.write_text(PLAY.format(hosts=hosts, variables=variables))
    began = live.mark()
    with pytest.raises(CommandFailed) as failed:
        run(
            [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], play],
            env={"ANSIBLE_NOCOLOR": "1"},
            tail=1000,
        )
    assert refusal in str(failed.value)
    assert live.written(began) == []
