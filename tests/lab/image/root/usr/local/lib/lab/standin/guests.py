# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests: for each pod a network namespace, its NICs by the real CNI plugin, and an sshd in it.

The plugin is called as kubelet would for eth0, and as Multus would for each further network that Kube-OVN's controller
has given the pod an address in, by a NetworkAttachmentDefinition.

What was made is recorded on disk, because after a power-off the namespaces are gone but Open vSwitch still has their
ports: as a kubelet does with its old sandboxes, each is handed to the plugin's DEL before anything new is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import List

from .api import Object, log

RECORDS = Path("/var/lib/lab-standin")
RUNNING = Path("/run/lab/guests")
PLUGIN = "/opt/lab/bin/kube-ovn-cni"
NETWORK = {
    "cniVersion": "0.3.1",
    "name": "kube-ovn",
    "type": "kube-ovn",
    "server_socket": "/run/openvswitch/kube-ovn-daemon.sock",
}


def command(*argv: str, check: bool = True, stdin: str = "", env: "dict[str, str] | None" = None) -> str:
    done = subprocess.run(argv, check=False, input=stdin, capture_output=True, text=True, env=env)
    if check and done.returncode != 0:
        raise RuntimeError(
            "%s: exit %d: %s" % (" ".join(argv[:4]), done.returncode, (done.stderr + done.stdout).strip())
        )
    return done.stdout


def further_networks(pod: Object) -> str:
    """The providers of a pod's networks but the first one, by Kube-OVN's annotations; separated by commas."""
    allocated = ".kubernetes.io/allocated"
    notes = pod["metadata"].get("annotations") or {}
    return ",".join(
        sorted(key[: -len(allocated)] for key in notes if key.endswith(allocated) and key != "ovn" + allocated)
    )


def guest_name(pod: Object) -> str:
    """The guest's host name: the VM's name if the pod is a VM's launcher."""
    virtual_machine: str = (pod["metadata"].get("annotations") or {}).get("kubevirt.io/domain", "")
    return virtual_machine or pod["spec"].get("hostname") or pod["metadata"]["name"]


class Guest:
    """One pod's guest, known by what is recorded of it."""

    def __init__(self, record: "dict[str, str]") -> None:
        self.record = record
        self.key = "%s/%s" % (record["namespace"], record["name"])
        self.uid = record["uid"]
        self._container = hashlib.sha256(("%s/%s" % (self.key, self.uid)).encode()).hexdigest()
        # The plugin names the veth after the first 12 characters too.
        self.netns = self._container[:12]
        self._file = RECORDS / (self.netns + ".json")
        self._env = RUNNING / (self.netns + ".env")
        self._unit = "lab-guest@%s.service" % self.netns
        # Each NIC with its network's provider. Records of an older boot may lack the further ones.
        networks = [name for name in record.get("networks", "").split(",") if name]
        self._nics = [("eth0", ""), *(("net%d" % number, name) for number, name in enumerate(networks, 1))]

    def running(self) -> bool:
        """Whether it was made since the machine booted, whole."""
        return self._env.exists() and subprocess.call(["systemctl", "-q", "is-active", self._unit]) == 0

    def up(self) -> None:
        if self.running():
            return
        if self._file.exists():
            self.down()
        write(self._file, json.dumps(self.record))
        command("ip", "netns", "add", self.netns)
        inside = ("ip", "netns", "exec", self.netns)
        for nic, provider in self._nics:
            self._plugin("ADD", nic, provider)
            # OVS's userspace datapath passes packets on as they are: a checksum left to be filled in would stay empty.
            command(*inside, "ethtool", "-K", nic, "tx", "off")
        lines = {"GUEST_HOSTNAME": self.record["hostname"], "GUEST_POD": self.record["name"]}
        write(self._env, "".join("%s=%s\n" % item for item in lines.items()))
        command("systemctl", "restart", self._unit)
        log("guest %s of pod %s is up" % (self.record["hostname"], self.key))

    def down(self) -> None:
        command("systemctl", "stop", self._unit, check=False)
        for nic, provider in reversed(self._nics):
            self._plugin("DEL", nic, provider)
        command("ip", "netns", "del", self.netns, check=False)
        for path in (self._env, self._file):
            if path.exists():
                path.unlink()
        log("guest %s of pod %s is gone" % (self.record["hostname"], self.key))

    def _plugin(self, what: str, nic: str, provider: str) -> None:
        if not os.path.exists(NETWORK["server_socket"]):
            raise RuntimeError("waiting for the node daemon's socket")
        netns = "/run/netns/" + self.netns
        arguments = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": self.record["namespace"],
            "K8S_POD_NAME": self.record["name"],
            "K8S_POD_INFRA_CONTAINER_ID": self._container,
        }
        env = {
            "PATH": os.environ["PATH"],
            "CNI_COMMAND": what,
            "CNI_CONTAINERID": self._container,
            "CNI_NETNS": netns if os.path.exists(netns) else "",
            "CNI_IFNAME": nic,
            "CNI_PATH": os.path.dirname(PLUGIN),
            "CNI_ARGS": ";".join("%s=%s" % item for item in arguments.items()),
        }
        network = {**NETWORK, "provider": provider} if provider else NETWORK
        command(PLUGIN, stdin=json.dumps(network), env=env)


class Guests:
    """All guests of this machine, whether this boot's or an earlier one's."""

    def __init__(self) -> None:
        RECORDS.mkdir(parents=True, exist_ok=True)
        RUNNING.mkdir(parents=True, exist_ok=True)

    def recorded(self) -> List[Guest]:
        return [Guest(json.loads(path.read_text())) for path in RECORDS.glob("*.json")]

    @staticmethod
    def of(pod: Object) -> Guest:
        metadata = pod["metadata"]
        record = {key: metadata[key] for key in ("namespace", "name", "uid")}
        return Guest({**record, "hostname": guest_name(pod), "networks": further_networks(pod)})

    def down(self, key: str, but: str = "") -> None:
        """End every guest of a namespace/name but the one with that UID."""
        for guest in self.recorded():
            if guest.key == key and guest.uid != but:
                guest.down()


def write(path: Path, text: str) -> None:
    """Whole or not at all: the machine may lose its power at any moment."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(path)
