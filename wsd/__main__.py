"""``python -m wsd`` is the same program as ``wsd``."""

import sys

from wsd.cli.main import main

sys.exit(main())
