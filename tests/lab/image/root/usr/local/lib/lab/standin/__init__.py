# SPDX-License-Identifier: GPL-3.0-or-later
"""lab-standin; see __main__.py."""
