# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_audit: what is wrong with a site, what has changed, and whether that is a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_audit import audit

DOCUMENTATION = r"""
name: site_audit
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: What is wrong with a site, what has changed, and whether that is a failure
description:
  - Judges a result of M(kubeovn.core.ovn_nat_info), and compares it with an earlier one, of before an upgrade of
    Kube-OVN for example. Playbook C(kubeovn.core.audit) is made of it.
positional: fail_on, before
options:
  _input:
    description: Result of M(kubeovn.core.ovn_nat_info), of a task without O(ignore:addresses).
    type: dict
    required: true
  fail_on:
    description:
      - Which findings are a failure.
      - V(warning) means errors too, and whatever could not be judged.
    type: str
    choices: [error, warning, never]
    default: error
  before:
    description: An earlier result of the same cluster.
    type: dict
  fail_on_change:
    description: Whether a difference from O(before) is a failure.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: What the upgrade has changed
  ansible.builtin.debug:
    msg: "{{ (after | kubeovn.core.site_audit('error', before)).changes }}"
"""

RETURN = r"""
_value:
  description:
    - C(cluster), the number of C(errors) and C(warnings), C(eips) by their health, C(findings) and C(unjudged) as they
      were, C(failures) in words (none - it is no failure), C(lines) with all of it in words.
    - C(versions), those of Kube-OVN C(before) and C(now) in words, empty when they are not known.
    - C(changes), the differences from O(before), each with C(of) (V(router_port), V(gateway), V(eip), V(policy),
      V(claim) or V(finding)), C(name), C(before) and C(after) in words. Empty words - it was not there, or is gone.
  type: dict
"""


def site_audit(
    nat: Mapping[str, Any],
    fail_on: str = "error",
    before: Mapping[str, Any] | None = None,
    fail_on_change: bool = False,
) -> dict[str, Any]:
    """The audit of a result."""
    try:
        return audit(nat, fail_on, before, fail_on_change=fail_on_change)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"kubeovn.core.site_audit: {error}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_audit": site_audit}
