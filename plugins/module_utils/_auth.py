# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which API server, as whom: options and K8S_AUTH_* as kubernetes.core reads them, into a client configuration.

One thing differs from kubernetes.core: a pod's own ServiceAccount is used only when the user says so.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Told by AuthError when they are missing: importing this file must work without them.
try:
    import kubernetes
    import kubernetes.config
    import urllib3

    MISSING = ""
except ImportError as error:
    MISSING = str(error)

# option -> (the client configuration's name, environment variables in order of precedence)
OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kubeconfig": ("kubeconfig", ("K8S_AUTH_KUBECONFIG",)),
    "context": ("context", ("K8S_AUTH_CONTEXT",)),
    "host": ("host", ("K8S_AUTH_HOST",)),
    "api_key": ("api_key", ("K8S_AUTH_API_KEY",)),
    "username": ("username", ("K8S_AUTH_USERNAME",)),
    "password": ("password", ("K8S_AUTH_PASSWORD",)),
    "validate_certs": ("verify_ssl", ("K8S_AUTH_VALIDATE_CERTS", "K8S_AUTH_VERIFY_SSL")),
    "ca_cert": ("ssl_ca_cert", ("K8S_AUTH_CA_CERT", "K8S_AUTH_SSL_CA_CERT")),
    "client_cert": ("cert_file", ("K8S_AUTH_CLIENT_CERT", "K8S_AUTH_CERT_FILE")),
    "client_key": ("key_file", ("K8S_AUTH_CLIENT_KEY", "K8S_AUTH_KEY_FILE")),
    "proxy": ("proxy", ("K8S_AUTH_PROXY",)),
    "no_proxy": ("no_proxy", ("K8S_AUTH_NO_PROXY",)),
    "proxy_headers": ("proxy_headers", ()),
    "persist_config": ("persist_config", ("K8S_AUTH_PERSIST_CONFIG",)),
    "impersonate_user": ("impersonate_user", ("K8S_AUTH_IMPERSONATE_USER",)),
    "impersonate_groups": ("impersonate_groups", ("K8S_AUTH_IMPERSONATE_GROUPS",)),
}
BOOLEANS = frozenset({"validate_certs", "persist_config"})
PROXY_HEADERS = ("proxy_basic_auth", "basic_auth", "user_agent")
# These are set on the configuration after a kubeconfig was read, as kubernetes.core does.
OVERRIDES = ("verify_ssl", "ssl_ca_cert", "cert_file", "key_file", "proxy", "no_proxy", "username", "password")
BROKEN_CLIENTS = frozenset({"36.0.0", "36.0.1"})  # they send no bearer token
OLDEST_CLIENT = (28, 1)

Headers = list[tuple[str, str]]


class AuthError(Exception):
    """There is no usable way to an API server."""


def settings(params: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Options first, then environment: what was given, by the client configuration's names."""
    given: dict[str, Any] = {}
    for option, (name, variables) in OPTIONS.items():
        value = params.get(option)
        if value is None:
            text = next((environ[variable] for variable in variables if environ.get(variable)), None)
            if text is None:
                continue
            value = text
            if option in BOOLEANS:
                value = text.lower() not in ("0", "false", "no")
            elif option == "impersonate_groups":
                value = [group for group in text.split(",") if group]
        given[name] = value
    if "proxy_headers" not in given:
        from_environment = {key: environ.get(f"K8S_AUTH_PROXY_HEADERS_{key.upper()}") for key in PROXY_HEADERS}
        given["proxy_headers"] = from_environment
    given["proxy_headers"] = {key: value for key, value in given["proxy_headers"].items() if value}
    if given.get("host"):
        given["host"] = str(given["host"]).rstrip("/")
    return given


def configure(params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, Headers]:
    """The kubernetes client's Configuration, and the headers that go with every request."""
    _check_client()
    given = settings(params, environ)
    configuration = kubernetes.client.Configuration()
    if not _is_complete(given):
        _load(configuration, given, bool(params.get("allow_in_cluster")))
    if given.get("host"):
        configuration.host = given["host"]
    for name in OVERRIDES:
        if given.get(name) is not None:
            setattr(configuration, name, given[name])
    if given.get("api_key"):
        configuration.api_key = {"authorization": f"Bearer {given['api_key']}"}
    if given["proxy_headers"]:
        configuration.proxy_headers = urllib3.util.make_headers(**given["proxy_headers"])
    if configuration.verify_ssl is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return configuration, _headers(given)


def _check_client() -> None:
    """Refuse to go on without package kubernetes in a version that works."""
    if MISSING:
        raise AuthError(
            f"Python package kubernetes is missing where this module runs (pip install 'kubernetes>=28.1.0'): {MISSING}"
        )
    version = str(kubernetes.__version__)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if version in BROKEN_CLIENTS:
        raise AuthError(f"Python package kubernetes {version} sends no tokens: install another version than that")
    if numbers < OLDEST_CLIENT:
        raise AuthError(f"Python package kubernetes {version} is too old: 28.1.0 or newer is needed")


def _is_complete(given: Mapping[str, Any]) -> bool:
    """Whether the options alone say where and as whom, so that no kubeconfig is read."""
    ways = (("username", "password"), ("api_key",), ("cert_file", "key_file"))
    return bool(given.get("host")) and any(all(given.get(name) for name in way) for way in ways)


def _load(configuration: Any, given: Mapping[str, Any], in_cluster: bool) -> None:
    """Fill the configuration from a kubeconfig, or from the pod's ServiceAccount when that is allowed."""
    config: Any = kubernetes.config
    kubeconfig, context = given.get("kubeconfig"), given.get("context")
    if in_cluster and not kubeconfig and not context:
        try:
            config.load_incluster_config(client_configuration=configuration)
            return
        except config.ConfigException:
            pass  # not in a pod: the default kubeconfig, as kubernetes.core does
    wanted = {"context": context, "client_configuration": configuration}
    try:
        if isinstance(kubeconfig, Mapping):
            config.load_kube_config_from_dict(config_dict=dict(kubeconfig), **wanted)
        else:
            config.load_kube_config(config_file=kubeconfig, persist_config=bool(given.get("persist_config")), **wanted)
    except (config.ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
        which = f"context {context} of the kubeconfig" if context else "the kubeconfig"
        if isinstance(kubeconfig, str):
            which += f" {kubeconfig}"
        hint = "set kubeconfig, or host and api_key"
        if not kubeconfig and not context:
            hint += "; inside a pod, allow_in_cluster=true uses its ServiceAccount"
        raise AuthError(f"{which} cannot be used: {error} ({hint})") from error


def _headers(given: Mapping[str, Any]) -> Headers:
    """Headers for impersonation and HTTP basic authentication."""
    headers: Headers = []
    if given.get("impersonate_user"):
        headers.append(("Impersonate-User", str(given["impersonate_user"])))
    headers += [("Impersonate-Group", str(group)) for group in given.get("impersonate_groups") or []]
    if given.get("username") and given.get("password") and not given.get("api_key"):
        basic = urllib3.util.make_headers(basic_auth=f"{given['username']}:{given['password']}")
        headers.append(("Authorization", basic["authorization"]))
    return headers
