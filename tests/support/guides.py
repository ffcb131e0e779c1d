# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation tells to type, as something to run: shell commands, and tasks made into plays.

Nothing of an example is changed; the folder in which it runs, and what its text leaves to the reader, are made here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.commands import TOP, VENV, run
from support.eip_lab import WORKER, machine, pod
from support.examples import INLINE, OURS, Example, blocks, documented, pages, tasks
from support.report_cases import MEASURED

SHELL = ("ansible", "export ", "kubectl ")
# Examples that need another site than the guides' is, and the test that runs each of them.
ELSEWHERE = {
    "docs/audit.md": "tests/unit/test_site_audit.py",
    "docs/awx.md": "tests/checks/test_pages.py",
    "docs/eips-vpc.md": "tests/integration/test_eip_vpc.py",
    "examples/eip.yml": "tests/integration/test_inventory.py",
    "examples/guests.yml": "tests/integration/test_inventory.py",
    "examples/site.kubeovn_eip.yml": "tests/integration/test_inventory.py",
    "examples/vm-testing.yml": "tests/integration/test_inventory.py",
    "plugins/modules/ovn_gateway_node_config.py": "tests/integration/test_gateway_nic.py",
    "plugins/modules/ovn_gateway_node_nic.py": "tests/integration/test_gateway_nodes.py",
    "roles/gateway_nic/README.md": "molecule/gateway_nic/converge.yml",
}
# They take gateways out of service or away, which takes minutes.
LONG = (
    "kubeovn.core.adopt",
    "kubeovn.core.drain_gateway",
    "kubeovn.core.rolling_maintenance",
    "kubeovn.core.failover_test",
    "plugins/modules/ovn_external_gw.py",
    "plugins/modules/ovn_gateway_node_release.py",
)
ON_NODES = ("ovn_gateway_node_announce", "ovn_gateway_node_info", "ovn_gateway_node_release")
NODE = "jah-k3s-h100-001"
MARK = "kubeovn.core/guides"
# What the filters' examples speak of without having made it.
GIVEN: dict[str, Any] = {
    "probe": {"stdout": "[1.0] 64 bytes from 10.4.19.101: icmp_seq=1 ttl=62 time=0.4 ms\n3 packets transmitted"},
    "after": "{{ look }}",
    "before": "{{ look }}",
    "nat": "{{ look }}",
    "seen": {"nat": "{{ look }}", "nodes": {}, "after": {}, "pings": [], "guests": [], "traffic": {}, "pending": []},
    "expected": {
        "nodes": ["jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003"],
        "nic": "enp8s0",
        "gateway": "10.4.19.1/24",
        "nic_ip": "10.4.19.254/24",
        "nic_mac": "",
        "eips": [],
        "ttl": {},
        "hostnames": {},
    },
}


def scripts() -> Iterator[Example]:
    """Each block of shell commands, then the commands in each page's text; what several pages tell is there once."""
    found = [one for page in pages() for one in blocks(page) if one.text.startswith(SHELL)]
    found += [Example(page, text) for page in pages() for text in INLINE.findall((TOP / page).read_text())]
    known: set[str] = set()
    for one in sorted(found, key=is_long):
        lines = set(one.text.splitlines())
        if not lines <= known:
            yield one
        known |= lines


def page_of(example: Example) -> str:
    """The file that an example stands in."""
    return example.where.split(":")[0]


def plays() -> list[Example]:
    """All YAML that is run here."""
    known = ELSEWHERE.keys()
    found = [one for one in documented() if page_of(one) not in known and not one.where.startswith("plugins/inventory")]
    return sorted(found, key=is_long)


def is_long(example: Example) -> bool:
    """Whether it is for `make test-full`."""
    return any(text in (*example.text.split(), example.where) for text in LONG)


# --- the folder that the guides speak of


@dataclass(frozen=True)
class Desk:
    """A reader's folder, home and programs."""

    folder: Path

    def make(self, lab: Path) -> None:
        """All that the guides take for granted; `lab` is the lab's command."""
        inventory = Path(os.environ["LAB_INVENTORY"])
        for name in ("my-site", "inventories/example", "inventory"):
            shutil.copytree(inventory, self.folder / name)
        variables = self.folder / "inventory" / "group_vars" / "all.yml"  # a rotation needs a pool
        pool = {"kubeovn_eips": [{"vm": "testing", "pool": "10.4.19.101-10.4.19.102"}]}
        variables.write_text(yaml.safe_dump(yaml.safe_load(variables.read_text()) | pool))
        shutil.copytree(TOP / "inventories" / "two-clusters", self.folder / "my-clusters")
        shutil.copytree(TOP / "examples", self.folder / "examples")
        (self.folder / "docs").symlink_to(TOP / "docs")
        (self.folder / "site.kubeovn_eip.yml").write_text("plugin: kubeovn.core.kubeovn_eip\n")
        (self.folder / "failover.json").write_text(json.dumps(MEASURED[0]))
        (self.folder / "upgrade.yml").write_text("- ansible.builtin.command: hostname\n  changed_when: false\n")
        shutil.copy(TOP / "tests" / "integration" / "nics.yml", self.folder)
        (self.folder / "exporter").mkdir()
        for name in ("config", "east", "west"):
            self._file(f"home/.kube/{name}", Path(os.environ["K8S_AUTH_KUBECONFIG"]).read_text())
        own = f"HOME={Path.home()} exec {lab}"  # the lab's folder is not in the reader's home
        self._program("kubectl", f'{own} kubectl "$@"')
        self._program("ipmitool", f'{own} power "$5" "${{2#bmc-}}"')  # -H bmc-NODE chassis power off

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _program(self, name: str, line: str) -> None:
        self._file(f"bin/{name}", f"#!/bin/sh\n{line}\n").chmod(0o755)

    def run(self, script: str, *arguments: object) -> str:
        """What it says; it has to succeed."""
        env = {
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder / 'bin'}:{VENV / 'bin'}:{os.environ['PATH']}",
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {os.environ['LAB_SSH_CONFIG']} -J outside-host",  # to guests by their EIPs
            "ANSIBLE_NOCOLOR": "1",
        }
        return run(["bash", "-euc", script, "bash", *arguments], cwd=self.folder, env=env, tail=200, timeout=1200)

    def script(self, example: Example) -> str:
        """A guide's commands; what they would write for a program of this machine goes into the folder."""
        text = example.text.replace("/var/lib/prometheus/node-exporter/", f"{self.folder / 'exporter'}/")
        if "kubeovn.core.rolling_maintenance" in text:  # the reboot is Molecule's scenario `rolling`
            text = text.replace("upgrade.yml", "upgrade.yml -e rolling_maintenance_reboot=false")
        return self.run(text)

    def play(self, example: Example) -> str:
        """A guide's tasks as a play, or its plays as they are."""
        found = [part for document in yaml.safe_load_all(example.text) for part in document]
        whole = "hosts" in found[0]
        path = self._file("play.yml", yaml.safe_dump(found if whole else [play_of(example, found)], sort_keys=False))
        clusters = whole and found[0]["hosts"] == "kubeovn_clusters"
        where = ("-i", "my-clusters", "--limit", "east") if clusters else ("-i", "my-site")
        return self.run('ansible-playbook "$@"', *where, path)


def play_of(example: Example, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tasks as a play: on a gateway node where they are about one, else on the control node."""
    on_node = any(f"{OURS}{name}" in task and "delegate_to" not in task for task in found for name in ON_NODES)
    play: dict[str, Any] = {"hosts": NODE if on_node else "localhost", "gather_facts": False, "tasks": list(found)}
    if on_node:
        play["tasks"] = [{**task, "delegate_to": "localhost"} if _of_cluster(task) else task for task in found]
    if example.where.startswith("plugins/filter"):
        play["pre_tasks"] = [{f"{OURS}ovn_nat_info": {}, "register": "look"}]
        play["vars"] = GIVEN
    return play


def _of_cluster(task: Mapping[str, Any]) -> bool:
    return any(name.startswith(OURS) and not name.startswith(f"{OURS}ovn_gateway_node") for name in task)


# --- who the guides' EIPs are for


def holders() -> Iterator[dict[str, Any]]:
    """Namespaces, VMs, a pod and a Deployment of the names that the guides use."""
    for name in ("shop", "tools"):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for name, namespace in (("testing", "default"), ("testing-2", "default"), ("web-1", "shop"), ("web-2", "shop")):
        vm = machine(name, running=True)
        vm["metadata"]["namespace"] = namespace
        vm["spec"]["template"]["metadata"]["labels"][MARK] = "true"
        yield vm
    probe = pod("probe")
    yield {**probe, "metadata": {"name": "probe", "namespace": "tools", "labels": {MARK: "true"}}}
    labels = {MARK: "true", "app": "crawler"}
    template = {
        "metadata": {"labels": labels},
        "spec": {**probe["spec"], "nodeSelector": {"kubernetes.io/hostname": WORKER}},
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "crawler", "namespace": "shop"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "crawler"}}, "template": template},
    }


def uses_eips(example: Example) -> bool:
    """Whether a play gives EIPs, or takes the gateway away that they need, so that it has to begin without any."""
    told = list(tasks(list(yaml.safe_load_all(example.text))))
    ends = any(task.get(f"{OURS}ovn_external_gw", {}).get("state") == "absent" for task in told)
    return ends or "vm_eip" in example.text or any(f"{OURS}ovn_eip" in task for task in told)
