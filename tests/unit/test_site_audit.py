# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: what is a failure, what is told, what differs from before, and the numbers for Prometheus."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.filter.site_audit import site_audit
from ansible_collections.kubeovn.core.plugins.filter.site_metrics import site_metrics
from ansible_collections.kubeovn.core.plugins.module_utils._findings import CODES
from support.examples import blocks
from support.prometheus import parse
from support.report_cases import GATEWAYS, finding
from support.report_cases import nat as unseen

ERROR = finding("stale_row", "error", "an error", address="10.4.19.101")
WARNING = finding("gateway_alone", "warning", "a warning", node=GATEWAYS[0])


def nat(*eips: int, **changes: Any) -> dict[str, Any]:
    """A site whose gateways have shown their NICs and tunnels."""
    told = unseen(*eips, **changes)
    for row in told["gateways"]:
        row |= {"link": "up", "bfd": "up"}
    return told


@pytest.mark.parametrize(
    ("fail_on", "findings", "unjudged", "failures"),
    [
        ("error", [], [], []),
        ("error", [WARNING], ["vpcs"], []),
        ("error", [ERROR, WARNING], [], ["1 error stale_row"]),
        ("error", [ERROR, ERROR], [], ["2 errors stale_row"]),
        ("warning", [ERROR, WARNING], [], ["1 error stale_row", "1 warning gateway_alone"]),
        ("warning", [], ["vpcs"], ["not judged: vpcs"]),
        ("never", [ERROR, WARNING], ["vpcs"], []),
    ],
)
def test_what_is_a_failure(fail_on: str, findings: list[Any], unjudged: list[str], failures: list[str]) -> None:
    result = site_audit(nat(3, findings=findings, unjudged=unjudged), fail_on)
    assert result["failures"] == failures
    assert len(result["lines"]) == len(findings) + len(unjudged)
    assert (result["errors"], result["warnings"]) == (findings.count(ERROR), findings.count(WARNING))


def test_gateways_that_showed_nothing_of_themselves_are_named_and_no_failure() -> None:
    site = nat(1)
    site["gateways"][0] |= {"ready": False, "link": "unverified", "bfd": "unverified"}  # that it is dead is told
    site["gateways"][1] |= {"link": "unverified"}
    result = site_audit(site, "warning")
    words = f"not looked at: NIC and tunnels of {GATEWAYS[1]}, which only these nodes themselves show"
    assert (result["lines"], result["failures"]) == ([words], [])
    assert f"of {', '.join(GATEWAYS)}, which" in site_audit(unseen(1))["lines"][0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="must be one of error, warning, never"):
        site_audit(nat(1), "info")
    with pytest.raises(AnsibleFilterError, match="the earlier look was at https://other"):
        site_audit(nat(1), before=nat(1, cluster="https://other"))


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The differences."""
    changes = site_audit(after, before=before)["changes"]
    return [(one["of"], one["name"], one["before"], one["after"]) for one in changes]


def test_another_version_of_kube_ovn_is_told_and_is_no_failure() -> None:
    before, after = nat(1, versions=["v1.14.10"]), nat(1, versions=["v1.14.10", "v1.15.0"])
    result = site_audit(after, before=before, fail_on_change=True)
    assert result["versions"] == {"before": "v1.14.10", "now": "v1.14.10, v1.15.0"}
    assert result["lines"] == ["Kube-OVN was v1.14.10, is v1.14.10, v1.15.0"]
    assert (result["changes"], result["failures"]) == ([], [])
    assert site_audit(after, before=nat(1))["lines"] == ["Kube-OVN was unknown, is v1.14.10, v1.15.0"]
    assert site_audit(after)["lines"] == site_audit(after, before=after)["lines"] == []


def test_the_same_twice_is_no_difference() -> None:
    """Nor are priorities that were written anew, a chassis with another name, or another pod of the same machine."""
    before, after = nat(3, 1), nat(3, 1)
    for row in after["gateways"]:
        row |= {"priority": row["priority"] - 50, "chassis": "new"}
    after["nat_rules"][0]["pod"] = "virt-launcher-testing-new"
    assert told(before, after) == []
    assert site_audit(after, before=before, fail_on_change=True, fail_on="never")["failures"] == []


def test_each_difference_is_told() -> None:
    before = nat(3)
    after = copy.deepcopy(before)
    after["router_port"]["mac"] = "16:52:f3:13:6a:26"
    after["active_gateway"] = GATEWAYS[1]
    after["gateways"][0] |= {"active": False, "ready": False}
    after["gateways"][1]["active"] = True
    after["nat_rules"][0]["policy"] = None
    after["nat_rules"][1] |= {"logical_ip": "10.253.0.99", "node": "elsewhere"}
    del after["nat_rules"][2], after["claims"][2]
    after["findings"] = [ERROR]
    vm = "VirtualMachine default/vm-000"
    assert told(before, after) == [
        (
            "router_port",
            "ovn-cluster-external",
            "16:52:f3:13:6a:25 10.4.19.254/24",
            "16:52:f3:13:6a:26 10.4.19.254/24",
        ),
        ("gateway", GATEWAYS[0], "1. of 3, active", "1. of 3, stands by, not ready"),
        ("gateway", GATEWAYS[1], "2. of 3, stands by", "2. of 3, active"),
        (
            "eip",
            "10.4.19.102",
            f"floating, centralized, to 10.253.0.11 of {vm}1 on jah-k3s-l40s-002",
            f"floating, centralized, to 10.253.0.99 of {vm}1 on elsewhere",
        ),
        ("eip", "10.4.19.103", f"floating, centralized, to 10.253.0.12 of {vm}2 on jah-k3s-l40s-001", ""),
        ("policy", "10.4.19.101", "29250 ip4.src == 10.253.0.10 reroute 10.4.19.1", ""),
        ("policy", "10.4.19.103", "29250 ip4.src == 10.253.0.12 reroute 10.4.19.1", ""),
        ("claim", "10.4.19.103", f"fip of {vm}2", ""),
        ("finding", "stale_row 10.4.19.101", "", "error: an error"),
    ]
    lines = site_audit(after, "never", before)["lines"]
    assert f"changed gateway {GATEWAYS[0]}: 1. of 3, active -> 1. of 3, stands by, not ready" in lines
    assert f"changed claim 10.4.19.103: fip of {vm}2 -> gone" in lines
    assert "changed finding stale_row 10.4.19.101: not there -> error: an error" in lines
    assert told(after, before)[-1] == ("finding", "stale_row 10.4.19.101", "error: an error", "")
    failures = site_audit(after, "never", before, fail_on_change=True)["failures"]
    assert failures == ["9 differences from before"]


# --- metrics


def test_the_numbers_are_prometheus_text() -> None:
    samples = parse(site_metrics(nat(100, 9), 1795843800.25, "berlin"))
    named = {
        (name, *sorted(value for key, value in labels if key != "cluster")): number
        for (name, labels), number in samples.items()
    }
    assert {dict(labels)["cluster"] for _name, labels in samples} == {"berlin"}
    assert named["kubeovn_audit_success",] == 1
    assert named["kubeovn_audit_timestamp_seconds",] == 1795843800.25
    assert named["kubeovn_findings", "error", "missing_reroute"] == 6
    assert named["kubeovn_findings", "unexplained_row", "warning"] == 3
    assert named["kubeovn_eips", "error"] == 6
    assert named["kubeovn_eips", "ok"] == 91
    assert named["kubeovn_gateway_active", GATEWAYS[0]] == 1
    assert named["kubeovn_gateway_active", GATEWAYS[1]] == 0
    codes = {dict(labels)["code"] for name, labels in samples if name == "kubeovn_findings"}
    assert codes == set(CODES), "each code has its series, found or not"


def test_the_guides_alerts_ask_for_what_there_is() -> None:
    """Each series and each label of the alerts in docs/audit.md is one that the metrics have."""
    [alerts] = [yaml.safe_load(one.text) for one in blocks("docs/audit.md") if one.text.startswith("- ")]
    samples = parse(site_metrics(nat(10, 3), 1, "berlin"))
    known = {name: {key for other, labels in samples if other == name for key, _value in labels} for name, _ in samples}
    assert len(alerts) == 4
    for alert in alerts:
        series = re.findall(r"kubeovn_\w+", alert["expr"])
        labels = set(re.findall(r"(\w+)=", alert["expr"]))
        labels |= {one for found in re.findall(r"by \(([^)]*)\)", alert["expr"]) for one in found.split(", ")}
        assert series, alert
        assert all(labels <= known[name] for name in series), alert


def test_a_look_that_failed_says_so_and_nothing_else() -> None:
    samples = parse(site_metrics({"failed": True, "msg": "no", "cluster": "https://x"}, 5))
    assert {name: value for (name, _labels), value in samples.items()} == {
        "kubeovn_audit_success": 0,
        "kubeovn_audit_timestamp_seconds": 5,
    }


def test_labels_are_escaped() -> None:
    site = nat(1)
    site["gateways"][0]["node"] = 'a"b\\c\nd'
    names = {value for _name, labels in parse(site_metrics(site, 1)) for key, value in labels if key == "node"}
    assert 'a"b\\c\nd' in names


def test_a_result_that_is_none_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="has no gateways"):
        site_metrics({"cluster": "x"}, 1)
