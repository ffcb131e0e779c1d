# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""On the controller's side, ovn_nodes_info finds and decrypts its kubeconfig; everything else is the module's."""

from __future__ import annotations

from ansible_collections.kubeovn.core.plugins.plugin_utils._kubeconfig_action import KubeconfigAction


class ActionModule(KubeconfigAction):
    """Ansible finds an action by its file's name and this class's."""
