# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a read-only module's options to what it tells: ovn_nat_info and ovn_nat_facts are this, under other names.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import gc
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster
from ansible_collections.kubeovn.core.plugins.module_utils._model import Problem
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS, refuse
from ansible_collections.kubeovn.core.plugins.module_utils._nat import report
from ansible_collections.kubeovn.core.plugins.module_utils._nat_evidence import evidence_problems
from ansible_collections.kubeovn.core.plugins.module_utils._nat_filter import ask, filters_of, query_problems
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import address_of, named, observe
from ansible_collections.kubeovn.core.plugins.module_utils._nat_path import path, port_name
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn

# See doc fragment `nat`.
NAT_ARGUMENTS: dict[str, Any] = ARGUMENTS | {
    "addresses": {"type": "list", "elements": "str", "default": []},
    "holders": {"type": "list", "elements": "str", "default": []},
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "findings": {"type": "list", "elements": "str", "default": []},
    "query": {"type": "str"},
    "trace": {"type": "dict", "options": {"eip": {"type": "str", "required": True}}},
    "node_evidence": {"type": "dict"},
    "claims_namespace": {"type": "str", "default": "kubeovn-core"},
    "configmap_namespace": {"type": "str", "default": "kube-system"},
}


def tell(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    """Look once, and tell what is asked for."""
    # The process ends with this, and next to nothing is garbage: of ten thousand pods, looking for it again and again
    # took a third of the time.
    gc.disable()
    params = module.params
    filters, problems = filters_of(params)
    trace = (params["trace"] or {}).get("eip")
    problems += [*query_problems(params["query"]), *_trace_problems(trace)]
    refuse([*problems, *evidence_problems(params["node_evidence"] or {})])
    northbound = open_ovn(params, cluster)
    spaces = (params["claims_namespace"], params["configmap_namespace"])
    seen = named(observe(cluster, northbound, *spaces, params["node_evidence"]), northbound)
    told = {"cluster": cluster.host, **report(seen, filters)}
    if trace:
        name = port_name(seen, trace)
        told["path"] = path(seen, trace, northbound.holder_port(name) if name else None)
    northbound.close()
    if params["query"]:
        told["queried"], problems = ask(params["query"], told)
        refuse(problems)
    return told


def _trace_problems(eip: str | None) -> list[Problem]:
    if eip is None or address_of(eip) is not None:
        return []
    return [Problem("trace.eip", f"{eip!r} is not an IP address", "an EIP, as 10.4.19.101")]
