#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Configures a gateway node's external NIC through the node's own network manager, with a dead-man switch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_gateway_node_config
short_description: Configure a gateway's external NIC, or bond, on the node
version_added: 0.1.0
description:
  - Has the node's network manager make a NIC, or a bond of NICs, ready to be handed over to Kube-OVN - up, with the
    right MTU, without address, DHCP and link-local address, now and after a reboot.
  - Writes files of its own for these links only, and has only these links reconfigured.
  - A bond's options are set while it works, all but mode and LACP rate. For these it is made anew, and where it is a
    port of a bridge of Open vSwitch it is taken out and put back with its settings, since Open vSwitch may go on
    listening to the old one. The same is done when the old configuration is restored.
  - Before its first write it keeps what it replaces and has systemd put that back after O(rollback) seconds. A second
    task with O(state=confirmed), over a new connection, cancels this. So a configuration that cuts the node off undoes
    itself. Role P(kubeovn.core.gateway_nic#role) does all of it, and looks first whether the NIC may be taken at all,
    which this module does not.
  - One task at a time changes a node's links; another one waits for it, for a minute at most.
notes:
  - Runs on the node itself, as root. Needs Python 3.8 or newer without any library, iproute2 4.18 or newer, systemd.
  - What it keeps is in C(/var/lib/kubeovn-gateway-nic) until the change is confirmed or restored.
author:
  - kubeovn.core contributors (@kubeovn-core)
attributes:
  check_mode:
    description: Can run in check mode and says what a run would change.
    support: full
  diff_mode:
    description: Returns what has changed, or would change.
    support: full
options:
  nic:
    description: The external NIC, or the bond's name.
    type: str
    required: true
  state:
    description:
      - V(present) writes the configuration, V(absent) takes it away.
      - Of a link that no manager had, V(present) keeps MTU, whether it is up, and the addresses that were set by hand,
        as comments in the NIC's own file. V(absent) gives them back, and so does a change that takes a member out of
        the bond. They are kept once, when the link first comes to be configured here.
      - V(confirmed) keeps what was changed and cancels the dead-man switch. It fails when the node has restored the old
        configuration by itself meanwhile.
      - V(restored) has the old configuration restored now, if a change is not confirmed.
    type: str
    choices: [present, absent, confirmed, restored]
    default: present
  members:
    description: The NICs to make the bond of. Empty means that O(nic) is a NIC, or a bond that exists already.
    type: list
    elements: str
    default: []
  macs:
    description:
      - Links that are found by their MAC address and get a name, so that it is the same on every node - O(nic), or with
        O(members) those. They are renamed at once, for which each is down for a moment, and by a C(.link) file of
        udev's (version 245 or newer) at each boot.
      - A link that is given none keeps the name that it has, also one that an earlier run has given it.
      - V(absent) gives them the names back that they had before.
    type: dict
    default: {}
  bond:
    description: What the bond is to be like.
    type: dict
    suboptions:
      mode:
        description: Its mode, as the kernel names it.
        type: str
        choices: [active-backup, 802.3ad, balance-rr, balance-xor, balance-tlb, balance-alb, broadcast]
      miimon:
        description: Milliseconds between two looks at its members' links.
        type: int
      primary:
        description: The member that carries the traffic whenever it can.
        type: str
      lacp_rate:
        description: How often the partner is asked to speak. Mode V(802.3ad).
        type: str
        choices: [slow, fast]
      hash_policy:
        description: What decides which member a packet takes. Modes V(802.3ad), V(balance-xor), V(balance-tlb).
        type: str
        choices: [layer2, layer2+3, layer3+4, encap2+3, encap3+4, vlan+srcmac]
  mtu:
    description: MTU of the NIC, and of a bond's members.
    type: int
    default: 1500
  bridge:
    description: The bridge that Kube-OVN makes the NIC a port of.
    type: str
    default: br-external
  manager:
    description:
      - Who is to manage the links. V(auto) stays with what an earlier run has chosen, else takes who manages one of the
        links already, else V(netplan) where C(/etc/netplan) has a file, else what runs.
      - One that runs and that nothing starts at the next boot is refused, since nothing of this would be left then.
    type: str
    choices: [auto, networkd, netplan, networkmanager, ifupdown]
    default: auto
  rollback:
    description:
      - Seconds after which the node restores what was there before, unless the change is confirmed. V(0) is never.
      - While another run's change may still be restored, V(present) and V(absent) are refused.
    type: int
    default: 120
  run_id:
    description:
      - A word of this run's own, the same in all its tasks. With it V(confirmed) and V(restored) are about this run's
        change alone, never another's. Without it they are about whichever there is.
    type: str
    default: ""
seealso:
  - module: kubeovn.core.ovn_gateway_node_info
"""

EXAMPLES = r"""
- name: A bond of two NICs
  kubeovn.core.ovn_gateway_node_config:
    nic: enp8s0
    members: [enp8s0f0, enp8s0f1]
    bond: {mode: active-backup, miimon: 100}
  register: change

- name: The same name for the NIC on a node that calls it otherwise
  kubeovn.core.ovn_gateway_node_config:
    nic: enp8s0
    macs: {enp8s0: "52:54:00:12:34:56"}

- name: Come back over a new connection
  ansible.builtin.meta: reset_connection

- name: Keep it
  kubeovn.core.ovn_gateway_node_config:
    nic: enp8s0
    state: confirmed
"""

RETURN = r"""
manager:
  description: Who manages the links.
  returned: when O(state) is V(present)
  type: str
  sample: networkd
steps:
  description: What was done, or would be, in words.
  returned: always
  type: list
  elements: str
  sample: ["write /etc/systemd/network/05-kubeovn-enp8s0.network", "have systemd-networkd go by its files for enp8s0"]
removed_links:
  description: Links that this removes, or would - the bond, where it is taken away for good.
  returned: always
  type: list
  elements: str
  sample: [enp8s0]
armed:
  description: Whether the change has still to be confirmed with O(state=confirmed).
  returned: always
  type: bool
restored:
  description: When the old configuration was restored, V(now) when this task did it. Empty when it was not.
  returned: when O(state) is V(confirmed) or V(restored)
  type: str
log:
  description: What was said by the commands that restored it.
  returned: when O(state) is V(confirmed) or V(restored)
  type: str
"""

import contextlib
import time
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubeovn.core.plugins.module_utils import (
    _node,
    _node_before,
    _node_bond,
    _node_change,
    _node_config,
    _node_deadman,
    _node_files,
    _node_lock,
    _node_names,
    _node_networkd,
    _node_ovsdb,
    _node_owner,
    _node_probe,
)


def wanted(params: dict[str, Any], links: dict[str, _node.Link], names: dict[str, str]) -> _node_config.Wanted:
    """What is asked for."""
    nic, members = params["nic"], tuple(params["members"])
    first = links.get(members[0]) if members else None
    return _node_config.Wanted(
        nic=nic,
        mtu=params["mtu"],
        bridge=params["bridge"],
        members=members,
        mac=(first.permanent_mac or first.mac) if first else "",
        bond=_node_bond.asked(params["bond"] or {}),
        is_bond=nic in links and links[nic].kind == "bond",
        names=names,
    )


def problems(params: dict[str, Any], links: dict[str, _node.Link]) -> list[str]:
    """What is wrong with the options."""
    nic, members = params["nic"], params["members"]
    found = [f"members[{i}]: {name} does not exist on this node" for i, name in enumerate(members) if name not in links]
    if members:
        found += [f"nic: {nic} {text}" for text in _node.bond_obstacles(nic, members, links)]
        found += [f"bond.{name}: {text}" for name, text in _node_bond.problems(params["bond"] or {}, members).items()]
    elif nic not in links:
        found.append(f"nic: {nic} does not exist on this node")
    if params["rollback"] < 0:
        found.append("rollback: a number of seconds, or 0 for never")
    return found


def names_of(module: AnsibleModule, links: dict[str, _node.Link]) -> tuple[dict[str, str], list[str]]:
    """The links that are to be renamed, and what is wrong with that."""
    params = module.params
    if not params["macs"]:
        return {}, []
    ovs, container = _node_probe.open_vswitch(""), _node_probe.in_container()
    names, faults = _node_names.find(params["macs"], params["nic"], params["members"], links, ovs, container)
    version = _node_probe.udev_version(module.run_command)
    if version is not None and version < _node_names.UDEV:
        faults.append(f"macs: this node's udev is version {version}, and {_node_names.UDEV} is needed")
    return names, faults


class Task:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params, self.nic = module, module.params, module.params["nic"]
        self.switch = _node_deadman.Switch(module.run_command, self.nic, run_id=self.params["run_id"])
        self.armed = False  # by this very task

    def look(self, links: dict[str, _node.Link], names: set[str], netplan: bool) -> _node_change.Seen:
        """The node as it is; with what netplan has made for these links, when that is ours to change."""
        own = _node_files.own(self.nic)
        found = (
            _node_files.generated_now(names) if netplan or _node_change.managers(own, self.nic) & {"netplan"} else {}
        )
        return _node_change.Seen(
            links=links,
            own=own,
            files={**own, **found},
            management=_node_owner.look(self.module.run_command),
            begun=bool(self.switch.begun) and not self.switch.mine,
            bridge=_node_probe.open_vswitch().bridge_of(self.nic),
        )

    def present(self) -> dict[str, Any]:
        """Write the configuration and have the manager go by it."""
        self.wait_for_others()
        links = _node_probe.links(self.module.run_command)
        names, faults = names_of(self.module, links)
        links = _node_names.renamed(links, names)
        faults += problems(self.params, links) if not faults else []
        if faults:
            raise _node_files.RefusedError("; ".join(faults))
        asked = wanted(self.params, links, names)
        own = sorted(_node_change.managers(_node_files.own(self.nic), self.nic))
        management = _node_owner.look(self.module.run_command).called(names)
        manager, faults = _node_owner.choose(self.params["manager"], self.nic, asked.links, own, management)
        faults += _node_networkd.problems(
            manager,
            self.nic,
            links,
            asked.links,
            bool(asked.members),
            management.networks,
            management.owners,
            own,
        )
        if faults:
            raise _node_files.RefusedError("; ".join(faults))
        seen = replace(self.look(links, set(asked.links), manager == "netplan"), management=management)
        files: dict[str, _node_config.File | None] = dict(self.remembered(manager, asked, seen))
        files.update(_node_names.kept(self.nic, asked.links, seen.own))
        files.update(_node_names.files(self.nic, self.params["macs"], names, seen.own))
        if "netplan" in (manager, *own):
            gone = [path for path in seen.own if path not in files]
            files.update(_node_files.generated(self.module.run_command, _written(files), gone, asked.links))
        lacks = _node.unprepared(self.nic, links, asked.mtu, asked.members, asked.bond)
        plan = _node_change.present(asked, manager, seen, files, lacks)
        memory = {"managers": sorted({manager, *own}), "bond": bool(asked.members), "links_of": list(asked.links)}
        return {"manager": manager, **self.carry_out(plan, seen, memory, names)}

    def remembered(self, manager: str, asked: _node_config.Wanted, seen: _node_change.Seen) -> _node_config.Files:
        """The manager's files, with what links were that nobody has managed: looked at once, when they come to us."""
        were, run = _node_before.kept(seen.own, self.nic), self.module.run_command
        fresh = _node_before.fresh(self.nic, asked.members, seen.links, seen.own, seen.management)
        if fresh:
            addresses = _node_probe.ip_rows(run, "-details", "address", "show")
            now = _node_before.look(addresses, _node_probe.ip_rows(run, "-details", "link", "show"), asked.names)
            were.update((name, now[name]) for name in fresh if name in now)
        stay = (*asked.links, *(() if asked.members else were))  # who gives no members leaves the bond as it is
        return _node_before.told(_node_config.files(manager, asked), self.nic, stay, were)

    def absent(self) -> dict[str, Any]:
        """Take the configuration away."""
        self.wait_for_others()
        begun = self.switch.begun
        links = _node_probe.links(self.module.run_command)
        if self.switch.mine and self.module.check_mode:  # whether it is done
            seen = self.look(links, {self.nic}, netplan=False)
            return self.carry_out(_node_change.left(self.nic, seen, begun), seen, {}, {})
        names = {self.nic, *_node.members_of(links, self.nic), *begun.get("links_of", ())}
        seen = self.look(links, names, "netplan" in begun.get("managers", ()))
        left: dict[str, _node_config.File | None] = {}
        if "netplan" in _node_change.managers(seen.own, self.nic) | set(begun.get("managers", ())):
            left = dict(_node_files.generated(self.module.run_command, {}, list(seen.own), names))
        plan = _node_change.absent(self.nic, seen, left, begun)
        memory = (
            {key: begun.get(key) for key in ("managers", "bond", "links_of")}
            if begun
            else {
                "managers": sorted(_node_change.managers(seen.own, self.nic)),
                "bond": self.nic in plan.unmade,
                "links_of": sorted(names),
            }
        )
        return self.carry_out(plan, seen, memory, {})

    def wait_for_others(self) -> None:
        """Nothing is planned from what another run has half made."""
        why = self.switch.in_the_way()
        if why:
            raise _node_files.RefusedError(why)

    def carry_out(
        self, plan: _node_change.Plan, seen: _node_change.Seen, memory: dict[str, Any], renamed: dict[str, str]
    ) -> dict[str, Any]:
        """Arm the switch, then do what the plan says; `renamed`: what links are called now -> are to be called."""
        diff = [_difference(path, seen.files.get(path), plan.write.get(path)) for path in plan.paths]
        result = {
            "changed": bool(plan.words),
            "steps": list(plan.words),
            "removed_links": list(plan.unmade),
            "diff": diff,
            "armed": False,
        }
        if not plan.words or self.module.check_mode:
            return result
        run = self.module.run_command
        now = _node_names.back(renamed)
        names = [now.get(name, name) for name in {*memory["links_of"], self.nic} if name in seen.links]
        rows = _node_probe.ip_rows(run, "-details", "address", "show")
        routes = _node_probe.ip_rows(run, "-4", "route", "show", "table", "all")
        routes += _node_probe.ip_rows(run, "-6", "route", "show", "table", "all")
        begun = {
            "before": list(plan.undo_before),
            "made": list(plan.made),
            "after": list(plan.undo_after),
            "links": _node_deadman.as_they_are(rows, routes, names),
            "reopen": [_node_probe.ovs_socket(), self.nic] if plan.reopen else [],
            **memory,
        }
        self.switch.arm(plan.paths, begun, self.params["rollback"])
        self.armed = True
        self.run_all(plan.before, forgive=True)
        for path, file in sorted(plan.write.items()):
            _node_files.write(path, file)
        for path in plan.remove:
            _node_files.remove(path)
        self.run_all(plan.after, forgive=self.params["state"] == "absent")
        self.run_all(plan.given, forgive=True)
        if plan.reopen:
            self.reopen()
        if self.switch.too_late():
            raise _node_probe.ProbeError(
                f"it took longer than the {self.params['rollback']} s after which the node has restored what it had"
            )
        return dict(result, armed=True)

    def reopen(self) -> None:
        """Have Open vSwitch listen to the bond that was made anew, once the manager has made it."""
        deadline = time.monotonic() + _node_ovsdb.WAIT
        while not self.made_anew():
            if time.monotonic() > deadline:
                raise _node_probe.ProbeError(f"{self.nic} was not made anew within {_node_ovsdb.WAIT:g} s")
            time.sleep(0.2)
        _node_ovsdb.reopen(_node_probe.ovs_socket() or "", self.nic)

    def made_anew(self) -> bool:
        """Whether the bond has the options that it can only be made with."""
        link = _node_probe.links(self.module.run_command).get(self.nic)
        differing = _node_bond.differences(link.bond, self.params["bond"] or {}) if link else {}
        return link is not None and not _node_bond.anew(differing)

    def run_all(self, commands: Any, forgive: bool) -> None:
        """Run commands in their order; ProbeError at the first that fails, unless what it is about may be gone."""
        for command in commands:
            code, out, err = self.module.run_command(command)
            if code != 0 and not forgive:
                raise _node_probe.ProbeError(f"{' '.join(command)}: {(err or out).strip() or f'exit status {code}'}")

    def settle(self) -> dict[str, Any]:
        """Keep the change, or have it undone."""
        keep, begun = self.params["state"] == "confirmed", bool(self.switch.begun or self.switch.restored)
        result: dict[str, Any] = {"changed": False, "steps": [], "removed_links": [], "armed": False}
        result.update(restored="", log="")
        if self.switch.others:
            if keep:
                self.module.fail_json(
                    msg=f"This run's change of {self.nic} was restored, and another run is changing it now. "
                    "Nothing was changed",
                    **result,
                )
            return result
        if self.module.check_mode or not begun:
            return result
        when = self.switch.cancel() if keep else self.switch.restore()
        result.update(restored=when, log=self.switch.log, changed=not keep)
        self.switch.forget()
        if keep and when:
            self.module.fail_json(
                msg=f"Nobody confirmed the change of {self.nic} in time, so the node has restored what it had before "
                f"({when}). Look at the log in this result, and at what the new configuration did to the connection",
                **result,
            )
        return result


def _written(files: dict[str, _node_config.File | None]) -> dict[str, _node_config.File]:
    return {path: file for path, file in files.items() if file is not None}


def _difference(path: str, before: _node_config.File | None, after: _node_config.File | None) -> dict[str, str]:
    """One file in a diff."""
    return {
        "before_header": path,
        "after_header": path,
        "before": before.text if before else "",
        "after": after.text if after else "",
    }


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "nic": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "confirmed", "restored"],
                "default": "present",
            },
            "members": {"type": "list", "elements": "str", "default": []},
            "macs": {"type": "dict", "default": {}},
            "bond": _node_bond.ARGUMENT,
            "mtu": {"type": "int", "default": 1500},
            "bridge": {"type": "str", "default": "br-external"},
            "manager": {"type": "str", "choices": ["auto", *_node_config.MANAGERS], "default": "auto"},
            "rollback": {"type": "int", "default": 120},
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    task = Task(module)
    act = {"present": task.present, "absent": task.absent}.get(module.params["state"], task.settle)
    try:
        with contextlib.nullcontext() if module.check_mode else _node_lock.held():
            result = act()
    except (_node_files.RefusedError, _node_lock.LockedError) as error:
        module.fail_json(msg=f"{error}. Nothing was changed.", armed=False)
    except (OSError, ValueError, _node_probe.ProbeError) as error:
        module.fail_json(msg=f"{task.nic} could not be configured: {error}", armed=task.armed)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
