"""Errors of the operating system in the command `ft-template`: one line, and no traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ft_template import cli
from ft_template.create.bake import REPOSITORY
from ft_template.errors import FAILED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_standard_output_that_takes_nothing_is_told() -> None:
    command = [sys.executable, "-m", "ft_template", "describe", "--format-version", "1"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "generator")}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == FAILED
    assert ended.stderr == "error: No space left on device: mend this, then run the command again\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device: mend this"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), "error: a/b: Permission denied: mend this"),
        (OSError(errno.EBADF, "Bad file descriptor"), None),
        (OSError("without a number"), None),
    ],
)
def test_errors_of_the_program_keep_their_traceback(
    error: OSError, said: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fails)
    if said is None:
        with pytest.raises(OSError, match=r"descriptor|without"):
            cli.main(["doctor"])
    else:
        assert cli.main(["doctor"]) == FAILED
        assert capsys.readouterr().err.startswith(said)
