# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_changes: what differs between two looks at a site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_changes import changes
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import site_view

DOCUMENTATION = r"""
name: site_changes
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: What differs between two looks at a site
description:
  - Compares two results of M(kubeovn.core.ovn_nat_info), of before and after an upgrade of Kube-OVN for example.
    Playbook C(kubeovn.core.audit) keeps the first in a file.
positional: after
options:
  _input:
    description: The earlier result.
    type: dict
    required: true
  after:
    description: The later result.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: What the upgrade has changed
  ansible.builtin.debug:
    msg: "{{ before | kubeovn.core.site_changes(after) }}"
"""

RETURN = r"""
_value:
  description:
    - The differences, each with C(of) (V(router_port), V(gateway), V(eip), V(policy), V(claim) or V(finding)), C(name),
      C(before) and C(after) in words. Empty words - it was not there, or is gone.
  type: list
  elements: dict
"""


def site_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, str]]:
    """Two results compared."""
    try:
        return changes((site_view(before), before), (site_view(after), after))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"kubeovn.core.site_changes takes two results of kubeovn.core.ovn_nat_info: {error}"
        ) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_changes": site_changes}
