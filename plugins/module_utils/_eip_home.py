# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs: in which VPC, on which Subnet and with which NICs a holder will be that has no pod yet. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC

Object = Mapping[str, Any]
KUBE_OVN = "kube-ovn"  # the CNI plugin's name


@dataclass(frozen=True)
class Homes:
    """What decides on a new pod's VPC: the Subnet that it names, else what its namespace is bound to.

    So it is in getPodDefaultSubnet and handleAddNamespace of v1.14, but for Subnets that choose namespaces by labels.
    """

    switches: Mapping[str, str]  # Subnet -> its VPC
    bound: Mapping[str, frozenset[str]]  # namespace -> the VPCs of the Subnets that list it, and those that do so
    elsewhere: frozenset[tuple[str, str]] = frozenset()  # whose addresses are in other VPCs: (namespace, name)

    def vpc_of(self, namespace: str, switch: str | None) -> str | None:
        """The VPC of a new pod; None: it cannot be told."""
        if switch:
            return self.switches.get(switch)
        vpcs = self.bound.get(namespace, {DEFAULT_VPC})
        return next(iter(vpcs)) if len(vpcs) == 1 else None


def homes_of(subnets: Iterable[Object], vpcs: Iterable[Object], ips: Iterable[Object] = ()) -> Homes:
    """From the objects, as they are listed."""
    switches: dict[str, str] = {}
    bound: dict[str, set[str]] = defaultdict(set)
    for one in subnets:
        spec = one.get("spec") or {}
        switches[one["metadata"]["name"]] = vpc = spec.get("vpc") or DEFAULT_VPC
        for namespace in spec.get("namespaces") or []:
            bound[namespace].add(vpc)
    for one in vpcs:
        for namespace in (one.get("spec") or {}).get("namespaces") or []:
            bound[namespace].add(one["metadata"]["name"])
    specs = [one.get("spec") or {} for one in ips]
    away = [one for one in specs if switches.get(one.get("subnet") or "", DEFAULT_VPC) != DEFAULT_VPC]
    elsewhere = frozenset((one.get("namespace") or "", one.get("podName") or "") for one in away)
    return Homes(switches, {name: frozenset(group) for name, group in bound.items()}, elsewhere)


# --- NICs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Net:
    """A Subnet, as a new pod's NIC will find it."""

    name: str
    cidr: str
    provider: str  # of further NICs: NAME.NAMESPACE.ovn of their NetworkAttachmentDefinition
    routed: bool  # whether the default VPC's router has it
    underlay: bool

    @property
    def has_ipv6(self) -> bool:
        """Whether pods there have an IPv6 address, alone or beside another."""
        return ":" in self.cidr


@dataclass(frozen=True)
class Kept:
    """What Kube-OVN keeps for the first NIC of a holder that does not run."""

    net: Net
    addresses: frozenset[str]


@dataclass(frozen=True)
class Nics:
    """What decides on a new pod's NICs, as it is in getPodKubeovnNets and getPodAttachmentNet of v1.14."""

    subnets: Mapping[str, Net]
    bound: Mapping[str, frozenset[str]]  # namespace -> the Subnets that list it
    default: str | None  # the Subnet of all others; None: labels of namespaces may decide
    by_kube_ovn: Mapping[str, bool] | None = None  # NetworkAttachmentDefinition -> whether it is; None: not read
    kept: Mapping[tuple[str, str], Kept] = field(default_factory=dict)  # of first NICs, by their holders

    def first(self, namespace: str, switch: str | None) -> tuple[Net, ...]:
        """Where the first NIC may be; empty: it cannot be told."""
        if not switch and self.default is None:
            return ()
        names = [switch] if switch else sorted(self.bound.get(namespace, ())) or [self.default or ""]
        return tuple(self.subnets[name] for name in names if name in self.subnets)

    def further(self, networks: Iterable[str], switches: Mapping[str, str]) -> tuple[str, ...]:
        """The providers of further NICs in the default VPC, by their definitions.

        A definition of Kube-OVN's without a Subnet of its own gives another NIC on the pod's first one. switches: the
        Subnets that the template itself names, by the NICs' providers.
        """
        return tuple(provider for one in networks if (provider := self._further(one, switches)))

    def _further(self, network: str, switches: Mapping[str, str]) -> str | None:
        namespace, _slash, name = network.partition("/")
        provider = f"{name}.{namespace}.ovn"
        known = (self.by_kube_ovn or {}).get(network)
        if provider in switches:
            chosen = self.subnets.get(switches[provider])
            own: Sequence[Net] = [chosen] if chosen else []
        else:
            own = self._of_provider.get(provider, [])
            if not own:
                return provider if known else None
        return provider if own and all(net.routed for net in own) and known is not False else None

    @cached_property
    def _of_provider(self) -> Mapping[str, Sequence[Net]]:
        found: dict[str, list[Net]] = defaultdict(list)
        for net in self.subnets.values():
            found[net.provider].append(net)
        return dict(found)


def nics_of(subnets: Iterable[Object], definitions: Iterable[Object] | None, ips: Iterable[Object] = ()) -> Nics:
    """From the objects, as they are listed. definitions: None where they were not."""
    nets: dict[str, Net] = {}
    bound: dict[str, set[str]] = defaultdict(set)
    default, by_labels = None, False
    for one in subnets:
        name, spec = one["metadata"]["name"], one.get("spec") or {}
        nets[name] = _net(name, spec)
        by_labels = by_labels or bool(spec.get("namespaceSelectors"))
        default = name if spec.get("default") else default
        for namespace in spec.get("namespaces") or []:
            bound[namespace].add(name)
    ours = None if definitions is None else {_key(one): _is_kube_ovn(one) for one in definitions}
    places = {name: frozenset(group) for name, group in bound.items()}
    return Nics(nets, places, None if by_labels else default, ours, dict(_kept(ips, nets)))


def _kept(ips: Iterable[Object], nets: Mapping[str, Net]) -> Iterable[tuple[tuple[str, str], Kept]]:
    """Kube-OVN names the IP object of a first NIC after its holder alone, that of a further one after the NIC, too."""
    for one in ips:
        spec = one.get("spec") or {}
        namespace, name = spec.get("namespace") or "", spec.get("podName") or ""
        net = nets.get(spec.get("subnet") or "")
        if net and one["metadata"]["name"] == f"{name}.{namespace}":
            addresses = [spec.get("v4IpAddress") or "", spec.get("v6IpAddress") or ""]
            yield (namespace, name), Kept(net, frozenset(text for text in addresses if text))


def _net(name: str, spec: Object) -> Net:
    underlay = bool(spec.get("vlan"))
    routed = not underlay or bool(spec.get("logicalGateway") or spec.get("u2oInterconnection"))
    own = (spec.get("vpc") or DEFAULT_VPC) == DEFAULT_VPC
    return Net(name, spec.get("cidrBlock") or "", spec.get("provider") or "", routed and own, underlay)


def _key(definition: Object) -> str:
    return f"{definition['metadata']['namespace']}/{definition['metadata']['name']}"


def _is_kube_ovn(definition: Object) -> bool:
    """Whether the NIC is Kube-OVN's, and not only its address. Anybody may write any text there."""
    try:
        config = json.loads((definition.get("spec") or {}).get("config") or "{}")
    except ValueError:
        return False
    more = config.get("plugins") if isinstance(config, dict) else None
    plugins = [config, *(more if isinstance(more, list) else [])]
    return any(isinstance(one, dict) and one.get("type") == KUBE_OVN for one in plugins)
