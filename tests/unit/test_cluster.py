# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes adapter against an HTTP server on loopback: paths, pages, retries, errors; and which cluster it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from ansible_collections.kubeovn.core.plugins.module_utils._auth import AuthError, configure, settings
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import (
    CONFIG_MAPS,
    NODES,
    PODS,
    VMIS,
    VPCS,
    WRITERS,
    Cluster,
    ClusterError,
    open_cluster,
)

TOKEN = "very-secret-token"  # noqa: S105  # nobody's
Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Request:
    """What the server got."""

    method: str
    path: str
    headers: Any
    body: Any


@dataclass
class Server:
    """An HTTP server on loopback whose answers a test gives."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Answer] = lambda _request: (200, {}, {})


class NoPause:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)


@pytest.fixture
def server() -> Generator[Server, None, None]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            request = Request(self.command, self.path, self.headers, body)
            state.requests.append(request)
            status, value, headers = state.answer(request)
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    state.url = f"http://127.0.0.1:{web.server_address[1]}"
    yield state
    web.shutdown()
    web.server_close()


def cluster(server: Server, clock: NoPause | None = None, **params: Any) -> Cluster:
    configuration, headers = configure({"host": server.url, "api_key": TOKEN, **params}, {})
    return Cluster(configuration, headers, clock or NoPause())


# --- paths and bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NODES.path(name="a"), "/api/v1/nodes/a"),
        (PODS.path("shop"), "/api/v1/namespaces/shop/pods"),
        (PODS.path(), "/api/v1/pods"),
        (VMIS.path("shop", "web"), "/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances/web"),
        (VPCS.path(None, "ovn-cluster"), "/apis/kubeovn.io/v1/vpcs/ovn-cluster"),
        (PODS.path("a/../b", "x?y"), "/api/v1/namespaces/a%2F..%2Fb/pods/x%3Fy"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_the_token_goes_with_each_request(server: Server) -> None:
    server.answer = lambda _request: (200, {"gitVersion": "v1.36.3"}, {})
    assert cluster(server).version == "v1.36.3"
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_merge_patch_says_that_it_is_one(server: Server) -> None:
    cluster(server).merge_patch(NODES, None, "a", {"metadata": {"labels": {"x": None}}})
    request = server.requests[0]
    assert (request.method, request.path) == ("PATCH", "/api/v1/nodes/a")
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.body == {"metadata": {"labels": {"x": None}}}


def test_impersonation_names_each_group(server: Server) -> None:
    cluster(server, impersonate_user="ann", impersonate_groups=["ops", "net"]).get(NODES, None, "a")
    headers = server.requests[0].headers
    assert headers["Impersonate-User"] == "ann"
    assert headers.get_all("Impersonate-Group") == ["ops", "net"]


def test_exec_cannot_impersonate(server: Server) -> None:
    with pytest.raises(ClusterError, match="ovn_connection=tcp"):
        cluster(server, impersonate_user="ann").exec("kube-system", "p", "c", ["true"], 5)
    assert server.requests == []


# --- lists ------------------------------------------------------------------------------------------------------------


def pages(request: Request) -> Answer:
    token = request.path.partition("continue=")[2]
    number = int(token or 0)
    more = {"continue": str(number + 1)} if number < 2 else {}
    return 200, {"metadata": more, "items": [{"n": number}]}, {}


def test_a_list_is_read_page_by_page(server: Server) -> None:
    server.answer = pages
    assert cluster(server).list(NODES, label_selector="a=b") == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert server.requests[0].path == "/api/v1/nodes?limit=5000&labelSelector=a%3Db"
    assert [request.path.partition("continue=")[2] for request in server.requests] == ["", "1", "2"]


def test_thousands_of_objects_cost_as_many_requests_as_one(server: Server) -> None:
    """A task that changes nothing asks as often for 1,000 EIPs as for one: no list of pods or claims ends a page."""
    there = 0

    def answer(request: Request) -> Answer:
        query = dict(parse_qsl(urlsplit(request.path).query))
        begin = int(query.get("continue", 0))
        end = min(begin + int(query["limit"]), there)
        more = {"continue": str(end)} if end < there else {}
        return 200, {"metadata": more, "items": [{"n": number} for number in range(begin, end)]}, {}

    server.answer = answer
    asked = []
    for there in (1, 1000, 4000):
        assert len(cluster(server).list(NODES)) == there
        asked.append(len(server.requests))
    assert asked == [1, 2, 3]


def test_a_list_that_expired_begins_again_once(server: Server) -> None:
    expired = [True]

    def answer(request: Request) -> Answer:
        if "continue=2" in request.path and expired:
            expired.clear()
            return 410, {"message": "expired"}, {}
        return pages(request)

    server.answer = answer
    assert cluster(server).list(NODES) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_kind_that_is_not_there(server: Server) -> None:
    server.answer = lambda _request: (404, b"404 page not found", {})
    assert cluster(server).list(VMIS, absent_ok=True) == []
    with pytest.raises(ClusterError, match="404 page not found"):
        cluster(server).list(VMIS)


def test_an_object_that_is_not_there(server: Server) -> None:
    server.answer = lambda _request: (404, {"message": "not found"}, {})
    assert cluster(server).get(NODES, None, "a") is None
    assert cluster(server).delete(NODES, None, "a") is False


def test_a_deletion_says_which_object_it_is_about(server: Server) -> None:
    server.answer = lambda _request: (200, {}, {})
    only = cluster(server)
    assert only.delete(NODES, None, "a", uid="u")
    assert only.delete(NODES, None, "a", "7", "u")
    assert only.delete(NODES, None, "a")
    assert [request.body for request in server.requests] == [
        {"preconditions": {"uid": "u"}},
        {"preconditions": {"uid": "u", "resourceVersion": "7"}},
        None,
    ]


# --- errors and repeating ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    clock = NoPause()

    def answer(_request: Request) -> Answer:
        return (status, {}, {"Retry-After": "2"}) if len(server.requests) < 3 else (200, {"ok": 1}, {})

    server.answer = answer
    assert cluster(server, clock).get(NODES, None, "a") == {"ok": 1}
    assert clock.slept == [2.0, 2.0]


def test_a_server_that_stays_busy_is_an_error(server: Server) -> None:
    server.answer = lambda _request: (503, {"message": "overloaded"}, {})
    with pytest.raises(ClusterError, match="503, overloaded") as caught:
        cluster(server).get(NODES, None, "a")
    assert caught.value.status == 503
    assert len(server.requests) == 4


def test_a_create_is_never_sent_twice(server: Server) -> None:
    server.answer = lambda _request: (503, {"message": "overloaded"}, {})
    with pytest.raises(ClusterError):
        cluster(server).create(CONFIG_MAPS, "a", {})
    assert len(server.requests) == 1


def test_a_refusal_says_what_to_do(server: Server) -> None:
    server.answer = lambda _request: (403, {"message": 'User "x" cannot patch resource "nodes"'}, {})
    with pytest.raises(ClusterError) as caught:
        cluster(server).merge_patch(NODES, None, "a", {})
    assert 'User "x" cannot patch' in str(caught.value)
    assert "docs/rbac.yml" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.requests) == 1


def test_nobody_answers() -> None:
    clock = NoPause()
    configuration, headers = configure({"host": "https://127.0.0.1:1", "api_key": TOKEN}, {})
    with pytest.raises(ClusterError, match=r"https://127.0.0.1:1 does not answer: .*refused") as caught:
        Cluster(configuration, headers, clock).list(NODES)
    assert caught.value.status == 0
    assert TOKEN not in str(caught.value)


def test_an_answer_that_is_no_api_servers(server: Server) -> None:
    server.answer = lambda _request: (302, b"<html>log in</html>", {"Location": "/login"})
    with pytest.raises(ClusterError, match="302"):
        cluster(server).list(NODES)


def test_rights_are_asked_for(server: Server) -> None:
    server.answer = lambda _request: (201, {"status": {"allowed": False}}, {})
    assert cluster(server).may("patch", CONFIG_MAPS, "kube-system", "x") is False
    assert server.requests[0].body["spec"]["resourceAttributes"] == {
        "verb": "patch",
        "group": "",
        "resource": "configmaps",
        "namespace": "kube-system",
        "name": "x",
    }


def test_many_patches_run_side_by_side_and_keep_their_order(server: Server) -> None:
    meeting = threading.Barrier(WRITERS, timeout=20)

    def answer(request: Request) -> Answer:
        meeting.wait()  # passes only when 16 are under way at once
        name = request.path.rsplit("/", 1)[1]
        return (409, {"message": "no"}, {}) if name == "n3" else (200, {"name": name}, {})

    server.answer = answer
    found = cluster(server).patch_many([(NODES, None, f"n{index}", {}) for index in range(2 * WRITERS)])
    assert isinstance(found[3], ClusterError)
    assert [one["name"] for one in found if not isinstance(one, ClusterError)] == [
        f"n{index}" for index in range(2 * WRITERS) if index != 3
    ]


# --- which cluster ----------------------------------------------------------------------------------------------------

KUBECONFIG: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "one",
    "clusters": [
        {"name": "one", "cluster": {"server": "https://one:6443"}},
        {"name": "two", "cluster": {"server": "https://two:6443", "insecure-skip-tls-verify": True}},
    ],
    "users": [{"name": "ann", "user": {"token": TOKEN}}],
    "contexts": [
        {"name": "one", "context": {"cluster": "one", "user": "ann"}},
        {"name": "two", "context": {"cluster": "two", "user": "ann"}},
    ],
}


def bearer(configuration: Any) -> str:
    return str(configuration.auth_settings()["BearerToken"]["value"])


def test_options_come_before_the_environment() -> None:
    environ = {"K8S_AUTH_HOST": "https://env", "K8S_AUTH_API_KEY": "from-env", "K8S_AUTH_VERIFY_SSL": "no"}
    found = settings({"host": "https://option/"}, environ)
    assert (found["host"], found["api_key"], found["verify_ssl"]) == ("https://option", "from-env", False)


def test_every_variable_of_kubernetes_core_is_read() -> None:
    names = {
        "K8S_AUTH_CONTEXT": "context",
        "K8S_AUTH_USERNAME": "username",
        "K8S_AUTH_PASSWORD": "password",
        "K8S_AUTH_SSL_CA_CERT": "ssl_ca_cert",
        "K8S_AUTH_CA_CERT": "ssl_ca_cert",
        "K8S_AUTH_CERT_FILE": "cert_file",
        "K8S_AUTH_KEY_FILE": "key_file",
        "K8S_AUTH_CLIENT_CERT": "cert_file",
        "K8S_AUTH_CLIENT_KEY": "key_file",
        "K8S_AUTH_PROXY": "proxy",
        "K8S_AUTH_NO_PROXY": "no_proxy",
        "K8S_AUTH_KUBECONFIG": "kubeconfig",
    }
    assert {variable: settings({}, {variable: "v"}).get(name) for variable, name in names.items()} == dict.fromkeys(
        names, "v"
    )
    assert settings({}, {"K8S_AUTH_IMPERSONATE_GROUPS": "a,b,"})["impersonate_groups"] == ["a", "b"]
    assert settings({}, {"K8S_AUTH_PROXY_HEADERS_USER_AGENT": "x"})["proxy_headers"] == {"user_agent": "x"}


@pytest.mark.parametrize("inline", [True, False])
def test_a_kubeconfig_by_path_or_inline(tmp_path: Path, inline: bool) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(dict(KUBECONFIG)))
    kubeconfig = dict(KUBECONFIG) if inline else str(path)
    one, _headers = configure({"kubeconfig": kubeconfig}, {})
    assert one.host == "https://one:6443"
    assert TOKEN in bearer(one)
    two, _headers = configure({"kubeconfig": kubeconfig, "context": "two"}, {})
    assert (two.host, two.verify_ssl) == ("https://two:6443", False)
    checked, _headers = configure({"kubeconfig": kubeconfig, "context": "two", "validate_certs": True}, {})
    assert checked.verify_ssl is True


def test_a_wrong_context_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(dict(KUBECONFIG)))
    with pytest.raises(AuthError, match=r"context three of the kubeconfig .*config cannot be used"):
        configure({"kubeconfig": str(path), "context": "three"}, {})


@pytest.mark.parametrize("allowed", [True, False])
def test_a_pods_own_account_is_used_only_when_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    account = "kubernetes.config.incluster_config"
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "ca.crt").write_text("certificate")
    monkeypatch.setattr(f"{account}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{account}.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "there-is-none"))
    if allowed:
        assert configure({"allow_in_cluster": True}, {})[0].host == "https://10.96.0.1:443"
    else:
        with pytest.raises(AuthError, match="allow_in_cluster=true"):
            configure({}, {})


def test_no_way_in_is_a_cluster_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nothing-here"):
        open_cluster({"kubeconfig": str(tmp_path / "nothing-here")})
