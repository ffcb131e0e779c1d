# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's picture of a site as SVG: from outside through the active gateway to the machines behind each EIP. Pure.

It is drawn for a width: boxes that do not fit beside each other go below each other. Colours are the page's; what a
colour says, a shape or a word says too. Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.kubeovn.core.plugins.plugin_utils._html import fill
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import (
    ERROR,
    HEALTHS,
    WARNING,
    Eip,
    Gateway,
    SiteView,
    by_node,
)
from markupsafe import Markup

BOX, GAP, MARGIN, PAD = 236, 24, 14, 12  # narrowest box, space between rows and columns, border, inside of a box
LISTED, MOST_NODES = 6, 12  # EIPs that a node lists by name, and nodes that have a box of their own
BOLD, PLAIN, MONO = 8.3, 7.0, 7.0  # room for a character, generously: the reader's font is not known


@dataclass
class _Drawing:
    """What was drawn so far, and how far down it reaches."""

    width: float
    y: float = MARGIN
    parts: list[Markup] = field(default_factory=list)

    def add(self, template: str, **values: object) -> None:
        self.parts.append(fill(template, **values))

    def box(self, x: float, y: float, width: float, height: float, css: str) -> None:
        self.add(
            '<rect class="{css}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="9"/>',
            css=css,
            x=x,
            y=y,
            w=width,
            h=height,
        )

    def text(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        self.add(
            '<text class="{css}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>',
            css=css,
            x=x,
            y=y,
            anchor=anchor,
            text=text,
        )

    def line(self, points: Iterable[tuple[float, float]], css: str) -> None:
        joined = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add('<polyline class="{css}" points="{points}"/>', css=css, points=joined)

    def band(self, height: float, css: str) -> float:
        """A band over the whole width; returns the y of its upper edge."""
        top = self.y
        self.box(MARGIN, top, self.width - 2 * MARGIN, height, css)
        self.y += height
        return top


@dataclass(frozen=True)
class _Cell:
    """Where a box stands in its grid."""

    x: float
    y: float
    width: float
    height: float
    first_row: bool
    last_row: bool

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def picture(view: SiteView, width: int, name: str) -> Markup:
    """The whole picture. `name` makes its ids unique on the page."""
    drawing = _Drawing(width)
    _outside(view, drawing)
    _gateways(view, drawing)
    _router(view, drawing)
    _nodes(view, drawing)
    head = (
        '<svg class="site {name}" viewBox="0 0 {width} {height:g}" role="img" aria-labelledby="{name}-t {name}-d">'
        '<title id="{name}-t">The site</title><desc id="{name}-d">{words}</desc>'
    )
    begin = fill(head, name=name, width=width, height=drawing.y + MARGIN, words=_words(view))
    return begin + Markup("").join(drawing.parts) + Markup("</svg>")


def _words(view: SiteView) -> str:
    """The picture for those who do not see it."""
    standby = [one.name + ("" if one.ready else " (not ready)") for one in view.gateways if not one.active]
    nodes = [name for name in by_node(view.eips) if name]
    return (
        f"From outside, packets to {len({eip.address for eip in view.eips})} addresses reach "
        f"{'gateway ' + view.active if view.active else 'no gateway'}, which holds "
        f"{view.router_port or 'no router port'}. {', '.join(standby) or 'No other gateway'} "
        f"{'stand' if len(standby) > 1 else 'stands'} by. The holders run on {len(nodes)} nodes."
    )


def fit(text: str, room: float, character: float = PLAIN) -> str:
    """A text that is too long for its room ends with an ellipsis."""
    most = max(1, int(room / character))
    return text if len(text) <= most else text[: most - 1] + "…"


def _outside(view: SiteView, drawing: _Drawing) -> None:
    half = (drawing.width - 2 * MARGIN - GAP) / 2
    left, right = MARGIN, MARGIN + half + GAP
    hops = ", ".join(view.next_hops) or "unknown"
    for x, title, below in ((left, "hosts outside", "of the cluster"), (right, "physical gateway", hops)):
        drawing.box(x, drawing.y, half, 50, "box")
        drawing.text(x + half / 2, drawing.y + 21, fit(title, half, BOLD), "b", "middle")
        drawing.text(x + half / 2, drawing.y + 39, fit(below, half - PAD, MONO), "m", "middle")
        css = "path" if view.active and x == left else "wire"
        drawing.line([(x + half / 2, drawing.y + 50), (x + half / 2, drawing.y + 66)], css)
    drawing.y += 66
    top = drawing.band(30, "bar ext")
    networks = ", ".join(_network(text) for text in view.router_networks)
    text = fit(f"external network {networks}".strip(), drawing.width - 4 * PAD, BOLD)
    drawing.text(drawing.width / 2, top + 20, text, "b", "middle")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text).network)
    except ValueError:
        return text


def _columns(count: int, drawing: _Drawing) -> tuple[int, float, float]:
    """How many boxes stand beside each other, how wide each is, and the room at the sides for lines that pass a row."""
    inner = drawing.width - 2 * MARGIN
    columns = max(1, min(count, int((inner + GAP) // (BOX + GAP))))
    side = 0.0 if count <= columns else 16.0
    return columns, (inner - 2 * side - (columns - 1) * GAP) / columns, side


def _grid(heights: Sequence[float], drawing: _Drawing) -> list[_Cell]:
    """Boxes beside each other as far as they fit; each row is as high as its highest box."""
    count = len(heights)
    columns, width, side = _columns(count, drawing)
    cells, y = [], drawing.y + GAP
    for start in range(0, count, columns):
        height = max(heights[start : start + columns])
        for place in range(min(columns, count - start)):
            x = MARGIN + side + place * (width + GAP)
            cells.append(_Cell(x, y, width, height, start == 0, start + columns >= count))
        y += height + GAP
    drawing.y = y
    return cells


def _way_in(cell: _Cell, above: float, drawing: _Drawing, css: str) -> None:
    """From the bar above down to a box: straight, or at the left border past the rows between."""
    down = (cell.middle, cell.y)
    if cell.first_row:
        drawing.line([(cell.middle, above), down], css)
    else:
        corner = cell.y - GAP / 2
        drawing.line([(MARGIN + 6, above), (MARGIN + 6, corner), (cell.middle, corner), down], css)


def _way_out(cell: _Cell, below: float, drawing: _Drawing, css: str) -> None:
    """From a box down to the bar below: straight, or at the right border."""
    foot = cell.y + cell.height
    if cell.last_row:
        drawing.line([(cell.middle, foot), (cell.middle, below)], css)
    else:
        corner, border = foot + GAP / 2, drawing.width - MARGIN - 6
        drawing.line([(cell.middle, foot), (cell.middle, corner), (border, corner), (border, below)], css)


def _gateways(view: SiteView, drawing: _Drawing) -> None:
    above = drawing.y
    if not view.gateways:
        drawing.text(drawing.width / 2, above + 34, "no gateway", "b bad", "middle")
        drawing.y += 56
        return
    cells = _grid([66.0] * len(view.gateways), drawing)
    ordered = sorted(zip(view.gateways, cells, strict=True), key=lambda pair: pair[0].active)
    for gateway, cell in ordered:  # the active one last, so that its lines lie above the others'
        css = "path" if gateway.active else "wire" if gateway.ready else "wire dead"
        _way_in(cell, above, drawing, css)
        if gateway.active:
            _way_out(cell, drawing.y, drawing, css)
    for gateway, cell in ordered:
        _gateway(gateway, cell, drawing)


def _gateway(gateway: Gateway, cell: _Cell, drawing: _Drawing) -> None:
    state = "active" if gateway.active else "stands by"
    state = state if gateway.ready else "not ready" if not gateway.active else "active, not ready"
    css = "box bad" if not gateway.ready else "box on" if gateway.active else "box"
    drawing.box(cell.x, cell.y, cell.width, cell.height, css)
    drawing.text(cell.middle, cell.y + 26, fit(gateway.name, cell.width - PAD, BOLD), "b", "middle")
    words = "b good" if gateway.active and gateway.ready else "s" if gateway.ready else "b bad"
    drawing.text(cell.middle, cell.y + 48, f"{state} · priority {gateway.priority}", words, "middle")


def _router(view: SiteView, drawing: _Drawing) -> None:
    top = drawing.band(64, "box router" if view.router_port else "box bad")
    room, centre = drawing.width - 4 * PAD, drawing.width / 2
    port = f"router port {view.router_port}" if view.router_port else "no router port"
    drawing.text(centre, top + 18, fit(port, room, BOLD), "b", "middle")
    own = " · ".join([*view.router_networks, view.router_mac]) if view.router_port else ""
    drawing.text(centre, top + 36, fit(own, room, MONO), "m", "middle")
    uses = Counter(eip.use for eip in view.eips if eip.overlay)
    rules = ", ".join(f"{count} {use}" for use, count in uses.most_common()) or "none"
    drawing.text(centre, top + 54, fit(f"NAT rules: {rules}", room), "s", "middle")
    drawing.line([(centre, drawing.y), (centre, drawing.y + 16)], "path" if view.active else "wire")
    drawing.y += 16
    top = drawing.band(28, "bar tun")
    drawing.text(centre, top + 19, fit("overlay: tunnels between all nodes", room, BOLD), "b", "middle")


def _nodes(view: SiteView, drawing: _Drawing) -> None:
    nodes = by_node(view.eips)
    names = [name for name in nodes if name]
    boxes = {name: nodes[name] for name in names[:MOST_NODES]}
    if len(names) > MOST_NODES:
        rest = names[MOST_NODES:]
        boxes[f"{len(rest)} more nodes"] = [eip for name in rest for eip in nodes[name]]
    if "" in nodes:
        boxes["on no node"] = nodes[""]
    if not boxes:
        return
    above, room = drawing.y, _columns(len(boxes), drawing)[1] - 2 * PAD
    cells = _grid([_height(eips, room) for eips in boxes.values()], drawing)
    for (name, eips), cell in zip(boxes.items(), cells, strict=True):
        reached = bool(nodes.get(name)) and bool(view.active)
        _way_in(cell, above, drawing, "path thin" if reached else "wire")
        drawing.box(cell.x, cell.y, cell.width, cell.height, "box")
        _node(name, eips, cell, drawing)
    drawing.y -= GAP


def _node(name: str, eips: Sequence[Eip], cell: _Cell, drawing: _Drawing) -> None:
    x, room = cell.x + PAD, cell.width - 2 * PAD
    drawing.text(x, cell.y + 22, fit(name, room, BOLD), "b")
    counted = Counter(eip.health for eip in eips)
    drawing.text(x, cell.y + 40, fit(summary(counted), room), "s")
    if len(eips) > LISTED:
        _waffle(eips, x, cell.y + 52, room, drawing)
        return
    for number, eip in enumerate(eips):
        line = cell.y + 62 + 20 * number
        _mark(eip.health, x, line - 9, 9, drawing)
        drawing.text(x + 16, line, eip.address, "m")
        name_x = x + 16 + MONO * len(eip.address) + 8
        name = eip.name or ("nobody" if "/" not in eip.overlay else eip.overlay)
        drawing.text(name_x, line, fit(name, cell.x + cell.width - PAD / 2 - name_x), "s")


def summary(counted: Mapping[str, int]) -> str:
    """How many EIPs, and how many of them are not as they should be."""
    total = sum(counted.values())
    words = {"error": "failing", "warning": "to look at", "unjudged": "not judged", "claimed": "claimed only"}
    return ", ".join(
        [f"{total} EIP{'' if total == 1 else 's'}"]
        + [f"{counted[health]} {word}" for health, word in words.items() if counted.get(health)]
    )


def _pitch(count: int) -> int:
    return 13 if count <= 200 else 9 if count <= 800 else 6


def _height(eips: Sequence[Eip], room: float) -> float:
    if len(eips) <= LISTED:
        return 52 + 20 * len(eips)
    each_row = int(room // _pitch(len(eips)))
    return 52 + _pitch(len(eips)) * -(-len(eips) // each_row) + PAD


def _waffle(eips: Sequence[Eip], x: float, y: float, room: float, drawing: _Drawing) -> None:
    """One mark for each EIP, the worst first; one path for each health, since there may be thousands."""
    pitch = _pitch(len(eips))
    each_row = int(room // pitch)
    places = iter(range(len(eips)))
    for health in HEALTHS:
        marks = [
            (x + place % each_row * pitch, y + place // each_row * pitch)
            for _eip, place in zip((eip for eip in eips if eip.health == health), places, strict=False)
        ]
        if marks:
            outline = "".join(_shape(health, left, top, pitch - 3) for left, top in marks)
            drawing.add('<path class="mark {health}" d="{outline}"/>', health=health, outline=outline)


def _mark(health: str, x: float, y: float, size: int, drawing: _Drawing) -> None:
    drawing.add('<path class="mark {health}" d="{outline}"/>', health=health, outline=_shape(health, x, y, size))


def _shape(health: str, x: float, y: float, s: int) -> str:
    """A cross, a triangle or a square at a place."""
    if health == ERROR:
        return f"M{x:g} {y:g}l{s} {s}m0 -{s}l-{s} {s}"
    if health == WARNING:
        return f"M{x + s / 2:g} {y:g}l{s / 2:g} {s}h-{s}z"
    return f"M{x:g} {y:g}h{s}v{s}h-{s}z"


def legend(view: SiteView) -> list[tuple[str, Markup]]:
    """The marks that the picture has, with their health."""
    found = []
    for health in (one for one in HEALTHS if view.healths[one]):
        outline = _shape(health, 1, 1, 10)
        svg = '<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><path class="mark {h}" d="{d}"/></svg>'
        found.append((health, fill(svg, h=health, d=outline)))
    return found
