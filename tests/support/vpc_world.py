# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of Kube-OVN's controller for OvnEips and their rules, for the plan's tests: as the real one was seen.

The model knows how the real one behaves, not how the collection does: it shares no code with the plan but the records.
Objects are kept as the API server has them, so that what is written and how it is read are tested, too.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_apply import object_call
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import (
    Balancer,
    Objects,
    RouterView,
    by_name,
    eip_view,
    ip_view,
    rule_view,
    subnet_view,
    vpc_view,
)
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, NatRule, Step

EIPS, FIPS, SNATS, DNATS = "ovn-eips", "ovn-fips", "ovn-snat-rules", "ovn-dnat-rules"
FINALIZER = "kubeovn.io/kube-ovn-controller"
ADDRESS_LABEL = "ovn.kubernetes.io/eip_v4_ip"
NODE = "jah-k3s-l40s-001"
GATEWAY_NODE = "jah-k3s-h100-001"
Key = tuple[str, str]
Object = dict[str, Any]


@dataclass(repr=False)
class VpcWorld:
    """One custom VPC, shop, with a router port on Subnet external. All of it is changed in place."""

    objects: dict[Key, Object] = field(default_factory=dict)  # (plural, name)
    ips: dict[str, Object] = field(default_factory=dict)
    rows: list[NatRule] = field(default_factory=list)  # of router shop
    balancers: dict[str, Balancer] = field(default_factory=dict)
    forgotten: set[Key] = field(default_factory=set)  # deleted while the controller did not run
    controller_runs: bool = True
    connected: bool = True
    external: bool = True  # VPC's enableExternal
    distributed: bool = False
    serial: itertools.count[int] = field(default_factory=itertools.count)

    def __repr__(self) -> str:
        """Short enough to read in a failed example."""
        objects = [self._words(key, obj) for key, obj in self.objects.items()]
        rows = [f"{row.type} {row.external_ip}->{row.logical_ip}" for row in self.rows]
        ips = {name: obj["spec"]["v4IpAddress"] for name, obj in self.ips.items()}
        return f"VpcWorld({objects}, {rows=}, {ips=}, forgotten={sorted(self.forgotten)}, lbs={self.balancers})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def _words(self, key: Key, obj: Object) -> str:
        metadata, status = obj["metadata"], obj["status"]
        flags = "".join(
            letter
            for letter, on in (
                ("R", status.get("ready")),
                ("D", metadata.get("deletionTimestamp")),
                ("m", "app.kubernetes.io/managed-by" in metadata.get("labels", {})),
            )
            if on
        )
        return f"{key[0]}/{key[1]}:{flags}:{obj['spec']}:{metadata.get('annotations')}"

    # --- making one ---

    def add_holder(self, name: str, ip: str, kind: str = "VirtualMachine", node: str = NODE) -> Holder:
        """A machine or pod in the VPC that has an address."""
        spec = {"subnet": "shop-net", "v4IpAddress": ip, "namespace": "shop", "podName": name, "nodeName": node}
        self.ips[f"{name}.shop"] = {"metadata": {"name": f"{name}.shop"}, "spec": spec}
        return Holder(kind, "shop", name)

    def move(self, holder: Holder, ip: str) -> None:
        """The pod was made anew and has another address: no rule takes note."""
        self.ips[f"{holder.name}.shop"]["spec"]["v4IpAddress"] = ip

    def add(self, resource: str, name: str, **spec: str) -> Object:
        """An object that somebody made by hand."""
        return self._store(resource, {"metadata": {"name": name}, "spec": spec})

    def add_row(self, external: str, logical: str, kind: str = "dnat_and_snat") -> None:
        """A NAT row that somebody made by hand."""
        self.rows.append(NatRule(f"nat-{next(self.serial)}", kind, external, logical))

    def _store(self, resource: str, body: Mapping[str, Any]) -> Object:
        obj: Object = {**copy.deepcopy(dict(body)), "status": {}}
        number = next(self.serial)
        obj["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number)}
        assert (resource, obj["metadata"]["name"]) not in self.objects, "409"
        self.objects[resource, obj["metadata"]["name"]] = obj
        return obj

    def delete(self, resource: str, name: str) -> None:
        """What the API server does: an object with a finalizer stays until that is gone."""
        obj = self.objects[resource, name]
        if not obj["metadata"].get("finalizers"):
            del self.objects[resource, name]
        elif not obj["metadata"].get("deletionTimestamp"):
            obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self._written(resource, name)
            if not self.controller_runs:
                self.forgotten.add((resource, name))

    def _written(self, resource: str, name: str) -> None:
        self.objects[resource, name]["metadata"]["resourceVersion"] = str(next(self.serial))

    # --- what it does by itself ---

    def controller(self) -> None:
        """One pass over everything that is not yet done."""
        for key in list(self.objects) if self.controller_runs else []:
            obj = self.objects[key]
            going = obj["metadata"].get("deletionTimestamp")
            if key[0] == EIPS:
                self._delete_eip(key) if going else self._add_eip(key[1], obj)
            elif not obj["status"].get("ready"):
                self._add_rule(key, obj)
            elif going and key not in self.forgotten:
                self._delete_rule(key, obj)

    def settle(self) -> None:
        """As many passes as change something."""
        before = ""
        while before != repr(self):
            before = repr(self)
            self.controller()

    def _add_eip(self, name: str, obj: Object) -> None:
        address = obj["spec"].get("v4Ip", "")
        others = [other for key, other in self.objects.items() if key[0] == EIPS and key[1] != name]
        taken = any(other["status"].get("v4Ip") == address for other in others)
        if obj["status"].get("ready") or taken or obj["spec"].get("externalSubnet") != "external":
            return
        obj["status"] = {"ready": True, "v4Ip": address, "macAddress": "00:00:00:00:00:01", "type": "nat"}
        obj["metadata"]["finalizers"] = [FINALIZER]

    def _delete_eip(self, key: Key) -> None:
        address = self.objects[key]["spec"]["v4Ip"]
        used = any(
            other["metadata"].get("labels", {}).get(ADDRESS_LABEL) == address
            for (resource, _name), other in self.objects.items()
            if resource != EIPS
        )
        if not used and key not in self.forgotten:
            del self.objects[key]

    def _add_rule(self, key: Key, obj: Object) -> None:
        resource, name = key
        eip = self.objects.get((EIPS, obj["spec"]["ovnEip"]))
        if eip is None or not eip["status"].get("v4Ip"):
            return
        address, logical = eip["status"]["v4Ip"], self._logical(resource, obj["spec"])
        if logical is None:
            return
        if resource == FIPS and self._second(key, address):
            return
        if resource == DNATS:
            self._add_balancer(name, address, logical, obj["spec"])
        else:
            self._add_nat(resource, address, logical, obj["spec"])
        metadata = obj["metadata"]
        metadata.setdefault("labels", {})[ADDRESS_LABEL] = address
        metadata["finalizers"] = [FINALIZER]
        where = "v4IpCidr" if resource == SNATS else "v4Ip"
        obj["status"] = {"ready": True, "vpc": obj["spec"].get("vpc") or "shop", "v4Eip": address, where: logical}
        self._written(EIPS, obj["spec"]["ovnEip"])  # its status says what it is used for

    def _logical(self, resource: str, spec: Mapping[str, str]) -> str | None:
        if spec.get("ipName"):
            found = self.ips.get(spec["ipName"])
            return found["spec"]["v4IpAddress"] if found else None
        return (spec.get("v4IpCidr") if resource == SNATS else spec.get("v4Ip")) or None

    def _second(self, key: Key, address: str) -> bool:
        return any(
            other != key and obj["metadata"].get("labels", {}).get(ADDRESS_LABEL) == address
            for other, obj in self.objects.items()
            if other[0] == FIPS
        )

    def _add_nat(self, resource: str, address: str, logical: str, spec: Mapping[str, str]) -> None:
        """It looks for a row by one address alone, and is content with whatever it finds."""
        if resource == SNATS:
            if not any(row.type == "snat" and row.logical_ip == logical for row in self.rows):
                self.add_row(address, logical, "snat")
        elif not any(row.type == "dnat_and_snat" and row.external_ip == address for row in self.rows):
            port = spec.get("ipName") or None
            mac = "00:00:00:11:22:33" if port else None
            number = next(self.serial)
            self.rows.append(NatRule(f"nat-{number}", "dnat_and_snat", address, logical, port, mac))

    def _add_balancer(self, name: str, address: str, logical: str, spec: Mapping[str, str]) -> None:
        vip, backend = f"{address}:{spec['externalPort']}", f"{logical}:{spec['internalPort']}"
        self.balancers[name] = Balancer(name, spec["protocol"], vip, backend)

    def _delete_rule(self, key: Key, obj: Object) -> None:
        resource, name = key
        status = obj["status"]
        if resource == DNATS:
            self.balancers.pop(name, None)
        else:
            rows = [row for row in self.rows if self._finds(resource, status, row)]
            if len(rows) != 1:
                return  # an error each time that it tries: the object hangs
            self.rows.remove(rows[0])
        del self.objects[key]
        if (EIPS, obj["spec"]["ovnEip"]) in self.objects:
            self._written(EIPS, obj["spec"]["ovnEip"])

    @staticmethod
    def _finds(resource: str, status: Mapping[str, str], row: NatRule) -> bool:
        if resource == SNATS:
            return row.type == "snat" and row.logical_ip == status["v4IpCidr"]
        return row.type == "dnat_and_snat" and row.external_ip == status["v4Eip"]

    # --- what is seen of it, and what a run does to it ---

    def seen(self, northbound: bool = True) -> Objects:
        """One look at it."""
        subnets: list[Object] = [
            {"metadata": {"name": "shop-net"}, "spec": {"vpc": "shop", "cidrBlock": "10.9.0.0/16"}},
            {
                "metadata": {"name": "external"},
                "spec": {"cidrBlock": "10.4.19.0/24", "gateway": "10.4.19.1", "vlan": "outside"},
            },
        ]
        vpc = {"metadata": {"name": "shop"}, "spec": {"enableExternal": self.external}}
        gateways = frozenset({"shop-external"} if self.connected else ())
        router = RouterView(tuple(self.rows), tuple(self.balancers.values()), gateways)
        views = [(resource, obj) for (resource, _name), obj in self.objects.items()]
        return Objects(
            eips=tuple(eip_view(obj) for resource, obj in views if resource == EIPS),
            rules=tuple(rule_view(resource, obj) for resource, obj in views if resource != EIPS),
            ips=by_name(ip_view(obj) for obj in self.ips.values()),
            subnets={obj["metadata"]["name"]: subnet_view(obj) for obj in subnets},
            vpcs={"shop": vpc_view(vpc)},
            routers={"shop": router} if northbound else None,
            bound=dict.fromkeys(self.ips, "chassis") if northbound else None,
            external_nodes=frozenset({GATEWAY_NODE}) if northbound else None,
            distributed=self.distributed,
        )

    def apply(self, step: Step) -> bool:
        """What the API server does with one step's write. False: the object of that name is not as it was, 409."""
        data = step.data
        key = (data["resource"], data["name"])
        if step.action in ("create_address", "create_object"):
            if key not in self.objects:
                self._store(data["resource"], data["body"])
            return True
        if step.action in ("delete_address", "delete_object"):
            try:
                object_call(step, cast(Cluster, Api(self)))()
            except ClusterError:
                return False
            return True
        obj = self.objects.get(key)
        if obj is None or obj["metadata"]["uid"] != data["uid"]:
            return True
        change = data["body"]["metadata"]
        assert change["uid"] == obj["metadata"]["uid"]
        for name in ("labels", "annotations"):
            obj["metadata"].setdefault(name, {}).update(change.get(name, {}))
        self._written(*key)
        self.forgotten.discard(key)
        if step.action == "free_object" and change["finalizers"] is None:
            assert obj["metadata"].get("deletionTimestamp"), "a finalizer goes only from what is being deleted"
            del self.objects[key]
        return True


@dataclass
class Api:
    """The API server as a deletion meets it: it heeds the preconditions that are sent, and nothing else."""

    world: VpcWorld

    def delete(
        self, resource: Resource, _namespace: str | None, name: str, version: str | None = None, uid: str | None = None
    ) -> bool:
        """As Cluster's."""
        obj = self.world.objects.get((resource.plural, name))
        if obj is None:
            return False
        metadata = obj["metadata"]
        if uid not in (None, metadata["uid"]) or version not in (None, metadata["resourceVersion"]):
            raise ClusterError("409, the object has been modified", status=409)
        self.world.delete(resource.plural, name)
        return True
