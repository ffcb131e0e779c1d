# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EIPs in custom VPCs: what was seen of OvnEips and of the OvnFips, OvnSnatRules and OvnDnatRules that use them. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

from ansible_collections.kubeovn.core.plugins.module_utils._model import DEFAULT_VPC, Holder, NatRule

Object = Mapping[str, Any]
K = TypeVar("K")
V = TypeVar("V")

# The kinds of objects, by their plural in the API, and the kind of EIP that each makes.
EIPS, FIPS, SNATS, DNATS = "ovn-eips", "ovn-fips", "ovn-snat-rules", "ovn-dnat-rules"
KINDS = {EIPS: "OvnEip", FIPS: "OvnFip", SNATS: "OvnSnatRule", DNATS: "OvnDnatRule"}
RULES = {"fip": FIPS, "snat": SNATS, "dnat": DNATS}
TYPES = {FIPS: "dnat_and_snat", SNATS: "snat"}  # of the NAT row; an OvnDnatRule makes a load balancer

MANAGED_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "kubeovn.core"
HOLDER_ANNOTATION = "kubeovn.core/holder"
ADDRESS_LABEL = "ovn.kubernetes.io/eip_v4_ip"  # by it Kube-OVN finds who uses an OvnEip, and second OvnFips
PORT_LABEL = (
    "ovn.kubernetes.io/vpc_dnat_eport"  # by it Kube-OVN would find second OvnDnatRules: it never sets it itself
)


@dataclass(frozen=True)
class Port:
    """A port of an EIP that leads to one of its holder."""

    external: int
    internal: int
    protocol: str = "tcp"  # tcp or udp

    def __str__(self) -> str:
        return f"{self.protocol} {self.external} -> {self.internal}"


class Request(Protocol):
    """One EIP as asked for, by the names that record Eip of _model has."""

    @property
    def holder(self) -> Holder: ...  # pylint: disable=missing-function-docstring

    @property
    def address(self) -> str | None: ...  # pylint: disable=missing-function-docstring

    @property
    def path(self) -> str: ...  # pylint: disable=missing-function-docstring

    @property
    def kind(self) -> str: ...  # pylint: disable=missing-function-docstring

    @property
    def ports(self) -> Sequence[Port]: ...  # pylint: disable=missing-function-docstring


@dataclass(frozen=True)
class OvnEipView:
    """An OvnEip: an address of an external Subnet that NAT may use."""

    name: str
    uid: str
    subnet: str
    address: str
    type: str  # nat; lrp: of a VPC's router port; lsp: of a node
    ready: bool
    managed: bool = False
    deleting: bool = False
    version: str = ""

    @property
    def resource(self) -> str:
        """Its plural in the API."""
        return EIPS


@dataclass(frozen=True)
class RuleView:
    """An OvnFip, OvnSnatRule or OvnDnatRule: what was asked of Kube-OVN, and what it says that it did."""

    resource: str
    name: str
    uid: str
    eip: str  # name of its OvnEip
    vpc: str  # with logical_ip: where it leads to when no IP object is named
    logical_ip: str
    ip_name: str  # the IP object, and so the logical port, that it leads to
    ready: bool
    port: Port | None = None  # of an OvnDnatRule
    holder: str | None = None  # as the collection noted it
    managed: bool = False
    deleting: bool = False
    finalizers: bool = True
    version: str = ""
    done_vpc: str = ""  # the status: where it was made, and with which addresses
    done_eip: str = ""
    done_ip: str = ""
    to_vip: bool = False  # what is named is a Vip instead of an IP object

    def __str__(self) -> str:
        return f"{KINDS[self.resource]} {self.name}"


@dataclass(frozen=True)
class IpView:
    """An IP object: the overlay address of a pod, or of a machine whether it runs or not."""

    name: str
    subnet: str
    v4: str
    node: str | None


@dataclass(frozen=True)
class SubnetView:
    """A Subnet."""

    name: str
    vpc: str
    cidr: str
    gateway: str
    vlan: str  # not empty: an underlay Subnet, or one of the outside


@dataclass(frozen=True)
class VpcView:
    """A VPC, as far as its way outside is asked for."""

    name: str
    external: bool
    extra: tuple[str, ...]  # external Subnets other than the default one
    default_route: bool


@dataclass(frozen=True)
class Balancer:
    """A load balancer's address on a router: what an OvnDnatRule makes."""

    name: str
    protocol: str
    vip: str  # 10.4.19.101:80
    backends: str  # 10.0.0.2:8080


@dataclass(frozen=True)
class RouterView:
    """A VPC's router in OVN."""

    rules: tuple[NatRule, ...] = ()
    balancers: tuple[Balancer, ...] = ()
    gateways: frozenset[str] = frozenset()  # its ports that have gateway chassis

    @cached_property
    def by_external(self) -> Mapping[str, Sequence[NatRule]]:
        """NAT rules by their external address."""
        return grouped((row.external_ip, row) for row in self.rules)

    @cached_property
    def by_logical(self) -> Mapping[str, Sequence[NatRule]]:
        """NAT rules by where they lead to."""
        return grouped((row.logical_ip, row) for row in self.rules)

    @cached_property
    def balancers_by_name(self) -> Mapping[str, Sequence[Balancer]]:
        """Load balancers' addresses by the balancer's name."""
        return grouped((one.name, one) for one in self.balancers)

    @cached_property
    def balancers_at(self) -> Mapping[str, Sequence[Balancer]]:
        """Load balancers by their external address."""
        return grouped((one.vip.rpartition(":")[0], one) for one in self.balancers)


@dataclass(frozen=True)
class Objects:
    """One look at the objects, the cluster first: an object that reads `ready` has its rows in OVN by then."""

    eips: tuple[OvnEipView, ...] = ()
    rules: tuple[RuleView, ...] = ()
    ips: Mapping[str, IpView] = field(default_factory=dict)
    subnets: Mapping[str, SubnetView] = field(default_factory=dict)
    vpcs: Mapping[str, VpcView] = field(default_factory=dict)
    routers: Mapping[str, RouterView] | None = None  # None: OVN was not read
    bound: Mapping[str, str | None] | None = None  # logical port of a live pod -> its chassis; None: not read
    external_nodes: frozenset[str] | None = None  # that have a bridge to the outside; None: not read
    ports: Mapping[Holder, str] = field(default_factory=dict)  # of holders whose port is not named after them
    distributed: bool = False  # the gateway's type: NAT on the holder's own node

    # --- indexes: each is built once for a look, whatever the number of EIPs that ask

    @cached_property
    def _eips_at(self) -> Mapping[str, Sequence[OvnEipView]]:
        return grouped((eip.address, eip) for eip in self.eips)

    @cached_property
    def _eips_named(self) -> Mapping[str, OvnEipView]:
        return {eip.name: eip for eip in self.eips}

    @cached_property
    def _rules_of_eip(self) -> Mapping[str, Sequence[RuleView]]:
        return grouped((rule.eip, rule) for rule in self.rules)

    @cached_property
    def _rules_of_holder(self) -> Mapping[str, Sequence[RuleView]]:
        return grouped((rule.holder or "", rule) for rule in self.rules if rule.managed)

    @cached_property
    def _rules_of_port(self) -> Mapping[str, Sequence[RuleView]]:
        return grouped((rule.ip_name, rule) for rule in self.rules if rule.ip_name)

    @cached_property
    def _rules_to(self) -> Mapping[tuple[str, str], Sequence[RuleView]]:
        return grouped(((rule.done_vpc or rule.vpc, rule.done_ip or rule.logical_ip), rule) for rule in self.rules)

    @cached_property
    def _rules_named(self) -> Mapping[tuple[str, str], RuleView]:
        return {(rule.resource, rule.name): rule for rule in self.rules}

    @cached_property
    def made(self) -> frozenset[tuple[str, str, str, str]]:
        """What objects say that they have made in OVN: type, VPC, external and logical address."""
        done = [(TYPES.get(one.resource, ""), one.done_vpc, one.done_eip, one.done_ip) for one in self.rules]
        return frozenset(done)

    @cached_property
    def ips_at(self) -> Mapping[str, Sequence[IpView]]:
        """IP objects by their address."""
        return grouped((ip.v4, ip) for ip in self.ips.values())

    # --- the holder

    def port_of(self, holder: Holder) -> str:
        """The name of the holder's logical port and IP object."""
        return self.ports.get(holder, f"{holder.name}.{holder.namespace}")

    def ip_of(self, holder: Holder) -> IpView | None:
        """The holder's overlay address; None before Kube-OVN gave it one."""
        return self.ips.get(self.port_of(holder))

    def vpc_of(self, holder: Holder) -> str | None:
        """The VPC that the holder is in; None before it has an address."""
        ip = self.ip_of(holder)
        subnet = self.subnets.get(ip.subnet) if ip else None
        return subnet.vpc if subnet else None

    # --- the address

    def eip_at(self, address: str | None) -> OvnEipView | None:
        """The OvnEip that has an address."""
        return next(iter(self._eips_at.get(address or "", ())), None) if address else None

    def eip_named(self, name: str) -> OvnEipView | None:
        """The OvnEip of that name."""
        return self._eips_named.get(name)

    def users_of(self, eip: OvnEipView) -> list[RuleView]:
        """The rules that use an OvnEip."""
        return list(self._rules_of_eip.get(eip.name, ()))

    def managed_of(self, holder: Holder) -> Sequence[RuleView]:
        """The rules that the collection has made for a holder."""
        return self._rules_of_holder.get(str(holder), ())

    def rule_named(self, resource: str, name: str) -> RuleView | None:
        """The rule of that name."""
        return self._rules_named.get((resource, name))

    def managed_of_name(self, holder: str) -> Sequence[RuleView]:
        """The same, by the holder as rules name it."""
        return self._rules_of_holder.get(holder, ())

    def rules_to(self, holder: Holder) -> Sequence[RuleView]:
        """The rules of whomever that are about the holder's address."""
        ip = self.ip_of(holder)
        there = self._rules_to.get((self.vpc_of(holder) or "", ip.v4), ()) if ip else ()
        return tuple(dict.fromkeys((*self._rules_of_port.get(self.port_of(holder), ()), *there)))

    def rules_near(self, resource: str, name: str, eip: str, place: tuple[str, str]) -> Sequence[RuleView]:
        """The rules that could keep another one from being made: of its name, its OvnEip, or where it leads to."""
        same = self._rules_named.get((resource, name))
        groups = ((same,) if same else (), self._rules_of_eip.get(eip, ()), self._rules_to.get(place, ()))
        return tuple(dict.fromkeys(rule for group in groups for rule in group))

    def address_of(self, rule: RuleView) -> str | None:
        """The external address of a rule."""
        eip = self.eip_named(rule.eip)
        return rule.done_eip or (eip.address if eip else None)

    def subnet_for(self, address: str, vpc: str) -> SubnetView | None:
        """The external Subnet of an address: of those that contain it, one that the VPC is connected to if there is."""
        place = ipaddress.ip_address(address)
        found = [one for one in self.subnets.values() if any(place in net for net in networks(one.cidr))]
        found.sort(key=lambda one: (not self.connected(vpc, one.name), one.name))
        return found[0] if found else None

    def connected(self, vpc: str, subnet: str) -> bool:
        """Whether the VPC's router has a port with gateways in that Subnet.

        Where OVN is not read, the OvnEip that Kube-OVN makes for the port has to do.
        """
        if self.routers is None:
            eip = self.eip_named(f"{vpc}-{subnet}")
            return eip is not None and eip.type == "lrp"
        return f"{vpc}-{subnet}" in self.router_of(vpc).gateways

    # --- OVN

    def rows_of(self, rule: RuleView) -> tuple[NatRule | Balancer, ...]:
        """What there is in OVN of a rule, by what Kube-OVN itself would find it with: not by where it leads to."""
        router = self.router_of(rule.done_vpc or rule.vpc)
        if rule.resource == DNATS:
            return tuple(router.balancers_by_name.get(rule.name, ()))
        if rule.resource == SNATS:
            rows = router.by_logical.get(rule.done_ip or rule.logical_ip, ())
        else:
            rows = router.by_external.get(self.address_of(rule) or "", ())
        return tuple(row for row in rows if row.type == TYPES[rule.resource])

    def router_of(self, vpc: str | None) -> RouterView:
        """A VPC's router; an empty one where there is none, or none was read."""
        return (self.routers or {}).get(vpc or "", RouterView())

    def rows_right(self, rule: RuleView) -> bool:
        """Whether OVN has exactly what the rule says. True where OVN was not read."""
        if self.routers is None:
            return True
        rows = self.rows_of(rule)
        if len(rows) != 1:
            return False
        row = rows[0]
        if isinstance(row, Balancer):
            port = rule.port
            wanted = port and (port.protocol, f"{rule.done_eip}:{port.external}", f"{rule.done_ip}:{port.internal}")
            return (row.protocol, row.vip, row.backends) == wanted
        return (row.external_ip, row.logical_ip) == (rule.done_eip, rule.done_ip)


@lru_cache(maxsize=1024)
def networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """A Subnet's cidrBlock: one network, or two of a dual-stack Subnet."""
    return [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]


# --- API objects as records -----------------------------------------------------------------------------------------


def eip_view(item: Object) -> OvnEipView:
    """An OvnEip."""
    metadata, spec, status = _parts(item)
    return OvnEipView(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        subnet=spec.get("externalSubnet") or "",
        address=status.get("v4Ip") or spec.get("v4Ip") or "",
        type=spec.get("type") or status.get("type") or "nat",
        ready=bool(status.get("ready") and status.get("v4Ip")),
        managed=_managed(metadata),
        deleting=bool(metadata.get("deletionTimestamp")),
        version=metadata.get("resourceVersion", ""),
    )


def rule_view(resource: str, item: Object) -> RuleView:
    """An OvnFip, OvnSnatRule or OvnDnatRule."""
    metadata, spec, status = _parts(item)
    field_name = "v4IpCidr" if resource == SNATS else "v4Ip"
    return RuleView(
        resource=resource,
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        eip=spec.get("ovnEip") or "",
        vpc=spec.get("vpc") or "",
        logical_ip=spec.get(field_name) or spec.get("vpcSubnet") or "",
        ip_name=spec.get("ipName") or "",
        ready=bool(status.get("ready")),
        port=_port(spec) if resource == DNATS else None,
        holder=(metadata.get("annotations") or {}).get(HOLDER_ANNOTATION),
        managed=_managed(metadata),
        deleting=bool(metadata.get("deletionTimestamp")),
        finalizers=bool(metadata.get("finalizers")),
        version=metadata.get("resourceVersion", ""),
        done_vpc=status.get("vpc") or "",
        done_eip=status.get("v4Eip") or "",
        done_ip=status.get(field_name) or "",
        to_vip=spec.get("ipType") == "vip",
    )


def ip_view(item: Object) -> IpView:
    """An IP object."""
    metadata, spec, _status = _parts(item)
    return IpView(
        metadata["name"], spec.get("subnet") or "", spec.get("v4IpAddress") or "", spec.get("nodeName") or None
    )


def subnet_view(item: Object) -> SubnetView:
    """A Subnet. One without a VPC is in the default one."""
    metadata, spec, _status = _parts(item)
    return SubnetView(
        name=metadata["name"],
        vpc=spec.get("vpc") or DEFAULT_VPC,
        cidr=spec.get("cidrBlock") or "",
        gateway=spec.get("gateway") or "",
        vlan=spec.get("vlan") or "",
    )


def vpc_view(item: Object) -> VpcView:
    """A VPC."""
    metadata, spec, _status = _parts(item)
    routes = spec.get("staticRoutes") or []
    return VpcView(
        name=metadata["name"],
        external=bool(spec.get("enableExternal")),
        extra=tuple(spec.get("extraExternalSubnets") or ()),
        default_route=any(route.get("cidr") == "0.0.0.0/0" for route in routes),
    )


def _parts(item: Object) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    return item["metadata"], item.get("spec") or {}, item.get("status") or {}


def _managed(metadata: Mapping[str, Any]) -> bool:
    return (metadata.get("labels") or {}).get(MANAGED_LABEL) == MANAGED_BY


def _port(spec: Mapping[str, Any]) -> Port | None:
    external, internal = spec.get("externalPort") or "", spec.get("internalPort") or ""
    if not (external.isdigit() and internal.isdigit()):
        return None
    return Port(int(external), int(internal), (spec.get("protocol") or "").lower())


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Values by their key, in their order."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def by_name(items: Iterable[IpView]) -> dict[str, IpView]:
    """IP objects by their names."""
    return {item.name: item for item in items}
