# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of ovn_external_gw asks of the API server and of OVN, and how soon after Kube-OVN a first run ends."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.figures import Figures
from bench.monitor import Monitor, Write, split
from bench.site import EIP, EIPS, ROLE, Site
from support.commands import Show
from support.live import OPERATOR, eventually
from support.relay import Relay

MORE = 100  # nodes and chassis
FIRST_RUN_GOAL = 3.0  # seconds after Kube-OVN's last write
EXTRA = "bench-extra"
NB_TABLES = {
    "Logical_Router_Port": ["name"],
    "Logical_Switch": ["name"],
    "Logical_Switch_Port": ["name"],
    "Gateway_Chassis": ["name"],
}
SB_TABLES = {"Chassis": ["name", "other_config"]}


@dataclass(frozen=True)
class Cost:
    """What one run asked for: requests by verb and kind, selects by database and table."""

    requests: Counter[str]
    selects: Counter[str]


def cost_of_a_run(site: Site) -> Cost:
    """A run that has nothing to do, with relays between it and OVN that hear what is asked."""
    log = Path(os.environ["LAB_AUDIT_LOG"])
    before = log.stat().st_size
    with (
        closing(Relay(os.environ["KUBEOVN_NB_ENDPOINT"])) as nb,
        closing(Relay(os.environ["KUBEOVN_SB_ENDPOINT"])) as sb,
    ):
        result = site.push(nb_endpoint=nb.tcp, sb_endpoint=sb.tcp)
        assert not result["changed"]
        selects = Counter([*_selects(nb, "NB"), *_selects(sb, "SB")])
    with log.open(encoding="utf-8") as lines:
        lines.seek(before)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
    own = [event for event in events if event["user"]["username"] == OPERATOR]
    return Cost(Counter(f"{event['verb']} {event['objectRef']['resource']}" for event in own), selects)


def _selects(relay: Relay, database: str) -> list[str]:
    """Each table that was selected from, as often as it was."""
    asked, rest = split(bytes(relay.sent))
    assert not rest
    operations = [one for message in asked if message.get("method") == "transact" for one in message["params"][1:]]
    return [f"{database} {one['table']}" for one in operations if one["op"] == "select"]


@pytest.fixture
def crowd(site: Site) -> Iterator[Site]:
    """The site with many more nodes in Kubernetes, and as many chassis in SB, to which no machine builds a tunnel."""
    names = [f"bench-{number:03}" for number in range(MORE)]
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {EXTRA: ""}}} for name in names]
    try:
        path = Path(os.environ["LAB_STATE"]) / "bench-nodes.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
        site.live.kubectl("apply", "-f", str(path))
        site.lab.run("sbctl", *[word for number, name in enumerate(names) for word in _chassis(name, number)][1:])
        yield site
    finally:
        site.lab.run("sbctl", *[word for name in names for word in ("--", "--if-exists", "chassis-del", name)][1:])
        site.live.kubectl("delete", "nodes", "-l", EXTRA, "--wait=false")


def _chassis(name: str, number: int) -> list[str]:
    """Words for ovn-sbctl; a remote chassis is one of another site."""
    settings = [f"hostname={name}", "other_config:is-remote=true"]
    return ["--", "chassis-add", name, "geneve", f"10.4.16.{number}", "--", "set", "chassis", name, *settings]


@pytest.fixture
def few(site: Site) -> Cost:
    """What a run costs while there are but the site's own nodes."""
    site.be()
    return cost_of_a_run(site)


def test_a_run_without_a_change(few: Cost, crowd: Site, figures: Figures, show: Show) -> None:
    many = cost_of_a_run(crowd)
    for cost in (few, many):
        show(f"{dict(cost.requests)}; {dict(cost.selects)}")
    figures.add(
        show,
        f"no change: API requests with 5 nodes and with {5 + MORE}",
        f"{few.requests.total()} and {many.requests.total()}",
        "the same",
        few.requests == many.requests,
    )
    figures.add(
        show,
        f"no change: selects a table, with 4 chassis and with {4 + MORE}",
        f"{max(few.selects.values())} and {max(many.selects.values())}, of {len(few.selects)} tables",
        "1 and 1",
        few.selects == many.selects and set(few.selects.values()) == {1},
    )


def test_a_first_run(site: Site, figures: Figures, show: Show) -> None:
    site.be()
    site.succeed(EIPS, {"state": "absent", "eips": [{"vm": "testing", "namespace": "default"}]})
    site.play(ROLE, external_gateway_state="absent")
    eventually(site.ready, lambda nodes: not nodes, 60, "no chassis maps the external network")
    nb = Monitor(os.environ["KUBEOVN_NB_ENDPOINT"], "OVN_Northbound", NB_TABLES)
    sb = Monitor(os.environ["KUBEOVN_SB_ENDPOINT"], "OVN_Southbound", SB_TABLES)
    with closing(nb), closing(sb):
        began = time.monotonic()
        site.push()
        ended = time.monotonic()
    site.succeed(EIPS, {"eips": [{"vm": "testing", "namespace": "default", "address": EIP}]})
    made = nb.last(lambda write: write.new and not write.old) - began
    mapped = sb.last(_gained_mapping) - began
    took = ended - began
    figures.add(show, "first run: the controller's last row in NB", f"{made:.1f} s after the beginning")
    figures.add(show, "first run: the daemons' last bridge mapping in SB", f"{mapped:.1f} s after the beginning")
    late = took - max(made, mapped)
    goal = f"at most {FIRST_RUN_GOAL:g} s"
    figures.add(
        show,
        "first run: its end, after Kube-OVN's last write",
        f"{late:.1f} s, of {took:.1f} s",
        goal,
        late <= FIRST_RUN_GOAL,
    )


def _gained_mapping(write: Write) -> bool:
    return "external:br-external" in str(write.new) and "external:br-external" not in str(write.old)
