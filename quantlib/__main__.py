"""``python -m quantlib`` is the command ``quantlib``."""

import sys

from quantlib.cli import main

sys.exit(main())
