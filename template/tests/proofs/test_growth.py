"""A long training needs no more memory and no more files at its end than at its beginning."""

from pathlib import Path

import psutil
from conftest import QUIET, Project

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.train import loop as training

LONG = ["train.epochs=1000000", "train.eval_every=25", "train.log_every=5", "train.keep_checkpoints=2"]


def grown(config: Config, count: int = 10) -> list[tuple[int, int, int, int]]:
    """At `count` moments of a training: step, bytes of memory, number of the run's files, and their bytes."""
    found, validate = list[tuple[int, int, int, int]](), training.validate
    steps = config.train.max_steps or 0

    def validating(*arguments: object) -> None:
        validate(*arguments)  # type: ignore[arg-type]
        step = arguments[3].step  # type: ignore[attr-defined]
        if step % (steps // count) == 0:
            sizes = [path.stat().st_size for path in config.run_folder.rglob("*") if path.is_file()]
            found.append((step, psutil.Process().memory_info().rss, len(sizes), sum(sizes)))

    training.validate = validating
    try:
        assert training.train(config, console=QUIET)
    finally:
        training.validate = validate
    return found


def test_neither_memory_nor_files_grow(project: Project) -> None:
    """But for the log: less than 200 bytes a step. The first quarter of the steps is not compared."""
    config = load_config(project.config("text-classification"), ["train.max_steps=400", *LONG])
    (_, memory, files, size), *_, (_, last_memory, last_files, last_size) = grown(config, 4)
    assert last_memory < memory + 20e6
    assert last_files <= files + 4, "at most the files of one checkpoint, which is being written"
    assert last_size < size + 300 * 200 + 10e6
    assert Path("runs/config/best").is_dir()
