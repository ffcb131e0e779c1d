# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can tell that a run wrote nothing: the API server's audit log, and OVN's northbound database as a whole."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.lab import Lab

WRITING = {"create", "update", "patch", "delete", "deletecollection"}
DUMP = ("ovsdb-client", "-f", "json", "dump", "unix:/var/run/ovn/ovnnb_db.sock", "OVN_Northbound")


@dataclass(frozen=True)
class Requests:
    """What one identity asked of the API server: how many requests, and which of them write."""

    total: int
    writing: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The audit log from a certain point on."""

    log: Path
    offset: int

    @classmethod
    def now(cls, log: Path) -> Audit:
        """From here on."""
        return cls(log, log.stat().st_size)

    def requests(self, user: str) -> Requests:
        """What that user asked since then."""
        with self.log.open("rb") as log:
            log.seek(self.offset)
            events = [json.loads(line) for line in log]
        own = [event for event in events if event["user"]["username"] == user]
        return Requests(len(own), tuple(_describe(event) for event in own if event["verb"] in WRITING))


def _describe(event: dict[str, Any]) -> str:
    return f"{event['verb']} {event['requestURI']}"


def whoami(lab: Lab, kubeconfig: str) -> str:
    """The user that a kubeconfig stands for, as the API server knows it."""
    query = ("auth", "whoami", "--output=jsonpath={.status.userInfo.username}")
    output = lab.run("kubectl", "--", f"--kubeconfig={kubeconfig}", *query)
    return output.strip()


def northbound(lab: Lab) -> dict[str, list[str]]:
    """Every table of NB with its rows, through ovn-central's own container."""
    selector = ("--namespace=kube-system", "--selector=ovn-nb-leader=true", "--output=name")
    pod = lab.run("kubectl", "--", "get", "pods", *selector).strip()
    text = lab.run("kubectl", "--", "exec", "--namespace=kube-system", pod, "--container=ovn-central", "--", *DUMP)
    decoder = json.JSONDecoder()
    tables: dict[str, list[str]] = {}
    while text := text.lstrip():
        table, end = decoder.raw_decode(text)
        tables[table["caption"]] = sorted(json.dumps(row) for row in table["data"])
        text = text[end:]
    return tables


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Rows that came or went, by table."""
    found = []
    for table in sorted(before.keys() | after.keys()):
        was, now = Counter(before.get(table, [])), Counter(after.get(table, []))
        found += [f"{table}: gone {row}" for row in (was - now).elements()]
        found += [f"{table}: new {row}" for row in (now - was).elements()]
    return found
