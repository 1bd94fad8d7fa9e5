"""Write rows of a data file again, with further columns: in its format, encoding and order, for our own readers.

Text formats keep separator, line ends, byte order mark and encoding; .parquet and .xlsx keep the types of their cells.
"""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..console import notice
from ..errors import UserError
from .columns import Columns, Row
from .opening import compression_of, encoding_of, lines_of, suffix_of
from .readers.conll import CONLL
from .readers.header import without_trailing_blanks
from .readers.json import kind_of, list_within
from .readers.table import quoted_text, table_form
from .readers.text import read_text
from .readers.xlsx import cell_text, sheet_rows
from .word_rows import blank_line_between

Added = Sequence[Mapping[str, Any]]
LONGEST_CELL = 32_767
"""Characters of a cell of .xlsx."""
NOT_IN_XML, LINE_END = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"), re.compile("\r\n?")
PROPERTIES, TIME = "docProps/core.xml", re.compile(rb"\d{4}-\d\d-\d\dT[\d:]+Z")
"""The part of an .xlsx file with the time of its writing."""


def content_of(source: Path, columns: Columns, rows: Sequence[Row], added: Added = ()) -> bytes:
    """The rows of a file in its format, not compressed, each with the columns that are added to it.

    What has no format of one file, such as a folder, becomes .jsonl. A column that the file has already gets a number:
    prediction_2. Raises UserError for what a format cannot hold.
    """
    added = renamed(source, rows, added or [{}] * len(rows))
    suffix = suffix_of(source)
    if suffix not in WRITERS:
        return json_lines({**row.original, **record} for row, record in zip(rows, added, strict=True))
    content = WRITERS[suffix](source, columns, rows, added)
    return _encoded(source, columns, content) if isinstance(content, str) else content


def json_lines(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Objects as .jsonl; values that JSON lacks, such as dates, as texts."""
    return "".join(f"{json.dumps(one, ensure_ascii=False, default=str)}\n" for one in objects).encode()


def compressed(target: Path, content: bytes) -> bytes:
    """The content as the ending of the file demands."""
    match compression_of(target):
        case ".gz":
            return gzip.compress(content, mtime=0)
        case ".zst":
            import pyarrow

            sink = pyarrow.BufferOutputStream()
            with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
                stream.write(content)
            return cast(bytes, sink.getvalue().to_pybytes())
    return content


def renamed(source: Path | str, rows: Sequence[Row], added: Added) -> Added:
    """The added columns, with a number where the file has one of that name."""
    taken = {name for row in rows if isinstance(row.original, dict) for name in row.original}
    names = dict.fromkeys(name for record in added for name in record)
    new = {name: _free(name, taken) for name in names}
    for name, free in new.items():
        if free != name:
            notice(f"{source}: has a column '{name}': the new one is written as '{free}'")
    return [{new[name]: value for name, value in record.items()} for record in added]


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _encoded(source: Path, columns: Columns, text: str) -> bytes:
    """The text in the encoding of the source; in UTF-8 where that lacks a character."""
    encoding = encoding_of(source, columns.file)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        lacking = text[error.start]
        notice(f"{source}: its encoding {encoding} has no {lacking!r}: the predictions are written in UTF-8")
        return text.encode("utf-8-sig")


def _json(source: Path, columns: Columns, rows: Sequence[Row], added: Added) -> str:
    merged = [{**row.original, **record} for row, record in zip(rows, added, strict=True)]
    kind = kind_of(source, columns)
    if kind == "lines":
        return json_lines(merged).decode()
    document: Any = merged
    if kind == "within":
        document = json.loads(read_text(source, columns.file))
        *parents, last = _keys(document, list_within(source, columns))
        inner = document
        for key in parents:
            inner = inner[key]
        inner[last] = merged
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _keys(value: Any, path: str) -> list[str]:
    """The keys of a path; a key may hold dots itself."""
    if path in value:
        return [path]
    key = next(key for key, inner in value.items() if path.startswith(f"{key}.") and isinstance(inner, dict))
    return [key, *_keys(value[key], path.removeprefix(f"{key}."))]


def _table(source: Path, columns: Columns, rows: Sequence[Row], added: Added) -> str:
    form = table_form(source, columns)
    new = dict.fromkeys(name for record in added for name in record)
    lines = [[*rows[0].original, *new]] if columns.header else []
    previous = rows[0]
    for row, record in zip(rows, added, strict=True):
        if blank_line_between(previous.place, previous.original, row.place):
            lines.append([])  # it may end a sentence
        lines.append([*row.original.values(), *(_text(record.get(name)) for name in new)])
        previous = row
    first = next(lines_of(source, columns.file))
    end = "\r\n" if first.endswith("\r\n") else "\r" if first.endswith("\r") else "\n"
    # With tabs all cells are quoted or none: then it is clear whether quotes belong to the text.
    has_tabs = form.separator == "\t"
    special = re.compile('^"|[\r\n\t]' if has_tabs else f'["\r\n{re.escape(form.separator)}]')
    all_quoted = has_tabs and any(special.search(cell) for cells in lines for cell in cells)
    written = [[f'"{quoted_text(cell)}"' if all_quoted or special.search(cell) else cell for cell in cells]
               for cells in lines]  # fmt: skip
    directive = f"sep={form.separator}{end}" if form.directive else ""
    return directive + "".join(form.separator.join(cells) + end for cells in written)


def _text(value: Any) -> str:
    """A cell of an added column; a NUL, which a model may generate, would make the file a binary one."""
    return "" if value is None else str(value).replace("\0", "\ufffd")


def _conll(source: Path, columns: Columns, rows: Sequence[Row], added: Added) -> str:
    """The lines of the input, with the predicted tag and its probability behind each word."""
    sentences = []
    for row, record in zip(rows, added, strict=True):
        tags = zip(*record.values(), strict=True)
        sentences.append(row.original.with_cells([(tag, f"{share:.4f}") for tag, share in tags]))
    return "\n".join(sentences)


def _arrow(source: Path, columns: Columns, rows: Sequence[Row], added: Added) -> bytes:
    """The rows as they are in the file, with its schema, and the added columns."""
    import pyarrow
    from pyarrow import ipc, parquet

    is_parquet = suffix_of(source) == ".parquet"
    table = (parquet.read_table(source) if is_parquet else _ipc_table(source)).take([_number(row) - 1 for row in rows])
    for name in dict.fromkeys(name for record in added for name in record):
        table = table.append_column(name, pyarrow.array([record.get(name) for record in added]))
    sink = pyarrow.BufferOutputStream()
    if is_parquet:
        parquet.write_table(table, sink)
    else:
        with ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return cast(bytes, sink.getvalue().to_pybytes())


def _ipc_table(source: Path) -> Any:
    import pyarrow
    from pyarrow import ipc

    try:
        return ipc.open_file(str(source)).read_all()
    except pyarrow.ArrowInvalid:  # the format of a stream, which `datasets` writes
        with pyarrow.input_stream(str(source), compression=None) as stream:
            return ipc.open_stream(stream).read_all()


def _xlsx(source: Path, columns: Columns, rows: Sequence[Row], added: Added) -> bytes:
    """A workbook with one sheet: the cells as they are in the file, formulas as their values, and the added columns."""
    from openpyxl import Workbook

    new = dict.fromkeys(name for record in added for name in record)
    for row, record in zip(rows, added, strict=True):
        if any(isinstance(value, str) and len(value) > LONGEST_CELL for value in record.values()):
            raise UserError(
                f"{row.place}: a prediction has more than {LONGEST_CELL:,} characters: save the input as .csv"
            )
    values = dict(sheet_rows(source, columns.file.sheet))
    book = Workbook(write_only=True)
    sheet = book.create_sheet(columns.file.sheet or "Sheet1")
    first = next(iter(values.values()))
    width = len(without_trailing_blanks([cell_text(value) for value in first]))
    if columns.header:
        sheet.append([_cell(sheet, value) for value in [*first[:width], *new]])
    for row, record in zip(rows, added, strict=True):
        cells = values[_number(row)][:width]
        cells += [None] * (width - len(cells))
        sheet.append([_cell(sheet, value) for value in [*cells, *(record.get(name) for name in new)]])
    sink = io.BytesIO()
    book.save(sink)
    return _without_times(sink.getvalue())


def _cell(sheet: Any, value: Any) -> Any:
    """A cell in which a text stays a text, also one that begins with =, of the characters that XML can hold."""
    from openpyxl.cell import WriteOnlyCell

    if not isinstance(value, str):
        return WriteOnlyCell(sheet, value)
    cell = WriteOnlyCell(sheet, NOT_IN_XML.sub("\ufffd", LINE_END.sub("\n", value)))
    cell.data_type = "s"
    return cell


def _without_times(workbook: bytes) -> bytes:
    """The same archive without the time of its writing, so that equal rows give equal bytes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = TIME.sub(b"2000-01-01T00:00:00Z", old.read(name)) if name == PROPERTIES else old.read(name)
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def _number(row: Row) -> int:
    """The number of a row in its file."""
    return int(row.place.rpartition(" row ")[2])


Writer = Callable[[Path, Columns, Sequence[Row], Added], str | bytes]
WRITERS: Mapping[str, Writer] = {
    **dict.fromkeys((".jsonl", ".json"), _json),
    **dict.fromkeys((".csv", ".tsv"), _table),
    **dict.fromkeys(CONLL, _conll),
    **dict.fromkeys((".parquet", ".arrow", ".feather"), _arrow),
    ".xlsx": _xlsx,
}
"""The formats in which rows are written."""
