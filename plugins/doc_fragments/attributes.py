# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attributes that each module of this collection states."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes by their meaning; modules add how far they support them."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would change without changing it.
  diff_mode:
    description: Says what changes, or would change in C(check_mode), when in diff mode.
  idempotent:
    description:
      - When run again with the same options, and nothing else changed in between, the second run changes nothing.
"""

    # For modules that only read.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: N/A
    details:
      - This action does not modify state.
  idempotent:
    support: full
    details:
      - This action does not modify state.
"""

    # For modules that return ansible_facts.
    FACTS = r"""
options: {}
attributes:
  facts:
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
    support: full
"""

    # For modules that speak to the API server.
    ACTIONGROUP_KUBEOVN = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/kubeovn.core.kubeovn) in C(module_defaults) to set options of all modules at once.
      - Defaults of this group reach M(kubernetes.core.k8s) and the rest of its group too.
    support: full
    membership:
      - kubeovn.core.kubeovn
"""
