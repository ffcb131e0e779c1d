# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's life: up, down, what runs. Every step finds what is there and does the rest, so a killed `up` is repaired."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from . import builds, central, cluster, door, inventory, machines, mounts, network, pki, processes, spaces, ssh, virt
from .api import Api
from .labs import describe, every, load, missing, save
from .processes import LabError
from .report import say, step
from .site import Lab, Node, cache_dir

DAEMON_PORT = 10665  # where Kube-OVN's node daemon answers health checks
ACCOUNTS = ("kubeovn-operator", "reader")


def up(asked: Lab) -> None:
    """Bring the lab up, or what is missing of it."""
    with builds.locked(cache_dir() / "locks" / asked.name, f"lab {asked.name}"):
        before = load(asked.name)
        if before is not None and before != asked:
            raise LabError(f"lab {asked.name} exists with other settings ({describe(before)}); end it first: lab down")
        if before is not None and not missing(before):
            _settle(before)
            say(f"lab {asked.name} was up already")
            return
        lab = before or asked
        if before is None or not before.rootfs.exists():
            lab = replace(asked, tree=builds.fingerprint())
        save(lab)
        builds.ensure(lab)
        _prepare(lab)
        _start(lab)
        _settle(lab)
        say(f"lab {lab.name} is up: {describe(lab)}")


def _prepare(lab: Lab) -> None:
    """State, keys, namespaces, the door: quick, and what everything else needs."""
    for folder in (lab.run, lab.logs):
        folder.mkdir(parents=True, exist_ok=True)
    pki.ensure(lab)
    ssh.ensure(lab)
    network.up(lab)
    central.make_root(lab)
    door.up(lab)
    inventory.write(lab)


def _start(lab: Lab) -> None:
    """Machines boot while the control plane starts."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(_control_plane, lab), pool.submit(_machines, lab)]
    failures = [error for job in jobs if (error := job.exception()) is not None]
    if failures:
        raise failures[0]


def _machines(lab: Lab) -> None:
    with step("machines booted, ssh answers"):
        machines.up(lab)


def _control_plane(lab: Lab) -> None:
    with step("OVN central listens"):
        central.start_ovn(lab)
    with step("API server ready"):
        api = cluster.start_apiserver(lab)
    with step("CRDs, roles and identities installed"):
        cluster.install_crds(lab, api)
        cluster.install_rbac(api)
        kubeconfigs(lab, api)
    with step("controllers started, ovn-central pod Running"):
        cluster.start_managers(lab)
        cluster.start_kube_ovn(lab)
        central.start_kwok(lab)
        virt.install(api)
        virt.start(lab)
        central.start_pod(lab, api)


def kubeconfigs(lab: Lab, api: Api) -> None:
    """Kubeconfigs for the host, through the door."""
    server = f"https://127.0.0.1:{door.ports(lab)['api']}"
    pki.write_kubeconfig(lab, lab.door_kubeconfig("admin"), server, "admin", pki.token(lab, "admin"))
    for account in ACCOUNTS:
        cluster.account_kubeconfig(lab, api, account, server)


def _settle(lab: Lab) -> None:
    """Wait until the site works: all nodes Ready, every node daemon healthy, the default subnet made."""
    api = Api(lab)
    with step("nodes Ready, Kube-OVN's daemons healthy"):
        slow = 180 if any(lab.boot(node) == "uml" for node in lab.nodes) else 90
        _wait(lab, "kube-ovn-controller", lambda: _subnet_ready(api), slow, "subnet ovn-default made")
        for node in lab.nodes:
            _node_settled(lab, api, node, slow)
    for part in missing(lab):
        raise LabError(f"{part} has ended\n{processes.tail(lab, part)}")


def _node_settled(lab: Lab, api: Api, node: Node, deadline: float) -> None:
    part = f"machine-{node.short}"
    _wait(lab, part, lambda: node_ready(api, node.name), deadline, f"{node.name} Ready")
    _wait(lab, part, lambda: _daemon(lab, node.mgmt_address), deadline, f"{node.name}: node daemon healthy")


def _wait(lab: Lab, part: str, ready: Callable[[], bool], deadline: float, what: str) -> None:
    processes.wait_ready(lab, part, ready, deadline, what)


def _subnet_ready(api: Api) -> bool:
    found = api.get("/apis/kubeovn.io/v1/subnets/ovn-default")
    return found is not None and bool(found.get("status", {}).get("v4availableIPs"))


def node_ready(api: Api, name: str) -> bool:
    """Whether the cluster holds a node for Ready."""
    found = api.get(f"/api/v1/nodes/{name}")
    conditions = found["status"].get("conditions", []) if found else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _daemon(lab: Lab, address: str) -> bool:
    return spaces.accepts(lab.netns("admin"), address, DAEMON_PORT)


def down(lab: Lab) -> None:
    """Take the lab away, whatever there is of it; only its logs stay."""
    with builds.locked(cache_dir() / "locks" / lab.name, f"lab {lab.name}"):
        existed = lab.settings.exists()
        machines.down(lab)
        for name in reversed(processes.names(lab)):
            processes.stop(lab, name, hard=True)
        mounts.down(lab)
        network.down(lab)
        for path in lab.state.glob("*"):
            if path != lab.logs:
                _remove(path)
        if lab.state.exists() and not any(lab.state.iterdir()):
            lab.state.rmdir()
        say(f"lab {lab.name} is down" if existed else f"there is no lab {lab.name}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean() -> None:
    """Remove the caches too: every build, every lab's logs."""
    labs = every()
    if labs:
        raise LabError(f"labs are up: {', '.join(lab.name for lab in labs)}; end them first: lab down --name NAME")
    for path in sorted(set(cache_dir().glob("*")) - set(cache_dir().glob("venv-*"))):  # the Python this runs on stays
        with step(f"removed {path}"):
            _make_removable(path)
            _remove(path)


def _make_removable(path: Path) -> None:
    """Go's module cache is read-only on purpose."""
    if path.name == "go":
        processes.run(["chmod", "-R", "u+w", path])
