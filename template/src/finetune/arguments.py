"""Arguments that several commands share."""

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

overrides_argument = click.argument("overrides", nargs=-1, metavar="[key.sub=value ...]")
"""Settings that replace those of the config file."""
