"""Make a dataset of one file: read, recognise, leave out incomplete rows, split, write the files and the config."""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.config import Config
from ..config.edit import edited, replace_file
from ..config.load import load_config
from ..console import counted
from ..data.missing import is_missing
from ..data.readers.conll import CONLL
from ..data.rows import Columns, Row, read_rows, reader_name
from ..data.usual_names import USUAL, plain
from ..data.writers import json_lines
from ..dataset import file_options
from ..errors import UserError
from ..tasks.base import Task
from ..tasks.results import Summary
from .columns import Column, columns_of_file
from .pieces import contents_of, text_pieces, write_files
from .recognise import Recognised, missing_columns, recognise
from .request import Request
from .split import RARE, Labels, groups_of, split, split_in_order, strata


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a dataset, and the config before and after it was set there."""

    files: dict[str, Path]
    config: Path
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file, what it was recognised as, and its split."""

    request: Request
    config: Config
    rows: list[Row]
    columns: dict[str, Column]
    recognised: Recognised
    left_out: dict[str, list[Row]]
    """The rows in which a column is empty, by the column."""
    examples: dict[int, Any]
    """The example of each other row, by its index."""
    strata: dict[int, Labels]
    """What it was stratified by: its labels, or the bin of its number."""
    parts: dict[str, list[int]]
    """The indices of the rows of each split."""

    def write(self) -> Written:
        """Write the files and set them in the config. Where that is not possible, UserError before anything is."""
        request = self.request
        columns = _columns(request.format, self.config)
        contents = _as_objects(self) if request.is_merged else contents_of(request.file, columns, self.rows, self.parts)
        changes = self._changes()
        new = [(f"{section}.{key}", value) for section, some in changes.items() for key, value in some.items()]
        # Raises UserError where other keys of the config contradict the new values.
        load_config(request.config, [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in new])
        before = request.config.read_bytes().decode("utf-8")
        after = edited(request.config, changes)
        write_files({self._path(name): content for name, content in contents.items()})
        if after != before:
            replace_file(request.config, after)
        return Written({name: self._path(name) for name in contents}, request.config, before, after)

    def _path(self, part: str) -> Path:
        return self.request.output / f"{part}{self.request.ending}"

    def _changes(self) -> dict[str, dict[str, Any]]:
        """The new values of the config, by section and key."""
        data: dict[str, Any] = {}
        for name in ("train", "validation", "test"):
            if name in self.parts:
                data[name] = self._path(name).as_posix()
            elif getattr(self.config.data, name) is not None:
                data[name] = None
        if self.recognised.renamed or self.config.data.columns:
            data["columns"] = self.recognised.renamed
        return {"task": {"type": self.recognised.task.settings.type}, "data": data}


def make_dataset(request: Request) -> Dataset:
    """Read a file and split it. Raises UserError if no task fits, or training would refuse the result."""
    config = load_config(request.config)
    if config.data.where:
        raise UserError(f"{request.config}: data.where chooses rows of the dataset before: remove it first")
    rows = _read(request, config)
    columns = columns_of_file(rows) if request.has_names else {}
    if config.data.header:
        _require_header(request, columns)
    recognised = recognise(request, config, rows, columns)
    left_out, complete = _complete(rows, recognised)
    if not complete:
        raise UserError(f"{request.file}: no row has a value in all of {', '.join(recognised.sources.values())}")
    task, readable = recognised.task, recognised.read([rows[number] for number in complete], config.data)
    examples = [task.example(row) for row in readable]
    summaries = [task.summary(example) for example in examples]
    labels = strata(summaries)
    parts = _split(request, readable, summaries, labels, task)
    _require_trainable(task, {name: [readable[row] for row in some] for name, some in parts.items()})
    return Dataset(
        *(request, config, rows, columns, recognised, left_out),
        examples=dict(zip(complete, examples, strict=True)),
        strata=dict(zip(complete, labels, strict=True)),
        parts={name: [complete[row] for row in some] for name, some in parts.items()},
    )


def _read(request: Request, config: Config) -> list[Row]:
    """The rows with all their columns; of a .txt file its paragraphs."""
    if request.is_merged:
        return [row for path in request.files for row in _objects_of(path, config)]
    columns = _columns(request.format, config)
    if request.format == ".txt":
        read_rows(request.file, columns)  # for its error messages
        pieces = text_pieces(request.file, columns.file)
        return [Row(f"{request.file}:1", {"text": piece}, {"text": piece}) for piece in pieces]
    return read_rows(request.file, columns)


def _columns(form: str, config: Config) -> Columns:
    """What to read of a file in a format: all of its columns."""
    required = {**dict.fromkeys(CONLL, ("tokens", "tags")), "parallel": ("source", "target")}.get(form, ())
    text_column = "text" if form == ".txt" else None
    return Columns(required, header=config.data.header, text_column=text_column, file=file_options(config.data))


def _objects_of(path: Path, config: Config) -> list[Row]:
    """The rows of a file with all their columns, which have names whatever its format."""
    rows = read_rows(path, _columns(reader_name(path), config))
    return [Row(row.place, row.values, row.original if isinstance(row.original, dict) else row.values) for row in rows]


def _as_objects(dataset: Dataset) -> dict[str, bytes]:
    """The content of a .jsonl file for each split."""
    return {name: json_lines([dataset.rows[row].original for row in some]) for name, some in dataset.parts.items()}


def _complete(rows: Sequence[Row], recognised: Recognised) -> tuple[dict[str, list[Row]], list[int]]:
    """The rows in which a column is empty, by the column, and the indices of the others."""
    left_out: dict[str, list[Row]] = {}
    complete = []
    for number, row in enumerate(rows):
        if missing := missing_columns(row, recognised.sources):
            left_out.setdefault(missing[0], []).append(row)
        else:
            complete.append(number)
    return left_out, complete


def _split(
    request: Request, rows: Sequence[Row], summaries: Sequence[Summary], labels: Sequence[Labels], task: Task[Any, Any]
) -> dict[str, list[int]]:
    """The rows of each split. Raises UserError if one has none."""
    size, remedy = counted(len(rows), "row"), ": raise --{0}, set it to 0, or add rows"
    if request.format == ".txt":
        parts = split_in_order([len(summary.texts[0]) for summary in summaries], request.shares)
    else:
        groups = groups_of(_keys(request, rows, summaries, task), labels)
        parts = split(groups, request.shares, request.seed)
        if len(groups) < len(rows):
            size += f" in {counted(len(groups), 'group')} that must stay together"
        if max(Counter(label for group in groups for label in group.labels).values()) < RARE:
            each = "rows" if len(groups) == len(rows) else "groups"
            remedy = (
                f", for no label has {RARE} {each}: take another --label, add rows, or set --validation and --test to 0"
            )
    for name, some in parts.items():
        if not some:
            raise UserError(
                f"{request.file}: {size} are too few for a {name} split of {request.shares[name]:g}"
                f"{remedy.format(name)}"
            )
    return parts


def _keys(
    request: Request, rows: Sequence[Row], summaries: Sequence[Summary], task: Task[Any, Any]
) -> list[list[Hashable]]:
    """What rows of one split have in common: their texts, the value of the group column, the query of a ranking."""
    keys: list[list[Hashable]] = []
    for row, summary in zip(rows, summaries, strict=True):
        shared: dict[str, Any] = {}
        if request.group:
            if not request.has_names or request.group not in row.original:
                there_are = ", ".join(row.original)
                raise UserError(f"{row.place}: no column '{request.group}', which --group names; it has {there_are}")
            shared["group"] = row.original[request.group]
        if task.settings.type in ("ranking", "retrieval"):
            shared["query"] = row.values["query"]
        keys.append(
            [summary.key, *((name, str(value).strip()) for name, value in shared.items() if not is_missing(value))]
        )
    return keys


def _require_header(request: Request, columns: Mapping[str, Column]) -> None:
    """Raise UserError if the names of the columns are the first example."""
    if request.format in (".csv", ".tsv", ".xlsx") and not any(plain(name) in USUAL for name in columns):
        for name, column in columns.items():
            if name in column.counts:
                raise UserError(
                    f"{request.file}:1: the first line looks like an example, for '{name}' occurs below it as well: "
                    f"insert a line with the names of the columns, or set header: false under data in "
                    f"{request.config} and give their numbers from 0"
                )


def _require_trainable(task: Task[Any, Any], parts: Mapping[str, Sequence[Row]]) -> None:
    """Raise UserError for what the training would refuse, such as a single label."""
    train, *others = parts.values()
    task.fit(task.parse(train))
    for rows in others:
        task.parse(rows)
