"""Which files a dataset consists of: lists, patterns, folders, parallel text, tables of Arrow."""

import json
import re
import warnings
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import Project, build, needs
from pyarrow import feather

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.files import checksum, files_of, shown
from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError
from finetune.train.loop import Setup

pytestmark = pytest.mark.usefixtures("project")

LABELLED = Columns(("text", "label"), ("text_pair",))
TRANSLATED = Columns(("source", "target"))
ROWS = "text,label\nfine,good\n"


ALONE = ("data.validation=null", "data.test=null")


def built(project: Project, task: str, *overrides: str) -> Setup:
    return build(load_config(project.config(task), [*ALONE, *overrides]))


def write(name: str, text: str = ROWS) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_pattern_or_a_folder_is_its_files_by_name() -> None:
    for name in ("b", "a", "c"):
        write(f"data/{name}.csv")
    for name in ("~$a.csv", ".hidden.csv", ".DS_Store", "Thumbs.db"):
        write(f"data/{name}")
    for source in ("data/*.csv", "data", "data/", "data/[abc].csv", "**/*.csv"):
        assert shown(files_of([source])) == "data/a.csv, data/b.csv, data/c.csv"
    assert shown(files_of(["data/c.csv", "data/[ab].csv"])) == "data/c.csv, data/a.csv, data/b.csv"
    write("odd[1].csv")
    assert files_of(["odd[1].csv"]) == [Path("odd[1].csv")], "a file of that very name is no pattern"


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (["x*.csv"], r"^x\*\.csv: no file matches this pattern \(looked in .*\): correct it$"),
        (["a.csv", "mixed/../a.csv"], r"^mixed/\.\./a\.csv: is named twice among the files of a split"),
        (["a.csv", "*.csv"], r"^a\.csv: is named twice"),
        (["mixed"], r"^mixed: holds files of several formats \(\.csv \.jsonl\): name those that are meant, such as "
                    r"mixed/\*\.csv$"),
        (["empty"], r"^empty: the folder holds no data files: use one of \.jsonl"),
        (["outer"], r"^outer: the folder holds no data files: name one of its folders \(test, train\)$"),
        (["gone.csv"], r"^gone\.csv: there is no such file"),
        (["train.{en,de}"], r"^train\.de: there is no such file \(looked in .*\), which train\.\{en,de\} names"),
        (["{a,b}.csv"], r"^\{a,b\}\.csv: two files in braces are parallel text, .* a\.csv is a table"),
    ],
)  # fmt: skip
def test_sources_that_name_no_dataset(sources: list[str], sentence: str) -> None:
    for name in ("a.csv", "b.csv", "mixed/a.csv", "mixed/b.jsonl", "empty/script.py", "outer/train/a.csv",
                 "outer/test/a.csv", "train.en"):  # fmt: skip
        write(name)
    with pytest.raises(UserError, match=sentence):
        files_of(sources)


def test_each_file_of_a_split_needs_the_columns(project: Project, refused: Callable[..., str]) -> None:
    write("data/a.csv")
    write("data/b.csv", "a,b\nfine,good\n")
    message = refused("train", project.config("text-classification"), "data.train=data/*.csv")
    assert "b.csv:1: no column 'text' (found: a, b)" in message


def test_each_file_of_a_split_may_name_them_in_its_own_way(project: Project) -> None:
    write("data/a.csv", "text,label\nfine day,good\n")
    write("data/b.csv", "review,stars\ngrim day,bad\n")
    with pytest.warns(Notice, match=r"b\.csv: columns 'review' and 'stars' are read as text and label"):
        setup = built(project, "text-classification", "data.train=[data/a.csv, data/b.csv]")
    assert [example.text for example in setup.train.examples] == ["fine day", "grim day"]


# ------------------------------------------------------------------------------------------------------- texts by label


def texts(*names: str) -> None:
    for name in names:
        write(f"reviews/{name}", f"{name} was\r\nread\r\n")


def test_texts_in_folders_have_these_as_labels() -> None:
    texts("pos/2.txt", "pos/10.txt", "neg/1.txt", "neg/.hidden.txt", "unsup/0.txt", "urls_neg.txt", "bow.feat")
    [folder] = files_of(["reviews"])
    with pytest.warns(Notice) as said:
        rows = read_rows(folder, LABELLED)
    assert [row.values for row in rows] == [
        {"text": "neg/1.txt was\r\nread", "label": "neg"},
        {"text": "pos/10.txt was\r\nread", "label": "pos"},
        {"text": "pos/2.txt was\r\nread", "label": "pos"},
    ]
    assert [Path(row.place).as_posix() for row in rows] == [f"reviews/{row.original['file']}" for row in rows]
    assert [str(one.message) for one in said] == [
        "reviews: read as one text a file, with the name of its folder as the label (neg, pos)",
        f"{Path('reviews/unsup')}: 1 text without a label left out: rename the folder if its name is a label",
        "reviews: 1 .txt file beside the folders of the labels are not read",
    ]


def test_texts_without_folders_have_no_label() -> None:
    texts("1.txt", "2.txt")
    [folder] = files_of(["reviews"])
    unlabelled = Columns(("text", "label"), targets=("label",))
    assert [row.values["text"] for row in read_rows(folder, unlabelled)] == ["1.txt was\r\nread", "2.txt was\r\nread"]
    with pytest.raises(UserError, match=r"1\.txt: no value in column 'label' \(found: text, file\)"):
        read_rows(folder, LABELLED)


def test_an_empty_text_is_named(project: Project) -> None:
    texts("pos/1.txt", "neg/1.txt")
    write("reviews/pos/2.txt", "\n")
    with (
        pytest.warns(Notice, match="one text a file"),
        pytest.raises(UserError, match=rf"^{re.escape(str(Path('reviews/pos/2.txt')))}: text is empty"),
    ):
        built(project, "text-classification", "data.train=reviews")


def test_a_training_on_folders(project: Project) -> None:
    texts("pos/1.txt", "pos/2.txt", "neg/1.txt", "neg/2.txt")
    with pytest.warns(Notice, match="one text a file"):
        project.train(project.config("text-classification"), "data.train=reviews", *ALONE)
    recorded = json.loads(Path("runs/config/environment.json").read_text())["data"]
    assert recorded["reviews"] == checksum(Path("reviews"))
    write("reviews/pos/2.txt", "another")
    assert recorded["reviews"] != checksum(Path("reviews"))


# -------------------------------------------------------------------------------------------------------- parallel text


def test_parallel_text_in_two_files() -> None:
    write("data/train.en", "good day\r\n\r\nthank\u2028you\r\n")
    write("data/train.de", "guten Tag\n\ndanke\n")
    [path] = files_of(["data/train.{en,de}"])
    rows = read_rows(path, TRANSLATED)
    assert [row.values for row in rows] == [
        {"source": "good day", "target": "guten Tag"},
        {"source": "thank\u2028you", "target": "danke"},
    ]
    assert [Path(row.place).as_posix() for row in rows] == ["data/train.en:1", "data/train.en:3"]
    for renamed in ({"source": "de", "target": "en"}, {"source": 1, "target": 0}):
        swapped = Columns(("source", "target"), renamed=renamed)
        assert read_rows(path, swapped)[0].values == {"source": "guten Tag", "target": "good day"}
    before = checksum(path)
    write("data/train.de", "guten Tag\n\nvielen Dank\n")
    assert checksum(path) != before


@pytest.mark.parametrize(
    ("english", "german", "sentence"),
    [
        ("a\nb\n", "a\n", r"^train\.en has 2 lines and train\.de has 1 line: line n of the one must belong"),
        ("a\n", "a\nb\nc\nd", r"^train\.en has 1 line and train\.de has 4 lines"),
        ("a\nb\nc\n", "a\n \nc\n", r"^train\.de:2: no value in column 'target'"),
        ("\nb\n", "a\nb\n", r"^train\.en:1: no value in column 'source'"),
        ("", "", r"^train\.\{en,de\}:1: the file holds no examples"),
    ],
)
def test_parallel_text_that_does_not_fit(english: str, german: str, sentence: str) -> None:
    write("train.en", english)
    write("train.de", german)
    with pytest.raises(UserError, match=sentence):
        read_rows(Path("train.{en,de}"), TRANSLATED)


def test_a_training_on_parallel_text(project: Project) -> None:
    write("train.en", "good day\nthank you\n")
    write("train.de", "guten Tag\ndanke\n")
    setup = built(project, "translation", "data.train=train.{en,de}")
    assert [example.target for example in setup.train.examples] == ["guten Tag", "danke"]


# ------------------------------------------------------------------------------------------------------ tables of Arrow

ODD: dict[str, Any] = {
    "at": pa.array([1, 2**62], pa.timestamp("ns", "UTC")),
    "took": pa.array([1, 2], pa.duration("ns")),
    "price": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
    "raw": pa.array([b"\xff", None]),
    "nested": pa.array([{"a": [1, {"b": 2}]["a" == 1 :][:1]}, None], pa.struct([("a", pa.list_(pa.int64()))])),
    "kind": pa.array(["x", "y"]).dictionary_encode(),
    "long": pa.array(["x", None], pa.large_string()),
    "half": pa.array([1.5, float("nan")], pa.float32()),
    "day": pa.array([10**6 * 3, 0], pa.date32()),
    "years": pa.array([10**9, 0], pa.timestamp("s")),
}
TABLE = pa.table({"text": ["fine", "grim"], "label": pa.array(["good", "bad"]).dictionary_encode(), **ODD})


def to_file(table: Any, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def to_stream(table: Any, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


@pytest.mark.parametrize(
    ("name", "write_to"),
    [
        ("x.parquet", pyarrow.parquet.write_table),
        ("x.arrow", to_file),
        ("x.arrow", to_stream),
        ("x.feather", feather.write_feather),
    ],
)
def test_tables_of_arrow_with_columns_of_any_type(name: str, write_to: Callable[[Any, Any], None]) -> None:
    write_to(TABLE, Path(name))
    rows = read_rows(Path(name), LABELLED)
    assert [row.values for row in rows] == [{"text": "fine", "label": "good"}, {"text": "grim", "label": "bad"}]
    assert [row.place for row in rows] == [f"{name}: row 1", f"{name}: row 2"]
    assert [*rows[0].original] == TABLE.column_names
    assert rows[0].original["price"] == Decimal("1.50")
    assert rows[0].original["years"] == datetime(2001, 9, 9, 1, 46, 40)
    write_to(TABLE.drop_columns("label"), Path(name))
    with pytest.raises(UserError, match=rf"^{name}: no column 'label' \(found: text, at"):
        read_rows(Path(name), LABELLED)


def test_a_dataset_saved_to_disk_is_a_folder() -> None:
    Path("saved").mkdir()
    for number in (0, 1):
        to_stream(TABLE, Path(f"saved/data-0000{number}-of-00002.arrow"))
    write("saved/state.json", "{}")
    write("saved/dataset_info.json", "{}")
    assert [path.name for path in files_of(["saved"])] == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]


@pytest.mark.parametrize("name", ["x.arrow", "x.feather", "x.parquet"])
def test_a_damaged_table_of_arrow(name: str) -> None:
    pyarrow.parquet.write_table(TABLE, "good.parquet")
    to_file(TABLE, Path("good.arrow"))
    content = Path("good.parquet" if name == "x.parquet" else "good.arrow").read_bytes()
    for damaged in (b"", b"hello", content[: len(content) // 2]):
        Path(name).write_bytes(damaged)
        with pytest.raises(UserError, match=rf"^{name}"):
            read_rows(Path(name), LABELLED)
    refused = 0
    for start in range(0, len(content), 61):
        Path(name).write_bytes(content[:start] + b"\xff" * 20 + content[start + 20 :])
        try:
            read_rows(Path(name), LABELLED)
        except UserError:
            refused += 1
    assert refused


# --------------------------------------------------------------------------------------------------------- predictions


def test_predictions_of_what_is_no_single_file(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    texts("1.txt", "2.txt")
    to_file(TABLE, Path("x.arrow"))
    for source, written in (("reviews", "reviews.jsonl"), ("x.arrow", "x.arrow")):
        assert main(["predict", "runs/config", source]) == 0
        output = Path("runs/config/predictions", written)
        rows = [row.original for row in read_rows(output, Columns(()))]
        assert [*map(list, rows)] == [
            [*(("text", "file") if source == "reviews" else TABLE.column_names), "prediction", "probability",
             "probabilities"],
        ] * 2  # fmt: skip
    write("data/1.csv")
    assert main(["predict", "runs/config", "data"]) == 0
    assert Path("runs/config/predictions/1.csv").is_file()
    write("data/2.csv")
    assert refused("predict", "runs/config", "data/*.csv") == "data/*.csv: names 2 files: take one after the other"
    assert refused("predict", "runs/config", "reviews", "--output", "x.csv").startswith(
        "x.csv: the predictions of this"
    )
    assert refused("predict", "runs/config", "gone").startswith("gone: there is no such file")


def test_an_evaluation_on_a_folder(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    texts("good/1.txt", "bad/1.txt", "bad/2.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        assert main(["evaluate", "runs/config", "--data", "reviews", "--split", "test"]) == 0
    evaluation = json.loads(Path("runs/config/evaluation-test.json").read_text())
    assert (evaluation["data"], evaluation["examples"]) == ("reviews", 3)


@needs("check_data")
def test_check_data_of_a_folder_and_of_parallel_text(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    texts("good/1.txt", "good/2.txt", "bad/1.txt", "bad/2.txt")
    check = ["check-data", "--json"]
    assert main([*check, str(project.config("text-classification")), "data.train=reviews", *ALONE]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"] == {"reviews": checksum(Path("reviews"))}
    assert document["splits"]["train"]["rows"] == 4
    write("train.en", "good day\nthank you\n")
    write("train.de", "guten Tag\ndanke\n")
    assert main([*check, str(project.config("translation")), "data.train=train.{en,de}", *ALONE]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"] == {"train.{en,de}": checksum(Path("train.{en,de}"))}


@pytest.mark.parametrize("name", ["x.arrow", "x.parquet"])
def test_a_damaged_name_of_a_column(name: str) -> None:
    """It is no UTF-8, which pyarrow tells only when the name is asked for."""
    (pyarrow.parquet.write_table if name == "x.parquet" else to_file)(TABLE, name)
    path = Path(name)
    path.write_bytes(path.read_bytes().replace(b"text", b"te\xffa"))
    with pytest.raises(UserError, match=rf"^{name}: "):
        read_rows(path, Columns(("text", "label")))
