# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Kubernetes client with nothing but the standard library."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
import threading
from typing import Any, Dict, Iterator, Optional
from urllib.parse import urlsplit

Object = Dict[str, Any]
TIMEOUT = 30.0
# "Methods" of patches: STRATEGIC merges the items of a core object's list by their keys, MERGE replaces the list.
PATCHES = {"MERGE": "application/merge-patch+json", "STRATEGIC": "application/strategic-merge-patch+json"}


def log(text: str) -> None:
    """A line in the unit's journal."""
    print("lab-standin: " + text, file=sys.stderr, flush=True)


class ApiError(Exception):
    """The API server's refusal."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__("%s: %s" % (code, text))
        self.code = code


class Api:
    """Requests to one API server; one connection per thread."""

    def __init__(self, kubeconfig: str) -> None:
        # The lab writes its kubeconfigs as JSON, which is YAML too.
        with open(kubeconfig, encoding="utf-8") as source:
            config = json.load(source)
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        self._server = urlsplit(cluster["server"])
        self._token = config["users"][0]["user"]["token"]
        self._local = threading.local()

    def connect(self, timeout: float = TIMEOUT) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            str(self._server.hostname), self._server.port, timeout=timeout, context=self._context
        )

    def _send(self, connection: http.client.HTTPSConnection, method: str, path: str, body: Optional[Object]) -> Any:
        headers = {"Authorization": "Bearer " + self._token, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = PATCHES.get(method, "application/json")
            method = "PATCH" if method in PATCHES else method
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()

    def request(self, method: str, path: str, body: Optional[Object] = None) -> Object:
        """One request; a kept connection that the server has closed meanwhile is opened again."""
        for attempt in (0, 1):
            kept: Optional[http.client.HTTPSConnection] = getattr(self._local, "connection", None)
            connection = self._local.connection = kept or self.connect()
            try:
                answer = self._send(connection, method, path, body)
                text = answer.read()
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if kept is None or attempt:
                    raise
        if answer.status >= 400:
            raise ApiError(answer.status, text.decode(errors="replace")[:400])
        result: Object = json.loads(text)
        return result

    def find(self, path: str) -> Optional[Object]:
        """The object, or None when there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def watch(self, path: str, version: str) -> Iterator[Object]:
        """Events after a resource version, until the server ends the stream."""
        connection = self.connect(timeout=90)
        try:
            separator = "&" if "?" in path else "?"
            query = "%swatch=1&allowWatchBookmarks=true&timeoutSeconds=60&resourceVersion=%s" % (separator, version)
            answer = self._send(connection, "GET", path + query, None)
            if answer.status >= 400:
                raise ApiError(answer.status, answer.read().decode(errors="replace")[:400])
            for line in answer:
                yield json.loads(line)
        finally:
            connection.close()
