# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_proof: the verdict of playbook proof from what its tasks saw."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.module_utils._probe import parse_ping
from ansible_collections.kubeovn.core.plugins.module_utils._proof import Expected, Seen, prove, proven_eips, verdict

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
      - C(after) maps each node to the result of M(ansible.builtin.slurp) for its NIC's C(tx_packets) later, C(traffic)
        is the result of C(ping) on the outside host in between.
      - C(pings) are the results of C(ping) on the outside host, a list with C(item) the address. C(guests) are those of
        C(hostname) and then C(ping) over ssh, a list with C(item) the EIP.
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


SSH_FAILED = 255


def _by_item(results: Any) -> dict[str, Any]:
    """Results of a loop by their item; those of skipped items tell nothing."""
    return {str(result["item"]): result for result in results or () if not result.get("skipped")}


def _sent_before(looks: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Packets sent by each node's NIC; a node that did not answer is left out."""
    counters = {node: (look.get("nic") or {}).get("sent") for node, look in looks.items()}
    return {node: int(sent) for node, sent in counters.items() if sent is not None}


def _sent_after(files: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The same from the kernel's counter itself: to read that file is cheaper than another look at the node."""
    return {node: int(b64decode(file["content"])) for node, file in files.items() if file.get("content")}


def _of_hostname(result: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a guest's answer that is `hostname`'s; ssh itself ends with 255."""
    first = str(result.get("stdout") or "").partition("\n")[0]
    return {**result, "stdout": first, "rc": 0 if first and result.get("rc") != SSH_FAILED else 1}


def _of_ping(result: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a guest's answer that is ping's."""
    return {**result, "stdout": str(result.get("stdout") or "").partition("\n")[2]}


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
        guests = _by_item(seen["guests"])
        got = Seen(
            nat=seen["nat"],
            nodes=seen["nodes"],
            pings=_by_item(seen["pings"]),
            hostnames={item: _of_hostname(result) for item, result in guests.items()},
            guest_pings={item: _of_ping(result) for item, result in guests.items()},
            sent_before=_sent_before(seen["nodes"]),
            sent_after=_sent_after(seen["after"]),
            probes=parse_ping(str(seen["traffic"].get("stdout") or "")).received,
            pending=tuple(seen["pending"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"kubeovn.core.site_proof: an observation is missing or has the wrong form: {error!r}"
        ) from error
    checks = prove(want, got)
    return {
        "cluster": got.nat.get("cluster"),
        "verdict": verdict(checks),
        "checks": [asdict(check) for check in checks],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"proven_eips": proven_eips, "site_proof": site_proof}
