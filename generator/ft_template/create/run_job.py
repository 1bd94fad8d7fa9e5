"""Run a job of worker.py and end it, with all that it has started, when somebody interrupts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import FAILED, UserError
from ..system.interrupts import held
from ..system.processes import end, own_group

PACKAGES = Path(__file__).resolve().parents[2]
# -P: nothing is imported from the folder in which the command was typed.
COMMAND = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); from ft_template.create.worker import main; main()",
]


def call(scratch: Path, tell: Callable[[str], None], **job: Any) -> dict[str, Any]:
    """The answer of the worker; `tell` gets each line that it prints, `scratch` its temporary files."""
    quiet = {"GIT_TERMINAL_PROMPT": "0", "PYTHONIOENCODING": "utf-8", "TMPDIR": str(scratch), "TEMP": str(scratch)}
    with held():
        child = subprocess.Popen(
            [*COMMAND, str(PACKAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **quiet, "TMP": str(scratch)},
            **own_group(),
        )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        with suppress(BrokenPipeError), child.stdin as stdin:
            json.dump(job, stdin)
        for line in child.stderr:
            tell(line.rstrip())
        answer = child.stdout.read()
        child.wait()
    except BaseException:
        with held():
            end(child)
        raise
    finally:
        child.stdout.close()
        child.stderr.close()
    try:
        reply = json.loads(answer)
    except ValueError as error:
        sentence = f"The step {job['job']} has ended early (exit code {child.returncode}): run this again."
        raise UserError(sentence, FAILED) from error
    assert isinstance(reply, dict)
    return reply
