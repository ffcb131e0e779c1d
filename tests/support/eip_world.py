# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of Kube-OVN's controller and of KubeVirt, for the plans' tests: what was observed of the real ones.

The model knows how the real ones behave, not how the collection does: it shares no code with the plan but the records.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Chassis,
    Claim,
    Claimant,
    GatewayChassis,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    PodView,
    RoutePolicy,
    RouterPort,
    SourceRoute,
    Step,
    SwitchPort,
    Workload,
)

NEXT_HOP = "10.4.19.1"
NODE = "jah-k3s-l40s-001"
CHASSIS = (Chassis("c", "chassis", NODE, ("10.4.17.11",), {"external": "br-external"}),)
GATEWAYS = (GatewayChassis("gateway", "ovn-cluster-external-chassis", "chassis", 100),)
ROUTER_PORT = RouterPort("lrp", "ovn-cluster-external", "16:52:f3:13:6a:25", ("10.4.19.254/24",), GATEWAYS)
SWITCH_PORTS = (
    SwitchPort("localnet", "localnet.external", "localnet", ("unknown",), {"network_name": "external"}),
    SwitchPort("patch", "external-ovn-cluster", "router", ("router",), {"router-port": "ovn-cluster-external"}),
)


@dataclass(repr=False)
class World:
    """A cluster and its NB, as far as EIPs go. All of it is changed in place."""

    pods: dict[tuple[str, str], PodView] = field(default_factory=dict)
    vms: dict[tuple[str, str], Workload] = field(default_factory=dict)
    rules: list[NatRule] = field(default_factory=list)
    policies: list[RoutePolicy] = field(default_factory=list)
    deployments: dict[tuple[str, str], Workload] = field(default_factory=dict)
    ovn_eips: dict[str, str] = field(default_factory=dict)
    kept: dict[str, tuple[str, str]] = field(default_factory=dict)  # of stopped machines
    configured: bool = True
    kubevirt: bool = True
    controller_runs: bool = True
    routes: list[SourceRoute] = field(default_factory=list)
    claims: dict[str, Claim] = field(default_factory=dict)
    home: bool = False  # the claims' namespace exists
    ips: tuple[str, ...] = ()  # of IP objects on the external network
    foreign_rules: list[NatRule] = field(default_factory=list)  # of other routers
    nodes: tuple[GatewayNode, ...] = ()
    serial: itertools.count[int] = field(default_factory=itertools.count)

    def __repr__(self) -> str:
        """Short enough to read in a failed example."""
        pods = [f"{pod.name}={pod.ip}:{pod.eip}:{'r' if pod.routed else '-'}:{pod.snat}" for pod in self.pods.values()]
        vms = [f"{vm.name}={vm.template_eip}:{vm.instance_eip if vm.running else 'off'}" for vm in self.vms.values()]
        rules = [f"{rule.external_ip}->{rule.logical_ip}" for rule in self.rules]
        policies = [f"{policy.match.split()[-1]}>{','.join(policy.nexthops)}" for policy in self.policies]
        claims = [f"{one.address}={'+'.join(str(who.holder) for who in one.claimants)}" for one in self.claims.values()]
        return f"World({pods=}, {vms=}, {rules=}, {policies=}, {claims=}, kept={self.kept}, ovn_eips={self.ovn_eips})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    # --- making one ---

    def add_pod(
        self, name: str, ip: str | None, eip: str | None = None, namespace: str = "default", **more: object
    ) -> Holder:
        """A plain pod, running and not yet routed."""
        pod = PodView(namespace, name, f"uid-{namespace}-{name}", NODE, "Running", ip, eip, routed=False, vm=None)
        self.pods[namespace, name] = replace(pod, **more)  # type: ignore[arg-type]
        return Holder("Pod", namespace, name)

    def add_deployment(self, name: str, ip: str | None, eip: str | None = None, **more: object) -> Holder:
        """A Deployment of one replica that is made anew, never beside the old one."""
        view = Workload("default", name, f"uid-{name}", eip, False, None, kind="Deployment")
        self.deployments["default", name] = replace(view, **more)  # type: ignore[arg-type]
        if ip:
            self._replace_pod(name, ip)
        return Holder("Deployment", "default", name)

    def add_claim(self, address: str, holder: Holder, kind: str = "fip", uid: str = "", **more: Any) -> None:
        """A claim that an earlier run made."""
        version = str(next(self.serial))
        claimant = Claimant(holder, uid or self.uid_of(holder))
        old = self.claims.get(address)
        claimants = (*old.claimants, claimant) if old else (claimant,)
        created = f"{int(version):06}"
        self.claims[address] = Claim(address, kind, claimants, version=version, created=created, **more)
        self.home = True

    def uid_of(self, holder: Holder) -> str:
        """The uid of a holder that is there."""
        key = (holder.namespace, holder.name)
        for group in (self.pods,) if holder.kind == "Pod" else (self.vms, self.deployments):
            if key in group:
                return group[key].uid
        return ""

    def _replace_pod(self, name: str, ip: str) -> None:
        """What Kubernetes does with strategy Recreate: the old pod ends and takes its rows with it, a new one comes."""
        for key, pod in list(self.pods.items()):
            if pod.deployment == name:
                self.delete_pod(*key)
        view = self.deployments["default", name]
        number = next(self.serial)
        self.add_pod(
            f"{name}-7d4b-{number}",
            ip,
            view.template_eip,
            snat=view.template_snat,
            deployment=name,
            replica_set=f"{name}-7d4b",
        )

    def delete_pod(self, namespace: str, name: str) -> None:
        """A plain pod goes, and with it its rows and its policy: handleDeletePod of v1.14."""
        pod = self.pods.pop((namespace, name))
        own = [("dnat_and_snat", pod.eip), ("snat", None)] if pod.eip else [("snat", None)] if pod.snat else []
        for kind, external in own:
            self.rules = [
                rule
                for rule in self.rules
                if not (rule.type == kind and rule.logical_ip == pod.ip and external in (None, rule.external_ip))
            ]
        self.policies = [one for one in self.policies if one.match != f"ip4.src == {pod.ip}"]

    def restart_controller(self) -> None:
        """A controller that starts takes all policies that its VPC does not list: every EIP's (vpc.go of v1.14)."""
        self.policies = []
        self.look_at_vpc()

    def look_at_vpc(self) -> None:
        """One route by source for each NAT row, and none for others: handleAddOrUpdateVpc of v1.14."""
        logical = dict.fromkeys(rule.logical_ip for rule in self.rules)
        self.routes = [SourceRoute(f"route-{ip}", ip, NEXT_HOP) for ip in logical]

    def add_vm(self, name: str, ip: str | None, eip: str | None = None, running: bool = True) -> Holder:
        """A VM whose template has the EIP; started, its instance and launcher pod got it from there."""
        self.vms["default", name] = Workload("default", name, f"uid-{name}", eip, False, None)
        if ip:
            self.kept[ip] = ("default", name)
        if running:
            self.start(name)
        return Holder("VirtualMachine", "default", name)

    def start(self, name: str) -> None:
        """Template -> instance -> launcher pod; the pod gets the kept address."""
        vm = self.vms["default", name]
        self.vms["default", name] = replace(
            vm,
            running=True,
            instance_eip=vm.template_eip,
            instance_snat=vm.template_snat,
            node=NODE,
            instance_uid=f"vmi-{name}",
        )
        self._launch(name, vm.template_eip, vm.template_snat)

    def stop(self, name: str) -> None:
        """Instance and pods go; address, NAT rule and policy stay."""
        vm = self.vms["default", name]
        self.vms["default", name] = replace(vm, running=False, instance_eip=None, instance_snat=None, node=None)
        self._remove_pods(name)

    def restart(self, name: str) -> None:
        """Off and on again."""
        self.stop(name)
        self.start(name)

    def migrate(self, name: str) -> None:
        """The target pod gets what the instance has; the source is still there."""
        vm = self.vms["default", name]
        self._launch(name, vm.instance_eip, vm.instance_snat)

    def delete_vm(self, name: str, address_kept: bool = False) -> None:
        """NAT rule and policy are left behind; the address is free again, some moments later."""
        self._remove_pods(name)
        del self.vms["default", name]
        if not address_kept:
            self.kept = {ip: owner for ip, owner in self.kept.items() if owner != ("default", name)}

    def _launch(self, name: str, eip: str | None, snat: str | None = None) -> None:
        ip = next((ip for ip, owner in self.kept.items() if owner == ("default", name)), None)
        self.add_pod(f"virt-launcher-{name}-{next(self.serial)}", ip, eip, vm=name, snat=snat)

    def _remove_pods(self, name: str) -> None:
        self.pods = {key: pod for key, pod in self.pods.items() if pod.vm != name}

    def add_rule(self, external: str, logical: str, kind: str = "dnat_and_snat") -> None:
        """A row of NAT."""
        self.rules.append(NatRule(f"nat-{next(self.serial)}", kind, external, logical))

    def add_policy(self, logical: str, hop: str = NEXT_HOP) -> None:
        """A row of Logical_Router_Policy, as an EIP or a snat annotation makes it."""
        match = f"ip4.src == {logical}"
        self.policies.append(RoutePolicy(f"policy-{next(self.serial)}", 29250, match, "reroute", (hop,), "kube-ovn"))

    # --- what it does by itself ---

    def controller(self) -> None:
        """One pass of Kube-OVN's controller over all pods that are not routed."""
        for key, pod in list(self.pods.items()) if self.controller_runs else []:
            if pod.alive and pod.node and pod.ip and not pod.routed and self._route(pod, pod.ip):
                self.pods[key] = replace(pod, routed=True)

    def settle(self) -> bool:
        """As many passes as change something. Whether all pods are routed then."""
        before = None
        while before != self.state():
            before = self.state()
            self.controller()
        return all(pod.routed for pod in self.pods.values())

    def _route(self, pod: PodView, ip: str) -> bool:
        """reconcileRouteSubnets of v1.14: False when it gives up, so that the pod stays unrouted.

        For pods of other VPCs than the default one it does nothing.
        """
        if pod.vpc not in (None, "ovn-cluster"):
            return True
        if pod.eip or pod.snat:
            if not self.configured:
                return False
            match = f"ip4.src == {ip}"
            right = [one for one in self.policies if one.match == match and one.nexthops == (NEXT_HOP,)][:1]
            self.policies = [one for one in self.policies if one.match != match] + right
            if not right:
                self.add_policy(ip)
        return self._route_eip(pod.eip, ip) and self._route_snat(pod.snat, ip)

    def _route_eip(self, eip: str | None, ip: str) -> bool:
        """UpdateDnatAndSnat: whoever has the external address keeps it, and two rows are an error."""
        if not eip:
            self.rules = [rule for rule in self.rules if (rule.type, rule.logical_ip) != ("dnat_and_snat", ip)]
            return True
        same = [rule for rule in self.rules if (rule.type, rule.external_ip) == ("dnat_and_snat", eip)]
        if not same:
            self.add_rule(eip, ip)
        return len(same) < 2

    def _route_snat(self, snat: str | None, ip: str) -> bool:
        """UpdateSnat: the row of the overlay address gets the external one; two rows are an error."""
        own = [rule for rule in self.rules if (rule.type, rule.logical_ip) == ("snat", ip)]
        if snat and len(own) > 1:
            return False
        self.rules = [rule for rule in self.rules if rule not in own]
        if snat and own:
            self.rules.append(own[0]._replace(external_ip=snat))
        elif snat:
            self.add_rule(snat, ip, "snat")
        return True

    # --- what is seen of it, and what a run does to it ---

    def observed(self, kept: bool = True) -> Observed:
        """One look at it."""
        live = {pod.ip: (pod.namespace, pod.vm or pod.name) for pod in self.pods.values() if pod.ip and pod.alive}
        ports = {pod.logical_port: "chassis" for pod in self.pods.values() if pod.ip}
        ovn = Ovn(
            "lr",
            ROUTER_PORT,
            "ls",
            SWITCH_PORTS,
            tuple(self.rules),
            tuple(self.policies),
            CHASSIS,
            "chassis",
            ports,
            foreign_rules=tuple(self.foreign_rules),
            routes=tuple(self.routes),
        )
        return Observed(
            configured=self.configured,
            next_hop=NEXT_HOP if self.configured else None,
            gateway_addresses=("10.4.19.1", "10.4.19.254"),
            pods=tuple(self.pods.values()),
            vms=tuple(self.vms.values()) if self.kubevirt else None,
            ovn=ovn,
            ovn_eips=self.ovn_eips,
            kept={**self.kept, **live} if kept else None,
            deployments=tuple(self.deployments.values()),
            claims=tuple(self.claims.values()),
            claims_home=self.home,
            overlays=("10.253.0.0/16",),
            ips=self.ips,
            nodes=self.nodes,
        )

    def apply(self, step: Step) -> None:
        """What the API server or OVN do with one step's write."""
        data = step.data
        if step.action == "clean":
            assert all(rule in self.rules for rule in data["rules"]), "the guard of this write would have failed"
            assert all(way in (*self.policies, *self.routes) for way in data["policies"])
            self.routes = [route for route in self.routes if route not in data["policies"]]
            self.rules = [rule for rule in self.rules if rule not in data["rules"]]
            self.policies = [policy for policy in self.policies if policy not in data["policies"]]
            return
        if step.action == "create_namespace":
            self.home = True
        elif step.action in ("claim", "release_claim"):
            self._write_claim(data["before"], data["after"])
        else:
            self._annotate(step.action, data)

    def _write_claim(self, before: Claim | None, after: Claim | None) -> None:
        address = (after or before).address  # type: ignore[union-attr]
        assert self.home, "no Lease without its namespace"
        assert self.claims.get(address) == before, "the API server would have said 409"
        self.claims.pop(address, None)
        if after:
            number = next(self.serial)
            created = before.created if before else f"{number:06}"
            self.claims[address] = replace(after, version=str(number), created=created)

    def _annotate(self, action: str, data: Mapping[str, Any]) -> None:
        key, name = (data["namespace"], data["name"]), "snat" if data["kind"] == "snat" else "eip"
        if action == "annotate_template" and data["workload"] == "Deployment":
            self.deployments[key] = replace(self.deployments[key], **{f"template_{name}": data["address"]})
            ips = [pod.ip for pod in self.pods.values() if pod.deployment == data["name"] and pod.ip]
            if ips:
                self._replace_pod(data["name"], f"{ips[0]}0")
        elif action == "annotate_template":
            self.vms[key] = replace(self.vms[key], **{f"template_{name}": data["address"]})
        elif action == "annotate_instance":
            self.vms[key] = replace(self.vms[key], **{f"instance_{name}": data["address"]})
        elif action == "annotate_pod":
            self.pods[key] = replace(self.pods[key], **{name: data["address"]}, routed=False)
        elif action == "reroute_pod":
            self.pods[key] = replace(self.pods[key], routed=False)
        else:
            raise AssertionError(action)

    # --- comparing ---

    def copy(self) -> World:
        """An independent one: the records in it never change."""
        return replace(self, **{one.name: copy.copy(getattr(self, one.name)) for one in fields(self)})

    def state(self) -> dict[str, object]:
        """All that lasts, without the names of rows."""
        return {
            "pods": {key: (pod.eip, pod.snat, pod.routed) for key, pod in self.pods.items()},
            "vms": {key: (vm.template_eip, vm.instance_eip, vm.template_snat) for key, vm in self.vms.items()},
            "claims": {address: (one.kind, one.claimants) for address, one in self.claims.items()},
            "rules": sorted((rule.type, rule.external_ip, rule.logical_ip) for rule in self.rules),
            "routes": sorted(route.ip_prefix for route in self.routes),
            "policies": sorted((policy.match, policy.nexthops) for policy in self.policies),
        }
