# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTML from a template: whatever is put into it is escaped, unless it is HTML itself.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from markupsafe import Markup


def fill(template: str, /, *values: object, **named: object) -> Markup:
    """A template of this collection, with values from anywhere."""
    return Markup(template).format(*values, **named)  # noqa: S704 - the template is no data, and format() escapes
