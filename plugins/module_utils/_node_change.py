# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done for the external NIC's configuration: files and commands in their order, with what it says.

Private to this collection: no promise is made to other users. Pure, and for Python 3.8: it runs on the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.kubeovn.core.plugins.module_utils import (
    _node,
    _node_before,
    _node_bond,
    _node_config,
    _node_managers,
    _node_names,
)
from ansible_collections.kubeovn.core.plugins.module_utils._node_managers import Change
from ansible_collections.kubeovn.core.plugins.module_utils._node_owner import NAMES, Management

if TYPE_CHECKING:
    from ansible_collections.kubeovn.core.plugins.module_utils._node_config import File, Files, Wanted
    from ansible_collections.kubeovn.core.plugins.module_utils._node_managers import Command


@dataclass(frozen=True)
class Seen:
    """The node before the change."""

    links: Mapping[str, _node.Link]  # as they are to be called
    own: Files  # our files for this NIC
    files: Files  # these, and what netplan has made for our links
    management: Management
    begun: bool = False  # an earlier run was stopped on its way
    bridge: str | None = None  # the bridge of Open vSwitch that has the NIC


@dataclass(frozen=True)
class Plan:
    """What is to be done, in the order of the fields."""

    before: tuple[Command, ...] = ()
    write: Files = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    after: tuple[Command, ...] = ()
    given: tuple[Command, ...] = ()  # makes links that leave us what they were; each may fail
    undo_before: tuple[Command, ...] = ()  # how the manager is made to go by the old files again
    undo_after: tuple[Command, ...] = ()
    made: tuple[str, ...] = ()  # links that are there afterwards only
    unmade: tuple[str, ...] = ()  # links that are gone then
    reopen: bool = False  # Open vSwitch has the link that is made anew, and has to open the new one
    words: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """The files that change."""
        return sorted({*self.write, *self.remove})


def present(
    wanted: Wanted, manager: str, seen: Seen, files: Mapping[str, File | None], unprepared: Iterable[str]
) -> Plan:
    """Files as they are to be (None: none), and the manager made to go by them, when it does not do so yet."""
    unprepared = list(unprepared)
    write = {path: file for path, file in files.items() if file is not None and seen.files.get(path) != file}
    gone = [path for path in seen.files if files.get(path) is None]
    old = managers(seen.own, wanted.nic) - {manager}
    change = _change(wanted.nic, wanted.links, seen, write, gone)
    differing = _differing(wanted, seen)
    anew = _node_bond.anew(differing)
    written = bool(write or gone)
    pending = (
        seen.begun
        or not seen.management.goes_by_ours(manager, wanted.nic, wanted.nic)
        or any(seen.management.goes_by_another(manager, wanted.nic, link) for link in wanted.members)
    )
    before: list[Command] = _node_managers.before_removal(old, change)
    after: list[Command] = _node_managers.let_go(old, change) if gone and old else []
    after = [*_node_names.commands(wanted.names, _called_back(seen.links, wanted.names)), *after]
    words = [f"call {current} {name} from now on" for current, name in wanted.names.items()]
    words += [f"write {path}" for path in sorted(write)] + [f"remove {path}" for path in sorted(gone)]
    if anew and manager != "networkmanager":  # which makes it anew itself
        before.append(["ip", "link", "delete", "dev", wanted.nic])
        words.insert(0, f"remove bond {wanted.nic}, to have it made anew")
    if written or pending or wanted.names or not set(wanted.links) <= set(seen.links):
        after += _node_managers.take_over(manager, change, wanted.members)
        if wanted.names and manager in (
            "networkd",
            "netplan",
        ):  # which may have looked at a link while it had no file for it
            after.append(["networkctl", "reconfigure", *sorted(wanted.names.values())])
        words.append(f"have {NAMES[manager]} go by its files for {', '.join(wanted.links)}")
    elif unprepared:
        there = change if not anew else _change(wanted.nic, wanted.members, seen, write, gone)
        after += _node_managers.reconfigure(manager, there, wanted.members)
        words.append(f"reconfigure {', '.join(there.links)}, since {wanted.nic} {', '.join(unprepared)}")
    extra = [name for name in _node.members_of(seen.links, wanted.nic) if name not in wanted.members]
    if wanted.members and not anew:
        after += [["ip", "link", "set", "dev", name, "nomaster"] for name in extra]
        words += [f"take {name} out of bond {wanted.nic}" for name in extra]
        settings = _node_bond.settings(differing)
        if settings:
            after.append(["ip", "link", "set", "dev", wanted.nic, "type", "bond", *settings])
            words.append(f"set the bond's {' '.join(settings)}")
    leaving = set(_node_before.kept(seen.own, wanted.nic)) - set(wanted.links) if wanted.members else ()
    were = _node_before.given_back(wanted.nic, leaving, seen.links, seen.own, seen.management, gone)
    words += _node_before.steps(were, {})
    if anew and seen.bridge:
        words.append(f"have Open vSwitch open {wanted.nic} anew in {seen.bridge}")
    undo = _node_managers.let_go({manager, *old}, _change(wanted.nic, {*wanted.links, *extra}, seen, write, gone))
    if manager in managers(seen.own, wanted.nic):  # its old files are ours, too
        undo += _node_managers.take_over(manager, change, _node.members_of(seen.links, wanted.nic))
    names = _node_names.back(wanted.names)
    return Plan(
        before=tuple(before),
        write=write,
        remove=tuple(gone),
        after=tuple(after),
        given=tuple(_node_before.commands(were, {})),
        undo_before=tuple(_node_managers.before_removal([manager], change)),
        undo_after=(*_node_names.commands(names, seen.links), *_node_names.spoken(undo, names)),
        made=tuple(name for name in (wanted.nic,) if name not in seen.links or anew),
        reopen=anew and seen.bridge is not None,
        words=tuple(words),
    )


def _differing(wanted: Wanted, seen: Seen) -> dict[str, tuple[Any, Any]]:
    link = seen.links.get(wanted.nic)
    if not wanted.members or link is None or link.kind != "bond":
        return {}
    return _node_bond.differences(link.bond, wanted.bond)


def _called_back(links: Mapping[str, _node.Link], names: Mapping[str, str]) -> dict[str, _node.Link]:
    """The links as they are called now."""
    return _node_names.renamed(links, _node_names.back(names))


def managers(own: Iterable[str], nic: str) -> set[str]:
    """The managers that these own files are for."""
    found = (_node_config.is_own(path, nic) for path in own)
    return {manager for manager in found if manager in _node_config.MANAGERS}


def _change(nic: str, links: Iterable[str], seen: Seen, write: Iterable[str], gone: Iterable[str]) -> Change:
    there = tuple(sorted(name for name in set(links) if name in seen.links))
    return Change(
        nic=nic,
        links=there,
        written=tuple(sorted(write)),
        removed=tuple(sorted(gone)),
        stanzas=tuple(name for name in there if seen.management.other_stanzas(nic, name)),
        connections={
            name: uuid
            for name, uuid in seen.management.connections.items()
            if name in there and not _node_config.is_own(seen.management.owners[name]["networkmanager"], nic)
        },
    )


def absent(nic: str, seen: Seen, generated: Mapping[str, File | None], begun: Mapping[str, Any]) -> Plan:
    """Our files gone, the bond too if we have made it, and the managers made to go by what is left."""
    whose = managers(seen.own, nic) | set(begun.get("managers", ()))
    if not whose:
        return Plan()
    link = seen.links.get(nic)
    texts = {path: file.text for path, file in seen.own.items()}
    made = link is not None and link.kind == "bond" and (_node_config.makes_bond(texts) or bool(begun.get("bond")))
    links = {nic, *_node.members_of(seen.links, nic), *begun.get("links_of", ())}
    write = {path: file for path, file in generated.items() if file is not None and seen.files.get(path) != file}
    gone = [path for path in seen.files if generated.get(path) is None]
    change = _change(nic, links, seen, write, gone)
    left = _change(nic, links - ({nic} if made else set()), seen, write, gone)
    names = _former(seen, nic, made)
    after = [["ip", "link", "delete", "dev", nic]] if made else []
    after += _node_names.commands(names, seen.links)
    after += _node_names.spoken(_node_managers.let_go(whose, left), names)
    leaving = set(_node_before.kept(seen.own, nic)) - ({nic} if made else set())
    were = _node_before.given_back(nic, leaving, seen.links, seen.own, seen.management, gone)
    words = [f"write {path}" for path in sorted(write)] + [f"remove {path}" for path in sorted(gone)]
    words += [f"remove bond {nic}"] if made else []
    words += [f"call {name} {old} again" for name, old in names.items()]
    words.append(
        f"have {', '.join(NAMES[name] for name in sorted(whose))} go by what is left for {', '.join(sorted(links))}"
    )
    words += _node_before.steps(were, names)
    return Plan(
        before=tuple(_node_managers.before_removal(whose, change)),
        write=write,
        remove=tuple(gone),
        after=tuple(after),
        given=tuple(_node_before.commands(were, names)),
        undo_after=(
            *_node_names.commands(_node_names.back(names), _node_names.renamed(seen.links, names)),
            *(
                command
                for manager in sorted(whose)
                for command in _node_managers.take_over(manager, change, sorted(links - {nic}) if made else ())
            ),
        ),
        unmade=(nic,) if made else (),
        words=tuple(words),
    )


def left(nic: str, seen: Seen, begun: Mapping[str, Any]) -> Plan:
    """What `absent` has still to do after it has run: its files gone, a bond of ours that nobody else has made."""
    plan = absent(nic, seen, {}, {})
    link = seen.links.get(nic)
    stays = begun.get("bond") and link is not None and link.kind == "bond" and not seen.management.owners.get(nic)
    return plan if plan.words or not stays else replace(plan, words=(f"remove bond {nic}",), unmade=(nic,))


def _former(seen: Seen, nic: str, made: bool) -> dict[str, str]:
    """The links that get back the name that they had before ours, where nobody else has it now."""
    taken = {name for link in seen.links.values() for name in (link.name, *link.altnames)} - ({nic} if made else set())
    earlier = _node_names.was(seen.own, nic)
    leaving = {name for name, old in earlier.items() if name in seen.links and old != name}
    return {name: earlier[name] for name in sorted(leaving) if earlier[name] not in taken - leaving}
