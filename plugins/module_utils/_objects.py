# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes objects as typed records: what the plans need of a pod, a virtual machine and a node. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ADDRESS_ANNOTATION,
    CHASSIS_ANNOTATION,
    EIP_ANNOTATION,
    GATEWAY_LABEL,
    ROUTED_ANNOTATION,
    VM_ANNOTATION,
    GatewayNode,
    PodView,
    VmView,
)

Object = Mapping[str, Any]


def annotations(obj: Object | None) -> Mapping[str, str]:
    """An object's annotations; none for an object that is not there."""
    return ((obj or {}).get("metadata") or {}).get("annotations") or {}


def pod_view(pod: Object) -> PodView:
    """A pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    notes = annotations(pod)
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        node=spec.get("nodeName") or None,
        phase=status.get("phase") or "",
        ip=notes.get(ADDRESS_ANNOTATION) or None,
        eip=notes.get(EIP_ANNOTATION) or None,
        routed=notes.get(ROUTED_ANNOTATION) == "true",
        vm=notes.get(VM_ANNOTATION) or None,
        host_network=bool(spec.get("hostNetwork")),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def vm_view(vm: Object, vmi: Object | None) -> VmView:
    """A VirtualMachine with its VirtualMachineInstance, which is None while it is stopped."""
    metadata = vm["metadata"]
    template = (vm.get("spec") or {}).get("template") or {}
    return VmView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        template_eip=annotations(template).get(EIP_ANNOTATION) or None,
        running=vmi is not None,
        instance_eip=annotations(vmi).get(EIP_ANNOTATION) or None,
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def gateway_node(node: Object) -> GatewayNode:
    """A Node."""
    metadata, status = node["metadata"], node.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
    return GatewayNode(
        name=metadata["name"],
        ready=conditions.get("Ready") == "True",
        gateway_label=(metadata.get("labels") or {}).get(GATEWAY_LABEL),
        chassis=annotations(node).get(CHASSIS_ANNOTATION) or None,
        internal_ips=tuple(item["address"] for item in status.get("addresses") or [] if item["type"] == "InternalIP"),
    )
