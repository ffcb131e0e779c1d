# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own small client of its API server, through the door: standard library only, one request at a time."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import door, pki
from .processes import LabError
from .site import Lab

Object = dict[str, Any]

# kind -> (plural, namespaced), of what the lab itself writes
KINDS = {
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "ConfigMap": ("configmaps", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "KubeVirt": ("kubevirts", True),
    "Namespace": ("namespaces", False),
    "Node": ("nodes", False),
    "Pod": ("pods", True),
    "PriorityClass": ("priorityclasses", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "ServiceAccount": ("serviceaccounts", True),
    "VirtualMachine": ("virtualmachines", True),
}


class Refused(LabError):
    """The API server answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """One identity at one lab's API server."""

    def __init__(self, lab: Lab, identity: str = "admin") -> None:
        self.port = door.ports(lab)["api"]
        self.headers = {"Authorization": f"Bearer {pki.token(lab, identity)}", "Accept": "application/json"}
        self.tls = ssl.create_default_context(cafile=str(lab.pki / "ca.crt"))

    def request(self, method: str, path: str, body: object = None, content: str = "application/json") -> Object:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {**self.headers, "Content-Type": content})
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Refused(0, f"{method} {path}: {error}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(answer.status, f"{method} {path}: {answer.status} {text[:1000]}")
        return json.loads(text) if text.startswith("{") else {"text": text}

    def get(self, path: str) -> Object | None:
        """The object at a path, None when there is none."""
        try:
            return self.request("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def create(self, item: Object) -> None:
        """Create an object; one that is there already is left as it is."""
        try:
            self.request("POST", collection_path(item), item)
        except Refused as refused:
            if refused.status != 409:
                raise

    def apply(self, item: Object) -> None:
        """Server-side apply: the object is as given afterwards, whoever made it."""
        path = f"{object_path(item)}?fieldManager=kubeovn-core-lab&force=true"
        self.request("PATCH", path, item, "application/apply-patch+yaml")

    def merge(self, path: str, body: Object) -> Object:
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def each(self, write: Callable[[Object], None], items: Iterable[Object]) -> None:
        """Write many objects, a few at a time."""
        with ThreadPoolExecutor(4) as pool:
            for _done in pool.map(write, items):
                pass

    def ready(self) -> bool:
        """Whether the API server serves."""
        try:
            self.request("GET", "/readyz")
        except Refused:
            return False
        return True


def collection_path(item: Object) -> str:
    version = item["apiVersion"]
    plural, namespaced = KINDS[item["kind"]]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{item['metadata'].get('namespace', 'default')}" if namespaced else ""
    return f"{root}{space}/{plural}"


def object_path(item: Object) -> str:
    return f"{collection_path(item)}/{item['metadata']['name']}"
