"""The command `ft-template`: each verb imports what it needs only when it runs, for `--help` has to be quick."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import FAULTS, INTERRUPTED, OK, USAGE, WRONG_ANSWERS, UserError

ANSWERS_HELP = "A file with answers: .json, .yaml or .toml."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    try:
        return int(cli.main(arguments, prog_name="ft-template", standalone_mode=False) or OK)
    except UserError as error:
        for sentence in error.sentences.values():
            print(f"error: {sentence}", file=sys.stderr)
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
@click.argument("target_dir", required=False, type=click.Path(path_type=Path))
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), help="Where the folder of the project is made.")
@click.option("--template", "-t", help="Another template: a path, gh:owner/name or a URL.")
@click.option("--answers", type=click.Path(path_type=Path), help=ANSWERS_HELP)
@click.option("--set", "-s", "settings", multiple=True, metavar="KEY=VALUE", help="One answer; may be repeated.")
@click.option("--no-input", is_flag=True, help="Ask nothing: open questions take their defaults.")
@click.option("--dry-run", is_flag=True, help="Tell what would be made, and make nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output; asks nothing.")
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
    """Make a project: in TARGET_DIR, or in a folder that is called by its slug.

    Questions that are not answered by --answers or --set are asked, if there is a terminal.
    """
    from .answers.ask import ask, has_terminal
    from .create.events import JsonLines, Listener, People, tell_failure
    from .create.new import Request
    from .create.new import new as make

    listener: Listener = JsonLines(sys.stdout) if as_json else People()
    try:
        if target_dir and output_dir:
            raise UserError("TARGET_DIR and --output-dir both say where: use one of them.")
        given = _given(answers, settings)
    except UserError as error:
        return tell_failure(listener, error)
    asks = not (no_input or as_json) and has_terminal()
    request = Request(given, target_dir, output_dir or Path(), template, dry_run, ask if asks else None)
    return make(request, listener)


@cli.command()
@click.option("--format-version", type=int, required=True, help="The format that the caller can read: 1.")
def describe(format_version: int) -> None:
    """Print the questions as one JSON document, with a JSON Schema of the answers."""
    from .answers.describe import describe as document
    from .template import bundled

    _print_json(document(bundled(), format_version))


@cli.command()
@click.option("--answers", type=click.Path(path_type=Path), help=ANSWERS_HELP)
@click.option("--set", "-s", "settings", multiple=True, metavar="KEY=VALUE", help="One answer; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def validate(answers: Path | None, settings: tuple[str, ...], as_json: bool) -> int:
    """Say what is wrong with answers, or print all of them, completed by defaults."""
    from .answers import complete as answering
    from .template import bundled

    found: dict[str, str] = {}
    completed: dict[str, object] | None = None
    try:
        completed = answering.complete(bundled(), _given(answers, settings))
    except UserError as error:
        if not as_json or error.code != WRONG_ANSWERS:
            raise
        found = {field or "": sentence for field, sentence in error.sentences.items()}
    errors = [{"field": field or None, "message": sentence} for field, sentence in found.items()]
    _print_json({"valid": not errors, "answers": completed, "errors": errors} if as_json else completed)
    return WRONG_ANSWERS if errors else OK


@cli.command()
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=".", help="Where a project is to lie.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def doctor(output_dir: Path, as_json: bool) -> int:
    """Look at Python, git, uv, GPU, memory and disk; exit code 1 if no project can be made here."""
    from .system import doctor as examination
    from .system.machine import look

    machine = look(output_dir)
    findings = examination.examine(machine)
    if as_json:
        _print_json(examination.document(machine))
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.level:8} {finding.message}{remedy}")
    return FAULTS if any(finding.level == "error" for finding in findings) else OK


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


def _given(answers: Path | None, settings: Sequence[str]) -> dict[str, object]:
    from .answers.read import parse_settings, read_answers

    return {**(read_answers(answers) if answers else {}), **parse_settings(settings)}


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))
