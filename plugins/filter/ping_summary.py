# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters ping_summary and ping_targets: numbers from the output of ping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.module_utils._probe import parse_ping

DOCUMENTATION = r"""
name: ping_summary
author: kubeovn.core contributors (@kubeovn-core)
version_added: 0.1.0
short_description: Numbers from the output of ping
description:
  - Turns what iputils' C(ping) printed into numbers. With C(ping -D) the silence is taken from the time stamps.
positional: interval
options:
  _input:
    description: Standard output of C(ping).
    type: str
    required: true
  interval:
    description: Seconds between two packets, used for the silence when the output has no time stamps.
    type: float
    default: 1.0
"""

EXAMPLES = r"""
- name: How long the address was silent
  ansible.builtin.debug:
    msg: "{{ (probe.stdout | kubeovn.core.ping_summary(0.1)).silence }} s"
"""

RETURN = r"""
_value:
  description:
    - C(sent) and C(lost) (null when ping printed no summary), C(received) (duplicates not counted), C(ttls) (the
      different ones seen), C(silence) (seconds of the longest gap in which packets were lost, else 0),
      C(answers_at_the_end) (whether one of the last five packets was answered).
  type: dict
"""


def ping_summary(text: str, interval: float = 1.0) -> dict[str, Any]:
    """What the playbooks report of a run of ping."""
    if not isinstance(text, str):
        raise AnsibleFilterError(f"kubeovn.core.ping_summary takes ping's output as text, not {type(text).__name__}")
    ping = parse_ping(text)
    return {
        "sent": ping.sent,
        "received": ping.received,
        "lost": ping.lost,
        "ttls": list(ping.ttls),
        "silence": ping.silence(float(interval)),
        "answers_at_the_end": ping.answers_at_the_end,
    }


def ping_targets(results: Sequence[Mapping[str, Any]], interval: float = 1.0) -> list[dict[str, Any]]:
    """The same of each result of module ovn_probe, with its address."""
    return [{"address": result["item"], **ping_summary(result["stdout"], interval)} for result in results]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ping_summary": ping_summary, "ping_targets": ping_targets}
