"""The command `export`."""

from pathlib import Path
from typing import Literal

import click

from ..arguments import run_argument, trust_option
from ..console import make_console, print_line, quiet_libraries


@click.command()
@run_argument
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["safetensors", "onnx"]), default="safetensors", show_default=True)
@trust_option
def export(run_name: str, folder: Path, form: Literal["safetensors", "onnx"], trust_remote_code: bool) -> None:
    """Export the best model of RUN (a folder, or latest) to DIR, for transformers or onnxruntime."""
    quiet_libraries()
    from ..run.find import find_run
    from .export import export as export_run

    console = make_console()
    note = export_run(find_run(run_name, console), folder, form, trust_remote_code=trust_remote_code)
    print_line(console, f"written: {folder}")
    if note:
        print_line(console, note)
