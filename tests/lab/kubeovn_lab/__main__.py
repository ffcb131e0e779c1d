# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m kubeovn_lab"""

import sys

from .cli import main

sys.exit(main(sys.argv[1:]))
