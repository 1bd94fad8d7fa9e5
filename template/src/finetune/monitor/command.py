"""The command `monitor`."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from filelock import FileLock, Timeout

from ..arguments import confidence_option, run_argument, trust_option
from ..console import counted, make_console, quiet_libraries
from ..errors import UserError
from ..files import Folder, make_folders
from .formats import FORMATS, Schema
from .journal import PREDICTIONS, SKIPPED
from .windows import Span, seconds_of

if TYPE_CHECKING:
    from .display import Display
    from .monitor import Monitor
    from .sources import Source

POLL = 0.2
"""Seconds between two looks at an input that has nothing new."""
MIN_COUNT = 30
REFERENCE = 5
PATIENCE = {True: 60.0, False: 5.0}
"""Seconds to wait for deliveries at the end: of an input that has ended, or after a signal."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is read at once, and how often something is shown."""

    batch_size: int
    interval: float


@click.command()
@run_argument
@click.option("--input", "source_name", required=True, help="A file that grows, a folder, or - for standard input.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: the file's ending; of a pipe, jsonl.")
@click.option("--once", is_flag=True, help="Read what is there and end, instead of waiting for more.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write to; default: RUN/monitor/NAME.")
@click.option(
    "--window", default="10m", show_default=True, help="Sliding window: a time (s, m, h, d) or 500 for texts."
)
@click.option("--reference", default=REFERENCE, show_default=True, type=click.IntRange(1, 1000),
              help="Length of the reference window before it, in windows.")  # fmt: skip
@click.option("--topic", help="Column of the topic; default: topic, if there is one.")
@click.option("--time", "time_column", help="Column of the time: ISO 8601 or seconds since 1970; default: arrival.")
@confidence_option
@click.option("--alarm", "alarms", metavar="RULE", multiple=True,
              help='"[TOPIC:] LABEL > 0.4", "... < 0.1", "... jumps 4" or "... drops 4"; may be repeated.')  # fmt: skip
@click.option(
    "--min-count", type=click.IntRange(1), help=f"Texts that a window needs for an alarm; default: {MIN_COUNT}."
)
@click.option("--clear", default=0.9, show_default=True, type=click.FloatRange(0, 1),
              help="An alarm ends below this part of its threshold; a jump at half of it.")  # fmt: skip
@click.option("--cooldown", default="0s", show_default=True, help="Least time between two alarms of a rule.")
@click.option("--on-alarm", metavar="COMMAND", help="Started for each alarm, which is JSON on its standard input.")
@click.option("--webhook", metavar="URL", envvar="FINETUNE_WEBHOOK", help="Gets each alarm as JSON with a key text.")
@click.option("--interval", default="30s", show_default=True, help="Time between two pictures of the trend.")
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1), help="Texts of a batch at most.")
@trust_option
def monitor(
    run_name: str,
    source_name: str,
    form: str | None,
    once: bool,
    output: Path | None,
    window: str,
    reference: int,
    topic: str | None,
    time_column: str | None,
    min_confidence: float | None,
    alarms: tuple[str, ...],
    min_count: int | None,
    clear: float,
    cooldown: str,
    on_alarm: str | None,
    webhook: str | None,
    interval: str,
    batch_size: int,
    trust_remote_code: bool,
) -> None:
    """Watch a stream of texts with the best model of RUN (a folder, or latest): shares of labels, trends, alarms.

    It follows the input until Ctrl-C or SIGTERM, and goes on from there when it is started again.
    """
    span = Span.parse(window)
    pace = Pace(batch_size, seconds_of(interval, "--interval"))
    waiting = seconds_of(cooldown, "--cooldown")
    if min_count is not None and span.texts and min_count > span.texts:
        raise UserError(f"--min-count: the window has only {counted(span.texts, 'text')}: lower it")
    least = min_count or min(MIN_COUNT, span.texts or MIN_COUNT)
    quiet_libraries()
    from ..predict import Predictor
    from ..run.find import find_run
    from .alarms import Alarms, parse_rule
    from .display import Display
    from .journal import Journal
    from .monitor import TOPIC, ColumnsOf, Monitor
    from .notify import Action, Command, Deliveries, Webhook
    from .outcomes import Outcomes, require_monitored
    from .sources import open_source, require_source
    from .windows import Windows

    actions: list[Action] = [*([Command(on_alarm)] if on_alarm else []), *([Webhook(webhook)] if webhook else [])]
    console = make_console(stderr=True)
    run = find_run(run_name, console)
    require_monitored(run.config().task.type)
    predictor = Predictor(run, trust_remote_code=trust_remote_code)
    outcomes = Outcomes(predictor.task, min_confidence)
    rules = [parse_rule(rule, outcomes.labels) for rule in dict.fromkeys(alarms)]
    if topic is None and any(rule.topic for rule in rules):
        topic = TOPIC
    display = Display(console)
    source_path = Path(source_name)
    name = "stdin" if source_name == "-" else source_path.resolve().stem
    own = Folder(output) if output else run.inner("monitor", name)
    folder = own.path
    require_source(source_name, form)
    if source_name != "-" and folder.resolve() in (source_path.resolve(), *source_path.resolve().parents):
        raise UserError(f"{folder}: the input lies where the monitor writes: choose another folder with --output")
    schema = Schema(predictor.columns, predictor.task.row_of)
    with claimed(own), ExitStack() as stack:
        journal = Journal(own, "standard input" if source_name == "-" else str(source_path.resolve()))
        source = open_source(source_name, form, schema, journal.state.get("source"), once, display.note)
        stack.callback(source.close)
        judge = Alarms(rules, min_count=least, clear=clear, cooldown=waiting)
        deliveries = Deliveries(actions, display.note)
        watching = Monitor(
            predictor, outcomes, Windows(span, reference), judge, ColumnsOf(topic, time_column), journal, deliveries
        )
        follow(watching, source, display, folder, pace)


@contextmanager
def claimed(own: Folder) -> Iterator[None]:
    """Make the folder and lock it against other monitors. Raises UserError if that is not possible."""
    folder = own.path
    try:
        make_folders(folder)
        with FileLock(own.at(".lock"), timeout=0):
            own.remove_leftovers()
            yield
    except Timeout as error:
        raise UserError(f"{folder}: another monitor is writing here: choose another folder with --output") from error
    except OSError as error:
        place = error.filename or folder
        raise UserError(
            f"{place}: cannot be read or written ({error.strerror}): allow it, or change --output"
        ) from error


def follow(monitor: "Monitor", source: "Source", display: "Display", folder: Path, pace: Pace) -> None:
    """Take batches until the input ends or a signal arrives. Raises UserError if nothing could be read."""
    from ..train.interrupt import stop_signal

    texts, skipped = monitor.texts, monitor.skipped
    with stop_signal() as stopped:
        display.start(monitor)
        try:
            drawn = time.monotonic()
            while not stopped.is_set():
                items = source.read(pace.batch_size)
                if items:
                    events, unreadable = monitor.take(items, source)
                    display.skipped(unreadable, str(folder / SKIPPED))
                elif source.ended:
                    break
                else:
                    stopped.wait(POLL)
                    events = monitor.tick(source)
                display.events(events)
                display.update(monitor)
                if time.monotonic() - drawn >= pace.interval:
                    draw(monitor, folder)
                    display.line(monitor)
                    drawn = time.monotonic()
            left = monitor.finish(source, PATIENCE[source.ended])
            display.update(monitor, at_once=True)
        finally:
            display.stop()
    picture = draw(monitor, folder)
    display.line(monitor)
    if left:
        display.note(f"{counted(left, 'alarm')} not delivered yet: the next start of this command does it")
    if source.ended and monitor.texts == texts and monitor.skipped > skipped:
        raise UserError(f"none of {counted(monitor.skipped - skipped, 'row')} could be read: see {folder / SKIPPED}")
    display.note(f"predictions: {folder / PREDICTIONS}" + (f", trend: {picture}" if picture else ""))


def draw(monitor: "Monitor", folder: Path) -> Path | None:
    """Draw the trend; None while there is nothing to draw."""
    from .trend import draw_trend

    return draw_trend(monitor.points, monitor.events, monitor.alarms.rules, monitor.windows.span, folder / "trend.svg")
