import signal
import sys

from .cli import main
from .system_errors import hide_in_threads

hide_in_threads()
# As Ctrl-C: what is half written is removed, and the exit code says that the command was interrupted.
signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(main())
