# SPDX-License-Identifier: GPL-3.0-or-later
"""An external NIC as the kernel has it, in the form that tests of role gateway_nic compare."""

from __future__ import annotations

import json
from typing import Any

LINKS = "ip -json -details address show"


def as_seen(links: str, nic: str) -> dict[str, Any]:
    """Of what LINKS has printed: this NIC; nothing where it does not exist."""
    rows = {row["ifname"]: row for row in json.loads(links) if row}
    if nic not in rows:
        return {}
    row = rows[nic]
    return {
        "mode": row.get("linkinfo", {}).get("info_data", {}).get("mode"),
        "mtu": row["mtu"],
        "up": "UP" in row["flags"],
        "addresses": len(row["addr_info"]),
        "members": sorted(name for name, other in rows.items() if other.get("master") == nic),
    }
