"""Predictions of a run's best model for a file or for single texts."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .config.config import Config, Data
from .console import make_console, print_json, print_table
from .data.columns import rows_from_objects
from .data.features import Encoded
from .data.output_file import OutputFile
from .data.rows import Columns, Row, read_rows
from .data.word_rows import by_word
from .data.writers import content_of
from .dataset import columns_of
from .inference import Inference, Purpose, infer
from .model.device import choose_device
from .model.precision import inference_precision
from .run.folder import RunFolder
from .run.saved_model import SavedModel, load_saved_model
from .tasks.base import Task
from .tasks.entities import Spans
from .tasks.probabilities import require_probabilities, withheld

Record = dict[str, Any]
TABLES = (".csv", ".tsv", ".xlsx")
"""Formats whose cells hold no lists and objects."""


def infer_examples(
    config: Config, saved: SavedModel, examples: Sequence[Any], purpose: Purpose
) -> tuple[Encoded, Inference]:
    """Encode examples and run a saved model on them, with the device, precision and token budget of the config."""
    model = saved.model.to(choose_device(config.train.device))
    encoded = saved.task.encode(examples, saved.tokenizer, saved.max_length)
    precision = inference_precision(config.train.precision, saved.precision, model.device)
    budget = config.train.micro_batch_tokens
    return encoded, infer(
        model, saved.task, saved.tokenizer, encoded.features, purpose, budget=budget, precision=precision
    )


class Predictor:
    """A run's best model, with the settings of its config."""

    def __init__(self, run: RunFolder, *, min_confidence: float | None = None, trust_remote_code: bool = False) -> None:
        """`min_confidence`: answers with a lower probability are withheld. Raises UserError where there is none."""
        self._config, self._least = run.config(), min_confidence
        if min_confidence is not None:
            require_probabilities(self._config.task)
        self._saved: SavedModel = load_saved_model(run.model, self._config.train, trust_remote_code=trust_remote_code)

    @property
    def data(self) -> Data:
        """The data section of the config, which names the columns of files."""
        return self._config.data

    @property
    def task(self) -> Task[Any, Any]:
        """The task, with its labels."""
        return self._saved.task

    @property
    def columns(self) -> Columns:
        """What to read from a file, which may be unlabelled."""
        return columns_of(self.task, self.data, labelled=False)

    def predict(self, rows: Sequence[Row]) -> list[Record]:
        """One record for each row: prediction, probability, ... Raises UserError for a row that cannot be read."""
        return self._saved.task.records(*self._predictions(rows))

    def _predictions(self, rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
        """The examples of the rows, and a prediction for each."""
        task = self._saved.task
        examples = task.parse(rows, labelled=False)
        encoded, result = infer_examples(self._config, self._saved, examples, "prediction")
        predictions = task.predictions(examples, encoded.features, result.decoded)
        return examples, [*withheld(task, predictions, self._least)[0]]

    def predict_file(self, path: Path) -> tuple[list[Row], list[Record]]:
        """The rows of a file, which may be unlabelled, and a record for each."""
        rows = read_rows(path, self.columns)
        return rows, self.predict(rows)

    def predict_rows(self, rows: Sequence[dict[str, Any]]) -> list[Record]:
        """One record for each object with the columns of a data file, such as `{"text": "..."}`; labels are not read.

        Raises UserError with rows[number] for an object that cannot be read.
        """
        return self.predict(rows_from_objects(rows, self.columns))

    def predict_texts(self, texts: Sequence[str], pair: str | None = None) -> list[Record]:
        """Records for single texts, or pairs of them."""
        task = self._saved.task
        rows = [Row("--text", value, value) for value in (task.row_of(text, pair) for text in texts)]
        return task.detailed_records(*self._predictions(rows))


def show_record(record: Record) -> None:
    """Print a record as JSON; on a terminal with four digits, and entities in a table."""
    if not sys.stdout.isatty():
        print_json(record)
        return
    shown = json.loads(json.dumps(record), parse_float=lambda digits: round(float(digits), 4))
    if words := shown.get("words"):
        rows: Iterable[Sequence[Any]] = zip(words, shown["tags"], shown["probabilities"], strict=True)
        print_table(make_console(), ["word", "tag", "probability"], rows)
        columns = ["entity", "label", "probability", "start", "end"]
        rows = [[span[name] for name in ("text", *columns[1:])] for span in shown["prediction"]]
        print_table(make_console(), columns, rows)
    else:
        print_json(shown)


def predict_to_file(
    run: RunFolder,
    path: Path,
    output: Path | None,
    *,
    min_confidence: float | None = None,
    trust_remote_code: bool = False,
) -> Path:
    """Write the rows of a file with their predictions in the same format; by default into the run's `predictions/`.

    What is no single file, such as a folder of texts, becomes .jsonl.
    """
    target = OutputFile.of(path, output, "predictions", lambda name: run.at("predictions", name))
    predictor = Predictor(run, min_confidence=min_confidence, trust_remote_code=trust_remote_code)
    rows, records = zip(*by_word(*predictor.predict_file(target.source)), strict=True)
    added = [_flat(record) for record in records] if target.suffix in TABLES else records
    return target.write(content_of(target.source, predictor.columns, rows, added))


def _flat(record: Record) -> dict[str, str | float]:
    """A record as cells of a table: lists joined by spaces, spans as JSON, the probability of each label by itself."""
    cells: dict[str, str | float] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            cells |= {f"probability_{label}": share for label, share in value.items()}
        elif isinstance(value, Spans):
            cells[name] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, list):
            cells[name] = " ".join(map(str, value))
        else:
            cells[name] = value
    return cells
