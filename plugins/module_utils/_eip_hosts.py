# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual machines with an EIP as an inventory's hosts: address, variables and groups. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    DEFAULT_VPC,
    FIP,
    Holder,
    NatRule,
    Ovn,
    PodView,
    Problem,
    Workload,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import Seen, node_name
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool, parse_pool

OVN, ANNOTATION, CLAIM = "ovn", "annotation", "claim"  # what says that a machine has an address
HOST_FORMAT = "{namespace}-{name}"  # as kubevirt.core.kubevirt names its hosts
GROUPINGS = ("namespace", "label", "gateway", "pool")
PREFIX = "kubeovn_eip_"


@dataclass(frozen=True)
class EipHost:
    """A machine with an EIP. attached: whether OVN has its NAT rule; None: nobody looked."""

    namespace: str
    vm: str
    uid: str
    address: str
    addresses: tuple[str, ...]  # all that it has: one, unless an old one leaks
    source: str
    attached: bool | None
    running: bool
    overlay_address: str | None = None
    pod: str | None = None
    node: str | None = None
    gateway: str | None = None  # the node through which its packets go
    labels: tuple[tuple[str, str], ...] = ()

    def to_cache(self) -> dict[str, Any]:
        """As a cache plugin can keep it."""
        return asdict(self) | {"addresses": list(self.addresses), "labels": dict(self.labels)}

    @classmethod
    def from_cache(cls, kept: Mapping[str, Any]) -> EipHost:
        """What to_cache gave."""
        labels = tuple(sorted(kept["labels"].items()))
        return cls(**{**kept, "addresses": tuple(kept["addresses"]), "labels": labels})

    def variables(self, pools: Collection[str]) -> dict[str, Any]:
        """The host's variables. ansible_host is the one for which there is an inventory."""
        told = self.to_cache() | {"pools": sorted(pools)}
        return {"ansible_host": self.address} | {PREFIX + key: value for key, value in told.items()}


class Unseen(Northbound):
    """OVN for somebody who may not look at it: there is nothing to be seen."""

    def __init__(self) -> None:
        """It has no connections."""

    def close(self) -> None:
        """There is nothing to close."""

    def observe(  # as its base has it
        self,
        ports: Collection[str] = (),  # noqa: ARG002
        holders: bool = False,  # noqa: ARG002
        identities: bool = True,  # noqa: ARG002
    ) -> Ovn:
        """No rows."""
        return Ovn(None, None, None, (), (), (), (), None)


def hosts_of(seen: Seen, ovn_was_read: bool) -> list[EipHost]:
    """The machines that have an EIP, by namespace and name. Of a claim alone a machine has none: it may be detached."""
    site = seen.site
    claims: dict[Holder, set[str]] = {}
    for claim in seen.claims:
        for one in claim.claimants if claim.kind == FIP else ():
            claims.setdefault(one.holder, set()).add(claim.address)
    active = node_name(seen.ovn.active_chassis, seen.ovn, seen.nodes)
    found = [_host(vm, site, claims.get(vm.holder, set()), active, ovn_was_read) for vm in seen.vms]
    return sorted((one for one in found if one), key=lambda one: (one.namespace, one.vm))


def _host(vm: Workload, site: Site, claimed: Collection[str], active: str | None, ovn_was_read: bool) -> EipHost | None:
    pod = site.pod_of(vm.holder)
    rules = _rules(vm, site, claimed)
    asked = [pod.eip, *site.asked_by(vm.holder)] if pod else list(site.asked_by(vm.holder))
    source, addresses = _told_by(list(rules), [one for one in asked if one], claimed if _is_elsewhere(pod) else ())
    if not addresses:
        return None
    address = next((one for one in addresses if one in claimed), addresses[0])
    rule = rules.get(address)
    overlay = rule.logical_ip if rule else pod.ip if pod else None
    return EipHost(
        namespace=vm.namespace,
        vm=vm.name,
        uid=vm.uid,
        address=address,
        addresses=addresses,
        source=source,
        attached=rule is not None if ovn_was_read else None,
        running=vm.running,
        overlay_address=overlay,
        pod=pod.name if pod else None,
        node=pod.node if pod else None,
        gateway=_gateway(rule, pod, active),
        labels=vm.labels,
    )


def _rules(vm: Workload, site: Site, claimed: Collection[str]) -> dict[str, NatRule]:
    """Its NAT rules by external address. Other VPCs may use its overlay address too: there only its claim tells."""
    own = {rule.external_ip: rule for rule in site.own_rules(vm.holder)}
    elsewhere = {address: site.foreign_rules.get(address, []) for address in claimed}
    return own | {address: rule for address, group in elsewhere.items() for rule in group if is_eip_rule(rule)}


def _is_elsewhere(pod: PodView | None) -> bool:
    """Whether a pod is in a custom VPC, where objects make an EIP and no annotation tells of it."""
    return pod is not None and pod.vpc not in (None, DEFAULT_VPC)


def _told_by(rules: Sequence[str], asked: Sequence[str], claimed: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """What says which addresses it has: OVN before what was written for Kube-OVN."""
    ways = (
        (OVN, [one for one in asked if one in rules] + sorted(rules, key=_number)),
        (ANNOTATION, asked),
        (CLAIM, sorted(claimed)),
    )
    return next(((source, tuple(dict.fromkeys(found))) for source, found in ways if found), (CLAIM, ()))


def _number(address: str) -> bytes:
    return ip_address(address).packed


def _gateway(rule: NatRule | None, pod: PodView | None, active: str | None) -> str | None:
    if rule is None:
        return None
    return (pod.node if pod else None) if rule.distributed else active


# --- names and groups -------------------------------------------------------------------------------------------


def pools_of(option: Mapping[str, Any]) -> tuple[dict[str, Pool], list[Problem]]:
    """The pools by name, and what is wrong with them."""
    pools, problems = {}, []
    for name, text in option.items():
        parts = [str(part) for part in text] if isinstance(text, (list, tuple)) else str(text)
        pool, wrong = parse_pool(f"pools.{name}", parts)
        problems += wrong
        if pool:
            pools[str(name)] = pool
    return pools, problems


def format_problems(host_format: str) -> list[Problem]:
    """What is wrong with option `host_format`."""
    try:
        name = host_format.format(namespace="n", name="m", uid="u")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        text, hint = f"{host_format!r} cannot be filled in: {error}", "its fields are {namespace}, {name} and {uid}"
        return [Problem("host_format", text, hint)]
    if name == host_format:
        return [Problem("host_format", f"{host_format!r} gives all machines one name", "name {name} or {uid} in it")]
    return []


def host_name(host: EipHost, host_format: str) -> str:
    """The host's name in the inventory."""
    return host_format.format(namespace=host.namespace, name=host.vm, uid=host.uid)


def pools_with(address: str, pools: Mapping[str, Pool]) -> list[str]:
    """The names of the pools that an address is in."""
    return [name for name, pool in pools.items() if address in pool]


def groups_of(host: EipHost, group_by: Collection[str], pools: Collection[str]) -> list[str]:
    """The host's groups, the first two kinds named as kubevirt.core.kubevirt names them."""
    names = {
        "namespace": [f"namespace_{host.namespace}"],
        "label": [f"label_{key}_{value}" for key, value in host.labels],
        "gateway": [f"gateway_{host.gateway}"] if host.gateway else [],
        "pool": [f"pool_{name}" for name in pools],
    }
    return [name for grouping in GROUPINGS if grouping in group_by for name in names[grouping]]
