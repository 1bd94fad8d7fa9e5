"""Several random seeds, `train.seeds`: a run for each, one after the other, and the spread of their metrics."""

import json
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from ..config.config import Config
from ..console import print_line, print_table
from ..distributed.world import World
from ..files import Folder
from ..run.folder import RunFolder
from .loop import train
from .resume import can_be_resumed, require_same_config

FORMAT = 1
"""Version of the keys in <name>-seeds.json."""
SPLITS = ("validation", "test")


def seed_configs(config: Config) -> list[Config]:
    """A config for each seed: that of an ordinary run, `<name>-seed<seed>`."""
    found = []
    for seed in config.train.seeds or ():
        train = config.train.model_copy(update={"seed": seed, "seeds": None})
        run = config.run.model_copy(update={"name": f"{config.run.name}-seed{seed}"})
        found.append(config.model_copy(update={"train": train, "run": run}))
    return found


def train_seeds(
    config: Config,
    conclude: Callable[[RunFolder, Config, Console], None],
    *,
    resume: Literal["auto"] | bool,
    console: Console,
    world: World,
) -> bool:
    """Train the run of each seed, or resume those that have not ended, and summarize their metrics.

    On the main rank, `conclude` evaluates each that has ended, unless that is done already. Returns whether all have
    ended; False after an interruption. Raises what `train` does, and UserError if there is none of them to resume.
    """
    configs = seed_configs(config)
    console = console if world.is_main else Console(quiet=True)
    with world.entered_on_main(RunFolder(config.run_folder).claimed):  # against the same command, started twice
        begun = world.on_main(lambda: [RunFolder(one.run_folder).config_file.is_file() for one in configs])
        if resume is True and not any(begun):
            world.on_main(lambda: require_same_config(RunFolder(configs[0].run_folder), configs[0]))
        for number, one in enumerate(configs, start=1):
            run = RunFolder(one.run_folder)
            console.print(f"\n[bold]seed {one.train.seed}[/], {number} of {len(configs)}", highlight=False)
            continues = begun[number - 1]
            if resume == "auto":
                continues = world.on_main(partial(can_be_resumed, run, one))
            if not train(one, resume=bool(resume) and continues, console=console, world=world):
                return False
            if world.on_main(partial(run.evaluation, "validation")) is None:
                world.on_main(partial(conclude, run, one, console))
        world.on_main(lambda: summarize(config, [RunFolder(one.run_folder) for one in configs], console))
    return True


def summarize(config: Config, runs: Sequence[RunFolder], console: Console) -> Path:
    """Write `<name>-seeds.json`, the spread of each metric on the splits on which all runs are evaluated; print it."""
    content: dict[str, Any] = {"format": FORMAT, "runs": [run.path.name for run in runs], "splits": {}}
    for split in SPLITS:
        evaluations = [found for run in runs if (found := run.evaluation(split))]
        if len(evaluations) == len(runs) and len({found["fingerprint"] for found in evaluations}) == 1:
            content["splits"][split] = found = spread_of(evaluations)
            rows: list[list[str | int | float]] = [
                [name, f"{one['mean']:z.4f} ± {one['deviation']:.4f}", f"[{one['min']:z.4f}, {one['max']:z.4f}]"]
                for name, one in found.items()
            ]
            title = f"{split}: {len(runs)} seeds of {config.run.name}"
            console.print(f"\n[bold]{escape(title)}[/]", highlight=False)
            print_table(console, ["", "mean ± standard deviation", "[min, max]"], rows)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path = Folder(config.run.dir).write(f"{config.run.name}-seeds.json", text)
    print_line(console, escape(f"spread over seeds: {path}"))
    return path


def spread_of(evaluations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean, sample standard deviation (n - 1), least and largest value of each metric, the main one first."""
    first, main = evaluations[0]["metrics"], evaluations[0]["headline"]
    names = [
        name
        for name in sorted(first, key=lambda name: name != main)
        if all(name in one["metrics"] for one in evaluations)
    ]
    columns = {name: [float(one["metrics"][name]) for one in evaluations] for name in names}
    columns["loss"] = [float(one["loss"]) for one in evaluations]
    return {
        name: {
            "mean": statistics.fmean(values),
            "deviation": statistics.stdev(values),
            "min": min(values),
            "max": max(values),
            "values": values,
        }
        for name, values in columns.items()
    }
