# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site of an external gateway as ovn_external_gw meets it: what it reads and writes in Kubernetes and OVN.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._claims import SELECTOR, claims_of, identity
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NODES,
    OVN_EIPS,
    POD_EXEC,
    PODS,
    SUBNETS,
    VLANS,
    VPCS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._controller import (
    CONTROLLER,
    CONTROLLER_NAMESPACE,
    Leadership,
    leadership,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import ExternalSubnet, Observed
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_members import Evidence
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    GATEWAY_LABEL,
    Problem,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import CENTRAL_NAMESPACE, Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import (
    EXTRA,
    extra_subnets,
    flag_of,
    gateway_node,
    notes_of,
)

FALSE_FLAGS = ("0", "f", "F", "FALSE", "False", "false")  # as Go reads a flag
FIRST_NIC = ("ovn", "")  # providers of a subnet that pods' first NICs are in
Right = tuple[str, Resource, "str | None", "str | None"]  # verb, resource, namespace, name
RIGHTS_HINT = "docs/rbac.yml lists the rights needed"


class GatewaySite:
    """One cluster's gateway.

    homes: the namespaces of the ConfigMap and of claims. holders: whether the ports of EIPs' holders are looked at, as
    a distributed gateway needs.
    """

    def __init__(
        self, cluster: Cluster, ovn: Northbound, homes: tuple[str, str], evidence: Mapping[str, Evidence], holders: bool
    ) -> None:
        self.ovn = ovn
        self._cluster = cluster
        self._namespace, self._claims_namespace = homes
        self._evidence = dict(evidence)
        self._holders = holders
        self._lasting: dict[str, Any] | None = None

    # --- reading

    def observe(self) -> Observed:
        """One look at everything that the plan depends on: one read per kind, however many nodes there are."""
        config_map = self._cluster.get(CONFIG_MAPS, self._namespace, CONFIG_MAP)
        if self._lasting is None:  # what does not change because of what is done here
            vpcs = {vpc["metadata"]["name"]: vpc for vpc in self._cluster.list(VPCS)}
            self._lasting = self._read_lasting(vpcs)
            vpc = vpcs.get(DEFAULT_VPC) or {}
        else:
            vpc = self._cluster.get(VPCS, None, DEFAULT_VPC) or {}
        return Observed(
            config_map=None if config_map is None else config_map.get("data") or {},
            notes=notes_of(config_map),
            nodes=tuple(sorted(map(gateway_node, self._cluster.list(NODES)), key=lambda node: node.name)),
            ovn=self.ovn.observe(holders=self._holders),
            extra_subnets=extra_subnets(vpc),
            enabled=(vpc.get("spec") or {}).get("enableExternal"),
            evidence=self._evidence,
            **self._lasting,
        )

    def _read_lasting(self, vpcs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        switch = self.ovn.names.switch
        specs = {one["metadata"]["name"]: one.get("spec") or {} for one in self._cluster.list(SUBNETS)}
        eips = {one["metadata"]["name"]: one for one in self._cluster.list(OVN_EIPS, absent_ok=True)}
        return {
            "subnet": self._subnet(specs[switch]) if switch in specs else None,
            "overlays": {
                name: one["cidrBlock"]
                for name, one in specs.items()
                if one.get("cidrBlock") and name != switch and _is_overlay(one)
            },
            "users": tuple(sorted(name for name, vpc in vpcs.items() if name != DEFAULT_VPC and _uses(vpc, switch))),
            "ovn_eips": {
                address: name
                for name, one in eips.items()
                if ((one.get("spec") or {}).get("externalSubnet") or switch) == switch and (address := _address(one))
            },
            "claims": self._claims(),
            **self._flags(),
        }

    def _claims(self) -> dict[str, str]:
        """Who has which address; nothing where claims cannot be seen."""
        try:
            claims, _unreadable = claims_of(self._cluster.list(LEASES, self._claims_namespace, SELECTOR))
        except ClusterError as error:
            if error.status == 403:  # those in service are seen in OVN all the same
                return {}
            raise
        return {claim.address: identity(claim) for claim in claims}

    def _subnet(self, spec: Mapping[str, Any]) -> ExternalSubnet:
        """The Subnet that is named like the switch, with its Vlan when it has one."""
        name = spec.get("vlan")
        vlan = ((self._cluster.get(VLANS, None, name) or {}).get("spec") or {}) if name else {}
        network = vlan.get("provider") or vlan.get("providerInterfaceName") or (name or None)
        return ExternalSubnet(spec.get("cidrBlock", ""), spec.get("gateway", ""), network, int(vlan.get("id") or 0))

    def _flags(self) -> dict[str, Any]:
        """What kube-ovn-controller was started with; nothing where its Deployment cannot be seen."""
        try:
            deployment = self._cluster.get(DEPLOYMENTS, CONTROLLER_NAMESPACE, CONTROLLER)
        except ClusterError as error:
            if error.status == 403:  # nice to know, no more
                return {}
            raise
        if deployment is None:
            return {}
        vlan = flag_of(deployment, "external-gateway-vlanid") or "0"
        off = flag_of(deployment, "enable-eip-snat") in FALSE_FLAGS
        return {"eip_snat": not off, "vlan_flag": int(vlan) if vlan.isdecimal() else None}

    def leadership(self) -> Leadership | None:
        """Who leads kube-ovn-controller; None when that cannot be seen."""
        return leadership(self._cluster)

    # --- rights

    def denied(self, actions: Sequence[str], create: bool) -> list[Problem]:
        """The rights that this identity lacks for these actions."""
        patch: Right = ("patch", CONFIG_MAPS, self._namespace, CONFIG_MAP)  # what a write begins with
        label: Right = ("patch", NODES, None, None)
        needed: dict[str, list[Right]] = {
            "write_config_map": [patch, *([("create", CONFIG_MAPS, self._namespace, None)] if create else [])],
            "note": [patch],
            "delete_config_map": [("delete", CONFIG_MAPS, self._namespace, CONFIG_MAP)],
            "label": [label],
            "keep_labels": [label],
        }
        rights = [right for action in actions for right in needed.get(action, ())]
        # Whoever writes looks again, and from the second look on at this VPC alone.
        return self._lacking([*rights, ("get", VPCS, None, DEFAULT_VPC)] if actions else [])

    def denied_reading(self, by_exec: bool) -> list[Problem]:
        """The rights to look that this identity lacks. by_exec: OVN is reached through its pods."""
        lists: list[Resource] = [NODES, VPCS, SUBNETS, OVN_EIPS]
        rights: list[Right] = [("list", kind, None, None) for kind in lists]
        rights += [("get", CONFIG_MAPS, self._namespace, CONFIG_MAP), ("get", VPCS, None, DEFAULT_VPC)]
        rights += [("get", VLANS, None, None)]
        if by_exec:
            rights += [("list", PODS, CENTRAL_NAMESPACE, None), ("create", POD_EXEC, CENTRAL_NAMESPACE, None)]
        return self._lacking(rights)

    def _lacking(self, rights: Sequence[Right]) -> list[Problem]:
        return [
            Problem(f"{verb} {resource}", "this identity may not do that", RIGHTS_HINT)
            for verb, resource, namespace, name in dict.fromkeys(rights)
            if not self._cluster.may(verb, resource, namespace, name)
        ]

    # --- writing

    def write_config_map(self, data: Mapping[str, str], notes: Mapping[str, str | None]) -> None:
        """Set these keys and annotations (None: take away) of the ConfigMap, and make it when there is none."""
        patch = {"data": dict(data)} | ({"metadata": {"annotations": dict(notes)}} if notes else {})
        try:
            self._cluster.merge_patch(CONFIG_MAPS, self._namespace, CONFIG_MAP, patch)
        except ClusterError as error:
            if error.status != 404:
                raise
            annotations = {key: value for key, value in notes.items() if value is not None}
            metadata = {"name": CONFIG_MAP, "namespace": self._namespace, "annotations": annotations}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
            self._cluster.create(CONFIG_MAPS, self._namespace, body)

    def note(self, notes: Mapping[str, str | None]) -> None:
        """Set annotations of the ConfigMap, or (None) take them away. The controller does not look at them."""
        self._cluster.merge_patch(CONFIG_MAPS, self._namespace, CONFIG_MAP, {"metadata": {"annotations": dict(notes)}})

    def delete_config_map(self) -> None:
        """Delete the ConfigMap."""
        self._cluster.delete(CONFIG_MAPS, self._namespace, CONFIG_MAP)

    def label(self, labels: Mapping[str, str | None]) -> None:
        """Set, or (None) take away, the gateway label of nodes."""
        patches = [
            (NODES, None, name, {"metadata": {"labels": {GATEWAY_LABEL: value}}}) for name, value in labels.items()
        ]
        errors = [answer for answer in self._cluster.patch_many(patches) if isinstance(answer, ClusterError)]
        if errors:
            raise errors[0]


def _uses(vpc: Mapping[str, Any], switch: str) -> bool:
    """Whether a custom VPC is to be connected to the external switch. Its status may lag behind for good."""
    spec = vpc.get("spec") or {}
    extra = spec.get(EXTRA)
    return switch in extra if extra else bool(spec.get("enableExternal"))


def _is_overlay(subnet: Mapping[str, Any]) -> bool:
    """Whether a Subnet is routed by the default VPC.

    Another VPC may have the same addresses, and so may a network that OVN does not route, as a VPC NAT gateway's.
    """
    own_vpc = (subnet.get("vpc") or DEFAULT_VPC) == DEFAULT_VPC
    return own_vpc and not subnet.get("vlan") and (subnet.get("provider") or "") in FIRST_NIC


def _address(eip: Mapping[str, Any]) -> str | None:
    """The IPv4 address of an OvnEip: as it got it, or as it is asked for."""
    return (eip.get("status") or {}).get("v4Ip") or (eip.get("spec") or {}).get("v4Ip") or None
