"""`python -m finetune VERB`. Exit codes: 0 done, 1 failed, 2 the user's input is wrong, 130 interrupted."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
from rich.markup import escape

from . import __version__
from .console import make_console
from .errors import UserError

OK, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    speaks = os.environ.get("LOCAL_RANK", "0") == "0"  # of the processes that torchrun has started on this machine
    errors = make_console(stderr=True, quiet=not speaks)
    try:
        return int(cli.main(arguments, prog_name="finetune", standalone_mode=False) or OK)
    except UserError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return WRONG_INPUT
    except click.UsageError as error:
        if speaks:
            error.show()
        return WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        errors.print("interrupted")
        return INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="finetune")
def cli() -> None:
    """Fine-tune transformers."""


run_argument = click.argument("run_name", metavar="RUN")
"""A run's folder, such as runs/demo, or `latest`."""


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[key.sub=value ...]")
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint of the run.")
def train(config: Path, overrides: tuple[str, ...], resume: bool) -> int:
    """Train a model as CONFIG says, such as configs/demo.yaml."""
    from .config.load import load_config

    settings = load_config(config, list(overrides))
    quiet_libraries()
    from .continual.stages import train_stages
    from .distributed.world import process_group
    from .evaluate import evaluate
    from .report.report import write_report
    from .run.folder import RunFolder
    from .train import loop as training

    start = train_stages if settings.stages else training.train
    console = make_console()
    with process_group() as world:
        try:
            finished = start(settings, resume=resume, console=console, world=world)
        except training.NotFiniteError as error:
            if world.leads:
                message = f"[bold red]stopped:[/] {escape(str(error))}"
                make_console(stderr=True).print(message, highlight=False, soft_wrap=True)
            return FAILED
    if not finished:
        return INTERRUPTED
    if not world.leads:
        return OK
    run = RunFolder(settings.run_folder)
    if settings.data.validation and not settings.stages:
        evaluate(run, "validation", None, console)
    else:
        console.print(f"report: {write_report(run.path)}", highlight=False, soft_wrap=True)
    if settings.data.test:
        console.print(f"next: python -m finetune evaluate {run.path}", highlight=False, soft_wrap=True)
    return OK


@cli.command("check-data")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[key.sub=value ...]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs; of stages, one for each.")
@click.option("--strict", is_flag=True, help="Exit code 1 where there is an alarm or a warning.")
def check_data(config: Path, overrides: tuple[str, ...], as_json: bool, strict: bool) -> int:
    """Look at the data of CONFIG: balance, lengths, leaks between the splits, duplicates, odd rows."""
    from .config.load import load_config

    settings = load_config(config, list(overrides))
    quiet_libraries()
    from .check_data import check as checking
    from .check_data.table import show_check
    from .run.folder import data_check_folder

    documents = {}
    console = make_console()
    for training in checking.trainings_of(settings):
        name = str(training.run.name)
        documents[name] = document = checking.check_data(training)
        picture = checking.write_check(document, data_check_folder(training.run.dir, name))
        if not as_json:
            show_check(document, console, name if settings.stages else "")
            console.print(f"\npicture: {picture}", highlight=False, soft_wrap=True)
    if as_json:
        shown = documents if settings.stages else documents[str(settings.run.name)]
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    findings = [finding for document in documents.values() for finding in document["findings"]]
    return FAILED if strict and any(finding["severity"] != "note" for finding in findings) else OK


@cli.command()
@run_argument
@click.option("--split", default="test", show_default=True, help="train, validation or test, as the config names them.")
@click.option("--data", type=click.Path(path_type=Path), help="Another labelled file; --split then names the result.")
def evaluate(run_name: str, split: str, data: Path | None) -> int:
    """Score the best model of RUN (a folder, or latest) on labelled data."""
    quiet_libraries()
    from . import evaluate as evaluation
    from .run.folder import find_run

    evaluation.evaluate(find_run(run_name), split, data, make_console())
    return OK


@cli.command()
@run_argument
@click.argument("path", required=False, metavar="[INPUT]", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: predictions/ in the run's folder.")
@click.option("--text", multiple=True, help="A single text instead of a file; may be repeated.")
@click.option("--text-pair", help="The partner of --text, for tasks on pairs.")
def predict(run_name: str, path: Path | None, output: Path | None, text: tuple[str, ...], text_pair: str | None) -> int:
    """Predict with the best model of RUN (a folder, or latest) for the file INPUT, or for single texts."""
    if (path is None) == (not text):
        raise UserError("predict: name a data file or give a --text, one of the two")
    if text_pair is not None and not text:
        raise UserError("predict: --text-pair goes with --text")
    quiet_libraries()
    from .predict import Predictor, predict_to_file
    from .run.folder import find_run

    run = find_run(run_name)
    if path:
        written = predict_to_file(run, path, output)
        make_console().print(f"written: {written}", highlight=False, soft_wrap=True)
    else:
        for record in Predictor(run).predict_texts(text, text_pair):
            click.echo(json.dumps(record, ensure_ascii=False))
    return OK


@cli.command()
@run_argument
def report(run_name: str) -> int:
    """Write the report of RUN (a folder, or latest) again."""
    from .report.report import write_report
    from .run.folder import find_run

    make_console().print(f"report: {write_report(find_run(run_name).path)}", highlight=False, soft_wrap=True)
    return OK


@cli.command()
@run_argument
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["safetensors", "onnx"]), default="safetensors", show_default=True)
def export(run_name: str, folder: Path, form: Literal["safetensors", "onnx"]) -> int:
    """Write the best model of RUN (a folder, or latest) to DIR as an ordinary one, for transformers or onnxruntime."""
    quiet_libraries()
    from .export.export import export as export_run
    from .run.folder import find_run

    export_run(find_run(run_name), folder, form)
    make_console().print(f"written: {folder}", highlight=False, soft_wrap=True)
    return OK


@cli.command()
@click.argument("model", required=False)
@click.option("--revision", help="Branch, tag or commit; by default what the config says, or main.")
@click.option("--to", type=click.Path(path_type=Path), help="Another folder than models/NAME.")
@click.option("--config", type=click.Path(path_type=Path), help="Take the model from this config, and pin it there.")
def fetch(model: str | None, revision: str | None, to: Path | None, config: Path | None) -> int:
    """Bring MODEL of the Hugging Face Hub, or the one of a config, into a folder, for trainings without network."""
    from .hub.fetch import fetch as fetch_model
    from .hub.fetch import fetch_for_config

    if config and to:
        raise UserError("fetch: --to goes without --config: a training looks for what its config names in models/")
    if config:
        fetch_for_config(config, model, revision, make_console())
    elif model:
        fetched = fetch_model(model, revision, to, make_console())
        pin = f"name: {to}" if to else f'name: {model}\n  revision: "{fetched.commit}"'
        click.echo(f"for the config:\nmodel:\n  {pin}")
    else:
        raise UserError("fetch: name a MODEL such as google-bert/bert-base-cased, or a --config")
    return OK


@cli.command()
def doctor() -> int:
    """Look at Python, packages, accelerator, memory and disk."""
    from .doctor import examine

    return OK if examine(make_console()) else FAILED


@cli.command()
def schema() -> int:
    """Print the JSON Schema of the config."""
    from .config.json_schema import json_schema

    click.echo(json_schema(), nl=False)
    return OK


def quiet_libraries() -> None:
    """Keep the libraries' remarks out of the story: what matters in them we check and say ourselves."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # peft looks at every attribute of a model, also at those that transformers is about to rename.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    # What FSDP2 hands on as a view is changed in place by none of the models (see tests/test_distributed.py).
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", module="torch")
    # We number the positions after a prompt ourselves (see virtual_tokens.py).
    warnings.filterwarnings("ignore", message="Position ids are not supported", module="peft")
