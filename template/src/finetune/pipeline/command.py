"""The command `pipeline`."""

import shlex
from pathlib import Path

import click
from rich.markup import escape

from ..arguments import overrides_argument
from ..console import make_console, print_line, quiet_libraries
from ..errors import INTERRUPTED


def print_schema(context: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
    """Print the JSON Schema, and end."""
    if is_wanted:
        from .json_schema import json_schema

        click.echo(json_schema(), nl=False)
        context.exit()


@click.command("pipeline")
@click.argument("file", metavar="PIPELINE", type=click.Path(path_type=Path))
@overrides_argument
@click.option("--ask", "questions", multiple=True, metavar="TEXT",
              help="Answer this question, instead of the test questions; may be repeated.")  # fmt: skip
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=print_schema,
              help="Print the JSON Schema of pipeline files, and end.")  # fmt: skip
def pipeline(file: Path, overrides: tuple[str, ...], questions: tuple[str, ...]) -> int:
    """Train and score a customer service, as the file PIPELINE says, such as pipelines/customer-service.yaml.

    Stages: retrieval, hard negatives, ranking, chat, index, answers. Stopped or killed, the same command goes on.
    """
    from .settings import read_pipeline

    plan = read_pipeline(file, list(overrides))
    quiet_libraries()
    from .pipeline import run_pipeline

    console = make_console()
    code = run_pipeline(plan, questions, console)
    if code == INTERRUPTED:
        print_line(console, f"to continue: python -m finetune pipeline {escape(shlex.join([str(file), *overrides]))}")
    return code
