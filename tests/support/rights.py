# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights of docs/rbac.yml, and a way to take one away for a moment."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import yaml

from support.commands import TOP, CommandFailed
from support.live import OPERATOR, eventually

ITEMS = yaml.safe_load((TOP / "docs" / "rbac.yml").read_text())["items"]
ROLES = {
    (item["kind"], item["metadata"].get("namespace", "")): item
    for item in ITEMS
    if item["kind"] in ("Role", "ClusterRole")
}
NAME = "kubeovn-operator"

Role = tuple[str, str]  # kind, namespace
Right = tuple[str, str]  # verb, resource


def rights(role: dict[str, Any]) -> Iterator[Right]:
    """Each verb on each resource."""
    for rule in role["rules"]:
        for resource in rule["resources"]:
            yield from ((verb, resource) for verb in rule["verbs"])


def without(role: dict[str, Any], verb: str, resource: str) -> list[dict[str, Any]]:
    """The role's rules, one right less."""
    kept: list[dict[str, Any]] = []
    for rule in copy.deepcopy(role["rules"]):
        for one in rule["resources"]:
            verbs = [word for word in rule["verbs"] if (word, one) != (verb, resource)]
            kept += [{**rule, "resources": [one], "verbs": verbs}] if verbs else []
    return kept


class Rights:
    """The lab's operator, whose rights can be taken away for a moment."""

    def __init__(self, kubectl: Callable[..., str]) -> None:
        self.kubectl = kubectl

    def give(self, role: Role, rules: list[dict[str, Any]]) -> None:
        patch = json.dumps({"rules": rules})
        where = ("-n", role[1] or "default")
        self.kubectl("patch", role[0].lower(), NAME, *where, "--type=merge", "-p", patch)

    def may(self, role: Role, verb: str, resource: str) -> bool:
        """What the API server thinks, which takes notice of a changed role a moment later."""
        rules = ROLES[role]["rules"]
        rule = next(rule for rule in rules if resource in rule["resources"] and verb in rule["verbs"])
        plain, _slash, part = resource.partition("/")
        what = ".".join([plain, *filter(None, rule["apiGroups"])])
        what = "/".join([what, *rule.get("resourceNames", [])])
        where = ("-n", role[1] or "kube-system", *([f"--subresource={part}"] if part else []))
        with suppress(CommandFailed):  # kubectl ends with 1 for a no
            answer = self.kubectl("auth", "can-i", verb, what, f"--as={OPERATOR}", *where)
            return answer.split()[-1] == "yes"  # after a warning where the namespace has no meaning
        return False

    @contextmanager
    def lacking(self, role: Role, verb: str, resource: str) -> Iterator[None]:
        self.give(role, without(ROLES[role], verb, resource))
        try:
            allowed = partial(self.may, role, verb, resource)
            eventually(allowed, lambda yes: not yes, what=f"{verb} {resource} is taken away")
            yield
        finally:
            self.give(role, ROLES[role]["rules"])
            eventually(allowed, bool, what=f"{verb} {resource} is given back")
