# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovn_external_gw refuses before the first write: every finding, all at once, each with the option's path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import SUBNETS, VPCS, Cluster, Resource
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_check import absent_problems, site_problems, wanted
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_site import GatewaySite
from ansible_collections.kubeovn.core.plugins.module_utils._model import Names, NatRule, Ovn, RouterPort
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import Northbound
from support.gateway_cases import MACS, bare, gateway, run, up
from support.gateway_world import World

OPTIONS: dict[str, Any] = {
    "nodes": ["g1", "g2"],
    "nic": "enp8s0",
    "gateway": "10.4.19.1/24",
    "nic_ip": "10.4.19.254/24",
    "nic_mac": MACS[0],
}


def refusals(world: World | None = None, **options: Any) -> dict[str, str]:
    seen = (world or bare()).observe()
    return {problem.path: problem.text for problem in wanted({**OPTIONS, **options}, seen)[1]}


def test_good_options_are_not_refused() -> None:
    asked, problems = wanted(OPTIONS, bare().observe())
    assert problems == []
    assert asked == gateway("g1", "g2")


def test_everything_wrong_is_said_at_once() -> None:
    found = refusals(nodes=["g1", "nope", "g1"], nic="a/b", gateway="10.4.19.1", nic_ip="10.4.19.255/24", nic_mac="1")
    assert sorted(found) == ["gateway", "nic", "nic_ip", "nic_mac", "nodes[1]", "nodes[2]"]


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        ({"nodes": []}, "nodes", "no node"),
        ({"nic_ip": "10.4.19.1/24"}, "nic_ip", "physical gateway's address"),
        ({"nic_ip": "10.4.20.254/24"}, "nic_ip", "not in the gateway's network"),
        ({"nic_ip": "10.4.19.254/25"}, "nic_ip", "not in the gateway's network"),
        ({"nic_mac": "17:52:f3:13:6a:25"}, "nic_mac", "multicast"),
        ({"nic": "much-too-long-name"}, "nic", "cannot be the name"),
        ({"nic": "br-int"}, "nic", "bridge of Kube-OVN's"),
    ],
)
def test_refused_with_the_options_path(options: dict[str, Any], path: str, text: str) -> None:
    assert text in refusals(**options)[path]


def test_a_gateway_that_is_not_named_leaves_only_where_it_may() -> None:
    """Of a list that was cut, as a sliced job's group is, nobody can tell whether the others are to leave."""
    world = up("g1", "g2", "g3")
    assert refusals(world, may_leave=True) == {} == refusals(world)
    assert refusals(world, may_leave=False)["nodes"].startswith("g3: a gateway by ConfigMap")
    assert refusals(world, may_leave=False, nodes=["g3", "g2", "g1"]) == {}
    assert refusals(may_leave=False) == {}, "there is none yet"


def test_nodes_that_would_stop_the_controller_are_refused() -> None:
    seen = bare().observe()
    nodes = tuple(replace(node, chassis=None) if node.name == "g1" else node for node in seen.nodes)
    chassis = tuple(row for row in seen.ovn.chassis if row.name != "g2")
    broken = replace(seen, nodes=nodes, ovn=replace(seen.ovn, chassis=chassis))
    found = {problem.path: problem.text for problem in wanted(OPTIONS, broken)[1]}
    assert "annotation" in found["nodes[0]"]
    assert "southbound" in found["nodes[1]"]


def test_addresses_of_others_are_refused() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5", "testing.default"),)
    assert "EIP in use, of testing.default" in refusals(world, nic_ip="10.4.19.101/24")["nic_ip"]
    assert "10.4.19.101" in refusals(world, nic_ip="10.4.20.254/24", gateway="10.4.20.1/24")["nic_ip"]
    seen = replace(bare().observe(), overlays={"ovn-default": "10.253.0.0/16", "join": "10.4.0.0/16,fd00::/64"})
    assert "overlaps subnet join" in next(one.text for one in wanted(OPTIONS, seen)[1])
    nodes = tuple(replace(node, internal_ips=("10.4.19.254",)) for node in seen.nodes)
    seen = replace(seen, nodes=nodes, overlays={})
    assert "address of node g1" in next(one.text for one in wanted(OPTIONS, seen)[1])
    nodes = tuple(replace(node, internal_ips=(), external_ips=("10.4.19.254",)) for node in seen.nodes)
    assert "address of node g1" in next(one.text for one in wanted(OPTIONS, replace(seen, nodes=nodes))[1])


def test_the_router_ports_address_may_be_the_source_of_pods_connections() -> None:
    """The usual SNAT of OVN. As an EIP it would be somebody's, and so would any other address."""
    world = up("g1", "g2")
    own = NatRule("n", "snat", "10.4.19.254", "10.253.0.0/16")
    world.nats = (own,)
    assert refusals(world) == {}
    assert "EIP in use" in refusals(world, gateway="10.4.19.254/24", nic_ip="10.4.19.253/24")["gateway"]
    run(gateway("g1", "g2", enabled=False), world)
    assert world.mac is None
    assert refusals(world) == {}  # it can be enabled again
    world = up("g1", "g2")
    world.nats = (own, NatRule("m", "dnat_and_snat", "10.4.19.254", "10.253.0.5"))
    assert "EIP in use" in refusals(world)["nic_ip"]
    world.nats = (NatRule("n", "snat", "10.4.19.200", "10.253.0.0/16"),)
    assert "EIP in use" in refusals(world, nic_ip="10.4.19.200/24")["nic_ip"]


def test_a_labelled_node_without_a_chassis_is_named_when_the_controller_has_work() -> None:
    """It ends the controller's turn before it makes anything."""
    world = up("g1", "g2")
    world.machines["g4"].label = "true"
    seen = world.observe()
    chassis = tuple(row for row in seen.ovn.chassis if row.name != "g4")
    stopped = replace(seen, ovn=replace(seen.ovn, chassis=chassis))
    bare_nodes = tuple(replace(node, chassis=None) if node.name == "g4" else node for node in seen.nodes)
    for broken in (stopped, replace(seen, nodes=bare_nodes)):
        assert wanted(OPTIONS, broken)[1] == []  # nothing is to be made
        found = wanted({**OPTIONS, "nodes": ["g1", "g2", "g3"]}, broken)[1]
        assert [problem.path for problem in found] == ["node g4"]
        assert "chassis is not in OVN's southbound database" in found[0].text
        assert wanted({**OPTIONS, "nodes": ["g1", "g3"], "enabled": False}, broken)[1] == []  # it only takes away
    assert wanted({**OPTIONS, "nodes": ["g1", "g2", "g3"]}, seen)[1] == []


# --- what the site shows ----------------------------------------------------------------------------------------------


class Objects:
    """A cluster that has these objects, and rights but for some verbs."""

    def __init__(self, vpc: Mapping[str, Any], subnets: Mapping[str, Any], denied: str = "") -> None:
        self._vpc: Mapping[str, Any] = {"metadata": {"name": "ovn-cluster"}, **vpc}
        self._subnets: Sequence[Mapping[str, Any]] = [
            {"metadata": {"name": name}, "spec": spec} for name, spec in subnets.items()
        ]
        self._denied = denied

    def get(self, _kind: Resource, _namespace: str | None, _name: str) -> None:
        return None

    def list(self, kind: Resource, *_where: str, **_options: bool) -> Sequence[Mapping[str, Any]]:
        return {VPCS: [self._vpc], SUBNETS: self._subnets}.get(kind, [])

    def may(self, verb: str, _kind: Resource, _namespace: str | None, _name: str | None) -> bool:
        return verb != self._denied


class Databases:
    """OVN as the model has it."""

    names = Names()

    def observe(self, holders: bool) -> Ovn:
        assert not holders
        return bare().observe().ovn


def site_of(vpc: Mapping[str, Any], subnets: Mapping[str, Any], denied: str = "") -> GatewaySite:
    cluster, ovn = cast(Cluster, Objects(vpc, subnets, denied)), cast(Northbound, Databases())
    return GatewaySite(cluster, ovn, ("kube-system", "kubeovn-core"), {}, holders=False)


def test_only_what_the_default_vpc_routes_is_an_overlay() -> None:
    """A VPC NAT gateway's network is the physical one itself, and another VPC may have any address."""
    cidr = {"cidrBlock": "10.4.19.0/24"}
    subnets = {
        "vpc-nat": {**cidr, "provider": "vpc-nat.kube-system"},
        "tenant": {**cidr, "vpc": "isolated", "provider": "ovn"},
        "vlan": {**cidr, "vlan": "v", "provider": "ovn"},
        "join": {"cidrBlock": "100.64.0.0/17", "vpc": "ovn-cluster", "provider": "ovn"},
        "old": {"cidrBlock": "10.5.0.0/16"},
    }
    assert site_of({}, subnets).observe().overlays == {"join": "100.64.0.0/17", "old": "10.5.0.0/16"}


@pytest.mark.parametrize(
    ("vpc", "fields"),
    [
        ({}, ()),
        ({"spec": {"extraExternalSubnets": None}, "status": {"extraExternalSubnets": None}}, ()),
        ({"spec": {"extraExternalSubnets": ["a", "b"]}}, ("spec.extraExternalSubnets: a, b",)),
        ({"spec": {"extraExternalSubnets": []}}, ("spec.extraExternalSubnets: []",)),
        ({"spec": {}, "status": {"extraExternalSubnets": ["a"]}}, ("status.extraExternalSubnets: a",)),
    ],
)
def test_a_cluster_that_ignores_the_config_map_is_refused(vpc: dict[str, Any], fields: tuple[str, ...]) -> None:
    seen = site_of(vpc, {}).observe()
    assert seen.extra_subnets == fields
    problems = list(site_problems(seen))
    assert [problem.path for problem in problems] == ["vpc ovn-cluster"] * bool(fields)
    for problem in problems:
        assert all(field in problem.text for field in fields)
        assert ("--subresource=status" in problem.hint) == fields[0].startswith("status")


@pytest.mark.parametrize(("create", "verbs"), [(True, ["patch", "create"]), (False, ["patch"])])
def test_each_right_that_a_write_of_the_config_map_needs_is_asked_for(create: bool, verbs: list[str]) -> None:
    """It begins with a patch, whether the ConfigMap is there or not."""
    for verb in ("patch", "create"):
        denied = site_of({}, {}, denied=verb).denied(["write_config_map"], create)
        assert [problem.path for problem in denied] == ([f"{verb} configmaps"] if verb in verbs else [])


def test_a_mac_left_out_is_kept_or_derived() -> None:
    options = {**OPTIONS, "nic_mac": None}
    fresh = wanted(options, bare().observe())[0].nic_mac
    assert fresh == wanted(options, bare().observe())[0].nic_mac
    assert int(fresh[:2], 16) & 0b11 == 0b10
    assert wanted(options, up().observe())[0].nic_mac == MACS[0]
    world = bare()
    world.config_map = {"nic-mac": MACS[1]}
    assert wanted(options, world.observe())[0].nic_mac == MACS[1]
    assert wanted(options, bare().observe())[0].nic_mac == fresh


@pytest.mark.parametrize("spoilt", [MACS[1], "01:00:5e:00:00:01"])
def test_a_mac_that_was_changed_by_hand_is_put_right_where_none_is_asked_for(spoilt: str) -> None:
    world = up()
    world.mac = spoilt
    asked, problems = wanted({**OPTIONS, "nic_mac": None}, world.observe())
    assert problems == []
    assert asked.nic_mac == MACS[0]
    run(asked, world)
    assert world.mac == MACS[0]


def test_a_mac_that_cannot_stay_is_not_taken_over() -> None:
    """Without a record the router port's own counts, unless it is multicast or another router port's."""
    options = {**OPTIONS, "nic_mac": None}
    seen = up().observe()
    assert wanted(options, replace(seen, config_map={}))[0].nic_mac == MACS[0]
    other = RouterPort("p", "tenant-external", MACS[0].upper(), ("10.4.19.99/24",))
    taken = replace(seen, ovn=replace(seen.ovn, other_ports=(other,)))
    fresh = wanted(options, bare().observe())[0].nic_mac
    assert wanted(options, taken)[0].nic_mac == fresh
    world = up()
    world.mac, world.config_map = "01:00:5e:00:00:01", {}
    assert wanted(options, world.observe())[0].nic_mac == fresh


def test_an_eip_that_is_only_claimed_counts_as_one() -> None:
    """A stopped machine has no NAT row."""
    claims = {"10.4.19.254": "VirtualMachine default/off", "10.4.19.101": "Pod default/on"}
    [problem] = wanted(OPTIONS, replace(bare().observe(), claims=claims))[1]
    assert (problem.path, "VirtualMachine default/off" in problem.text) == ("nic_ip", True)
    seen = replace(up().observe(), claims=claims)
    assert wanted(OPTIONS, seen)[1] == [], "the address that it has already may be a source address too"
    in_service = NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5")
    found = absent_problems(replace(seen, ovn=replace(seen.ovn, nat_rules=(in_service,))))
    assert [problem.path for problem in found] == ["EIP 10.4.19.101", "EIP 10.4.19.254"]
    assert "still uses the gateway" in found[0].text
    assert "has claimed it" in found[1].text


def test_a_gateway_in_use_is_not_removed() -> None:
    world = up()
    world.nats = (NatRule("n", "dnat_and_snat", "10.4.19.101", "10.253.0.5"),)
    world.ports["external-tenant"] = ("router", {"router-port": "tenant-external"})
    paths = {problem.path for problem in absent_problems(world.observe())}
    assert paths == {"EIP 10.4.19.101", "switch external"}
