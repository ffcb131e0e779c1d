# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of playbook adopt: which EIPs need a claim and nothing else, and what differs from the inventory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._adoption import adoptable, adoption


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"adoptable": adoptable, "adoption": adoption}
