"""The command line, `python -m finetune VERB`. Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from . import __version__, optional
from .arguments import config_argument, overrides_argument, run_argument, trust_option
from .console import make_console, print_line, quiet_libraries
from .errors import FAILED, INTERRUPTED, OK, WRONG_INPUT, UserError

if TYPE_CHECKING:
    from .run.folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    is_main = os.environ.get("LOCAL_RANK", "0") == "0"  # among the processes that torchrun has started on this machine
    errors = make_console(stderr=True, quiet=not is_main)
    try:
        return int(cli.main(arguments, prog_name="finetune", standalone_mode=False) or OK)
    except UserError as error:
        print_line(errors, f"[bold red]error:[/] {escape(str(error))}")
        return WRONG_INPUT
    except click.UsageError as error:
        if is_main:
            error.show()
        return WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        errors.print("interrupted")
        return INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="finetune")
def cli() -> None:
    """Fine-tune transformers."""


@cli.command()
@config_argument
@overrides_argument
@click.option("--resume", is_flag=True, help="Resume from the latest checkpoint of the run.")
def train(config: Path, overrides: tuple[str, ...], resume: bool) -> int:
    """Train a model as CONFIG says, such as configs/demo.yaml."""
    from .config.load import load_config

    settings = load_config(config, list(overrides))
    quiet_libraries()
    from .distributed.world import process_group
    from .evaluate import evaluate
    from .run.folder import RunFolder
    from .train import loop as training

    stages = optional.find("continual", "stages") if settings.stages else None
    start = stages.train_stages if stages else training.train
    console = make_console()
    with process_group() as world:
        try:
            finished = start(settings, resume=resume, console=console, world=world)
        except training.NotFiniteError as error:
            if world.is_main:
                print_line(make_console(stderr=True), f"[bold red]stopped:[/] {escape(str(error))}")
            return FAILED
    if not finished:
        return INTERRUPTED
    if not world.is_main:
        return OK
    run = RunFolder(settings.run_folder)
    if settings.data.validation and not settings.stages:
        evaluate(run, "validation", None, console, trust_remote_code=settings.model.trust_remote_code)
    write_report(run, console)
    if settings.data.test:
        allowance = " --trust-remote-code" if settings.model.trust_remote_code else ""
        print_line(console, f"next: python -m finetune evaluate {run.path}{allowance}")
    return OK


@cli.command()
@run_argument
@click.option("--split", default="test", show_default=True, help="train, validation or test: the file in the config.")
@click.option("--data", type=click.Path(path_type=Path), help="Another labelled file; --split then names the result.")
@trust_option
def evaluate(run_name: str, split: str, data: Path | None, trust_remote_code: bool) -> None:
    """Compute metrics of the best model of RUN (a folder, or latest) on labelled data."""
    quiet_libraries()
    from . import evaluate as evaluation
    from .run.folder import find_run

    run, console = find_run(run_name), make_console()
    evaluation.evaluate(run, split, data, console, trust_remote_code=trust_remote_code)
    write_report(run, console)


@cli.command()
@run_argument
@click.argument("path", required=False, metavar="[INPUT]", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: predictions/ in the folder of the run.")
@click.option("--text", multiple=True, help="A single text instead of a file; may be repeated.")
@click.option("--text-pair", help="The second text of a pair, for tasks on text pairs.")
@trust_option
def predict(
    run_name: str,
    path: Path | None,
    output: Path | None,
    text: tuple[str, ...],
    text_pair: str | None,
    trust_remote_code: bool,
) -> None:
    """Generate predictions of the best model of RUN (a folder, or latest) for the file INPUT or for single texts."""
    if (path is None) == (not text):
        raise UserError("predict: name a data file or give a --text, one of the two")
    if text_pair is not None and not text:
        raise UserError("predict: --text-pair goes with --text")
    quiet_libraries()
    from .predict import Predictor, predict_to_file
    from .run.folder import find_run

    run = find_run(run_name)
    if path:
        print_line(
            make_console(), f"written: {predict_to_file(run, path, output, trust_remote_code=trust_remote_code)}"
        )
    else:
        for record in Predictor(run, trust_remote_code=trust_remote_code).predict_texts(text, text_pair):
            click.echo(json.dumps(record, ensure_ascii=False))


@cli.command()
@click.argument("model", required=False)
@click.option("--revision", help="Branch, tag or commit; by default that of the config, or main.")
@click.option("--to", type=click.Path(path_type=Path), help="Another folder than models/NAME.")
@click.option("--config", type=click.Path(path_type=Path), help="Take the model from this config, and pin it there.")
def fetch(model: str | None, revision: str | None, to: Path | None, config: Path | None) -> None:
    """Download MODEL, or the model of a config, from the Hugging Face Hub, for offline training."""
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


@cli.command()
def doctor() -> int:
    """Check Python, packages, accelerator, memory and disk."""
    from .doctor import diagnose

    return OK if diagnose(make_console()) else FAILED


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the config."""
    from .config.json_schema import json_schema

    click.echo(json_schema(), nl=False)


for folder, part in optional.PARTS.items():
    for verb in part.verbs:
        if commands := optional.find(folder, "command"):
            cli.add_command(getattr(commands, verb.replace("-", "_")))


def write_report(run: "RunFolder", console: Console) -> None:
    """Write the report of a run, if the project has `report/`."""
    if report := optional.find("report", "report"):
        print_line(console, f"report: {report.write_report(run.path)}")
