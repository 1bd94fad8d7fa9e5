"""`python -m MODULE` in a project, by copies of one process that has loaded torch and its like already.

Loading them takes longer than most commands. The project's own files are read anew each time.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
"""Read when the libraries are loaded: no network, and one thread for so small a model."""
PRELOADED = ["torch.utils.tensorboard", "transformers.modeling_utils", "peft", "matplotlib.figure", "sklearn.metrics"]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(PRELOADED)


def run(project: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    """What a command prints that ends with this exit code, with some environment variables set for it."""
    with tempfile.NamedTemporaryFile() as output:
        process = _processes.Process(target=_command, args=(project, arguments, variables, output.name))
        with patch.dict(os.environ, QUIET):
            process.start()
        process.join()
        printed = Path(output.name).read_text("utf-8")
    assert process.exitcode == code, printed
    return printed


def _command(project: Path, arguments: tuple[str, ...], variables: dict[str, str], output: str) -> None:
    """In the copy: be the process that the shell would have started."""
    file = os.open(output, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, encoding="utf-8") for stream in (1, 2))
    os.environ.update(variables)
    os.chdir(project)
    sys.path[:0] = [str(project / "src"), ""]
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
