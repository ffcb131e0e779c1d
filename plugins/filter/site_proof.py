# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_proof: the verdict of playbook proof from what its tasks saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.module_utils._proof import Expected, Seen, prove, verdict

DOCUMENTATION = r"""
name: site_proof
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: Verdict of playbook kubeovn.core.proof
description:
  - Draws one verdict per step of the proof from what the playbook's tasks saw.
  - A step is V(ok) only when it was seen to be right, V(failed) when it was seen to be wrong, V(unverified) when
    nothing could see it.
positional: expected
options:
  _input:
    description:
      - What was seen.
      - C(nat) is the result of M(kubeovn.core.ovn_nat_info), C(nodes) maps each node to the result of
        M(kubeovn.core.ovn_gateway_node_info).
      - C(pings) are the results of C(ping) on the outside host, a list with C(item) the address; C(hostnames) and
        C(guest_pings) are results over ssh, lists with C(item) the EIP.
      - C(before) and C(after) map each node to the result of C(ip -json -statistics link show dev NIC), C(probes)
        counts the packets in between.
      - C(pending) lists the EIPs of stopped VMs.
    type: dict
    required: true
  expected:
    description:
      - What the site should look like - C(nodes), C(nic), C(gateway), C(nic_ip), C(nic_mac), C(eips), C(ttl),
        C(hostnames).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Draw the verdict
  ansible.builtin.set_fact:
    kubeovn_proof: "{{ seen | kubeovn.core.site_proof(expected) }}"
"""

RETURN = r"""
_value:
  description: C(verdict) of the whole, and C(checks), a list of C(name), C(status), C(evidence).
  type: dict
"""


def _by_item(results: Any) -> dict[str, Any]:
    """Results of a loop by their item; those of skipped items tell nothing."""
    return {str(result["item"]): result for result in results or () if not result.get("skipped")}


def _sent(results: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Packets sent by each node's NIC; a node that did not answer is left out."""
    return {
        node: int(json.loads(result["stdout"])[0]["stats64"]["tx"]["packets"])
        for node, result in results.items()
        if result.get("rc") == 0
    }


def site_proof(seen: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Typed records from the playbook's variables, the verdict back as plain data."""
    try:
        want = Expected(
            nodes=tuple(expected["nodes"]),
            nic=expected["nic"],
            gateway=expected["gateway"],
            nic_ip=expected["nic_ip"],
            nic_mac=expected.get("nic_mac") or None,
            eips=tuple(expected["eips"]),
            ttl={key: int(value) for key, value in expected["ttl"].items()},
            hostnames=expected["hostnames"],
        )
        got = Seen(
            nat=seen["nat"],
            nodes=seen["nodes"],
            pings=_by_item(seen["pings"]),
            hostnames=_by_item(seen["hostnames"]),
            guest_pings=_by_item(seen["guest_pings"]),
            sent_before=_sent(seen["before"]),
            sent_after=_sent(seen["after"]),
            probes=int(seen["probes"]),
            pending=tuple(seen["pending"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"kubeovn.core.site_proof: an observation is missing or has the wrong form: {error!r}"
        ) from error
    checks = prove(want, got)
    return {"verdict": verdict(checks), "checks": [asdict(check) for check in checks]}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_proof": site_proof}
