# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth about the lab's external gateway, as ovn-nbctl, ovn-sbctl, ovs-vsctl, kubectl and the audit log tell it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.lab import Lab
from support.live import OPERATOR, WRITES, eventually

G1, G2, G3 = NODES = ["jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003"]
SITE: dict[str, Any] = {
    "nodes": NODES,
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": "16:52:f3:13:6a:25",
}
CONFIG_MAP = ("-n", "kube-system", "configmap", "ovn-external-gw-config")
CONTROLLER = "kube-ovn-controller"
LABEL = "ovn.kubernetes.io/external-gw"
PORT = "ovn-cluster-external"
REVISION = "kubeovn-core-revision"  # a key that has no meaning but to be different
TIMERS = ("bfd-min-rx", "bfd-min-tx", "bfd-mult")
EIP_PRIORITY = 29250
MAPPINGS, MAPPING = "ovn-bridge-mappings", "external:br-external"

# The tables of NB that a configuration is in, and the columns that OVN itself writes into these. Not Port_Group: at
# its leisure Kube-OVN puts the ports of pods into groups and takes them out again.
TABLES_TEXT = (
    "NB_Global Logical_Switch Logical_Switch_Port Logical_Router Logical_Router_Port Gateway_Chassis HA_Chassis_Group "
    "HA_Chassis NAT Logical_Router_Policy Logical_Router_Static_Route Address_Set ACL QoS Meter Meter_Band "
    "Load_Balancer Load_Balancer_Group Load_Balancer_Health_Check DHCP_Options DHCP_Relay DNS BFD Static_MAC_Binding "
    "Forwarding_Group Mirror Connection SSL Copp Chassis_Template_Var"
)
TABLES = TABLES_TEXT.split()
OVNS_OWN = {
    "NB_Global": {"nb_cfg", "nb_cfg_timestamp", "sb_cfg", "sb_cfg_timestamp", "hv_cfg", "hv_cfg_timestamp"},
    "Logical_Switch_Port": {"up", "dynamic_addresses"},
    "Logical_Router_Port": {"status"},
    "BFD": {"status"},
}

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]  # by table and UUID


def plain(value: Any) -> Any:
    """A value of OVSDB's JSON as Python has it: a map as dict, a set as sorted list, a UUID as text."""
    match value:
        case ["map", pairs]:
            return {key: plain(one) for key, one in pairs}
        case ["set", members]:
            return sorted((plain(one) for one in members), key=str)
        case ["uuid", text]:
            return text
    return value


def tables(text: str, names: Iterable[str]) -> Tables:
    """What `--format=json list A -- list B` prints: a line a table."""
    found: Tables = {}
    for name, line in zip(names, text.strip().splitlines(), strict=True):
        answer = json.loads(line)
        rows = [dict(zip(answer["headings"], map(plain, row), strict=True)) for row in answer["data"]]
        own = OVNS_OWN.get(name, set())
        found[name] = {row.pop("_uuid"): {key: row[key] for key in row if key not in own} for row in rows}
    return found


def many(value: Any) -> list[Any]:
    """A set's members; OVSDB writes a set of one as its member."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Side:
    """A node's own side, from its Open vSwitch."""

    mapping: str
    ports: frozenset[str]  # of br-external


@dataclass(frozen=True)
class Picture:
    """All there is about the gateway."""

    texts: dict[str, str] | None  # the ConfigMap's data
    notes: dict[str, str]  # the collection's annotations of the ConfigMap
    labels: dict[str, str]
    port: tuple[str, list[str]] | None  # the router port's MAC and networks
    port_id: str | None
    gateways: list[tuple[str, int]]  # node and priority, highest first
    switch: dict[str, tuple[str, dict[str, str], Any]] | None  # type, options and tag of each port
    active: str | None
    mapped: set[str]  # nodes whose chassis says that network `external` has a bridge there
    timers: dict[str, str]  # of BFD, those that are set
    rules: dict[str, Row]  # NAT
    policies: dict[str, Row]  # of EIPs
    nb: Tables

    @property
    def data(self) -> dict[str, str] | None:
        """What the ConfigMap says, without the revision."""
        return None if self.texts is None else {key: self.texts[key] for key in self.texts if key != REVISION}

    @property
    def order(self) -> list[str]:
        """The gateways, highest priority first."""
        return [name for name, _rank in self.gateways]

    @property
    def labelled(self) -> set[str]:
        """Whom the label makes a gateway."""
        return {name for name, value in self.labels.items() if value == "true"}


class Truth:
    """What others than the collection say about the lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._pool = ThreadPoolExecutor(4)

    def nbctl(self, *arguments: str) -> str:
        return self.lab.run("nbctl", *arguments).strip()

    def sbctl(self, *arguments: str) -> str:
        return self.lab.run("sbctl", *arguments).strip()

    def kubectl(self, *arguments: str) -> str:
        return self.lab.run("kubectl", *arguments).strip()

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        path = Path(os.environ["LAB_STATE"]) / "truth-objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.kubectl("apply", "-f", str(path))

    # --- single facts

    def chassis(self) -> dict[str, str]:
        """Node by chassis."""
        return _chassis(json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"])

    def gateways(self) -> list[tuple[str, int]]:
        """The router port's gateway chassis, highest priority first."""
        if PORT not in self.nbctl("lrp-list", "ovn-cluster"):
            return []
        names = self.chassis()
        lines = [line.split() for line in self.nbctl("lrp-get-gateway-chassis", PORT).splitlines()]
        return [(names[name.removeprefix(f"{PORT}-")], int(rank)) for name, rank in lines]

    def port(self) -> list[str]:
        """MAC and network of the router port."""
        return self.nbctl("--bare", "--columns=mac,networks", "list", "logical_router_port", PORT).split()

    def data(self) -> dict[str, str] | None:
        text = self.kubectl("get", *CONFIG_MAP, "--ignore-not-found", "-o", "json")
        return json.loads(text)["data"] if text else None

    def labels(self) -> dict[str, str]:
        return _labels(json.loads(self.kubectl("get", "nodes", "-l", LABEL, "-o", "json"))["items"])

    def active(self) -> str | None:
        return _active(self.southbound(), self.chassis())

    def southbound(self) -> Tables:
        """Of SB what tells where the router port is."""
        wanted = ("--columns=_uuid,name,other_config", "list", "Chassis")
        query = ("--columns=_uuid,chassis", "find", "Port_Binding", f"logical_port=cr-{PORT}")
        return tables(self.sbctl("--format=json", *wanted, "--", *query), ("Chassis", "Port_Binding"))

    def pings(self, address: str) -> bool:
        return "1 received" in self.lab.run("outside", "--", "sh", "-c", f"ping -c 1 -W 2 {address} || true")

    def state(self) -> tuple[Any, ...]:
        """All that the module may change."""
        port = self.port() if self.gateways() else []
        return self.gateways(), port, self.data(), self.labels(), self.nbctl("show", "external")

    # --- everything

    def northbound(self) -> Tables:
        """All of NB."""
        words = [word for name in TABLES for word in ("--", "list", name)][1:]
        return tables(self.nbctl("--format=json", *words), TABLES)

    def picture(self) -> Picture:
        """One look at everything that is not on the nodes."""
        nb, sb = self._pool.submit(self.northbound), self._pool.submit(self.southbound)
        answer = self.kubectl("get", "nodes,configmaps", "-n", "kube-system", "-o", "json")
        items = json.loads(answer)["items"]
        nodes = [item for item in items if item["kind"] == "Node"]
        names = _chassis(nodes)
        maps = [item for item in items if item["kind"] == "ConfigMap" and item["metadata"]["name"] == CONFIG_MAP[-1]]
        return _picture(nb.result(), sb.result(), names, maps[0] if maps else None, _labels(nodes))

    def sides(self, nodes: Iterable[str]) -> dict[str, Side]:
        """The nodes' own sides."""
        nodes = list(nodes)
        return dict(zip(nodes, self._pool.map(self._side, nodes), strict=True))

    def _side(self, node: str) -> Side:
        mapping = ("--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings")
        lines = self.lab.run("node", node, "--", "ovs-vsctl", *mapping, "--", "list-ports", "br-external").splitlines()
        return Side(lines[0].strip('"') if lines else "", frozenset(lines[1:]))

    # --- by hand

    def clear(self) -> None:
        """Make it a lab that never had a gateway."""
        self.kubectl("delete", *CONFIG_MAP, "--ignore-not-found")
        enabled = ("get", "vpc", "ovn-cluster", "-o", "jsonpath={.spec.enableExternal}")
        eventually(lambda: self.kubectl(*enabled) == "true", lambda seen: not seen, what="the controller let go of it")
        self.nbctl("--if-exists", "lrp-del", PORT, "--", "--if-exists", "ls-del", "external")
        self.nbctl("lr-nat-del", "ovn-cluster", "--", "lr-policy-del", "ovn-cluster", str(EIP_PRIORITY))
        self.clear_timers()
        self.kubectl("label", "nodes", "--all", f"{LABEL}-")
        eventually(self.active, lambda node: node is None, what="SB lets go of it")

    def clear_timers(self) -> None:
        """BFD's timers as OVN has them by itself."""
        self.nbctl("remove", "NB_Global", ".", "options", *TIMERS)

    @contextmanager
    def started_with(self, argument: str) -> Iterator[None]:
        """A flag of kube-ovn-controller's to be seen in its Deployment.

        The lab's controller is a process, not a pod: a Deployment that asks for no pod stands in for what started it.
        """
        container = {"name": CONTROLLER, "image": "none", "args": ["/kube-ovn/start-controller.sh", argument]}
        labels = {"app": CONTROLLER}
        spec = {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
        metadata = {"name": CONTROLLER, "namespace": "kube-system"}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        try:
            yield
        finally:
            self.kubectl("delete", "deployment", "-n", "kube-system", CONTROLLER)

    # --- who wrote

    def written(self, since: int) -> list[str]:
        """What the collection's identity wrote in the API server, as its audit log says."""
        with Path(os.environ["LAB_AUDIT_LOG"]).open(encoding="utf-8") as log:
            log.seek(since)
            events = [json.loads(line) for line in log if line.endswith("\n")]
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in events
            if event["user"]["username"] == OPERATOR and event["verb"] in WRITES and not _looks(event["objectRef"])
        ]

    @staticmethod
    def log_length() -> int:
        """Where the audit log ends now."""
        return Path(os.environ["LAB_AUDIT_LOG"]).stat().st_size


def _looks(reference: Mapping[str, str]) -> bool:
    """A request that is a create in name only: asking for rights, and exec."""
    return reference["resource"].startswith("selfsubject") or reference.get("subresource") == "exec"


def _chassis(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    key = "ovn.kubernetes.io/chassis"
    return {node["metadata"].get("annotations", {}).get(key, ""): node["metadata"]["name"] for node in nodes}


def _labels(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    values = {node["metadata"]["name"]: node["metadata"].get("labels", {}).get(LABEL) for node in nodes}
    return {name: value for name, value in values.items() if value is not None}


def _active(sb: Tables, names: Mapping[str, str]) -> str | None:
    holders = [many(row["chassis"]) for row in sb["Port_Binding"].values()]
    return names[sb["Chassis"][holders[0][0]]["name"]] if holders and holders[0] else None


def _picture(nb: Tables, sb: Tables, names: Mapping[str, str], config: Row | None, labels: dict[str, str]) -> Picture:
    ports = {uuid: row for uuid, row in nb["Logical_Router_Port"].items() if row["name"] == PORT}
    port = next(iter(ports.values()), None)
    rows = [nb["Gateway_Chassis"][one] for one in many(port["gateway_chassis"])] if port else []
    ranks = sorted(((names.get(row["chassis_name"], "?"), row["priority"]) for row in rows), key=lambda one: -one[1])
    switches = [row for row in nb["Logical_Switch"].values() if row["name"] == "external"]
    members = [nb["Logical_Switch_Port"][one] for one in many(switches[0]["ports"])] if switches else []
    options = next(iter(nb["NB_Global"].values()))["options"]
    notes = (config["metadata"].get("annotations") or {}) if config else {}
    return Picture(
        texts=dict(config["data"]) if config else None,
        notes={key: value for key, value in notes.items() if key.startswith("kubeovn.core/")},
        labels=labels,
        port=(port["mac"], many(port["networks"])) if port else None,
        port_id=next(iter(ports), None),
        gateways=ranks,
        switch={row["name"]: (row["type"], row["options"], row["tag"]) for row in members} if switches else None,
        active=_active(sb, names),
        mapped={
            names[one["name"]] for one in sb["Chassis"].values() if MAPPING in one["other_config"].get(MAPPINGS, "")
        },
        timers={key: options[key] for key in TIMERS if key in options},
        rules=nb["NAT"],
        policies={uuid: row for uuid, row in nb["Logical_Router_Policy"].items() if row["priority"] == EIP_PRIORITY},
        nb=nb,
    )
