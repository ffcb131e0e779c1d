# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line: its verbs and their words; the work is done elsewhere."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import central, inventory, lifecycle, machines, power, processes, site, ssh, status
from .labs import load
from .processes import LabError
from .site import BOOTS, NODES, Boot, Lab

DEFAULT_NAME = "site"
COMMAND_VERBS = {"kubectl": 0, "nbctl": 0, "sbctl": 0, "node": 1, "outside": 0, "gateway": 0, "guest": 1, "exec": 0}


def parser() -> argparse.ArgumentParser:
    """All verbs. Those with a command to run take everything after `--`."""
    top = argparse.ArgumentParser(prog="lab", description="A real Kube-OVN site on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    default = os.environ.get("LAB_NAME", DEFAULT_NAME)
    common.add_argument("--name", default=default, help="which lab (default: $LAB_NAME, else site)")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, *positional: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, parents=[common])
        for word in positional:
            made.add_argument(word)
        return made

    start = verb("up", "bring the lab up, or what is missing of it; builds what it needs the first time")
    start.add_argument("--boot", help="nspawn (a new lab's default), uml, or NODE=uml[,NODE=uml...]")
    start.add_argument("--no-worker", action="store_true", help="three gateways alone, without the worker")
    start.add_argument("--fresh", action="store_true", help="take away first what there is of a lab of that name")
    start.add_argument("--external-switch", metavar="NAME", help="Kube-OVN's --external-gateway-switch (external)")
    verb("down", "take the lab away; only its logs stay")
    verb("clean", "remove the caches: builds, logs")
    verb("status", "what runs, where its logs are")
    verb("env", 'shell exports: eval "$(lab env)"')
    verb("kubectl", "kubectl as cluster admin")
    verb("nbctl", "ovn-nbctl")
    verb("sbctl", "ovn-sbctl")
    verb("node", "run a command on a machine", "node")
    verb("outside", "run a command on the outside host")
    verb("gateway", "run a command on the physical gateway")
    verb("guest", "run a command in a VM or pod, as user ubuntu", "guest")
    verb("exec", "run a command in the admin network namespace")
    switch = verb("power", "switch a machine off, hard, or on")
    switch.add_argument("state", choices=["on", "off"])
    switch.add_argument("node")
    show = verb("logs", "a part's log (status names the parts)", "part")
    show.add_argument("-f", "--follow", action="store_true")
    return top


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lab's own words, and the command that follows them: all words after the verb's own, with or without `--`."""
    if not words or words[0] not in COMMAND_VERBS:
        return list(words), []
    rest = list(words[1:])
    own = [words[0]]
    places = COMMAND_VERBS[words[0]]
    while rest:
        if rest[0] in ("-h", "--help"):
            return [*own, rest[0]], []
        if rest[0] == "--name":
            own, rest = own + rest[:2], rest[2:]
        elif places and not rest[0].startswith("-"):
            own, rest, places = own + rest[:1], rest[1:], places - 1
        else:
            break
    return own, rest[1:] if rest[:1] == ["--"] else rest


def boots(text: str) -> tuple[tuple[str, Boot], ...]:
    """Which machines are not nspawn: `uml` for all, or NODE=uml,..."""
    if text in BOOTS:
        return tuple((node.name, "uml") for node in NODES) if text == "uml" else ()
    names = {word: node.name for node in NODES for word in (node.name, node.short)}
    wanted: list[tuple[str, Boot]] = []
    for word in text.split(","):
        name, _equals, boot = word.partition("=")
        if name not in names or boot not in BOOTS:
            raise LabError(
                f"--boot {text}: `nspawn`, `uml`, or NODE=uml with a node of {', '.join(n.name for n in NODES)}"
            )
        if boot == "uml":
            wanted.append((names[name], "uml"))
    return tuple(sorted(wanted))


def main(words: Sequence[str]) -> int:
    """Do what the words say. A verb with a command becomes that command and so never returns."""
    own, command = split(words)
    given = parser().parse_args(own, argparse.Namespace(command=command))
    try:
        _act(given)
    except (LabError, KeyError, ValueError) as error:
        print(f"lab: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0


def _act(given: argparse.Namespace) -> None:
    lab = Lab(given.name)
    if given.verb == "up":
        if given.fresh:
            lifecycle.down(load(given.name) or lab)
        existing = load(given.name) or lab  # what is not asked for stays as it is
        asked_boots = boots(given.boot) if given.boot else existing.boots
        worker, switch = existing.worker and not given.no_worker, given.external_switch or existing.switch
        lifecycle.up(Lab(given.name, asked_boots, worker, switch))
    elif given.verb == "down":
        lifecycle.down(load(given.name) or lab)
    elif given.verb == "clean":
        lifecycle.clean()
    elif given.verb == "status":
        status.show(load(given.name) or lab)
    else:
        _in_lab(_existing(given.name), given)


def _existing(name: str) -> Lab:
    found = load(name)
    if found is None:
        raise LabError(f"there is no lab {name}; `lab up --name {name}` makes it")
    return found


def _in_lab(lab: Lab, given: argparse.Namespace) -> None:
    if given.verb == "env":
        for name, value in inventory.environment(lab).items():
            print(f"export {name}={shlex.quote(value)}")
    elif given.verb == "power":
        power.switch(lab, lab.node(given.node), given.state)
    elif given.verb == "logs":
        _become(["tail", *(["-n", "100", "-F"] if given.follow else ["-n", "+1"]), status.log_of(lab, given.part)])
    else:
        _run(lab, given)


def _run(lab: Lab, given: argparse.Namespace) -> NoReturn:
    """The verbs that run the user's own command somewhere."""
    command = given.command
    admin = lab.netns("admin")
    if given.verb == "kubectl":
        _become([lab.bin / "kubectl", f"--kubeconfig={lab.door_kubeconfig('admin')}", *command])
    if given.verb in ("nbctl", "sbctl"):
        _become(central.control_argv(lab, f"ovn-{given.verb}", command))
    if given.verb == "node":
        _become(machines.machine(lab, lab.node(given.node)).ssh_argv(command))
    if given.verb == "outside":
        _become(ssh.argv(lab, site.OUTSIDE_MGMT_ADDRESS, command))
    if given.verb == "guest":
        _become(power.guest_argv(lab, given.guest, command))
    _become(processes.inside(lab.netns("physgw") if given.verb == "gateway" else admin, command or ["bash"]))


def _become(argv: Sequence[object]) -> NoReturn:
    words = [str(word) for word in argv]
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606
