"""The command line, `python -m finetune VERB`. Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from . import __version__, optional
from .arguments import confidence_option, config_argument, overrides_argument, run_argument, trust_option
from .console import make_console, print_line, quiet_libraries, replace_unencodable, show_notices
from .env_file import load_env_file
from .errors import FAILED, INTERRUPTED, OK, WRONG_INPUT, RankError, UserError
from .system_errors import flush_standard_output, sentence_of
from .urls import without_secrets

if TYPE_CHECKING:
    from .config.config import Config
    from .run.folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    is_main = os.environ.get("LOCAL_RANK", "0") == "0"  # among the processes that torchrun has started on this machine
    errors = make_console(stderr=True, quiet=not is_main)
    replace_unencodable()
    show_notices()
    try:
        load_env_file()
        code = int(cli.main(arguments, prog_name="finetune", standalone_mode=False) or OK)
        flush_standard_output()
        return code
    except UserError as error:
        shown = make_console(stderr=True) if isinstance(error, RankError) else errors
        print_line(shown, f"[bold red]error:[/] {escape(without_secrets(str(error)))}")
        return WRONG_INPUT
    except click.UsageError as error:
        if is_main:
            error.show()
        return WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        return interrupted(errors)
    except BrokenPipeError:  # of `| head`, which has read enough
        return FAILED
    except Exception as error:
        if isinstance(error.__cause__, click.Abort | KeyboardInterrupt):
            return interrupted(errors)  # Python 3.11 wraps a Ctrl-C that arrives while an import makes a class
        sentence = sentence_of(error)
        if sentence is None:  # it is one of the program
            raise
        # Of any rank: the others may be without it.
        print_line(make_console(stderr=True), f"[bold red]error:[/] {escape(without_secrets(sentence))}")
        return WRONG_INPUT


def interrupted(errors: Console) -> int:
    """What a command that was stopped says, and its exit code."""
    errors.print("interrupted")
    return INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="finetune")
def cli() -> None:
    """Fine-tune transformers."""


@cli.command()
@config_argument
@overrides_argument
@click.option("--resume", is_flag=True, help="Continue from the latest checkpoint; `--resume auto`: if there is one.")
def train(config: Path, overrides: tuple[str, ...], resume: bool) -> int:
    """Train a model as CONFIG says, such as configs/demo.yaml.

    With --resume, CONFIG may also be the folder of a run, or latest: the newest run that was interrupted.
    """
    # `--resume` is a flag, because with a value it would take any argument behind it.
    automatic = resume and "auto" in overrides
    settings = training_settings(config, [key for key in overrides if not automatic or key != "auto"], resume)
    quiet_libraries()
    from .distributed.world import process_group
    from .run.folder import RunFolder
    from .train import loop as training
    from .train.guards import NotFiniteError
    from .train.resume import can_be_resumed
    from .train.seeds import seed_configs, train_seeds

    stages = optional.find("continual", "stages") if settings.stages else None
    start = stages.train_stages if stages else training.train
    console = make_console()
    run = RunFolder(settings.run_folder)
    runs = [RunFolder(one.run_folder) for one in seed_configs(settings)] or [run]
    with process_group() as world:
        try:
            if settings.train.seeds:
                finished = train_seeds(
                    settings, conclude, resume="auto" if automatic else resume, console=console, world=world
                )
            else:
                if automatic:
                    resume = world.on_main(lambda: can_be_resumed(run, settings))
                finished = start(settings, resume=resume, console=console, world=world)
        except NotFiniteError as error:
            if world.is_main:
                print_line(make_console(stderr=True), f"[bold red]stopped:[/] {escape(without_secrets(str(error)))}")
            return FAILED
    if not world.is_main:
        return OK if finished else INTERRUPTED
    if not finished:
        given = [str(config), *(key for key in overrides if not automatic or key != "auto")]
        of_seeds = f"python -m finetune train {shlex.join(given)} --resume"
        print_line(console, f"to continue: {escape(of_seeds if settings.train.seeds else run.resume_command())}")
        return INTERRUPTED
    if not settings.train.seeds:
        conclude(run, settings, console)
    if settings.data.test and (verb := "compare" if len(runs) > 1 else "evaluate") in cli.commands:
        allowance = ["--trust-remote-code"] if settings.model.trust_remote_code else []
        command = shlex.join([verb, *(str(run.path) for run in runs), *allowance])
        print_line(console, f"next: python -m finetune {escape(command)}")
    return OK


def conclude(run: "RunFolder", settings: "Config", console: Console) -> None:
    """What follows a training that has ended: evaluation on the validation data, report, trackers."""
    from .evaluate import evaluate

    if settings.data.validation and not settings.stages:
        evaluate(run, "validation", None, console, trust_remote_code=settings.model.trust_remote_code)
    write_report(run, console)
    if beside := optional.find("track", "beside"):
        beside.send_evaluations(run, settings.run.trackers, console)


@cli.command()
@run_argument
@click.option("--split", default="test", show_default=True, help="train, validation or test: the file in the config.")
@click.option("--data", type=click.Path(path_type=Path), help="Another labelled file; --split then names the result.")
@trust_option
def evaluate(run_name: str, split: str, data: Path | None, trust_remote_code: bool) -> None:
    """Compute metrics of the best model of RUN (a folder, or latest) on labelled data."""
    quiet_libraries()
    from . import evaluate as evaluation
    from .run.find import find_run

    console = make_console()
    run = find_run(run_name, console)
    evaluation.evaluate(run, split, data, console, trust_remote_code=trust_remote_code)
    write_report(run, console)


@cli.command()
@run_argument
@click.argument("path", required=False, metavar="[INPUT]", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: predictions/ in the folder of the run.")
@click.option("--text", multiple=True, help="A single text instead of a file; may be repeated.")
@click.option("--text-pair", help="The second text of a pair, for tasks on text pairs.")
@confidence_option
@trust_option
def predict(
    run_name: str,
    path: Path | None,
    output: Path | None,
    text: tuple[str, ...],
    text_pair: str | None,
    min_confidence: float | None,
    trust_remote_code: bool,
) -> None:
    """Generate predictions of the best model of RUN (a folder, or latest) for the file INPUT or for single texts."""
    if (path is None) == (not text):
        raise UserError("predict: name a data file or give a --text, one of the two")
    if text_pair is not None and not text:
        raise UserError("predict: --text-pair goes with --text")
    quiet_libraries()
    from .predict import Predictor, predict_to_file, show_record
    from .run.find import find_run

    options: Any = {"min_confidence": min_confidence, "trust_remote_code": trust_remote_code}
    if path:
        console = make_console()
        written = predict_to_file(find_run(run_name, console), path, output, **options)
        print_line(console, f"written: {written}")
        return
    with (errors := make_console(stderr=True)).capture() as chosen:  # shown with the result: an error is one line
        run = find_run(run_name, errors)
    records = Predictor(run, **options).predict_texts(text, text_pair)
    click.echo(chosen.get(), nl=False, err=True)
    for record in records:
        show_record(record)


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
@click.option("--clean", is_flag=True, help="Remove the tokenized data that trainings have kept in .cache of run.dir.")
@click.option("--days", type=click.IntRange(0), default=0, help="With --clean: only what was not used for so long.")
def doctor(clean: bool, days: int) -> int:
    """Check Python, packages, accelerator, memory and disk."""
    from . import doctor

    if clean:
        doctor.clean(make_console(), days)
        return OK
    return OK if doctor.diagnose(make_console()) else FAILED


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the config."""
    from .config.json_schema import json_schema

    click.echo(json_schema(), nl=False)


for folder, part in optional.PARTS.items():
    for verb in part.verbs:
        if commands := optional.find(folder, "command"):
            cli.add_command(getattr(commands, verb.replace("-", "_")))


def training_settings(config: Path, overrides: list[str], resume: bool) -> "Config":
    """The settings of a config file, or those of a run to resume, by its folder or as the newest interrupted one."""
    from .config.load import load_config
    from .run.find import LATEST, find_interrupted
    from .run.folder import RunFolder
    from .run.named_files import require_named_files

    latest = str(config) == LATEST
    if not latest and not RunFolder(config).config_file.is_file():
        return load_config(config, overrides)
    if not resume:
        raise UserError(f"{config}: names a run, not a config: add --resume to continue it, or name a config file")
    run = find_interrupted() if latest else RunFolder(config)
    settings = load_config(run.config_file, overrides)
    if run.needs_remote_code() and not settings.model.trust_remote_code:
        raise UserError(
            f"{run.path}: the model comes with Python code, which runs only if this command allows it: read the code, "
            f"then add model.trust_remote_code=true"
        )
    require_named_files(run, settings)
    # The folder may have been renamed since.
    place = {"name": run.path.name, "dir": run.path.parent}
    return settings.model_copy(update={"run": settings.run.model_copy(update=place)})


def write_report(run: "RunFolder", console: Console) -> None:
    """Write the report of a run, if the project has `report/`."""
    if report := optional.find("report", "report"):
        print_line(console, f"report: {report.write_report(run.path)}")
