# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of an audit: what was found, what has changed, and whether that is a failure. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.kubeovn.core.plugins.plugin_utils._site_changes import changes
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import ERROR, UNSEEN, WARNING, SiteView, site_view

NEVER = "never"
SEVERITIES = (
    ERROR,
    WARNING,
    NEVER,
)  # what an audit may fail on; `warning` means errors too, and what nobody could judge


def audit(
    nat: Mapping[str, Any],
    fail_on: str = ERROR,
    before: Mapping[str, Any] | None = None,
    *,
    fail_on_change: bool = False,
) -> dict[str, Any]:
    """The whole result. Bad input raises ValueError."""
    if fail_on not in SEVERITIES:
        raise ValueError(f"fail_on is {fail_on!r}; it must be one of {', '.join(SEVERITIES)}")
    view = site_view(nat)
    if before is not None and before.get("cluster") != nat["cluster"]:
        raise ValueError(f"the earlier look was at {before.get('cluster')}, this one is at {nat['cluster']}")
    differences = [] if before is None else changes((site_view(before), before), (view, nat))
    failures = _failures(view, fail_on)
    if fail_on_change and differences:
        failures.append(f"{len(differences)} differences from before")
    return {
        "cluster": view.cluster,
        "errors": view.severity(ERROR),
        "warnings": view.severity(WARNING),
        "eips": view.healths,
        "findings": list(view.findings),
        "unjudged": list(view.unjudged),
        "compared": before is not None,
        "changes": differences,
        "versions": {"before": _versions(before or {}), "now": _versions(nat)},
        "failures": failures,
        "lines": [*_version_lines(before, nat), *_lines(view, differences)],
    }


def _versions(nat: Mapping[str, Any]) -> str:
    """The versions of Kube-OVN in words; empty when they are not known."""
    return ", ".join(map(str, nat.get("versions") or ()))


def _version_lines(before: Mapping[str, Any] | None, nat: Mapping[str, Any]) -> list[str]:
    """Another version is what an upgrade is for: told, and no difference that could be a failure."""
    was, now = _versions(before or {}), _versions(nat)
    return [f"Kube-OVN was {was or 'unknown'}, is {now or 'unknown'}"] if before is not None and was != now else []


def _failures(view: SiteView, fail_on: str) -> list[str]:
    """Why the audit fails; empty when it does not. One part for each code, however many findings there are."""
    failing = {ERROR: (ERROR,), WARNING: (ERROR, WARNING), NEVER: ()}[fail_on]
    counted = Counter((one["severity"], one["code"]) for one in view.findings if one["severity"] in failing)
    found = [f"{count} {severity}{'s' if count > 1 else ''} {code}" for (severity, code), count in counted.items()]
    if fail_on == WARNING:
        found += [f"not judged: {text}" for text in view.unjudged]
    return found


def _lines(view: SiteView, differences: Sequence[Mapping[str, str]]) -> Iterable[str]:
    """All of it for people, a line each."""
    for one in view.findings:
        yield f"{one['severity']} {one['code']}: {one['text']}; {one['breaks']}. Repair: {one['repair']}"
    for text in view.unjudged:
        yield f"not judged: {text}"
    unseen = [one.name for one in view.gateways if one.ready and UNSEEN in (one.link, one.tunnels)]
    if unseen:
        yield f"not looked at: NIC and tunnels of {', '.join(unseen)}, which only these nodes themselves show"
    for change in differences:
        was, now = change["before"] or "not there", change["after"] or "gone"
        yield f"changed {change['of']} {change['name']}: {was} -> {now}"
