# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left over of EIPs in custom VPCs: findings are what `state: pruned` deletes and tells of, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from shlex import split

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import PRUNE, Finding, eip_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_objects import object_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from support.eip_cases import ask, wish
from support.vpc_cases import ONE, TWO
from support.vpc_runs import VpcSite

NAME = "eip-10-4-19-101"
NEAR = "10.253.0.9"  # an overlay address of the default VPC
Spoil = Callable[[VpcSite, Holder], None]


@pytest.fixture
def vpc() -> VpcSite:
    return VpcSite()


@pytest.fixture
def web(vpc: VpcSite) -> Holder:
    """A pod with an EIP."""
    holder = vpc.add("web", "10.9.0.2")
    vpc.run(ask((holder, ONE)))
    return holder


def found(vpc: VpcSite) -> list[Finding]:
    """As ovn_nat_info has them, which does not look for the objects' rows in OVN."""
    seen = vpc.observe([], wish())
    blind = Site(replace(seen, objects=vpc.vpc.seen(northbound=False)))
    told = [*eip_findings(blind), *object_findings(blind)]
    assert [(one.code, one.text) for one in object_findings(Site(seen))] == [
        (one.code, one.text) for one in object_findings(blind)
    ]
    return sorted(told, key=lambda one: one.code)


def gone(vpc: VpcSite, holder: Holder) -> None:
    """Pod and IP object go; Kube-OVN leaves rules and rows as they are."""
    del vpc.world.pods[holder.namespace, holder.name]
    del vpc.vpc.ips[f"{holder.name}.{holder.namespace}"]


def test_a_holder_that_lives_has_none(vpc: VpcSite, web: Holder) -> None:
    db = vpc.add("db", "10.9.0.3")
    vpc.run(ask((db, TWO)))
    vpc.run(ask((db, None)), state="detached")
    assert found(vpc) == []
    assert vpc.world.claims[ONE].of(web)


def test_all_that_a_gone_holder_leaves_is_found_and_pruned(vpc: VpcSite, web: Holder) -> None:
    gone(vpc, web)
    claim, eip, rule = found(vpc)
    assert [(one.code, one.severity) for one in (claim, eip, rule)] == [
        ("claim_without_holder", "warning"),
        ("orphan_ovn_eip", "warning"),
        ("stale_object", "error"),
    ]
    assert {(one.address, one.holder, one.repair) for one in (claim, eip, rule)} == {(ONE, web, PRUNE)}
    assert (eip.text, rule.text) == (
        f"OvnEip {NAME} is left over: Pod shop/web is gone",
        f"OvnFip {NAME} is left over: Pod shop/web is gone",
    )
    assert not vpc.whole([], state="pruned").bad
    assert found(vpc) == []


def test_one_that_hangs_as_it_is_deleted_is_found(vpc: VpcSite, web: Holder) -> None:
    gone(vpc, web)
    vpc.vpc.rows.clear()
    vpc.vpc.delete("ovn-fips", NAME)
    vpc.vpc.settle()
    assert ("ovn-fips", NAME) in vpc.vpc.objects, "Kube-OVN waits for the row"
    assert "stale_object" in [one.code for one in found(vpc)]


def by_hand(vpc: VpcSite, _web: Holder) -> None:
    vpc.vpc.add("ovn-eips", "hand", externalSubnet="external", v4Ip=TWO, type="nat")
    vpc.vpc.add("ovn-fips", "hand", ovnEip="hand", vpc="shop", v4Ip="10.9.0.77")
    vpc.vpc.settle()


def claimed_for_nobody(vpc: VpcSite, web: Holder) -> None:
    vpc.run(ask((web, None)), state="detached")
    vpc.world.claims.clear()


@pytest.mark.parametrize(
    ("spoil", "name", "address"),
    [(by_hand, "ovn-fips.kubeovn.io hand", TWO), (claimed_for_nobody, f"ovn-eips.kubeovn.io {NAME}", ONE)],
)
def test_what_may_be_somebodys_is_told_of_with_the_command_that_takes_it_away(
    vpc: VpcSite, web: Holder, spoil: Spoil, name: str, address: str
) -> None:
    spoil(vpc, web)
    [finding] = found(vpc)
    assert (finding.code, finding.severity) == ("unexplained_object", "warning")
    assert (finding.address, finding.repair) == (address, f"kubectl delete {name}")
    unclear = vpc.whole([], state="pruned").unclear
    assert [f"{one.path}: {one.text}" for one in unclear] == [finding.text]


def test_a_pod_that_a_statefulset_may_bring_back_is_not_called_gone(vpc: VpcSite) -> None:
    pod = vpc.add("web-0", "10.9.0.9")
    vpc.run(ask((pod, TWO)))
    gone(vpc, pod)
    assert found(vpc) == []


def test_where_objects_were_not_read_nothing_is_found(vpc: VpcSite, web: Holder) -> None:
    gone(vpc, web)
    seen = vpc.world.observed()
    assert list(object_findings(Site(seen))) == []


def test_an_ovn_eip_that_somebody_uses_is_not_nobodys(vpc: VpcSite, web: Holder) -> None:
    vpc.world.claims.clear()
    assert vpc.vpc.objects["ovn-fips", NAME]["metadata"]["annotations"] == {"kubeovn.core/holder": str(web)}
    assert found(vpc) == []


# --- rules of the default VPC


def in_the_default_vpc(vpc: VpcSite, resource: str, name: str, **spec: str) -> None:
    """A rule that somebody made for pod `near`: Kube-OVN makes a NAT row of it, and no policy."""
    if ("default", "near") not in vpc.world.pods:
        vpc.world.add_pod("near", NEAR, routed=True)
        vpc.vpc.add("ovn-eips", "hand", externalSubnet="external", v4Ip=TWO, type="nat")
    vpc.vpc.add(resource, name, ovnEip="hand", vpc="ovn-cluster", **spec)
    vpc.vpc.settle()
    assert vpc.vpc.objects[resource, name]["status"]["ready"]
    vpc.world.rules += [row for row in vpc.vpc.rows if row.logical_ip == NEAR]
    vpc.vpc.rows = [row for row in vpc.vpc.rows if row.logical_ip != NEAR]


def unrouted(vpc: VpcSite) -> list[Finding]:
    """The findings about these rules. That nobody has their address is this model's: it knows no IPs of that VPC."""
    return [one for one in found(vpc) if one.code != "unexplained_object"]


@pytest.mark.parametrize(
    ("resource", "kind", "spec"),
    [("ovn-fips", "fip", {"v4Ip": NEAR}), ("ovn-snat-rules", "snat", {"v4IpCidr": NEAR})],
)
def test_a_rule_of_the_default_vpc_has_no_policy_and_becomes_an_annotation(
    vpc: VpcSite, resource: str, kind: str, spec: dict[str, str]
) -> None:
    in_the_default_vpc(vpc, resource, "hand", **spec)
    [finding] = unrouted(vpc)
    holder = Holder("Pod", "default", "near")
    assert (finding.code, finding.address, finding.holder) == ("missing_reroute", TWO, holder)
    *deletions, attaching = finding.repair.split(" && ")
    assert deletions == [f"kubectl delete {resource}.kubeovn.io hand", "kubectl delete ovn-eips.kubeovn.io hand"]
    *start, options = split(attaching)
    assert start == ["ansible", "localhost", "-m", "kubeovn.core.ovn_eip", "-a"]
    assert yaml.safe_load(options) == {"kind": kind, "eips": [{"address": TWO, "pod": "near", "namespace": "default"}]}


def test_ports_of_the_default_vpc_and_a_shared_address_have_no_annotation_that_could_take_their_place(
    vpc: VpcSite,
) -> None:
    for name, port in (("a", "80"), ("b", "81")):
        ports = {"externalPort": port, "internalPort": port, "protocol": "tcp"}
        in_the_default_vpc(vpc, "ovn-dnat-rules", name, v4Ip=NEAR, **ports)
    assert [(one.code, one.repair) for one in unrouted(vpc)] == [
        ("missing_reroute", f"kubectl delete ovn-dnat-rules.kubeovn.io {name}") for name in ("a", "b")
    ]


def test_of_two_rules_at_one_address_none_takes_the_ovn_eip_from_the_other(vpc: VpcSite) -> None:
    in_the_default_vpc(vpc, "ovn-snat-rules", "one", v4IpCidr=NEAR)
    in_the_default_vpc(vpc, "ovn-dnat-rules", "b", v4Ip=NEAR, externalPort="80", internalPort="80", protocol="tcp")
    assert {one.repair.count("delete") for one in unrouted(vpc)} == {1}


def test_a_pod_whose_annotation_would_not_work_does_not_get_one(vpc: VpcSite) -> None:
    in_the_default_vpc(vpc, "ovn-fips", "hand", v4Ip=NEAR)
    key = ("default", "near")
    vpc.world.pods[key] = replace(vpc.world.pods[key], ip=f"{NEAR},fd00::9")
    [finding] = unrouted(vpc)
    assert finding.repair == "kubectl delete ovn-fips.kubeovn.io hand"


def test_a_router_ports_own_ovn_eip_is_not_deleted(vpc: VpcSite) -> None:
    in_the_default_vpc(vpc, "ovn-snat-rules", "hand", v4IpCidr=NEAR)
    vpc.vpc.objects["ovn-eips", "hand"]["spec"]["type"] = "lrp"
    assert [one.repair for one in unrouted(vpc)] == ["kubectl delete ovn-snat-rules.kubeovn.io hand"]


def test_a_rule_that_goes_already_is_not_told_of(vpc: VpcSite) -> None:
    in_the_default_vpc(vpc, "ovn-fips", "hand", v4Ip=NEAR)
    vpc.vpc.objects["ovn-fips", "hand"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert unrouted(vpc) == []


def test_with_a_policy_or_in_another_vpc_or_of_a_whole_network_a_rule_is_as_it_should_be(vpc: VpcSite) -> None:
    in_the_default_vpc(vpc, "ovn-fips", "hand", v4Ip=NEAR)
    vpc.world.add_policy(NEAR)
    assert unrouted(vpc) == []
    vpc.world.policies.clear()
    vpc.vpc.objects["ovn-fips", "hand"]["status"]["vpc"] = "shop"
    assert unrouted(vpc) == []
    vpc.vpc.objects["ovn-fips", "hand"]["status"] |= {"vpc": "ovn-cluster", "v4Ip": "10.253.0.0/16"}
    assert unrouted(vpc) == []


def test_a_rule_that_leads_to_a_vip_is_not_called_nobodys(vpc: VpcSite) -> None:
    vpc.vpc.add("ovn-eips", "hand", externalSubnet="external", v4Ip=TWO, type="nat")
    vpc.vpc.add("ovn-fips", "hand", ovnEip="hand", ipName="keepalived", ipType="vip")
    assert found(vpc) == []
    vpc.vpc.objects["ovn-fips", "hand"]["spec"]["ipType"] = "ip"
    assert [one.code for one in found(vpc)] == ["unexplained_object"]


def test_a_rule_whose_ovn_eip_is_not_there_is_told_by_that_name(vpc: VpcSite) -> None:
    vpc.vpc.add("ovn-fips", "hand", ovnEip="lost", vpc="shop", v4Ip="10.9.0.77")
    [finding] = found(vpc)
    assert (finding.address, finding.text) == (
        None,
        "OvnFip hand: OvnEip lost leads to 10.9.0.77, which nobody has",
    )
