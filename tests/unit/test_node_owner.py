# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a link is, and which manager is written for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _node_owner
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management, choose

ALL = frozenset(("networkd", "networkmanager", "ifupdown"))
SOURCES = "# a comment\nsource /etc/network/interfaces.d/*\n"
DHCP = "/etc/systemd/network/80-dhcp.network"


def test_networkd_says_which_file_counts() -> None:
    text = "# private\nADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-mgmt.network\n"
    assert _node_owner.of_networkd(text) == ("networkd", "/etc/systemd/network/10-mgmt.network")
    text = "ADMIN_STATE=configuring\nNETWORK_FILE=/run/systemd/network/10-netplan-enp8s0.network\n"
    assert _node_owner.of_networkd(text) == ("netplan", "/run/systemd/network/10-netplan-enp8s0.network")
    assert _node_owner.of_networkd("ADMIN_STATE=unmanaged\n") is None
    assert _node_owner.of_networkd("") is None


def test_networkmanager_owns_what_it_activated_itself() -> None:
    devices = (
        "enp1s0:connected (externally):5cc8a52e\nenp8s0:connected:089d3c36\nenp9s0:disconnected:\nenp2s0:unmanaged:\n"
        "odd\\:name:connecting (prepare):aa\n"
    )
    connections = "089d3c36:/etc/NetworkManager/system-connections/a\\:b.nmconnection\n"
    assert _node_owner.of_networkmanager(devices, connections) == {
        "enp8s0": ("089d3c36", "/etc/NetworkManager/system-connections/a:b.nmconnection"),
        "odd:name": ("aa", "aa"),
    }


def test_ifupdowns_stanzas_and_sources() -> None:
    texts = {"/etc/network/interfaces": "auto lo\niface lo inet loopback\n  iface enp1s0 inet dhcp\n#iface enp9s0\n"}
    assert _node_owner.stanzas(texts) == {"enp1s0": ("/etc/network/interfaces",)}
    path = "/etc/network/interfaces.d/kubeovn-enp8s0"
    assert _node_owner.sources(SOURCES, path)
    assert _node_owner.sources("source interfaces.d/*\n", path)
    assert _node_owner.sources("source-directory /etc/network/interfaces.d\n", path)
    assert not _node_owner.sources("source-directory /etc/network/interfaces.d\n", f"{path}.100")  # it has a dot
    assert not _node_owner.sources(
        "#source /etc/network/interfaces.d/*\nsource /etc/network/interfaces.d/*.cfg\n", path
    )


def test_ifupdowns_files_are_read_wherever_one_is_read_from(tmp_path: Path) -> None:
    main, other, more = (tmp_path / name for name in ("interfaces", "other", "more"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "read").write_text("iface enp3s0 inet dhcp\n")
    (folder / "not.read").write_text("iface enp4s0 inet dhcp\n")
    main.write_text(f"source {tmp_path}/oth*\niface enp1s0 inet dhcp\nsource-directory {folder}\n")
    other.write_text(f"source {more}\nsource {main}\n")
    more.write_text("iface enp2s0 inet manual\niface enp1s0 inet6 auto\n")
    assert _node_owner.stanzas(_node_owner.read_interfaces(str(main))) == {
        "enp1s0": (str(main), str(more)),
        "enp2s0": (str(more),),
        "enp3s0": (str(folder / "read"),),
    }
    assert _node_owner.read_interfaces(str(tmp_path / "none")) == {}


def test_another_stanza_for_the_same_link_is_refused_also_when_ours_is_there() -> None:
    ours, theirs = "/etc/network/interfaces.d/kubeovn-enp8s0", "/etc/network/interfaces"
    stanzas = {"enp8s0": (ours, theirs), "enp8s0f0": (theirs,)}
    seen = Management(running=ALL, interfaces=SOURCES, stanzas=stanzas)
    words = "and ifupdown carries out all of a link's. Take it out there"
    assert choose("ifupdown", "enp8s0", ["enp8s0", "enp8s0f0"], ["ifupdown"], seen)[1] == [
        f"manager: {theirs} has a stanza for {link}, {words}" for link in ("enp8s0", "enp8s0f0")
    ]
    seen = replace(seen, stanzas={"enp8s0": (ours,)})
    assert choose("ifupdown", "enp8s0", ["enp8s0", "enp8s0f0"], ["ifupdown"], seen)[1] == []


@pytest.mark.parametrize(
    ("seen", "own", "manager"),
    [
        (Management(running=ALL), ["ifupdown"], "ifupdown"),  # what an earlier run has chosen
        (Management(running=ALL, interfaces=SOURCES, owners={"enp8s0": {"ifupdown": "/etc/x"}}), [], "ifupdown"),
        (Management(running=ALL, netplan=True), [], "netplan"),
        (Management(running=ALL), [], "networkd"),
        (Management(running=frozenset(("networkmanager",)), netplan=True), [], "networkmanager"),
        (Management(running=ALL, owners={"enp1s0": {"networkmanager": "x"}}), [], "networkd"),  # another link's
        (Management(running=ALL, states={"enp8s0": "disconnected"}), [], "networkmanager"),  # it looks after it
        (Management(running=ALL, states={"enp8s0": "unmanaged", "enp1s0": "disconnected"}), [], "networkd"),
        (Management(running=ALL, states={"enp8s0": "connected (externally)"}), [], "networkd"),
    ],
)
def test_who_is_written_for_when_nobody_says(seen: Management, own: list[str], manager: str) -> None:
    found, problems = choose("auto", "enp8s0", ["enp8s0"], own, seen)
    assert found == manager
    assert not [problem for problem in problems if "owner" in problem]


@pytest.mark.parametrize(
    ("asked", "seen", "words"),
    [
        ("auto", Management(), "neither systemd-networkd nor NetworkManager runs"),
        (
            "networkmanager",
            Management(running=frozenset(("networkd",))),
            "what runs here is systemd-networkd. Start it",
        ),
        ("ifupdown", Management(running=frozenset(("networkd",))), "systemctl enable networking"),
        (
            "networkd",
            Management(running=ALL, owners={"enp8s0f0": {"networkd": DHCP, "ifupdown": "/etc/network/interfaces"}}),
            f"enp8s0f0 has two owners, ifupdown (/etc/network/interfaces) and systemd-networkd ({DHCP})",
        ),
        (
            "networkd",
            Management(running=ALL, owners={"enp8s0f0": {"networkmanager": "/etc/x.nmconnection"}}),
            "(/etc/x.nmconnection), and systemd-networkd is to manage it. Set manager: networkmanager, or take",
        ),
        (
            "networkmanager",
            Management(running=ALL, states={"enp8s0": "unmanaged", "enp1s0": "unmanaged"}),
            "NetworkManager leaves enp8s0 alone, and would do so after a reboot",
        ),
        (
            "networkd",
            Management(running=ALL, states={"enp8s0f0": "unavailable", "enp8s0": "unmanaged"}),
            "NetworkManager looks after enp8s0f0, and would give it a connection of its own. Set manager: networkm",
        ),
        ("ifupdown", Management(running=ALL), "Add the line: source /etc/network/interfaces.d/*"),
    ],
)
def test_what_is_refused_says_what_to_do(asked: str, seen: Management, words: str) -> None:
    _found, problems = choose(asked, "enp8s0", ["enp8s0", "enp8s0f0"], [], seen)
    assert len(problems) == 1
    assert words in problems[0]


NETWORKD = """\
Id=systemd-networkd.service
ActiveState=active
UnitFileState={state}
WantedBy={wanted}
RequiredBy=
TriggeredBy={triggers}

Id=NetworkManager.service
ActiveState=inactive
UnitFileState=

Id=systemd-networkd.socket
ActiveState=active
UnitFileState={socket}
WantedBy=systemd-networkd.service
TriggeredBy=
"""


@pytest.mark.parametrize(
    ("state", "wanted", "triggers", "socket", "started"),
    [
        ("enabled", "multi-user.target", "systemd-networkd.socket", "enabled", True),
        ("disabled", "", "systemd-networkd.socket", "disabled", False),
        ("disabled", "", "", "disabled", False),
        ("disabled", "", "systemd-networkd.socket", "enabled", True),  # which starts it
        ("disabled", "", "systemd-networkd.socket something.path", "disabled", True),  # nobody knows
        ("disabled", "multi-user.target", "systemd-networkd.socket", "disabled", True),  # as by netplan at each boot
        *(
            (each, "", "", "disabled", True)
            for each in ("static", "indirect", "alias", "enabled-runtime", "linked", "")
        ),
    ],
)
def test_who_is_started_at_boot(state: str, wanted: str, triggers: str, socket: str, started: bool) -> None:
    units = _node_owner.of_systemd(NETWORKD.format(state=state, wanted=wanted, triggers=triggers, socket=socket))
    assert units["systemd-networkd.service"]["ActiveState"] == "active"
    assert _node_owner.is_started_at_boot("systemd-networkd.service", units) is started
    assert _node_owner.is_started_at_boot("another.service", units)  # of which nothing is known


def test_a_manager_that_nothing_starts_at_boot_is_refused() -> None:
    passing = Management(running=ALL, passing=frozenset(("networkd", "networkmanager")), interfaces=SOURCES)
    for manager, unit in (("networkd", "systemd-networkd"), ("networkmanager", "NetworkManager")):
        [problem] = choose(manager, "enp8s0", ["enp8s0"], [], passing)[1]
        assert "after which nothing of this would be left" in problem
        assert problem.endswith(f"systemctl enable {unit}.service")
    assert choose("netplan", "enp8s0", ["enp8s0"], [], passing)[1] == []  # its generator has networkd started
    assert choose("ifupdown", "enp8s0", ["enp8s0"], [], passing)[1] == []


def test_networkmanagers_word_for_hardware() -> None:
    said = "enp8s0:ethernet:unmanaged\nbond0:bond:unmanaged\nlo:loopback:unmanaged\nenp9s0:ethernet:disconnected\n"
    assert _node_owner.states_of_networkmanager(said) == {"enp8s0": "unmanaged", "enp9s0": "disconnected"}
    seen = Management(running=ALL, states={"enp8s0": "unmanaged"})
    assert choose("networkmanager", "enp8s0", ["enp8s0"], ["networkmanager"], seen) == (
        "networkmanager",
        [],
    )  # in service
    assert choose("networkd", "ext0", ["ext0"], [], seen.called({"enp8s0": "ext0"})) == ("networkd", [])
    renamed = replace(seen, states={"enp8s0": "disconnected"}).called({"enp8s0": "ext0"})
    assert "looks after ext0" in choose("networkd", "ext0", ["ext0"], [], renamed)[1][0]


def test_networkmanager_is_asked_again_once_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    ran: list[str] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        ran.append(argv[0])
        return 0, f"enp8s0:ethernet:{'disconnected' if 'nm-online' in ran else 'unmanaged'}\n", ""

    assert _node_owner.nm_states(run) == {"enp8s0": "disconnected"}
    assert ran == ["nmcli", "nm-online", "nmcli"]


def test_a_link_that_netplan_kept_from_networkmanager_in_this_boot_can_be_taken() -> None:
    rules = """# netplan: network.ethernets.enp8s0 (on NetworkManager deny-list)
SUBSYSTEM=="net", ACTION=="add|change|move", ENV{ID_NET_NAME}=="enp8s0", ENV{NM_UNMANAGED}="1"
"""
    said = "enp8s0:ethernet:unmanaged\nenp9s0:ethernet:unmanaged\nenp7s0:ethernet:connected\n"
    assert _node_owner.states_of_networkmanager(said, rules) == {"enp9s0": "unmanaged", "enp7s0": "connected"}


def test_netplan_and_networkd_are_one_program_and_own_files_are_no_foreign_owner() -> None:
    ours = "/etc/systemd/network/05-kubeovn-enp8s0.network"
    seen = Management(running=ALL, owners={"enp8s0": {"networkd": ours}, "enp8s0f0": {"networkd": DHCP}})
    for manager in ("networkd", "netplan"):
        assert choose(manager, "enp8s0", ["enp8s0", "enp8s0f0"], ["networkd"], seen) == (manager, [])
    assert choose("networkmanager", "enp8s0", ["enp8s0"], ["networkd"], seen) == ("networkmanager", [])
    assert seen.goes_by_ours("networkd", "enp8s0", "enp8s0")
    assert not seen.goes_by_ours("networkd", "enp8s0", "enp8s0f0")
    made = "/run/systemd/network/10-netplan-enp8s0.network"
    seen = Management(running=ALL, owners={"enp8s0": {"netplan": made}})
    assert choose("networkmanager", "enp8s0", ["enp8s0"], ["netplan"], seen) == ("networkmanager", [])
    assert "netplan" in choose("networkmanager", "enp8s0", ["enp8s0"], [], seen)[1][0]
