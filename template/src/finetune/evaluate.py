"""Score a run's best model on a split, beside the trivial baselines."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from .config.config import Config
from .console import counted
from .dataset import read_split
from .errors import UserError
from .files import write_atomic
from .inference import infer
from .model.device import choose_device
from .model.precision import infers_in_bf16
from .report.report import write_report
from .run.folder import RunFolder
from .run.saved_model import SavedModel, load_saved_model
from .tasks.results import Scores, Table

FORMAT = 1
"""Version of the keys in evaluation-<split>.json."""


def evaluate(run: RunFolder, split: str, data: Path | None, console: Console) -> dict[str, Any]:
    """Score the best model on a split of the run's config, or on another labelled file under the name `split`.

    Writes `evaluation-<split>.json` and the report, prints the tables, returns what was written.
    Raises UserError if the split has no file or its data are wrong.
    """
    config = run.config()
    path = data or {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}.get(
        split
    )
    if path is None:
        raise UserError(f"{run.config_file}: data.{split} is not set: name a file with --data")
    if data:  # data.where chooses from the config's own files
        config = config.model_copy(update={"data": config.data.model_copy(update={"where": {}})})
    finetuned = load_saved_model(run.best)
    examples = read_split(config, finetuned.task, path)
    measured, scores = measure(config, finetuned, examples)
    evaluation = {"format": FORMAT, "task": config.task.type, "split": split, "data": path.as_posix(), **measured}
    write_atomic(run.evaluation_file(split), json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n")
    show(evaluation, scores.tables, console)
    console.print(f"report: {write_report(run.path)}", highlight=False, soft_wrap=True)
    return evaluation


def measure(config: Config, finetuned: SavedModel, examples: list[Any]) -> tuple[dict[str, Any], Scores]:
    """What a model is worth on labelled examples, beside the trivial baselines; for files, and as it was scored."""
    task = finetuned.task
    encoded = task.encode(examples, finetuned.tokenizer, finetuned.max_length)
    model = finetuned.model.to(choose_device(config.train.device))
    bf16 = infers_in_bf16(config.train.precision, finetuned.bf16, model.device)
    budget = config.train.micro_batch_tokens
    result = infer(model, task, finetuned.tokenizer, encoded.features, "evaluation", budget=budget, bf16=bf16)
    scores = task.score(examples, task.predictions(examples, encoded.features, result.decoded))
    measured = {
        "examples": len(examples),
        "truncated": encoded.truncated,
        "loss": result.loss,
        "headline": task.main_metric,
        "lower_is_better": task.lower_is_better,
        "metrics": scores.metrics,
        "baseline": [
            {"name": name, "metrics": task.score(examples, predictions).metrics}
            for name, predictions in task.baselines(examples, encoded.features).items()
        ],
        "tables": [asdict(table) for table in scores.tables],
        "matrices": [asdict(matrix) for matrix in scores.matrices],
        "scatters": [asdict(scatter) for scatter in scores.scatters],
        "notes": [f"{encoded.truncated:,} of {counted(len(examples), 'text')} cut to {finetuned.max_length} tokens."]
        if encoded.truncated
        else [],
    }
    return measured, scores


def show(evaluation: dict[str, Any], tables: list[Table], console: Console) -> None:
    """Print the metrics beside those of the baselines, then the tables."""
    metrics, baselines = evaluation["metrics"], evaluation["baseline"]
    summary = Table(
        f"{evaluation['split']}: {counted(evaluation['examples'], 'example')} of {evaluation['data']}",
        ["", "this model", *(baseline["name"] for baseline in baselines)],
        [[name, value, *(b["metrics"].get(name, "") for b in baselines)] for name, value in metrics.items()],
        note=f"loss {evaluation['loss']:.4f}",
    )
    for table in (summary, *tables):
        console.print(f"\n[bold]{escape(table.title)}[/]", highlight=False)
        console.print(_rich(table), highlight=False)
        if table.note:
            console.print(f"[dim]{escape(table.note)}[/]", highlight=False)


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(table.columns):
        words = all(isinstance(row[number], str) for row in table.rows)
        shown.add_column(column, justify="left" if words else "right")
    for row in table.rows:
        shown.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else escape(str(cell)) for cell in row))
    return shown
