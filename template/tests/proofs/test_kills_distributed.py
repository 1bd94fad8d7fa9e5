"""Two processes are killed in the course of a save, and resumed: the run is what it would have been."""

import multiprocessing
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from ranks import SHORT, assert_same_file, both, config_of, named, told, trained
from torch import distributed as dist

from finetune.config.config import Config
from finetune.distributed.world import World

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes; this system has no fork")


def run(rank: int, config: Config, store: Path, kill_at: int) -> None:
    """Train as one of two processes; the first is killed just before an operation on files of the checkpoints."""
    done = 0

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        names = [str(argument) for argument in arguments[:2]]
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir") and "checkpoints" in "".join(names):
            done += 1
            if done == kill_at and rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    trained(World(rank, 2), config)
    if rank == 0:
        store.with_suffix(".count").write_text(str(done))
    os._exit(0)


def trained_until(config: Config, store: Path, kill_at: int = -1) -> bool:
    """Whether the first process was killed; the other one ends with it, as torchrun sees to."""
    context = multiprocessing.get_context("fork")
    store.unlink(missing_ok=True)
    processes = [context.Process(target=run, args=(rank, config, store, kill_at)) for rank in range(2)]
    for process in processes:
        process.start()
    processes[0].join(600)
    if was_killed := processes[0].exitcode == -signal.SIGKILL:
        processes[1].kill()
    processes[1].join(600)
    return was_killed


def resumed(world: World, config: Config) -> bool:
    return trained(world, config, resume=True)


@pytest.mark.parametrize("how", ["ddp", "fsdp", "fsdp train.checkpoint_format=sharded"])
def test_two_processes_killed_in_a_save_go_on(how: str, project: Project, tmp_path: Path) -> None:
    """The one that writes, before random operations of its saves; with shards, both have written theirs by then."""
    options = (*f"train.parallel={how}".split(), "train.log_every=1", *SHORT, "train.eval_every=1")
    config, draw = config_of(project, "text-classification", *options), random.Random(how)
    assert not trained_until(named(config, "whole"), tmp_path / "store")
    operations = int((tmp_path / "store.count").read_text())
    for number in range(2):
        cut = named(config, f"cut{number}")
        assert trained_until(cut, tmp_path / "store", draw.randint(2, operations))
        assert both(resumed, cut) == [True, True]
        for path in Path("runs/whole").rglob("*.safetensors"):
            assert_same_file(path, cut.run_folder / path.relative_to("runs/whole"))
        assert told(project, "whole") == told(project, f"cut{number}")
