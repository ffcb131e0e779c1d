# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps traffic away from an EIP whose NAT row and policy are right: a fault each, in a site without any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils import _eip_reach
from ansible_collections.kubeovn.core.plugins.module_utils._eip_objects_site import Objects
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed
from ansible_collections.kubeovn.core.plugins.module_utils._eip_verify import unfinished
from ansible_collections.kubeovn.core.plugins.module_utils._findings import Finding
from ansible_collections.kubeovn.core.plugins.module_utils._findings_gateways import gateway_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_nodes import link_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    Eip,
    GatewayChassis,
    GatewayNode,
    Holder,
    NatRule,
    Ovn,
    Problem,
    RouterPort,
)
from support.eip_cases import wish
from support.eip_world import World
from support.findings_site import CHASSIS, LOCALNET, NODES, PATCH, PORT, ROWS
from support.vpc_runs import VpcSite

ADDRESS, IP = "10.4.19.101", "10.253.0.3"
WORKER = GatewayNode("jah-k3s-l40s-001", True, None, "c9")
ALL = (*NODES, WORKER)
WEB = Holder("Pod", "default", "web")
SHOP = RouterPort("shop", "shop-external", "00:00:00:00:00:02", ("10.4.19.200/24",), ROWS)

Change = Callable[[Observed], Observed]


def healthy() -> Observed:
    """A pod on a worker that has its EIP, and two gateways, the first of which holds the router port."""
    world = World()
    world.add_pod("web", IP, ADDRESS)
    world.add_claim(ADDRESS, WEB)
    assert world.settle()
    return standing(world.observed(), {"web.default": "c9"})


def standing(seen: Observed, bound: dict[str, str]) -> Observed:
    """The same with the gateways of a healthy site."""
    worker = replace(CHASSIS[2], uuid="u9", name="c9", hostname=WORKER.name, bridge_mappings={})
    held: dict[str, str | None] = {"cr-ovn-cluster-external": "c1", "cr-shop-external": "c2"}
    ovn = replace(
        seen.ovn,
        router_port=PORT,
        switch_ports=(PATCH, LOCALNET),
        chassis=(*CHASSIS, worker),
        active_chassis="c1",
        bound_ports=bound,
        other_ports=(SHOP,),
        redirects=held,
    )
    return replace(seen, ovn=ovn, nodes=ALL)


def found(seen: Observed, *asked: Eip) -> list[Problem]:
    wanted = asked or (Eip(WEB, ADDRESS, "eips[0]"),)
    return [one for group in unfinished(wanted, wish(), seen).values() for one in group]


def ovn(**more: Any) -> Change:
    return lambda seen: replace(seen, ovn=replace(seen.ovn, **more))


def rows(*gateways: GatewayChassis, **more: Any) -> Change:
    return ovn(router_port=replace(PORT, gateway_chassis=gateways, **more))


def without(*names: str) -> Change:
    """Nodes that are not Ready."""
    return lambda seen: replace(seen, nodes=tuple(replace(one, ready=one.name not in names) for one in seen.nodes))


def gone(name: str) -> Change:
    return lambda seen: replace(seen, nodes=tuple(one for one in seen.nodes if one.name != name))


def both(one: Change, other: Change) -> Change:
    return lambda seen: other(one(seen))


NOBODY = GatewayChassis("g9", "x", "nobody", 100)
UNMAPPED = tuple(replace(one, bridge_mappings={}) if one.name == "c1" else one for one in CHASSIS)
NONE = ovn(active_chassis=None)


def test_nothing_is_wrong_with_a_healthy_site() -> None:
    assert found(healthy()) == []


@pytest.mark.parametrize(
    ("change", "text", "hint"),
    [
        (ovn(bound_ports={}), "logical port web.default is bound to no chassis", "run on jah-k3s-l40s-001"),
        (without(WORKER.name), "its node jah-k3s-l40s-001 is not Ready", "kubectl describe node jah-k3s-l40s-001"),
        (
            both(ovn(bound_ports={"web.default": "c3"}), without("n3")),
            "n3, where port web.default is bound, is not Ready",
            "kubectl describe node n3",
        ),
        (ovn(router_port=None), "there is no router port ovn-cluster-external", "ovn_external_gw"),
        (rows(), "router port ovn-cluster-external has no gateway chassis", "ovn_external_gw"),
        (NONE, "no gateway holds router port ovn-cluster-external", "does ovn-controller run on the gateways"),
        (
            both(NONE, without("n1")),
            "no gateway holds router port ovn-cluster-external",
            "gateway chassis c1: node n1 is not ready, or its chassis is gone; n2 is the only one of 2 gateways",
        ),
        (
            both(NONE, rows(NOBODY)),
            "no gateway holds router port ovn-cluster-external",
            "gateway chassis nobody: no node has this chassis",
        ),
        (
            without("n1"),
            "router port ovn-cluster-external is held by n1, which is not Ready",
            "no other gateway has taken over: gateway chassis c1: node n1 is not ready",
        ),
        (rows(*ROWS, enabled=False), "router port ovn-cluster-external is disabled", "ovn_external_gw"),
        (ovn(switch_ports=(LOCALNET,)), "switch external has no port to router port", "ovn_external_gw"),
        (ovn(switch_ports=(PATCH,)), "switch external has no port of type localnet", "ovn_external_gw"),
        (
            ovn(switch_ports=(PATCH, replace(LOCALNET, enabled=False))),
            "port localnet.external of switch external is disabled",
            "ovn_external_gw",
        ),
        (ovn(chassis=UNMAPPED), "n1 translates it, and maps no bridge to network external", "ovn_external_gw"),
    ],
)
def test_a_fault_is_named_with_its_probable_cause(change: Change, text: str, hint: str) -> None:
    (problem,) = found(change(healthy()))
    assert problem.text.startswith(text)
    assert hint in problem.hint
    assert problem.path == f"{ADDRESS} of {WEB}"


def test_a_node_that_is_gone_takes_the_port_with_it() -> None:
    seen = ovn(bound_ports={}, chassis=CHASSIS)(gone(WORKER.name)(healthy()))
    assert [one.text for one in found(seen)] == [
        "logical port web.default is bound to no chassis",
        "its node jah-k3s-l40s-001 is gone",
    ]


def test_a_pod_that_is_left_on_a_dead_node_is_no_fault_where_its_port_is_bound_elsewhere() -> None:
    """As of a machine that has moved: its old launcher is there until the node is back."""
    moved = ovn(bound_ports={"web.default": "c3"})
    assert found(both(moved, without(WORKER.name))(healthy())) == []


def test_gateways_that_do_not_hold_the_port_and_other_ports_of_the_switch_are_no_faults() -> None:
    other = replace(PATCH, name="external-shop", options={"router-port": "shop-external"}, enabled=False)
    unmapped = tuple(replace(one, bridge_mappings={}) if one.name == "c2" else one for one in CHASSIS)
    seen = ovn(chassis=unmapped, switch_ports=(PATCH, LOCALNET, other))(healthy())
    assert found(without("n2")(seen)) == []


def test_nodes_that_nobody_could_list_are_not_taken_for_dead() -> None:
    assert found(replace(healthy(), nodes=())) == []
    (problem,) = found(NONE(replace(healthy(), nodes=())))
    assert "no node has this chassis" not in problem.hint


def test_a_distributed_rule_needs_a_bridge_where_its_holder_runs() -> None:
    seen = healthy()
    (rule,) = seen.ovn.nat_rules
    distributed: NatRule = rule._replace(logical_port="web.default", external_mac="00:00:00:00:00:03")
    (problem,) = found(ovn(nat_rules=(distributed,))(seen))
    assert problem.text == f"{WORKER.name} translates it, and maps no bridge to network external"
    assert found(ovn(nat_rules=(distributed,), bound_ports={"web.default": "c3"})(seen)) == []


def test_what_many_eips_have_in_common_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    asked = []
    for number in range(2, 102):
        holder = world.add_pod(f"web-{number}", f"10.253.1.{number}", f"10.4.19.{number}")
        world.add_claim(f"10.4.19.{number}", holder)
        asked.append(Eip(holder, f"10.4.19.{number}", f"eips[{number}]"))
    assert world.settle()
    seen = standing(world.observed(), {f"web-{number}.default": "c9" for number in range(2, 102)})
    calls: list[Ovn] = []

    def counted(one: Ovn, *more: Any) -> list[Finding]:
        calls.append(one)
        return gateway_findings(one, *more)

    monkeypatch.setattr(_eip_reach, "gateway_findings", counted)
    assert len(found(NONE(seen), *asked)) == len(asked)
    assert len(calls) == 1


# --- custom VPCs ----------------------------------------------------------------------------------------------------


def shop() -> tuple[Observed, Eip]:
    """A pod in VPC shop that has its EIP by objects."""
    site = VpcSite()
    eip = Eip(site.add("far", "10.9.0.2"), ADDRESS, "eips[0]")
    assert not site.whole([eip]).bad
    seen = site.observe([eip], wish())
    assert seen.objects is not None
    return standing(replace(seen, objects=replace(seen.objects, bound={"far.shop": "c9"})), {}), eip


def bound_to(chassis: str | None) -> Change:
    return lambda seen: replace(seen, objects=replace(seen.objects, bound={"far.shop": chassis}))  # type: ignore[type-var]


def test_nothing_is_wrong_with_a_healthy_vpc() -> None:
    seen, eip = shop()
    assert found(seen, eip) == []


@pytest.mark.parametrize(
    ("change", "text", "hint"),
    [
        (bound_to(None), "logical port far.shop is bound to no chassis", "run on jah-k3s-l40s-001"),
        (without(WORKER.name), "its node jah-k3s-l40s-001 is not Ready", "kubectl describe node"),
        (ovn(other_ports=()), "there is no router port shop-external", "external-gw=true"),
        (
            ovn(other_ports=(replace(SHOP, gateway_chassis=()),)),
            "router port shop-external has no gateway chassis",
            "external-gw=true",
        ),
        (ovn(redirects={"cr-ovn-cluster-external": "c1"}), "no gateway holds router port shop-external", "tunnels"),
        (without("n2"), "router port shop-external is held by n2, which is not Ready", "node n2 is not ready"),
        (ovn(other_ports=(replace(SHOP, enabled=False),)), "router port shop-external is disabled", "ovn_external_gw"),
        (ovn(switch_ports=(PATCH,)), "switch external has no port of type localnet", "ovn_external_gw"),
        (
            ovn(chassis=tuple(replace(one, bridge_mappings={}) for one in CHASSIS)),
            "n2 translates it, and maps no bridge to network external",
            "ovn_external_gw",
        ),
    ],
)
def test_a_fault_in_a_custom_vpc_is_named_with_its_probable_cause(change: Change, text: str, hint: str) -> None:
    seen, eip = shop()
    (problem,) = found(change(seen), eip)
    assert problem.text == text
    assert hint in problem.hint


def test_the_default_vpcs_router_port_is_none_of_another_vpcs_business() -> None:
    seen, eip = shop()
    assert found(both(NONE, rows())(seen), eip) == []
    assert found(ovn(switch_ports=(LOCALNET,))(seen), eip) == []


def test_a_holder_in_a_custom_vpc_that_does_not_run_is_reached_by_nobody_and_that_is_no_fault() -> None:
    seen, eip = shop()
    idle = replace(seen, objects=replace(seen.objects, bound={}))  # type: ignore[type-var]
    assert found(ovn(redirects={})(idle), eip) == []
    unread = replace(seen, objects=replace(seen.objects, bound=None))  # type: ignore[type-var]
    assert found(ovn(redirects={})(unread), eip) == []


def test_whose_router_port_an_eip_needs_is_told_by_its_object_without_a_look_at_all_subnets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, eip = shop()
    asked: list[str] = []
    monkeypatch.setattr(Objects, "subnet_for", lambda _self, address, _vpc: asked.append(address))
    (problem,) = found(ovn(other_ports=())(seen), eip)
    assert problem.text == "there is no router port shop-external"
    assert not asked


def test_the_switch_is_judged_by_its_ports_to_one_vpc_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VPC more is a port more, and a verdict more: with all ports in each of them the work grew by the square."""
    seen, eip = shop()
    own = replace(PATCH, name="external-shop", options={"router-port": "shop-external"}, enabled=False)
    others = [replace(own, name=f"external-{n}", options={"router-port": f"{n}-external"}) for n in range(100)]
    looked: list[int] = []

    def counted(one: Ovn, *more: Any) -> list[Finding]:
        looked.append(len(one.switch_ports))
        return link_findings(one, *more)

    monkeypatch.setattr(_eip_reach, "link_findings", counted)
    full = ovn(switch_ports=(*others, LOCALNET, PATCH, own))
    (problem,) = found(full(seen), eip)
    assert problem.text == "port external-shop of switch external is disabled"
    assert found(full(healthy())) == []
    assert looked == [2, 2]
