# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gateway_nic on a machine with a kernel of its own: its dead-man switch, and bonds by each network manager."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.ansible import recap
from support.commands import VENV, CommandFailed, run
from support.lab import Lab
from support.live import Live, eventually
from support.nics import LINKS, as_seen

NODE, NIC, MEMBERS = "jah-k3s-h100-003", "enp8s0", ["enp8s0f0", "enp8s0f1"]
PLAIN = "jah-k3s-h100-001"  # a container, whose external NIC is no bond: what needs no bond is quicker there
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
mkdir -p /etc/NetworkManager/conf.d
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
    """A gateway machine and its external NIC."""

    def __init__(self, lab: Lab, folder: Path, node: str = NODE) -> None:
        self.lab, self.live, self.node, self._play = lab, Live(lab), node, folder / f"{node}.yml"

    def sh(self, script: str) -> str:
        """A shell script on it."""
        return self.lab.run("node", self.node, "--", "sh", "-c", script, timeout=300)

    def role(self, role: str = "gateway_nic", /, **variables: Any) -> str:
        """What Ansible says of a role; what the node lives on is given, so that Kubernetes is not asked."""
        if role == "gateway_nic":
            variables = {"internal_ips": [], "api_servers": [], "timeout": 90, "rollback": 900, **variables}
        named = {f"{role}_{key}": value for key, value in variables.items()}
        self._play.write_text(PLAY.format(node=self.node, role=role, variables=json.dumps(named)))
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

    def ready(self) -> bool:
        """Whether Kubernetes takes the node for alive."""
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.live.kubectl("get", "node", self.node, "-o", f"jsonpath={path}").strip() == "True"

    def nic(self) -> dict[str, Any]:
        """The external NIC as the kernel has it."""
        return as_seen(self.sh(LINKS), NIC)


RIGHT = {"mode": "active-backup", "mtu": 1500, "up": True, "addresses": 0, "members": MEMBERS}


@pytest.fixture(scope="module")
def machines(up: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    folder = tmp_path_factory.mktemp("nic")
    found = {node: Machine(up, folder, node) for node in (NODE, PLAIN)}
    if Live(up).get("configmap", "ovn-external-gw-config", "kube-system"):
        found[NODE].role("external_gateway", state="absent")
    yield found
    for machine in found.values():  # as other tests expect it
        machine.role()
        eventually(machine.ready, bool, 180, f"{machine.node} is Ready, though it was cut off")


@pytest.fixture
def machine(machines: dict[str, Machine]) -> Machine:
    """The one with two external NICs for one, and a kernel of its own."""
    return machines[NODE]


@pytest.fixture
def plain(machines: dict[str, Machine]) -> Machine:
    return machines[PLAIN]


@contextmanager
def managed(machine: Machine, manager: str) -> Iterator[None]:
    """A network manager that the lab's machines have and do not use; nothing is configured before and after."""
    machine.role(state="absent")
    machine.sh(BEGIN.get(manager, "true"))
    try:
        yield
    finally:
        machine.role(state="absent")
        machine.sh(END.get(manager, "true"))


def test_a_node_that_was_cut_off_comes_back_by_itself(machine: Machine) -> None:
    files, living = machine.files(), machine.living()
    with pytest.raises(CommandFailed, match=r"has\s+restored") as failure:
        machine.role(name=MANAGEMENT, members=[], override=[MANAGEMENT], drop_addresses=True, rollback=25, timeout=5)
    assert "TASK [kubeovn.core.gateway_nic : Say what happened]" in str(failure.value)
    eventually(machine.living, lambda now: now == living, 60, "addresses and routes are as before")
    assert machine.files() == files
    assert "kubeovn-restore" not in machine.sh("systemctl list-units --all --plain --no-legend 'kubeovn-restore-*'")


def test_the_physical_network_is_asked(plain: Machine) -> None:
    mac = "16:52:f3:13:6a:25"
    silent, free = "10.4.19.99/24", "10.4.19.253/24"
    said = plain.role(gateway_address="10.4.19.1/24", router_address=free, router_mac=mac)
    assert "does not answer ARP" not in said
    missing = r"gateway_nic_gateway_address:\s+10\.4\.19\.99\s+does\s+not\s+answer\s+ARP"
    assert re.search(missing, plain.role(gateway_address=silent, router_address=free, router_mac=mac))  # only said
    with pytest.raises(CommandFailed, match=missing) as failure:
        plain.role(gateway_address=silent, router_address="10.4.19.29/24", router_mac=mac, arp="required")
    assert re.search(r"gateway_nic_router_address:\s+10\.4\.19\.29\s+is\s+[0-9a-f:]{17}'s", str(failure.value))


def made_and_kept(machine: Machine, manager: str, right: dict[str, Any]) -> None:
    """The NIC is made ready, and a second run has nothing to do."""
    machine.role(manager=manager)
    assert machine.nic() == right
    assert machine.own()
    assert not [path for path in machine.own() if path.startswith("/var/lib")]
    assert recap(machine.role(manager=manager))[machine.node]["changed"] == 0


def test_a_bond_by_networkmanager(machine: Machine) -> None:
    with managed(machine, "networkmanager"):
        made_and_kept(machine, "networkmanager", RIGHT)
    assert machine.nic() == {}
    assert machine.own() == []


def test_a_plain_nic_by_ifupdown(plain: Machine) -> None:
    with managed(plain, "ifupdown"):
        made_and_kept(plain, "ifupdown", {**RIGHT, "mode": None, "members": []})
    assert plain.own() == []


@pytest.mark.full
@pytest.mark.parametrize("manager", ["networkd", "netplan", "networkmanager", "ifupdown"])
def test_a_bond_is_there_again_after_a_reboot(machine: Machine, manager: str) -> None:
    with managed(machine, manager):
        made_and_kept(machine, manager, RIGHT)
        machine.sh("sync")
        machine.lab.run("power", "off", NODE)
        machine.lab.run("power", "on", NODE, timeout=400)
        eventually(machine.nic, lambda nic: nic == RIGHT, 120, "the bond is right after the reboot")
        assert recap(machine.role(manager=manager))[NODE]["changed"] == 0
    assert machine.nic() == {}
    assert machine.own() == []


@pytest.mark.full
def test_a_nic_has_its_name_by_its_mac_address_also_after_a_reboot(machine: Machine) -> None:
    machine.role(state="absent")
    own = json.loads(machine.sh(f"ip -json link show dev {MEMBERS[1]}"))[0]["address"]
    plain = {**RIGHT, "mode": None, "members": []}
    try:
        machine.role(members=[], macs={NIC: own})
        assert machine.nic() == plain
        assert recap(machine.role(members=[], macs={NIC: own}))[NODE]["changed"] == 0
        machine.sh("sync")
        machine.lab.run("power", "off", NODE)
        machine.lab.run("power", "on", NODE, timeout=400)
        eventually(machine.nic, lambda nic: nic == plain, 120, "the NIC has its name after the reboot")
        assert recap(machine.role(members=[]))[NODE]["changed"] == 0  # once given, the name stays
    finally:
        machine.role(members=[], state="absent")
    assert machine.nic() == {}
    assert machine.own() == []
    assert json.loads(machine.sh(f"ip -json link show dev {MEMBERS[1]}"))[0]["address"] == own


@pytest.mark.full
def test_a_nic_that_nobody_manages_is_given_back_as_it_was(plain: Machine) -> None:
    def now() -> tuple[Any, ...]:
        row = json.loads(plain.sh(f"ip -json address show dev {NIC}"))[0]
        addresses = sorted((each["local"], each["prefixlen"], each["scope"]) for each in row["addr_info"])
        return row["mtu"], "UP" in row["flags"], addresses

    plain.role(state="absent")
    clean = now()
    try:
        plain.sh(
            f"ip link set dev {NIC} mtu 1400 up; ip address add 192.0.2.9/24 dev {NIC}; "
            f"ip address add 2001:db8::9/64 dev {NIC}"
        )
        before = eventually(now, lambda seen: len(seen[2]) >= 2, 10, "the addresses are there")
        plain.role(drop_addresses=True)
        assert plain.nic() == {**RIGHT, "mode": None, "members": []}
        plain.role(mtu=1450)  # which must not be taken for what was there before
        plain.role(state="absent")
        eventually(now, lambda seen: seen == before, 20, f"the NIC is as it was: {before}")
    finally:
        state = "up" if clean[1] else "down"
        plain.sh(f"ip address flush dev {NIC} scope global; ip link set dev {NIC} mtu {clean[0]} {state}")
    assert plain.own() == []


@pytest.mark.full
def test_a_manager_that_nothing_starts_at_the_next_boot_is_refused(plain: Machine) -> None:
    plain.role()
    unit = "systemd-networkd.service"
    plain.sh(f"systemctl disable {unit} 2>&1")
    try:
        assert plain.sh(f"systemctl is-active {unit}").strip() == "active"
        with pytest.raises(CommandFailed, match=rf"gateway_nic_manager:(?s:.)*systemctl\s+enable\s+{unit}"):
            plain.role(manager="networkd")
    finally:
        plain.sh(f"systemctl enable {unit} 2>&1")
    assert recap(plain.role(manager="networkd"))[PLAIN]["changed"] == 0
