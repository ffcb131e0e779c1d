# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes and Kube-OVN's controller: etcd, API server, controller manager, scheduler, in the admin namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from . import pki, processes, site
from .api import Api, Object
from .site import Lab

MANIFESTS = Path(__file__).parents[1] / "manifests"
RBAC = Path(__file__).parents[3] / "docs" / "rbac.yml"
OPERATOR_NAMESPACE = "kube-system"
NODE_GRACE_SECONDS = 12  # a machine that was powered off is NotReady after this; a real cluster's default is 40 or 50


def start_etcd(lab: Lab) -> None:
    """etcd, from the lab's root file system; its data goes with the lab, so nothing waits for the disk."""
    argv: list[object] = ["chroot", lab.central_root, "etcd", "--name=lab", "--data-dir=/var/lib/lab-etcd"]
    argv += ["--unsafe-no-fsync", "--log-level=warn", "--snapshot-count=5000", "--auto-compaction-retention=1h"]
    argv += ["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]
    argv += ["--listen-peer-urls=http://127.0.0.1:2380"]
    processes.start(lab, "etcd", argv, netns=lab.netns("admin"), cwd=Path("/"))


def start_apiserver(lab: Lab) -> Api:
    """Start the API server and wait until it serves."""
    start_etcd(lab)
    audit = lab.state / "audit-policy.yml"
    audit.write_text((MANIFESTS / "audit-policy.yml").read_text())
    keys = lab.pki
    argv = [
        lab.bin / "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={site.ADMIN_ADDRESS}",
        f"--secure-port={site.API_PORT}",
        f"--tls-cert-file={keys}/server.crt",
        f"--tls-private-key-file={keys}/server.key",
        f"--token-auth-file={keys}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/service-account.key",
        f"--service-account-signing-key-file={keys}/service-account.key",
        f"--service-cluster-ip-range={site.SERVICE_CIDR}",
        "--allow-privileged",
        f"--audit-policy-file={audit}",
        f"--audit-log-path={lab.audit_log}",
    ]
    processes.start(lab, "kube-apiserver", argv, netns=lab.netns("admin"))
    api = Api(lab)
    processes.wait_ready(lab, "kube-apiserver", api.ready, 90, "the API server ready")
    return api


def start_managers(lab: Lab) -> None:
    """Controller manager and scheduler; neither has a rival, so neither elects a leader."""
    argv: list[object] = [
        lab.bin / "kube-controller-manager",
        f"--kubeconfig={lab.kubeconfig('kube-controller-manager')}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--service-account-private-key-file={lab.pki}/service-account.key",
        f"--root-ca-file={lab.pki}/ca.crt",
        "--node-monitor-period=2s",
        f"--node-monitor-grace-period={NODE_GRACE_SECONDS}s",
    ]
    processes.start(lab, "kube-controller-manager", argv, netns=lab.netns("admin"))
    argv = [lab.bin / "kube-scheduler", f"--kubeconfig={lab.kubeconfig('kube-scheduler')}"]
    argv += ["--leader-elect=false", "--bind-address=127.0.0.1"]
    processes.start(lab, "kube-scheduler", argv, netns=lab.netns("admin"))


def start_kube_ovn(lab: Lab) -> None:
    """Kube-OVN's controller, in ovn-central's root since it writes below /var/log and /run."""
    argv: list[object] = [
        "chroot",
        lab.central_root,
        "/opt/lab/kube-ovn-controller",
        "--kubeconfig=/etc/lab/kube-ovn-controller.kubeconfig",
        f"--ovn-nb-addr={site.NB_ENDPOINT}",
        f"--ovn-sb-addr={site.SB_ENDPOINT}",
        f"--default-cidr={site.OVERLAY_CIDR}",
        f"--default-gateway={site.OVERLAY_GATEWAY}",
        f"--node-switch-cidr={site.JOIN_CIDR}",
        f"--service-cluster-ip-range={site.SERVICE_CIDR}",
        "--network-type=geneve",
        "--enable-lb=false",
        "--enable-np=false",
        f"--external-gateway-switch={lab.switch}",
        f"--external-gateway-net={lab.switch}",  # the daemons map the network by the switch's name
        "--logtostderr=true",
        "--alsologtostderr=true",
    ]
    env = {
        "KUBECONFIG": "/etc/lab/kube-ovn-controller.kubeconfig",
        "POD_NAME": "kube-ovn-controller-lab",
        "POD_NAMESPACE": "kube-system",
        "KUBE_NAMESPACE": "kube-system",
        "POD_IPS": site.ADMIN_ADDRESS,
        "NODE_NAME": site.CENTRAL_NODE,
        "KUBE_NODE_NAME": site.CENTRAL_NODE,
    }
    processes.start(lab, "kube-ovn-controller", argv, netns=lab.netns("admin"), env=env, cwd=Path("/"))


def documents(path: Path) -> list[Object]:
    """The objects of a YAML file, which may hold many documents."""
    return list(_flat(yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))))


def _flat(items: Any) -> Iterator[Object]:
    for item in items:
        if item and item.get("kind") == "List":
            yield from _flat(item["items"])
        elif item:
            yield item


def install_crds(lab: Lab, api: Api) -> None:
    """The CustomResourceDefinitions of Kube-OVN and KubeVirt, as their releases carry them."""
    items = documents(lab.cache / "manifests" / "kube-ovn-crd.yaml")
    items += list(_flat([json.loads((lab.cache / "manifests" / "kubevirt.json").read_text())]))
    api.each(api.create, items)
    definitions = [item["spec"] for item in items if item["kind"] == "CustomResourceDefinition"]
    wanted = {(spec["group"], one["name"], spec["names"]["plural"]) for spec in definitions for one in spec["versions"]}
    groups = {(group, version) for group, version, _plural in wanted}
    processes.wait_until(
        lambda: wanted <= _served(api, groups), 60, "the API server serves Kube-OVN's and KubeVirt's kinds"
    )


def _served(api: Api, groups: set[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """What the API server offers of these groups' versions."""
    offered = set()
    for group, version in groups:
        found = api.get(f"/apis/{group}/{version}") or {"resources": []}
        offered |= {(group, version, resource["name"]) for resource in found["resources"]}
    return offered


def install_rbac(api: Api) -> None:
    """Namespaces, the collection's documented roles, and a reader."""
    for item in documents(MANIFESTS / "base.yml") + documents(RBAC):
        api.apply(item)


def account_kubeconfig(lab: Lab, api: Api, account: str, server: str) -> Path:
    """A kubeconfig for the host with a year's token of a ServiceAccount, as a user would ask for one."""
    path = lab.door_kubeconfig(account)
    spec = {"spec": {"expirationSeconds": 365 * 24 * 3600}}
    ask = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/serviceaccounts/{account}/token"
    answer = api.request("POST", ask, spec)
    pki.write_kubeconfig(lab, path, server, account, answer["status"]["token"])
    return path
