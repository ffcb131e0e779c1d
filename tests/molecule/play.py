#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook of the installed collection, and sees by audit log and NB whether anything is written.

    play.py NAME [VARIABLES]                     it succeeds
    play.py --idle NAME [VARIABLES]              it succeeds, changes nothing and writes nothing: the second run
    play.py --check NAME [VARIABLES]             the same in check mode, which may announce changes
    play.py --refused TEXT NAME [VARIABLES]      it fails, says so, and writes nothing
    play.py --stand [VARIABLES]                  the example site, by playbook site unless it stands already

VARIABLES is a JSON object. NAME is the name without kubeovn.core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo.witness import differences, northbound
from support.commands import VENV, CommandFailed, run
from support.lab import Lab
from support.live import Live

RECAP = re.compile(r"changed=(\d+) ")
GATEWAYS = ("jah-k3s-h100-001", "jah-k3s-h100-002", "jah-k3s-h100-003")
ROUTER = "10.4.19.254"
KUBE_OVN_S_OWN = ("Port_Group ", "Address_Set ")  # it goes on writing these for a while after a pod has come


def playbook(name: str, variables: dict[str, Any], *options: str) -> str:
    """What the playbook says."""
    argv = [VENV / "bin" / "ansible-playbook", f"--inventory={os.environ['LAB_INVENTORY']}", f"kubeovn.core.{name}"]
    argv += [f"--extra-vars={json.dumps(variables)}", *options]
    return run(argv, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, tail=200, timeout=900)


class Watch:
    """What the cluster and NB were when it began."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.mark = live.mark()
        self.rows = northbound(live.lab)

    def nothing_was_written(self) -> None:
        """By the API server's audit log and by every row of NB."""
        written = [f"{event['verb']} {event['requestURI']}" for event in self.live.written(self.mark)]
        assert not written, f"written: {written}"
        found = differences(self.rows, northbound(self.live.lab))
        changes = [row for row in found if not row.startswith(KUBE_OVN_S_OWN)]
        assert not changes, f"NB: {changes}"


def stands(live: Live, addresses: list[str]) -> bool:
    """Whether the example site is there with exactly these EIPs, its first gateway active, and answers."""
    columns = ("--format=csv", "--data=bare", "--no-headings", "--columns=name,hostname")
    hosts = dict(line.split(",") for line in live.lab.run("sbctl", *columns, "list", "chassis").split())
    port = live.nbctl("--bare", "--columns=name", "find", "logical_router_port", "name=ovn-cluster-external").strip()
    if not port:
        return False
    rows = live.nbctl("lrp-get-gateway-chassis", port).split()[::2]
    order = tuple(hosts.get(row.removeprefix(f"{port}-"), "") for row in rows)
    rules = [external for _kind, external, _logical in live.rules()]
    answered = [address for address in (ROUTER, *addresses) if live.ping(address, 2)]
    return order == GATEWAYS and rules == sorted(addresses) and answered == [ROUTER, *addresses]


def stand(live: Live, variables: dict[str, Any]) -> None:
    """Bring the site up unless it stands."""
    eips = variables.get("kubeovn_eips", [{"address": os.environ["LAB_EIP"]}])
    if stands(live, [eip["address"] for eip in eips]):
        print("the site stands")
    else:
        print(playbook("site", variables))


def main() -> int:
    """Do what the words say; the error tells what was seen instead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group()
    for flag in ("--idle", "--check", "--stand"):
        way.add_argument(flag, action="store_true")
    way.add_argument("--refused", metavar="TEXT")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    live = Live(Lab(os.environ["LAB_NAME"], borrowed=True))
    name = "" if given.stand else given.words[0]
    variables: dict[str, Any] = json.loads(next(iter(given.words[0 if given.stand else 1 :]), "{}"))
    try:
        _act(given, live, name, variables)
    except (AssertionError, CommandFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _act(given: argparse.Namespace, live: Live, name: str, variables: dict[str, Any]) -> None:
    if given.stand:
        stand(live, variables)
        return
    if not (given.idle or given.check or given.refused):
        print(playbook(name, variables))
        return
    watch = Watch(live)
    if given.refused:
        _refused(given.refused, name, variables)
    else:
        said = playbook(name, variables, *(["--check", "--diff"] if given.check else []))
        print(said)
        changed = [int(count) for count in RECAP.findall(said)]
        assert changed, "no recap"
        assert given.check or not any(changed), f"changed: {changed}"
    watch.nothing_was_written()


def _refused(text: str, name: str, variables: dict[str, Any]) -> None:
    try:
        said = playbook(name, variables)
    except CommandFailed as refusal:
        words = re.sub(r"\s+", " ", str(refusal))
        assert text in words, f"it failed, but for another reason than {text!r}: {words[-3000:]}"
        return
    raise AssertionError(f"it was not refused: {said[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
