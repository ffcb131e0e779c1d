# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which part of what was seen is told: by address, network, holder, namespace, finding; and a JMESPath query. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._findings import CODES, Finding
from ansible_collections.kubeovn.core.plugins.module_utils._model import Holder, Problem
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import address_of, sort_key

try:
    import jmespath
except ImportError:
    jmespath = None

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
KINDS = ("VirtualMachine", "Pod", "Deployment")


@dataclass(frozen=True)
class Filters:
    """What is wanted. Empty: whatever it is. What is given of different kinds has to hold together."""

    addresses: frozenset[tuple[int, int, str]] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    holders: tuple[tuple[str, ...], ...] = ()  # (name), (namespace, name) or (kind, namespace, name)
    namespaces: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()

    def wants(self, address: str | None, holders: Collection[Holder]) -> bool:
        """Whether an external address with these holders is wanted."""
        return self._at(address) and (not self._by_holder or any(self._of(one) for one in holders))

    def wants_finding(self, one: Finding) -> bool:
        """Whether a finding is wanted. One that is about no address or no holder is not left out for want of it."""
        about = one.address is None or self._at(one.address)
        whose = not self._by_holder or (self._of(one.holder) if one.holder else one.address is None)
        return about and whose and (not self.codes or one.code in self.codes)

    @property
    def _by_holder(self) -> bool:
        return bool(self.holders or self.namespaces)

    def _at(self, text: str | None) -> bool:
        if not self.addresses and not self.networks:
            return True
        if text is None:
            return False
        address = address_of(text)
        return sort_key(text) in self.addresses or (
            address is not None and any(address in network for network in self.networks)
        )

    def _of(self, holder: Holder) -> bool:
        full = (holder.kind, holder.namespace, holder.name)
        named = not self.holders or any(full[-len(one) :] == one for one in self.holders)
        return named and (not self.namespaces or holder.namespace in self.namespaces)


def filters_of(params: Mapping[str, Any]) -> tuple[Filters, list[Problem]]:
    """The filters that a module's options ask for, and what is wrong with these options."""
    problems: list[Problem] = []
    singles, networks = [], []
    for index, text in enumerate(params.get("addresses") or ()):
        if address_of(text) is not None:
            singles.append(sort_key(text))
        elif (network := _network(text)) is not None:
            networks.append(network)
        else:
            hint = "an external address, as 10.4.19.101, or a network, as 10.4.19.96/28"
            problems.append(Problem(f"addresses[{index}]", f"{text!r} is neither an address nor a network", hint))
    holders = [tuple(text.split("/")) for text in params.get("holders") or ()]
    for index, parts in enumerate(holders):
        if len(parts) > 3 or not all(parts) or (len(parts) == 3 and parts[0] not in KINDS):
            hint = f"NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME; kinds are {', '.join(KINDS)}"
            problems.append(Problem(f"holders[{index}]", f"{'/'.join(parts)!r} is no holder", hint))
    codes = list(params.get("findings") or ())
    for index, code in enumerate(codes):
        if code not in CODES:
            problems.append(Problem(f"findings[{index}]", f"{code!r} is no finding", f"one of {', '.join(CODES)}"))
    names = list(params.get("namespaces") or ())
    for index, name in enumerate(names):
        if not NAMESPACE.fullmatch(name):
            hint = "lower-case letters, digits and hyphens, as shop-1"
            problems.append(Problem(f"namespaces[{index}]", f"{name!r} is no namespace's name", hint))
    filters = Filters(frozenset(singles), tuple(networks), tuple(holders), frozenset(names), frozenset(codes))
    return filters, problems


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text) if "/" in text else None
    except ValueError:
        return None


def query_problems(query: str | None) -> list[Problem]:
    """What is wrong with option `query`."""
    if not query:
        return []
    if jmespath is None:
        return [Problem("query", "the Python library jmespath is missing", "pip install jmespath, on this machine")]
    try:
        jmespath.compile(query)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        said = str(error).splitlines()[0]
        hint = "an expression in JMESPath over this module's results, as findings[?severity=='error'].text"
        return [Problem("query", f"{query!r}: {said}", hint)]
    return []


def ask(query: str, told: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The answer to a query that compiles; it may still ask a function for what it cannot do, or for what is no data.

    Not all that jmespath raises then is an error of its own: a step of 0 in a slice is a ValueError of Python's.
    """
    try:
        answer = jmespath.search(query, dict(told))
        json.dumps(answer, allow_nan=False)
    except (jmespath.exceptions.JMESPathError, AttributeError, TypeError, ValueError, RecursionError) as error:
        return None, [Problem("query", f"{query!r}: {str(error).splitlines()[0]}", "see https://jmespath.org")]
    return answer, []


def chosen(found: Sequence[Finding], filters: Filters) -> list[Finding]:
    """The findings that are wanted."""
    return [one for one in found if filters.wants_finding(one)]
