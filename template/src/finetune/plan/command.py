"""The command `plan`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..arguments import config_argument, overrides_argument
from ..console import make_console, print_json, quiet_libraries

if TYPE_CHECKING:
    from ..config.config import Config


@click.command("plan")
@config_argument
@overrides_argument
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True, help="Number of GPUs, on all nodes.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of an example; by default model.max_length.")
@click.option("--memory", type=click.FloatRange(0, min_open=True), help="Memory of a GPU in GiB; default: free here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; sizes are in bytes.")
def plan(
    config: Path, overrides: tuple[str, ...], gpus: int, tokens: int | None, memory: float | None, as_json: bool
) -> None:
    """Compute the memory per GPU and the communication per step of a training, without weights and without a GPU.

    Says whether the training fits, the largest micro-batch that does, and what to change if it does not.

    Only the config of the model is needed, not its weights; a model of the Hub must be in the cache, or online.
    """
    from ..config.load import load_config

    def reload(more: list[str]) -> "Config":
        return load_config(config, [*overrides, *more])

    settings = reload([])
    quiet_libraries()
    from .fit import GIB, free_here, make_fit
    from .plan import make_plan
    from .show import show_plan

    made = make_plan(settings, gpus, tokens)
    free = round(memory * GIB) if memory else free_here(settings)
    fit = make_fit(made, free, reload, tokens) if free else None
    if as_json:
        print_json({**made.as_dict(), "fit": asdict(fit) if fit else None}, indent=1)
    else:
        show_plan(settings, made, fit, make_console())
