# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one Kubernetes adapter: list, get, merge patch, create, delete and exec, with errors that say what to do next.

It speaks REST through the `kubernetes` client's own connection pool: paths are known, so there is no discovery.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

# _auth says so when they are missing.
try:
    import urllib3
    from kubernetes.client.exceptions import ApiException
    from kubernetes.client.rest import RESTClientObject
except ImportError:
    pass

from ansible_collections.kubeovn.core.plugins.module_utils._auth import AuthError, configure
from ansible_collections.kubeovn.core.plugins.module_utils._wait import Clock, SystemClock

# Objects a LIST brings at a time: so many that a run on thousands of pods asks as often as one on a single pod, and not
# without end, so that the API server need not build the answer for a huge cluster at once.
PAGE = 5000
WRITERS = 16  # patches under way at once
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
# A busy API server says these; what was asked was not done, or may be asked again without harm.
BUSY = frozenset({429, 500, 502, 503, 504})
TRIES = 4

Object = dict[str, Any]
Objects = list[Object]
Patch = tuple["Resource", "str | None", str, Mapping[str, Any]]


class ClusterError(Exception):
    """The API server did not do what was asked. status: HTTP's, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0, hint: str = "") -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.status = status
        self.hint = hint


@dataclass(frozen=True)
class Resource:
    """A kind by its place in the API."""

    group: str
    version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL's path of the collection, or of one object."""
        parts = ["api", self.version] if not self.group else ["apis", self.group, self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


NODES = Resource("", "v1", "nodes", False)
NAMESPACES = Resource("", "v1", "namespaces", False)
PODS = Resource("", "v1", "pods", True)
POD_EXEC = Resource("", "v1", "pods/exec", True)
CONFIG_MAPS = Resource("", "v1", "configmaps", True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", True)
VMS = Resource("kubevirt.io", "v1", "virtualmachines", True)
VMIS = Resource("kubevirt.io", "v1", "virtualmachineinstances", True)
SUBNETS = Resource("kubeovn.io", "v1", "subnets", False)
VPCS = Resource("kubeovn.io", "v1", "vpcs", False)
IPS = Resource("kubeovn.io", "v1", "ips", False)
OVN_EIPS = Resource("kubeovn.io", "v1", "ovn-eips", False)
VLANS = Resource("kubeovn.io", "v1", "vlans", False)
DEPLOYMENTS = Resource("apps", "v1", "deployments", True)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", True)
DEFINITIONS = Resource("k8s.cni.cncf.io", "v1", "network-attachment-definitions", True)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", True)

ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", False)


class Cluster:
    """A Kubernetes API server. `open_cluster` makes one from a module's options."""

    def __init__(self, configuration: Any, headers: Sequence[tuple[str, str]] = (), clock: Clock | None = None) -> None:
        # One try each: repeating is decided here, where it is known what may be repeated.
        configuration.retries = False
        configuration.connection_pool_maxsize = WRITERS
        self.host = str(configuration.host).rstrip("/")
        self._configuration = configuration
        self._headers = tuple(headers)
        self._pool = RESTClientObject(configuration).pool_manager
        self._clock = clock or SystemClock()

    # --- reading

    @property
    def version(self) -> str:
        """The API server's version, v1.36.3."""
        return str(self._request("GET", "/version").get("gitVersion", ""))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        label_selector: str | None = None,
        absent_ok: bool = False,
    ) -> Objects:
        """All objects of a kind, page by page. absent_ok: a kind that the cluster does not know has none."""
        query = {"limit": str(PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        found: Objects = []
        restarted = False
        while True:
            try:
                page = self._request("GET", resource.path(namespace), query)
            except ClusterError as error:
                if error.status == 404 and absent_ok:
                    return []
                if error.status == 410 and not restarted:  # the list changed for too long under our pages
                    found, restarted = [], True
                    query.pop("continue", None)
                    continue
                raise
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object, None when there is none."""
        try:
            return self._request("GET", resource.path(namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def may(self, verb: str, resource: Resource, namespace: str | None = None, name: str | None = None) -> bool:
        """Whether this identity has a right, asked of the API server: so a refusal can come before the first write."""
        plural, _slash, subresource = resource.plural.partition("/")
        asked = {"verb": verb, "group": resource.group, "resource": plural}
        asked |= {"subresource": subresource} if subresource else {}
        asked |= {key: value for key, value in (("namespace", namespace), ("name", name)) if value}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        return bool((self._request("POST", ACCESS_REVIEWS.path(), body=body).get("status") or {}).get("allowed"))

    # --- writing

    def merge_patch(self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any]) -> Object:
        """Write these fields of an object (RFC 7396); null takes one away."""
        content = "application/merge-patch+json"
        return self._request("PATCH", resource.path(namespace, name), body=body, content=content)

    def patch_many(self, patches: Sequence[Patch]) -> Sequence[Object | ClusterError]:
        """Merge patches, 16 at a time. Per patch, in order: the object, or why it was not patched."""
        return self.together([partial(self.merge_patch, *patch) for patch in patches])

    def together(self, calls: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        """Requests of any kind, 16 at a time. Per request, in order: its answer, or the ClusterError instead."""

        def one(call: Callable[[], Any]) -> Any:
            try:
                return call()
            except ClusterError as error:
                return error

        with ThreadPoolExecutor(max_workers=WRITERS) as pool:
            return list(pool.map(one, calls))

    def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> Object:
        """A new object. Status 409 when there is one of that name. Sent once: an answer may be lost after the deed."""
        return self._request("POST", resource.path(namespace), body=body)

    def delete(
        self, resource: Resource, namespace: str | None, name: str, version: str | None = None, uid: str | None = None
    ) -> bool:
        """Delete an object. False when there was none. version, uid: only as it was then, or that one, else 409."""
        only = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        body = {"preconditions": only} if only else None
        try:
            self._request("DELETE", resource.path(namespace, name), body=body)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout: float) -> str:
        """Run a command in a container: its standard output. Another code than 0 is an error, so is more time."""
        if any(name.lower().startswith("impersonate-") for name, value in self._headers):
            raise ClusterError(
                f"exec into pod {namespace}/{pod} cannot impersonate a user",
                hint="reach OVN over TCP instead: ovn_connection=tcp with nb_endpoint and sb_endpoint",
            )
        return _run_in_pod(self._configuration, namespace, pod, container, argv, timeout)

    # --- one request

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Object:
        url = self.host + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        # A create must not be sent twice blindly; the rest ends in the same state however often it is done.
        tries = 1 if method == "POST" else TRIES
        for attempt in range(1, tries + 1):
            status, retry_after, answer = self._send(method, url, data, content, last=attempt == tries)
            if status is not None and status not in BUSY:
                return _judge(method, path, status, answer)
            if attempt < tries:
                self._clock.sleep(min(retry_after or 0.25 * 2**attempt, 5.0))
        return _judge(method, path, status or 0, answer)

    def _send(
        self, method: str, url: str, data: bytes | None, content: str, last: bool
    ) -> tuple[int | None, float | None, bytes]:
        """One try: status (None: no answer), the pause that the server asks for, the body."""
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json", "User-Agent": "kubeovn.core"})
        for name, value in self._headers:
            headers.add(name, value)
        for setting in self._configuration.auth_settings().values():  # renews tokens of exec credentials too
            headers[setting["key"]] = setting["value"]
        if data is not None:
            headers["Content-Type"] = content
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
        try:
            response = self._pool.request(method, url, body=data, headers=headers, timeout=timeout, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if last or isinstance(error, urllib3.exceptions.SSLError):
                raise _unreachable(self.host, error) from error
            return None, None, b""
        pause = response.headers.get("Retry-After", "")
        return response.status, float(pause) if pause.isdigit() else None, response.data


def _judge(method: str, path: str, status: int, answer: bytes) -> Object:
    """The object that the server answered, or its refusal as an error."""
    try:
        value = json.loads(answer) if answer else {}
    except ValueError:
        value = {}
    if not isinstance(value, dict):
        value = {}
    if 200 <= status < 300:
        return value
    text = value.get("message") or answer.decode(errors="replace").strip()[:300] or "no reason given"
    hints = {
        401: "the credentials are not accepted: check kubeconfig, context or api_key",
        403: "this identity lacks a right: docs/rbac.yml of this collection lists those that are needed",
    }
    raise ClusterError(f"the API server refused {method} {path}: {status}, {text}", status, hints.get(status, ""))


def _unreachable(host: str, error: Exception) -> ClusterError:
    """No answer, in one line: what the connection's last word was."""
    reason = getattr(error, "reason", None) or error
    text = str(reason).split("object at 0x", 1)[-1]
    text = text.split(">: ", 1)[-1] if ">: " in text else text
    if "certificate" in text.lower():
        return ClusterError(f"the certificate of the API server {host} is not trusted: {text}", 0, "see ca_cert")
    return ClusterError(
        f"the API server {host} does not answer: {text}", 0, "check host, kubeconfig, context, proxy and the network"
    )


def _run_in_pod(
    configuration: Any, namespace: str, pod: str, container: str, argv: Sequence[str], timeout: float
) -> str:
    """The command's standard output; ClusterError when it could not be run, ended badly, or not in time."""
    # Only here: these two cost every other run half a second.
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.stream import stream

    what = f"exec of {argv[0]} in pod {namespace}/{pod}, container {container}"
    # stream() changes its client for good, hence one of its own.
    api = CoreV1Api(ApiClient(configuration))
    session: Any = None
    try:
        session = stream(
            api.connect_get_namespaced_pod_exec,
            pod,
            namespace,
            container=container,
            command=list(argv),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
            _request_timeout=timeout,
        )
        session.run_forever(timeout=timeout)
        if session.is_open():
            raise ClusterError(f"{what} did not end within {timeout:g} s")
        output, complaint = session.read_stdout() or "", session.read_stderr() or ""
        code = session.returncode
    except ApiException as error:
        reason = str(error.reason or error).strip().splitlines()[0]
        hint = "right pods/exec is needed, see docs/rbac.yml" if "403" in f"{error.status} {reason}" else ""
        raise ClusterError(f"{what} was refused: {reason}", error.status or 0, hint) from error
    except OSError as error:
        raise ClusterError(f"{what} failed: {error}") from error
    finally:
        if session is not None:
            session.close()
    if code:
        raise ClusterError(f"{what} ended with code {code}: {complaint.strip() or output.strip()}")
    return str(output)


def open_cluster(params: Mapping[str, Any]) -> Cluster:
    """The cluster that a module's options, K8S_AUTH_* and the kubeconfig lead to. Nothing is sent yet."""
    try:
        configuration, headers = configure(params, os.environ)
    except AuthError as error:
        raise ClusterError(str(error)) from error
    return Cluster(configuration, headers)
