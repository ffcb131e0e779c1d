# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who manages a node's links: systemd-networkd (netplan's files among them), NetworkManager or ifupdown.

Each is asked by what it keeps itself: networkd by its state files, NetworkManager by nmcli, ifupdown by its files.
Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ansible_collections.kubeovn.core.plugins.module_utils import _node_config, _node_networkd

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command
    Owners = dict[str, dict[str, str]]  # link -> manager -> the file that says so

NETIF = "/run/systemd/netif/links"
UNITS = {"networkd": "systemd-networkd.service", "networkmanager": "NetworkManager.service"}
SOCKETS = ("systemd-networkd.socket", "systemd-networkd-varlink.socket")  # by which networkd is started, too
STARTS = ("UnitFileState", "WantedBy", "RequiredBy", "UpheldBy", "TriggeredBy")  # what tells who starts a unit
NAMES = {
    "networkd": "systemd-networkd",
    "netplan": "netplan",
    "networkmanager": "NetworkManager",
    "ifupdown": "ifupdown",
}
INTERFACES = "/etc/network/interfaces"
NETPLAN_RULES = "/run/udev/rules.d/90-netplan.rules"  # made at each boot
NOBODY = (
    "manager: neither systemd-networkd nor NetworkManager runs on this node, and ifupdown's networking.service is not "
    "enabled. Enable the one that is to manage the NIC, e.g. systemctl enable --now systemd-networkd, which leaves "
    "links alone for which it has no file"
)


@dataclass(frozen=True)
class Management:
    """Which managers work on this node, and whose each link is."""

    running: frozenset[str] = frozenset()
    passing: frozenset[str] = frozenset()  # of these, who would not be started at the next boot
    owners: Owners = field(default_factory=dict)
    netplan: bool = False  # /etc/netplan has files
    connections: Mapping[str, str] = field(default_factory=dict)  # link -> UUID of NetworkManager's active connection
    states: Mapping[str, str] = field(default_factory=dict)  # hardware link -> what NetworkManager calls its state
    interfaces: str = ""  # ifupdown's main file, and what it has read
    stanzas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # link -> ifupdown's files that name it
    networks: Mapping[str, str] = field(default_factory=dict)  # networkd's files in force, with what they say

    def called(self, names: Mapping[str, str]) -> Management:
        """As it is when links have got other names; ifupdown's files go on naming the old ones."""
        owners = {names.get(link, link): whose for link, whose in self.owners.items()}
        connections = {names.get(link, link): uuid for link, uuid in self.connections.items()}
        states = {names.get(link, link): state for link, state in self.states.items()}
        return replace(self, owners=owners, connections=connections, states=states)

    def idle(self, link: str) -> bool:
        """Whether NetworkManager looks after this link and has no connection for it: it would give it one by itself."""
        return self.states.get(link, "").startswith(("disconnected", "unavailable"))

    def foreign(self, nic: str, link: str, own: Iterable[str]) -> dict[str, str]:
        """The owners of a link other than by our own files for this NIC; `own` are the managers that have such."""
        return {
            manager: path
            for manager, path in self.owners.get(link, {}).items()
            # What netplan makes of our file is in a file of netplan's.
            if _node_config.is_own(path, nic) is None and not (manager == "netplan" and manager in own)
        }

    def other_stanzas(self, nic: str, link: str) -> list[str]:
        """ifupdown's files other than ours that name a link."""
        return [path for path in self.stanzas.get(link, ()) if _node_config.is_own(path, nic) is None]

    def goes_by_ours(self, manager: str, nic: str, link: str) -> bool:
        """Whether this manager manages the link by a file of ours."""
        path = self.owners.get(link, {}).get(manager, "")
        made = manager == "netplan" and os.path.basename(path) == f"10-netplan-{link}.network"
        return made or _node_config.is_own(path, nic) is not None

    def goes_by_another(self, manager: str, nic: str, link: str) -> bool:
        """Whether this manager's program manages the link by a file that is not ours."""
        programs = {daemon(each) for each in self.owners.get(link, {})}
        return daemon(manager) in programs and not self.goes_by_ours(manager, nic, link)


def daemon(manager: str) -> str:
    """The program that carries out what a manager says."""
    return "networkd" if manager == "netplan" else manager


def choose(asked: str, nic: str, links: Iterable[str], own: Iterable[str], seen: Management) -> tuple[str, list[str]]:
    """The manager to write for, and why that would be wrong; `own` are the managers that have files of ours."""
    own, links = list(own), list(links)
    foreign = {link: seen.foreign(nic, link, own) for link in links}
    found = _chosen(asked, own, foreign, seen)
    if not found:
        return "", [NOBODY]
    problems = _not_running(found, seen) if daemon(found) not in seen.running else _not_at_boot(found, seen)
    for link in links:
        whose = {daemon(manager): (manager, path) for manager, path in foreign[link].items()}
        said = " and ".join(f"{NAMES[manager]} ({path})" for manager, path in sorted(whose.values()))
        if len(whose) > 1:
            problems.append(f"manager: {link} has two owners, {said}. Take it out of one of these files")
        elif whose and daemon(found) not in whose:
            (manager, path) = next(iter(whose.values()))
            problems.append(
                f"manager: {link} is {NAMES[manager]}'s ({path}), and {NAMES[found]} is to manage it. "
                f"Set manager: {manager}, or take {link} out of that file"
            )
    if found == "networkmanager" and found not in own:
        problems += [
            f"manager: NetworkManager leaves {link} alone, and would do so after a reboot. Take it out of "
            "unmanaged-devices in /etc/NetworkManager, or out of udev's rules with NM_UNMANAGED, or see `nmcli "
            "networking`; or set another manager"
            for link in links
            if seen.states.get(link) == "unmanaged"
        ]
    if found != "networkmanager":
        problems += [
            f"manager: NetworkManager looks after {link}, and would give it a connection of its own. Set manager: "
            f"networkmanager, or tell it to leave {link} alone (unmanaged-devices in /etc/NetworkManager/conf.d)"
            for link in links
            if seen.idle(link)
        ]
    if found == "ifupdown":
        problems += [
            f"manager: {path} has a stanza for {link}, and ifupdown carries out all of a link's. Take it out there"
            for link in links
            for path in seen.other_stanzas(nic, link)
        ]
    if (
        found == "ifupdown"
        and found in seen.running
        and not sources(seen.interfaces, f"{_node_config.INTERFACES}/kubeovn-{nic}")
    ):
        problems.append(
            f"manager: {INTERFACES} does not read {_node_config.INTERFACES}. "
            f"Add the line: source {_node_config.INTERFACES}/*"
        )
    return found, problems


def _chosen(asked: str, own: list[str], foreign: Mapping[str, Mapping[str, str]], seen: Management) -> str:
    if asked != "auto":
        return asked
    if own:
        return own[0]
    owners = [manager for whose in foreign.values() for manager in whose]
    if owners:
        return owners[0]
    if any(seen.idle(link) for link in foreign):
        return "networkmanager"
    if seen.netplan and "networkd" in seen.running:
        return "netplan"
    return next((name for name in ("networkd", "networkmanager", "ifupdown") if name in seen.running), "")


def _not_running(manager: str, seen: Management) -> list[str]:
    if manager == "ifupdown":
        return ["manager: ifupdown's networking.service is not enabled on this node: systemctl enable networking"]
    others = ", ".join(NAMES[name] for name in sorted(seen.running))
    name, unit = NAMES[daemon(manager)], UNITS[daemon(manager)]
    hint = f"; what runs here is {others}" if others else ""
    return [f"manager: {name} does not run on this node{hint}. Start it: systemctl enable --now {unit}"]


def _not_at_boot(manager: str, seen: Management) -> list[str]:
    if manager not in seen.passing:  # netplan has networkd started by means of its own
        return []
    name, unit = NAMES[manager], UNITS[manager]
    why = "is not started at the next boot, after which nothing of this would be left"
    return [f"manager: {name} runs, and {why}. Have it started then, too: systemctl enable {unit}"]


# --- what each of them says -----------------------------------------------------------------------------------


def of_systemd(text: str) -> dict[str, dict[str, str]]:
    """Units by name, from `systemctl show`, which prints a blank line between two."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return {block["Id"]: block for block in blocks if block.get("Id")}


def is_started_at_boot(unit: str, units: Mapping[str, Mapping[str, str]], starts: str = "") -> bool:
    """Whether a unit is enabled, or may be started by another one. Only who is disabled and alone is surely not.

    starts: the unit that this one would start. networkd wants its own socket, which is no other one.
    """
    known = units.get(unit, {})
    by = {name for key in STARTS[1:-1] for name in known.get(key, "").split()} - {starts}
    if known.get("UnitFileState") != "disabled" or by:
        return True
    return any(is_started_at_boot(trigger, units, unit) for trigger in known.get("TriggeredBy", "").split())


def of_networkd(text: str) -> tuple[str, str] | None:
    """(manager, file) from one of networkd's state files; None when the link is not its."""
    entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    path = entries.get("NETWORK_FILE", "").strip('"')
    if not path or entries.get("ADMIN_STATE") in ("unmanaged", "pending", None):
        return None
    return ("netplan" if os.path.basename(path).startswith("10-netplan-") else "networkd"), path


def terse(text: str) -> list[list[str]]:
    """The fields of `nmcli --terse`, which has a backslash before a colon that is none of its own."""
    return [
        [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", line)] for line in text.splitlines() if line
    ]


def of_networkmanager(devices: str, connections: str) -> dict[str, tuple[str, str]]:
    """Link -> (UUID, file) from `nmcli -t -f DEVICE,STATE,CON-UUID device` and `-f UUID,FILENAME connection`."""
    files = {row[0]: row[1] for row in terse(connections) if len(row) == 2}
    return {
        row[0]: (row[2], files.get(row[2]) or row[2])
        for row in terse(devices)
        if len(row) == 3 and row[2] and row[1].startswith("connect") and "externally" not in row[1]
    }


def states_of_networkmanager(devices: str, rules: str = "") -> dict[str, str]:
    """Link -> its state in a word, of hardware only, from `nmcli -t -f DEVICE,TYPE,STATE device`.

    A bond that somebody else has made is called unmanaged while it is down, and can be taken all the same. So can a
    link of netplan's rules, which are of this boot and stay when its files are gone; while there is one, netplan owns.
    """
    of_this_boot = set(re.findall(r'ENV{ID_NET_NAME}=="([^"]+)"', rules))
    states = {row[0]: row[2] for row in terse(devices) if len(row) == 3 and row[1] in ("ethernet", "veth")}
    return {link: state for link, state in states.items() if state != "unmanaged" or link not in of_this_boot}


def stanzas(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Link -> files with a stanza of ifupdown's for it, from files by path."""
    found: dict[str, tuple[str, ...]] = {}
    for path, text in texts.items():
        for words in (line.split() for line in text.splitlines()):
            if len(words) > 1 and words[0] == "iface" and words[1] != "lo" and path not in found.get(words[1], ()):
                found[words[1]] = (*found.get(words[1], ()), path)
    return found


def sources(text: str, path: str) -> bool:
    """Whether ifupdown's main file has this one read."""
    return any(_matches(words, path) for words in _source_lines(text))


def _source_lines(text: str) -> list[list[str]]:
    lines = (line.split() for line in text.splitlines())
    return [words for words in lines if len(words) > 1 and words[0] in ("source", "source-directory")]


def _matches(words: list[str], path: str) -> bool:
    return any(fnmatch.fnmatch(path, pattern) and _is_read(words, path) for pattern in _patterns(words))


def _is_read(words: list[str], path: str) -> bool:
    """Of a folder ifupdown reads names of letters, digits, dashes and underscores only (interfaces(5))."""
    return words[0] == "source" or re.fullmatch(r"[A-Za-z0-9_-]+", os.path.basename(path)) is not None


def _patterns(words: list[str]) -> list[str]:
    suffix = "/*" if words[0] == "source-directory" else ""
    return [os.path.join(os.path.dirname(INTERFACES), word) + suffix for word in words[1:]]


# --- looking --------------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def look(run: Run) -> Management:
    """Who manages what on this node; a machine without systemd has none of them."""
    if not os.path.exists("/run/systemd/system"):
        return Management()
    asked = [*UNITS.values(), *SOCKETS]
    units = of_systemd(run(["systemctl", "show", f"--property={','.join(('Id', 'ActiveState', *STARTS))}", *asked])[1])
    running = {name for name, unit in UNITS.items() if units.get(unit, {}).get("ActiveState") == "active"}
    passing = {name for name in running if not is_started_at_boot(UNITS[name], units)}
    if os.path.exists("/sbin/ifup") and run(["systemctl", "is-enabled", "--quiet", "networking.service"])[0] == 0:
        running.add("ifupdown")
    owners: Owners = {}
    if "networkd" in running:
        for link, index in _indexes().items():
            owner = of_networkd(_read(f"{NETIF}/{index}"))
            if owner is not None:
                owners.setdefault(link, {})[owner[0]] = owner[1]
    nmcli = "networkmanager" in running and shutil.which("nmcli") is not None
    active = _networkmanager(run) if nmcli else {}
    for link, (_uuid, path) in active.items():
        owners.setdefault(link, {})["networkmanager"] = path
    texts = read_interfaces(INTERFACES) if "ifupdown" in running else {}
    named = stanzas(texts)
    for link, paths in named.items():
        theirs = [path for path in paths if _node_config.is_own(path, link) is None]
        owners.setdefault(link, {})["ifupdown"] = (theirs or list(paths))[0]
    networks = _node_networkd.in_force(
        path for folder in _node_networkd.FOLDERS for path in glob.glob(f"{folder}/*.net*")
    )
    return Management(
        running=frozenset(running),
        passing=frozenset(passing),
        owners=owners,
        netplan=bool(glob.glob(f"{_node_config.NETPLAN}/*.yaml")),
        connections={link: uuid for link, (uuid, _path) in active.items()},
        states=nm_states(run) if nmcli else {},
        interfaces="\n".join(texts.values()),
        stanzas=named,
        networks={path: _read(path) for path in networks} if "networkd" in running else {},
    )


def read_interfaces(path: str) -> dict[str, str]:
    """ifupdown's main file and all that it reads, and what these read again."""
    texts: dict[str, str] = {}
    todo = [path]
    while todo:
        each = todo.pop(0)
        if each not in texts and os.path.isfile(each):
            texts[each] = _read(each)
            todo += [
                name
                for words in _source_lines(texts[each])
                for pattern in _patterns(words)
                for name in sorted(glob.glob(pattern))
                if _is_read(words, name)
            ]
    return texts


def _indexes() -> dict[str, str]:
    """Link -> its number."""
    names = os.listdir("/sys/class/net")
    found = {name: _read(f"/sys/class/net/{name}/ifindex").strip() for name in names}
    return {name: index for name, index in found.items() if index}


def _networkmanager(run: Run) -> dict[str, tuple[str, str]]:
    devices = run(["nmcli", "--terse", "--fields", "DEVICE,STATE,CON-UUID", "device", "status"])
    connections = run(["nmcli", "--terse", "--fields", "UUID,FILENAME", "connection", "show"])
    return of_networkmanager(devices[1], connections[1])


def nm_states(run: Run) -> dict[str, str]:
    """What NetworkManager calls the links' states, once it has begun: until then it has taken none."""

    def ask() -> dict[str, str]:
        devices = run(["nmcli", "--terse", "--fields", "DEVICE,TYPE,STATE", "device", "status"])[1]
        return states_of_networkmanager(devices, _read(NETPLAN_RULES))

    found = ask()
    if "unmanaged" in found.values() and shutil.which("nm-online"):
        run(["nm-online", "--wait-for-startup", "--quiet", "--timeout", "10"])
        found = ask()
    return found
