# SPDX-License-Identifier: GPL-3.0-or-later
"""EIPs in a custom VPC on the lab: what Kube-OVN does with OvnEips and their rules, and what ovn_eip makes of it.

Each test of the first part is a row of docs/eips-vpc.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml
from support.commands import TOP
from support.eip_lab import gateway_rows, unbound
from support.examples import blocks, calls
from support.fleet import alone
from support.lab import Lab
from support.live import Live, eventually
from support.rights import Rights
from support.vpc_site import (
    FAR,
    GATEWAYS,
    NAMESPACE,
    NEAR,
    VPC,
    WORKER,
    balancers,
    clear,
    is_going,
    is_ready,
    kube_ovn,
    objects,
    overlay_ip,
    pod,
    rows,
    runs,
    standing,
)

ONE, TWO = "10.4.19.211", "10.4.19.212"
RUNNING = 180.0  # seconds in which a machine or pod is there, or gone, on a busy lab
DONE = 120.0  # the same for what Kube-OVN has to do


@pytest.fixture(scope="module")
def live(lab: Lab) -> Iterator[Live]:
    """A VPC with its way outside, and two pods."""
    live = Live(lab)
    with standing(live):
        yield live


@pytest.fixture
def clean(live: Live) -> Live:
    """No object, row or claim is there when the test begins."""
    clear(live)
    assert (rows(live), objects(live)) == ([], [])
    return live


def by_hand(live: Live, name: str, address: str, **fip: str) -> None:
    """An OvnEip, and an OvnFip that uses it."""
    live.apply(kube_ovn("OvnEip", name, externalSubnet="external", v4Ip=address, type="nat"))
    is_ready(live, "ovn-eip", name)
    live.apply(kube_ovn("OvnFip", name, ovnEip=name, **fip))
    is_ready(live, "ovn-fip", name)


# --- what Kube-OVN does ---------------------------------------------------------------------------------------------


def test_an_ovn_fip_that_names_an_ip_works_on_nodes_with_a_bridge_only(clean: Live) -> None:
    by_hand(clean, "one", ONE, ipName="far.shop")
    by_hand(clean, "two", TWO, ipName="near.shop")
    assert [row[3] for row in rows(clean)] == ["far.shop", "near.shop"]
    assert len(clean.answers(TWO)) == 3
    assert clean.ping(ONE) == []


def test_an_ovn_fip_that_names_an_address_works_on_every_node(clean: Live) -> None:
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    assert rows(clean) == [("dnat_and_snat", ONE, overlay_ip(clean, FAR), "")]
    assert len(clean.answers(ONE)) == 3


def test_a_changed_ovn_fip_stays_as_it_was(clean: Live) -> None:
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    before = rows(clean)
    clean.kubectl("patch", "ovn-fip", "one", "--type=merge", "-p", '{"spec": {"v4Ip": "10.9.0.77"}}')
    by_hand(clean, "two", TWO, vpc=VPC, v4Ip=overlay_ip(clean, NEAR))  # by then it has seen that change
    assert [row for row in rows(clean) if row[1] == ONE] == before


def test_a_rule_whose_row_is_lost_is_ready_and_cannot_be_deleted(clean: Live) -> None:
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    clean.nbctl("lr-nat-del", VPC, "dnat_and_snat", ONE)
    is_ready(clean, "ovn-fip", "one")
    clean.kubectl("delete", "ovn-fip", "one", "--wait=false")
    by_hand(clean, "two", TWO, vpc=VPC, v4Ip=overlay_ip(clean, NEAR))
    clean.kubectl("delete", "ovn-fip", "two", "--wait=true")
    assert is_going(clean, "ovn-fip", "one"), "the one that was deleted after it is gone by now"


def test_a_second_snat_of_one_address_is_ready_without_a_row_and_takes_the_firsts(clean: Live) -> None:
    ip = overlay_ip(clean, FAR)
    for name, address in (("one", ONE), ("two", TWO)):
        clean.apply(kube_ovn("OvnEip", name, externalSubnet="external", v4Ip=address, type="nat"))
        is_ready(clean, "ovn-eip", name)
        clean.apply(kube_ovn("OvnSnatRule", name, ovnEip=name, vpc=VPC, v4IpCidr=ip))
        is_ready(clean, "ovn-snat-rule", name)
    assert rows(clean) == [("snat", ONE, ip, "")]
    clean.kubectl("delete", "ovn-snat-rule", "two", "--wait=true")
    assert rows(clean) == []


def test_two_dnat_rules_of_one_port_are_both_ready(clean: Live) -> None:
    clean.apply(kube_ovn("OvnEip", "one", externalSubnet="external", v4Ip=ONE, type="nat"))
    is_ready(clean, "ovn-eip", "one")
    for name in (FAR, NEAR):
        ports = {"externalPort": "2222", "internalPort": "22", "protocol": "tcp"}
        clean.apply(kube_ovn("OvnDnatRule", name, ovnEip="one", vpc=VPC, v4Ip=overlay_ip(clean, name), **ports))
        is_ready(clean, "ovn-dnat-rule", name)
    assert clean.nbctl("lr-lb-list", VPC).count(f"{ONE}:2222") == 2


@pytest.mark.full
def test_a_second_ovn_fip_of_one_address_is_never_ready(clean: Live) -> None:
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    clean.apply(kube_ovn("OvnFip", "second", ovnEip="one", vpc=VPC, v4Ip=overlay_ip(clean, NEAR)))
    by_hand(clean, "two", TWO, vpc=VPC, v4Ip=overlay_ip(clean, NEAR))  # by then it has seen the second one
    assert not ((clean.get("ovn-fip", "second") or {}).get("status") or {}).get("ready")
    assert [row[2] for row in rows(clean) if row[1] == ONE] == [overlay_ip(clean, FAR)]


@pytest.mark.full
def test_an_ovn_fip_is_ready_with_a_row_that_leads_elsewhere(clean: Live) -> None:
    clean.nbctl("lr-nat-add", VPC, "dnat_and_snat", ONE, "10.9.0.99")
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    assert rows(clean) == [("dnat_and_snat", ONE, "10.9.0.99", "")]


@pytest.mark.full
def test_a_deleted_dnat_rule_leaves_an_empty_load_balancer(clean: Live) -> None:
    clean.apply(kube_ovn("OvnEip", "one", externalSubnet="external", v4Ip=ONE, type="nat"))
    is_ready(clean, "ovn-eip", "one")
    ports = {"externalPort": "2222", "internalPort": "22", "protocol": "tcp"}
    clean.apply(kube_ovn("OvnDnatRule", "own", ovnEip="one", vpc=VPC, v4Ip=overlay_ip(clean, FAR), **ports))
    is_ready(clean, "ovn-dnat-rule", "own")
    names = ("--bare", "--columns=name", "list", "Load_Balancer")
    before = set(clean.nbctl(*names).split())
    clean.kubectl("delete", "ovn-dnat-rule", "own", "--wait=true")
    assert balancers(clean) == {}
    assert set(clean.nbctl(*names).split()) == before


def test_an_ovn_eip_waits_for_the_last_one_that_uses_it(clean: Live) -> None:
    by_hand(clean, "one", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    clean.kubectl("delete", "ovn-eip", "one", "--wait=false")
    assert len(clean.answers(ONE)) == 3
    assert is_going(clean, "ovn-eip", "one")
    clean.kubectl("delete", "ovn-fip", "one", "--wait=true")
    eventually(lambda: clean.get("ovn-eip", "one"), lambda found: found is None, DONE, "OvnEip one is gone")


# --- what the module does -------------------------------------------------------------------------------------------


def eip(*items: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's result for pods of namespace shop."""
    return alone("ovn_eip", {"eips": [{"namespace": NAMESPACE, **item} for item in items], **options}, check)


def done(*items: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The result; it must be a success, and the same task again changes nothing."""
    result = eip(*items, **options)
    assert not result["failed"], result.get("msg")
    again = eip(*items, **{name: value for name, value in options.items() if name != "reassign"})
    assert (again["failed"], again["changed"]) == (False, False), again
    return result


def actions(result: dict[str, Any]) -> list[str]:
    return [step["action"] for step in result["plan"]]


def test_a_pod_on_a_node_without_bridge_gets_its_eip_and_gives_it_back(clean: Live) -> None:
    ip = overlay_ip(clean, FAR)
    foretold = eip({"pod": FAR, "address": ONE}, check=True)
    assert objects(clean) == []
    result = done({"pod": FAR, "address": ONE})
    assert result["plan"] == foretold["plan"]
    assert (result["eips"][0]["status"], result["eips"][0]["logical_ip"]) == ("attached", ip)
    assert rows(clean) == [("dnat_and_snat", ONE, ip, "")]
    assert len(clean.answers(ONE)) == 3

    done({"pod": FAR}, state="detached")
    assert (rows(clean), objects(clean)) == ([], ["eip-10-4-19-211"])
    eventually(partial(clean.ping, ONE), lambda ttls: not ttls, DONE, "the gateway translates it no more")
    refused = eip({"pod": NEAR, "address": ONE})
    assert refused["failed"]
    assert f"{ONE} is held by Pod shop/far" in refused["msg"]

    done({"pod": FAR}, state="absent")
    assert (rows(clean), objects(clean)) == ([], [])
    assert clean.kubectl("get", "lease", "-n", "kubeovn-core", "-o", "name").strip() == ""


def test_another_address_and_another_holder_leave_nothing_behind(clean: Live) -> None:
    done({"pod": FAR, "address": ONE})
    done({"pod": FAR, "address": TWO})
    eventually(lambda: objects(clean), lambda found: found == ["eip-10-4-19-212"] * 2, DONE, "the old OvnEip is gone")
    assert rows(clean) == [("dnat_and_snat", TWO, overlay_ip(clean, FAR), "")]
    done({"pod": NEAR, "address": TWO}, reassign=True)
    assert rows(clean) == [("dnat_and_snat", TWO, overlay_ip(clean, NEAR), "")]
    assert len(clean.answers(TWO)) == 3


def test_ports_and_a_shared_source_address(clean: Live) -> None:
    far, near = overlay_ip(clean, FAR), overlay_ip(clean, NEAR)
    done({"pod": FAR, "address": ONE, "kind": "dnat", "ports": [{"external": 2222, "internal": 22}]})
    assert balancers(clean) == {f"{ONE}:2222": f"{far}:22"}
    greeting = clean.lab.run("outside", "--", "bash", "-c", f"exec 3<>/dev/tcp/{ONE}/2222; head -c 7 <&3")
    assert greeting == "SSH-2.0"
    done({"pod": FAR, "address": TWO}, {"pod": NEAR, "address": TWO}, kind="snat")
    assert rows(clean) == [("snat", TWO, far, ""), ("snat", TWO, near, "")]
    done({"pod": FAR}, kind="snat", state="absent")
    assert rows(clean) == [("snat", TWO, near, "")]


def test_a_lost_row_comes_back(clean: Live) -> None:
    done({"pod": FAR, "address": ONE})
    clean.nbctl("lr-nat-del", VPC, "dnat_and_snat", ONE)
    result = done({"pod": FAR, "address": ONE})
    assert actions(result)[:1] == ["delete_object"]
    assert rows(clean) == [("dnat_and_snat", ONE, overlay_ip(clean, FAR), "")]
    assert len(clean.answers(ONE)) == 3


@pytest.mark.full
def test_what_keeps_traffic_away_is_named_at_the_deadline(clean: Live) -> None:
    done({"pod": FAR, "address": ONE})
    assert len(clean.answers(ONE)) == 3
    before = (objects(clean), rows(clean))
    faults = (
        (gateway_rows(clean, f"{VPC}-external", ("nobody", 100)), f"no gateway holds router port {VPC}-external"),
        (unbound(clean, f"{FAR}.{NAMESPACE}"), f"logical port {FAR}.{NAMESPACE} is bound to no chassis"),
    )
    for fault, text in faults:
        with fault:
            eventually(partial(clean.ping, ONE), lambda ttls: not ttls, DONE, f"{ONE} is silent")
            said = eip({"pod": FAR, "address": ONE}, wait_timeout=10)
            assert (said["failed"], said["changed"]) == (True, False)
            assert text in said["msg"]
            assert (objects(clean), rows(clean)) == before
        assert len(clean.answers(ONE)) == 3
        assert done({"pod": FAR, "address": ONE})["changed"] is False


def test_a_pod_that_was_made_anew_is_followed(clean: Live) -> None:
    done({"pod": FAR, "address": ONE})
    before = overlay_ip(clean, FAR)
    clean.kubectl("delete", "pod", "-n", NAMESPACE, FAR, "--wait=true")
    clean.apply(pod("squatter", GATEWAYS[0]))  # takes the address, so that the pod gets another
    eventually(lambda: overlay_ip(clean, "squatter"), bool, DONE, "the other pod has an address")
    clean.apply(pod(FAR, WORKER))
    eventually(partial(clean.get, "pod", FAR, NAMESPACE), runs, RUNNING, "the pod runs again")
    assert overlay_ip(clean, FAR) != before
    assert [row[2] for row in rows(clean)] == [before], "Kube-OVN does not follow it, or this test proves nothing"
    done({"pod": FAR, "address": ONE})
    assert rows(clean) == [("dnat_and_snat", ONE, overlay_ip(clean, FAR), "")]
    clean.kubectl("delete", "pod", "-n", NAMESPACE, "squatter", "--wait=true")


def test_a_machine_is_given_another_eip_while_it_is_off_and_leaves_nothing_when_it_is_gone(clean: Live) -> None:
    clean.apply(machine("web"))
    instance = partial(clean.get, "vmi", "web", NAMESPACE)
    eventually(instance, runs, RUNNING, "the machine runs")
    eventually(partial(overlay_ip, clean, "web"), bool, DONE, "it has an address")
    done({"vm": "web", "address": ONE})
    assert len(clean.answers(ONE)) == 3
    power(clean, "Halted")
    eventually(instance, lambda found: found is None, RUNNING, "the machine is off")
    done({"vm": "web", "address": TWO})
    assert rows(clean) == [("dnat_and_snat", TWO, overlay_ip(clean, "web"), "")]
    power(clean, "Always")
    eventually(instance, runs, RUNNING, "the machine runs")
    assert len(clean.answers(TWO)) == 3
    assert done({"vm": "web", "address": TWO})["changed"] is False
    clean.kubectl("delete", "vm", "-n", NAMESPACE, "web", "--wait=true")
    eventually(partial(overlay_ip, clean, "web"), lambda ip: not ip, DONE, "its address is free")
    assert rows(clean), "Kube-OVN leaves it, or this test proves nothing"
    done({"vm": "web", "address": TWO}, state="absent")
    assert (rows(clean), objects(clean)) == ([], [])


@pytest.mark.full
def test_the_guides_example(clean: Live) -> None:
    """What docs/eips-vpc.md begins with, as it stands."""
    [example] = [one for one in blocks("docs/eips-vpc.md") if one.text.startswith("- ")]
    [(_name, options)] = calls(example)
    names = [item["vm"] for item in options["eips"]]
    try:
        clean.apply(*map(machine, names))
        for name in names:
            eventually(partial(clean.get, "vmi", name, NAMESPACE), runs, RUNNING, f"{name} runs")
            eventually(partial(overlay_ip, clean, name), bool, DONE, f"{name} has an address")
        done(*options["eips"])
        web, mail = (overlay_ip(clean, name) for name in names)
        assert rows(clean) == [("dnat_and_snat", ONE, web, "")]
        assert balancers(clean) == {f"{TWO}:25": f"{mail}:2525", f"{TWO}:993": f"{mail}:993"}
        assert len(clean.answers(ONE)) == 3
        done(*({**item, "ports": []} if "ports" in item else item for item in options["eips"]), state="absent")
    finally:
        clean.kubectl("delete", "vm", "-n", NAMESPACE, *names, "--ignore-not-found", "--wait=true")


def machine(name: str) -> dict[str, Any]:
    """The example VM in the VPC."""
    text = (TOP / "tests" / "lab" / "manifests" / "vm.yml").read_text()
    vm: dict[str, Any] = yaml.safe_load(text.replace("testing", name).replace("namespace: default", "namespace: shop"))
    vm["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"] = "5d307ca9-b3ef-428c-8861-06e72d69f211"
    return vm


def power(live: Live, strategy: str) -> None:
    """Switch the machine on (Always) or off (Halted)."""
    change = json.dumps({"spec": {"runStrategy": strategy}})
    live.kubectl("patch", "vm", "web", "-n", NAMESPACE, "--type=merge", "-p", change)


def test_what_was_made_by_hand_is_respected_until_it_is_adopted(clean: Live) -> None:
    by_hand(clean, "theirs", ONE, vpc=VPC, v4Ip=overlay_ip(clean, FAR))
    before = rows(clean)
    refused = eip({"pod": FAR, "address": ONE})
    assert refused["failed"]
    assert "OvnFip theirs" in refused["msg"]
    result = done({"pod": FAR, "address": ONE}, adopt=True)
    assert "delete_object" not in actions(result)
    assert rows(clean) == before
    done({"pod": FAR}, state="absent")
    assert (rows(clean), objects(clean)) == ([], [])


def test_a_vpc_without_a_way_outside_is_refused_with_the_cure(clean: Live) -> None:
    clean.kubectl("patch", "vpc", VPC, "--type=merge", "-p", '{"spec": {"enableExternal": false}}')
    eventually(lambda: f"{VPC}-external" in clean.nbctl("show"), lambda there: not there, DONE, "no router port")
    try:
        refused = eip({"pod": FAR, "address": ONE})
        assert refused["failed"]
        assert f"VPC {VPC} has no router port in Subnet external" in refused["msg"]
        assert "enableExternal" in refused["msg"]
    finally:
        clean.kubectl("patch", "vpc", VPC, "--type=merge", "-p", '{"spec": {"enableExternal": true}}')
        eventually(lambda: f"{VPC}-external" in clean.nbctl("show"), bool, DONE, "the VPC's router port")


# --- one right less -------------------------------------------------------------------------------------------------

KINDS = {"ovn-eips": "fip", "ovn-fips": "fip", "ovn-snat-rules": "snat", "ovn-dnat-rules": "dnat"}
VERBS = ("list", "create", "patch", "delete")


def item(kind: str) -> dict[str, Any]:
    """An EIP of this kind, on the pod that is far from the outside."""
    ports = {"ports": [{"external": 2222, "internal": 22}]} if kind == "dnat" else {}
    return {"pod": FAR, "address": ONE, "kind": kind, **ports}


def made_by_hand(live: Live, kind: str) -> None:
    """An OvnEip, and the rule of this kind that uses it."""
    ip = overlay_ip(live, FAR)
    if kind == "fip":
        by_hand(live, "own", ONE, vpc=VPC, v4Ip=ip)
        return
    live.apply(kube_ovn("OvnEip", "own", externalSubnet="external", v4Ip=ONE, type="nat"))
    is_ready(live, "ovn-eip", "own")
    if kind == "snat":
        live.apply(kube_ovn("OvnSnatRule", "own", ovnEip="own", vpc=VPC, v4IpCidr=ip))
    else:
        ports = {"externalPort": "2222", "internalPort": "22", "protocol": "tcp"}
        live.apply(kube_ovn("OvnDnatRule", "own", ovnEip="own", vpc=VPC, v4Ip=ip, **ports))
    is_ready(live, f"ovn-{kind}-rule", "own")


# One of each verb and each kind; what these do not show of the rest, tests/unit/test_eip_vpc.py does of the plan.
EXAMPLES = {("list", "ovn-fips"), ("create", "ovn-snat-rules"), ("patch", "ovn-eips"), ("delete", "ovn-dnat-rules")}


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        pytest.param(verb, one, marks=[] if (verb, one) in EXAMPLES else pytest.mark.full)
        for one in KINDS
        for verb in VERBS
        if (verb, one) != ("list", "ovn-eips")
    ],
)
def test_a_missing_right_is_named_and_nothing_written(clean: Live, verb: str, resource: str) -> None:
    asked: dict[str, Any] = {"state": "present"}
    if verb == "delete":
        done(item(KINDS[resource]))
        asked = {"state": "absent"}
    elif verb == "patch":
        made_by_hand(clean, KINDS[resource])
        asked = {"adopt": True}
    before, mark = (objects(clean), rows(clean)), clean.mark()
    with Rights(clean.kubectl).lacking(("ClusterRole", ""), verb, resource):
        result = eip(item(KINDS[resource]), **asked)
    assert result["failed"]
    assert not result["changed"]
    for word in (verb, resource, "docs/rbac.yml"):
        assert word in result["msg"]
    assert clean.written(mark) == []
    assert (objects(clean), rows(clean)) == before
