# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovn_nat_info tells of the lab, by what the module calls, in a fraction of the time that a task takes."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._cluster import open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import named, observe
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn

from support.eip_lab import CLAIMS
from support.live import eventually

Evidence = dict[str, Any]


def look(evidence: Evidence | None = None) -> dict[str, Any]:
    """All that is told; the modules themselves are run in test_nat_info.py."""
    cluster = open_cluster({"kubeconfig": os.environ["K8S_AUTH_KUBECONFIG"]})
    endpoints = {"nb_endpoint": os.environ["KUBEOVN_NB_ENDPOINT"], "sb_endpoint": os.environ["KUBEOVN_SB_ENDPOINT"]}
    northbound = open_ovn(endpoints, cluster)
    try:
        return report(named(observe(cluster, northbound, CLAIMS, evidence=evidence), northbound))
    finally:
        northbound.close()


def told(evidence: Evidence | None = None) -> list[dict[str, Any]]:
    """The findings."""
    found: list[dict[str, Any]] = look(evidence)["findings"]
    return found


def codes(evidence: Evidence | None = None) -> set[str]:
    """The findings' codes."""
    return {one["code"] for one in told(evidence)}


def healthy(evidence: Evidence | None = None) -> None:
    """Wait until there are none."""
    eventually(partial(told, evidence), lambda found: not found, 60, "a healthy lab has no findings")
