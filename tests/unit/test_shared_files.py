# SPDX-License-Identifier: GPL-3.0-or-later
"""One file for several clusters of a play would be the last one's."""

from __future__ import annotations

from ansible_collections.kubeovn.core.plugins.filter.shared_files import shared_files

WRITES = {"kubeovn_audit_metrics": "kubeovn_audit_metrics_host", "kubeovn_audit_snapshot": ""}


def test_one_cluster_shares_nothing() -> None:
    assert shared_files([{"kubeovn_audit_metrics": "/a.prom", "kubeovn_audit_snapshot": "/a.json"}], WRITES) == []
    assert shared_files([], WRITES) == []


def test_one_name_on_one_host_is_shared() -> None:
    clusters = [{"kubeovn_audit_metrics": "/a.prom", "kubeovn_audit_snapshot": f"/{name}.json"} for name in "ew"]
    assert shared_files(clusters, WRITES) == ["kubeovn_audit_metrics=localhost:/a.prom"]


def test_one_name_on_two_hosts_is_not() -> None:
    clusters = [{"kubeovn_audit_metrics": "/a.prom", "kubeovn_audit_metrics_host": name} for name in "ew"]
    assert shared_files(clusters, WRITES) == []
    assert shared_files([{}, {"kubeovn_audit_snapshot": ""}], WRITES) == []
