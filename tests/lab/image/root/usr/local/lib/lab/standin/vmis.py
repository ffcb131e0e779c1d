# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a virt-handler that reports a VirtualMachineInstance: Running once its guest is, Succeeded at its end.

How one moves from node to node is in migrations.py.
"""

from __future__ import annotations

from typing import Optional

from .api import Api, ApiError, Object, log
from .guests import Guests
from .informer import Informer, Queue
from .migrations import TARGET_LABEL, announce, cancelled, is_under_way, next_report, state_of
from .node import now
from .pods import OVN, Pods, address, annotation, is_running

ALIVE = ("Scheduled", "Running")


class Instances:
    """The VirtualMachineInstances on this node."""

    def __init__(self, api: Api, node: str, address: str, pods: Pods) -> None:
        self._api = api
        self._node = node
        self._address = address
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
        if instance is not None and status.get("phase") == "Running":
            self._migrate(instance)
        if instance is None or status.get("nodeName") != self._node or status.get("phase") not in ALIVE:
            return
        pod = self._pods.launcher(instance["metadata"]["uid"])
        if instance["metadata"].get("deletionTimestamp"):
            if pod is not None:
                self._pods.end(pod)
            self._write(instance, {"phase": "Succeeded"})
        elif status["phase"] == "Scheduled" and pod is not None and is_running(pod):
            self._write(instance, {"phase": "Running", **self._details(instance, pod)})

    def _migrate(self, instance: Object) -> None:
        """This node's share in a migration. Pods go by name: the next one's is there before its state is."""
        state = state_of(instance)
        pod = self._pods.launcher(instance["metadata"]["uid"])
        mine = pod["metadata"]["name"] if pod is not None else ""
        if instance["metadata"].get("deletionTimestamp"):
            return
        if not is_under_way(instance):
            self._clean_up(instance, pod)
        elif state.get("abortRequested"):
            if state.get("sourcePod") == mine:
                self._write(instance, {"phase": "Running", "migrationState": cancelled()})
        elif pod is not None and state.get("targetPod") == mine and is_running(pod):
            self._report(instance, pod)

    def _clean_up(self, instance: Object, pod: Optional[Object]) -> None:
        """When a migration is over: one of the two pods ends, and the target lets go of the instance's label."""
        state = state_of(instance)
        gone = state.get("targetPod" if state.get("failed") else "sourcePod")
        if pod is not None and pod["metadata"]["name"] == gone:
            self._pods.end(pod)
        if gone and (instance["metadata"].get("labels") or {}).get(TARGET_LABEL) == self._node:
            self._write(instance, {"phase": "Running"}, {TARGET_LABEL: None})

    def _report(self, instance: Object, pod: Object) -> None:
        """How far a migration to this node is."""
        report = next_report(instance, self._address)
        if report is None:
            return
        status: Object = {"phase": "Running", "migrationState": report}
        labels = {}
        if report.get("completed"):
            announce(pod, Guests.of(pod))
            status.update(nodeName=self._node, **self._details(instance, pod))
            labels = {"kubevirt.io/nodeName": self._node}
        self._write(instance, status, labels)

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
        conditions = [*kept, migratable]
        # Without a context virt-controller makes no pod to migrate to.
        way = {"migrationMethod": "LiveMigration", "selinuxContext": "none"}
        return {"interfaces": [nic], "conditions": conditions, **way}

    def _write(self, instance: Object, status: Object, labels: "Optional[Object]" = None) -> None:
        """As virt-handler does, the whole object: virt-controller's patches test all of it against what it read.

        A merge patch would take the nulls out of lists. The resource version makes a lost race a retry.
        """
        metadata, old = instance["metadata"], instance["status"]
        new = {**old, **status}
        if "migrationState" in status:
            new["migrationState"] = {**state_of(instance), **status["migrationState"]}
        if status["phase"] != old.get("phase"):
            reached = {"phase": status["phase"], "phaseTransitionTimestamp": now()}
            new["phaseTransitionTimestamps"] = [*(old.get("phaseTransitionTimestamps") or []), reached]
        marked = {**(metadata.get("labels") or {}), **(labels or {})}
        kept = {key: value for key, value in marked.items() if value is not None}
        path = "/apis/kubevirt.io/v1/namespaces/%s/virtualmachineinstances/%s" % (
            metadata["namespace"],
            metadata["name"],
        )
        try:
            self._api.request("PUT", path, {**instance, "metadata": {**metadata, "labels": kept}, "status": new})
            told = " ".join(sorted(status.get("migrationState") or [status["phase"]]))
            log("instance %s/%s reported %s" % (metadata["namespace"], metadata["name"], told))
        except ApiError as error:
            # 409: the event of the newer version brings us here again.
            if error.code not in (404, 409):
                raise
