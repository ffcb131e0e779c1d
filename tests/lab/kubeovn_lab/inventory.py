# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as Ansible and ssh see it from the host: an inventory like a user's own, an ssh config, shell exports."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from . import door, site, ssh
from .site import Lab, Node

EXAMPLE = Path(__file__).parents[3] / "inventories" / "example"


def write(lab: Lab) -> None:
    """Inventory and ssh config, with the door's ports of now."""
    lab.inventory.mkdir(parents=True, exist_ok=True)
    (lab.inventory / "hosts.yml").write_text("---\n" + json.dumps(hosts(lab), indent=2) + "\n")
    shared = lab.inventory / "group_vars"
    if shared.is_symlink():
        shared.unlink()
    if (EXAMPLE / "group_vars").exists():
        shared.symlink_to(EXAMPLE / "group_vars")  # the lab is the example site
    lab.ssh_config.write_text(ssh_config(lab))


def hosts(lab: Lab) -> dict[str, Any]:
    """The inventory: groups as the example's, connection details of this lab."""
    ports = door.ports(lab)
    checks = shlex.join(f"-o{key}={value}" for key, value in _checks(lab).items())
    common = {
        "ansible_host": "127.0.0.1",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.ssh_key),
        "ansible_ssh_common_args": checks,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    site_wide = {**_proof(lab, checks), **_power_commands(lab)}
    gateways = {node.name: {"ansible_port": ports[node.name], **_nics(lab, node)} for node in lab.gateways}
    workers = {node.name: {"ansible_port": ports[node.name]} for node in lab.nodes if not node.gateway}
    outside = {"outside-host": {"ansible_port": ports["outside-host"]}}
    groups = {"gateway_nodes": gateways, "worker_nodes": workers, "outside": outside}
    # Connection details belong to the groups: in `all` they would be localhost's too.
    children = {name: {"hosts": members, "vars": common} for name, members in groups.items()}
    return {"all": {"vars": site_wide, "children": children}}


def _nics(lab: Lab, node: Node) -> dict[str, list[str]]:
    """A user-mode Linux machine has two external NICs, to be bonded; the others' enp8s0 is used as it is."""
    nics = node.external_nics(lab.boot(node))
    return {} if site.EXTERNAL_NIC in nics else {"kubeovn_gateway_nic_members": list(nics)}


def _proof(lab: Lab, checks: str) -> dict[str, object]:
    """What can be insisted on here: who answers, and by how many hops, since guests and gateway are the lab's."""
    return {
        "kubeovn_proof_ssh_key": str(lab.ssh_key),
        "kubeovn_proof_ssh_args": checks,
        "kubeovn_proof_ttl": {"router_port": 254, "eip": 62},
        "kubeovn_proof_hostnames_expected": {site.EIP: site.VM_NAME},
    }


def _power_commands(lab: Lab) -> dict[str, str]:
    """What a user would have a BMC for."""
    command = f"{shlex.quote(str(Path(__file__).parents[1] / 'lab'))} power --name {lab.name}"
    key = "failover_test_power_{}_command"
    return {key.format(state): f"{command} {state} {{{{ failover_test_node }}}}" for state in ("off", "on")}


def _checks(lab: Lab) -> dict[str, object]:
    return {
        "HostKeyAlias": ssh.HOST_KEY_ALIAS,
        "UserKnownHostsFile": ssh.known_hosts(lab),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }


def ssh_config(lab: Lab) -> str:
    """So that `ssh -F $LAB_SSH_CONFIG jah-k3s-h100-001` works from the host."""
    ports = door.ports(lab)
    names = [*(node.name for node in lab.nodes), "outside-host"]
    blocks = [f"Host {name}\n  HostName 127.0.0.1\n  Port {ports[name]}\n" for name in names]
    common = {"User": "root", "IdentityFile": lab.ssh_key, "LogLevel": "ERROR", **_checks(lab)}
    return "".join(blocks) + "Host *\n" + "".join(f"  {key} {value}\n" for key, value in common.items())


def environment(lab: Lab) -> dict[str, str]:
    """What `lab env` exports: the identity is the collection's documented one, not a cluster admin."""
    ports = door.ports(lab)
    return {
        "LAB_NAME": lab.name,
        "LAB_STATE": str(lab.state),
        "LAB_INVENTORY": str(lab.inventory),
        "LAB_SSH_CONFIG": str(lab.ssh_config),
        "LAB_AUDIT_LOG": str(lab.audit_log),
        "LAB_READER_KUBECONFIG": str(lab.door_kubeconfig("reader")),
        "LAB_API_URL": f"https://127.0.0.1:{ports['api']}",
        "K8S_AUTH_KUBECONFIG": str(lab.door_kubeconfig("kubeovn-operator")),
        "KUBECONFIG_ADMIN": str(lab.door_kubeconfig("admin")),
        "KUBEOVN_NB_ENDPOINT": f"tcp:127.0.0.1:{ports['nb']}",
        "KUBEOVN_SB_ENDPOINT": f"tcp:127.0.0.1:{ports['sb']}",
        "LAB_EIP": site.EIP,
    }
