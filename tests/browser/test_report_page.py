# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in a real browser: of 10 and of 1,000 EIPs, narrow and wide, light and dark, on paper, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.plugin_utils._report_page import page
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import site_view
from support.browser import Browser, chromium
from support.report_cases import MEASURED, finding, nat

# What is told apart by its contrast, as WCAG counts it: text against what lies behind it. Returns what is too faint.
FAINT = """(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = value => value <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const ratio = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((p, q) => p - q);
    return (light + .05) / (dark + .05);
  };
  const solid = colour => { const c = parse(colour); return c.length === 3 || (c.length > 3 && c[3] > .99); };
  const under = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (solid(colour)) return parse(colour);
    }
    return [255, 255, 255];
  };
  const behind = text => {
    const at = text.getBoundingClientRect(), x = at.x + at.width / 2, y = at.y + at.height / 2;
    const boxes = [...text.ownerSVGElement.querySelectorAll('rect')].filter(one => {
      const box = one.getBoundingClientRect();
      return box.x <= x && x <= box.right && box.y <= y && y <= box.bottom && solid(getComputedStyle(one).fill);
    });
    return boxes.length ? parse(getComputedStyle(boxes.at(-1)).fill) : under(text.ownerSVGElement);
  };
  const faint = [];
  let seen = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.matches('script,title,desc,option')) continue;
    const style = getComputedStyle(element), drawn = element.tagName === 'text';
    const value = ratio(parse(drawn ? style.fill : style.color), drawn ? behind(element) : under(element));
    seen++;
    if (value < 4.5) faint.push([element.tagName, element.textContent.slice(0, 30), value.toFixed(2)].join(' '));
  }
  return {seen, faint};
})()"""
# What reaches out of the window, and letters in the picture that reach out of it or are too small.
WIDER = """(() => {
  const room = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll('section, section > *, td, pre, .tiles *, .verdict')].filter(one =>
    one.getBoundingClientRect().right > room + 1).map(one => one.outerHTML.slice(0, 80));
  const texts = [...document.querySelectorAll('svg.site text')].filter(one => one.checkVisibility());
  const svg = texts[0].ownerSVGElement.getBoundingClientRect();
  const boxes = texts.map(one => one.getBoundingClientRect());
  return {room, page: document.documentElement.scrollWidth, out, smallest: Math.min(...boxes.map(box => box.height)),
    beyond: boxes.filter(box => box.x < svg.x || box.right > svg.right).length};
})()"""
PAGES = {"10": nat(10, 3), "1000": nat(1000, 333)}
ROWS = "[...document.querySelectorAll('#eips tbody tr')].filter(row => row.checkVisibility())"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Browser]:
    """Opens the page of a site where some EIPs are not as they should be, unless it is open."""
    folder = tmp_path_factory.mktemp("report")
    for name, site in PAGES.items():
        (folder / f"{name}.html").write_text(page(site_view(site), "2026-11-28 05:50:00Z", MEASURED))

    def open_it(name: str) -> Browser:
        url = (folder / f"{name}.html").as_uri()
        if browser.run("location.href.split('#')[0]") != url:
            browser.show(1280)
            browser.open(url)
        return browser

    return open_it


@pytest.fixture(params=PAGES)
def report(opened: Callable[[str], Browser], request: pytest.FixtureRequest) -> Browser:
    """The page of each size."""
    return opened(request.param)


@pytest.mark.parametrize("name", PAGES)
def test_it_needs_nothing_from_outside_and_complains_of_nothing(opened: Callable[[str], Browser], name: str) -> None:
    report = opened(name)
    asked = [
        event["params"]["request"]["url"] for event in report.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    said = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert not [event for event in report.events if event["method"] in said]


@pytest.mark.parametrize(("name", "width"), [("1000", 360), ("1000", 1280), ("10", 360), ("10", 768), ("10", 1280)])
def test_it_fits_the_window(opened: Callable[[str], Browser], name: str, width: int) -> None:
    report = opened(name)
    report.show(width)
    seen = report.run(WIDER)
    assert seen["page"] <= seen["room"] == width, seen
    assert not seen["out"]
    assert seen["beyond"] == 0
    assert seen["smallest"] >= 9, "letters of the picture can be read"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out(report: Browser, dark: bool) -> None:
    report.show(1280, dark=dark)
    colour = report.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 3 * 64) == dark, colour
    found = report.run(FAINT)
    assert found["seen"] > 60
    assert not found["faint"]


@pytest.mark.parametrize("report", ["10", pytest.param("1000", marks=pytest.mark.full)], indirect=True)
def test_on_paper_all_is_there(report: Browser) -> None:
    report.show(690, dark=True, media="print")  # the width of a sheet
    assert report.run("getComputedStyle(document.querySelector('#eips tbody tr')).display") == "table-row"
    assert report.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not report.run(
        "[...document.querySelectorAll('nav,.tools,.skip,.repair button')].some(one => one.checkVisibility())"
    )
    folded = "[...document.querySelectorAll('details .inside')].filter(one => !one.getBoundingClientRect().height)"
    assert report.run(f"{folded}.length") == 0
    assert report.run("document.querySelector('#eips thead').innerText.includes('Overlay address')")
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", report.pdf()))
    rows = report.run("document.querySelectorAll('#eips tbody tr').length")
    assert rows / 60 < pages < 3 + rows / 10, f"{rows} EIPs on {pages} sheets"


def test_the_keyboard_reaches_all_of_it(report: Browser) -> None:
    """First the skip link; it leads past everything to the table; every stop shows that it has the focus."""
    report.show(1280)
    report.run("document.activeElement.blur(), scrollTo(0, 0), history.replaceState(null, '', location.pathname)")
    report.press("Tab", 9)
    assert report.run("document.activeElement.className") == "skip"
    assert report.run("document.activeElement.getBoundingClientRect().left") >= 0
    report.press("Enter", 13, "\r")
    assert report.run("location.hash") == "#eips"
    stops = []
    for _stop in range(7):
        report.press("Tab", 9)
        stops.append(report.run("document.activeElement.id || document.activeElement.textContent"))
        assert report.run("getComputedStyle(document.activeElement).outlineWidth") == "3px", stops
    assert stops == ["all", "search", "Address", "Holder", "Node", "Overlay address", "Health"]
    report.press("Enter", 13, "\r")
    assert report.run("document.querySelector('#eips th[aria-sort]').textContent") == "Health"
    assert report.run("document.querySelector('#eips tbody .chip').className") == "chip error"


def test_the_table_is_sorted_and_filtered(opened: Callable[[str], Browser]) -> None:
    report = opened("1000")
    head = "[...document.querySelectorAll('#eips thead button')]"
    first = f"{ROWS}[0].cells[0].textContent"
    report.run(f"{head}[0].click()")
    assert report.run(first) == "10.4.19.101"
    report.run(f"{head}[0].click()")
    assert report.run(first) != "10.4.19.101"
    report.run(f"{head}[0].click()")
    every = report.run(f"{ROWS}.length")
    report.run("search.value = 'VM-0003 default', search.dispatchEvent(new Event('input'))")
    assert report.run(f"{ROWS}.map(row => row.cells[1].querySelector('b').textContent)") == ["vm-0003"]
    assert report.run("shown.textContent") == f"1 of {every} shown"
    report.run("search.value = '', search.dispatchEvent(new Event('input'))")
    report.run("document.getElementById('with-findings').click()")
    assert report.run(f"{ROWS}.length") == every // 3
    report.run("document.getElementById('all').click()")
    assert report.run(f"{ROWS}.length") == every


def test_a_finding_leads_to_its_eip_whatever_the_table_hides(opened: Callable[[str], Browser]) -> None:
    """By the link, by the same link once more, and by the way back of the browser's history."""
    report = opened("1000")
    link = "document.querySelector('#findings a[href^=\"#eip-\"]')"
    seen = f"document.getElementById({link}.hash.slice(1)).checkVisibility()"
    nothing = "search.value = 'no such machine', search.dispatchEvent(new Event('input'))"
    report.run(f"{link}.closest('details').open = true")
    for _time in range(2):
        report.run(nothing)
        assert not report.run(seen)
        report.run(f"{link}.click()")
        assert report.run(seen)
        assert report.run("search.value") == ""
        box = report.run("document.querySelector(':target').getBoundingClientRect().toJSON()")
        assert box["top"] >= 0
        assert box["bottom"] <= report.run("innerHeight")
    report.run("location.hash = '#findings'")
    report.run(nothing)
    report.run("new Promise(done => { addEventListener('hashchange', () => setTimeout(done)); history.back(); })")
    assert report.run(seen)

    # A healthy one is not among those that are left when all healthy ones are hidden.
    report.run("document.getElementById('with-findings').click(), location.hash = '#findings'")
    fine = "document.querySelector('#eips tr.fine')"
    assert not report.run(f"{fine}.checkVisibility()")
    there = "new Promise(done => addEventListener('hashchange', () => setTimeout(done)))"
    report.run(f"(moved => (location.hash = {fine}.id, moved))({there})")
    assert report.run(f"{fine}.checkVisibility()")
    assert report.run("document.getElementById('all').checked")
    report.run("history.replaceState(null, '', location.pathname)")


def test_without_scripts_all_of_it_is_there(browser: Browser, tmp_path: Path) -> None:
    """Every row, the filter by health, and no control that would do nothing."""
    path = tmp_path / "report.html"
    path.write_text(page(site_view(nat(10, 3)), "now", MEASURED))
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.show(1280)
        browser.open(path.as_uri())
        document = browser.call("DOM.getDocument")["root"]["nodeId"]

        def seen(selector: str) -> int:
            """How many elements of a kind have a place on the page."""
            nodes = browser.call("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"]
            styles = [browser.call("CSS.getComputedStyleForNode", nodeId=node)["computedStyle"] for node in nodes]
            return sum({"name": "display", "value": "none"} not in style for style in styles)

        browser.call("DOM.enable")
        browser.call("CSS.enable")
        assert seen("#eips tbody tr") == 10
        assert seen("#searching") + seen("button") == 0
        radio = browser.call("DOM.querySelector", nodeId=document, selector="#with-findings")["nodeId"]
        browser.call("DOM.focus", nodeId=radio)
        browser.press(" ", 32, " ")
        assert seen("#eips tbody tr") == 3
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_what_the_cluster_says_is_text_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    evil = '"><img src=x onerror=document.title="owned"><script>document.title="owned"</script>'
    site = nat(3, findings=[finding("stale_row", "error", evil, address=evil, repair=evil, breaks=evil)], cluster=evil)
    site["nat_rules"][0] |= {
        "node": evil,
        "logical_ip": evil,
        "holder": dict.fromkeys(("kind", "namespace", "name"), evil),
    }
    site["gateways"][0]["node"] = site["active_gateway"] = site["router_port"]["name"] = evil
    site["unjudged"] = [evil]
    path = tmp_path / "report.html"
    path.write_text(page(site_view(site), evil, [{**MEASURED[0], "from": evil, "way": evil}]))
    browser.show(360)
    browser.open(path.as_uri())
    assert browser.run("document.title") == f"EIPs of {evil}"
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.scripts.length") == 1
    assert browser.run("document.documentElement.scrollWidth") == 360
