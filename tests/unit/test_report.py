# SPDX-License-Identifier: GPL-3.0-or-later
"""The report without a browser: what stands in the page, and how each EIP's health comes about."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.kubeovn.core.plugins.filter.site_report import site_report
from ansible_collections.kubeovn.core.plugins.plugin_utils._report_picture import picture
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import Eip, by_node, site_view
from support.report_cases import GATEWAYS, MEASURED, finding, nat

HOLDER = {"kind": "VirtualMachine", "namespace": "default", "name": "vm-0001"}


def health(site: dict[str, Any]) -> dict[str, str]:
    """Each address with its health."""
    return {eip.address: eip.health for eip in site_view(site).eips}


def test_an_eip_is_as_healthy_as_the_findings_about_it_or_its_holder() -> None:
    assert set(health(nat(3)).values()) == {"ok"}
    about = {"address": "10.4.19.101"}
    site = nat(
        3, findings=[finding("unexplained_row", "warning", "w", **about), finding("stale_row", "error", "e", **about)]
    )
    assert health(site) == {"10.4.19.101": "error", "10.4.19.102": "ok", "10.4.19.103": "ok"}
    site = nat(3, findings=[finding("two_addresses_on_holder", "warning", "w", holder=HOLDER)])
    assert health(site) == {"10.4.19.101": "ok", "10.4.19.102": "warning", "10.4.19.103": "ok"}
    assert site_view(site).eips[1].codes == ("two_addresses_on_holder",)


def test_what_could_not_be_judged_is_not_called_healthy() -> None:
    site = nat(2, 1, unjudged=["vpcs: what is left over, and which EIPs are wrong"])
    assert health(site) == {"10.4.19.101": "unjudged", "10.4.19.102": "warning"}
    page = site_report(site)
    assert "Not judged" in page
    assert "Healthy" not in page


def test_without_an_active_gateway_only_distributed_eips_are_left() -> None:
    site = nat(2, active_gateway=None)
    site["nat_rules"][1]["distributed"] = True
    assert health(site) == {"10.4.19.101": "error", "10.4.19.102": "ok"}
    assert site_view(site).eips[0].codes == ("no_active_gateway",)


def test_addresses_without_a_rule_have_their_row() -> None:
    """A claim that is not attached, and an annotation that asks in vain."""
    site = nat(1)
    site["claims"].append(
        {"address": "10.4.19.9", "kind": "fip", "holders": [HOLDER], "previous": None, "rotation": None}
    )
    site["findings"] = [
        finding("eip_without_row", "error", "e", address="10.4.19.8", holder={**HOLDER, "name": "vm-8"})
    ]
    site["findings"].append({**site["findings"][0], "code": "missing_reroute"})  # one row for both
    seen = [(eip.address, eip.health, eip.name) for eip in site_view(site).eips]
    assert seen == [
        ("10.4.19.8", "error", "vm-8"),
        ("10.4.19.9", "claimed", "vm-0001"),
        ("10.4.19.101", "ok", "testing"),
    ]


def test_a_shared_address_has_a_row_for_each_holder_and_a_link_to_the_first() -> None:
    site = nat(3)
    for rule in site["nat_rules"]:
        rule |= {"type": "snat", "external_ip": "10.4.19.77"}
    site["claims"] = []
    site["findings"] = [finding("stale_row", "error", "text", address="10.4.19.77")]
    page = site_report(site)
    assert page.count('<tr id="eip-') == 3
    assert '<a href="#eip-0">10.4.19.77</a>' in page


def test_nodes_come_by_their_eips_and_those_that_run_nowhere_last() -> None:
    eips = [Eip("1", "floating", "ok", node=node) for node in ("b", "a", "a", "", "", "")]
    assert list(by_node(eips)) == ["a", "b", ""]


class Balance(HTMLParser):
    """Whether tags close in order, and ids are there once."""

    VOID = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.links += [named["href"] or ""] if "href" in named else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Parts of a picture, which have no end tag."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


@pytest.mark.parametrize(
    "site", [nat(0), nat(10, 3), nat(1000, 200), nat(0, router_port=None, gateways=[], active_gateway=None)]
)
def test_the_page_is_well_formed(site: dict[str, Any]) -> None:
    checked = Balance()
    checked.feed(site_report(site, "now", MEASURED))
    checked.close()
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert {link[1:] for link in checked.links if link.startswith("#")} <= set(checked.ids)
    assert [link for link in checked.links if not link.startswith("#")] == ["data:,"], "it needs no network"


def test_each_row_is_a_line_and_the_time_too() -> None:
    """So a diff of two reports can be read, and the time can be told apart."""
    first, second = site_report(nat(20), "one"), site_report(nat(20), "two")
    differing = [pair for pair in zip(first.splitlines(), second.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 1
    assert re.sub(r"(?s)<time .*?</time>", "", first) == re.sub(r"(?s)<time .*?</time>", "", second)
    assert max(len(line) for line in first.splitlines() if line.startswith("<tr")) < 600


@pytest.mark.parametrize("width", [340, 1040])
@pytest.mark.parametrize("eips", [0, 1, 10, 1000, 5000])
def test_the_picture_stays_in_its_frame(width: int, eips: int) -> None:
    root = ET.fromstring(str(picture(site_view(nat(eips, eips // 3)), width, "it")))  # noqa: S314 - our own
    height = float(root.attrib["viewBox"].split()[3])
    boxes = [{key: float(one.attrib[key]) for key in ("x", "y", "width", "height")} for one in root.iter("rect")]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert all(box["y"] + box["height"] <= height for box in boxes)
    assert height < 7 * 1040
    texts = ["".join(one.itertext()) for one in root.iter("text")]
    assert [name for name in GATEWAYS if name in texts] == list(GATEWAYS)
    assert any("active" in text for text in texts)


def test_gateways_without_a_node_that_is_ready_are_told_in_words() -> None:
    site = nat(1)
    site["gateways"][1]["ready"] = False
    text = str(picture(site_view(site), 1040, "it"))
    assert "not ready · priority 99" in text
    assert f"{GATEWAYS[1]} (not ready)" in text, "in the description too"


def test_long_names_end_in_an_ellipsis() -> None:
    site = nat(1)
    site["gateways"][0]["node"] = "n" * 200
    texts = re.findall(r"<text[^>]*>(n+…)</text>", str(picture(site_view(site), 340, "it")))
    assert len(texts) == 1
    assert len(texts[0]) < 50


def test_a_result_that_is_none_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="has no gateways"):
        site_report({"cluster": "x"})
    with pytest.raises(AnsibleFilterError, match="ovn_nat_info"):
        site_report({**nat(1), "nat_rules": [{}]})


def test_measurements_of_failovers_come_with_the_longest_silence_first() -> None:
    targets = [
        {"address": f"10.4.19.{number}", "sent": 100, "lost": number, "silence": number / 10} for number in range(1, 31)
    ]
    page = site_report(nat(1), "now", [{"from": "a", "to": "b", "targets": targets}])
    shown = re.findall(r'<th scope="row" class="mono">10\.4\.19\.(\d+)</th><td class="num"', page)
    assert list(map(int, shown)) == list(range(30, 0, -1))
    assert "20 more addresses, none of them silent for longer" in page


def test_what_gateways_showed_of_themselves_is_told() -> None:
    page = site_report(nat(1))
    assert page.count("NIC and tunnels were not looked at") == 3
    rows = nat(1)["gateways"]
    for row, link, bfd in zip(rows, ("up", "down", "up"), ("up", "down", "none"), strict=True):
        row |= {"link": link, "bfd": bfd}
    page = site_report(nat(1, gateways=rows))
    assert "not looked at" not in page
    chips = re.findall(r'<span class="chip (ok|error)">((?:NIC|tunnels) \w+)</span>', page)
    assert chips == [
        ("ok", "NIC up"),
        ("ok", "tunnels up"),
        ("error", "NIC down"),
        ("error", "tunnels down"),
        ("ok", "NIC up"),
    ]


def test_each_way_of_a_failover_test_is_shown() -> None:
    targets = [{"address": "10.4.19.101", "sent": 150, "lost": 33, "silence": 3.6}]
    ways = [{"way": way, "from": "a", "to": to, "targets": targets} for way, to in (("drain", "b"), ("nic", None))]
    page = site_report(nat(1), "now", [{"ways": ways, **ways[0]}])
    assert "a gave way to b (drain)" in page
    assert "a gave way to nobody (nic)" in page
