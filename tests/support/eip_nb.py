# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab whose NAT rows and reroute policies are compared with what they should be: all of them, row by row."""

from __future__ import annotations

from collections.abc import Iterable

from support.eip_lab import BARE
from support.lab import Lab
from support.live import Live, eventually

HOP = "10.4.19.1"
RULES = ("--columns=type,external_ip,logical_ip,logical_port,external_mac", "list", "NAT")
POLICIES = ("--columns=priority,match,action,nexthops", "find", "Logical_Router_Policy", "priority=29250")

Pair = tuple[str, str]  # external and overlay address


class Site(Live):
    """What is there when a file of tests begins is none of its own, and stays as it is."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._others = self.eip_rows()

    def eip_rows(self) -> list[str]:
        """Every NAT row and reroute policy, whatever its router and its address; what is there twice comes twice."""
        return sorted(line for line in self.nbctl(*BARE, *RULES, "--", *POLICIES).splitlines() if line)

    def only(self, *eips: Pair, rules: Iterable[Pair] = (), rerouted: Iterable[str] = ()) -> None:
        """Each of these EIPs has its NAT row and its policy, and nothing else is there.

        rules: those without a policy. rerouted: overlay addresses with a policy, and without a rule.
        """
        assert self.eip_rows() == self._should(eips, rules, rerouted)

    def becomes(self, *eips: Pair, rules: Iterable[Pair] = (), rerouted: Iterable[str] = ()) -> None:
        """The same, after what Kube-OVN does by itself."""
        wanted = self._should(eips, rules, rerouted)
        eventually(self.eip_rows, lambda found: found == wanted, 60, f"NB is {wanted}")

    def _should(self, eips: Iterable[Pair], rules: Iterable[Pair], rerouted: Iterable[str]) -> list[str]:
        eips = list(eips)
        rows = [f"dnat_and_snat,{external},{logical},," for external, logical in (*eips, *rules)]
        ways = dict.fromkeys([*(logical for _external, logical in eips), *rerouted])
        return sorted([*self._others, *rows, *(f"29250,ip4.src == {logical},reroute,{HOP}" for logical in ways)])
