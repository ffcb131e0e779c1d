# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What links were that nobody managed before our files came: kept in the NIC's own file, for the day it is given back.

A manager puts its links back by its own files. What somebody has set by hand is known by the kernel alone.
Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.kubeovn.core.plugins.module_utils import _node_config, _node_networkd

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from ansible_collections.kubeovn.core.plugins.module_utils import _node
    from ansible_collections.kubeovn.core.plugins.module_utils._node_config import File, Files
    from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import Management

    Command = list[str]
    Links = Mapping[str, _node.Link]
    Were = dict[str, str]  # link -> what it was, in words

# How the kernel makes IPv6 link-local addresses: ip's word -> the setting's number
MODES = {"eui64": "0", "none": "1", "stable_secret": "2", "random": "3"}
_LINE = re.compile(r"^# Before, (\S+): (mtu \d+ (?:up|down)[^\n]*)$", re.MULTILINE)
# Written like this the addresses of a link that is up are there at once, not only when it comes up again.
_SET_MODE = 'echo "$1" >"/proc/sys/net/ipv6/conf/$2/addr_gen_mode"'


def home(nic: str) -> tuple[str, ...]:
    """The file that keeps it, by each manager: the NIC's own."""
    return (
        f"{_node_config.NETWORKD}/05-kubeovn-{nic}.network",
        f"{_node_config.NETPLAN}/90-kubeovn-{nic}.yaml",
        f"{_node_config.KEYFILES}/{_node_config.connection(nic)}.nmconnection",
        f"{_node_config.INTERFACES}/kubeovn-{nic}",
    )


def fresh(nic: str, members: Iterable[str], links: Links, own: Mapping[str, File], seen: Management) -> list[str]:
    """The links whose state is to be kept now: nobody has managed them, and we neither.

    A bond of ours is none of them; it is removed in the end.
    """
    came = any(path in own for path in home(nic))
    managers = {_node_config.is_own(path, nic) or "" for path in own}
    texts = [file.text for file in own.values()]

    def ours(name: str) -> bool:
        return came and any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text) for text in texts)

    return [
        name
        for name in list(members) or [nic]
        if name in links and not ours(name) and not seen.foreign(nic, name, managers) and not seen.idle(name)
    ]


def look(addresses: Iterable[Mapping[str, Any]], links: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Were:
    """All links as they are, from the rows of `ip -json -details`; `names`: what they will be called."""
    modes = {row["ifname"]: row.get("inet6_addr_gen_mode", "") for row in links if row.get("ifname")}
    return {
        names.get(row["ifname"], row["ifname"]): _words(row, modes.get(row["ifname"], ""))
        for row in addresses
        if row.get("ifname")
    }


def _words(row: Mapping[str, Any], mode: str) -> str:
    head = f"mtu {row['mtu']} {'up' if 'UP' in row.get('flags', ()) else 'down'}"
    found = [f"{head} addrgenmode {mode}" if mode in MODES else head]
    for each in row.get("addr_info") or ():
        made = each.get("scope") == "link" and each.get("family") == "inet6" and mode != "none"  # by the kernel itself
        if each.get("local") and not each.get("dynamic") and not made:
            broadcast = f" brd {each['broadcast']}" if each.get("broadcast") else ""
            found.append(f"{each['local']}/{each['prefixlen']}{broadcast}")
    return ", ".join(found)


def kept(own: Mapping[str, File], nic: str) -> Were:
    """What our files say of it."""
    return {name: words for path in home(nic) if path in own for name, words in _LINE.findall(own[path].text)}


def told(files: Mapping[str, File], nic: str, links: Iterable[str], were: Were) -> Files:
    """The files with what these links were below the first line of the NIC's own."""
    links = set(links)
    lines = "".join(f"# Before, {name}: {words}\n" for name, words in sorted(were.items()) if name in links)
    found = dict(files)
    for path in home(nic):
        if path in found and lines:
            first, rest = found[path].text.split("\n", 1)
            found[path] = replace(found[path], text=f"{first}\n{lines}{rest}")
    return found


def given_back(
    nic: str, leaving: Iterable[str], links: Links, own: Mapping[str, File], seen: Management, gone: Iterable[str]
) -> Were:
    """Of the links that leave us, what those were that nobody else has got hold of meanwhile; `gone`: files that go."""
    were, gone = kept(own, nic), set(gone)
    others = [text for path, text in seen.networks.items() if path.endswith(".network") and path not in gone]

    def free(link: _node.Link) -> bool:
        claimed = any(_node_networkd.matches(text, link.name, link, bond=False) for text in others)
        return link.master in (None, nic) and not claimed and not seen.other_stanzas(nic, link.name)

    return {name: were[name] for name in sorted(leaving) if name in were and name in links and free(links[name])}


def commands(were: Were, names: Mapping[str, str]) -> list[Command]:
    """What makes the links so again; `names`: what they are called by then."""
    found: list[Command] = []
    for name, words in were.items():
        link, (head, *addresses) = names.get(name, name), words.split(", ")
        _mtu, mtu, state, *mode = head.split()
        if mode[1:] and mode[1] in MODES:
            found.append(["sh", "-c", _SET_MODE, "sh", MODES[mode[1]], link])
        found.append(["ip", "link", "set", "dev", link, "mtu", mtu, state])
        found += [["ip", "address", "replace", *address.split(), "dev", link] for address in addresses]
    return found


def steps(were: Were, names: Mapping[str, str]) -> list[str]:
    """The same in words."""
    return [f"give {names.get(name, name)} back what it was: {words}" for name, words in were.items()]
