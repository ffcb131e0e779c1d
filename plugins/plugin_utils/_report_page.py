# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a site as one HTML page that needs no network. Pure: the same site gives the same page.

What comes from the cluster is untrusted text: Markup.format escapes each value, and the page's own policy lets only
the one script run that it was made with. Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.plugin_utils._html import fill
from ansible_collections.kubeovn.core.plugins.plugin_utils._report_assets import SCRIPT, STYLE
from ansible_collections.kubeovn.core.plugins.plugin_utils._report_picture import legend, picture
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import (
    CLAIMED,
    ERROR,
    HEALTHS,
    OK,
    UNJUDGED,
    UNSEEN,
    WARNING,
    Eip,
    Gateway,
    SiteView,
)
from markupsafe import Markup

WIDE, TALL = 1040, 340  # the two widths that the picture is drawn for
OPENED = 5  # groups of at most so many errors are open from the start
WORST = 10  # addresses of one measurement that are shown before the rest is folded away
LABELS = {ERROR: "failing", WARNING: "to look at", UNJUDGED: "not judged", CLAIMED: "claimed", OK: "healthy"}
MEANINGS = {
    ERROR: "failing: traffic is lost or goes astray",
    WARNING: "to look at",
    UNJUDGED: "not judged: not everything could be read",
    CLAIMED: "claimed, not attached",
    OK: "healthy",
}
SIGNS = {ERROR: "✕", WARNING: "!", OK: "✓"}
EMPTY = Markup("")
BREAK = Markup("\n")


def page(view: SiteView, made_at: str, measurements: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole page. Each row of a table is a line, so that a diff of two pages can be read."""
    parts = [
        _head(view, made_at, measured=bool(measurements)),
        _verdict(view),
        _tiles(view),
        _site(view),
        _findings(view),
        _table(view),
        _gateways(view),
        _failover(measurements),
    ]
    foot = """</main>
<footer><p>Made by kubeovn.core, from one look at the cluster and at OVN.</p></footer>
<script>{}</script>
</body>
</html>
"""
    return str(BREAK.join(part for part in parts if part) + BREAK + fill(foot, SCRIPT))


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _head(view: SiteView, made_at: str, *, measured: bool) -> Markup:
    policy = f"default-src 'none'; img-src data:; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}"
    policy += "; base-uri 'none'; form-action 'none'"
    sections = {"site": "Picture", "findings": "Findings", "eips": "EIPs", "gateways": "Gateways"}
    if measured:
        sections["failover"] = "Failover"
    links = BREAK.join(fill('<li><a href="#{}">{}</a></li>', key, text) for key, text in sections.items())
    template = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>EIPs of {cluster}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#eips">Skip to the EIPs</a>
<header>
<p class="eyebrow">Kube-OVN: external gateway and EIPs</p>
<h1>{cluster}</h1>
<p class="eyebrow">as seen
<time datetime="{made_at}">{made_at}</time>
</p>
<nav aria-label="Sections"><ul>
{links}
</ul></nav>
</header>
<main>"""
    return fill(template, policy=policy, cluster=view.cluster, style=STYLE, made_at=made_at, links=links)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _verdict(view: SiteView) -> Markup:
    errors, warnings, failing = view.severity(ERROR), view.severity(WARNING), view.healths[ERROR]
    if errors or failing:
        level, sign, title = ERROR, "✕", f"{_count(errors, 'error')}"
        text = f"{_count(failing, 'EIP')} of {len(view.eips):,} failing" if failing else "no EIP is failing now"
    elif warnings or view.unjudged:
        level, sign = WARNING, "!"
        title = _count(warnings, "warning") if warnings else "Not everything could be judged"
        text = "traffic flows; see what to look at" if warnings else "; ".join(view.unjudged)
    else:
        level, sign, title = OK, "✓", "Healthy"
        text = f"nothing is wrong with {_count(len(view.eips), 'EIP')} and {_count(len(view.gateways), 'gateway')}"
    template = '<div class="verdict {}"><span class="big" aria-hidden="true">{}</span><span><b>{}</b> {}</span></div>'
    return fill(template, level, sign, title, text)


def _tiles(view: SiteView) -> Markup:
    healths = view.healths
    sick = [f"{healths[one]:,} {LABELS[one]}" for one in HEALTHS if healths[one]]
    ready = sum(1 for gateway in view.gateways if gateway.ready)
    found = f"{_count(view.severity(ERROR), 'error')}, {_count(view.severity(WARNING), 'warning')}"
    addresses = len({eip.address for eip in view.eips})
    tiles = (
        ("EIPs", f"{len(view.eips):,}", ", ".join(sick) or "none"),
        ("Addresses", f"{addresses:,}", "of the physical network"),
        ("Findings", f"{len(view.findings):,}", found),
        ("Gateways ready", f"{ready} of {len(view.gateways)}", f"active: {view.active or 'none'}"),
        (
            "Nodes with EIPs",
            f"{len({eip.node for eip in view.eips if eip.node}):,}",
            "whose pods and machines hold them",
        ),
    )
    template = "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>"
    return fill('<dl class="tiles">\n{}\n</dl>', BREAK.join(fill(template, *tile) for tile in tiles))


def _site(view: SiteView) -> Markup:
    keys = EMPTY.join(fill("<li>{}{}</li>", svg, MEANINGS[health]) for health, svg in legend(view))
    template = """<section id="site" aria-labelledby="site-h">
<h2 id="site-h">Picture</h2>
{}
{}
<ul class="legend">{}</ul>
</section>"""
    return fill(template, picture(view, WIDE, "wide"), picture(view, TALL, "tall"), keys)


# --- findings


def _findings(view: SiteView) -> Markup:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for finding in view.findings:
        groups[finding["severity"] != ERROR, finding["code"]].append(finding)
    rows: dict[str, int] = {}
    for index, eip in enumerate(view.eips):
        rows.setdefault(eip.address, index)
    parts = [_group(code, found, rows) for (_rank, code), found in sorted(groups.items())]
    if not parts:
        parts.append(fill("<p>{}</p>", "None." if not view.unjudged else "None among what could be read."))
    if view.unjudged:
        items = EMPTY.join(fill("<li>{}</li>", text) for text in view.unjudged)
        parts.append(
            fill("<h3>Not judged</h3>\n<p>This identity may not read what is needed for</p>\n<ul>{}</ul>", items)
        )
    template = '<section id="findings" aria-labelledby="findings-h">\n<h2 id="findings-h">Findings</h2>\n{}\n</section>'
    return fill(template, BREAK.join(parts))


def _group(code: str, found: Sequence[Mapping[str, Any]], rows: Mapping[str, int]) -> Markup:
    """All findings of one code; a repair that is the same for all of them is said once."""
    repairs = {str(finding["repair"]) for finding in found}
    shared = len(repairs) == 1
    items = BREAK.join(_finding(finding, rows, with_repair=not shared) for finding in found)
    severity = found[0]["severity"]
    template = """<details{open}>
<summary><span class="chip {severity}">{severity}</span> <b>{code}</b>
<span class="soft">{count}: {breaks}</span></summary>
<div class="inside">{shared}
<ul>
{items}
</ul></div>
</details>"""
    return fill(
        template,
        open=Markup(" open") if severity == ERROR and len(found) <= OPENED else "",
        severity=severity,
        code=code,
        count=_count(len(found), "time"),
        breaks=found[0]["breaks"],
        shared=_repair(repairs.pop()) if shared else "",
        items=items,
    )


def _finding(finding: Mapping[str, Any], rows: Mapping[str, int], *, with_repair: bool) -> Markup:
    row = rows.get(str(finding["address"]))
    link = EMPTY if row is None else fill(' <a href="#eip-{}">{}</a>', row, finding["address"])
    repair = _repair(finding["repair"]) if with_repair else EMPTY
    return fill("<li>{}{}{}</li>", finding["text"], link, repair)


def _repair(text: str) -> Markup:
    return fill('<div class="repair"><pre tabindex="0" aria-label="repair"><code>{}</code></pre></div>', text)


# --- tables


def _table(view: SiteView) -> Markup:
    names = ("Address", "Holder", "Node", "Overlay address", "Health")
    heads = EMPTY.join(fill('<th scope="col">{}</th>', name) for name in names)
    rows = BREAK.join(_row(index, eip) for index, eip in enumerate(view.eips))
    if not view.eips:
        rows = Markup('<tr><td colspan="5">There is no EIP.</td></tr>')
    template = """<section id="eips" aria-labelledby="eips-h">
<h2 id="eips-h">EIPs</h2>
<div class="tools">
<fieldset><legend>Show</legend>
<label><input type="radio" name="show" id="all" checked> all</label>
<label><input type="radio" name="show" id="with-findings"> those that are not healthy</label></fieldset>
<label id="searching" hidden>Find <input type="search" id="search" autocomplete="off"></label>
<span id="shown" class="soft" role="status"></span>
</div>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</section>"""
    return fill(template, heads=heads, rows=rows)


def _row(index: int, eip: Eip) -> Markup:
    holder = fill("<b>{}</b><small>{} in {}</small>", eip.name, eip.kind, eip.namespace) if eip.name else ""
    if not holder and eip.overlay:
        holder = fill("<small>{}</small>", "a whole network" if "/" in eip.overlay else "nobody")
    where = "" if not eip.node else fill("{}<small>{}</small>", eip.node, "NAT on this node" if eip.distributed else "")
    codes = fill("<small>{}</small>", ", ".join(eip.codes)) if eip.codes else ""
    health = fill(
        '<span class="chip {}">{}{}</span>{}',
        eip.health,
        SIGNS.get(eip.health, "") + " " if eip.health in SIGNS else "",
        LABELS[eip.health],
        codes,
    )
    template = (
        '<tr id="eip-{index}"{fine}><th scope="row" class="mono">{address}{use}</th>'
        '<td data-label="Holder">{holder}</td><td data-label="Node">{where}</td>'
        '<td data-label="Overlay address" class="mono">{overlay}</td>'
        '<td data-label="Health" data-rank="{rank}">{health}</td></tr>'
    )
    use = fill("<small>{}</small>", eip.use) if eip.use != "floating" else ""
    return fill(
        template,
        index=index,
        fine=Markup(' class="fine"') if eip.health == OK else "",
        address=eip.address,
        use=use,
        holder=holder,
        where=where,
        overlay=eip.overlay,
        rank=HEALTHS.index(eip.health),
        health=health,
    )


def _gateways(view: SiteView) -> Markup:
    template = '<tr><th scope="row">{}</th><td class="num">{}</td><td>{}</td><td>{}</td></tr>'
    rows = [
        fill(template, one.name, one.priority, _node(one), "active" if one.active else "stands by")
        for one in view.gateways
    ]
    body = BREAK.join(rows) or Markup('<tr><td colspan="4">There is no gateway.</td></tr>')
    port = f"{view.router_port}, {' '.join(view.router_networks)}, {view.router_mac}" if view.router_port else "none"
    page = """<section id="gateways" aria-labelledby="gateways-h">
<h2 id="gateways-h">Gateways</h2>
<table>
<caption>Router port: {port}</caption>
<thead><tr><th scope="col">Node</th><th scope="col" class="num">Priority</th>
<th scope="col">Node is</th><th scope="col">Traffic</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</section>"""
    return fill(page, port=port, body=body)


def _node(one: Gateway) -> Markup:
    """What Kubernetes says of a gateway's node, and what that showed itself."""
    parts = [(one.ready, "ready" if one.ready else "not ready")]
    parts += [(one.link == "up", f"NIC {one.link}")] if one.link != UNSEEN else []
    parts += [(one.tunnels == "up", f"tunnels {one.tunnels}")] if one.tunnels not in (UNSEEN, "none") else []
    chips = [fill('<span class="chip {}">{}</span>', OK if right else ERROR, text) for right, text in parts]
    unseen = Markup("<small>NIC and tunnels were not looked at</small>") if one.link == one.tunnels == UNSEEN else EMPTY
    return Markup(" ").join(chips) + unseen


def _failover(measurements: Sequence[Mapping[str, Any]]) -> Markup:
    if not measurements:
        return EMPTY
    each = [way for run in measurements for way in run.get("ways", [run])]
    longest = max((float(one["silence"]) for way in each for one in way["targets"]), default=0.0)
    runs = BREAK.join(_measurement(way, longest) for way in each)
    head = """<section id="failover" aria-labelledby="failover-h">
<h2 id="failover-h">Failover, as measured</h2>
{}
</section>"""
    return fill(head, runs)


def _measurement(run: Mapping[str, Any], longest: float) -> Markup:
    targets = sorted(run["targets"], key=lambda one: -float(one["silence"]))
    about = " · ".join(str(run[key]) for key in ("way", "at") if run.get(key))
    title = f"{run['from']} gave way to {run['to'] or 'nobody'}" + (f" ({about})" if about else "")
    folded = EMPTY
    if len(targets) > WORST:
        text = f"{len(targets) - WORST:,} more addresses, none of them silent for longer"
        folded = fill(
            '<details><summary>{}</summary><div class="inside">{}</div></details>',
            text,
            _targets(targets[WORST:], longest, text),
        )
    return _targets(targets[:WORST], longest, title) + BREAK + folded


def _targets(targets: Iterable[Mapping[str, Any]], longest: float, title: str) -> Markup:
    heads = (
        '<th scope="col">Address</th><th scope="col" class="num">Packets lost</th>'
        '<th scope="col" class="num">Silent for</th><th scope="col"><span class="soft">longest {:g} s</span></th>'
    )
    row = (
        '<tr><th scope="row" class="mono">{address}</th><td class="num" data-label="Packets lost">{lost} of {sent}</td>'
        '<td class="num" data-label="Silent for">{silence:g} s</td><td><svg class="gauge" viewBox="0 0 100 10" '
        'preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="10"/>'
        '<rect width="{bar:.1f}" height="10"/></svg></td></tr>'
    )
    rows = BREAK.join(
        fill(
            row,
            address=one["address"],
            lost=one["lost"] if one["lost"] is not None else "?",
            sent=one["sent"] if one["sent"] is not None else "?",
            silence=float(one["silence"]),
            bar=100 * float(one["silence"]) / longest if longest else 0.0,
        )
        for one in targets
    )
    table = "<table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>"
    return fill(table, title, fill(heads, longest), rows)
