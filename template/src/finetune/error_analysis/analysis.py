"""The command `errors`: the mistakes in a split, and the training rows with the highest loss, each also as .jsonl."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..config.config import Config, Files
from ..console import print_line
from ..data.columns import Columns
from ..data.files import files_of, parts_of, shown
from ..data.output_file import write_output
from ..data.rows import Row
from ..dataset import columns_of, scored_rows, stream_chosen
from ..errors import UserError
from ..evaluate import files_of_split, for_another_file, largest_errors, show_table
from ..predict import infer_examples
from ..run.folder import RunFolder
from ..run.saved_model import SavedModel, load_saved_model
from ..tasks.base import Task
from ..tasks.results import Table
from .corrections import Said, correctable
from .tables import Scored, by_metric, kinds_of_errors, mistakes, place_table
from .training_rows import losses_and_predictions, sampled

TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    splits: tuple[str, ...] = ()
    """By default the test data, or else the validation data, and the training data."""
    data: Path | None = None
    """Another labelled file, in place of the splits."""
    count: int = 20
    sample: int = 20_000
    """Training rows that are looked at, at most."""
    output: Path | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The tables of a split, and its worst rows as .jsonl."""

    tables: list[Table]
    content: bytes


def show_errors(run: RunFolder, request: Request, console: Console) -> list[Path]:
    """Show the errors of a run's best model and write their rows; returns the files.

    Raises UserError for a split without a file, for an output that is an input, and as `evaluate` does.
    """
    config = run.config()
    sources = _sources(run, config, request)
    if request.output and len(sources) > 1:
        raise UserError(f"--output {request.output}: takes the rows of one split: name it with --split")
    outputs = {split: request.output or run.at(f"errors-{split}.jsonl") for split in sources}
    for output in outputs.values():
        _require_output(output, [file for files in sources.values() for file in files])
    config = for_another_file(config) if request.data else config
    saved = load_saved_model(run.model, config.train, trust_remote_code=request.trust_remote_code)
    for split, files in sources.items():
        look = _highest_losses if split == TRAIN and not request.data else _mistakes
        print_line(console, f"\n[bold]{escape(split)}[/]: {escape(shown(files))}")
        found = look(config, saved, files, request)
        for table in found.tables:
            show_table(table, console)
        if request.output:
            write_output(request.output, found.content)
        else:
            run.write(outputs[split].name, found.content)
        print_line(console, f"written: {escape(str(outputs[split]))}")
    return [*outputs.values()]


def _sources(run: RunFolder, config: Config, request: Request) -> dict[str, Files]:
    """The files of each split that is asked for."""
    if request.data:
        if len(request.splits) > 1:
            raise UserError("--data: names one file, which one --split names: leave out the others")
        return {request.splits[0] if request.splits else "data": (str(request.data),)}
    scored = next((split for split in ("test", "validation") if getattr(config.data, split)), None)
    splits = request.splits or (*([scored] if scored else []), TRAIN)
    return {split: files_of_split(split, run, config) for split in splits}


def _mistakes(config: Config, saved: SavedModel, files: Files, request: Request) -> Found:
    """The largest errors in a split, and the kinds of errors."""
    task, rows = saved.task, scored_rows(config.data, saved.task, files)
    examples = task.parse(rows)
    encoded, result = infer_examples(config, saved, examples, "evaluation")
    predictions = task.predictions(examples, encoded.features, result.decoded)
    scored = Scored(task, rows, examples, predictions, config.data.slices)
    errors = scored.errors()
    largest = largest_errors(config, saved, examples, errors, request.count)
    tables = [*by_metric(scored, request.count), *kinds_of_errors(task, rows, errors, request.count)]
    tables.append(mistakes(task, rows, largest, f"{len(errors):,} in {task.size(examples)}."))
    rows_of = {number: rows for rows in task.rows_of(examples) for number in rows}
    said: dict[int, Said] = {
        number: {"prediction": error.prediction, task.error_measure: error.magnitude}
        for error in largest
        for number in rows_of[error.row]
    }
    return Found(tables, _lines(config, saved, rows, said))


def _highest_losses(config: Config, saved: SavedModel, files: Files, request: Request) -> Found:
    """The training rows with the highest loss, and what the model predicts in place of their label."""
    task, training = saved.task, sampled(saved, stream_chosen(config.data, saved.task, files), request.sample)
    examples, rows = training.examples, training.rows
    losses, predictions = losses_and_predictions(config, saved, examples)
    rows_of = task.rows_of(examples)
    scored = Scored(task, rows, examples, predictions)
    wrong = {} if task.generation else {error.row: error for error in scored.errors()}
    lines, said = [], dict[int, Said]()
    for number in sorted(range(len(examples)), key=lambda number: -losses[number])[: request.count]:
        error = next((wrong[row] for row in rows_of[number] if row in wrong), None)
        text, truth, prediction = (
            (error.text, error.truth, error.prediction) if error else _right(task, examples[number])
        )
        lines.append((rows[rows_of[number][0]].place, text, truth, prediction, losses[number]))
        told: Said = {"prediction": prediction} if prediction else {}
        said |= {row: {**told, "loss": losses[number]} for row in rows_of[number]}
    seen = sum(map(len, rows_of))
    note = (
        f"Of {training.total:,} rows, a random sample of {seen:,}: --sample takes more."
        if seen < training.total
        else ""
    )
    table = place_table("Training rows with the highest loss", "loss", lines, note)
    return Found([table], _lines(config, saved, rows, said))


def _right(task: Task[Any, Any], example: Any) -> tuple[str, str, str]:
    """Text, truth and prediction of an example that is predicted as it is, or for which no text was generated."""
    if task.groups_rows:
        return next(iter(task.texts([example]))), "", ""
    summary = task.summary(example)
    return " / ".join(summary.texts), summary.answer, "" if task.generation else summary.answer


def _lines(config: Config, saved: SavedModel, rows: Sequence[Row], said: Mapping[int, Said]) -> bytes:
    columns: Columns = columns_of(saved.task, config.data)
    return correctable(columns, [rows[number] for number in said], [*said.values()])


def _require_output(output: Path, files: Sequence[str]) -> None:
    """Raise UserError for an output that is no .jsonl file, or is one of the inputs."""
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: the rows are written as .jsonl: let its name end in .jsonl")
    inputs = [part for path in files_of(files) for part in parts_of(path)]
    if output.exists() and any(output.samefile(path) for path in inputs):
        raise UserError(f"{output}: is an input itself: choose another --output")
