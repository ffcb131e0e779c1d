# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory of the virtual machines that have an EIP, under which Ansible reaches them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kubeovn_eip
short_description: Virtual machines by their EIPs on Kube-OVN
version_added: 0.1.0
author:
  - kubeovn.core contributors (@kubeovn-core)
description:
  - Makes a host of each KubeVirt VirtualMachine that has an EIP, with the EIP as C(ansible_host), so that a play
    reaches the guest from outside of the cluster.
  - Hosts have the names that P(kubevirt.core.kubevirt#inventory) gives them, so both can be used at once. Name this one
    later, as in C(10-site.kubevirt.yml) and C(20-site.kubeovn_eip.yml), for its C(ansible_host) to count.
  - What OVN does decides who has which address, and annotations where OVN has no rule, or may not be read; host
    variable C(kubeovn_eip_source) says which of the two it was.
  - An API server that does not answer ends the run, see O(failure). It is never an inventory without hosts.
  - The file's name ends with C(kubeovn_eip.yml) or C(kubeovn_eip.yaml).
extends_documentation_fragment:
  - kubeovn.core.auth
  - kubeovn.core.ovn
  - constructed
  - inventory_cache
options:
  plugin:
    description:
      - Says that the file is for this plugin.
    type: str
    required: true
    choices: [kubeovn.core.kubeovn_eip]
  use_ovn:
    description:
      - V(try) reads OVN, and warns and goes by annotations when that cannot be done.
      - V(require) is an error then.
      - V(never) does not look at OVN, for an identity that may not. There are no groups by gateway then.
    type: str
    choices: [try, require, never]
    default: try
  failure:
    description:
      - What happens when the hosts cannot be told, since the API server does not answer or an option is wrong.
      - V(stop) ends the run with the reason.
      - V(skip) leaves that to Ansible, which warns and goes on without these hosts, unless it was told otherwise
        by E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED).
    type: str
    choices: [stop, skip]
    default: stop
  host_format:
    description:
      - How hosts are named, with the fields C(namespace), C(name) and C(uid).
    type: str
    default: "{namespace}-{name}"
  group:
    description:
      - Group that all the hosts are in.
    type: str
    default: kubeovn_eip
  group_by:
    description:
      - Further groups. V(namespace) makes C(namespace_NAME), V(label) C(label_KEY_VALUE) of labels of the machine and
        of its template, V(gateway) C(gateway_NODE) of the node through which the EIP's packets go at this moment, and
        V(pool) C(pool_NAME) of O(pools). What a group's name may not have becomes an underscore.
    type: list
    elements: str
    choices: [namespace, label, gateway, pool]
    default: [namespace, label, gateway, pool]
  pools:
    description:
      - Address pools by name, each as M(kubeovn.core.ovn_eip) takes it, for groups of the machines whose EIP is in it.
    type: dict
    default: {}
  namespaces:
    description:
      - Only machines of these namespaces. Without it, of all.
    type: list
    elements: str
    default: []
  claims_namespace:
    description:
      - Namespace of the claims, as M(kubeovn.core.ovn_eip) has it.
    type: str
    default: kubeovn-core
seealso:
  - module: kubeovn.core.ovn_eip
  - module: kubeovn.core.ovn_nat_info
  - plugin: kubevirt.core.kubevirt
    plugin_type: inventory
"""

EXAMPLES = r"""
# site.kubeovn_eip.yml: the cluster that K8S_AUTH_* or KUBECONFIG name
plugin: kubeovn.core.kubeovn_eip

---
# A kubeconfig beside the inventory, which Ansible Vault may have encrypted; groups by pool; who logs in, by label
plugin: kubeovn.core.kubeovn_eip
kubeconfig: east.kubeconfig
pools:
  web: 10.4.19.110-10.4.19.150
  lab: [10.4.19.160-10.4.19.180, "!10.4.19.170"]
compose:
  ansible_user: kubeovn_eip_labels['login'] | default('ubuntu')
groups:
  not_attached: not kubeovn_eip_attached
keyed_groups:
  - key: kubeovn_eip_node
    prefix: node
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-inventory
cache_timeout: 300

---
# An identity that may read the cluster and not OVN; host names that tell two clusters' machines apart
plugin: kubeovn.core.kubeovn_eip
use_ovn: never
host_format: "{namespace}-{name}-east"
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import ClusterError, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._eip_hosts import (
    EipHost,
    Unseen,
    format_problems,
    groups_of,
    host_name,
    hosts_of,
    pools_of,
    pools_with,
)
from ansible_collections.kubeovn.core.plugins.module_utils._module import ARGUMENTS
from ansible_collections.kubeovn.core.plugins.module_utils._nat_look import observe
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError

SUFFIXES = ("kubeovn_eip.yml", "kubeovn_eip.yaml")
ENVIRONMENT = {"nb_endpoint": "KUBEOVN_NB_ENDPOINT", "sb_endpoint": "KUBEOVN_SB_ENDPOINT"}
SEPARATOR = ":"  # several files in one kubeconfig option, as in KUBECONFIG
STOPPED = 4  # as Ansible itself ends when it cannot read what it was given


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads once, keeps that in the cache, and makes hosts, variables and groups of it."""

    NAME = "kubeovn.core.kubeovn_eip"

    def verify_file(self, path: str) -> bool:
        """Whether a file is for this plugin, by its name."""
        return bool(super().verify_file(path)) and path.endswith(SUFFIXES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory, or end the run: Ansible itself goes on without the hosts of a source that failed."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            self._fill(path, cache)
        except (AnsibleError, ClusterError, OvsdbError) as error:
            text = f"{path}: {error}"
            if self.get_option("failure") == "skip":
                raise AnsibleParserError(text) from error
            self.display.error(text)
            raise SystemExit(STOPPED) from error

    def _fill(self, path: str, cache: bool) -> None:
        pools, problems = pools_of(self.get_option("pools"))
        problems += format_problems(self.get_option("host_format"))
        if problems:
            raise AnsibleParserError("; ".join(str(problem) for problem in problems))
        namespaces = self.get_option("namespaces")
        group = self.inventory.add_group(self._sanitize_group_name(self.get_option("group")))
        for host in self._hosts(path, cache):
            if not namespaces or host.namespace in namespaces:
                self._add(host, group, pools_with(host.address, pools))

    def _hosts(self, path: str, cache: bool) -> Sequence[EipHost]:
        """From the cache when it has them, else from the cluster."""
        key, kept_at_all = self.get_cache_key(path), self.get_option("cache")
        if kept_at_all and cache:
            try:
                return [EipHost.from_cache(kept) for kept in self._cache[key]]
            except (KeyError, TypeError):
                pass  # nothing there, too old, or written by another version
        hosts = self._read(path)
        if kept_at_all:
            self._cache[key] = [host.to_cache() for host in hosts]
        return hosts

    def _read(self, path: str) -> Sequence[EipHost]:
        params = self._params(path)
        cluster = open_cluster(params)
        use_ovn, claims_namespace = self.get_option("use_ovn"), self.get_option("claims_namespace")
        if use_ovn != "never":
            try:
                return hosts_of(observe(cluster, open_ovn(params, cluster), claims_namespace), True)
            except OvsdbError as error:
                if use_ovn == "require":
                    raise
                self.display.warning(f"{path}: OVN cannot be read, so annotations tell who has which EIP: {error}")
        return hosts_of(observe(cluster, Unseen(), claims_namespace), False)

    def _params(self, path: str) -> dict[str, Any]:
        """The options of cluster and OVN as a module has them."""
        params = {name: _plain(self.get_option(name)) for name in ARGUMENTS}
        for name, variable in ENVIRONMENT.items():
            params[name] = params[name] or os.environ.get(variable)
        if isinstance(params["kubeconfig"], str):
            files = params["kubeconfig"].split(SEPARATOR)
            params["kubeconfig"] = SEPARATOR.join(self._local(file, path) for file in files)
        return params

    def _local(self, kubeconfig: str, path: str) -> str:
        """A readable file: the one beside the inventory, or its decrypted copy, which Ansible removes at its end."""
        wanted = Path(path).absolute().parent / Path(kubeconfig).expanduser()
        try:
            return str(self.loader.get_real_file(str(wanted), decrypt=True))
        except AnsibleError as error:
            raise AnsibleParserError(f"kubeconfig: {error.message}") from error

    def _add(self, host: EipHost, group: str, pools: Sequence[str]) -> None:
        name = self.inventory.add_host(host_name(host, self.get_option("host_format")), group=group)
        variables = host.variables(pools)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for each in groups_of(host, self.get_option("group_by"), pools):
            self.inventory.add_child(self.inventory.add_group(self._sanitize_group_name(each)), name)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict)


def _plain(value: Any) -> Any:
    """An option without Ansible's own types; what is encrypted in it is decrypted by that."""
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
