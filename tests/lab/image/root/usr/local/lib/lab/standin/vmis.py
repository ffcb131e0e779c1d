# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a virt-handler that reports a VirtualMachineInstance: Running once its guest is, Succeeded at its end."""

from __future__ import annotations

from typing import Optional

from .api import Api, ApiError, Object, log
from .informer import Informer, Queue
from .node import now
from .pods import OVN, Pods, address, annotation, is_running

ALIVE = ("Scheduled", "Running")


class Instances:
    """The VirtualMachineInstances on this node."""

    def __init__(self, api: Api, node: str, pods: Pods) -> None:
        self._api = api
        self._node = node
        self._pods = pods
        self._queue = Queue(self._work, 2)
        self._informer: Optional[Informer] = None

    def watch(self, path: str) -> None:
        self._informer = Informer(self._api, path, self._queue.add)
        self._informer.start()

    def pod_changed(self, pod: Object) -> None:
        domain = annotation(pod, "kubevirt.io/domain")
        if domain:
            self._queue.add("%s/%s" % (pod["metadata"]["namespace"], domain))

    def _work(self, key: str) -> None:
        instance = self._informer.get(key) if self._informer else None
        status = (instance or {}).get("status") or {}
        if instance is None or status.get("nodeName") != self._node or status.get("phase") not in ALIVE:
            return
        pod = self._pods.launcher(instance["metadata"]["uid"])
        if instance["metadata"].get("deletionTimestamp"):
            if pod is not None:
                self._pods.end(pod)
            self._patch(instance, {"phase": "Succeeded"})
        elif status["phase"] == "Scheduled" and pod is not None and is_running(pod):
            self._patch(instance, {"phase": "Running", **self._details(instance, pod)})

    @staticmethod
    def _details(instance: Object, pod: Object) -> Object:
        """What virt-handler would learn from the virtual machine."""
        interfaces = instance["spec"]["domain"]["devices"].get("interfaces") or [{"name": "default"}]
        nic = {
            "name": interfaces[0]["name"],
            "ipAddress": address(pod),
            "ipAddresses": [address(pod)],
            "mac": annotation(pod, OVN + "mac_address"),
            "podInterfaceName": "eth0",
            "infoSource": "domain",
            "queueCount": 1,
        }
        # virt-controller's patches test what is there against what it read: a missing time reads as null and differs.
        stamp = now()
        migratable = {"type": "LiveMigratable", "status": "True", "lastProbeTime": stamp, "lastTransitionTime": stamp}
        kept = [item for item in instance["status"].get("conditions") or [] if item["type"] != "LiveMigratable"]
        return {"interfaces": [nic], "conditions": [*kept, migratable], "migrationMethod": "LiveMigration"}

    def _patch(self, instance: Object, status: Object) -> None:
        """virt-controller writes the same object: the resource version makes a lost race a retry."""
        metadata = instance["metadata"]
        reached = {"phase": status["phase"], "phaseTransitionTimestamp": now()}
        stamps = [*(instance["status"].get("phaseTransitionTimestamps") or []), reached]
        path = "/apis/kubevirt.io/v1/namespaces/%s/virtualmachineinstances/%s" % (
            metadata["namespace"],
            metadata["name"],
        )
        body = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": {**status, "phaseTransitionTimestamps": stamps},
        }
        try:
            self._api.request("MERGE", path, body)
            log("instance %s/%s reported %s" % (metadata["namespace"], metadata["name"], status["phase"]))
        except ApiError as error:
            # 409: the event of the newer version brings us here again.
            if error.code not in (404, 409):
                raise
