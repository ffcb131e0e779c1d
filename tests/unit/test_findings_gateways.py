# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of gateways, and of what is between them and the physical network: each from a site with just that fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import gateway_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import link_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    GatewayChassis,
    GatewayNode,
    Ovn,
    SubnetMtu,
)
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import NodeSide, sides
from support.findings_site import (
    CHASSIS,
    CONFIG,
    LOCALNET,
    MORE,
    NODES,
    OVN,
    PATCH,
    PORT,
    ROWS,
    seen,
    world,
)


def port(*rows: GatewayChassis, **more: Any) -> Ovn:
    return replace(OVN, router_port=replace(PORT, gateway_chassis=rows, **more))


def dead(name: str) -> tuple[GatewayNode, ...]:
    return tuple(replace(node, ready=node.name != name) for node in NODES)


BOTH = ("10.4.19.254/24", "fd00::fe/64")
STRANGER = GatewayChassis("g3", "c", "c3", 98)
NOBODY = GatewayChassis("g9", "d", "c9", 97)
SWAPPED = (GatewayChassis("g2", "b", "c2", 100), GatewayChassis("g1", "a", "c1", 99))


@pytest.mark.parametrize(
    ("ovn", "nodes", "config", "expected"),
    [
        (OVN, dead("n2"), CONFIG, ["gateway_row_dead", "survivor_without_peer"]),
        (port(*ROWS, NOBODY), NODES, CONFIG, ["gateway_row_dead"]),
        (replace(OVN, chassis=CHASSIS[1:]), NODES, CONFIG, ["gateway_row_dead", "survivor_without_peer"]),
        (port(*ROWS, STRANGER), NODES, CONFIG, ["gateway_row_stranger"]),
        (port(*SWAPPED), NODES, CONFIG, ["gateway_order"]),
        (port(ROWS[0]), NODES, CONFIG, ["gateway_alone", "gateway_row_missing"]),
        (replace(OVN, active_chassis=None), NODES, CONFIG, ["no_active_gateway"]),
        (port(*ROWS, networks=("10.4.19.253/24",)), NODES, CONFIG, ["config_differs"]),
        (port(*ROWS, mac="00:00:00:00:00:01"), NODES, CONFIG, ["config_differs"]),
        (OVN, NODES, {}, ["config_differs"]),
        (replace(OVN, router_port=None), NODES, CONFIG, ["config_differs"]),
        (replace(OVN, router_port=None), NODES, {}, []),
        (port(), NODES, CONFIG, ["gateway_row_missing", "gateway_row_missing"]),
        (replace(port(), active_chassis=None), NODES, {}, ["config_differs", "no_active_gateway"]),
        (port(*ROWS, enabled=False), NODES, CONFIG, ["port_disabled"]),
        (port(*ROWS, networks=("10.4.19.254/24", "10.4.19.99/24")), NODES, CONFIG, ["config_differs"]),
        (port(*ROWS, networks=BOTH), NODES, CONFIG | {"nic-ip": ",".join(reversed(BOTH))}, []),
        # Kube-OVN takes the nodes of a distributed gateway from their labels.
        (OVN, NODES, CONFIG | {"type": "distributed", "external-gw-nodes": "n1"}, []),
        (port(*ROWS, STRANGER), NODES, CONFIG | {"type": "distributed"}, ["gateway_row_stranger"]),
        (port(ROWS[0]), NODES, {**CONFIG, "type": "distributed"}, ["gateway_alone", "gateway_row_missing"]),
        (port(*SWAPPED), NODES, CONFIG | {"type": "distributed"}, ["gateway_order"]),
        (port(*SWAPPED), NODES, CONFIG | {"type": "distributed", "external-gw-nodes": ""}, []),
        (port(*SWAPPED), NODES, None, []),
    ],
)
def test_each_fault_of_gateways_is_found(ovn: Ovn, nodes: Any, config: Any, expected: list[str]) -> None:
    assert sorted(one.code for one in gateway_findings(ovn, nodes, config)) == expected


FIELD = ("spec.extraExternalSubnets: a",)
OTHER_MAC = port(*ROWS, mac="00:00:00:00:00:01")


@pytest.mark.parametrize(
    ("ovn", "config", "expected"),
    [
        (OVN, CONFIG, ["config_ignored"]),
        (OTHER_MAC, CONFIG, ["config_ignored"]),  # ovn_external_gw would refuse to repair the rest
        (OVN, {}, []),  # the router port is that of the VPC's own subnets
        (OVN, CONFIG | {"enable-external-gw": "false"}, []),
        (OVN, None, []),
    ],
)
def test_a_config_map_that_kube_ovn_ignores_is_found(ovn: Ovn, config: Any, expected: list[str]) -> None:
    assert [one.code for one in gateway_findings(ovn, NODES, config, FIELD)] == expected
    told = report(replace(seen(world(), replace(MORE, config=config, extra_subnets=FIELD)), ovn=ovn))["findings"]
    assert [one["code"] for one in told if one["code"].startswith("config")] == expected


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        (FIELD, """-p '{"spec": {"extraExternalSubnets": null}}'"""),
        (
            ("status.extraExternalSubnets: a",),
            """-p '{"status": {"extraExternalSubnets": null}}' --subresource=status""",
        ),
        ((*FIELD, "status.extraExternalSubnets: a"), """-p '{"spec": {"extraExternalSubnets": null}}'"""),
    ],
)
def test_what_puts_the_config_map_out_of_use_is_taken_away(fields: tuple[str, ...], command: str) -> None:
    [finding] = gateway_findings(OVN, NODES, CONFIG, fields)
    assert finding.repair == f"kubectl patch vpc ovn-cluster --type=merge {command}"
    assert all(field in finding.text for field in fields)


def test_a_gateways_repair_is_a_whole_task() -> None:
    [finding] = [one for one in gateway_findings(OVN, dead("n2"), CONFIG) if one.code == "survivor_without_peer"]
    [task] = yaml.safe_load(finding.repair)
    assert task["kubeovn.core.ovn_external_gw"] == {
        "type": "centralized",
        "nodes": ["n1", "n2"],
        "nic": "enp8s0",
        "gateway": "10.4.19.1/24",
        "nic_ip": "10.4.19.254/24",
        "rescue": True,
    }


# --- what nodes show

UP = NodeSide("enp8s0", True, 1500, {"10.4.17.11": "up", "10.4.17.12": "up"}, 1400)


@pytest.mark.parametrize(
    ("ovn", "nodes", "sides", "expected"),
    [
        (OVN, NODES, {"n1": UP, "n2": UP}, []),
        (OVN, NODES, {}, []),
        (replace(OVN, switch_ports=()), NODES, {}, [("switch_detached", None), ("no_localnet", None)]),
        (replace(OVN, switch_ports=(LOCALNET,)), NODES, {}, [("switch_detached", None)]),
        (replace(OVN, switch_ports=(replace(PATCH, options={}), LOCALNET)), NODES, {}, [("switch_detached", None)]),
        (replace(OVN, switch_ports=(replace(PATCH, enabled=False), LOCALNET)), NODES, {}, [("port_disabled", None)]),
        (replace(OVN, switch_ports=(PATCH, replace(LOCALNET, enabled=False))), NODES, {}, [("port_disabled", None)]),
        (
            replace(OVN, switch_ports=(PATCH, replace(LOCALNET, options={"network_name": "other"}))),
            NODES,
            {},
            [("gateway_unmapped", "n1"), ("gateway_unmapped", "n2")],
        ),
        (
            replace(OVN, chassis=(replace(CHASSIS[0], bridge_mappings={}), *CHASSIS[1:])),
            NODES,
            {},
            [("gateway_unmapped", "n1")],
        ),
        (OVN, NODES, {"n1": replace(UP, link_up=False)}, [("external_link_down", "n1")]),
        (OVN, dead("n1"), {"n1": replace(UP, link_up=False)}, []),
        (OVN, NODES, {"n1": replace(UP, link_up=None)}, []),
        (OVN, NODES, {"n1": replace(UP, tunnels={"10.4.17.12": "down"}), "n2": UP}, [("bfd_down", "n1")]),
        # A dead gateway's session is down on the others, and none of OVN's tunnels to workers has one.
        (OVN, dead("n2"), {"n1": replace(UP, tunnels={"10.4.17.12": "down"})}, []),
        (OVN, NODES, {"n1": replace(UP, tunnels={"10.4.17.99": "down"})}, []),
        (replace(OVN, router_port=None), NODES, {"n1": replace(UP, link_up=False)}, []),
    ],
)
def test_each_fault_between_ovn_and_the_physical_network_is_found(
    ovn: Ovn, nodes: Any, sides: Any, expected: list[tuple[str, str | None]]
) -> None:
    assert [(one.code, one.node) for one in link_findings(ovn, nodes, CONFIG, sides)] == expected


def test_the_gateway_without_link_or_session_is_taken_aside_and_never_the_active_one_for_another() -> None:
    [link] = link_findings(OVN, NODES, CONFIG, {"n1": replace(UP, link_up=False)})
    assert yaml.safe_load(link.repair)[0]["kubeovn.core.ovn_external_gw"]["drained"] == ["n1"]
    sides = {"n1": replace(UP, tunnels={"10.4.17.12": "down"}), "n2": replace(UP, tunnels={"10.4.17.11": "init"})}
    for one in link_findings(OVN, NODES, CONFIG, sides):
        assert yaml.safe_load(one.repair)[0]["kubeovn.core.ovn_external_gw"]["drained"] == ["n2"]
    alone = port(ROWS[0])
    [link] = link_findings(alone, NODES, CONFIG, {"n1": replace(UP, link_up=False)})
    assert link.repair == 'ansible n1 --become -m ansible.builtin.command -a "ip link set enp8s0 up"'


@pytest.mark.parametrize(
    ("mtu", "outside", "overlay", "expected"),
    [
        (0, 1500, 1400, []),
        (0, 1500, 8900, ["10.4.19.101", "10.4.19.102"]),
        (1400, 1500, 8900, []),
        (1500, 1500, 1400, []),
        (1501, 1500, 1400, ["10.4.19.101", "10.4.19.102"]),
        (9000, None, 1400, []),  # nobody shows what the NIC takes
    ],
)
def test_a_network_with_a_larger_mtu_than_the_nics(
    mtu: int, outside: int | None, overlay: int, expected: list[str]
) -> None:
    other = SubnetMtu("other", "10.99.0.0/16", 9000)
    more = replace(MORE, mtus=(SubnetMtu("ovn-default", "10.253.0.0/16", mtu), other))
    evidence = {"n1": replace(UP, mtu=outside, overlay_mtu=overlay), "n9": replace(UP, mtu=100)}
    told = report(replace(seen(world(), more), nodes_show=evidence))["findings"]
    assert [one["address"] for one in told] == expected
    for one in told:
        assert (one["code"], one["holder"]["namespace"]) == ("eip_mtu", "default")
        assert one["repair"] == """kubectl patch subnet ovn-default --type=merge -p '{"spec": {"mtu": 1500}}'"""


@pytest.mark.parametrize("logical", ["10.253.0.0/24", "", "web"])
def test_a_row_that_leads_to_no_single_address_is_none_whose_packets_are_too_large(logical: str) -> None:
    one = world()
    one.rules = [*one.rules, one.rules[0]._replace(external_ip="10.4.19.180", logical_ip=logical, uuid="odd")]
    more = replace(MORE, mtus=(SubnetMtu("ovn-default", "10.253.0.0/16", 9000),))
    told = report(replace(seen(one, more), nodes_show={"n1": replace(UP, mtu=1500)}))["findings"]
    assert [found["address"] for found in told if found["code"] == "eip_mtu"] == ["10.4.19.101", "10.4.19.102"]


LINK = {"up": True, "carrier": True, "mtu": 1500}
TUNNELS = [
    {"remote": "10.4.17.12", "bfd": "up", "error": None},
    {"remote": "10.4.17.13", "bfd": "init", "error": None},
    {"remote": "10.4.17.14", "bfd": None, "error": None},
]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        # All that the module returns with option nic, and without.
        (
            {
                "links": {"ovn0": {"mtu": 1400}},
                "nic": {"name": "enp8s0", "exists": True, **LINK},
                "ovs": {"tunnels": TUNNELS},
            },
            NodeSide("enp8s0", True, 1500, {"10.4.17.12": "up", "10.4.17.13": "init"}, 1400),
        ),
        ({"links": {"enp8s0": LINK}, "ovs": {"tunnels": []}}, NodeSide("enp8s0", True, 1500)),
        ({"links": {"enp8s0": LINK | {"carrier": False}}}, NodeSide("enp8s0", False, 1500)),
        ({"links": {"enp9s0": LINK}}, NodeSide("enp8s0", False)),
        # What role external_gateway keeps of it.
        (
            {"links": {}, "nic": {"name": "bond0", "exists": False, "up": False, "carrier": False, "mtu": 0}},
            NodeSide("bond0", False),
        ),
        (
            {"links": {}, "gateway": {"tunnels_up": ["10.4.17.12"], "tunnels_down": ["10.4.17.13"]}},
            NodeSide("enp8s0", None, None, {"10.4.17.13": "down", "10.4.17.12": "up"}),
        ),
    ],
)
def test_evidence_is_read_whole_and_in_part(result: dict[str, Any], expected: NodeSide) -> None:
    shown = sides({"n1": result, "n2": {"unreachable": True, "msg": "timed out"}, "n3": None}, "enp8s0")
    assert shown == {"n1": expected}
