# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other people's files for systemd-networkd that would count instead of ours, by a wildcard, an address or a kind.

The first file whose [Match] section fits a link is the link's, by the order of the files' names (systemd.network(5)).
Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ansible_collections.kubeovn.core.plugins.module_utils import _node_config

if TYPE_CHECKING:
    from ansible_collections.kubeovn.core.plugins.module_utils import _node

FOLDERS = (
    _node_config.NETWORKD,
    _node_config.GENERATED,
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)


def in_force(paths: Iterable[str]) -> list[str]:
    """The files that networkd reads: of those with the same name, the one in the first folder."""
    found: dict[str, str] = {}
    for path in sorted(paths, key=lambda each: FOLDERS.index(os.path.dirname(each))):
        found.setdefault(os.path.basename(path), path)
    return [found[name] for name in sorted(found)]


def problems(
    manager: str,
    nic: str,
    links: Mapping[str, _node.Link],
    wanted: Iterable[str],
    makes_bond: bool,
    texts: Mapping[str, str],
    owners: Mapping[str, Mapping[str, str]],
    own: Iterable[str] = (),
) -> list[str]:
    """Why our files would not count; `texts` are networkd's files in force, `wanted` the NIC and its members.

    `own` are the managers that have files of ours now.
    """
    found = []
    for name in wanted if manager in ("networkd", "netplan") else ():
        ours = _own_name(manager, nic, name)
        link = links.get(name)
        applied = [path for path in owners.get(name, {}).values() if path in texts]
        rivals = {
            path
            for path, text in texts.items()
            if path.endswith(".network")
            and os.path.basename(path) < ours
            and _node_config.is_own(path, nic) is None
            and (path in applied or matches(text, name, link, bond=makes_bond and name == nic))
        }
        found += [
            f"manager: systemd-networkd would go by {path} for {name}, since its name sorts before {ours}. "
            f"Rename it, or take {name} out of its [Match] section"
            for path in sorted(rivals)
        ]
    made = [path for path, text in texts.items() if makes_bond and _makes(path, text, nic, {manager, *own})]
    return found + [
        f"manager: {path} makes a {nic}, too. Give the bond another name, remove that file, or leave members empty, "
        "to take the bond as it is"
        for path in made
    ]


def _own_name(manager: str, nic: str, link: str) -> str:
    """The name of our file for a link."""
    if manager == "netplan":
        return f"10-netplan-{link}.network"
    return f"05-kubeovn-{nic}.network" if link == nic else f"05-kubeovn-{nic}.member-{link}.network"


def _makes(path: str, text: str, nic: str, managers: set[str]) -> bool:
    if not path.endswith(".netdev") or _node_config.is_own(path, nic):
        return False
    if "netplan" in managers and os.path.basename(path) == f"10-netplan-{nic}.netdev":
        return False  # what netplan merges with ours is seen in what it makes
    return _section(text, "NetDev").get("Name", []) == [nic]


def matches(text: str, name: str, link: _node.Link | None, bond: bool) -> bool:
    """Whether the [Match] section of a file fits a link, or a bond that is still to be made.

    What it asks beyond name, address, type and kind is not known here: then networkd itself says which file it applies.
    """
    asked = _section(text, "Match")
    kind = "bond" if bond else link.kind if link else ""
    macs = {link.mac.lower()} if link else set()
    own = {(link.permanent_mac or link.mac).lower()} if link else set()
    tests = {
        "Name": lambda words: _any(words, (name, *(link.altnames if link else ()))),
        "Type": lambda words: _any(words, ("bond" if kind == "bond" else "ether",)),
        "Kind": lambda words: _any(words, (kind,) if kind else ()),
        "MACAddress": lambda words: bool(macs & {_mac(word) for word in words}),
        "PermanentMACAddress": lambda words: bool(own & {_mac(word) for word in words}),
    }
    return bool(asked) and all(key in tests and tests[key](words) for key, words in asked.items())


def _any(words: list[str], values: Iterable[str]) -> bool:
    """Whether one of the values is meant by these patterns; a mark before the first turns all of them round."""
    turned = bool(words) and words[0].startswith("!")
    patterns = [words[0][1:], *words[1:]] if turned else words
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns) != turned


def _mac(word: str) -> str:
    digits = re.sub(r"[^0-9a-f]", "", word.lower())
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def _section(text: str, name: str) -> dict[str, list[str]]:
    """A section's keys with all their words; an empty value takes back what was said before."""
    found: dict[str, list[str]] = {}
    inside = False
    for line in (line.strip() for line in text.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and "=" in line and line[:1] not in "#;":
            key, _equals, value = (part.strip() for part in line.partition("="))
            found[key] = [*found.get(key, []), *value.split()] if value else []
    return {key: words for key, words in found.items() if words}
