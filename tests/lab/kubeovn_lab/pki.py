# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, tokens and kubeconfigs of one lab. Made once; a second run finds them and leaves them."""

from __future__ import annotations

import base64
import csv
import json
import secrets
from pathlib import Path

from . import processes, site
from .site import Lab

DAYS = "3650"
SERVER_NAMES = f"IP:127.0.0.1,IP:{site.ADMIN_ADDRESS},IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"

# user name -> groups; the machines' own follow. Kube-OVN's and KubeVirt's parts are cluster admins here.
COMPONENTS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", "system:masters"),
    "kube-scheduler": ("system:kube-scheduler", "system:masters"),
    "kube-ovn-controller": ("kube-ovn-controller", "system:masters"),
    "virt-controller": ("virt-controller", "system:masters"),
    "kwok": ("kwok", "system:masters"),
}


def ensure(lab: Lab) -> None:
    """Make whatever is missing of this lab's secrets."""
    for folder in (lab.pki, lab.kubeconfig("x").parent, lab.door_kubeconfig("x").parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (lab.pki / "server.crt").exists():
        _certificates(lab.pki)
    _tokens(lab)


def _certificates(folder: Path) -> None:
    """A CA, one serving certificate for API server and kwok, and the key that signs service accounts' tokens."""
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256", "-days", DAYS]
    authority = ["-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-subj", "/CN=kubeovn-core-lab"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    processes.run(["openssl", "req", "-x509", *ec, *authority, *usage])
    processes.run(["openssl", "genrsa", "-out", folder / "service-account.key", "2048"])
    names = ["-addext", f"subjectAltName={SERVER_NAMES}", "-addext", "extendedKeyUsage=serverAuth"]
    signer = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    server = ["-keyout", folder / "server.key", "-out", folder / "server.tmp", "-subj", "/CN=kube-apiserver"]
    processes.run(["openssl", "req", "-x509", *ec, *signer, *names, *server])
    (folder / "server.tmp").rename(folder / "server.crt")


def users(lab: Lab) -> dict[str, tuple[str, str]]:
    """Identity -> (user, group) of everyone who comes with a static token."""
    machines = {node.name: (f"system:node:{node.name}", "system:masters") for node in lab.nodes}
    return COMPONENTS | machines


def _tokens(lab: Lab) -> None:
    """A token per identity in the API server's file, and a kubeconfig for inside the lab with each."""
    path = lab.pki / "tokens.csv"
    if path.exists():
        return
    tokens = {identity: secrets.token_hex(24) for identity in users(lab)}
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="") as out:
        rows = csv.writer(out)
        for identity, (user, group) in users(lab).items():
            rows.writerow([tokens[identity], user, identity, group])
    for identity, token in tokens.items():
        write_kubeconfig(lab, lab.kubeconfig(identity), site.API_URL, identity, token)
    temporary.rename(path)


def token(lab: Lab, identity: str) -> str:
    """The static token of an identity."""
    with open(lab.pki / "tokens.csv", newline="") as source:
        for row in csv.reader(source):
            if row[2] == identity:
                return row[0]
    raise KeyError(identity)


def write_kubeconfig(lab: Lab, path: Path, server: str, identity: str, bearer: str) -> None:
    """A kubeconfig that carries all it needs; JSON, which is YAML too."""
    authority = base64.b64encode((lab.pki / "ca.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": lab.name,
        "clusters": [{"name": lab.name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": identity, "user": {"token": bearer}}],
        "contexts": [{"name": lab.name, "context": {"cluster": lab.name, "user": identity}}],
    }
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(config, indent=1))
    temporary.rename(path)
