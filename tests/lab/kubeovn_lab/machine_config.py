# SPDX-License-Identifier: GPL-3.0-or-later
"""What one machine is told: the folder it sees, read-only, as /etc/lab.

The root file system is the same for all machines and both kinds of boot; all that differs stands in these files.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from . import site, ssh
from .site import MGMT, TUNNEL, Lab, Node

PUBLIC = ("authorized_keys", "hostname")

MGMT_NETWORK = """\
# The management network: InternalIP, ssh, API server, default route.
[Match]
Name={nic}

[Network]
Address={address}/24
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
LLDP=no
"""

TUNNEL_NETWORK = """\
# The bridge that holds the encapsulation address. OVS makes it anew at every boot.
[Match]
Name={bridge}

[Network]
Address={address}/24
LinkLocalAddressing=no
IPv6AcceptRA=no
LLDP=no
ConfigureWithoutCarrier=yes
"""

TUNNEL_NIC = """\
# The tunnel bridge's NIC: up, no address.
[Match]
Name={nic}

[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
LLDP=no
"""


def folder(lab: Lab, node: Node) -> Path:
    return lab.machine_dir(node) / "config"


def machine_id(lab: Lab, node: Node) -> uuid.UUID:
    """The same at every boot, another one in another lab."""
    return uuid.UUID(bytes=hashlib.sha256(f"{lab.state}/{node.name}".encode()).digest()[:16], version=4)


def environment(lab: Lab, node: Node) -> dict[str, str]:
    """Settings of the machine's services (systemd's EnvironmentFile)."""
    return {
        "NODE_NAME": node.name,
        "NODE_ADDRESS": node.mgmt_address,
        "TUNNEL_ADDRESS": node.tunnel_address,
        "TUNNEL_NIC": site.TUNNEL_NIC,
        "TUNNEL_BRIDGE": site.TUNNEL_BRIDGE,
        "TUNNEL_MAC": TUNNEL.mac(node.host),
        "EXTERNAL_BRIDGE": f"br-{lab.switch}" if node.gateway else "",
        "EXTERNAL_SWITCH": lab.switch,
        "SB_ENDPOINT": site.SB_ENDPOINT,
        "SERVICE_CIDR": site.SERVICE_CIDR,
        "KUBECONFIG": "/etc/lab/kubeconfig",
        # What a DaemonSet's pod would get from the downward API.
        "KUBE_NODE_NAME": node.name,
        "POD_NAME": f"kube-ovn-cni-{node.short}",
        "POD_NAMESPACE": "kube-system",
        "POD_IP": node.mgmt_address,
        "POD_IPS": node.mgmt_address,
    }


def write(lab: Lab, node: Node) -> Path:
    """Write the folder; the keys and the kubeconfig must have been made."""
    target = folder(lab, node)
    target.mkdir(parents=True, exist_ok=True)
    variables = "".join(f'{key}="{value}"\n' for key, value in environment(lab, node).items())
    files = {
        "environment": variables,
        "10-mgmt.network": MGMT_NETWORK.format(
            nic=site.MGMT_NIC, address=node.mgmt_address, gateway=MGMT.address(site.ADMIN)
        ),
        "20-tunnel.network": TUNNEL_NETWORK.format(bridge=site.TUNNEL_BRIDGE, address=node.tunnel_address),
        "21-tunnel-nic.network": TUNNEL_NIC.format(nic=site.TUNNEL_NIC),
        "hostname": f"{node.name}\n",
        "authorized_keys": lab.ssh_key.with_suffix(".pub").read_text(),
        "ssh_host_ed25519_key": ssh.host_key(lab).read_text(),
        "kubeconfig": lab.kubeconfig(node.name).read_text(),
    }
    for name, text in files.items():
        path = target / name
        # networkd runs as a user of its own and sshd reads a user's keys as that user; secrets are root's.
        path.touch(mode=0o600)
        path.chmod(0o644 if name in PUBLIC or name.endswith(".network") else 0o600)
        path.write_text(text)
    return target
