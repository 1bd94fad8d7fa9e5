"""The command `check-data`."""

from pathlib import Path

import click

from ..arguments import config_argument, overrides_argument
from ..console import make_console, print_json, print_line, quiet_libraries
from ..errors import FAILED, OK


@click.command("check-data")
@config_argument
@overrides_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one document, or with stages one for each.")
@click.option("--strict", is_flag=True, help="Exit with code 1 if there is an alarm or a warning.")
def check_data(config: Path, overrides: tuple[str, ...], as_json: bool, strict: bool) -> int:
    """Check the dataset of CONFIG: train/test leakage, conflicting labels, duplicates, truncation, outliers."""
    from ..config.load import load_config

    settings = load_config(config, list(overrides))
    quiet_libraries()
    from ..run.folder import data_check_folder
    from . import check
    from .table import show_check

    documents = {}
    console = make_console()
    for training in check.trainings_of(settings):
        name = str(training.run.name)
        documents[name] = document = check.check_data(training)
        plot = check.write_check(document, data_check_folder(training.run.dir, name))
        if not as_json:
            show_check(document, console, name if settings.stages else "")
            print_line(console, f"\nplot: {plot}")
    if as_json:
        shown = documents if settings.stages else documents[str(settings.run.name)]
        print_json(shown, indent=1)
    findings = [finding for document in documents.values() for finding in document["findings"]]
    return FAILED if strict and any(finding["severity"] != "note" for finding in findings) else OK
