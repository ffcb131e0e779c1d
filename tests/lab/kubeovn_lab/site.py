# SPDX-License-Identifier: GPL-3.0-or-later
"""The example site's values, and one lab's names and paths. Pure data: nothing here touches the machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Boot = Literal["nspawn", "uml"]
BOOTS: tuple[Boot, ...] = ("nspawn", "uml")


@dataclass(frozen=True)
class Network:
    """One physical network of the site: a bridge of that name in the `wire` namespace."""

    name: str
    prefix: str  # the first three octets
    number: int  # tells the networks' MAC addresses apart
    mtu: int = 1500

    @property
    def cidr(self) -> str:
        return f"{self.prefix}.0/24"

    def address(self, host: int) -> str:
        return f"{self.prefix}.{host}"

    def interface(self, host: int) -> str:
        return f"{self.prefix}.{host}/24"

    def mac(self, host: int, port: int = 0) -> str:
        """A stable, locally administered MAC address for port `port` of host `host` on this network."""
        return f"02:4b:0f:{self.number:02x}:{port:02x}:{host:02x}"


MGMT = Network("mgmt", "10.4.18", 1)
TUNNEL = Network("tunnel", "10.4.17", 2)
EXTERNAL = Network("ext", "10.4.19", 3)
NETWORKS = (MGMT, TUNNEL, EXTERNAL)

ADMIN = 1  # host number of the admin namespace on mgmt: control plane, OVN central, default route of the machines
OUTSIDE = 29  # the outside host's number on ext, and on mgmt where its sshd is reached without touching ext
PHYSICAL_GATEWAY = 1  # the physical gateway's number on ext

ADMIN_ADDRESS = MGMT.address(ADMIN)
OUTSIDE_MGMT_ADDRESS = MGMT.address(OUTSIDE)
PHYSICAL_GATEWAY_ADDRESS = EXTERNAL.address(PHYSICAL_GATEWAY)

API_PORT = 6443
NB_PORT = 6641
SB_PORT = 6642
API_URL = f"https://{ADMIN_ADDRESS}:{API_PORT}"
NB_ENDPOINT = f"tcp:{ADMIN_ADDRESS}:{NB_PORT}"
SB_ENDPOINT = f"tcp:{ADMIN_ADDRESS}:{SB_PORT}"

MGMT_NIC = "enp1s0"  # InternalIP, ssh, API server, default route
TUNNEL_NIC = "enp2s0"  # port of the netdev bridge that holds the encapsulation address
TUNNEL_BRIDGE = "br-phy"

EIP = "10.4.19.101"
EXTERNAL_NIC = "enp8s0"
EXTERNAL_SWITCH = "external"  # Kube-OVN's own default

VPC = "ovn-cluster"
OVERLAY_CIDR = "10.253.0.0/16"
OVERLAY_GATEWAY = "10.253.0.1"
JOIN_CIDR = "100.64.0.0/17"
SERVICE_CIDR = "10.96.0.0/16"

VM_NAME = "testing"
GUEST_USER = "ubuntu"
CENTRAL_NODE = "lab-central"  # the node kwok plays: it "runs" the ovn-central pod and nothing else


@dataclass(frozen=True)
class Node:
    """One machine of the site."""

    name: str
    short: str
    host: int  # host number on mgmt and tunnel
    gateway: bool

    @property
    def mgmt_address(self) -> str:
        return MGMT.address(self.host)

    @property
    def tunnel_address(self) -> str:
        return TUNNEL.address(self.host)

    def external_nics(self, boot: Boot) -> tuple[str, ...]:
        """A gateway's two external NICs; on a UML machine the role bonds them to one `enp8s0`."""
        if not self.gateway:
            return ()
        return ("enp8s0", "enp9s0") if boot == "nspawn" else ("enp8s0f0", "enp8s0f1")


NODES = (
    Node("jah-k3s-h100-001", "g1", 11, True),
    Node("jah-k3s-h100-002", "g2", 12, True),
    Node("jah-k3s-h100-003", "g3", 13, True),
    Node("jah-k3s-l40s-001", "w1", 21, False),
)

Space = Literal["admin", "wire", "outside", "physgw"]
SPACES: tuple[Space, ...] = ("wire", "admin", "outside", "physgw")


def cache_dir() -> Path:
    """Where builds and labs are kept; nothing else on the host is written to."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kubeovn-core-lab"


@dataclass(frozen=True)
class Lab:
    """One lab: its name, what it consists of, and where its things are."""

    name: str = "site"
    boots: tuple[tuple[str, Boot], ...] = ()  # node name -> boot, for those that are not nspawn
    worker: bool = True
    switch: str = EXTERNAL_SWITCH  # --external-gateway-switch of Kube-OVN's controller and daemons
    tree: str = field(
        default="", compare=False
    )  # which build of the root file system; a lab keeps the one it began with

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", self.name):
            raise ValueError(f"lab name {self.name!r}: 1 to 12 lower-case letters or digits, a letter first")

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for node in NODES if node.gateway or self.worker)

    @property
    def gateways(self) -> tuple[Node, ...]:
        return tuple(node for node in NODES if node.gateway)

    def node(self, name: str) -> Node:
        """The node of that name or short name."""
        for node in self.nodes:
            if name in (node.name, node.short):
                return node
        raise KeyError(f"no machine {name!r} in lab {self.name}; there are {', '.join(n.name for n in self.nodes)}")

    def boot(self, node: Node) -> Boot:
        return dict(self.boots).get(node.name, "nspawn")

    # Network namespaces -------------------------------------------------
    def netns(self, part: str) -> str:
        """Name of the namespace of `admin`, `wire`, `outside`, `physgw` or of a machine's short name."""
        return f"kol-{self.name}-{part}"

    @property
    def all_netns(self) -> tuple[str, ...]:
        return tuple(self.netns(part) for part in (*SPACES, *(node.short for node in self.nodes)))

    # Caches shared by all labs ------------------------------------------
    @property
    def cache(self) -> Path:
        return cache_dir()

    @property
    def bin(self) -> Path:
        return self.cache / "bin"

    @property
    def rootfs(self) -> Path:
        """The finished root file system (read-only: machines get overlays or images of it)."""
        return self.cache / f"rootfs-{self.tree}"

    @property
    def uml_kernel(self) -> Path:
        """User-mode Linux; its modules stand beside it in modules/VERSION."""
        return self.cache / "uml" / "linux"

    @property
    def uml_registers(self) -> Path:
        """What user-mode Linux is preloaded with: builds/uml/xstate.c, built."""
        return self.cache / "uml" / "xstate.so"

    @property
    def uml_image(self) -> Path:
        """ext4 image of the same tree, base of the UML machines' copy-on-write disks."""
        return self.cache / "uml" / f"rootfs-{self.tree}.ext4"

    # This lab's state ---------------------------------------------------
    @property
    def state(self) -> Path:
        return self.cache / "labs" / self.name

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def central_root(self) -> Path:
        """Mount point of the chroot that is the ovn-central "container"."""
        return self.state / "central" / "root"

    def machine_dir(self, node: Node) -> Path:
        return self.state / "machines" / node.name

    def kubeconfig(self, identity: str) -> Path:
        """Kubeconfig for use inside the lab (server 10.4.18.1): `admin`, a component or a node's name."""
        return self.state / "kubeconfigs" / identity

    def door_kubeconfig(self, identity: str) -> Path:
        """Kubeconfig for use on the host, through the door: `admin`, `kubeovn-operator`, `reader`."""
        return self.state / "door" / identity

    @property
    def ssh_key(self) -> Path:
        """Private key for root on the machines and the outside host, and for ubuntu in the guests."""
        return self.state / "ssh" / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh" / "config"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def inventory(self) -> Path:
        return self.state / "inventory"

    @property
    def settings(self) -> Path:
        """What `up` was asked for, so that the later verbs know the same lab."""
        return self.state / "lab.json"
