# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of a node's bond: which go together, where a bond differs, and which of them need it made anew.

Sources: the kernel's Documentation/networking/bonding.rst, and drivers/net/bonding/bond_options.c for what a bond with
members takes. Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the
nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MODES = ("active-backup", "802.3ad", "balance-rr", "balance-xor", "balance-tlb", "balance-alb", "broadcast")
LACP_RATES = ("slow", "fast")
HASH_POLICIES = ("layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4", "vlan+srcmac")
ARGUMENT = {  # the modules' option `bond`
    "type": "dict",
    "options": {
        "mode": {"type": "str", "choices": list(MODES)},
        "miimon": {"type": "int"},
        "primary": {"type": "str"},
        "lacp_rate": {"type": "str", "choices": list(LACP_RATES)},
        "hash_policy": {"type": "str", "choices": list(HASH_POLICIES)},
    },
}

# option -> the modes that know it; one that is not named here is every mode's
MODES_WITH: Mapping[str, tuple[str, ...]] = {
    "primary": ("active-backup", "balance-tlb", "balance-alb"),
    "lacp_rate": ("802.3ad",),
    "hash_policy": ("802.3ad", "balance-xor", "balance-tlb"),
}
# Where the names of command ip differ from the options': what it takes, and what it tells as JSON.
IP_WORDS = {"hash_policy": "xmit_hash_policy"}
IP_TELLS = {**IP_WORDS, "lacp_rate": "ad_lacp_rate"}
NAMES = ("mode", "miimon", "primary", "lacp_rate", "hash_policy")
NOBODY = "00:00:00:00:00:00"  # a partner that has not spoken
MADE_WITH = ("mode", "lacp_rate")  # a bond that is up, or has members, keeps these


def options_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """A bond's options from its `info_data` in `ip -details -json link`. What its mode does not know is left out."""
    found = {name: data.get(IP_TELLS.get(name, name)) for name in NAMES}
    return {name: value for name, value in found.items() if value is not None and knows(found["mode"], name)}


def aggregate_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a bond of mode 802.3ad has come to with its partner, from the same data; other modes have no partner."""
    if data.get("mode") != "802.3ad":
        return {}
    found = data.get("ad_info") or {}
    partner = found.get("partner_mac") or NOBODY
    return {"partner": "" if partner == NOBODY else partner, "aggregated": found.get("num_ports") or 0}


def unaggregated(aggregate: Mapping[str, Any], members: Iterable[str]) -> list[str]:
    """What a bond of mode 802.3ad lacks of its partner, in words; empty: all members work together, or it is no such.

    Without a partner the kernel uses one member alone, and calls the bond's link up.
    """
    members = list(members)
    if not aggregate or not members:
        return []
    if not aggregate["partner"]:
        return [f"has no LACP partner behind {', '.join(members)}, so that one of them works alone"]
    if aggregate["aggregated"] < len(members):
        return [
            f"has {aggregate['aggregated']} of its {len(members)} members in its aggregate with {aggregate['partner']}"
        ]
    return []


def silent(carrier: bool, members: Mapping[str, bool]) -> list[str]:
    """Members without carrier (member -> has one) of a bond that has one by the others: it works, and not for long."""
    return [f"bond member {name} has no carrier" for name, has in sorted(members.items()) if carrier and not has]


def knows(mode: str | None, option: str) -> bool:
    """Whether bonds of this mode have this option."""
    return option not in MODES_WITH or mode in MODES_WITH[option]


def asked(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The options that something is asked of."""
    return {name: wanted[name] for name in NAMES if wanted.get(name) is not None}


def problems(wanted: Mapping[str, Any], members: Iterable[str]) -> dict[str, str]:
    """What is wrong with options that are asked for, by option. Values that no bond has are Ansible's to refuse."""
    options, members = asked(wanted), list(members)
    mode = options.get("mode")
    found = {
        name: f"bonds of mode {mode} have no {name}; those of {', '.join(MODES_WITH[name])} have"
        for name in options
        if mode is not None and not knows(mode, name)
    }
    primary = options.get("primary")
    if primary is not None and primary not in members:
        found.setdefault("primary", f"{primary} is no member: {', '.join(members) or 'there are none'}")
    if options.get("miimon", 1) < 1:
        found["miimon"] = "with 0 nobody would notice that a member has lost its link: milliseconds, 100 is usual"
    return found


def differences(has: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where a bond is not as asked: option -> what it has, what is asked for."""
    pairs = {name: (has.get(name), value) for name, value in asked(wanted).items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def in_words(differing: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The differences as a user reads them."""
    words = {"mode": "is in bond mode {0}, not {1}", "miimon": "looks at its members' links every {0} ms, not {1}"}
    return [
        words.get(name, "has the bond option " + name + " {0}, not {1}").format(has or "none", value)
        for name, (has, value) in differing.items()
    ]


def anew(differing: Iterable[str]) -> bool:
    """Whether the bond has to be made anew for these options; the others are set while it works."""
    return any(name in MADE_WITH for name in differing)


def settings(differing: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The words after `ip link set dev NAME type bond` that set them in place."""
    names = {name: IP_WORDS.get(name, name) for name in differing if name not in MADE_WITH}
    return [word for name, kernel in names.items() for word in (kernel, str(differing[name][1]))]
