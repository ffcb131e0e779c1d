# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter shared_files: which files several clusters of a play would write, each over the others'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: shared_files
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: Which files several clusters of a play would write
description:
  - Looks for files that are named alike for several clusters. The last one's would be left.
positional: writes
options:
  _input:
    description: The variables of the clusters' hosts.
    type: list
    elements: dict
    required: true
  writes:
    description:
      - The variables that name a file, each with the variable that names its host, or with nothing for the control
        node.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Which files have one name
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts | map('extract', hostvars) | list | kubeovn.core.shared_files({'adopt_report': ''}) }}"
"""

RETURN = r"""
_value:
  description: Each with its variable, its host and its name. Empty when there is none.
  type: list
  elements: str
"""


def shared_files(clusters: Iterable[Mapping[str, Any]], writes: Mapping[str, str]) -> list[str]:
    """Variable, host and name of each file that more than one of them would write."""
    files = Counter(
        f"{variable}={(at and cluster.get(at)) or 'localhost'}:{cluster[variable]}"
        for cluster in clusters
        for variable, at in writes.items()
        if cluster.get(variable)
    )
    return [file for file, count in files.items() if count > 1]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"shared_files": shared_files}
