"""A process and all that it starts: one group, which ends as a whole."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

PATIENCE = 10.0  # seconds between asking a group to end and ending it


def own_group() -> dict[str, Any]:
    """What tells Popen to make the child the first of a group."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def end(child: "subprocess.Popen[Any]") -> None:
    """End the child and its group; first politely, for pip, git and servers tidy up."""
    if os.name == "nt":
        child.terminate()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
