"""The commands `export` and `push`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..arguments import run_argument, trust_option
from ..console import make_console, print_line, quiet_libraries

if TYPE_CHECKING:
    from .export import Options

Command = Callable[..., Any]
OPTIONS = (
    click.option(
        "--format", "form", type=click.Choice(["safetensors", "onnx"]), default="safetensors", show_default=True
    ),
    click.option("--adapter", is_flag=True, help="The adapter alone, as a folder of peft, without the base model."),
    click.option("--int8", is_flag=True, help="With --format onnx: quantize to 8 bits, and measure what that costs."),
    click.option("--license", help="License in the model card: an identifier of the Hub, such as apache-2.0."),
    click.option(
        "--language", "languages", multiple=True, help="Language in the model card, such as en; may be repeated."
    ),
    trust_option,
)
"""Options of both commands."""


def export_options(command: Command) -> Command:
    """Add the options of an export to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@run_argument
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@export_options
def export(run_name: str, folder: Path, **chosen: Any) -> None:
    """Export the best model of RUN (a folder, or latest) to DIR, for transformers, peft or onnxruntime."""
    quiet_libraries()
    from ..run.find import find_run
    from .export import export as export_run

    console = make_console()
    notes = export_run(find_run(run_name, console), folder, options_of(**chosen))
    for line in (f"written: {folder}", *notes):
        print_line(console, line)


@click.command()
@run_argument
@click.argument("name", metavar="ORG/NAME")
@click.option("--private", is_flag=True, help="Make the model private, if it is created.")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and ask nothing of the Hub.")
@export_options
def push(run_name: str, name: str, private: bool, dry_run: bool, **chosen: Any) -> None:
    """Export the best model of RUN (a folder, or latest), and upload it with its card to the Hugging Face Hub."""
    quiet_libraries()
    from ..run.find import find_run
    from .push import push as push_run

    console = make_console()
    run = find_run(run_name, console)
    push_run(run, name, options_of(**chosen), console, private=private, dry_run=dry_run)


def options_of(license: str | None, languages: tuple[str, ...], **chosen: Any) -> "Options":
    """The options of an export, from those of the command line."""
    from .card import CardOptions
    from .export import Options

    return Options(**chosen, card=CardOptions(license, languages))
