""".parquet files."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..columns import Columns
from ..records import Record


def read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of the table; their places are row numbers, for a binary file has no lines."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as parquet: write the file again") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Record(f"{path}: row {number}", values)
