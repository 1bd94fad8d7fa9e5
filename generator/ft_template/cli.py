"""The command `ft-template`: each verb imports what it needs only when it runs, for `--help` has to be quick."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from . import __version__
from .errors import INTERRUPTED, OK, USAGE, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    try:
        return int(cli.main(arguments, prog_name="ft-template", standalone_mode=False) or OK)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except click.UsageError as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ft-template")
def cli() -> None:
    """Stamp out PyCharm projects that fine-tune transformers."""


@cli.command()
@click.argument("project", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@click.option("--run", is_flag=True, help="Start every run configuration in a copy, trainings for a few steps.")
@click.option("--python", type=click.Path(path_type=Path), help="Another interpreter than the project's .venv.")
@click.option("--seconds", default=600.0, show_default=True, help="Longest time for one configuration.")
def check(project: Path, as_json: bool, run: bool, python: Path | None, seconds: float) -> int:
    """Read PROJECT as PyCharm does and report every fault with its remedy; exit code 1 where there is one."""
    from .check.report import report

    return report(project, as_json=as_json, run=run, python=python, seconds=seconds)
