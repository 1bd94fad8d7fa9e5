"""Time of commands that need no model."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .base import Timing

ROOT = Path(__file__).resolve().parents[2]
WRONG = "task: {type: text-classification}\nmodel: {name: 'tiny:bert'}\ndata: {train: a}\ntrain: {epoch: 1}\n"


def startup(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Processor and wall time of each command, its imports included, a value a round."""
    sources = os.pathsep.join(str(ROOT / part) for part in ("template/src", "generator"))
    environment = {**os.environ, "PYTHONPATH": sources}
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder, "wrong.yaml")
        wrong.write_text(WRONG)
        commands = {
            "finetune --help": ["-m", "finetune", "--help"],
            "ft-template --help": ["-m", "ft_template", "--help"],
            "finetune train with a misspelt key": ["-m", "finetune", "train", str(wrong)],
        }
        times: dict[str, list[Timing]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, arguments in commands.items():
                timing = _run([sys.executable, *arguments], environment)
                if number:  # the first one fills caches
                    times[name].append(timing)
    return {
        name: {what: [round(getattr(one, what), 4) for one in found] for what in ("processor", "wall")}
        for name, found in times.items()
    }


def _run(command: list[str], environment: dict[str, str]) -> Timing:
    before, wall = os.times(), time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=False)
    after = os.times()
    return Timing(
        after.children_user + after.children_system - before.children_user - before.children_system,
        time.perf_counter() - wall,
    )
