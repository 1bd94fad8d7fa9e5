"""The command `plan`."""

from pathlib import Path

import click

from ..arguments import config_argument, overrides_argument
from ..console import make_console, print_json, quiet_libraries


@click.command("plan")
@config_argument
@overrides_argument
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True, help="Number of GPUs, on all nodes.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of an example; by default model.max_length.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; sizes are in bytes.")
def plan(config: Path, overrides: tuple[str, ...], gpus: int, tokens: int | None, as_json: bool) -> None:
    """Compute the memory per GPU and the communication per step of a training, without weights and without a GPU.

    Only the config of the model is needed, not its weights; a model of the Hub must be in the cache, or online.
    """
    from ..config.load import load_config

    settings = load_config(config, list(overrides))
    quiet_libraries()
    from .plan import make_plan
    from .show import show_plan

    made = make_plan(settings, gpus, tokens)
    if as_json:
        print_json(made.as_dict(), indent=1)
    else:
        show_plan(settings, made, make_console())
