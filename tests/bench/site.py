# SPDX-License-Identifier: GPL-3.0-or-later
"""The example site on the lab, with what the benches do to it and how they see that it is whole again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from support.ansible import module
from support.commands import TOP, VENV, run
from support.lab import Lab
from support.live import Live, eventually

G1, G2, G3 = NODES = ["jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003"]
ROUTER = "10.4.19.254"
EIP = "10.4.19.101"
SITE: dict[str, Any] = {
    "nodes": NODES,
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": f"{ROUTER}/24",
    "nic_mac": "16:52:f3:13:6a:25",
}
VM = TOP / "tests" / "lab" / "manifests" / "vm.yml"
NICS = TOP / "tests" / "integration" / "nics.yml"
ROLE = Path(__file__).with_name("role.yml")
GATEWAY = "kubeovn.core.ovn_external_gw"
EIPS = "kubeovn.core.ovn_eip"
REDIRECT = ("--bare", "--columns=chassis", "find", "port_binding", "logical_port=cr-ovn-cluster-external")


class Site:
    """The lab as the example site: three gateways, a VM on the worker with an EIP."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.live = Live(lab)
        self._pushed: dict[str, Any] | None = None  # what the gateway was last told, when nothing else touched it

    def make(self) -> None:
        """From whatever the lab is, the example site."""
        self.live.kubectl("apply", "-f", str(VM))
        self.play(NICS)
        self.push()
        eventually(lambda: self.live.launcher("testing"), bool, 120, "the VM runs")
        self.succeed(EIPS, {"eips": [{"vm": "testing", "namespace": "default", "address": EIP}]})
        self.settle()

    # --- the collection

    @staticmethod
    def succeed(name: str, options: dict[str, Any]) -> dict[str, Any]:
        """A module's result, which is not a failure."""
        result = module(name, options)
        assert not result["failed"], result["msg"]
        return result

    def push(self, **changes: Any) -> dict[str, Any]:
        """The gateway of the example site, but for these options."""
        self._pushed = None
        result = self.succeed(GATEWAY, {**SITE, **changes})
        self._pushed = changes
        return result

    def by_role(self, **changes: Any) -> None:
        """The same by role external_gateway, which does on the nodes what the module cannot."""
        self.play(ROLE, **{f"external_gateway_{name}": value for name, value in changes.items()})
        self._pushed = changes

    def be(self, *addresses: str, active: str = G1, **changes: Any) -> None:
        """The example site but for these options, and whole."""
        if self._pushed != changes:
            self.push(**changes)
        self.settle(*addresses, active=active)

    def play(self, playbook: Path, **variables: Any) -> str:
        """Run a playbook on the lab's inventory."""
        self._pushed = None
        argv = [VENV / "bin" / "ansible-playbook", "--inventory", os.environ["LAB_INVENTORY"], playbook]
        argv.append(f"--extra-vars={json.dumps(variables)}")
        return run(argv, env={"ANSIBLE_NOCOLOR": "1"}, tail=200)

    # --- what is seen

    def nodes(self) -> list[dict[str, Any]]:
        """All Node objects."""
        found: list[dict[str, Any]] = json.loads(self.live.kubectl("get", "nodes", "-o", "json"))["items"]
        return found

    def active(self) -> str | None:
        """The node that has the router port, as SB says."""
        row = self.lab.run("sbctl", *REDIRECT).strip()
        return self._rows().get(row, (None, ""))[0] if row else None

    def ready(self) -> list[str]:
        """The gateways whose Node is Ready and whose chassis maps the external network."""
        alive = {node["metadata"]["name"] for node in self.nodes() if _is_ready(node)}
        mapped = {node for node, mappings in self._rows().values() if "external:br-external" in mappings}
        return sorted(alive & mapped)

    def _rows(self) -> dict[str, tuple[str, str]]:
        """Node name and bridge mappings of each chassis row in SB."""
        columns = ("--format=json", "--columns=_uuid,hostname,other_config", "list", "chassis")
        rows = json.loads(self.lab.run("sbctl", *columns))["data"]
        return {key[1]: (host, dict(config[1]).get("ovn-bridge-mappings", "")) for key, host, config in rows}

    def settle(self, *addresses: str, active: str = G1) -> None:
        """Until that gateway has the traffic, all are ready, and nothing is lost to the addresses."""
        wanted_nodes = set((self._pushed or {}).get("nodes", NODES))
        eventually(self.active, lambda node: node == active, 90, f"{active} is active")
        eventually(self.ready, wanted_nodes.issubset, 90, f"{', '.join(sorted(wanted_nodes))} are ready")
        wanted = addresses or (ROUTER, EIP)
        eventually(lambda: self.answering(*wanted), lambda those: those == list(wanted), 60, f"{wanted} answer")

    def answering(self, *addresses: str) -> list[str]:
        """Those that answer ten pings in a row."""
        ping = "ping -n -q -c 10 -i 0.1 -W 1 {0} | grep -q ' 10 received' && echo {0} &"
        text = self.lab.run("outside", "--", "sh", "-c", "\n".join(ping.format(one) for one in addresses) + "\nwait")
        return [address for address in addresses if address in text.split()]


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
