# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site in numbers, in Prometheus' text format, as node_exporter's textfile collector reads it. Pure.

Each series is there from the start, with 0 where nothing is wrong, so that an alert needs no `absent()`.
Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ansible_collections.kubeovn.core.plugins.module_utils._findings import CODES
from ansible_collections.kubeovn.core.plugins.plugin_utils._site_view import SiteView

Series = tuple[Mapping[str, str], float]

HELP = {
    "kubeovn_audit_success": "Whether the last audit could look at the cluster and at OVN.",
    "kubeovn_audit_timestamp_seconds": "When the last audit was made.",
    "kubeovn_audit_unjudged": "How many things could not be judged, for want of rights.",
    "kubeovn_findings": "Findings of the last audit, by code.",
    "kubeovn_eips": "EIPs by their health.",
    "kubeovn_active_gateway": "Whether any gateway holds the router port.",
    "kubeovn_gateway_ready": "Whether Kubernetes calls the gateway's node Ready.",
    "kubeovn_gateway_active": "Whether this gateway holds the router port.",
    "kubeovn_gateway_priority": "The gateway's priority in OVN.",
}


def metrics(view: SiteView | None, cluster: str, at: float) -> str:
    """The file's text. Without a view the look has failed, and that is all that is told."""
    site = {"cluster": cluster}
    series: dict[str, list[Series]] = {
        "kubeovn_audit_success": [(site, 0 if view is None else 1)],
        "kubeovn_audit_timestamp_seconds": [(site, at)],
    }
    if view is not None:
        series |= _of_view(view, site)
    return "".join(_family(name, rows) for name, rows in series.items() if rows)


def _of_view(view: SiteView, site: Mapping[str, str]) -> dict[str, list[Series]]:
    severities = {code: severity for code, (severity, *_more) in CODES.items()}
    severities |= {finding["code"]: finding["severity"] for finding in view.findings}
    found = Counter(str(finding["code"]) for finding in view.findings)
    gateways = [({**site, "node": one.name}, one) for one in view.gateways]
    return {
        "kubeovn_audit_unjudged": [(site, len(view.unjudged))],
        "kubeovn_findings": [
            ({**site, "severity": severity, "code": code}, found[code]) for code, severity in sorted(severities.items())
        ],
        "kubeovn_eips": [({**site, "health": health}, count) for health, count in view.healths.items()],
        "kubeovn_active_gateway": [(site, bool(view.active))],
        "kubeovn_gateway_ready": [(labels, one.ready) for labels, one in gateways],
        "kubeovn_gateway_active": [(labels, one.active) for labels, one in gateways],
        "kubeovn_gateway_priority": [(labels, one.priority) for labels, one in gateways],
    }


def _family(name: str, rows: Iterable[Series]) -> str:
    lines = [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
    for labels, value in rows:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
