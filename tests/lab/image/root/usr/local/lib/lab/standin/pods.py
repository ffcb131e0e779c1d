# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a kubelet that looks after pods: guest up and status Running, or guest down and pod finalised."""

from __future__ import annotations

import hashlib
from typing import Callable, Optional

from .api import Api, ApiError, Object, log
from .guests import Guests
from .informer import Informer, Queue, key_of
from .node import now

OVN = "ovn.kubernetes.io/"
FINAL = ("Succeeded", "Failed")
THREADS = 4


def annotation(pod: Object, name: str) -> str:
    return (pod["metadata"].get("annotations") or {}).get(name) or ""


def is_running(pod: Object) -> bool:
    """Whether the pod's status says what this program would write."""
    status = pod.get("status") or {}
    ready = {item["type"]: item["status"] for item in status.get("conditions") or []}.get("Ready")
    return status.get("phase") == "Running" and ready == "True" and status.get("podIP") == address(pod)


def address(pod: Object) -> str:
    return annotation(pod, OVN + "ip_address").partition(",")[0]


def ended() -> Object:
    """The state of a container whose program has come to its end."""
    return {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}}


def container_status(pod: Object, container: Object, state: Object) -> Object:
    """What a kubelet would report of one container."""
    running = "running" in state
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        # KubeVirt wants a digest in it.
        "imageID": "%s@sha256:%s" % (image.partition("@")[0], hashlib.sha256(image.encode()).hexdigest()),
        "containerID": "lab-standin://" + pod["metadata"]["uid"],
        "ready": running,
        "started": running,
        "restartCount": 0,
        "state": state,
    }


class Pods:
    """The pods bound to this node, other than those on the host's network."""

    def __init__(self, api: Api, guests: Guests) -> None:
        self._api = api
        self._guests = guests
        self._queue = Queue(self._work, THREADS)
        self._informer: Optional[Informer] = None
        self._ended: "set[str]" = set()
        self._tell: Optional[Callable[[Object], None]] = None

    def watch(self, path: str, tell: Callable[[Object], None]) -> None:
        """Begin. `tell` is called with each pod that is running or gone."""
        self._tell = tell
        known = [guest.key for guest in self._guests.recorded()]
        self._informer = Informer(self._api, path, self._queue.add, known)
        self._informer.start()

    def launcher(self, instance_uid: str) -> Optional[Object]:
        """The live launcher pod of a VirtualMachineInstance on this node."""
        for pod in self._informer.values() if self._informer else ():
            made_by = (pod["metadata"].get("labels") or {}).get("kubevirt.io/created-by")
            if made_by == instance_uid and pod["status"].get("phase") not in FINAL:
                return pod
        return None

    def end(self, pod: Object) -> None:
        """The pod's program has come to its end; its own worker does the rest."""
        self._ended.add(pod["metadata"]["uid"])
        self._queue.add(key_of(pod))

    def _changed(self, pod: Object) -> None:
        if self._tell is not None:
            self._tell(pod)

    def _work(self, key: str) -> None:
        pod = self._informer.get(key) if self._informer else None
        self._guests.down(key, but=pod["metadata"]["uid"] if pod else "")
        if pod is None or pod["spec"].get("hostNetwork"):
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._finalise(pod)
        elif pod["status"].get("phase") in FINAL:
            self._guests.down(key)
        elif pod["metadata"]["uid"] in self._ended:
            self._guests.down(key)
            self._report(pod, "Succeeded", "False", ended())
        elif annotation(pod, OVN + "allocated") == "true" and annotation(pod, OVN + "routed") == "true":
            # Kubelet would not wait for "routed"; the plugin then does, a second at a time.
            self._guests.of(pod).up()
            if not is_running(pod):
                self._report(pod, "Running", "True", {"running": {"startedAt": now()}})
            self._changed(pod)

    def _finalise(self, pod: Object) -> None:
        self._guests.down(key_of(pod))
        self._ended.discard(pod["metadata"]["uid"])
        if pod["status"].get("phase") not in FINAL:
            self._report(pod, "Succeeded", "False", ended())
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            self._api.request("DELETE", self._path(pod), {"kind": "DeleteOptions", "apiVersion": "v1", **options})
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        self._changed(pod)

    @staticmethod
    def _path(pod: Object) -> str:
        return "/api/v1/namespaces/%s/pods/%s" % (pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _report(self, pod: Object, phase: str, ready: str, state: Object) -> None:
        """Write the status a kubelet would."""
        stamp = now()
        kinds = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        conditions = [
            {"type": kind, "status": "True" if kind == "Initialized" else ready, "lastTransitionTime": stamp}
            for kind in kinds
        ]
        begun = [item for item in pod["spec"].get("initContainers") or [] if item.get("restartPolicy") != "Always"]
        sidecars = [item for item in pod["spec"].get("initContainers") or [] if item.get("restartPolicy") == "Always"]
        containers = [container_status(pod, item, state) for item in pod["spec"]["containers"]]
        before = [container_status(pod, item, ended()) for item in begun]
        before += [container_status(pod, item, state) for item in sidecars]
        status = {"phase": phase, "conditions": conditions, "containerStatuses": containers, "startTime": stamp}
        if before:
            status["initContainerStatuses"] = before
        if address(pod):
            status.update(podIP=address(pod), podIPs=[{"ip": address(pod)}])
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        try:
            self._api.request("STRATEGIC", self._path(pod) + "/status", body)
        except ApiError as error:
            # Gone, or another pod of the same name: the watch will tell.
            if error.code not in (404, 409):
                raise
        log("pod %s reported %s" % (self._path(pod), phase))
