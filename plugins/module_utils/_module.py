# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shell around each module: common options, one shape of results, each error as one clear failure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, ClusterError, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._model import EXTERNAL_SWITCH, Plan, Problem
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import OvsdbError

# As kubernetes.core's, so that one module_defaults serves both; see doc fragment `auth`.
AUTH_ARGUMENTS: dict[str, Any] = {
    "kubeconfig": {"type": "raw", "no_log": True},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"], "no_log": False},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {
        "type": "dict",
        "options": {
            "proxy_basic_auth": {"type": "str", "no_log": True},
            "basic_auth": {"type": "str", "no_log": True},
            "user_agent": {"type": "str"},
        },
    },
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
    "allow_in_cluster": {"type": "bool", "default": False},
}
# See doc fragment `ovn`.
OVN_ARGUMENTS: dict[str, Any] = {
    "ovn_connection": {"type": "str", "choices": ["auto", "tcp", "exec"], "default": "auto"},
    "ovn_ca_cert": {"type": "path"},
    "ovn_client_cert": {"type": "path"},
    "ovn_client_key": {"type": "path", "no_log": False},
    "nb_endpoint": {"type": "str", "fallback": (env_fallback, ["KUBEOVN_NB_ENDPOINT"])},
    "sb_endpoint": {"type": "str", "fallback": (env_fallback, ["KUBEOVN_SB_ENDPOINT"])},
    "ovn_timeout": {"type": "int", "default": 10},
    "switch": {"type": "str", "default": EXTERNAL_SWITCH},
}
ARGUMENTS: dict[str, Any] = AUTH_ARGUMENTS | OVN_ARGUMENTS

# Leaves of an inline kubeconfig under these keys are no secrets; masking `default` or a URL would ruin every result.
PLAIN_KEYS = frozenset(
    {"apiVersion", "kind", "name", "cluster", "user", "context", "namespace", "server", "current-context", "command"}
    | {"certificate-authority", "certificate-authority-data", "client-certificate", "client-key", "tls-server-name"}
)

DISRUPTIONS = ("none", "brief", "long")

Work = Callable[[AnsibleModule, Cluster], Mapping[str, Any]]


class Failure(Exception):
    """Why a module cannot go on, or did not succeed: one sentence, and each problem with its path."""

    def __init__(self, text: str, problems: Sequence[Problem] = (), **results: Any) -> None:
        super().__init__(text)
        self.problems = tuple(problems)
        self.results = results  # what the user still gets: plan, changed

    @property
    def message(self) -> str:
        """The sentence with all problems, readable on a terminal."""
        if not self.problems:
            return str(self)
        return f"{self}: " + "; ".join(str(problem) for problem in self.problems)


def refuse(problems: Sequence[Problem]) -> None:
    """Stop before anything is written, when there are problems: all of them at once."""
    if problems:
        raise Failure("nothing was changed", problems)


def disruption_problems(plan: Plan, limit: str) -> list[Problem]:
    """The steps of a plan that interrupt more than is allowed: none, brief or any."""
    if limit == "any":
        return []
    allowed = DISRUPTIONS.index(limit)
    return [
        Problem("max_disruption", f"{step.text}: this interrupts {step.interrupts}", f"allow {step.disruption} or any")
        if step.disruption != "long"
        else Problem("max_disruption", f"{step.text}: this interrupts {step.interrupts}", "allow any")
        for step in plan.steps
        if DISRUPTIONS.index(step.disruption) > allowed
    ]


def run(work: Work, argument_spec: Mapping[str, Any], **options: Any) -> None:
    """Do a module's work with its cluster and end the process with the result. Every foreseen error is one message."""
    module = AnsibleModule(argument_spec=dict(argument_spec), **options)
    _unmask(module)
    if not find_spec("netaddr"):
        module.fail_json(msg=missing_required_lib("netaddr"), problems=[])
    where: dict[str, Any] = {}
    try:
        cluster = open_cluster(module.params)
        where = {"cluster": cluster.host}
        result = work(module, cluster)
    except Failure as failure:
        problems = [{"path": one.path, "text": one.text, "hint": one.hint} for one in failure.problems]
        module.fail_json(msg=failure.message, problems=problems, **{**where, **failure.results})
    except (ClusterError, OvsdbError) as error:
        module.fail_json(msg=str(error), problems=[], **where)
    else:
        module.exit_json(**result)


def outcome(cluster: Cluster, plan: Plan, **values: Any) -> dict[str, Any]:
    """The result of a module that changes things: what check mode says and a run says has this one shape."""
    return {
        "changed": plan.changed,
        "cluster": cluster.host,
        "plan": [
            {"action": one.action, "text": one.text, "interrupts": one.interrupts, "disruption": one.disruption}
            for one in plan.steps
        ],
        "diff": {"before": dict(plan.before), "after": dict(plan.after)},
        **values,
    }


def _unmask(module: AnsibleModule) -> None:
    """Keep an inline kubeconfig's secrets hidden in the output, and nothing but these."""
    kubeconfig = module.params.get("kubeconfig")
    secrets = {str(module.params[name]) for name in ("api_key", "password") if module.params.get(name)}
    secrets |= set(_leaves(kubeconfig, False)) if isinstance(kubeconfig, Mapping) else set()
    plain = set(_leaves(kubeconfig, True)) if isinstance(kubeconfig, Mapping) else {str(kubeconfig)}
    module.no_log_values -= plain - secrets


def _leaves(value: Any, plain: bool, key: str = "") -> Iterable[str]:
    """The scalars of a structure that are no secrets (plain), or that are."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            # An exec plugin's environment is a list of {name, value}.
            yield from _leaves(child, plain, str(name))
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _leaves(child, plain, key)
    elif value is not None and (key in PLAIN_KEYS) == plain:
        yield str(value)
