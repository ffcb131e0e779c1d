# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' text format, read as strictly as promtool's check does: names, help and type once for each family."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')
SAMPLE = re.compile(r"([^\s{]+)(?:\{(.*)\})? (-?[0-9.e+]+|NaN|[+-]Inf)")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """Every sample; what is not right raises an AssertionError that names the line."""
    assert text.endswith("\n"), "the last line must end"
    helps: set[str] = set()
    types: dict[str, str] = {}
    samples: Samples = {}
    ended: set[str] = set()
    last = ""
    for line in text.splitlines():
        if line.startswith("# "):
            keyword, name, rest = line[2:].split(" ", 2)
            assert NAME.fullmatch(name), line
            assert name not in ended, f"family {name} is torn apart"
            if keyword == "HELP":
                assert name not in helps, line
                assert rest.endswith("."), line
                helps.add(name)
            else:
                assert keyword == "TYPE", line
                assert rest in {"gauge", "counter"}, line
                assert name not in types, line
                types[name] = rest
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        name, inside, value = found.groups()
        assert NAME.fullmatch(name), line
        assert name in types, line
        assert name in helps, line
        if last and last != name:
            ended.add(last)
        assert name not in ended, f"family {name} is torn apart"
        last = name
        assert (types[name] == "counter") == name.endswith("_total"), line
        key = name, frozenset(_labels(inside or ""))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(value)
    return samples


def _labels(inside: str) -> list[tuple[str, str]]:
    labels, at = [], 0
    while at < len(inside):
        found = LABEL.match(inside, at)
        assert found, inside
        value = re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[1], found[2])
        labels.append((found[1], value))
        at = found.end()
    assert len({name for name, _value in labels}) == len(labels), inside
    return labels
