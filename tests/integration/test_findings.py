# SPDX-License-Identifier: GPL-3.0-or-later
"""Each finding of ovn_nat_info, provoked on the lab by hand: none on a healthy lab, that one on a spoilt one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from shlex import split

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils import _nat_look
from support.ansible import module
from support.commands import VENV, run
from support.eip_lab import EIP, GATEWAYS, ROUTED, SNAT, WORKER, frozen, gateway, gateway_rows, machine, pod, runs
from support.findings_lab import Evidence, codes, healthy, told
from support.lab import Lab
from support.live import Live, eventually

INFO, EIPS = "kubeovn.core.ovn_nat_info", "kubeovn.core.ovn_eip"
POD, ADDRESS = "findings-pod", "10.4.19.191"
GONE, GONE_ADDRESS = "findings-gone", "10.4.19.192"
EXTRA, IDLE = "10.4.19.193", "10.253.255.240"  # an external and an overlay address of nobody
PORT = "ovn-cluster-external"
HOP, MARK = 'nexthops="10.4.19.1"', "external_ids:vendor=kube-ovn"  # of a policy that Kube-OVN makes
SECOND, MACHINE = "findings-second", "findings-vm"
ACTIVE, STANDBY = GATEWAYS[:2]
ROUTER = "10.4.19.254"
Spoil = Callable[[Live], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A gateway and a pod with an EIP and its claim, and nothing that earlier tests have left behind."""
    live = Live(lab)
    gateway(live)
    try:
        live.apply(pod(POD), pod(GONE))
        runs(live, pods=(POD, GONE))
        asked = [{"pod": POD, "address": ADDRESS}, {"pod": GONE, "address": GONE_ADDRESS}]
        for options in ({"state": "pruned"}, {"eips": [{"namespace": "default", **one} for one in asked]}):
            result = module(EIPS, options)
            assert not result["failed"], result["msg"]
        healthy()
        yield live
    finally:
        live.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", POD, GONE)
        eventually(
            live.rules, lambda rules: all(rule[1] not in (ADDRESS, GONE_ADDRESS) for rule in rules), 60, "no row"
        )
        module(EIPS, {"state": "pruned"})


# --- what somebody may do to OVN


def overlay(live: Live) -> str:
    """The pod's overlay address."""
    return live.annotations("pod", POD)["ovn.kubernetes.io/ip_address"]


def add(live: Live, table: str, column: str, *values: str) -> str:
    """A row of the VPC's router; its name."""
    create = ("--id=@new", "create", table, *values)
    return live.nbctl(*create, "--", "add", "Logical_Router", "ovn-cluster", column, "@new").strip()


@contextmanager
def rows(live: Live, *new: tuple[str, str, tuple[str, ...]]) -> Iterator[None]:
    """Rows that are there for a while."""
    made = [(column, add(live, table, column, *values)) for table, column, values in new]
    try:
        yield
    finally:
        for column, row in made:
            live.nbctl("remove", "Logical_Router", "ovn-cluster", column, row)


def nat(external: str, logical: str, kind: str = "dnat_and_snat") -> tuple[str, str, tuple[str, ...]]:
    return "NAT", "nat", (f"type={kind}", f'external_ip="{external}"', f'logical_ip="{logical}"')


def reroute(logical: str, *mark: str) -> tuple[str, str, tuple[str, ...]]:
    match = f'match="ip4.src == {logical}"'
    return "Logical_Router_Policy", "policies", ("priority=29250", match, "action=reroute", HOP, *mark)


@contextmanager
def changed(live: Live, table: str, row: str, **values: tuple[str, str]) -> Iterator[None]:
    """Columns that have another value for a while: (then, now)."""
    live.nbctl("set", table, row, *(f"{column}={then}" for column, (then, _now) in values.items()))
    try:
        yield
    finally:
        live.nbctl("set", table, row, *(f"{column}={now}" for column, (_then, now) in values.items()))


@contextmanager
def without(
    live: Live, table: str, column: str, condition: str, again: tuple[str, str, tuple[str, ...]]
) -> Iterator[None]:
    """A row that is not there for a while, and then is made again."""
    row = live.nbctl("--bare", "--columns=_uuid", "find", table, condition).strip()
    assert row
    live.nbctl("remove", "Logical_Router", "ovn-cluster", column, row)
    try:
        yield
    finally:
        add(live, again[0], column, *again[2])


def without_rule(live: Live) -> AbstractContextManager[None]:
    return without(live, "NAT", "nat", f'external_ip="{ADDRESS}"', nat(ADDRESS, overlay(live)))


def without_policy(live: Live) -> AbstractContextManager[None]:
    ip = overlay(live)
    return without(live, "Logical_Router_Policy", "policies", f'match="ip4.src == {ip}"', reroute(ip, MARK))


def rule_elsewhere(live: Live) -> AbstractContextManager[None]:
    return changed(live, "NAT", rule_row(live), logical_ip=(f'"{IDLE}"', f'"{overlay(live)}"'))


def rule_row(live: Live) -> str:
    return live.nbctl("--bare", "--columns=_uuid", "find", "NAT", f'external_ip="{ADDRESS}"').strip()


def rule_of_another_port(live: Live) -> AbstractContextManager[None]:
    there = {"logical_port": (f"{GONE}.default", "[]"), "external_mac": ('"0a:58:0a:fd:00:0b"', "[]")}
    return changed(live, "NAT", rule_row(live), **there)


def rule_at_home(live: Live) -> AbstractContextManager[None]:
    there = {"logical_port": (f"{POD}.default", "[]"), "external_mac": ('"0a:58:0a:fd:00:0b"', "[]")}
    return changed(live, "NAT", rule_row(live), **there)


def gateways(live: Live, *rows: tuple[str, int]) -> AbstractContextManager[None]:
    """Other gateway chassis for a while: (node, or what is none, and priority)."""
    return gateway_rows(live, PORT, *rows)


THREE = tuple(zip(GATEWAYS, (100, 99, 98), strict=True))
SPOILT: dict[str, tuple[Spoil, set[str]]] = {
    "duplicate": (
        lambda live: rows(live, nat(ADDRESS, IDLE)),
        {"duplicate_external_address", "stale_row"},
    ),
    "two": (
        lambda live: rows(live, nat(EXTRA, overlay(live))),
        {"two_addresses_on_holder", "unexplained_row"},
    ),
    "left": (lambda live: rows(live, nat(EXTRA, IDLE), reroute(IDLE, MARK)), {"stale_row", "orphan_policy"}),
    "policy by hand": (lambda live: rows(live, reroute(IDLE)), {"unexplained_policy"}),
    "by hand": (lambda live: rows(live, nat(EXTRA, IDLE)), {"unexplained_row"}),
    "no row": (without_rule, {"eip_without_row"}),
    "elsewhere": (rule_elsewhere, {"row_elsewhere", "stale_row"}),
    "another's port": (rule_of_another_port, {"row_elsewhere", "config_differs"}),
    "at home": (rule_at_home, {"config_differs"}),
    "no policy": (without_policy, {"missing_reroute"}),
    "address": (
        lambda live: changed(live, "Logical_Router_Port", PORT, networks=('"10.4.19.253/24"', '"10.4.19.254/24"')),
        {"config_differs"},
    ),
    "router port off": (
        lambda live: changed(live, "Logical_Router_Port", PORT, enabled=("false", "[]")),
        {"port_disabled"},
    ),
    "localnet off": (
        lambda live: changed(live, "Logical_Switch_Port", "localnet.external", enabled=("false", "[]")),
        {"port_disabled"},
    ),
    "another network": (
        lambda live: changed(
            live, "Logical_Switch_Port", "localnet.external", **{"options:network_name": ("other", "external")}
        ),
        {"gateway_unmapped"},
    ),
    "no way to the router": (
        lambda live: changed(
            live, "Logical_Switch_Port", "external-ovn-cluster", **{"options:router-port": ("nowhere", PORT)}
        ),
        {"switch_detached"},
    ),
    "no localnet": (
        lambda live: changed(live, "Logical_Switch_Port", "localnet.external", type=('""', "localnet")),
        {"no_localnet"},
    ),
    "stranger": (lambda live: gateways(live, *THREE, (WORKER, 1)), {"gateway_row_stranger", "gateway_unmapped"}),
    "a survivor and nobody's chassis": (
        lambda live: gateways(live, THREE[0], ("no-such-chassis", 1)),
        {"survivor_without_peer", "gateway_row_dead", "gateway_row_missing"},
    ),
    "order": (lambda live: gateways(live, (GATEWAYS[1], 100), (GATEWAYS[0], 99), THREE[2]), {"gateway_order"}),
    "missing": (lambda live: gateways(live, *THREE[:2]), {"gateway_row_missing"}),
    "alone": (lambda live: gateways(live, THREE[0]), {"gateway_alone", "gateway_row_missing"}),
    "nobody": (
        lambda live: gateways(live, ("no-such-chassis", 1), ("nor-such-one", 2)),
        {"no_active_gateway", "gateway_row_dead", "gateway_row_missing"},
    ),
    "no row at all": (gateways, {"no_active_gateway", "gateway_row_missing"}),
}


@pytest.mark.parametrize(("spoil", "expected"), SPOILT.values(), ids=SPOILT)
def test_what_somebody_did_to_ovn_is_found(live: Live, spoil: Spoil, expected: set[str]) -> None:
    with spoil(live):
        eventually(codes, lambda found: found == expected, 30, f"{sorted(expected)}, and nothing else")
        for one in told():
            assert one["address"] in (None, ADDRESS, EXTRA)
            assert one["text"]
            assert one["repair"]
    healthy()


def test_a_claim_whose_holder_is_gone_is_found_and_what_it_says_repairs_it(live: Live) -> None:
    live.kubectl("delete", "pod", "-n", "default", GONE)
    [finding] = eventually(told, lambda found: [one["code"] for one in found] == ["claim_without_holder"], 60, "claim")
    assert (finding["address"], finding["holder"]["name"]) == (GONE_ADDRESS, GONE)
    assert finding["repair"] == "- kubeovn.core.ovn_eip: {state: pruned}"
    result = module(EIPS, {"state": "pruned"})
    assert not result["failed"], result["msg"]
    healthy()


def test_of_two_pods_that_ask_for_one_address_the_one_without_it_gives_in(live: Live) -> None:
    """Kube-OVN gives the second one no row, and a policy that sends its packets out untranslated."""
    second = pod(SECOND)
    second["metadata"]["annotations"] = {EIP: ADDRESS}
    live.apply(second)
    try:
        found = eventually(told, lambda some: "row_elsewhere" in [one["code"] for one in some], 60, "two that ask")
        [finding] = [one for one in found if one["code"] == "row_elsewhere"]
        assert (finding["address"], finding["holder"]["name"]) == (ADDRESS, SECOND)
        [task] = yaml.safe_load(finding["repair"])
        result = module(EIPS, task[EIPS])
        assert not result["failed"], result["msg"]
        healthy()
        assert ADDRESS in {rule[1] for rule in live.rules()}
    finally:
        live.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", SECOND)
    healthy()


@pytest.mark.full
def test_kube_ovn_gets_done_with_no_pod_whose_rule_is_there_twice(live: Live) -> None:
    """Until one of the two is gone, whichever it is."""
    table, column, values = nat(ADDRESS, overlay(live))
    second = add(live, table, column, *values)
    complaint = f"more than one nat 'type dnat_and_snat external ip {ADDRESS}"
    controller = ("logs", "kube-ovn-controller")
    before = live.lab.run(*controller).count(complaint)
    try:
        [finding] = eventually(told, lambda found: len(found) == 1, 30, "one finding")
        assert (finding["code"], finding["address"]) == ("duplicate_external_address", ADDRESS)
        assert "(2 times)" in finding["text"]
        live.patch("pod", POD, {"metadata": {"annotations": {ROUTED: None}}})
        eventually(lambda: live.lab.run(*controller).count(complaint), lambda count: count > before, 60, complaint)
        assert ROUTED not in live.annotations("pod", POD)
        live.nbctl(*finding["repair"].removeprefix("kubectl ko nbctl ").split())
        eventually(lambda: live.annotations("pod", POD).get(ROUTED), lambda done: done == "true", 180, "it gets done")
    finally:
        if second in (there := rule_row(live).split()) and len(there) > 1:
            live.nbctl("remove", "Logical_Router", "ovn-cluster", "nat", second)
    healthy()
    assert len(rule_row(live).split()) == 1


@contextmanager
def second(live: Live) -> Iterator[None]:
    """A pod without an EIP; whatever it gets goes with it."""
    try:
        live.apply(pod(SECOND))
        runs(live, pods=(SECOND,))
        yield
    finally:
        live.kubectl("delete", "pod", "-n", "default", "--ignore-not-found", SECOND)
        eventually(live.rules, lambda rules: all(rule[1] != EXTRA for rule in rules), 120, "no row")
        module(EIPS, {"state": "pruned"})


@pytest.mark.full
def test_a_pod_with_which_kube_ovn_does_not_get_done_is_found_after_a_while(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with second(live):
        with frozen(live, "kube-ovn-controller"):
            live.patch("pod", SECOND, {"metadata": {"annotations": {EIP: EXTRA, ROUTED: None}}})
            monkeypatch.setattr(_nat_look, "RECENT", 3600)
            assert told() == [], "one that has just been annotated is not a defect"
            monkeypatch.setattr(_nat_look, "RECENT", 0)
            [finding] = told()
            assert (finding["code"], finding["severity"]) == ("eip_pending", "warning")
            assert (finding["address"], finding["holder"]["name"]) == (EXTRA, SECOND)
            made = (live.get("pod", SECOND) or {})["metadata"]["creationTimestamp"]
            assert " since 2" in finding["text"]
            assert made not in finding["text"], "since when it asks, and not since when it is there"
        healthy()
        assert EXTRA in {rule[1] for rule in live.rules()}
    healthy()


@pytest.mark.full
def test_a_pod_that_kube_ovn_refuses_without_a_word_is_found(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up on a pod of whose overlay address there are two SNAT rules, and makes no row."""
    monkeypatch.setattr(_nat_look, "RECENT", 0)
    with second(live):
        ip = live.annotations("pod", SECOND)["ovn.kubernetes.io/ip_address"]
        by_hand = [nat(f"10.4.19.{number}", ip, "snat") for number in (194, 195)]
        with rows(live, *by_hand):
            live.patch("pod", SECOND, {"metadata": {"annotations": {SNAT: EXTRA, ROUTED: None}}})
            # Under way it is for a moment, too; refused it is when the policy, which comes first, is there.
            eventually(
                lambda: live.nbctl("find", "Logical_Router_Policy", f'match="ip4.src == {ip}"'), bool, 120, "a policy"
            )
            eventually(codes, lambda some: some == {"eip_pending", "unexplained_row"}, 60, "it waits")
            [finding] = [one for one in told() if one["code"] == "eip_pending"]
            assert (finding["address"], finding["holder"]["name"]) == (EXTRA, SECOND)
            assert EXTRA not in {rule[1] for rule in live.rules()}
        [task] = yaml.safe_load(finding["repair"])
        result = module(EIPS, task[EIPS])
        assert not result["failed"], result["msg"]
        healthy()
    healthy()


@pytest.mark.full
def test_an_eip_that_a_restart_would_lose_is_found_and_its_repair_writes_it_where_it_lasts(live: Live) -> None:
    try:
        live.apply(machine(MACHINE, running=True))
        runs(live, vms=(MACHINE,))
        healthy()
        launcher = (live.launcher(MACHINE) or {})["metadata"]["name"]
        live.patch("pod", launcher, {"metadata": {"annotations": {EIP: EXTRA, ROUTED: None}}})
        expected = {"eip_not_kept"}
        found = eventually(told, lambda some: {one["code"] for one in some} == expected, 60, f"{expected} alone")
        assert [(one["address"], one["holder"]["name"]) for one in found] == [(EXTRA, MACHINE)]
        [task] = yaml.safe_load(found[0]["repair"])
        result = module(EIPS, task[EIPS])
        assert not result["failed"], result["msg"]
        healthy()
        for kind in ("vm", "vmi"):
            assert live.annotations(kind, MACHINE)[EIP] == EXTRA
    finally:
        module(EIPS, {"state": "absent", "eips": [{"vm": MACHINE, "namespace": "default"}]})
        live.kubectl("delete", "vm", "-n", "default", "--ignore-not-found", MACHINE)
        eventually(partial(live.get, "vmi", MACHINE), lambda there: there is None, 180, "the machine is gone")
        module(EIPS, {"state": "pruned"})
    healthy()


@pytest.mark.full
def test_what_puts_the_config_map_out_of_use_is_found_and_its_repair_ends_that(live: Live) -> None:
    def extra(subnets: list[str] | None) -> None:
        change = json.dumps({"spec": {"extraExternalSubnets": subnets}})
        live.kubectl("patch", "vpc", "ovn-cluster", "--type=merge", "-p", change)

    extra(["lab-none"])
    try:
        [finding] = eventually(told, lambda some: [one["code"] for one in some] == ["config_ignored"], 60, "a finding")
        assert "spec.extraExternalSubnets: lab-none" in finding["text"]
        live.kubectl(*split(finding["repair"])[1:])
        healthy()
    finally:
        extra(None)


# --- what only nodes show


def evidence() -> Evidence:
    """What the gateways show of themselves."""
    options = json.dumps({"nic": "enp8s0"})
    argv = [VENV / "bin" / "ansible", "--inventory", os.environ["LAB_INVENTORY"], ",".join(GATEWAYS), "--become"]
    argv += ["-m", "kubeovn.core.ovn_gateway_node_info", "-a", options]
    text = run(
        argv,
        env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "json"},
        tail=100000,
    )
    [task] = json.loads(text[text.index("{") :])["plays"][0]["tasks"]
    hosts: Evidence = task["hosts"]
    return hosts


@contextmanager
def on_node(live: Live, node: str, spoil: str, mend: str) -> Iterator[None]:
    live.lab.run("node", node, "--", "sh", "-c", spoil)
    try:
        yield
    finally:
        live.lab.run("node", node, "--", "sh", "-c", mend)


def test_healthy_gateways_show_links_and_sessions_that_are_up(live: Live) -> None:
    seen = eventually(evidence, lambda shown: not told(shown), 60, "no findings with evidence either")
    result = module(
        INFO, {"node_evidence": {name: {"links": one["links"], "ovs": one["ovs"]} for name, one in seen.items()}}
    )
    assert not result["failed"], result["msg"]
    for row in result["gateways"]:
        assert (row["link"], row["mtu"], row["bfd"]) == ("up", 1500, "up")
        assert row["bridge_mappings"]["external"] == "br-external"
        assert sorted(row["bfd_peers"]) == sorted(set(GATEWAYS) - {row["node"]})
    unseen = module(INFO)["gateways"]
    assert {(row["link"], row["bfd"]) for row in unseen} == {("unverified", "unverified")}


def test_a_link_that_is_down_is_found_where_its_node_shows_it(live: Live) -> None:
    with on_node(live, STANDBY, "ip link set enp8s0 down", "ip link set enp8s0 up"):
        found = eventually(lambda: told(evidence()), bool, 60, "a finding")
        assert [(one["code"], one["node"]) for one in found] == [("external_link_down", STANDBY)]
        assert "external_link_down" not in codes()


def test_the_traffic_stays_where_the_active_gateways_link_is_down(live: Live) -> None:
    """OVN watches tunnels, and not what a gateway is there for."""
    with on_node(live, ACTIVE, "ip link set enp8s0 down", "ip link set enp8s0 up"):
        eventually(lambda: live.ping(ROUTER), lambda ttls: not ttls, 60, "nobody is reached any more")
        [finding] = eventually(lambda: told(evidence()), bool, 60, "a finding")
        assert (finding["code"], finding["node"]) == ("external_link_down", ACTIVE)
        assert module(INFO)["active_gateway"] == ACTIVE, "longer after that than BFD needs to tell of a loss"
        assert live.ping(ROUTER) == []
    assert live.answers(ROUTER)


def test_a_chassis_without_the_mapping_is_found(live: Live) -> None:
    mend = "ovs-vsctl set open_vswitch . external_ids:ovn-bridge-mappings=external:br-external"
    with on_node(live, STANDBY, "ovs-vsctl remove open_vswitch . external_ids ovn-bridge-mappings", mend):
        [finding] = eventually(
            told, lambda found: [one["code"] for one in found] == ["gateway_unmapped"], 60, "finding"
        )
        assert finding["node"] == STANDBY
    healthy()


def test_sessions_between_gateways_that_live_are_found_when_they_are_down(live: Live) -> None:
    drop = "ovs-ofctl add-flow br-phy priority=65000,udp,tp_dst=6081,actions=drop"
    with on_node(live, STANDBY, drop, "ovs-ofctl --strict del-flows br-phy priority=65000,udp,tp_dst=6081"):
        # Its peers see the session go down at another time than it does itself.
        found = eventually(
            lambda: told(evidence()), lambda some: STANDBY in {one["node"] for one in some}, 90, "BFD of the deaf node"
        )
        assert {one["code"] for one in found} == {"bfd_down"}
    eventually(evidence, lambda shown: not told(shown), 90, "the sessions are up again")


def test_a_network_with_larger_packets_than_the_nics_take_is_found(live: Live) -> None:
    shown = evidence()
    live.kubectl("patch", "subnet", "ovn-default", "--type=merge", "-p", json.dumps({"spec": {"mtu": 8900}}))
    try:
        found = [one for one in told(shown) if one["address"] == ADDRESS]
        assert [(one["code"], one["holder"]["name"]) for one in found] == [("eip_mtu", POD)]
    finally:
        live.kubectl("patch", "subnet", "ovn-default", "--type=merge", "-p", json.dumps({"spec": {"mtu": None}}))
    healthy(shown)


@pytest.mark.full
def test_gateways_without_power_are_found_and_the_last_one_is_told_to_be_alone(live: Live) -> None:
    off = GATEWAYS[:2]
    try:
        for node in off:
            live.lab.run("power", "off", node)
        expected = {"gateway_row_dead", "survivor_without_peer"}
        eventually(codes, lambda found: expected <= found, 180, "dead gateways and a survivor")
        dead = [one["node"] for one in told() if one["code"] == "gateway_row_dead"]
        assert sorted(dead) == sorted(off)
    finally:
        for node in off:
            live.lab.run("power", "on", node, timeout=300)
    eventually(told, lambda found: not found, 300, "all gateways are back")


# --- the way of a packet


def ovn_trace(live: Live, datapath: str, packet: str) -> str:
    """What OVN's own simulation does with a packet, by the logical flows in SB."""
    where = ("exec", "-n", "kube-system", "ovn-central-lab", "-c", "ovn-central", "--")
    argv = ("ovn-trace", "--db=unix:/run/ovn/ovnsb_db.sock", "--no-leader-only", "--ct=new", datapath, packet)
    return live.kubectl(*where, *argv)


def test_the_way_of_a_packet_is_the_one_that_ovn_trace_takes(live: Live) -> None:
    told = module(INFO, {"trace": {"eip": ADDRESS}, "query": "path.complete"})
    assert not told["failed"], told["msg"]
    assert told["queried"] is True
    way, ip, outside = told["path"], overlay(live), "10.4.19.29"
    hops = {direction: {hop["action"]: hop for hop in way[direction]} for direction in ("inbound", "outbound")}
    assert (way["logical_ip"], way["logical_port"], way["node"]) == (ip, f"{POD}.default", WORKER)
    # Which node does what is SB's: the redirect port's chassis, and that of the pod's port.
    for port, node in (("cr-ovn-cluster-external", way["gateway"]), (way["logical_port"], way["node"])):
        row = live.lab.run(
            "sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port}"
        ).strip()
        assert live.lab.run("sbctl", "get", "Chassis", row, "hostname").strip().strip('"') == node

    packet = f"ip4.src == {outside} && ip4.dst == {ADDRESS} && ip.ttl == 64 && icmp4.type == 8"
    link = f"eth.src == 02:00:00:00:00:29 && eth.dst == {way['router_mac']}"
    inward = ovn_trace(live, "external", f'inport == "localnet.external" && {link} && {packet}')
    assert (
        f"ct_dnat(ip4.dst={hops['inbound']['dnat']['destination']})" in inward.replace("ct_dnat_in_czone", "ct_dnat")
        or f"ct_dnat({ip})" in inward
    )
    assert f'output to "{hops["inbound"]["deliver"]["via"]}"' in inward

    mac = live.annotations("pod", POD)["ovn.kubernetes.io/mac_address"]
    router = live.nbctl("get", "Logical_Router_Port", "ovn-cluster-ovn-default", "mac").strip().strip('"')
    packet = f"ip4.src == {ip} && ip4.dst == {outside} && ip.ttl == 64 && icmp4.type == 8"
    link = f"eth.src == {mac} && eth.dst == {router}"
    outward = ovn_trace(live, "ovn-default", f'inport == "{way["logical_port"]}" && {link} && {packet}')
    assert f"reg0 = {hops['outbound']['reroute']['via']}" in outward
    assert "cr-ovn-cluster-external" in outward
    assert hops["outbound"]["snat"]["source"] in outward
    assert 'output to "localnet.external"' in outward
