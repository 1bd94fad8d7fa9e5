"""Tables as people have them: separators, quoting, line ends, empty columns, long cells, workbooks."""

import csv
import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from openpyxl import Workbook

from finetune.console import Notice
from finetune.data.opening import FileOptions
from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError
from finetune.tasks.settings import TextClassification

PAIR = ("text", "label")


def read(path: Path, header: bool = True, **options: Any) -> list[dict[str, Any]]:
    """The rows of a file for a text and its label."""
    return [row.values for row in read_rows(path, Columns(PAIR, header=header, file=FileOptions(**options)))]


def quiet(path: Path, **options: Any) -> list[tuple[str, str]]:
    """Texts and labels of a file in which nothing had to be found out."""
    return [(row["text"], row["label"]) for row in read(path, **options)]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, **options)
    return str(caught.value).replace(str(path), path.name)


@pytest.mark.parametrize(("name", "separator", "word"), [
    ("a.csv", ";", "semicolons"), ("a.csv", "\t", "tabs"), ("a.csv", "|", "vertical bars"), ("a.tsv", ",", "commas"),
    ("a.tsv", ";", "semicolons"),
])  # fmt: skip
def test_the_separator_is_found_and_said(name: str, separator: str, word: str, project: Project) -> None:
    others = "".join({",", ";", "|"} - {separator})
    path = project.write(name, f"\ufefftext{separator}label\r\nso {others} so{separator}a\r\nfine{separator}b\r\n")
    with pytest.warns(Notice, match=f"separated by {word}: set data.separator"):
        assert quiet(path) == [(f"so {others} so", "a"), ("fine", "b")]
    assert quiet(path, separator=separator) == [(f"so {others} so", "a"), ("fine", "b")]


def test_the_separator_of_the_ending_comes_first(project: Project) -> None:
    path = project.write("a.csv", "text,label\none; two; three,a\nfour; five; six,b\n")
    assert quiet(path)[0] == ("one; two; three", "a")
    bare = project.write("b.csv", "one; two,a\nthree; four,b\n")
    assert quiet(bare, header=False)[0] == ("one; two", "a")
    known = project.write("c.csv", "text;label;a, b\none;a;x, y\ntwo;b;x, y\n")
    with pytest.warns(Notice, match="semicolons"):
        assert quiet(known)[0] == ("one", "a")


def test_several_separators_are_possible(project: Project) -> None:
    path = project.write("a.csv", "one;x|y\ntwo;z|y\n")
    assert refusal(path, header=False) == (
        "a.csv:1: the cells may be separated by semicolons or vertical bars: set data.separator"
    )


def test_the_line_for_excel_tells_the_separator(project: Project) -> None:
    path = project.write("a.csv", 'sep=;\r\ntext;label\r\n"a;b";c\r\n')
    assert quiet(path) == [("a;b", "c")]
    assert read_rows(path, Columns(PAIR))[0].place.endswith(":3")


def test_a_table_without_a_header_is_told_from_one_with(project: Project) -> None:
    path = project.write("a.csv", "text,label\na,b\n")
    assert (
        "the first line has the names of the columns (text, label), but data.header is false: remove data.header"
        in (refusal(path, header=False))
    )


QUOTED = [('he said "nice"', "a"), ("two\nlines", "b"), ("a\ttab", "a"), ("plain", "b"), ("it's", "a")]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_cells_are_quoted_as_pandas_and_excel_do(name: str, separator: str, quoting: Any, project: Project) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=quoting).writerows([PAIR, *QUOTED])
    assert quiet(project.write(name, text.getvalue())) == QUOTED


def test_quotes_of_a_file_with_tabs_may_be_characters(project: Project) -> None:
    """As in GLUE: what begins with a quote is not always quoted."""
    cells = [('"What" is this ?', "0"), ('he said "no"', "1"), ('"open', "1"), ('the end"', "0"), ('"all"', "1")]
    path = project.write("a.tsv", "".join(f"{text}\t{label}\n" for text, label in [PAIR, *cells]))
    assert quiet(path) == cells


def test_quotes_that_close_lines_later_are_characters_where_each_line_is_a_row(project: Project) -> None:
    path = project.write("a.tsv", 'text\tlabel\n"it begins\t0\nit goes on\t1\nit ends"\t1\nplain\t0\n')
    assert [text for text, _ in quiet(path)] == ['"it begins', "it goes on", 'it ends"', "plain"]


def test_cells_may_be_long(project: Project) -> None:
    long = "word " * 100_000
    assert quiet(project.write("a.csv", f'text,label\n{long},a\n"{long}",b\n')) == [(long, "a"), (long, "b")]


def test_lines_end_as_on_old_macs(project: Project) -> None:
    path = project.write("a.csv", 'text,label\rone,a\r"two\rlines",b\rthree,a\r')
    assert quiet(path) == [("one", "a"), ("two\rlines", "b"), ("three", "a")]
    assert [row.place.rpartition(":")[2] for row in read_rows(path, Columns(PAIR))] == ["2", "3", "5"]


def test_empty_columns_and_rows_that_excel_leaves_are_left_out(project: Project) -> None:
    path = project.write("a.csv", "text,label,,,\r\na,b,,,\r\n\r\n  \r\nc,d,,,\r\n,,,,\r\n,,,,\r\n")
    assert [row.original for row in read_rows(path, Columns(PAIR))] == [
        {"text": "a", "label": "b"}, {"text": "c", "label": "d"}
    ]  # fmt: skip
    inside = project.write("b.csv", "text,label\r\na,b\r\n,\r\nc,d\r\n")
    assert read(inside)[1] == {"text": "", "label": ""}, "a row in between is none that may be passed over"


def test_row_numbers_of_pandas_keep_their_empty_name(project: Project) -> None:
    path = project.write("a.csv", ",text,label\n0,a,b\n")
    assert read_rows(path, Columns(PAIR))[0].original == {"": "0", "text": "a", "label": "b"}


WRONG = {
    "two columns of one name": ("text,label,text\na,b,c\n", "x.csv:1: two columns have the name 'text'"),
    "a value without a column": ("text,label,,\na,b,,\na,b,,c\n", "x.csv:3: 4 columns where the first line has 2"),
    "a cell too few": ("text,label\na,b\n\na\n", "x.csv:4: 1 column where the first line has 2"),
    "quote in the middle": ('text,label\n"a\nb"c,d\n', "x.csv:2: this is not a row of .csv"),
    "binary": ("text,label\na\0b,c\n", "x.csv:2: a NUL character, which only binary files have"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_table_is_refused(kind: str, project: Project) -> None:
    text, sentence = WRONG[kind]
    assert sentence in refusal(project.write("x.csv", text))


# ------------------------------------------------------------------------------------------------------------ workbooks


def workbook(name: str, **sheets: list[list[Any]]) -> Path:
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(name)
    return Path(name)


def test_cells_of_a_workbook_are_those_of_its_csv(project: Project) -> None:
    rows = [
        ["text", "label", "at", "on", "x", None],
        [5, 1.0, datetime(2024, 5, 1, 8, 30), date(2024, 5, 1), 0.5, None],
        ["two\nlines", True, None, "=1+1", "#N/A", None],
        [None] * 6,
    ]
    path = workbook("a.xlsx", one=[[], [], *rows])
    assert [(row.place, row.original) for row in read_rows(path, Columns(PAIR))] == [
        ("a.xlsx: row 4", {"text": "5", "label": "1", "at": "2024-05-01 08:30:00", "on": "2024-05-01", "x": "0.5"}),
        ("a.xlsx: row 5", {"text": "two\nlines", "label": "TRUE", "at": "", "on": "", "x": ""}),
    ]


def test_a_sheet_is_chosen_by_name(project: Project) -> None:
    path = workbook("a.xlsx", one=[PAIR, ["a", "b"]], two=[PAIR, ["c", "d"]])
    with pytest.warns(Notice, match="the first of the sheets one, two: set data.sheet"):
        assert quiet(path) == [("a", "b")]
    assert quiet(path, sheet="two") == [("c", "d")]
    assert refusal(path, sheet="three") == "a.xlsx: no sheet 'three' (found: one, two): correct data.sheet"


def test_a_row_of_a_workbook_may_be_shorter(project: Project) -> None:
    path = workbook("a.xlsx", one=[[*PAIR, "more"], ["a", "b", "c"], ["d", "e"]])
    assert read_rows(path, Columns(PAIR))[1].original == {"text": "d", "label": "e", "more": ""}
    assert quiet(workbook("b.xlsx", one=[["a", "b"], ["c", "d"]]), header=False) == [("a", "b"), ("c", "d")]
    wide = workbook("c.xlsx", one=[PAIR, ["a", "b"], ["c", "d", "e"]])
    assert refusal(wide) == "c.xlsx: row 3: 3 columns where the first line has 2: correct the row"


def test_other_workbooks_are_refused(project: Project, refused: Callable[..., str]) -> None:
    old = project.write("a.xlsx", b"\xd0\xcf\x11\xe0 and more")
    assert refusal(old).startswith("a.xlsx: is an old .xls file or has a password: open it in Excel")
    whole = workbook("b.xlsx", one=[PAIR, ["a", "b"]]).read_bytes()
    for damaged in (b"", b"hello", whole[: len(whole) // 2], whole.replace(b"xl/w", b"xl/v")):
        assert "open it in Excel or LibreOffice" in refusal(project.write("c.xlsx", damaged))


def test_a_public_set_as_it_is_downloaded(project: Project) -> None:
    """CRLF, no header, seven columns of which two count: the error names the key that reads it."""
    lines = [f'{i % 2}\t{i}\t{i % 2}\tNO_QUERY\tuser{i}\tgood, or "not" {i}\t\r\n' for i in range(20)]
    path = project.write("seven.tsv", "".join(lines).encode())
    settings = TextClassification(type="text-classification")
    required = settings.input_columns + settings.target_columns
    with pytest.raises(UserError, match=r"seven\.tsv:1: .*set data\.header to false if the first line is an example"):
        read_rows(path, Columns(required))
    rows = read_rows(path, Columns(required, renamed={"text": 5, "label": 0}, header=False))
    assert [row.values for row in rows] == [
        {"text": f'good, or "not" {i}', "label": f"{i % 2}"} for i in range(20)
    ]  # fmt: skip
