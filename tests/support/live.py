# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as seen from outside the collection: kubectl, ovn-nbctl, ping and the audit log."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from support.lab import Lab

T = TypeVar("T")
OPERATOR = "system:serviceaccount:kube-system:kubeovn-operator"  # as whom the collection writes
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def eventually(probe: Callable[[], T], done: Callable[[T], object], timeout: float = 60, what: str = "") -> T:
    """Probe until `done` says yes; the last thing seen is in the error."""
    deadline = time.monotonic() + timeout
    while True:
        seen = probe()
        if done(seen):
            return seen
        assert time.monotonic() < deadline, f"{what or 'it'} was not so after {timeout:g} s: {seen}"
        time.sleep(0.3)


class Live:
    """Short names for looking at a lab, and for changing it behind the collection's back."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = Path(os.environ["LAB_STATE"])

    # --- Kubernetes ---

    def kubectl(self, *arguments: str) -> str:
        """As cluster admin."""
        return self.lab.run("kubectl", *arguments)

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """An object, None when there is none."""
        answer = self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] | None = json.loads(answer) if answer.strip() else None
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        path = self.folder / "test-objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.kubectl("apply", "-f", str(path))

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        """A merge patch as cluster admin."""
        self.kubectl("patch", kind, name, "-n", "default", "--type=merge", "-p", json.dumps(change))

    def annotations(self, kind: str, name: str) -> dict[str, str]:
        """An object's annotations; a VM's are its template's."""
        found = self.get(kind, name) or {}
        if kind == "vm":
            found = (found.get("spec") or {}).get("template") or {}
        return (found.get("metadata") or {}).get("annotations") or {}

    def launcher(self, vm: str) -> dict[str, Any] | None:
        """A VM's launcher pod that runs and has its network."""
        answer = self.kubectl("get", "pods", "-n", "default", "-l", f"vm.kubevirt.io/name={vm}", "-o", "json")
        pods = [
            pod
            for pod in json.loads(answer)["items"]
            if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
        ]
        return pods[0] if len(pods) == 1 and _routed(pods[0]) else None

    def written(self, since: int) -> list[dict[str, Any]]:
        """What the collection's identity has written, in order, since a mark."""
        with Path(os.environ["LAB_AUDIT_LOG"]).open(encoding="utf-8") as log:
            log.seek(since)
            events = [json.loads(line) for line in log if line.endswith("\n")]
        return [
            event
            for event in events
            if event["user"]["username"] == OPERATOR
            and event["verb"] in WRITES
            and event["objectRef"]["resource"] != "selfsubjectaccessreviews"
        ]

    def mark(self) -> int:
        """Where the audit log ends now."""
        return Path(os.environ["LAB_AUDIT_LOG"]).stat().st_size

    # --- OVN ---

    def nbctl(self, *arguments: str) -> str:
        """ovn-nbctl."""
        return self.lab.run("nbctl", *arguments)

    def rules(self) -> list[tuple[str, str, str]]:
        """All NAT rows: type, external and logical address."""
        columns = "--columns=type,external_ip,logical_ip"
        answer = self.nbctl("--format=csv", "--data=bare", "--no-headings", columns, "list", "NAT")
        rows = (line.split(",") for line in answer.splitlines() if line.count(",") == 2)
        return sorted((kind, external, logical) for kind, external, logical in rows)

    def rule_ids(self) -> list[str]:
        """The rows' own names: equal before and after when nobody touched them."""
        columns = ("--format=csv", "--data=bare", "--no-headings", "--columns=_uuid")
        answers = [self.nbctl(*columns, "list", table) for table in ("NAT", "Logical_Router_Policy")]
        return sorted(line for answer in answers for line in answer.splitlines())

    def policies(self) -> dict[str, str]:
        """The reroute policies of EIPs: match -> next hops."""
        columns = "--columns=match,nexthops"
        answer = self.nbctl(
            "--format=csv", "--data=bare", "--no-headings", columns, "find", "Logical_Router_Policy", "priority=29250"
        )
        return dict(line.split(",", 1) for line in answer.splitlines() if line.startswith("ip4.src"))

    # --- packets ---

    def ping(self, address: str, count: int = 3) -> list[int]:
        """TTLs of the answers that the outside host gets."""
        answer = self.lab.run(
            "outside",
            "--",
            "sh",
            "-c",
            f"ip neigh flush to {address}; ping -n -c {count} -i 0.2 -W 1 {address} || true",
        )
        return [int(ttl) for ttl in re.findall(r"ttl=(\d+)", answer)]

    def answers(self, address: str) -> list[int]:
        """Wait until the address answers: the TTLs."""
        return eventually(lambda: self.ping(address), lambda ttls: len(ttls) == 3, 60, f"{address} answers")


def _routed(pod: dict[str, Any]) -> bool:
    return (pod["metadata"].get("annotations") or {}).get("ovn.kubernetes.io/routed") == "true"
