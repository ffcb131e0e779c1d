# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that say how OVN's two databases are reached."""

from __future__ import annotations


class ModuleDocFragment:
    """For modules that read or write the northbound and southbound database; see module_utils/_northbound.py."""

    DOCUMENTATION = r"""
options:
  ovn_connection:
    description:
      - How the northbound and the southbound database are reached.
      - V(tcp) connects to O(nb_endpoint) and O(sb_endpoint), over TLS or a Unix socket where they say so.
      - V(exec) runs C(ovsdb-client) in the pods that lead Kube-OVN's C(ovn-central), through the API server.
      - V(auto) is V(tcp) when O(nb_endpoint) and O(sb_endpoint) are given, V(exec) otherwise.
    type: str
    choices: [auto, tcp, exec]
    default: auto
  nb_endpoint:
    description:
      - Where the northbound database listens, C(tcp:ADDRESS:6641), C(ssl:ADDRESS:6641) or C(unix:/path). An IPv6
        address stands in brackets. Of a cluster all members are named, separated by commas; the leader is found.
      - Environment variable E(KUBEOVN_NB_ENDPOINT).
    type: str
  sb_endpoint:
    description:
      - Where the southbound database listens, C(tcp:ADDRESS:6642).
      - Environment variable E(KUBEOVN_SB_ENDPOINT).
    type: str
  ovn_ca_cert:
    description:
      - PEM file of the CA that signed the databases' certificates. An C(ssl) endpoint needs it.
      - As in OVN itself the CA decides, and not the name in the certificate.
    type: path
  ovn_client_cert:
    description:
      - PEM file of the certificate that is shown to the databases. O(ovn_client_key) goes with it.
    type: path
  ovn_client_key:
    description:
      - PEM file of the key of O(ovn_client_cert), not encrypted.
    type: path
  ovn_timeout:
    description:
      - Seconds in which a database has to answer.
      - Through the API server (V(exec)) the command gets as many, and the API server five more. What only reads is then
        tried once more, at whichever pod leads by then.
    type: int
    default: 10
  switch:
    description:
      - Name of the external switch, where Kube-OVN was told another by C(--external-gateway-switch). Router port,
        bridge and bridge mapping are named after it. C(--external-gateway-net) has to have the same name.
    type: str
    default: external
"""
