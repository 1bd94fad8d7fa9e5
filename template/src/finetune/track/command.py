"""The command `track`."""

import sys
from collections.abc import Callable
from threading import Event, Thread

import click
from rich.markup import escape

from ..arguments import run_argument
from ..config.config import TRACKERS
from ..console import counted, make_console, print_line
from ..errors import FAILED, OK, UserError
from ..run.find import find_run
from ..urls import without_secrets
from .follow import TrackerError, require_tracker, send, training_has_ended


@click.command()
@run_argument
@click.option("--to", required=True, type=click.Choice(TRACKERS), help="The tracker; it reads its own variables.")
@click.option("--follow", is_flag=True, help="Go on until the training has ended.")
@click.option("--beside", is_flag=True, hidden=True, help="Go on until standard input ends: started by a training.")
def track(run_name: str, to: str, follow: bool, beside: bool) -> int:
    """Send the metrics of RUN (a folder, or latest) to an experiment tracker.

    What the tracker has already is not sent again: a run that is resumed, or sent again, stays one run.
    """
    errors = make_console(stderr=True)
    run = find_run(run_name, errors)
    require_tracker(to)
    if not run.metrics_file.is_file() and not (follow or beside):
        remedy = "name the run of a stage, in stages/" if run.config().stages else "train it, or add --follow"
        raise UserError(f"{run.path}: has no metrics.jsonl: {remedy}")
    has_ended = input_ended() if beside else training_has_ended(run) if follow else lambda: True
    try:
        count = send(run, to, has_ended)
    except TrackerError as error:
        said = f"{without_secrets(str(error))}: to send the rest: python -m finetune track {run.path} --to {to}"
        print_line(errors, f"[bold red]failed:[/] {escape(said)}")
        return FAILED
    print_line(make_console(), escape(f"{to}: {counted(count, 'point')} of {run.path} sent"))
    return OK


def input_ended() -> Callable[[], bool]:
    """Whether standard input has ended: the system closes it with the training, however that ends."""
    ended = Event()

    def read() -> None:
        sys.stdin.buffer.read()
        ended.set()

    Thread(target=read, daemon=True).start()
    return ended.is_set
