"""Start a child process in a process group of its own, and terminate the whole group."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

GRACE_SECONDS = 10.0
"""Time between SIGTERM and SIGKILL."""


def new_group() -> dict[str, Any]:
    """Arguments by which Popen starts the child in a new process group."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def terminate_group(child: "subprocess.Popen[Any]") -> None:
    """Terminate the child and its group: SIGTERM first, so that pip, git and servers can clean up, then SIGKILL."""
    if os.name == "nt":
        child.terminate()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
