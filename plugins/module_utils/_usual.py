# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Large tables whose rows are nearly all alike in some columns: these values are not sent with each row. Pure.

An ovsdb-server needs far longer to write an answer than a client needs to read it, and most of what it writes of ten
thousand NAT rows is the same ten thousand times.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import Query, Row, decode


@dataclass(frozen=True)
class Usual:
    """A table to read, and the (wire) values that its rows usually have: one query for the usual rows, without these
    columns and without `spared`, and for each of the columns one for the rows that are unusual in it first."""

    table: str
    columns: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict)
    spared: Collection[str] = ()  # columns that usual rows come without. Rows alike in all others come once, then

    def queries(self) -> list[Query]:
        """Together they show each row once."""
        short = [name for name in self.columns if name not in self.values and name not in self.spared]
        same = [(name, "==", value) for name, value in self.values.items()]
        unusual = [
            (self.table, self.columns, [*same[:index], (name, "!=", value)])
            for index, (name, value) in enumerate(self.values.items())
        ]
        return [(self.table, short, same), *unusual]

    def rows(self, answers: Sequence[Iterable[Row]]) -> Iterator[Row]:
        """All rows, from the answers to the queries."""
        usual, *others = answers
        filled = {name: decode(value) for name, value in self.values.items()}
        for row in usual:
            yield {**filled, **row}
        for answer in others:
            yield from answer
