"""Evaluate a run's best model on a split, with trivial and learnt baselines for comparison."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console
from rich.markup import escape

from . import optional
from .config.config import Config, Files
from .console import counted, print_line, print_table
from .data.files import shown
from .data.rows import fingerprint
from .dataset import scored_rows, stream_chosen
from .errors import UserError
from .predict import infer_examples
from .run.contributions import write_contributions
from .run.folder import RunFolder
from .run.named_files import require_named_data
from .run.saved_model import SavedModel, load_saved_model
from .tasks.base import Task
from .tasks.intervals import Array
from .tasks.results import INTERVAL, Scores, Table, WrongPrediction, interval_text
from .tasks.verdict import verdict

FORMAT = 1
"""Version of the keys in evaluation-<split>.json."""


def evaluate(
    run: RunFolder, split: str, data: Path | None, console: Console, *, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Evaluate the best model on a split of the run's config, or on another labelled file under the name `split`.

    Writes `evaluation-<split>.json`, and `.safetensors` with what each example contributes to the main metric; prints
    the tables and returns the content of the first.
    Raises UserError if the config has no file for the split or its data are wrong.
    """
    config, name = run.config(), run.evaluation_name(split)
    run.at(name)  # before it takes time
    files = (str(data),) if data else files_of_split(split, run, config)
    config = for_another_file(config) if data else config
    saved = load_saved_model(run.model, config.train, trust_remote_code=trust_remote_code)
    rows = scored_rows(config.data, saved.task, files)
    examples = saved.task.parse(rows)
    measured = measure(config, saved, examples)
    rows_scored = fingerprint(rows, config.task.target_columns + config.task.text_targets)
    if learnt := optional.find("baselines", "learnt"):
        found = learnt.learnt_baselines(run, saved, shown(files), rows_scored, examples, baseline)
        measured.record["baseline"] += found["baseline"]
        measured.record["notes"] += found["notes"]
    evaluation = {
        "format": FORMAT,
        "task": config.task.type,
        "split": split,
        "data": shown(files),
        "fingerprint": rows_scored,
        **measured.record,
    }
    if analysis := optional.find("error_analysis", "tables"):
        told = f"--data {quote(data.as_posix())}" if data else f"--split {split}"
        more = f"python -m finetune errors {quote(run.path.as_posix())} {told}"
        scored = analysis.Scored(saved.task, rows, examples, measured.predictions, config.data.slices)
        evaluation["tables"] += map(asdict, analysis.error_tables(scored, more))
    write_contributions(run, split, measured.contributions)
    run.write(name, json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n")
    show(evaluation, measured.scores.tables, console)
    return evaluation


def for_another_file(config: Config) -> Config:
    """A run's config for a file that it does not name: data.where chooses from the config's own files."""
    return config.model_copy(update={"data": config.data.model_copy(update={"where": {}})})


def files_of_split(split: str, run: RunFolder, config: Config) -> Files:
    """The data files of a split of a run's config. Raises UserError if it has none, or must not name them."""
    files = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    if found := files.get(split):
        require_named_data(run, found, "name the file with --data")
        return found
    others = "".join(f", or take --split {name}" for name in ("test", "validation") if files[name])
    raise UserError(f"{run.config_file}: data.{split} is not set: name a file with --data{others}")


def confident_errors(
    run: RunFolder, split: str = "validation", count: int = 10, *, trust_remote_code: bool = False
) -> list[tuple[str, WrongPrediction]]:
    """The `count` largest errors of the best model on a split of the run's config, each with file:line.

    What is an error, and how large, is up to the task (`errors`): where it has probabilities, the largest errors are
    those of which the model is most confident. Raises UserError as `evaluate` does.
    """
    config = run.config()
    saved = load_saved_model(run.model, config.train, trust_remote_code=trust_remote_code)
    rows = list(stream_chosen(config.data, saved.task, files_of_split(split, run, config)))
    examples = saved.task.parse(rows)
    encoded, result = infer_examples(config, saved, examples, "evaluation")
    errors = saved.task.errors(examples, saved.task.predictions(examples, encoded.features, result.decoded))
    return [(rows[error.row].place, error) for error in largest_errors(config, saved, examples, errors, count)]


def largest_errors(
    config: Config, saved: SavedModel, examples: Sequence[Any], errors: Sequence[WrongPrediction], count: int
) -> list[WrongPrediction]:
    """The `count` largest of the errors of a model; those without a generated text get one."""
    largest = sorted(errors, key=lambda error: -error.magnitude)[:count]
    lacking = [error.row for error in largest if not error.prediction] if saved.task.generation else []
    if not lacking:
        return largest
    chosen = [examples[row] for row in lacking]  # only these, because generating takes long
    encoded, result = infer_examples(config, saved, chosen, "prediction")
    texts = saved.task.predictions(chosen, encoded.features, result.decoded)
    text_of = {row: text.text or "" for row, text in zip(lacking, texts, strict=True)}
    return [replace(error, prediction=text_of.get(error.row, error.prediction)) for error in largest]


@dataclass(frozen=True, slots=True)
class Measured:
    """A model on labelled examples."""

    record: dict[str, Any]
    """Loss and metrics, and those of trivial baselines, as JSON."""
    scores: Scores
    predictions: list[Any]
    contributions: Array
    """What each example adds to the sums that the main metric is a function of."""


def measure(config: Config, saved: SavedModel, examples: list[Any]) -> Measured:
    """Loss and metrics of a model on labelled examples, and those of trivial baselines."""
    task = saved.task
    encoded, result = infer_examples(config, saved, examples, "evaluation")
    predictions = task.predictions(examples, encoded.features, result.decoded)
    scores, contributions = task.score(examples, predictions), task.contributions(examples, predictions)
    part, calibration = optional.find("calibration", "evaluation"), None
    if part and (calibration := part.measure(task, examples, encoded.features, result.decoded, predictions)):
        scores.tables += part.tables(calibration)
    record = {
        "examples": len(examples),
        "size": task.size(examples),
        "truncated": encoded.truncated,
        "loss": result.loss,
        "headline": task.main_metric,
        "lower_is_better": task.settings.lower_is_better,
        "metrics": scores.metrics,
        "interval": task.interval(contributions, scores.metrics[task.main_metric]),
        "baseline": [
            baseline(task, name, examples, predictions)
            for name, predictions in task.baselines(examples, encoded.features).items()
        ],
        "tables": [asdict(table) for table in scores.tables],
        "matrices": [asdict(matrix) for matrix in scores.matrices],
        "scatters": [asdict(scatter) for scatter in scores.scatters],
        "curves": [asdict(curves) for curves in scores.curves],
        **({"calibration": calibration} if calibration else {}),
        "notes": [f"{encoded.truncated:,} of {counted(len(examples), 'text')} truncated to {saved.max_length} tokens."]
        if encoded.truncated
        else [],
    }
    return Measured(record, scores, predictions, contributions)


def baseline(task: Task[Any, Any], name: str, examples: list[Any], predictions: list[Any]) -> dict[str, Any]:
    """The entry of a baseline in an evaluation: its metrics, and the interval of the main one."""
    metrics = task.score(examples, predictions).metrics
    contributions = task.contributions(examples, predictions)
    return {"name": name, "metrics": metrics, "interval": task.interval(contributions, metrics[task.main_metric])}


def show(evaluation: dict[str, Any], tables: list[Table], console: Console) -> None:
    """Print the tables, and last the result: the metrics, the main one first, beside those of the baselines."""
    metrics, baselines, main = evaluation["metrics"], evaluation["baseline"], evaluation["headline"]
    known = [(baseline["name"], baseline["metrics"][main]) for baseline in baselines if main in baseline["metrics"]]
    beside = f" ({'; '.join(f'{name}: {value:z.4f}' for name, value in known)})" if known else ""
    reading = ", lower is better" if evaluation["lower_is_better"] else ""
    rows: list[list[str | int | float]] = [
        [name, metrics[name], *(baseline["metrics"].get(name, "") for baseline in baselines)]
        for name in sorted(metrics, key=lambda name: name != main)
    ]
    intervals = [interval_text(one.get("interval")) for one in (evaluation, *baselines)]
    if any(intervals):
        rows.insert(1, [INTERVAL, *intervals])
    summary = Table(
        f"{evaluation['split']}: {evaluation['size']} of {evaluation['data']}",
        ["", "this model", *(baseline["name"] for baseline in baselines)],
        rows,
    )
    for table in (*tables, summary):
        show_table(table, console)
    for note in evaluation["notes"]:
        console.print(f"[dim]{escape(note)}[/]", highlight=False)
    interval = f", {INTERVAL} {intervals[0]}" if intervals[0] else ""
    result = f"{main} {metrics[main]:z.4f}{interval}{beside}{reading}. Loss {evaluation['loss']:.4f}."
    if found := verdict(evaluation):
        result += f" {found}"
    print_line(console, f"[bold]Result:[/] {escape(result)}")


def show_table(table: Table, console: Console) -> None:
    """Print a table with its title and its note."""
    console.print(f"\n[bold]{escape(table.title)}[/]", highlight=False)
    print_table(console, table.columns, table.rows)
    if table.note:
        console.print(f"[dim]{escape(table.note)}[/]", highlight=False)
