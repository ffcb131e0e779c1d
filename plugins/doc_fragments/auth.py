# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that say which Kubernetes cluster, and as whom: kubernetes.core's, in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    """For modules that speak to the API server; see module_utils/_auth.py."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, or its content as a dictionary.
      - When no way to log in is given, kubectl's default is used, E(KUBECONFIG) or C(~/.kube/config).
      - Environment variable E(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description:
      - Name of a context in the kubeconfig. Environment variable E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server. Environment variable E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token. Environment variable E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for HTTP basic authentication, where the API server or a proxy before it has that.
      - Environment variable E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password that goes with O(username). Environment variable E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description:
      - Path of a client certificate. Environment variable E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the client certificate's key. Environment variable E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the certificates that the API server's is checked against. Environment variable E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether the API server's certificate is checked. It is, unless this is V(false).
      - Environment variable E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  proxy:
    description:
      - URL of an HTTP proxy to reach the API server through. Environment variable E(K8S_AUTH_PROXY).
      - E(HTTP_PROXY) and its like are not read.
    type: str
  no_proxy:
    description:
      - Hosts, domains, addresses and networks that are reached without the proxy, separated by commas.
      - Environment variable E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description:
      - Headers for the HTTP proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User and password for the proxy, separated by a colon.
          - Environment variable E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User and password for basic authentication, separated by a colon.
          - Environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - User agent to name to the proxy. Environment variable E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether refreshed tokens are written back to the kubeconfig file.
      - Environment variable E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description:
      - User to act as. Environment variable E(K8S_AUTH_IMPERSONATE_USER).
      - Commands in pods cannot be run as somebody else, so OVN has to be reached over TCP then.
    type: str
  impersonate_groups:
    description:
      - Groups to act as. Environment variable E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.
    type: list
    elements: str
  allow_in_cluster:
    description:
      - Whether a pod's own ServiceAccount may be used when nothing else is given.
      - M(kubernetes.core.k8s) always does that. Here it has to be asked for, since a job without a credential would
        otherwise change the cluster that it happens to run in.
    type: bool
    default: false
requirements:
  - python >= 3.11
  - kubernetes >= 28.1.0, but not 36.0.0 and not 36.0.1, which send no tokens
  - netaddr >= 0.10.1
notes:
  - Results name the cluster that was spoken to as RV(ignore:cluster).
"""
