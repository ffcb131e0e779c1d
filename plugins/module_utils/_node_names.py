# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links that are found by their MAC address and given a name, the same on every node: now, and by udev at each boot.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.kubeovn.core.plugins.module_utils import _node, _node_config, _node_frames

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    Command = list[str]
    Names = dict[str, str]  # what a link is called -> what it is to be called
    Links = Mapping[str, _node.Link]

UDEV = 245  # the first version that matches PermanentMACAddress=; an older one would give the name to every link


def find(
    macs: Mapping[str, str], nic: str, members: Iterable[str], links: Links, ovs: _node.Ovs, in_container: bool
) -> tuple[Names, list[str]]:
    """The links that have another name than they are to have; and what is wrong, with the option's path in front."""
    members = list(members)
    allowed = members or [nic]
    names: Names = {}
    problems = []
    for wanted, mac in macs.items():
        try:
            current = _holder(mac, links, in_container)
            if wanted not in allowed:
                raise ValueError(f"only {', '.join(allowed)} can be found by a MAC address here")
            if current in names:
                raise ValueError(f"{current} is to have two names, {names[current]} and {wanted}")
            bridge = ovs.bridge_of(current)
            if current != wanted and bridge:
                raise ValueError(
                    f"{current} has this address and is a port of Open vSwitch bridge {bridge} by that name: "
                    "take it out of service before it gets another one"
                )
            names[current] = wanted
        except ValueError as error:
            problems.append(f"macs.{wanted}: {error}")
    names = {current: wanted for current, wanted in names.items() if current != wanted}
    for current, wanted in names.items():
        other = next((x.name for x in links.values() if wanted in (x.name, *x.altnames) and x.name != current), None)
        if other is not None and other not in names:
            problems.append(f"macs.{wanted}: {links[other].mac or 'another link'} has this name already: {other}")
    return names, problems


def _holder(mac: str, links: Links, in_container: bool) -> str:
    """The NIC with this address of its own; bonds and VLAN links borrow their members'."""
    own = ":".join(f"{byte:02x}" for byte in _node_frames.parse_mac(str(mac)))
    nics = [link for link in links.values() if _is_nic(link, in_container)]
    found = [link.name for link in nics if (link.permanent_mac or link.mac) == own]
    if len(found) != 1:
        known = ", ".join(sorted(f"{link.name} {link.permanent_mac or link.mac}" for link in nics)) or "none"
        which = f"{', '.join(found)} all have it" if found else "no NIC of this node has it"
        raise ValueError(f"{which}; NICs are {known}")
    return found[0]


def _is_nic(link: _node.Link, in_container: bool) -> bool:
    return not link.loopback and (link.kind == "" or (link.kind == "veth" and in_container and link.lower is None))


def renamed(links: Links, names: Mapping[str, str]) -> dict[str, _node.Link]:
    """The links as they will be called."""

    def call(name: str | None) -> str | None:
        return None if name is None else names.get(name, name)

    return {
        names.get(name, name): replace(
            link, name=names.get(name, name), master=call(link.master), lower=call(link.lower)
        )
        for name, link in links.items()
    }


def commands(names: Mapping[str, str], links: Links) -> list[Command]:
    """What gives the links these names at once; a link has to be down for it. Two may swap theirs."""
    found: list[Command] = []
    taken = set(names) & set(names.values())
    for current, wanted in names.items():
        found.append(["ip", "link", "set", "dev", current, "down"])
        if current in links and wanted in links[current].altnames:
            found.append(["ip", "link", "property", "del", "dev", current, "altname", wanted])
    waiting = {current: f"kubeovn{number}" for number, current in enumerate(names) if current in taken}
    found += [["ip", "link", "set", "dev", current, "name", name] for current, name in waiting.items()]
    found += [
        ["ip", "link", "set", "dev", waiting.get(current, current), "name", wanted] for current, wanted in names.items()
    ]
    return found


def back(names: Mapping[str, str]) -> Names:
    """The other way round."""
    return {wanted: current for current, wanted in names.items()}


def spoken(lines: Iterable[Command], names: Mapping[str, str]) -> list[Command]:
    """Commands with the links' other names."""
    return [[names.get(word, word) for word in line] for line in lines]


# --- udev's file, which gives the name at each boot -----------------------------------------------------------


def path(nic: str, name: str) -> str:
    """It sorts before other people's, and before what netplan and the distribution have."""
    return f"{_node_config.NETWORKD}/05-kubeovn-{nic}.name-{name}.link"


def files(nic: str, macs: Mapping[str, str], names: Mapping[str, str], own: _node_config.Files) -> _node_config.Files:
    """A file for each link; what the link was called before stays in it, for the day when it is given back."""
    before = back(names)
    earlier = was(own, nic)
    found = {}
    for name, mac in macs.items():
        old = earlier.get(name) or before.get(name, name)
        text = _LINK.format(by=_node_config.BY, nic=nic, was=old, mac=str(mac).lower().replace("-", ":"), name=name)
        found[path(nic, name)] = _node_config.File(text)
    return found


def kept(nic: str, links: Iterable[str], own: Mapping[str, _node_config.File]) -> _node_config.Files:
    """Files of an earlier run for links that nobody gives a MAC address for now."""
    return {each: own[each] for each in (path(nic, link) for link in links) if each in own}


def was(own: Mapping[str, _node_config.File], nic: str) -> Names:
    """What links with such a file were called before: name -> earlier name."""
    found = {}
    for each, file in own.items():
        match = re.fullmatch(re.escape(path(nic, "")[: -len(".link")]) + r"(.+)\.link", each)
        old = re.search(r"^# It was called (\S+)\.$", file.text, re.MULTILINE)
        if match and old:
            found[match[1]] = old[1]
    return found


_LINK = """\
# {by}: a link of the external NIC {nic}.
# It was called {was}.
[Match]
PermanentMACAddress={mac}

[Link]
Name={name}
"""
