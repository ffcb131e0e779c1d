# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_report: a site as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.plugin_utils._report_page import page
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import site_view

DOCUMENTATION = r"""
name: site_report
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: A site as one HTML page
description:
  - Draws a page from the result of M(kubeovn.core.ovn_nat_info) - a picture of the site, the findings with their
    repair, the EIPs with holders and health, the gateways.
  - The page is one file that needs no network. Playbook C(kubeovn.core.report) writes it.
  - The same input gives the same page.
positional: made_at
options:
  _input:
    description: Result of M(kubeovn.core.ovn_nat_info), of a task without O(ignore:addresses).
    type: dict
    required: true
  made_at:
    description: When the site was looked at, as the page shows it.
    type: str
    default: ''
  failover:
    description:
      - Results of playbook C(kubeovn.core.failover_test), as it writes them to a file.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Look
  kubeovn.core.ovn_nat_info:
  register: nat

- name: Write the report
  ansible.builtin.copy:
    content: "{{ nat | kubeovn.core.site_report(now(utc=true) | string) }}"
    dest: report.html
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""


def site_report(nat: Mapping[str, Any], made_at: str = "", failover: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page of a result."""
    try:
        return page(site_view(nat), str(made_at), failover)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"kubeovn.core.site_report takes the result of kubeovn.core.ovn_nat_info: {error}"
        ) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_report": site_report}
