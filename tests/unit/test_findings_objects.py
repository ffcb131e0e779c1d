# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left over of EIPs in custom VPCs: findings are what `state: pruned` deletes and tells of, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Site
from ansible_collections.kubeovn.core.plugins.module_utils._findings import PRUNE, Finding, eip_findings
from ansible_collections.kubeovn.core.plugins.module_utils._findings_objects import object_findings
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder
from support.eip_cases import ask, wish
from support.vpc_cases import ONE, TWO
from support.vpc_runs import VpcSite

NAME = "eip-10-4-19-101"
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
