# SPDX-License-Identifier: GPL-3.0-or-later
"""Single machines and guests of a running lab."""

from __future__ import annotations

from collections.abc import Sequence

from . import machines
from .api import Api
from .processes import LabError
from .report import step
from .site import GUEST_USER, Lab, Node


def switch(lab: Lab, node: Node, state: str) -> None:
    """Pull a machine's plug, or switch it on again with its disk as it was."""
    one = machines.machine(lab, node)
    if state == "off":
        with step(f"{node.name} is off"):
            one.power_off()
        return
    with step(f"{node.name} is on, ssh answers"):
        one.boot()
        one.wait()


def guest_argv(lab: Lab, guest: str, command: Sequence[str]) -> list[str]:
    """Run a command in a VM or pod, named NAME or NAMESPACE/NAME, by way of the node it runs on."""
    namespace, _slash, name = guest.rpartition("/")
    node, pod = _where(lab, namespace or "default", name)
    words = ["lab-guest", pod, "runuser", "-u", GUEST_USER, "--", *(command or ["bash"])]
    return machines.machine(lab, lab.node(node)).ssh_argv(words)


def _where(lab: Lab, namespace: str, name: str) -> tuple[str, str]:
    """The node and the pod of a VM, or of a plain pod."""
    api = Api(lab)
    selector = f"/api/v1/namespaces/{namespace}/pods?labelSelector=vm.kubevirt.io%2Fname%3D{name}"
    pods = [pod for pod in (api.get(selector) or {}).get("items", []) if pod["status"].get("phase") == "Running"]
    plain = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    found = pods or ([plain] if plain else [])
    if not found or not found[0]["spec"].get("nodeName"):
        raise LabError(f"no running VM or pod {namespace}/{name}")
    return found[0]["spec"]["nodeName"], found[0]["metadata"]["name"]
