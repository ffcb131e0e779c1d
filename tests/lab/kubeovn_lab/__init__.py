# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a real Kube-OVN site on one Linux machine (see tests/lab/README.md)."""
