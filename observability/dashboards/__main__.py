"""`python -m observability.dashboards`: see build.py."""

import sys

from observability.dashboards.build import main

sys.exit(main())
