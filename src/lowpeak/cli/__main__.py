"""`python -m lowpeak.cli`, where the console script is not on the path."""

import sys

from lowpeak.cli import main

sys.exit(main())
