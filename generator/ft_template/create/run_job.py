"""Run a job of worker.py in a child process, and terminate its process group on an interrupt."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import FAILED, UserError
from ..system.interrupts import deferred_signals
from ..system.processes import new_group, terminate_group

PACKAGES = Path(__file__).resolve().parents[2]
# -P: import nothing from the current folder.
COMMAND = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); from ft_template.create.worker import main; main()",
]


def run_job(scratch: Path, on_output: Callable[[str], None], **job: Any) -> dict[str, Any]:
    """The worker's reply; `on_output` gets each line that it prints, and its temporary files go to `scratch`."""
    child = _start(scratch)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        with suppress(BrokenPipeError), child.stdin as stdin:
            json.dump(job, stdin)
        for line in child.stderr:
            on_output(line.rstrip())
        text = child.stdout.read()
        child.wait()
    except BaseException:
        with deferred_signals():
            terminate_group(child)
        raise
    finally:
        child.stdout.close()
        child.stderr.close()
    try:
        reply = json.loads(text)
    except ValueError as error:
        message = f"The step {job['job']} ended unexpectedly (exit code {child.returncode}): try again."
        raise UserError(message, FAILED) from error
    assert isinstance(reply, dict)
    return reply


def _start(scratch: Path) -> "subprocess.Popen[str]":
    folder = str(scratch)
    variables = {"GIT_TERMINAL_PROMPT": "0", "PYTHONIOENCODING": "utf-8", "TMPDIR": folder, "TEMP": folder}
    with deferred_signals():
        return subprocess.Popen(
            [*COMMAND, str(PACKAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **variables, "TMP": folder},
            **new_group(),
        )
