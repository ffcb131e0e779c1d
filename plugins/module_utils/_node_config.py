# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's network managers are told of the external NIC: the files of systemd-networkd, netplan, NetworkManager
and ifupdown, as text.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.kubeovn.core.plugins.module_utils import _node_bond

MANAGERS = ("networkd", "netplan", "networkmanager", "ifupdown")
NETWORKD = "/etc/systemd/network"
GENERATED = "/run/systemd/network"  # where netplan puts what it makes for systemd-networkd
NETPLAN = "/etc/netplan"
KEYFILES = "/etc/NetworkManager/system-connections"
INTERFACES = "/etc/network/interfaces.d"
BY = "Written by kubeovn.core (ovn_gateway_node_config)"
SPACE = uuid.UUID("6e1c1a52-6f0e-4c7b-9d2a-0b5b6c1f5a11")  # of the connections' UUIDs, which have to stay the same


@dataclass(frozen=True)
class File:
    """What a file holds, and how it is kept."""

    text: str
    mode: int = 0o644
    owner: int = 0
    group: int = 0


if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    Files = dict[str, File]  # by path


@dataclass(frozen=True)
class Wanted:
    """The external NIC as it is to be."""

    nic: str
    mtu: int
    bridge: str
    members: tuple[str, ...] = ()
    mac: str = ""  # the bond's: its first member's own
    bond: Mapping[str, Any] = field(default_factory=dict)  # its options, see _node_bond
    is_bond: bool = False  # it exists already, made by somebody else
    names: Mapping[str, str] = field(
        default_factory=dict
    )  # links to be renamed: what each is called -> is to be called

    @property
    def links(self) -> tuple[str, ...]:
        """Everything that is configured."""
        return (self.nic, *self.members)


def files(manager: str, wanted: Wanted) -> Files:
    """The manager's own files for it."""
    return {"networkd": networkd, "netplan": netplan, "networkmanager": keyfiles, "ifupdown": interfaces}[manager](
        wanted
    )


def is_own(path: str, nic: str) -> str | None:
    """Whose file this is, when it is one of ours for this NIC: the manager."""
    name = re.escape(nic)
    patterns = {
        "networkd": rf"{NETWORKD}/05-kubeovn-{name}\.(network|netdev|member-[^/]+\.network)",
        "netplan": rf"{NETPLAN}/90-kubeovn-{name}\.yaml|{NETWORKD}/10-netplan-{name}\.network\.d/kubeovn\.conf",
        "networkmanager": rf"{KEYFILES}/kubeovn-{name}(\.member-[^/]+)?\.nmconnection",
        "ifupdown": rf"{INTERFACES}/kubeovn-{name}",
        "udev": rf"{NETWORKD}/05-kubeovn-{name}\.name-[^/]+\.link",  # no manager, but whoever it is, it comes with it
    }
    return next((manager for manager, pattern in patterns.items() if re.fullmatch(pattern, path)), None)


def makes_bond(owned: Mapping[str, str]) -> bool:
    """Whether one of these own files (path -> text) is what makes the bond."""
    return any(
        path.endswith(".netdev")
        or re.search(r"^( +interfaces: |type=bond$| +pre-up .* type bond )", text, re.MULTILINE)
        for path, text in owned.items()
    )


# --- systemd-networkd -----------------------------------------------------------------------------------------


def networkd(wanted: Wanted) -> Files:
    """It sorts before other people's files, so that it is the one that counts for its link."""
    stem = f"{NETWORKD}/05-kubeovn-{wanted.nic}"
    found = {f"{stem}.network": File(_NETWORK.format(by=BY, w=wanted))}
    if wanted.members:
        found[f"{stem}.netdev"] = File(_NETDEV.format(by=BY, w=wanted) + _settings(wanted, _NETDEV_OPTIONS))
    for member in wanted.members:
        primary = "PrimarySlave=yes\n" if member == wanted.bond.get("primary") else ""
        found[f"{stem}.member-{member}.network"] = File(_MEMBER.format(by=BY, w=wanted, member=member, primary=primary))
    return found


def _settings(wanted: Wanted, patterns: Mapping[str, str]) -> str:
    options = _node_bond.asked(wanted.bond)
    return "".join(pattern.format(options[name]) for name, pattern in patterns.items() if name in options)


_NETWORK = """\
# {by}: the external NIC, which Kube-OVN makes a port of {w.bridge}.
[Match]
Name={w.nic}

[Link]
MTUBytes={w.mtu}
RequiredForOnline=no

[Network]
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no
LLDP=no
EmitLLDP=no
ConfigureWithoutCarrier=yes
# Open vSwitch is its master: networkd must not take it away.
KeepMaster=yes
"""

_NETDEV = """\
# {by}: the bond that is the external NIC.
[NetDev]
Name={w.nic}
Kind=bond
MTUBytes={w.mtu}
# The first member's own address: made from the machine ID it would be the same on cloned machines.
MACAddress={w.mac}

[Bond]
"""
_NETDEV_OPTIONS = {
    "mode": "Mode={}\n",
    "miimon": "MIIMonitorSec={}ms\n",
    "lacp_rate": "LACPTransmitRate={}\n",
    "hash_policy": "TransmitHashPolicy={}\n",
}

_MEMBER = """\
# {by}: a member of bond {w.nic}.
[Match]
Name={member}

[Link]
MTUBytes={w.mtu}
RequiredForOnline=no

[Network]
Bond={w.nic}
{primary}LinkLocalAddressing=no
IPv6AcceptRA=no
"""

# --- netplan --------------------------------------------------------------------------------------------------


def netplan(wanted: Wanted) -> Files:
    """One file, and what netplan cannot say."""
    text = f"# {BY}: the external NIC, which Kube-OVN makes a port of {wanted.bridge}.\nnetwork:\n  version: 2\n"
    if wanted.members:
        text += "  ethernets:\n" + "".join(_LINK.format(name=name, w=wanted) for name in wanted.members)
    text += "  bonds:\n" if wanted.members or wanted.is_bond else "  ethernets:\n"
    text += _LINK.format(name=wanted.nic, w=wanted) + "      ignore-carrier: true\n"
    if wanted.members:
        text += f'      macaddress: "{wanted.mac}"\n      interfaces: [{", ".join(wanted.members)}]\n'
        text += "      parameters:\n" + _settings(wanted, _NETPLAN_OPTIONS)
    keep = f"# {BY}: Open vSwitch is the link's master, networkd must not take it away.\n[Network]\nKeepMaster=yes\n"
    return {
        f"{NETPLAN}/90-kubeovn-{wanted.nic}.yaml": File(text, 0o600),
        f"{NETWORKD}/10-netplan-{wanted.nic}.network.d/kubeovn.conf": File(keep),
    }


_LINK = """\
    {name}:
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
      mtu: {w.mtu}
      optional: true
"""
_NETPLAN_OPTIONS = {
    "mode": "        mode: {}\n",
    "miimon": "        mii-monitor-interval: {}\n",
    "primary": "        primary: {}\n",
    "lacp_rate": "        lacp-rate: {}\n",
    "hash_policy": "        transmit-hash-policy: {}\n",
}

# --- NetworkManager -------------------------------------------------------------------------------------------


def connection(nic: str, member: str = "") -> str:
    """The name of a connection of ours."""
    return f"kubeovn-{nic}.member-{member}" if member else f"kubeovn-{nic}"


def keyfiles(wanted: Wanted) -> Files:
    """One connection for the NIC, and one for each member."""
    found = {
        "": _KEYFILE.format(
            by=BY,
            kind="bond" if wanted.members or wanted.is_bond else "ethernet",
            id=connection(wanted.nic),
            uuid=connection_uuid(wanted.nic),
            name=wanted.nic,
        )
    }
    found[""] += f"\n[ethernet]\nmtu={wanted.mtu}\n"
    if wanted.members:
        found[""] += f"cloned-mac-address={wanted.mac}\n\n[bond]\n" + _settings(wanted, _KEYFILE_OPTIONS)
    found[""] += _NO_ADDRESS
    for member in wanted.members:
        text = _KEYFILE.format(
            by=BY,
            kind="ethernet",
            id=connection(wanted.nic, member),
            uuid=connection_uuid(wanted.nic, member),
            name=member,
        )
        # The older words, which every version knows.
        found[member] = (
            text + f"master={connection_uuid(wanted.nic)}\nslave-type=bond\n\n[ethernet]\nmtu={wanted.mtu}\n"
        )
    return {f"{KEYFILES}/{connection(wanted.nic, key)}.nmconnection": File(text, 0o600) for key, text in found.items()}


def connection_uuid(nic: str, member: str = "") -> str:
    """Its UUID, the same at every run."""
    return str(uuid.uuid5(SPACE, connection(nic, member)))


_KEYFILE = """\
# {by}: a link of the external NIC.
[connection]
id={id}
uuid={uuid}
type={kind}
interface-name={name}
autoconnect=true
autoconnect-priority=999
autoconnect-slaves=1
"""
_NO_ADDRESS = """
[ipv4]
method=disabled

[ipv6]
method=disabled
"""
_KEYFILE_OPTIONS = {
    "mode": "mode={}\n",
    "miimon": "miimon={}\n",
    "primary": "primary={}\n",
    "lacp_rate": "lacp_rate={}\n",
    "hash_policy": "xmit_hash_policy={}\n",
}

# --- ifupdown -------------------------------------------------------------------------------------------------


def interfaces(wanted: Wanted) -> Files:
    """A stanza whose commands can be run again and again; package ifenslave is not needed."""
    text = f"# {BY}: the external NIC, which Kube-OVN makes a port of {wanted.bridge}.\n"
    text += f"auto {wanted.nic}\niface {wanted.nic} inet manual\n"
    if wanted.members:
        options = _settings(
            wanted,
            {
                name: " " + _node_bond.IP_WORDS.get(name, name) + " {}"
                for name in ("mode", "miimon", "lacp_rate", "hash_policy")
            },
        )
        text += f"    pre-up [ -e /sys/class/net/{wanted.nic} ] || ip link add dev {wanted.nic} address {wanted.mac} "
        text += f"type bond{options}\n"
        for member in wanted.members:
            text += f"    pre-up [ -e /sys/class/net/{wanted.nic}/lower_{member} ] || "
            text += f"{{ ip link set dev {member} down && ip link set dev {member} master {wanted.nic}; }}\n"
            text += f"    pre-up ip link set dev {member} mtu {wanted.mtu} up\n"
        if wanted.bond.get("primary"):
            text += f"    pre-up ip link set dev {wanted.nic} type bond primary {wanted.bond['primary']}\n"
    text += f"    pre-up ip link set dev {wanted.nic} addrgenmode none\n"
    # Without it a router's advertisement would give the NIC an address and a default route.
    heard = f"/proc/sys/net/ipv6/conf/{wanted.nic}/accept_ra"
    text += f"    pre-up [ ! -e {heard} ] || echo 0 > {heard}\n"
    text += f"    up ip link set dev {wanted.nic} mtu {wanted.mtu} up\n"
    text += f"    up ip address flush dev {wanted.nic}\n"
    if wanted.members:
        text += f"    post-down ip link delete dev {wanted.nic} || true\n"
    return {f"{INTERFACES}/kubeovn-{wanted.nic}": File(text)}
