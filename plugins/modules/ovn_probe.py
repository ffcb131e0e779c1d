#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks many addresses for an answer at once, by ping, by a TCP connection or by any other command."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_probe
short_description: Ask many addresses for an answer at once
version_added: 0.1.0
description:
  - Runs one command for each address, C(ping) by default, many of them at once, and returns what each said. With
    O(port) it makes a TCP connection to each instead.
  - Run it on a host outside of the cluster to see which EIPs answer there. A loop of tasks asks one after the other and
    takes minutes where this takes seconds.
  - An address that does not answer is no failure of the task. RV(silent) lists them.
notes:
  - Runs where the task runs. Needs Python 3.8 or newer without any library, and iputils' C(ping) unless O(argv) is
    another command or O(port) is given.
author:
  - kubeovn.core contributors (@kubeovn-core)
attributes:
  check_mode:
    description: Asks in check mode too, since it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  addresses:
    description: The addresses to ask.
    type: list
    elements: str
    required: true
  argv:
    description:
      - The command, word by word. C({address}) in a word stands for the address.
      - It must be one that changes nothing, since it is run in check mode too.
      - Without it and without O(port), it is C(ping -n -c 5 -i 0.2 -W 2 {address}).
    type: list
    elements: str
  port:
    description:
      - A TCP port to which a connection is made and closed again, instead of a command. Not together with O(argv).
    type: int
  also:
    description:
      - Further commands, each for one address, at the same time as the others. RV(also) has their answers.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address.
        type: str
        required: true
      argv:
        description: The command, as O(argv).
        type: list
        elements: str
        required: true
  parallel:
    description: How many are asked at once.
    type: int
    default: 32
  tries:
    description: How often an address is asked until it answers.
    type: int
    default: 1
  delay:
    description: Seconds between two tries.
    type: float
    default: 1
  timeout:
    description: Seconds after which a command or a connection is ended that does not end by itself.
    type: float
    default: 60
seealso:
  - module: kubeovn.core.ovn_nat_info
"""

EXAMPLES = r"""
- name: Which EIPs answer outside
  kubeovn.core.ovn_probe:
    addresses: [10.4.19.254, 10.4.19.101]
    tries: 5
  delegate_to: outside-host
  register: answers

- name: The same, while one of them is sent a stream of packets
  kubeovn.core.ovn_probe:
    addresses: [10.4.19.254, 10.4.19.101]
    also:
      - address: 10.4.19.101
        argv: [ping, -n, -c, "100", -i, "0.01", "{address}"]
  delegate_to: outside-host

- name: Which take connections by ssh
  kubeovn.core.ovn_probe:
    addresses: [10.4.19.101]
    port: 22
    timeout: 2
    tries: 10
  delegate_to: outside-host

- name: Who is behind them
  kubeovn.core.ovn_probe:
    addresses: [10.4.19.101]
    argv: [ssh, -o, BatchMode=yes, "ubuntu@{address}", hostname]
  delegate_to: outside-host
"""

RETURN = r"""
results:
  description: What came of the last try, in the order of O(addresses).
  returned: success
  type: list
  elements: dict
  contains:
    item:
      description: The address.
      type: str
      sample: 10.4.19.101
    rc:
      description:
        - The command's exit status. V(124) is one that O(timeout) ended, V(127) one that is not there.
        - With O(port), V(0), V(124), or the number of the system's error.
      type: int
      sample: 0
    stdout:
      description: Its output.
      type: str
    stderr:
      description: Its errors.
      type: str
    tries:
      description: How often it was run.
      type: int
also:
  description: What came of the commands of O(also), in their order, each as one of RV(results).
  returned: success
  type: list
  elements: dict
  sample: []
silent:
  description: The addresses of O(addresses) that did not answer.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description: What is wrong with the options, in words.
  returned: when an option is refused
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils._asking import (
    PLACE,
    Answer,
    ask_all,
    by_command,
    by_connection,
)

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Mapping

PING = ["ping", "-n", "-c", "5", "-i", "0.2", "-W", "2", PLACE]


def problems_of(params: dict[str, object]) -> list[str]:
    """What is wrong with the options."""
    found = [
        f"{name}: {params[name]} is not above zero"
        for name in ("parallel", "tries", "timeout")
        if not above(params[name])
    ]
    words, port, also = params["argv"], params["port"], params["also"]
    if port is not None and (not isinstance(port, int) or not 0 < port < 65536):
        found.append(f"port: {port} is not one of 1 to 65535")
    if isinstance(words, list) and not any(PLACE in word for word in words):
        found.append(f"argv: no word has {PLACE}, so every address would be asked alike")
    if isinstance(also, list):
        found += [f"also[{index}].argv: there is no command" for index, one in enumerate(also) if not one["argv"]]
    return found


def above(value: object) -> bool:
    """Whether it is a number above zero."""
    return isinstance(value, (int, float)) and value > 0


def told(answer: Answer) -> dict[str, object]:
    """An answer as it is returned."""
    return {
        "item": answer.address,
        "rc": answer.rc,
        "stdout": answer.stdout,
        "stderr": answer.stderr,
        "tries": answer.tries,
    }


def ask(params: Mapping[str, Any]) -> dict[str, Any]:
    """Ask all, and what came of it."""
    port, timeout = params["port"], params["timeout"]
    once = by_command(params["argv"] or PING, timeout) if port is None else by_connection(port, timeout)
    # Those beside come first: after many addresses they would begin when most of these have answered.
    asks = [(by_command(one["argv"], timeout), one["address"]) for one in params["also"]]
    beside = len(asks)
    asks += [(once, address) for address in dict.fromkeys(params["addresses"])]
    answers = ask_all(asks, params["parallel"], params["tries"], params["delay"])
    return {
        "results": [told(answer) for answer in answers[beside:]],
        "also": [told(answer) for answer in answers[:beside]],
        "silent": [answer.address for answer in answers[beside:] if answer.rc != 0],
    }


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "argv": {"type": "list", "elements": "str"},
            "port": {"type": "int"},
            "also": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "address": {"type": "str", "required": True},
                    "argv": {"type": "list", "elements": "str", "required": True},
                },
            },
            "parallel": {"type": "int", "default": 32},
            "tries": {"type": "int", "default": 1},
            "delay": {"type": "float", "default": 1},
            "timeout": {"type": "float", "default": 60},
        },
        mutually_exclusive=[("argv", "port")],
        supports_check_mode=True,
    )
    params = module.params
    problems = problems_of(params)
    if problems:
        module.fail_json(msg="; ".join(problems), problems=problems)
    module.exit_json(changed=False, **ask(params))


if __name__ == "__main__":
    main()
