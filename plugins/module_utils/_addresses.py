# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, networks, MACs and NIC names as users write them: parsed, or refused with the option's path. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, NetmaskValueError
from itertools import count

from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem

# _module says so when it is missing.
with suppress(ImportError):
    import netaddr

LONGEST_NIC_NAME = 15  # Linux: IFNAMSIZ, less its final zero
SMALLEST_PREFIX = 30  # the longest prefix that leaves room for two hosts and a broadcast address
OWN_BRIDGES = frozenset({"br-int", "br-external"})  # never a NIC to hand over

# Kube-OVN v1.14, pkg/controller/pod.go: the match of the policy, and what it takes of external-gw-addr.
IPV6_REASON = "IPv4 only: Kube-OVN reroutes an EIP's packets by a policy on ip4.src to external-gw-addr's first address"
_CIDR = re.compile(r"[0-9.]+/[0-9]{1,2}")


def parse_address(path: str, text: str, problems: list[Problem]) -> IPv4Address | None:
    """An IPv4 address of a host, 10.4.19.101."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        hint = IPV6_REASON if ":" in text else "the form is 10.4.19.101"
        problems.append(Problem(path, f"{text!r} is not an IPv4 address", hint))
        return None
    if not _is_host(address):
        problems.append(Problem(path, f"{address} can never be the address of a host", "take one of the network's own"))
        return None
    return address


def parse_interface(path: str, text: str, problems: list[Problem]) -> IPv4Interface | None:
    """A host's IPv4 address with its network's prefix length, 10.4.19.1/24."""
    form = "the form is 10.4.19.1/24: a host's address and the length of its network's prefix"
    try:
        if not _CIDR.fullmatch(text):
            raise AddressValueError(text)
        interface = IPv4Interface(text)
    except (AddressValueError, NetmaskValueError):
        hint = IPV6_REASON if ":" in text else form
        problems.append(Problem(path, f"{text!r} is not an IPv4 address with a prefix length", hint))
        return None
    if not 1 <= interface.network.prefixlen <= SMALLEST_PREFIX:
        hint = f"a prefix length from 1 to {SMALLEST_PREFIX}"
        problems.append(Problem(path, f"{interface} leaves no room for a gateway, a router port and EIPs", hint))
        return None
    if not _is_host(interface.ip):
        problems.append(Problem(path, f"{interface.ip} can never be the address of a host", form))
        return None
    refused = not_a_host_of(interface.ip, interface.network)
    if refused:
        problems.append(Problem(path, f"{interface.ip} is {refused}", form))
        return None
    return interface


def not_a_host_of(address: IPv4Address, network: IPv4Network) -> str:
    """Why an address is not one that a host on that network can have; empty when it is."""
    if address not in network:
        return f"not in network {network}"
    if address == network.network_address:
        return f"the address of network {network} itself"
    if address == network.broadcast_address:
        return f"the broadcast address of network {network}"
    return ""


def parse_mac(path: str, text: str, problems: list[Problem]) -> str | None:
    """A MAC address that one router port can have, in any usual form; in lower case with colons, as OVN writes it."""
    if not netaddr.valid_mac(text):
        problems.append(Problem(path, f"{text!r} is not a MAC address", "the form is 16:52:f3:13:6a:25"))
        return None
    eui = netaddr.EUI(text, version=48, dialect=netaddr.mac_unix_expanded)
    if eui.words[0] & 1:
        hint = "the first byte of a single host's MAC is even, as in 16:52:f3:13:6a:25"
        problems.append(Problem(path, f"{eui} is a multicast address", hint))
        return None
    if not int(eui):
        problems.append(Problem(path, f"{eui} is nobody's address", "the form is 16:52:f3:13:6a:25"))
        return None
    return str(eui)


def derived_macs(address: IPv4Address) -> Iterator[str]:
    """Stable, locally administered MACs for the router port, best first: its address is unique on its network."""
    for number in count():
        text = f"kubeovn.core router port {address}" + (f" {number}" if number else "")
        digest = bytearray(hashlib.sha256(text.encode()).digest()[:6])
        digest[0] = digest[0] & 0xFC | 0x02  # unicast, locally administered
        yield str(netaddr.EUI(int.from_bytes(digest, "big"), version=48, dialect=netaddr.mac_unix_expanded))


def check_nic_name(path: str, name: str, problems: list[Problem]) -> None:
    """A name that Linux takes for a network interface, and that is not one of Kube-OVN's own bridges."""
    hint = f"1 to {LONGEST_NIC_NAME} printable characters without space, slash or colon, as in enp8s0 or bond0"
    bad = not 1 <= len(name) <= LONGEST_NIC_NAME or name in (".", "..")
    if bad or not name.isascii() or not name.isprintable() or any(character in " /:," for character in name):
        problems.append(Problem(path, f"{name!r} cannot be the name of a network interface", hint))
    elif name in OWN_BRIDGES:
        hint = "name the physical NIC or the bond that is to be put into br-external"
        problems.append(Problem(path, f"{name} is a bridge of Kube-OVN's", hint))


def _is_host(address: IPv4Address) -> bool:
    return not (address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved)
