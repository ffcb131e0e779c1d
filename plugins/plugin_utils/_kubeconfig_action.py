# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action behind every module that speaks to the cluster: it finds a kubeconfig beside the play, and decrypts it.

Private to this collection. It does what kubernetes.core's action does for its option kubeconfig. It is not a redirect
to that one, since ansible-lint would then call kubernetes.core's name the canonical one of each module here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.kubeovn.core.plugins.plugin_utils._progress import progress

SEPARATOR = ":"  # several files in one kubeconfig option, as in KUBECONFIG


class KubeconfigAction(ActionBase):
    """Runs the module of the task's own name with local paths of kubeconfig files."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        kubeconfig = arguments.get("kubeconfig")
        # On a remote host the path is that host's own, and nothing here can decrypt it.
        if isinstance(kubeconfig, str) and kubeconfig and self._connection.transport == "local":
            try:
                arguments["kubeconfig"] = SEPARATOR.join(self._local(part) for part in kubeconfig.split(SEPARATOR))
            except AnsibleError as error:
                return {**result, "failed": True, "msg": f"kubeconfig: {error.message}"}
        with self._progress():
            module = self._task.action
            result.update(self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
        return result

    def _progress(self) -> AbstractContextManager[None]:
        """What the module tells is shown at once where it runs on this machine; elsewhere there is no way back."""
        if self._connection.transport != "local" or self._task.async_val:
            return nullcontext()
        name = self._task.action.rpartition(".")[2]
        return progress(lambda line: self._display.display(f"{name}: {line}"))

    def _local(self, path: str) -> str:
        """A readable file: the one found from the play, or its decrypted copy, which Ansible removes at its end."""
        found: str = self._loader.get_real_file(self._find_needle("files", path), decrypt=True)
        return found
