"""`python -m ft_template` is the command `ft-template`."""

import sys

from .cli import main

sys.exit(main())
