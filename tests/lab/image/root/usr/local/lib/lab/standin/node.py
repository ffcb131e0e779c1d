# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a kubelet that tells the cluster that its node is there: Node object, Ready condition, Lease.

It ends with the machine, so that the controller manager marks the Node NotReady as on any cluster.
"""

from __future__ import annotations

import datetime
import os
import threading
import time

from .api import Api, ApiError, Object, log

RENEW_SECONDS = 2.0
CHECK_SECONDS = 5.0
HEARTBEAT_SECONDS = 60.0
LABELS = {
    "kubernetes.io/arch": "amd64",
    "kubernetes.io/os": "linux",
    # Kube-OVN's name for what the lab's machines use.
    "ovn.kubernetes.io/ovs_dp_type": "userspace",
    # What virt-handler would find out.
    "kubevirt.io/schedulable": "true",
    "machine-type.node.kubevirt.io/q35": "true",
}
CAPACITY = {
    "cpu": "16",
    "memory": "64Gi",
    "ephemeral-storage": "200Gi",
    "pods": "250",
    "devices.kubevirt.io/kvm": "1k",
    "devices.kubevirt.io/tun": "1k",
    "devices.kubevirt.io/vhost-net": "1k",
}
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


def now(timespec: str = "seconds") -> str:
    text = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")


class NodeStatus(threading.Thread):
    """Registers the Node and keeps it Ready."""

    def __init__(self, api: Api, name: str, address: str) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._name = name
        self._address = address
        self._path = "/api/v1/nodes/" + name
        self._leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        self._checked = 0.0
        self._heartbeat = 0.0
        self._said = ""

    def run(self) -> None:
        while True:
            try:
                if time.monotonic() - self._checked > CHECK_SECONDS:
                    self._register()
                    self._checked = time.monotonic()
                self._renew()
                self._said = ""
            except (ApiError, OSError) as error:
                if str(error) != self._said:
                    log("node %s: %s" % (self._name, error))
                self._said = str(error)
                self._checked = 0.0
                time.sleep(0.5)
                continue
            time.sleep(RENEW_SECONDS)

    def _register(self) -> None:
        """Make or mend the Node. Only what is wrong is written: an idle lab's API server stays idle."""
        labels = {"kubernetes.io/hostname": self._name, **LABELS}
        node = self._api.find(self._path)
        if node is None:
            metadata = {"name": self._name, "labels": labels}
            node = self._api.request(
                "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
            )
            log("node %s registered" % self._name)
        elapsed = time.monotonic() - self._heartbeat
        lost = any(node["metadata"]["labels"].get(key) != value for key, value in labels.items())
        if lost or not self._heartbeat or elapsed > HEARTBEAT_SECONDS:
            # The heartbeat is virt-handler's; without it virt-controller takes the node for unschedulable.
            metadata = {"labels": labels, "annotations": {"kubevirt.io/heartbeat": now()}}
            self._api.request("MERGE", self._path, {"metadata": metadata})
            self._heartbeat = time.monotonic()
        if not self._is_ready(node):
            self._api.request("STRATEGIC", self._path + "/status", {"status": self._status()})
            log("node %s is Ready" % self._name)

    def _is_ready(self, node: Object) -> bool:
        conditions = {item["type"]: item for item in node["status"].get("conditions") or []}
        ready = conditions.get("Ready", {})
        # After a reboot the Node may still look Ready: the boot id tells.
        same_boot = node["status"].get("nodeInfo", {}).get("bootID") == self._boot_id()
        return bool(same_boot and ready.get("status") == "True")

    @staticmethod
    def _boot_id() -> str:
        """Tells one boot from the next: the time init started, since nspawn machines share the kernel's own boot_id."""
        with open("/proc/1/stat", encoding="ascii") as source:
            return "boot-" + source.read().rpartition(")")[2].split()[19]

    def _status(self) -> Object:
        stamp = now()

        def condition(kind: str, status: str, reason: str, message: str) -> Object:
            return {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": stamp,
            }

        pressures = [condition(kind, "False", "KubeletHasNo" + kind, "lab stand-in: none") for kind in PRESSURES]
        ready = condition("Ready", "True", "KubeletReady", "lab stand-in for kubelet is posting ready status")
        with open("/etc/machine-id", encoding="ascii") as source:
            machine_id = source.read().strip()
        return {
            "conditions": [*pressures, ready],
            "addresses": [
                {"type": "InternalIP", "address": self._address},
                {"type": "Hostname", "address": self._name},
            ],
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 13 (kubeovn.core lab)",
                "kernelVersion": os.uname().release,
                "kubeletVersion": "v1.36.3-lab-standin",
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "lab-standin://0",
                "machineID": machine_id,
                "systemUUID": machine_id,
                "bootID": self._boot_id(),
            },
        }

    def _renew(self) -> None:
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": 10, "renewTime": now("microseconds")}
        try:
            self._api.request("MERGE", "%s/%s" % (self._leases, self._name), {"spec": spec})
        except ApiError as error:
            if error.code != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            self._api.request("POST", self._leases, lease)
