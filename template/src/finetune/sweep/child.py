"""The child processes of a sweep: each is a command of this package, with its output in a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from ..config.config import Config

COMMAND = (sys.executable, "-m", "finetune")
PACKAGE = Path(__file__).resolve().parents[2]
"""The folder in which the package lies, and which a child must find."""
MARKS = ("error: ", "stopped: ")
"""What the sentence of a command that failed begins with."""


class Child:
    """A running command `python -m finetune ...`, apart from the terminal: only the sweep stops it."""

    def __init__(self, arguments: list[str], log: Path, variables: dict[str, str]) -> None:
        paths = [str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}
        self._log = log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on once
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end, as with Ctrl-C: a training saves what it has. On Windows it ends at once."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def sentence(self) -> str:
        """Why it failed, of its output the sentence, or the last line; of a signal its name."""
        code = self._process.wait()
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}, as the system does when memory runs out"
        with self._log.open("rb") as file:
            file.seek(self._start)
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        marked = [line.removeprefix(mark) for line in lines for mark in MARKS if line.startswith(mark)]
        return (marked or lines or [f"ended with exit code {code}"])[-1]


def variables_of_slots(config: Config, parallel: int) -> list[dict[str, str]]:
    """The environment of each of the trainings at once: a GPU of its own, or its share of the cores."""
    if parallel == 1:
        return [{}]
    if config.train.device in ("auto", "cuda") and (devices := _gpus()):
        return [{"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} for slot in range(parallel)]
    if "OMP_NUM_THREADS" in os.environ:
        return [{}] * parallel
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [{"OMP_NUM_THREADS": str(max(1, cores // parallel))}] * parallel


def _gpus() -> list[str]:
    """The NVIDIA GPUs that a training may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
