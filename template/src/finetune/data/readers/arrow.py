"""Tables of columns: .parquet files, and .arrow and .feather files, as pandas and `datasets` write them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...parsing import parsed, parsing
from ..columns import Columns, require_columns
from ..records import Record

BATCH = 1000
"""Rows that are held at a time."""
OUT_OF_RANGE = "<value out of range"
"""What Arrow writes for a time that is none of its calendar."""


def read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of the table; their places are row numbers, for a binary file has no lines."""
    import pyarrow.parquet

    damaged = _damaged(path, "parquet")
    with parsing(*damaged):
        file = pyarrow.parquet.ParquetFile(path)
    with file:
        _require_columns(file.schema_arrow.names, columns, path)
        yield from _records(path, parsed(file.iter_batches(batch_size=BATCH), *damaged), damaged)


def read_arrow(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of an Arrow IPC file (Feather) or stream."""
    import pyarrow

    damaged = _damaged(path, "Arrow")
    with parsing(*damaged):
        source = pyarrow.OSFile(str(path))  # mapped pages of a file that is cut meanwhile would end the process
    with source:
        with parsing(*damaged):
            try:
                file = pyarrow.ipc.open_file(source)
                batches: Iterator[Any] = map(file.get_batch, range(file.num_record_batches))
            except pyarrow.ArrowInvalid:
                source.seek(0)
                file = batches = pyarrow.ipc.open_stream(source)
            names = file.schema.names
        _require_columns(names, columns, path)
        pieces = (batch.slice(start, BATCH) for batch in batches for start in range(0, len(batch), BATCH))
        yield from _records(path, parsed(pieces, *damaged), damaged)


def _damaged(path: Path, kind: str) -> tuple[str, str]:
    return f"{path}: cannot be read as {kind}", "write the file again"


def _require_columns(names: Sequence[str], columns: Columns, path: Path) -> None:
    for name, number in Counter(names).items():
        if number > 1:
            raise UserError(f"{path}: {number} columns have the name '{name}': rename them")
    require_columns(names, columns, str(path))


def _records(path: Path, batches: Iterator[Any], damaged: tuple[str, str]) -> Iterator[Record]:
    number = 0
    for batch in batches:
        with parsing(*damaged):
            batch.validate(full=True)  # what a damaged file holds in place of offsets or of UTF-8 must not be read
            names = batch.schema.names
            read = [_values(column) for column in batch.columns]
        lost = {row: index for index, (_, rows) in enumerate(read) for row in rows}
        for row, cells in enumerate(zip(*(values for values, _ in read), strict=True)):
            number += 1
            place, error = f"{path}: row {number}", None
            if row in lost:
                what = f"column '{names[lost[row]]}' has a value of type {batch.schema.types[lost[row]]}"
                error = UserError(f"{place}: {what}, which Python cannot hold: write it as text")
            yield Record(place, dict(zip(names, cells, strict=True)) if error is None else None, error=error)


def _values(column: Any) -> tuple[list[Any], list[int]]:
    """The values of a column, and the rows whose value Python cannot hold, such as a time in the year 300,000.

    Bytes that are UTF-8 are text, and values with more digits than Python's, such as times in nanoseconds, as well.
    """
    import pyarrow

    if _is_binary(column.type):
        with suppress(pyarrow.ArrowException):
            return column.cast(pyarrow.string()).to_pylist(), []
    with suppress(Exception):  # which exceptions it raises depends on the type
        return column.to_pylist(), []
    with suppress(pyarrow.ArrowException):
        texts = column.cast(pyarrow.string()).to_pylist()
        return texts, [row for row, text in enumerate(texts) if text is not None and text.startswith(OUT_OF_RANGE)]
    values, lost = [], []
    for row, value in enumerate(column):
        try:
            values.append(value.as_py())
        except Exception:
            values.append(None)
            lost.append(row)
    return values, lost


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))
