# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module says while it works, for the action plugin to show.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

import os
from contextlib import suppress

PROGRESS_VARIABLE = "KUBEOVN_CORE_PROGRESS"  # names the file whose lines the action plugin shows


def tell(text: str) -> None:
    """Say something to whoever waits for this module, when somebody listens."""
    path = os.environ.get(PROGRESS_VARIABLE)
    if path:
        with suppress(OSError), open(path, "a", encoding="utf-8") as lines:
            lines.write(text + "\n")
