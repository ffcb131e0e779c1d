# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's wires: network namespaces, one bridge per physical network, and the cables of spaces and machines.

Every cable is a veth pair (a tap for user-mode Linux) whose near end stands in the `wire` namespace as a port of the
bridge and is named `<who>-<interface>`. Checksum and segmentation offloads are off on both ends: with them on,
packets between the two kinds of machine are lost and retransmitted by the thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import site
from .processes import run
from .site import EXTERNAL, MGMT, NETWORKS, TUNNEL, Lab, Network, Node

OFFLOADS = "rx off tx off sg off tso off gso off gro off"


@dataclass(frozen=True)
class Cable:
    """One network interface of a space or machine and the network it is plugged into."""

    who: str
    interface: str
    network: Network
    mac: str
    address: str = ""

    @property
    def port(self) -> str:
        """The near end's name in `wire`."""
        return f"{self.who}-{self.interface}"


SPACE_CABLES = (
    Cable("admin", "mgmt", MGMT, MGMT.mac(site.ADMIN), MGMT.interface(site.ADMIN)),
    Cable("outside", "ext", EXTERNAL, EXTERNAL.mac(site.OUTSIDE), EXTERNAL.interface(site.OUTSIDE)),
    Cable("outside", "mgmt", MGMT, MGMT.mac(site.OUTSIDE), MGMT.interface(site.OUTSIDE)),
    Cable("physgw", "ext", EXTERNAL, EXTERNAL.mac(site.PHYSICAL_GATEWAY), EXTERNAL.interface(site.PHYSICAL_GATEWAY)),
)


def machine_cables(lab: Lab, node: Node) -> list[Cable]:
    """A machine's NICs, in the order a user-mode Linux machine numbers them. Their addresses are its own business."""
    external = [
        Cable(node.short, nic, EXTERNAL, EXTERNAL.mac(node.host, port))
        for port, nic in enumerate(node.external_nics(lab.boot(node)))
    ]
    return [
        Cable(node.short, site.MGMT_NIC, MGMT, MGMT.mac(node.host)),
        Cable(node.short, site.TUNNEL_NIC, TUNNEL, TUNNEL.mac(node.host)),
        *external,
    ]


def up(lab: Lab) -> None:
    """Make the spaces and their cables; what stands already is left as it is."""
    for space in site.SPACES:
        _add_netns(lab, space)
    wire = lab.netns("wire")
    made = _interfaces(wire)
    _sysctl(wire, {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1})
    for network in NETWORKS:
        if network.name not in made:
            _batch(
                wire,
                f"link add {network.name} mtu {network.mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"link set {network.name} up",
            )
    for cable in SPACE_CABLES:
        if cable.port not in made:
            _plug_veth(lab, cable, lab.netns(cable.who))
    _batch(lab.netns("outside"), f"route replace default via {site.PHYSICAL_GATEWAY_ADDRESS}")
    # Replies of EIP hosts to a host on the external network itself hairpin through the gateway.
    redirects = {f"ipv4/conf/{which}/send_redirects": 0 for which in ("all", "default", "ext")}
    _sysctl(lab.netns("physgw"), {"ipv4/ip_forward": 1, **redirects})


def down(lab: Lab) -> None:
    """Take all of this lab's namespaces away, and with them every interface in them."""
    if Path("/run/netns", lab.netns("wire")).exists():
        for interface in sorted(_interfaces(lab.netns("wire")) - {"lo"}):
            run(["ip", "-n", lab.netns("wire"), "link", "del", interface], check=False)
    for name in lab.all_netns:
        if Path("/run/netns", name).exists():
            run(["ip", "netns", "del", name])


def attach_veths(lab: Lab, node: Node) -> str:
    """Give a machine that shares the host's kernel a fresh network namespace with its NICs; the namespace's name."""
    detach(lab, node)
    _add_netns(lab, node.short)
    for cable in machine_cables(lab, node):
        _plug_veth(lab, cable, lab.netns(node.short))
    return lab.netns(node.short)


def attach_taps(lab: Lab, node: Node) -> list[Cable]:
    """Make the taps that a user-mode Linux machine opens from within `wire`."""
    detach(lab, node)
    wire = lab.netns("wire")
    cables = machine_cables(lab, node)
    for cable in cables:
        _batch(
            wire,
            f"tuntap add dev {cable.port} mode tap vnet_hdr",
            f"link set {cable.port} mtu {cable.network.mtu} master {cable.network.name} up",
        )
    _shell(wire, "".join(f"ethtool -K {cable.port} {OFFLOADS} >/dev/null 2>&1 || true\n" for cable in cables))
    return cables


def detach(lab: Lab, node: Node) -> None:
    """Unplug a machine, as a power-off does: its ports leave the bridges, its namespace goes."""
    wire = lab.netns("wire")
    if Path("/run/netns", wire).exists():
        for port in sorted(name for name in _interfaces(wire) if name.startswith(f"{node.short}-")):
            run(["ip", "-n", wire, "link", "del", port])
    if Path("/run/netns", lab.netns(node.short)).exists():
        run(["ip", "netns", "del", lab.netns(node.short)])


def _add_netns(lab: Lab, part: str) -> None:
    name = lab.netns(part)
    if not Path("/run/netns", name).exists():
        run(["ip", "netns", "add", name])
    _batch(name, "link set lo up")


def _plug_veth(lab: Lab, cable: Cable, netns: str) -> None:
    """Make one cable whole: pair, addresses, offloads off at both ends, then up."""
    wire = lab.netns("wire")
    _batch(
        wire,
        f"link add {cable.port} mtu {cable.network.mtu} type veth "
        f"peer name {cable.interface} address {cable.mac} mtu {cable.network.mtu} netns {netns}",
        f"link set {cable.port} master {cable.network.name}",
    )
    _shell(wire, f"ethtool -K {cable.port} {OFFLOADS} >/dev/null")
    _shell(netns, f"ethtool -K {cable.interface} {OFFLOADS} >/dev/null")
    _batch(wire, f"link set {cable.port} up")
    # A machine raises its NICs itself, when it boots and as its configuration says.
    if cable.address:
        _batch(netns, f"address add {cable.address} dev {cable.interface}", f"link set {cable.interface} up")


def _interfaces(netns: str) -> set[str]:
    """Names of a namespace's interfaces."""
    lines = run(["ip", "-n", netns, "-oneline", "link", "show"]).splitlines()
    return {line.split(": ")[1].partition("@")[0] for line in lines}


def _batch(netns: str, *commands: str) -> None:
    run(["ip", "-n", netns, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _shell(netns: str, script: str) -> None:
    run(["sh", "-ec", script], netns=netns)


def _sysctl(netns: str, values: Mapping[str, int]) -> None:
    _shell(netns, "".join(f"echo {value} >/proc/sys/net/{key}\n" for key, value in values.items()))
