# SPDX-License-Identifier: GPL-3.0-or-later
"""KubeVirt: its CR, as virt-operator would leave it, and the real virt-controller."""

from __future__ import annotations

from . import processes
from .api import Api, object_path
from .cluster import MANIFESTS, documents
from .site import Lab

IMAGE = "quay.io/kubevirt/virt-launcher:v1.7.0"  # a name only: nothing pulls it here


def install(api: Api) -> None:
    """The KubeVirt object; its status is what virt-operator would report after a deployment."""
    (kubevirt,) = documents(MANIFESTS / "kubevirt.yml")
    status = kubevirt.pop("status")
    api.apply(kubevirt)
    api.merge(f"{object_path(kubevirt)}/status", {"status": status})


def start(lab: Lab) -> None:
    argv = [
        lab.bin / "virt-controller",
        f"--kubeconfig={lab.kubeconfig('virt-controller')}",
        "--listen=127.0.0.1",
        "--port=8182",
        f"--launcher-image={IMAGE}",
        f"--exporter-image={IMAGE}",
        f"--prom-cert-file={lab.pki}/server.crt",
        f"--prom-key-file={lab.pki}/server.key",
        "--leader-elect-lease-duration=40s",  # who cannot renew it in time on a loaded machine ends for ever
        "--leader-elect-renew-deadline=30s",
        "--leader-elect-retry-period=1s",
    ]
    processes.start(lab, "virt-controller", argv, netns=lab.netns("admin"))
