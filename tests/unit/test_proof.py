# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof's verdicts: a working site is ok, each fault is found in its step, what nobody saw is unverified."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.filter.site_proof import site_proof
from ansible_collections.kubeovn.core.plugins.module_utils._proof import proven_eips

NODES = ["g1", "g2", "g3"]
EXPECTED: dict[str, Any] = {
    "nodes": NODES,
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": "16:52:f3:13:6a:25",
    "eips": [{"address": "10.4.19.101", "vm": "testing"}],
    "ttl": {"router_port": 254, "eip": 62},
    "hostnames": {"10.4.19.101": "testing"},
}


def ping(address: str, ttl: int | None) -> dict[str, Any]:
    lines = [f"64 bytes from {address}: icmp_seq={seq} ttl={ttl} time=1 ms" for seq in (1, 2)] if ttl else []
    return {
        "item": address,
        "rc": 0 if ttl else 1,
        "stdout": "\n".join([*lines, f"2 packets transmitted, {len(lines)} received, 0% packet loss"]),
    }


def counter(packets: int) -> dict[str, Any]:
    return {"nic": {"name": "enp8s0", "sent": packets}}


def counted(packets: int) -> dict[str, Any]:
    """The same as slurp tells the kernel's file."""
    return {"encoding": "base64", "content": b64encode(f"{packets}\n".encode()).decode()}


def guest(hostname: str, ttl: int | None, rc: int = 0) -> dict[str, Any]:
    """What `hostname; ping` says over ssh."""
    answer = ping("10.4.19.101", ttl)
    return answer | {"rc": rc or answer["rc"], "stdout": f"{hostname}\n{answer['stdout']}"}


def node(sent: int = 0) -> dict[str, Any]:
    ports = ["br-external", "enp8s0", "patch-localnet.external-to-br-int"]
    ovs = {"problem": None, "bridges": {"br-external": ports}, "bridge_mappings": {"external": "br-external"}}
    return {"ovs": ovs, **counter(sent)}


def probe(packets: int) -> dict[str, Any]:
    """That many answered packets."""
    lines = [f"64 bytes from 10.4.19.101: icmp_seq={seq} ttl=62 time=1 ms" for seq in range(1, packets + 1)]
    return {"rc": 0, "stdout": "\n".join([*lines, f"{packets} packets transmitted, {packets} received"])}


def working() -> dict[str, Any]:
    """What the tasks of the proof see on a site that works."""
    chassis = [{"node": name, "chassis": f"c-{name}", "priority": 100 - n} for n, name in enumerate(NODES)]
    holder = {"kind": "VirtualMachine", "namespace": "default", "name": "testing"}
    rule = {
        "type": "dnat_and_snat",
        "external_ip": "10.4.19.101",
        "logical_ip": "10.253.0.5",
        "holder": holder,
        "node": "w1",
        "policy": {"priority": 29250},
    }
    return {
        "nat": {
            "external_switch": {"name": "external", "ports": [{"name": "localnet.external", "type": "localnet"}]},
            "router_port": {
                "mac": "16:52:f3:13:6a:25",
                "networks": ["10.4.19.254/24"],
            },
            "gateways": chassis,
            "active_gateway": "g1",
            "nat_rules": [rule],
        },
        "nodes": {"g1": node(100), "g2": node(7), "g3": node(9)},
        "pings": [ping("10.4.19.254", 254), ping("10.4.19.101", 62)],
        "guests": [guest("testing", 63)],
        "after": {"g1": counted(151), "g2": counted(7), "g3": counted(10)},
        "traffic": probe(50),
        "pending": [],
    }


def test_a_working_site_is_ok() -> None:
    seen = working()
    seen["nat"]["cluster"] = "https://10.4.18.1:6443"
    result = site_proof(seen, EXPECTED)
    assert result["cluster"] == "https://10.4.18.1:6443"
    assert result["verdict"] == "ok"
    assert {check["status"] for check in result["checks"]} == {"ok"}
    evidence = {check["name"]: check["evidence"] for check in result["checks"]}
    assert evidence["EIP 10.4.19.101 answers from outside"] == "2 of 2 answered, TTL 62"
    assert (
        evidence["only the active gateway's enp8s0 carries the traffic"] == "50 probes; packets sent: g1 51, g2 0, g3 1"
    )


def test_what_a_bond_says_to_its_switch_is_no_traffic() -> None:
    """Two members, LACP once a second each, for as long as `site` takes between its two looks."""
    seen = working()
    seen["after"].update(g2=counted(7 + 26), g3=counted(9 + 26))
    assert site_proof(seen, EXPECTED)["verdict"] == "failed"
    for name in ("g2", "g3"):
        seen["nodes"][name]["nic"]["bond"] = {"mode": "802.3ad"}
    assert site_proof(seen, EXPECTED)["verdict"] == "ok"
    seen["after"].update(g2=counted(7 + 51))
    assert site_proof(seen, EXPECTED)["verdict"] == "failed"


Change = Callable[[dict[str, Any]], Any]
FAULTS: dict[str, tuple[Change, str]] = {
    "no switch": (lambda seen: seen["nat"].update(external_switch=None), "NB has switch"),
    "no localnet port": (lambda seen: seen["nat"]["external_switch"]["ports"].clear(), "NB has switch"),
    "no router port": (lambda seen: seen["nat"].update(router_port=None), "NB has router port"),
    "another MAC": (lambda seen: seen["nat"]["router_port"].update(mac="16:52:f3:13:6a:26"), "NB has router port"),
    "another address": (
        lambda seen: seen["nat"]["router_port"].update(networks=["10.4.19.253/24"]),
        "NB has router port",
    ),
    "a chassis missing": (lambda seen: seen["nat"]["gateways"].pop(), "NB has router port"),
    "another order": (lambda seen: seen["nat"]["gateways"].reverse(), "NB has router port"),
    "NIC not in the bridge": (
        lambda seen: seen["nodes"]["g2"]["ovs"]["bridges"]["br-external"].remove("enp8s0"),
        "g2 has br-external",
    ),
    "no bridge": (lambda seen: seen["nodes"]["g3"]["ovs"]["bridges"].clear(), "g3 has br-external"),
    "no mapping": (lambda seen: seen["nodes"]["g1"]["ovs"]["bridge_mappings"].clear(), "g1 has br-external"),
    "nobody active": (lambda seen: seen["nat"].update(active_gateway=None), "one gateway has"),
    "active elsewhere": (lambda seen: seen["nat"].update(active_gateway="w1"), "one gateway has"),
    "router port silent": (lambda seen: seen["pings"].__setitem__(0, ping("10.4.19.254", None)), "router port answers"),
    "EIP silent": (lambda seen: seen["pings"].__setitem__(1, ping("10.4.19.101", None)), "EIP 10.4.19.101 answers"),
    "another TTL": (lambda seen: seen["pings"].__setitem__(1, ping("10.4.19.101", 61)), "EIP 10.4.19.101 answers"),
    "no NAT rule": (lambda seen: seen["nat"]["nat_rules"].clear(), "NB has one NAT rule"),
    "two NAT rules": (
        lambda seen: seen["nat"]["nat_rules"].append(seen["nat"]["nat_rules"][0]),
        "NB has one NAT rule",
    ),
    "another holder": (lambda seen: seen["nat"]["nat_rules"][0]["holder"].update(name="web"), "NB has one NAT rule"),
    "no holder": (lambda seen: seen["nat"]["nat_rules"][0].update(holder=None), "NB has one NAT rule"),
    "no policy": (lambda seen: seen["nat"]["nat_rules"][0].update(policy=None), "NB has one NAT rule"),
    "ssh refused": (
        lambda seen: seen["guests"].__setitem__(0, {"item": "10.4.19.101", "rc": 255, "stderr": "refused"}),
        "ssh over",
    ),
    "another guest": (lambda seen: seen["guests"].__setitem__(0, guest("web-1", 63)), "ssh over"),
    "a guest that says no name": (lambda seen: seen["guests"].__setitem__(0, guest("", 63)), "ssh over"),
    "guest cut off": (lambda seen: seen["guests"].__setitem__(0, guest("testing", None)), "the guest of"),
    "traffic on a standby": (lambda seen: seen["after"].update(g2=counted(58)), "only the active gateway's"),
    "no traffic on the active one": (lambda seen: seen["after"].update(g1=counted(101)), "only the active gateway's"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_its_step(fault: str) -> None:
    change, step = FAULTS[fault]
    seen = working()
    change(seen)
    result = site_proof(seen, EXPECTED)
    failed = [check["name"] for check in result["checks"] if check["status"] == "failed"]
    assert result["verdict"] == "failed"
    assert any(name.startswith(step) for name in failed), failed


def test_the_evidence_of_a_step_tells_what_is_missing() -> None:
    """And does not tell it of what is there."""
    seen = working()
    texts = " ".join(check["evidence"] for check in site_proof(seen, EXPECTED)["checks"])
    assert "without its reroute policy" not in texts
    seen["nat"]["nat_rules"][0]["policy"] = None
    seen["nat"]["external_switch"]["ports"] = []
    texts = " ".join(check["evidence"] for check in site_proof(seen, EXPECTED)["checks"])
    assert "without its reroute policy" in texts
    assert "ports of external: none" in texts


def test_what_nobody_saw_is_unverified() -> None:
    seen = working() | {
        "nodes": {"g1": node(), "g2": {"unreachable": True, "msg": "no route to host"}},
        "pings": [{"item": "10.4.19.254", "skipped": True}, {"item": "10.4.19.101", "skipped": True}],
        "guests": [],
        "after": {},
        "traffic": {"skipped": True},
    }
    result = site_proof(seen, EXPECTED)
    status = {check["name"]: check["status"] for check in result["checks"]}
    assert result["verdict"] == "unverified"
    assert sorted(name for name, value in status.items() if value == "unverified") == [
        "EIP 10.4.19.101 answers from outside",
        "g2 has br-external with NIC and patch port, mapped to external",
        "g3 has br-external with NIC and patch port, mapped to external",
        "only the active gateway's enp8s0 carries the traffic",
        "router port answers from outside",
        "ssh over 10.4.19.101 prints the guest's hostname",
        "the guest of 10.4.19.101 pings 10.4.19.1",
    ]


def test_an_outside_host_out_of_reach_is_unverified() -> None:
    seen = working() | {"pings": [{"item": "10.4.19.254", "unreachable": True, "msg": "timed out"}]}
    status = {check["name"]: check["status"] for check in site_proof(seen, EXPECTED)["checks"]}
    assert status["router port answers from outside"] == "unverified"


def test_a_standby_out_of_reach_leaves_the_traffic_unverified() -> None:
    seen = working()
    seen["after"]["g3"] = {"rc": 255, "unreachable": True}
    status = {check["name"]: check["status"] for check in site_proof(seen, EXPECTED)["checks"]}
    assert status["only the active gateway's enp8s0 carries the traffic"] == "unverified"


def test_the_eip_of_a_stopped_vm_is_unverified() -> None:
    seen = working() | {"pending": ["10.4.19.101"]}
    seen["nat"]["nat_rules"].clear()
    result = site_proof(seen, EXPECTED)
    assert result["verdict"] == "unverified"
    assert [c["name"] for c in result["checks"] if c["status"] == "unverified"] == [
        "NB has one NAT rule 10.4.19.101 for VirtualMachine default/testing"
    ]


def test_a_probe_that_could_not_run_proves_nothing() -> None:
    """As where ping allows users no interval that short."""
    seen = working() | {"traffic": {"rc": 2, "stderr": "ping: cannot flood", "stdout": ""}}
    status = {check["name"]: check["status"] for check in site_proof(seen, EXPECTED)["checks"]}
    assert status["only the active gateway's enp8s0 carries the traffic"] == "unverified"


def test_what_is_drawn_from_pools_is_what_is_claimed() -> None:
    """The proof asks for floating addresses; of those from a pool the claim knows the address."""
    holder = {"kind": "VirtualMachine", "namespace": "default", "name": "web"}
    claims = [
        {"address": "10.4.19.120", "kind": "fip", "holders": [holder]},
        {"address": "10.4.19.121", "kind": "snat", "holders": [holder]},
    ]
    eips: list[dict[str, Any]] = [
        {"address": "10.4.19.101", "vm": "testing"},
        {"pool": "10.4.19.110-120", "vm": "web"},
        {"pool": "10.4.19.110-120", "vm": "not-claimed"},
        {"pool": "10.4.19.110-120", "pod": "web"},
        {"address": "10.4.19.121", "vm": "web", "kind": "snat"},
    ]
    assert proven_eips(eips, claims) == [eips[0], eips[1] | {"address": "10.4.19.120"}]


def test_a_deployments_eip_leads_to_it() -> None:
    seen = working()
    seen["nat"]["nat_rules"][0]["holder"] = {"kind": "Deployment", "namespace": "default", "name": "web"}
    expected = EXPECTED | {"eips": [{"address": "10.4.19.101", "deployment": "web"}]}
    assert site_proof(seen, expected)["verdict"] == "ok"
    other = EXPECTED | {"eips": [{"address": "10.4.19.101", "deployment": "we"}]}
    assert site_proof(seen, other)["verdict"] == "failed"


def test_ttl_mac_and_hostname_are_compared_only_when_given() -> None:
    seen = working()
    seen["nat"]["router_port"]["mac"] = "02:00:00:00:00:01"
    seen["pings"] = [ping("10.4.19.254", 64), ping("10.4.19.101", 60)]
    seen["guests"] = [guest("anything", 63)]
    assert site_proof(seen, EXPECTED | {"ttl": {}, "nic_mac": "", "hostnames": {}})["verdict"] == "ok"


def test_a_missing_observation_is_named() -> None:
    seen = deepcopy(working())
    del seen["nat"]
    with pytest.raises(AnsibleFilterError, match="nat"):
        site_proof(seen, EXPECTED)
