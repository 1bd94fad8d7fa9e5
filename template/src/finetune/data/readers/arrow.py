"""Tables of columns: .parquet files, and .arrow and .feather files, as pandas and `datasets` write them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..columns import Columns, require_columns
from ..records import Record

BATCH = 1000
"""Rows that are held at a time."""


def read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of the table; their places are row numbers, for a binary file has no lines."""
    import pyarrow.parquet

    with _readable(path, "parquet"), pyarrow.parquet.ParquetFile(path) as file:
        require_columns(file.schema_arrow.names, columns, str(path))
        yield from _records(path, file.iter_batches(batch_size=BATCH))


def read_arrow(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of an Arrow IPC file (Feather) or stream."""
    import pyarrow

    with _readable(path, "Arrow"), pyarrow.memory_map(str(path)) as source:
        try:
            file = pyarrow.ipc.open_file(source)
            batches: Iterator[Any] = map(file.get_batch, range(file.num_record_batches))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            file = batches = pyarrow.ipc.open_stream(source)
        require_columns(file.schema.names, columns, str(path))
        pieces = (batch.slice(start, BATCH) for batch in batches for start in range(0, len(batch), BATCH))
        yield from _records(path, pieces)


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of a damaged name of a column
        raise UserError(f"{path}: cannot be read as {kind}: write the file again") from error


def _records(path: Path, batches: Iterator[Any]) -> Iterator[Record]:
    number = 0
    for batch in batches:
        batch.validate(full=True)  # what a damaged file holds in place of offsets or of UTF-8 must not be read
        names = batch.schema.names
        for cells in zip(*map(_values, batch.columns), strict=True):
            number += 1
            yield Record(f"{path}: row {number}", dict(zip(names, cells, strict=True)))


def _values(column: Any) -> list[Any]:
    """The values of a column; as text where Python has no such value, such as a time in nanoseconds."""
    import pyarrow

    try:
        values: list[Any] = column.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError, ImportError):
        try:
            values = column.cast(pyarrow.string()).to_pylist()
        except pyarrow.ArrowException:
            values = [str(value) for value in column]
    return values
