# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes objects as typed records: what the plans need of a pod, a virtual machine and a node. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    ADDRESS_ANNOTATION,
    ADDRESS_ANNOTATION_SUFFIX,
    ANNOTATIONS,
    CHASSIS_ANNOTATION,
    CONFIG_MAP,
    DATAPATH_LABEL,
    DEFAULT_VPC,
    EIP_ANNOTATION,
    GATEWAY_LABEL,
    MAC_ANNOTATION,
    NETWORKS_ANNOTATION,
    NORTH_GATEWAY_ANNOTATION,
    ROUTED_ANNOTATION,
    SNAT_ANNOTATION,
    SWITCH_ANNOTATION,
    SWITCH_ANNOTATION_SUFFIX,
    VM_ANNOTATION,
    VPC_ANNOTATION_SUFFIX,
    GatewayNode,
    PodView,
    SubnetMtu,
    Workload,
)

Object = Mapping[str, Any]
PROVIDER_ANNOTATION = "ovn.kubernetes.io/provider_network"  # only pods of a VLAN have it
FIRST_NIC = "ovn"  # the provider of a pod's first NIC
PASSING = ("DaemonSet", "Job", "ReplicationController")  # their pods' names are never the same again
VIRT_CONTROLLER = "virt-controller"  # KubeVirt's Deployment of that name
EXTRA = "extraExternalSubnets"
SYNC_FLAG = "--additional-launcher-annotations-sync"


def notes_of(obj: Object | None) -> Mapping[str, str]:
    """An object's annotations; none for an object that is not there."""
    return ((obj or {}).get("metadata") or {}).get("annotations") or {}


def pod_view(pod: Object) -> PodView:
    """A pod. A launcher pod's virtual machine is named by Kube-OVN's annotation, or else by its owner."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    notes = notes_of(pod)
    extra_nics = _extra_nics(notes)
    address = notes.get(ADDRESS_ANNOTATION) or None
    owner = _owner(metadata, "VirtualMachineInstance")
    routed = notes.get(ROUTED_ANNOTATION) == "true"
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        node=spec.get("nodeName") or None,
        phase=status.get("phase") or "",
        ip=address,
        eip=notes.get(EIP_ANNOTATION) or None,
        routed=routed,
        vm=notes.get(VM_ANNOTATION) or owner,
        host_network=bool(spec.get("hostNetwork")),
        deleting=bool(metadata.get("deletionTimestamp")),
        snat=notes.get(SNAT_ANNOTATION) or None,
        north_gateway=notes.get(NORTH_GATEWAY_ANNOTATION) or None,
        vpc=notes.get(FIRST_NIC + VPC_ANNOTATION_SUFFIX) or None,
        extra_nics=extra_nics,
        extra_ips=tuple(ip for nic in extra_nics if (ip := notes.get(nic + ADDRESS_ANNOTATION_SUFFIX))),
        own_port=owner is not None and address is not None and not notes.get(VM_ANNOTATION),
        deployment=_deployment(metadata),
        replica_set=_owner(metadata, "ReplicaSet"),
        passing=next((kind for kind in PASSING if _owner(metadata, kind)), None),
        launched=owner is not None,
        stateful_set=_owner(metadata, "StatefulSet"),
        underlay=notes.get(PROVIDER_ANNOTATION) or None,
        mac=notes.get(MAC_ANNOTATION) or None,
        asked_since=None if routed else _asked_since(metadata),
    )


def _asked_since(metadata: Object) -> str | None:
    """When an EIP was last asked for by annotation; None when none is. The API notes who wrote a field, and when."""
    notes = metadata.get("annotations") or {}
    fields = [f"f:{key}" for key in ANNOTATIONS.values() if notes.get(key)]
    times = [
        str(one.get("time") or "")
        for one in metadata.get("managedFields") or []
        if fields
        if any(field in _fields(one) for field in fields)
    ]
    return max(times, default=str(metadata.get("creationTimestamp") or "")) or None if fields else None


def _fields(managed: Object) -> Object:
    """The annotations that somebody has written."""
    fields: Object = ((managed.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
    return fields


def kube_ovn_versions(pods: Iterable[Object]) -> tuple[str, ...]:
    """The versions of Kube-OVN that run, by its images: one, or several while it is upgraded."""
    images = {
        container.get("image", "").partition("@")[0].rpartition("/")[2]
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get("component") == "network"
        for container in (pod.get("spec") or {}).get("containers") or []
    }
    return tuple(sorted(name.removeprefix("kube-ovn:") for name in images if name.startswith("kube-ovn:")))


def _owner(metadata: Object, kind: str) -> str | None:
    """The name of the owner of that kind."""
    return next((owner["name"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == kind), None)


def _deployment(metadata: Object) -> str | None:
    """The Deployment whose ReplicaSet owns a pod: its name is the ReplicaSet's without the template's hash."""
    owner, digest = _owner(metadata, "ReplicaSet"), (metadata.get("labels") or {}).get("pod-template-hash")
    return owner.removesuffix(f"-{digest}") if owner and digest and owner.endswith(f"-{digest}") else None


def _extra_nics(notes: Mapping[str, str]) -> tuple[str, ...]:
    """The providers of a pod's further NICs in the default VPC."""
    providers = {
        key.removesuffix(VPC_ANNOTATION_SUFFIX)
        for key, value in notes.items()
        if key.endswith(VPC_ANNOTATION_SUFFIX) and value == DEFAULT_VPC
    }
    return tuple(sorted(providers - {FIRST_NIC}))


def vm_view(vm: Object, vmi: Object | None) -> Workload:
    """A VirtualMachine with its VirtualMachineInstance, which is None while it is stopped."""
    metadata = vm["metadata"]
    template = (vm.get("spec") or {}).get("template") or {}
    instance = vmi or {}
    status = instance.get("status") or {}
    return Workload(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        template_eip=notes_of(template).get(EIP_ANNOTATION) or None,
        running=vmi is not None and status.get("phase") not in ("Succeeded", "Failed"),
        instance_eip=notes_of(vmi).get(EIP_ANNOTATION) or None,
        deleting=bool(metadata.get("deletionTimestamp")),
        node=status.get("nodeName") or None,
        instance_uid=(instance.get("metadata") or {}).get("uid"),
        template_snat=notes_of(template).get(SNAT_ANNOTATION) or None,
        instance_snat=notes_of(vmi).get(SNAT_ANNOTATION) or None,
        labels=tuple(sorted((_labels_of(vm) | _labels_of(template)).items())),
        switch=notes_of(template).get(SWITCH_ANNOTATION) or None,
        networks=_networks(metadata["namespace"], template),
        nic_switches=_nic_switches(template),
    )


def _networks(namespace: str, template: Object) -> tuple[str, ...]:
    """The NetworkAttachmentDefinitions of a template's further NICs. What replaces the first NIC is none of them."""
    networks = [one.get("multus") or {} for one in (template.get("spec") or {}).get("networks") or []]
    names = [str(one.get("networkName") or "") for one in networks if not one.get("default")]
    names += _attached(notes_of(template).get(NETWORKS_ANNOTATION, ""))
    return tuple(dict.fromkeys(name if "/" in name else f"{namespace}/{name}" for name in names if name))


def _nic_switches(template: Object | None) -> tuple[tuple[str, str], ...]:
    """The Subnets that a template names for its further NICs, by their providers."""
    suffix = SWITCH_ANNOTATION_SUFFIX
    found = {key.removesuffix(suffix): name for key, name in notes_of(template).items() if key.endswith(suffix)}
    return tuple(sorted((provider, name) for provider, name in found.items() if provider != FIRST_NIC and name))


def _attached(text: str) -> list[str]:
    """The names in multus' annotation: NAMESPACE/NAME@INTERFACE with commas in between, or objects in JSON."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return [part.strip().partition("@")[0] for part in text.split(",")]
    items = [one for one in parsed if isinstance(one, dict)] if isinstance(parsed, list) else []
    return ["/".join(str(one[key]) for key in ("namespace", "name") if one.get(key)) for one in items]


def _labels_of(obj: Object) -> dict[str, str]:
    return dict((obj.get("metadata") or {}).get("labels") or {})


def deployment_view(deployment: Object) -> Workload:
    """A Deployment."""
    metadata, spec, status = deployment["metadata"], deployment.get("spec") or {}, deployment.get("status") or {}
    notes, replicas = notes_of(spec.get("template")), spec.get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    counts = (status.get("replicas") or 0, status.get("updatedReplicas") or 0)
    return Workload(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        template_eip=notes.get(EIP_ANNOTATION) or None,
        running=False,
        instance_eip=None,
        deleting=bool(metadata.get("deletionTimestamp")),
        template_snat=notes.get(SNAT_ANNOTATION) or None,
        kind="Deployment",
        replicas=replicas,
        surges=(spec.get("strategy") or {}).get("type") != "Recreate",
        settled=seen and counts == (replicas, replicas),
        host_network=bool(((spec.get("template") or {}).get("spec") or {}).get("hostNetwork")),
        paused=bool(spec.get("paused")),
        switch=notes.get(SWITCH_ANNOTATION) or None,
        networks=_networks(metadata["namespace"], spec.get("template") or {}),
        nic_switches=_nic_switches(spec.get("template")),
    )


def launcher_sync(deployments: Iterable[Object]) -> frozenset[str]:
    """The annotations that virt-controller is told to copy from instances to their launcher pods, whoever wrote them.

    Its flag is repeatable and takes a list, as the same word or as the next one.
    """
    found: set[str] = set()
    for deployment in deployments:
        if deployment["metadata"]["name"] != VIRT_CONTROLLER:
            continue
        pod = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
        for container in pod.get("containers") or []:
            words = [*(container.get("command") or []), *(container.get("args") or [])]
            values = [word.partition("=")[2] for word in words if word.startswith(f"{SYNC_FLAG}=")]
            values += [value for word, value in pairwise(words) if word == SYNC_FLAG]
            found.update(key.strip() for value in values for key in value.split(",") if key.strip())
    return frozenset(found)


def gateway_node(node: Object) -> GatewayNode:
    """A Node."""
    metadata, status = node["metadata"], node.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
    return GatewayNode(
        name=metadata["name"],
        ready=conditions.get("Ready") == "True",
        gateway_label=labels.get(GATEWAY_LABEL),
        chassis=notes_of(node).get(CHASSIS_ANNOTATION) or None,
        internal_ips=_node_addresses(status, "InternalIP"),
        external_ips=_node_addresses(status, "ExternalIP"),
        userspace=labels.get(DATAPATH_LABEL) == "userspace",
    )


def _node_addresses(status: Object, kind: str) -> tuple[str, ...]:
    return tuple(item["address"] for item in status.get("addresses") or [] if item["type"] == kind)


def extra_subnets(vpc: Object | None) -> tuple[str, ...]:
    """The fields of the default VPC that put the gateway's ConfigMap out of use: an empty list does it too.

    resyncExternalGateway in pkg/controller/external_gw.go of v1.14 looks at both for nil.
    """
    parts = {part: (vpc or {}).get(part) or {} for part in ("spec", "status")}
    fields = {f"{part}.{EXTRA}": values[EXTRA] for part, values in parts.items() if EXTRA in values}
    return tuple(f"{name}: {', '.join(value) or '[]'}" for name, value in fields.items() if value is not None)


def put_out_of_use(fields: Sequence[str]) -> tuple[str, str]:
    """What these fields do, and the command that takes them away: Kube-OVN itself follows in the status."""
    text = f"is set, {'; '.join(fields)}: Kube-OVN then ignores {CONFIG_MAP}, even for an empty list"
    part = "spec" if any(field.startswith("spec.") for field in fields) else "status"
    command = f"kubectl patch vpc {DEFAULT_VPC} --type=merge -p '{json.dumps({part: {EXTRA: None}})}'"
    return text, command + (" --subresource=status" if part == "status" else "")


def endpoint_addresses(slices: Iterable[Object]) -> list[str]:
    """The addresses of a service's endpoints, by its EndpointSlices."""
    endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or []]
    return sorted({str(address) for endpoint in endpoints for address in endpoint.get("addresses") or []})


def flag_of(deployment: Object | None, name: str) -> str | None:
    """The value of a flag --NAME=VALUE of a Deployment's containers; None when it is not given."""
    pod = (((deployment or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
    for container in pod.get("containers") or []:
        for word in [*(container.get("command") or []), *(container.get("args") or [])]:
            flag, _equals, value = word.lstrip("-").partition("=")
            if flag == name:
                return value or "true"
    return None


def kept_addresses(ips: Iterable[Object], subnets: Iterable[Object]) -> dict[str, tuple[str, str]]:
    """Overlay address -> (namespace, name) of its owner, by Kube-OVN's IP objects of the default VPC.

    A virtual machine's IP object is named after the machine and outlives its pods.
    """
    own = {
        item["metadata"]["name"] for item in subnets if (item.get("spec") or {}).get("vpc") in (DEFAULT_VPC, "", None)
    }
    kept = {}
    for spec in (item.get("spec") or {} for item in ips):
        if spec.get("subnet") in own and spec.get("namespace") and spec.get("podName"):
            for address in (spec.get("v4IpAddress"), spec.get("v6IpAddress")):
                if address:
                    kept[address] = (spec["namespace"], spec["podName"])
    return kept


def overlay_networks(subnets: Iterable[Object]) -> tuple[str, ...]:
    """The networks from which pods of the default VPC have their addresses, IPv4 only."""
    return tuple(text for item in subnets for text in _overlays(item))


def overlay_mtus(subnets: Iterable[Object]) -> tuple[SubnetMtu, ...]:
    """The MTU of each of these networks; 0: what the node's daemon gives to pods of any subnet that says nothing."""
    return tuple(
        SubnetMtu(item["metadata"]["name"], text, int((item.get("spec") or {}).get("mtu") or 0))
        for item in subnets
        for text in _overlays(item)
    )


def _overlays(subnet: Object) -> list[str]:
    spec = subnet.get("spec") or {}
    if spec.get("vpc") not in (DEFAULT_VPC, "", None) or spec.get("vlan"):
        return []
    texts = [part.strip() for part in str(spec.get("cidrBlock") or "").split(",")]
    return [text for text in texts if text and ":" not in text]
