# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of virt-handlers that moves a running instance to another node: each of the two reports its own share.

No memory is copied: the guest on the target is there as soon as its pod runs, and the one on the source ends with its
pod. What virt-controller and Kube-OVN see of it is what they see of a real one: migrationState, and the RARP packet by
which a machine that has moved tells the network where it is now. An instance with annotation HELD is like one whose
memory changes faster than it can be copied: its migration goes on until it is cancelled.
"""

from __future__ import annotations

import time
from typing import Optional

from .api import Object
from .guests import Guest, command
from .node import now
from .pods import OVN, annotation

HELD = "lab.kubeovn.core/migration-held"
TARGET_LABEL = "kubevirt.io/migrationTargetNodeName"  # of an instance: which node's virt-handler is the target's
RUNNING_SECONDS = 2.0  # as long as it is under way: a small machine's memory takes about that
RARP = """
import socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
ask = b"\\xff" * 6 + mac + b"\\x80\\x35" + b"\\x00\\x01\\x08\\x00\\x06\\x04\\x00\\x03"
frame = (ask + mac + bytes(4) + mac + bytes(4)).ljust(60, b"\\x00")
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("eth0", 0))
    raw.send(frame)
"""


def state_of(instance: Object) -> Object:
    """The migration that is under way, or was the last one."""
    return (instance.get("status") or {}).get("migrationState") or {}


def is_under_way(instance: Object) -> bool:
    state = state_of(instance)
    return bool(state.get("targetPod")) and not (state.get("completed") or state.get("failed"))


def next_report(instance: Object, address: str) -> Optional[Object]:
    """What the target's virt-handler reports next; None when it has nothing new to tell."""
    state = state_of(instance)
    if not state.get("targetNodeAddress"):
        return {"targetNodeAddress": address}
    if not state.get("startTimestamp"):
        return {"startTimestamp": now()}
    if HELD in (instance["metadata"].get("annotations") or {}):
        return None
    time.sleep(RUNNING_SECONDS)
    stamp = now()
    done = {"completed": True, "endTimestamp": stamp, "targetNodeDomainDetected": True}
    return {**done, "targetNodeDomainReadyTimestamp": stamp}


def cancelled() -> Object:
    """What the source's virt-handler reports when virt-controller has told it to give up: failed, never completed."""
    return {
        "abortStatus": "Succeeded",
        "failed": True,
        "failureReason": "Live migration aborted",
        "endTimestamp": now(),
    }


def announce(pod: Object, guest: Guest) -> None:
    """The guest tells the network where it is, as QEMU does after a migration."""
    command("ip", "netns", "exec", guest.netns, "python3", "-c", RARP, annotation(pod, OVN + "mac_address"))
