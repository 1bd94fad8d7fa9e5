import sys

from .cli import main
from .system_errors import hide_in_threads

hide_in_threads()
sys.exit(main())
