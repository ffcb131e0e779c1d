# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for role external_gateway and the playbooks about gateways: what nodes showed, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._evidence import (
    drained_in,
    evidence_for,
    ready_nodes,
    refusals_in,
    unfit,
)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "gateway_drained": drained_in,
            "gateway_evidence": evidence_for,
            "gateway_refusals": refusals_in,
            "gateway_unfit": lambda result, node, ready: unfit(node, result, ready),
            "ready_nodes": ready_nodes,
        }
