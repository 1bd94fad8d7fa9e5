"""Arguments that several commands share."""

import math
from pathlib import Path

import click

run_argument = click.argument("run_name", metavar="RUN")
"""The folder of a run, such as runs/demo, or `latest`."""

config_argument = click.argument("config", type=click.Path(path_type=Path))
"""A config file, such as configs/demo.yaml."""

trust_option = click.option(
    "--trust-remote-code", is_flag=True, help="Run the Python code that came with the model: only if you have read it."
)
"""The allowance that a config gives as model.trust_remote_code; what a run recorded does not give it."""


def _probability(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """The range of click lets nan through."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1.")
    return value


confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    callback=_probability,
    metavar="P",
    help="Withhold answers with a lower probability; monitor counts them as unsure.",
)
"""The least probability of an answer."""

overrides_argument = click.argument("overrides", nargs=-1, metavar="[key.sub=value ...]")
"""Settings that replace those of the config file."""
