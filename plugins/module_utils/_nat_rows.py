# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How NAT rows are read, since there may be a hundred thousand: what usual ones have in common is not sent with each.

An ovsdb-server needs far longer to write an answer than a client needs to read it, and most of what it writes of ten
thousand NAT rows is the same ten thousand times. A row's identity costs it as much as both of the addresses.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from operator import itemgetter

from ansible_collections.kubeovn.core.plugins.module_utils._model import FIP, NAT_TYPES, NatRule
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import Query, Row, to_set
from ansible_collections.kubeovn.core.plugins.module_utils._rows import nat_rule

Rules = tuple[NatRule, ...]

ADDRESSES = ("external_ip", "logical_ip")
COLUMNS = ("_uuid", "type", *ADDRESSES, "logical_port", "external_mac", "options")
# What the rule of an EIP is like, unless it is a distributed one. Each column more is another look at all rows for the
# server. A MAC without a port means nothing to OVN, and whether a centralized rule is stateless only matters to who
# changes it.
USUAL = {"type": NAT_TYPES[FIP], "logical_port": to_set([])}
addresses = itemgetter(*ADDRESSES)


def nat_queries(identities: bool) -> list[Query]:
    """With identities one query for all rows whole. Else one for the usual rows by their addresses alone, and for each
    column one for the rows, whole, that are unusual in it: in more than one, they come more than once."""
    if identities:
        return [("NAT", COLUMNS, ())]
    same = [(name, "==", value) for name, value in USUAL.items()]
    return [("NAT", ADDRESSES, same), *(("NAT", COLUMNS, [(name, "!=", value)]) for name, value in USUAL.items())]


def nat_rules(
    answers: Sequence[Sequence[Row]], identities: bool, foreign: Collection[str]
) -> tuple[Rules, Rules] | None:
    """The VPC's rules from the answers to these queries, and those of other routers, whose identities are given.

    With identities in the order of their addresses; without as they came, since who tells of them puts them in order.
    None: rows of other routers are among those that came without identity.
    """
    short, whole = ((), answers) if identities else (answers[0], answers[1:])
    rows = {row["_uuid"]: row for answer in whole for row in answer}
    others = sorted((nat_rule(row) for key, row in rows.items() if key in foreign), key=_order)
    if len(others) != len(foreign) and not identities:
        return None
    own = sorted((nat_rule(row) for key, row in rows.items() if key not in foreign), key=_order)
    return (*_usual(short), *own), tuple(others)


def _order(rule: NatRule) -> tuple[str, ...]:
    return rule.external_ip, rule.logical_ip, rule.type, rule.uuid


def _usual(rows: Sequence[Row]) -> Rules:
    """The records of rows that came by their addresses alone. What a record has after them it has by default."""
    start, rest = ("", NAT_TYPES[FIP]), tuple(NatRule._field_defaults.values())
    make = partial(tuple.__new__, NatRule)  # what NatRule(...) does, without a frame of Python for each
    return tuple([make((*start, *addresses(row), *rest)) for row in rows])
