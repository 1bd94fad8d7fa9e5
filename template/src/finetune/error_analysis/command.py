"""The command `errors`."""

from pathlib import Path

import click

from ..arguments import run_argument, trust_option
from ..console import make_console, quiet_libraries


@click.command()
@run_argument
@click.option("--split", "splits", multiple=True, help="test, validation or train; by default test and train.")
@click.option("--data", type=click.Path(path_type=Path), help="Another labelled file; --split then names the result.")
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Rows to show and to write.")
@click.option(
    "--sample", type=click.IntRange(1), default=20_000, show_default=True, help="Training rows to look at, at most."
)
@click.option("--output", type=click.Path(path_type=Path), help="Default: errors-<split>.jsonl in the run's folder.")
@trust_option
def errors(
    run_name: str,
    splits: tuple[str, ...],
    data: Path | None,
    count: int,
    sample: int,
    output: Path | None,
    trust_remote_code: bool,
) -> None:
    """Show where the best model of RUN is wrong, and the training rows with the highest loss; write them as .jsonl."""
    quiet_libraries()
    from ..run.find import find_run
    from .analysis import Request, show_errors

    console = make_console()
    run = find_run(run_name, console)
    show_errors(run, Request(splits, data, count, sample, output, trust_remote_code), console)
