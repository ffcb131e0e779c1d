# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site of an external gateway as ovn_external_gw meets it: what it reads and writes in Kubernetes and OVN.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    NODES,
    SUBNETS,
    VPCS,
    Cluster,
    ClusterError,
    Resource,
)
from ansible_collections.kubeovn.core.plugins.module_utils._controller import Leadership, leadership
from ansible_collections.kubeovn.core.plugins.module_utils._gateway import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    DEFAULT_VPC,
    EXTERNAL_SWITCH,
    GATEWAY_LABEL,
    GatewayNode,
    Problem,
)
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._objects import gateway_node


class GatewaySite:
    """One cluster's gateway."""

    def __init__(self, cluster: Cluster, ovn: Northbound, namespace: str, names: Sequence[str]) -> None:
        self.ovn = ovn
        self._cluster = cluster
        self._namespace = namespace
        self._names = tuple(names)
        self._subnets: list[dict[str, Any]] | None = None

    # --- reading

    def observe(self) -> Observed:
        """One look at everything that the plan depends on."""
        config_map = self._cluster.get(CONFIG_MAPS, self._namespace, CONFIG_MAP)
        vpc = self._cluster.get(VPCS, None, DEFAULT_VPC) or {}
        spec, status = vpc.get("spec") or {}, vpc.get("status") or {}
        if self._subnets is None:  # they do not change because of what is done here
            self._subnets = self._cluster.list(SUBNETS)
        specs = {subnet["metadata"]["name"]: subnet.get("spec") or {} for subnet in self._subnets}
        return Observed(
            config_map=None if config_map is None else config_map.get("data") or {},
            nodes=self._nodes(),
            ovn=self.ovn.observe(),
            extra_subnets=tuple(spec.get("extraExternalSubnets") or status.get("extraExternalSubnets") or ()),
            enabled=status.get("enableExternal"),
            underlay=bool((specs.get(EXTERNAL_SWITCH) or {}).get("vlan")),
            overlays={
                name: one["cidrBlock"]
                for name, one in specs.items()
                if one.get("cidrBlock") and name != EXTERNAL_SWITCH and not one.get("vlan")
            },
        )

    def _nodes(self) -> tuple[GatewayNode, ...]:
        """Those asked for and those labelled: on a big cluster a fraction of all nodes."""
        nodes = {node["metadata"]["name"]: node for node in self._cluster.list(NODES, label_selector=GATEWAY_LABEL)}
        for name in self._names:
            if name and name not in nodes and (node := self._cluster.get(NODES, None, name)):
                nodes[name] = node
        return tuple(gateway_node(node) for _name, node in sorted(nodes.items()))

    def leadership(self) -> Leadership | None:
        """Who leads kube-ovn-controller; None when that cannot be seen."""
        return leadership(self._cluster)

    def denied(self, actions: Sequence[str], create: bool) -> list[Problem]:
        """The rights that this identity lacks for these actions."""
        needed: dict[str, tuple[str, Resource, str | None, str | None]] = {
            "write_config_map": ("patch", CONFIG_MAPS, self._namespace, CONFIG_MAP),
            "delete_config_map": ("delete", CONFIG_MAPS, self._namespace, CONFIG_MAP),
            "label": ("patch", NODES, None, None),
        }
        if create:
            needed["write_config_map"] = ("create", CONFIG_MAPS, self._namespace, None)
        checks = dict.fromkeys(needed[action] for action in actions if action in needed)
        return [
            Problem(f"{verb} {resource}", "this identity may not do that", "docs/rbac.yml lists the rights needed")
            for verb, resource, namespace, name in checks
            if not self._cluster.may(verb, resource, namespace, name)
        ]

    # --- writing

    def write_config_map(self, data: Mapping[str, str]) -> None:
        """Set these keys of the ConfigMap, and make it when there is none."""
        try:
            self._cluster.merge_patch(CONFIG_MAPS, self._namespace, CONFIG_MAP, {"data": dict(data)})
        except ClusterError as error:
            if error.status != 404:
                raise
            metadata = {"name": CONFIG_MAP, "namespace": self._namespace}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
            self._cluster.create(CONFIG_MAPS, self._namespace, body)

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
