# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's files for systemd-networkd and netplan that would count instead of ours, or be mixed with them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_config, _node_files, _node_networkd
from ansible_collections.kubeovn.core.plugins.module_utils._node import Link
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import Wanted

MAC, OWN = "02:00:00:00:00:21", "02:00:00:00:00:22"
NIC = Link("enp8s0", "", MAC, 1500, True, True, permanent_mac=OWN, altnames=("ens8",))
FILE = "/etc/systemd/network/00-theirs.network"
BOND = Wanted("bond9", 1500, "br-external", ("enp8s0",), MAC, {"mode": "active-backup"})


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ("Name=enp8s0", True),
        ("Name=eth0 enp*", True),
        ("Name=ens8", True),
        ("Name=*", True),
        ("Name=enp8s0\nName=", False),  # taken back, and nothing else is asked
        ("Name=eth0\nName=enp8s0", True),
        ("Name=!enp8s0 eth0", False),
        ("Name=!eth* lo", True),
        ("Name=eth*", False),
        (f"MACAddress={MAC.upper().replace(':', '-')}", True),
        (f"MACAddress=020000000099 {MAC.replace(':', '')}", True),
        (f"MACAddress={OWN}", False),
        (f"PermanentMACAddress={OWN}", True),
        (f"PermanentMACAddress={MAC}", False),
        ("Type=ether", True),
        ("Type=!ether", False),
        ("Type=bond", False),
        ("Kind=veth", False),
        ("Kind=!veth", True),
        ("Type=ether\nName=eth0", False),
        ("Name=*\nDriver=virtio_net", False),  # not known here
        ("# Name=*", False),
    ],
)
def test_which_links_a_file_means(match: str, fits: bool) -> None:
    text = f"# theirs\n[Match]\n{match}\n[Network]\nName=enp8s0\nDHCP=yes\n"
    assert _node_networkd.matches(text, "enp8s0", NIC, bond=False) == fits


@pytest.mark.parametrize(
    ("match", "fits"), [("Type=bond", True), ("Kind=bond", True), ("Name=bond*", True), ("Type=ether", False)]
)
def test_a_bond_that_is_still_to_be_made(match: str, fits: bool) -> None:
    assert _node_networkd.matches(f"[Match]\n{match}\n", "bond9", None, bond=True) == fits


def problems(
    manager: str, texts: dict[str, str], owners: dict[str, dict[str, str]] | None = None, own: str = ""
) -> list[str]:
    links = {"enp8s0": NIC}
    found: list[str] = _node_networkd.problems(
        manager, "bond9", links, BOND.links, True, texts, owners or {}, [own] if own else []
    )
    return found


def test_a_file_that_comes_before_ours_is_refused_one_that_comes_after_is_not() -> None:
    everything = "[Match]\nName=*\n[Network]\nDHCP=yes\n"
    said = problems("networkd", {FILE: everything})
    assert [
        f"systemd-networkd would go by {FILE} for {name}" in text for name, text in zip(BOND.links, said, strict=True)
    ]
    assert "05-kubeovn-bond9.member-enp8s0.network" in said[1]
    later = FILE.replace("00-", "06-")
    assert problems("networkd", {later: everything}) == []
    assert len(problems("netplan", {later: everything})) == 2  # netplan's files sort after it
    assert problems("networkmanager", {FILE: everything}) == []
    [bond] = problems("networkd", {FILE: "[Match]\nKind=bond\n"})  # which is still to be made
    assert "for bond9, since" in bond
    ours = {path: file.text for path, file in _node_config.files("networkd", BOND).items()}
    assert problems("networkd", ours) == problems("netplan", ours) == []


def test_what_networkd_itself_says_counts_where_a_file_cannot_be_judged() -> None:
    driver = {FILE: "[Match]\nDriver=virtio_net\n"}
    assert problems("networkd", driver) == []
    assert len(problems("networkd", driver, {"enp8s0": {"networkd": FILE}})) == 1


def test_another_file_that_makes_the_bond_is_refused() -> None:
    text = "[NetDev]\nName=bond9\nKind=bond\n"
    assert "99-x.netdev makes a bond9, too" in problems("networkmanager", {"/etc/systemd/network/99-x.netdev": text})[0]
    assert "99-x.netdev makes a bond9, too" in problems("networkd", {"/etc/systemd/network/99-x.netdev": text})[0]
    assert problems("networkd", {"/etc/systemd/network/99-x.netdev": text.replace("bond9", "bond0")}) == []
    made = "/run/systemd/network/10-netplan-bond9.netdev"
    assert len(problems("networkd", {made: text})) == 1
    assert problems("netplan", {made: text}) == []
    assert problems("networkd", {made: text}, own="netplan") == []  # it is made of our own file


def test_of_files_with_one_name_the_first_folders_counts() -> None:
    paths = [
        "/usr/lib/systemd/network/80-a.network",
        "/etc/systemd/network/80-a.network",
        "/run/systemd/network/10-b.network",
    ]
    assert _node_networkd.in_force(paths) == ["/run/systemd/network/10-b.network", "/etc/systemd/network/80-a.network"]


# --- netplan, by a generator that writes what it is told of a link by all files together ---

GENERATOR = """#!/bin/sh
mkdir -p "$2/run/systemd/network"
for link in enp8s0 bond9; do
    file="$2/run/systemd/network/10-netplan-$link.network"
    printf '[Match]\\nName=%s\\n[Network]\\n' $link >"$file"
    cat "$2"/lib/netplan/*.yaml "$2"/etc/netplan/*.yaml 2>/dev/null | sed -n "s/^ *# $link //p" >>"$file"
done
"""


@pytest.fixture
def netplan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of netplan's; those of the machine are not read."""
    program = tmp_path / "generate"
    program.write_text(GENERATOR)
    program.chmod(0o755)
    for folder in ("etc", "lib"):
        (tmp_path / folder / "netplan").mkdir(parents=True)
    monkeypatch.setattr(_node_files, "GENERATORS", (f"{tmp_path}/",))
    monkeypatch.setattr(_node_files, "ROOT", str(tmp_path))
    return tmp_path


def run(argv: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def generated(text: str) -> dict[str, str]:
    ours = {"/etc/netplan/90-kubeovn-bond9.yaml": _node_config.File(text)}
    found = _node_files.generated(run, ours, [], BOND.links)
    return {path.rpartition("/")[2]: file.text for path, file in found.items() if file is not None}


def test_what_netplan_makes_of_our_file(netplan: Path) -> None:
    (netplan / "etc/netplan/10-other.yaml").write_text("# eth0 DHCP=yes\n")
    (netplan / "etc/netplan/20-same.yaml").write_text("    # enp8s0 DHCP=no\n")
    made = generated("# enp8s0 DHCP=no\n")
    assert "DHCP=no" in made["10-netplan-enp8s0.network"]


@pytest.mark.parametrize("folder", ["etc", "lib"])
def test_what_netplan_would_mix_with_our_file_is_refused(netplan: Path, folder: str) -> None:
    path = netplan / folder / "netplan" / "50-cloud.yaml"
    path.write_text("# eth0 DHCP=yes\n# enp8s0 Address=192.0.2.7/24\n")
    words = f"netplan would mix what {path} says of enp8s0 with the NIC's file: Address=192.0.2.7/24. Take"
    with pytest.raises(_node_files.RefusedError, match=words):
        generated("# enp8s0 DHCP=no\n")
