# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gateway_nic with Debian 12's userland: bonds and plain NICs by each of its network managers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.ansible import recap
from support.commands import CommandFailed
from support.debian12 import Debian12
from support.live import eventually
from support.nics import LINKS, as_seen

pytestmark = pytest.mark.full

NIC, MEMBERS = "enp8s0", ["enp8s0f0", "enp8s0f1"]
BOND = {"mode": "active-backup", "mtu": 1500, "up": True, "addresses": 0, "members": MEMBERS}
BEGIN = {
    "networkmanager": """set -e
file=/etc/NetworkManager/conf.d/own.conf
printf '[main]\\nno-auto-default=*\\n[keyfile]\\nunmanaged-devices=interface-name:enp1s0\\n' >"$file"
systemctl unmask NetworkManager.service
systemctl enable --now NetworkManager.service""",
    "ifupdown": "systemctl unmask networking.service && systemctl enable --now networking.service",
}
END = {
    "networkmanager": "systemctl disable --now NetworkManager.service; systemctl mask NetworkManager.service",
    "ifupdown": "systemctl disable --now networking.service; systemctl mask networking.service",
}


@pytest.fixture(scope="module")
def debian(lab: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian12]:
    """The lab has the kernel."""
    with Debian12(tmp_path_factory.mktemp("debian12")).running() as machine:
        yield machine


def nic(machine: Debian12) -> dict[str, Any]:
    return as_seen(machine.sh(LINKS), NIC)


def test_it_is_debian_12(debian: Debian12) -> None:
    assert "VERSION_CODENAME=bookworm" in debian.sh("cat /etc/os-release")
    assert debian.sh("python3 --version").startswith("Python 3.11")
    assert debian.sh("udevadm --version").startswith("252")


@pytest.mark.parametrize("manager", ["networkd", "netplan", "networkmanager", "ifupdown"])
def test_a_bond_is_there_also_after_a_reboot(debian: Debian12, manager: str) -> None:
    asked = {"name": NIC, "members": MEMBERS, "bond_primary": MEMBERS[1], "manager": manager}
    debian.sh(BEGIN.get(manager, "true"))
    try:
        debian.role(**asked)
        assert nic(debian) == BOND
        assert recap(debian.role(**asked))["debian12"]["changed"] == 0
        debian.power_cycle()
        eventually(lambda: nic(debian), lambda seen: seen == BOND, 120, "the bond is right after the reboot")
        assert recap(debian.role(**asked))["debian12"]["changed"] == 0
    finally:
        debian.role(name=NIC, members=MEMBERS, state="absent")
        debian.sh(END.get(manager, "true"))
    assert nic(debian) == {}


def test_an_lacp_bond_whose_partner_is_required_and_missing(debian: Debian12) -> None:
    """By NICs that do not say how fast they are, as this kernel's, a bond speaks no LACP at all."""
    asked = {"name": NIC, "members": MEMBERS, "bond_mode": "802.3ad", "bond_lacp_rate": "fast"}
    try:
        with pytest.raises(CommandFailed, match=r"(?s)has\s+no\s+LACP\s+partner.*configured\s+as\s+asked"):
            debian.role(**asked, bond_partner="required")
        assert nic(debian) == {**BOND, "mode": "802.3ad"}
        assert recap(debian.role(**asked, bond_partner="never"))["debian12"]["changed"] == 0
    finally:
        debian.role(name=NIC, members=MEMBERS, state="absent")
    assert nic(debian) == {}


def test_a_nic_by_its_mac_address(debian: Debian12) -> None:
    [row] = json.loads(debian.sh(f"ip -json link show dev {MEMBERS[0]}"))
    asked = {"name": NIC, "macs": {NIC: row["address"]}, "mtu": 1400}
    try:
        debian.role(**asked)
        assert nic(debian) == {"mode": None, "mtu": 1400, "up": True, "addresses": 0, "members": []}
        # udev itself says by which file it would name the link at the next boot.
        told = debian.sh(f"udevadm test-builtin net_setup_link /sys/class/net/{NIC} 2>&1; true")
        assert f"05-kubeovn-{NIC}.name-{NIC}.link" in told
    finally:
        debian.role(name=NIC, state="absent")
    assert nic(debian) == {}
    assert MEMBERS[0] in debian.sh("ls /sys/class/net")
