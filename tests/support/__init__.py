# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share: commands with their output shown live, and the lab they run against."""
