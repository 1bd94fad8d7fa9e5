"""The command `ft-template`; each verb imports its modules only when it runs, so that `--help` is fast."""

import errno
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import CHECK_FAILED, FAILED, INTERRUPTED, INVALID_ANSWERS, OK, USAGE, UserError

OF_THE_SYSTEM = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EFBIG)
"""Errors that mean the same whatever was done."""
ANSWERS_HELP = "File with answers: .json, .yaml or .toml; a project's .ft-template.json recreates it."
SET_HELP = "One answer; can be repeated."
JSON_HELP = "Print one JSON document."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console may lack characters, such as those of a project's name
    try:
        return int(cli.main(arguments, prog_name="ft-template", standalone_mode=False) or OK)
    except UserError as error:
        for message in error.messages.values():
            print(f"error: {message}", file=sys.stderr)
        return error.code
    except click.UsageError as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # of the system, such as a full disk
        if not error.strerror or not (error.filename or error.errno in OF_THE_SYSTEM):
            raise  # it is one of the program
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}: mend this, then run the command again", file=sys.stderr)
        return FAILED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ft-template")
def cli() -> None:
    """Generate ready-to-run PyCharm fine-tuning projects."""


@cli.command()
@click.argument("target_dir", required=False, type=click.Path(path_type=Path))
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), help="Parent folder of the project.")
@click.option("--template", "-t", help="Another template: a path, gh:owner/name or a URL.")
@click.option("--answers", type=click.Path(path_type=Path), help=ANSWERS_HELP)
@click.option("--set", "-s", "settings", multiple=True, metavar="KEY=VALUE", help=SET_HELP)
@click.option("--no-input", is_flag=True, help="Ask nothing: open questions take their defaults.")
@click.option("--dry-run", is_flag=True, help="Show what would be created, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON event a line; ask nothing.")
def new(
    target_dir: Path | None,
    output_dir: Path | None,
    template: str | None,
    answers: Path | None,
    settings: tuple[str, ...],
    no_input: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Create a project.

    It is created in TARGET_DIR, or in a folder named after its slug. In a terminal, questions without an answer in
    --answers or --set are asked.
    """
    from .answers.prompts import is_interactive
    from .create.events import JsonListener, Listener, RichListener, emit_error
    from .create.new import Request
    from .create.new import new as create

    listener: Listener = JsonListener(sys.stdout) if as_json else RichListener()
    try:
        if target_dir and output_dir:
            raise UserError("TARGET_DIR and --output-dir both name the target: use one of them.")
        given = _given_answers(answers, settings)
    except UserError as error:
        return emit_error(listener, error)
    interactive = not (no_input or as_json) and is_interactive()
    request = Request(given, target_dir, output_dir or Path(), template, dry_run, interactive)
    return create(request, listener)


@cli.command()
@click.option("--format-version", type=int, required=True, help="The format version that the caller supports: 1.")
def describe(format_version: int) -> None:
    """Print the questions as JSON.

    The document contains a JSON Schema of the answers.
    """
    from .answers.describe import describe as document
    from .template import bundled

    _print_json(document(bundled(), format_version))


@cli.command()
@click.option("--answers", type=click.Path(path_type=Path), help=ANSWERS_HELP)
@click.option("--set", "-s", "settings", multiple=True, metavar="KEY=VALUE", help=SET_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def validate(answers: Path | None, settings: tuple[str, ...], as_json: bool) -> int:
    """Validate answers.

    Prints them completed with defaults, or reports every error.
    """
    from .answers.complete import complete
    from .template import bundled

    messages: dict[str, str] = {}
    completed: dict[str, object] | None = None
    try:
        completed = complete(bundled(), _given_answers(answers, settings))
    except UserError as error:
        if not as_json or error.code != INVALID_ANSWERS:
            raise
        messages = {field or "": message for field, message in error.messages.items()}
    errors = [{"field": field or None, "message": message} for field, message in messages.items()]
    _print_json({"valid": not errors, "answers": completed, "errors": errors} if as_json else completed)
    return INVALID_ANSWERS if errors else OK


@cli.command()
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=".", help="Parent folder of a project.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def doctor(output_dir: Path, as_json: bool) -> int:
    """Check this machine.

    Checks Python, git, uv, GPU, memory and disk; exit code 1 if no project can be created here.
    """
    from .system import doctor as checks
    from .system.machine import inspect_machine

    machine = inspect_machine(output_dir)
    diagnoses = checks.diagnose(machine)
    if as_json:
        _print_json(checks.document(machine))
    else:
        for diagnosis in diagnoses:
            remedy = f" -> {diagnosis.remedy}" if diagnosis.remedy else ""
            click.echo(f"{diagnosis.level:8} {diagnosis.message}{remedy}")
    return CHECK_FAILED if any(diagnosis.level == "error" for diagnosis in diagnoses) else OK


@cli.command()
@click.argument("project", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option("--run", is_flag=True, help="Also run every run configuration in a copy, trainings for a few steps.")
@click.option("--python", type=click.Path(path_type=Path), help="The interpreter; default: the project's .venv.")
@click.option("--seconds", default=600.0, show_default=True, help="Time limit for one run configuration.")
def check(project: Path, as_json: bool, run: bool, python: Path | None, seconds: float) -> int:
    """Check a project as PyCharm reads it.

    Reports every fault of PROJECT with its place and remedy; exit code 1 if there is one.
    """
    from .check.report import report

    return report(project, as_json=as_json, run=run, python=python, seconds=seconds)


def _given_answers(answers: Path | None, settings: Sequence[str]) -> dict[str, object]:
    from .answers.read import parse_settings, read_answers

    return {**(read_answers(answers) if answers else {}), **parse_settings(settings)}


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))
