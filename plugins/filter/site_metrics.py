# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter site_metrics: a site in numbers, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_metrics import metrics
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import site_view

DOCUMENTATION = r"""
name: site_metrics
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: A site in numbers, as Prometheus reads them
description:
  - Turns the result of M(kubeovn.core.ovn_nat_info) into Prometheus' text format, as the textfile collector of
    node_exporter takes it. Playbook C(kubeovn.core.audit) writes it to a file.
  - A result that has failed gives C(kubeovn_audit_success 0) and the time, and nothing else.
positional: at, name
options:
  _input:
    description: Result of M(kubeovn.core.ovn_nat_info), of a task without O(ignore:addresses).
    type: dict
    required: true
  at:
    description: When the site was looked at, in seconds since 1970.
    type: float
    required: true
  name:
    description:
      - Value of label C(cluster).
      - By default the URL of the API server; when that is not known, V(unknown).
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Numbers for Prometheus
  ansible.builtin.debug:
    msg: "{{ nat | kubeovn.core.site_metrics(now().timestamp(), 'berlin') }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""


def site_metrics(nat: Mapping[str, Any], at: float, name: str = "") -> str:
    """The text of a result."""
    try:
        view = None if nat.get("failed") or nat.get("unreachable") else site_view(nat)
        return metrics(view, str(name or nat.get("cluster") or "unknown"), float(at))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"kubeovn.core.site_metrics takes the result of kubeovn.core.ovn_nat_info: {error}"
        ) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_metrics": site_metrics}
