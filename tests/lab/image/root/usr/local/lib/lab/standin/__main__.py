# SPDX-License-Identifier: GPL-3.0-or-later
"""lab-standin: a stand-in for kubelet and virt-handler on one machine of the lab. It is neither.

What it does instead of them: it keeps its Node's Lease and Ready condition fresh as long as the machine lives, gives
each pod bound to the node a guest (a network namespace whose NIC the real CNI plugin makes, and an sshd in it), reports
pod and VirtualMachineInstance as running, moves one that migrates, and finalises both when they are deleted. No
container or virtual machine runs. It never writes an annotation of Kube-OVN, nor anything in OVN.
"""

from __future__ import annotations

import os
import threading

from .api import Api, log
from .guests import Guests
from .node import NodeStatus
from .pods import Pods
from .vmis import Instances


def main() -> None:
    """Watch what concerns this node, for ever."""
    name = os.environ["NODE_NAME"]
    log("stands in for kubelet and virt-handler on %s; it is neither: no container and no VM runs here" % name)
    api = Api("/etc/lab/kubeconfig")
    NodeStatus(api, name, os.environ["NODE_ADDRESS"]).start()

    guests = Guests()
    pods = Pods(api, guests)
    instances = Instances(api, name, os.environ["NODE_ADDRESS"], pods)
    pods.watch("/api/v1/pods?fieldSelector=spec.nodeName%3D" + name, instances.pod_changed)
    instances.watch("/apis/kubevirt.io/v1/virtualmachineinstances")
    threading.Event().wait()


if __name__ == "__main__":
    main()
