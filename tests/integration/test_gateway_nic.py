# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gateway_nic on a machine with a kernel of its own: its dead-man switch, and bonds by each network manager."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible import recap
from support.commands import VENV, CommandFailed, run
from support.lab import Lab
from support.live import Live, eventually

NODE, NIC, MEMBERS = "jah-k3s-h100-003", "enp8s0", ["enp8s0f0", "enp8s0f1"]
MANAGEMENT = "enp1s0"
FOLDERS = (
    "/etc/systemd/network",
    "/etc/netplan",
    "/etc/NetworkManager/system-connections",
    "/etc/network/interfaces.d",
    "/run/systemd/network",
    "/var/lib/kubeovn-gateway-nic",
)
PLAY = """\
- hosts: {node}
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kubeovn.core.{role}
      vars: {variables}
"""
# NetworkManager is to leave the lab's other links alone, as an administrator would tell it.
UNMANAGED = "interface-name:enp1s0;interface-name:enp2s0;interface-name:br-*;interface-name:ovn0;interface-name:mirror0"
BEGIN = {
    "networkmanager": f"""set -e
printf '[main]\\nno-auto-default=*\\n[keyfile]\\nunmanaged-devices={UNMANAGED}\\n' >/etc/NetworkManager/conf.d/lab.conf
systemctl unmask NetworkManager.service
systemctl enable --now NetworkManager.service""",
    "ifupdown": "systemctl unmask networking.service && systemctl enable --now networking.service",
}
END = {
    "networkmanager": """systemctl disable --now NetworkManager.service
systemctl mask NetworkManager.service
rm -f /etc/NetworkManager/conf.d/lab.conf""",
    "ifupdown": "systemctl disable --now networking.service; systemctl mask networking.service",
}


class Machine:
    """The machine with two external NICs for one."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.live, self._play = lab, Live(lab), folder / "play.yml"

    def sh(self, script: str) -> str:
        """A shell script on it."""
        return self.lab.run("node", NODE, "--", "sh", "-c", script, timeout=300)

    def role(self, name: str = "gateway_nic", **variables: Any) -> str:
        """What Ansible says of a role; what the node lives on is given, so that Kubernetes is not asked."""
        if name == "gateway_nic":
            variables = {"internal_ips": [], "api_servers": [], "timeout": 90, **variables}
        named = {f"{name}_{key}": value for key, value in variables.items()}
        self._play.write_text(PLAY.format(node=NODE, role=name, variables=json.dumps(named)))
        argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], self._play]
        return run(argv, env={"ANSIBLE_NOCOLOR": "1"}, tail=400, timeout=900)

    def files(self) -> str:
        """All files that a manager reads, with what they hold."""
        return self.sh(f"find {' '.join(FOLDERS)} -type f -exec sha256sum {{}} + 2>/dev/null | sort -k 2; true")

    def own(self) -> list[str]:
        """Files of the role's."""
        return [line.split()[-1] for line in self.files().splitlines() if "kubeovn" in line]

    def living(self) -> str:
        """The management link's addresses, and the routes."""
        address = json.loads(self.sh(f"ip -json address show dev {MANAGEMENT}"))[0]
        routes = self.sh("ip -4 route show | sort")
        return f"{address['mtu']} {[each['local'] for each in address['addr_info']]}\n{routes}"

    def bond(self) -> dict[str, Any]:
        """The bond as the kernel has it: its own state, and its members."""
        rows = {row["ifname"]: row for row in json.loads(self.sh("ip -json -details address show")) if row}
        if NIC not in rows:
            return {}
        bond = rows[NIC]
        return {
            "mode": bond["linkinfo"]["info_data"]["mode"],
            "mtu": bond["mtu"],
            "up": "UP" in bond["flags"],
            "addresses": len(bond["addr_info"]),
            "members": sorted(name for name, row in rows.items() if row.get("master") == NIC),
        }


RIGHT = {"mode": "active-backup", "mtu": 1500, "up": True, "addresses": 0, "members": MEMBERS}


@pytest.fixture(scope="module")
def machine(up: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(up, tmp_path_factory.mktemp("nic"))
    if machine.live.get("configmap", "ovn-external-gw-config", "kube-system"):
        machine.role("external_gateway", state="absent")
    yield machine
    machine.role()  # as other tests expect it


@pytest.fixture
def manager(machine: Machine, request: pytest.FixtureRequest) -> Iterator[str]:
    """A network manager that the lab's machines have and do not use."""
    name: str = request.param
    machine.role(state="absent")
    machine.sh(BEGIN.get(name, "true"))
    yield name
    machine.role(state="absent")
    machine.sh(END.get(name, "true"))


def test_a_node_that_was_cut_off_comes_back_by_itself(machine: Machine) -> None:
    files, living = machine.files(), machine.living()
    with pytest.raises(CommandFailed, match=r"has\s+restored") as failure:
        machine.role(name=MANAGEMENT, members=[], override=[MANAGEMENT], drop_addresses=True, rollback=25, timeout=5)
    said = str(failure.value)
    assert "TASK [kubeovn.core.gateway_nic : Say what happened]" in said
    eventually(machine.living, lambda now: now == living, 60, "addresses and routes are as before")
    assert machine.files() == files
    assert "kubeovn-restore" not in machine.sh("systemctl list-units --all --plain --no-legend 'kubeovn-restore-*'")


def test_the_physical_network_is_asked(machine: Machine) -> None:
    variables = {"name": NIC, "gateway_address": "10.4.19.1/24"}
    said = machine.role(router_address="10.4.19.253/24", router_mac="16:52:f3:13:6a:25", **variables)
    assert recap(said)[NODE]["failed"] == 0  # nobody has that address
    with pytest.raises(CommandFailed, match=r"gateway_nic_router_address: 10\.4\.19\.29 is\s+[0-9a-f:]{17}'s"):
        machine.role(router_address="10.4.19.29/24", router_mac="16:52:f3:13:6a:25", **variables)
    with pytest.raises(CommandFailed, match=r"gateway_nic_gateway_address: 10\.4\.19\.99 does not answer ARP"):
        machine.role(**{**variables, "gateway_address": "10.4.19.99/24"})


def made_and_kept(machine: Machine, manager: str) -> None:
    """A bond is made, and a second run has nothing to do."""
    machine.role(manager=manager)
    assert machine.bond() == RIGHT
    assert machine.own()
    assert not [path for path in machine.own() if path.startswith("/var/lib")]
    assert recap(machine.role(manager=manager))[NODE]["changed"] == 0


@pytest.mark.parametrize("manager", ["networkmanager", "ifupdown"], indirect=True)
def test_a_bond_by_another_manager(machine: Machine, manager: str) -> None:
    made_and_kept(machine, manager)
    machine.role(state="absent")
    assert machine.bond() == {}
    assert machine.own() == []


@pytest.mark.full
@pytest.mark.parametrize("manager", ["networkd", "netplan", "networkmanager", "ifupdown"], indirect=True)
def test_a_bond_is_there_again_after_a_reboot(machine: Machine, manager: str) -> None:
    made_and_kept(machine, manager)
    machine.sh("sync")
    machine.lab.run("power", "off", NODE)
    machine.lab.run("power", "on", NODE, timeout=400)
    eventually(machine.bond, lambda bond: bond == RIGHT, 120, "the bond is right after the reboot")
    assert recap(machine.role(manager=manager))[NODE]["changed"] == 0
