# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The typed records that every room shares: what is asked, what was seen, and the plan between them.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Port
    from ansible_collections.kubeovn.core.plugins.module_utils._pools import Pool

# Names that Kube-OVN fixes (pkg/util/const.go of v1.14).
DEFAULT_VPC = "ovn-cluster"
EXTERNAL_SWITCH = "external"  # unless the controller was told another by --external-gateway-switch
CONFIG_MAP = "ovn-external-gw-config"
GATEWAY_LABEL = "ovn.kubernetes.io/external-gw"
DATAPATH_LABEL = "ovn.kubernetes.io/ovs_dp_type"
CHASSIS_ANNOTATION = "ovn.kubernetes.io/chassis"
EIP_ANNOTATION = "ovn.kubernetes.io/eip"
ROUTED_ANNOTATION = "ovn.kubernetes.io/routed"
MAC_ANNOTATION = "ovn.kubernetes.io/mac_address"
ADDRESS_ANNOTATION = "ovn.kubernetes.io/ip_address"
NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"  # multus': what more NICs a pod has
ADDRESS_ANNOTATION_SUFFIX = ".kubernetes.io/ip_address"  # after the provider of another NIC
SNAT_ANNOTATION = "ovn.kubernetes.io/snat"
NORTH_GATEWAY_ANNOTATION = "ovn.kubernetes.io/north_gateway"
VPC_ANNOTATION_SUFFIX = ".kubernetes.io/logical_router"  # after a NIC's provider, "ovn" for the first one
SWITCH_ANNOTATION = "ovn.kubernetes.io/logical_switch"
SWITCH_ANNOTATION_SUFFIX = ".kubernetes.io/logical_switch"  # after the provider of another NIC
VM_ANNOTATION = "ovn.kubernetes.io/virtualmachine"
REROUTE_PRIORITY = 29250
WARM_UP = "kubeovn-core-warm-up"  # a router that has OVN watch tunnels before they matter; gone when a run ends
FIRST_CHASSIS_PRIORITY = 100

# Kinds of an EIP. A floating address belongs to one holder both ways; a SNAT address is the source of many holders'
# connections to the outside. Each is one annotation, and one type of NAT row.
FIP, SNAT = "fip", "snat"
NAT_TYPES = {FIP: "dnat_and_snat", SNAT: "snat"}
ANNOTATIONS = {FIP: EIP_ANNOTATION, SNAT: SNAT_ANNOTATION}
DNAT = "dnat"  # single ports; in custom VPCs only, where objects make EIPs and no annotation does
AUTO, ANNOTATION, OBJECTS = "auto", "annotation", "objects"  # what makes an EIP; auto: what the holder's VPC needs


@dataclass(frozen=True)
class Names:
    """What Kube-OVN calls the parts of an external gateway, all after its switch (pkg/ovs/ovn-nb.go of v1.14)."""

    switch: str = EXTERNAL_SWITCH

    @property
    def router_port(self) -> str:
        """The logical router port of the default VPC."""
        return f"{DEFAULT_VPC}-{self.switch}"

    @property
    def switch_router_port(self) -> str:
        """The switch's port of type router."""
        return f"{self.switch}-{DEFAULT_VPC}"

    @property
    def localnet_port(self) -> str:
        """The switch's port to the physical network."""
        return f"localnet.{self.switch}"

    @property
    def chassisredirect_port(self) -> str:
        """The port whose binding in SB names the active gateway's chassis."""
        return f"cr-{self.router_port}"


@dataclass(frozen=True)
class ExternalGateway:
    """The external gateway as asked for: what ConfigMap ovn-external-gw-config can express, and what it cannot."""

    nodes: tuple[str, ...]  # order = priority, the first is the active one
    nic: str
    gateway: str  # CIDR of the physical gateway, 10.4.19.1/24
    nic_ip: str  # CIDR of the router port, 10.4.19.254/24
    nic_mac: str
    type: str = "centralized"
    switch: str = EXTERNAL_SWITCH
    enabled: bool = True
    drained: tuple[str, ...] = ()  # gateways that get no traffic while another one lives
    rescue: bool = False  # whether rows of dead gateways go, so that a lone survivor claims the router port
    bfd: Mapping[str, str] = field(default_factory=dict)  # NB_Global options of the tunnels' BFD; empty: left alone

    @property
    def ranking(self) -> tuple[str, ...]:
        """The nodes by priority: those in service in their order, then those drained."""
        kept = [name for name in self.nodes if name not in self.drained]
        return (*kept, *(name for name in self.nodes if name in self.drained))


@dataclass(frozen=True)
class GatewayNode:
    """A Kubernetes node as far as the gateway is concerned."""

    name: str
    ready: bool
    gateway_label: str | None  # value of ovn.kubernetes.io/external-gw
    chassis: str | None  # OVN chassis name, from annotation ovn.kubernetes.io/chassis
    internal_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    userspace: bool = False  # Open vSwitch forwards in user space there: Kube-OVN then never deletes a bridge


@dataclass(frozen=True)
class GatewayChassis:
    """A row of NB Gateway_Chassis."""

    uuid: str
    name: str
    chassis: str  # name of the chassis, as in SB Chassis.name
    priority: int


@dataclass(frozen=True)
class RouterPort:
    """A logical router port with its gateway chassis, highest priority first."""

    uuid: str
    name: str
    mac: str
    networks: tuple[str, ...]
    gateway_chassis: tuple[GatewayChassis, ...] = ()
    enabled: bool = True


@dataclass(frozen=True)
class SwitchPort:
    """A logical switch port."""

    uuid: str
    name: str
    type: str
    addresses: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    up: bool | None = None
    tag: int | None = None  # VLAN of a localnet port
    enabled: bool = True


class NatRule(NamedTuple):
    """A row of NB NAT on the VPC's router. A tuple, since there may be a hundred thousand: it is made in a third of
    the time that a dataclass needs."""

    uuid: str  # empty when rows were read without, see Northbound.observe
    type: str  # dnat_and_snat, snat, dnat
    external_ip: str
    logical_ip: str
    logical_port: str | None = None
    external_mac: str | None = None
    stateless: bool = False

    @property
    def distributed(self) -> bool:
        """Whether the holder's own node does the translation, and not the active gateway."""
        return bool(self.logical_port and self.external_mac)


@dataclass(frozen=True, slots=True)
class Rerouting:
    """What sends an overlay address's packets to the physical gateway: a policy, or a route by source."""

    uuid: str


@dataclass(frozen=True, slots=True)
class RoutePolicy(Rerouting):
    """A row of NB Logical_Router_Policy on the VPC's router."""

    priority: int
    match: str
    action: str
    nexthops: tuple[str, ...]
    vendor: str | None = None  # who made it, as it says itself: Kube-OVN marks its own


@dataclass(frozen=True, slots=True)
class SourceRoute(Rerouting):
    """A static route by source address on the VPC's router.

    Kube-OVN makes one for each NAT row when it looks at the VPC, and takes it back only when it looks again
    (handleAddOrUpdateVpc in pkg/controller/vpc.go of v1.14).
    """

    ip_prefix: str
    nexthop: str


@dataclass(frozen=True)
class Chassis:
    """A row of SB Chassis."""

    uuid: str
    name: str
    hostname: str
    encap_ips: tuple[str, ...]
    bridge_mappings: Mapping[str, str]


@dataclass(frozen=True)
class HolderPort:
    """The logical switch port of an overlay address."""

    name: str
    mac: str
    chassis: str | None = None  # name of the chassis that it is bound to
    enabled: bool = True


@dataclass(frozen=True)
class Ovn:
    """What one read of NB and SB showed. None: that part does not exist."""

    router_uuid: str | None  # the default VPC's Logical_Router
    router_port: RouterPort | None
    switch_uuid: str | None  # the external switch
    switch_ports: tuple[SwitchPort, ...]  # of the external switch
    nat_rules: tuple[NatRule, ...]
    policies: tuple[RoutePolicy, ...]  # those of priority 29250
    chassis: tuple[Chassis, ...]
    active_chassis: str | None  # name of the chassis that holds cr-ovn-cluster-external
    bound_ports: Mapping[str, str] = field(default_factory=dict)  # logical port -> chassis name, those asked for
    names: Names = Names()
    other_ports: tuple[RouterPort, ...] = ()  # all other router ports, of whatever router
    options: Mapping[str, str] = field(default_factory=dict)  # NB_Global's
    holder_ports: Mapping[str, HolderPort] = field(default_factory=dict)  # of NAT rows' logical_ip, when asked for
    foreign_rules: tuple[NatRule, ...] = ()  # NAT rows of other routers
    routes: tuple[SourceRoute, ...] = ()
    redirects: Mapping[str, str | None] = field(default_factory=dict)  # cr-<router port> -> chassis that holds it

    @property
    def network(self) -> str:
        """The physical network that the external switch is tied to, as bridge mappings name it."""
        localnet = next((port for port in self.switch_ports if port.type == "localnet"), None)
        return (localnet.options.get("network_name") if localnet else None) or self.names.switch

    @property
    def joined(self) -> bool:
        """Whether the external switch has a port that leads to the router port."""
        ports = [port for port in self.switch_ports if port.type == "router"]
        return any(port.options.get("router-port") == self.names.router_port for port in ports)


@dataclass(frozen=True)
class Holder:
    """Who has an EIP: a VirtualMachine, a Pod or a Deployment, by namespace and name."""

    kind: str  # VirtualMachine, Pod or Deployment
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class PodView:
    """A pod, as far as EIPs are concerned."""

    namespace: str
    name: str
    uid: str
    node: str | None
    phase: str
    ip: str | None  # Kube-OVN's ip_address annotation
    eip: str | None
    routed: bool
    vm: str | None  # name of its VirtualMachine, when it is a launcher pod
    host_network: bool = False
    deleting: bool = False
    snat: str | None = None  # Kube-OVN's snat annotation
    north_gateway: str | None = None  # Kube-OVN's north_gateway annotation: a policy 29250 of its own
    vpc: str | None = None  # name of the VPC that its first NIC is in, when it has an address
    extra_nics: tuple[str, ...] = ()  # providers of its other NICs in the default VPC
    extra_ips: tuple[str, ...] = ()  # their overlay addresses
    own_port: bool = False  # a launcher pod of a cluster that keeps no VM's address: the port is the pod's
    deployment: str | None = None  # name of the Deployment that made it
    replica_set: str | None = None  # name of the ReplicaSet that owns it
    passing: str | None = None  # the kind of its owner, when another pod of another name follows it
    launched: bool = False  # owned by a VirtualMachineInstance
    stateful_set: str | None = None  # name of the StatefulSet that owns it: another pod of its name follows it
    underlay: str | None = None  # the provider network of a pod that is on a VLAN, not on the overlay
    mac: str | None = None  # of its first NIC
    asked_since: str | None = None  # when the annotation of one that is not routed was written, as the API says it

    def asks(self, kind: str) -> str | None:
        """The address that its annotation of this kind names."""
        return {FIP: self.eip, SNAT: self.snat}.get(kind)

    @property
    def has_ipv6(self) -> bool:
        """Whether it has an IPv6 address, alone or beside another: Kube-OVN's reroute policy then never matches."""
        return ":" in (self.ip or "")

    @property
    def unserved(self) -> bool:
        """Whether an EIP's annotation does not work for it: with several NICs in the VPC each would be hit."""
        return self.has_ipv6 or bool(self.extra_nics) or self.underlay is not None

    @property
    def alive(self) -> bool:
        """Whether it may still use the network: Kube-OVN forgets a pod that has ended."""
        return self.phase not in ("Succeeded", "Failed")

    @property
    def logical_port(self) -> str:
        """Kube-OVN's name of the pod's port: a VM's port outlives its pods."""
        return f"{self.name if self.own_port else self.vm or self.name}.{self.namespace}"


@dataclass(frozen=True)
class SubnetMtu:
    """The MTU that a network of the overlay gives to its pods; 0: the default."""

    subnet: str
    network: str
    mtu: int


@dataclass(frozen=True)
class Workload:
    """What makes pods from a template: a VirtualMachine with its instance, or a Deployment, as far as EIPs go."""

    namespace: str
    name: str
    uid: str
    template_eip: str | None
    running: bool  # a VirtualMachineInstance exists and has not ended
    instance_eip: str | None
    deleting: bool = False
    node: str | None = None  # where the instance runs
    instance_uid: str | None = None
    template_snat: str | None = None
    instance_snat: str | None = None
    kind: str = "VirtualMachine"  # or Deployment
    replicas: int = 1
    surges: bool = False  # whether a new pod may run beside the old one, so that two have the template's EIP
    settled: bool = True  # whether the one pod it has is of the template as it is now
    host_network: bool = False  # whether its template puts its pods on their node's network
    paused: bool = False  # whether a changed template waits for somebody to resume it
    labels: tuple[tuple[str, str], ...] = ()  # a machine's own and its template's
    switch: str | None = None  # the Subnet that its template names
    networks: tuple[str, ...] = ()  # NetworkAttachmentDefinitions that its template names, as namespace/name
    nic_switches: tuple[tuple[str, str], ...] = ()  # provider -> the Subnet that its template names for that NIC

    @property
    def holder(self) -> Holder:
        """Its name as a holder."""
        return Holder(self.kind, self.namespace, self.name)

    def template(self, kind: str) -> str | None:
        """The address that its template names."""
        return {FIP: self.template_eip, SNAT: self.template_snat}.get(kind)

    def instance(self, kind: str) -> str | None:
        """The address that its instance names; None while there is none."""
        if not self.running:
            return None
        return {FIP: self.instance_eip, SNAT: self.instance_snat}.get(kind)


@dataclass(frozen=True)
class Claimant:
    """A holder in a claim. The uid tells a machine from another one that was made anew under its name."""

    holder: Holder
    uid: str


@dataclass(frozen=True)
class Claim:
    """That an address is somebody's, in a Lease of its own: who creates it first has it (see _claims)."""

    address: str
    kind: str
    claimants: tuple[Claimant, ...]  # one; of a SNAT address any number
    previous: str | None = None  # the holder's address before this one
    rotation: str | None = None  # the name of the rotation that gave it
    former: tuple[Claimant, ...] = ()  # whom it was taken from, until nothing of it is left with them
    version: str | None = None  # resourceVersion of the Lease that it was read from
    created: str = ""  # when it was made, as the API server writes it: later ones are greater

    @cached_property
    def _places(self) -> dict[Holder, int]:
        return {one.holder: place for place, one in enumerate(self.claimants)}

    def of(self, holder: Holder) -> bool:
        """Whether it is this holder's too."""
        return holder in self._places

    def uid_of(self, holder: Holder) -> str:
        """The uid that the holder had when it claimed."""
        return self.claimants[self._places[holder]].uid

    def without(self, holder: Holder) -> tuple[Claimant, ...]:
        """Its other claimants. Of hundreds of holders each asks."""
        place = self._places.get(holder, len(self.claimants))
        return (*self.claimants[:place], *self.claimants[place + 1 :])


@dataclass(frozen=True)
class Eip:
    """One EIP as asked for. `path` is the option it came from, for messages: eips[3]."""

    holder: Holder
    address: str | None  # None until one is chosen from the pool, or when it is to be released, whatever it is
    path: str
    kind: str = FIP
    pool: Pool | None = None
    previous: str | None = None  # with an address from a rotation: the one that it replaces
    rotation: str | None = None
    ports: tuple[Port, ...] = ()  # of kind dnat
    backend: str = AUTO


@dataclass(frozen=True)
class Step:
    """One thing that a run does, in words first: check mode prints the same steps that a run takes."""

    action: str  # a name that the adapter's dispatcher knows
    text: str  # what it does, for people
    interrupts: str | None = None  # whose traffic, and for how long; None: nobody's
    data: Mapping[str, Any] = field(default_factory=dict)  # what the action needs
    lasting: bool = False  # whether it interrupts for longer than some seconds

    @property
    def disruption(self) -> str:
        """How much it interrupts: none, brief (seconds at most) or long."""
        if self.interrupts is None:
            return "none"
        return "long" if self.lasting else "brief"


@dataclass(frozen=True)
class Plan:
    """The ordered steps from what was seen to what is asked, and the diff that shows it."""

    steps: tuple[Step, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps)


@dataclass(frozen=True)
class Problem:
    """Why a request is refused, or what is still wrong: where, what, and what to do."""

    path: str  # the option's path (eips[0].address), or the object's name
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" + (f" ({self.hint})" if self.hint else "")
