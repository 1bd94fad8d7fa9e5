"""The command `report`."""

import click

from ..arguments import run_argument
from ..console import make_console, print_line


@click.command()
@run_argument
def report(run_name: str) -> None:
    """Write the HTML report of RUN (a folder, or latest) again."""
    from ..run.find import find_run
    from .report import write_report

    console = make_console()
    print_line(console, f"report: {write_report(find_run(run_name, console).path)}")
