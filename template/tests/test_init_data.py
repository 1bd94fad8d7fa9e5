"""`finetune init-data`: one file becomes a dataset that trains, with no value guessed in silence and no leakage."""

import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from conftest import DIALOGUES, FILES, SENTENCES, TASKS, WRITING, Project, conll, messages
from openpyxl import Workbook

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.rows import Columns, Row, read_rows
from finetune.dataset import read_split
from finetune.init_data.columns import is_missing
from finetune.init_data.split import Group, groups_of, split, strata
from finetune.tasks import make_task
from finetune.tasks.results import Summary
from finetune.tasks.settings import TokenClassification

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
PARTS = list(SHARES)
ALL = ["--validation", "0", "--test", "0"]


def reviews(count: int = 60) -> list[dict[str, Any]]:
    """Rows of a shop: quoted line breaks, quotes, commas, Chinese, and a column that says nothing."""
    kinds = ['It was {}, "really"\nand item {} came late', "这个产品非常{}第{}件", "plain {} number {}"]
    return [
        {"id": i, "review": kinds[i % 3].format("good" if i % 5 > 2 else "bad", i), "stars": i % 5 + 1}
        for i in range(count)
    ]


def write_csv(project: Project, name: str, rows: list[dict[str, Any]], separator: str = ",") -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return project.write(name, text.getvalue())


def write_jsonl(project: Project, name: str, rows: list[dict[str, Any]]) -> Path:
    return project.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def init(project: Project) -> Callable[..., dict[str, Any]]:
    """Run init-data with a config of a task; returns the config afterwards."""

    def run(file: str | Path, *options: str, task: str = "text-classification") -> dict[str, Any]:
        config = project.config(task)
        assert main(["init-data", str(file), "--config", str(config), *options]) == 0
        load_config(config)
        values: dict[str, Any] = yaml.safe_load(config.read_text())
        return values

    return run


def test_from_a_csv_with_other_columns_to_a_scored_model(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Three commands, no edit by hand."""
    rows = reviews()
    rows[4]["review"], rows[7]["stars"], rows[20]["stars"] = "", "", " "
    write_csv(project, "reviews.csv", rows)
    comment = "data:   # files\n  train: old.jsonl  # here\ntrain:\n  epochs: 1 # few\n  batch_size: 16\n"
    project.write("configs/train.yaml", f"task: {{type: text-classification}}\nmodel:\n  name: org/large\n{comment}")

    assert main(["init-data", "reviews.csv"]) == 0
    printed = capsys.readouterr().out
    assert "1 row without a value in column review (reviews.csv:8)" in printed
    assert "2 rows without a value in column stars (reviews.csv:12, reviews.csv:29)" in printed
    assert "could also be regression (--task regression)" in printed
    assert "not used: id" in printed
    assert main(["train", "configs/train.yaml", "model.name=tiny:bert"]) == 0
    assert main(["evaluate", "latest"]) == 0
    evaluation = json.loads(Path("runs/train/evaluation-test.json").read_text())
    assert evaluation["headline"] in evaluation["metrics"]
    assert "org/large" in Path("configs/train.yaml").read_text()


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_recognised_in_its_own_project(task: str, init: Callable[..., dict[str, Any]]) -> None:
    """The files of the tests have the task's own columns; nothing needs to be renamed."""
    values = init(FILES[task][0], *ALL, task=task)
    assert values["task"]["type"] == task
    assert "columns" not in values["data"]
    assert values["data"]["test"] is None


@pytest.mark.parametrize(
    ("rows", "configured", "task", "columns"),
    [
        ([{"Review": f"text {i}", "Sentiment": "ab"[i % 2]} for i in range(40)], "regression", "text-classification",
         {"text": "Review", "label": "Sentiment"}),
        ([{"content": f"text {i}", "score": i / 7} for i in range(40)], "text-classification", "regression",
         {"text": "content", "label": "score"}),
        ([{"内容": f"第{i}个产品", "标签": "好坏"[i % 2]} for i in range(40)], "text-classification",
         "text-classification", {"text": "内容", "label": "标签"}),
        ([{"id": i, "name": "ab"[i % 2], "Review Text": f"text {i}", "Star Rating": i % 5, "day": "cd"[i % 2]}
          for i in range(40)], "text-classification", "text-classification",
         {"text": "Review Text", "label": "Star Rating"}),
        ([{"评论内容": f"第{i}个产品", "店": "甲乙"[i % 2], "情感标签": "好坏"[i % 2]} for i in range(40)],
         "text-classification", "text-classification", {"text": "评论内容", "label": "情感标签"}),
        ([{"v2": f"a longer text of some words {i}", "v1": ("ham", "spam")[i % 2]} for i in range(40)],
         "text-classification", "text-classification", {"text": "v2", "label": "v1"}),
        ([{"premise": f"text {i}", "hypothesis": "other", "label": i % 3} for i in range(40)], "text-classification",
         "text-classification", {"text": "premise", "text_pair": "hypothesis"}),
        ([{"text": f"text {i}", "genres": ["a", "b"][: i % 3]} for i in range(40)], "text-classification",
         "multi-label-classification", {"labels": "genres"}),
        ([{"title": f"text {i}", "tags": "y" if i % 2 else f"x, y, {'abcdefg'[i % 7]}, {'hijkl'[i % 5]}"}
          for i in range(60)], "text-classification",
         "multi-label-classification", {"text": "title", "labels": "tags"}),
        ([{"words": [*words.split(), str(i)], "ner_tags": [*tags.split(), "O"]}
          for i, (words, tags) in enumerate(SENTENCES * 8)], "text-classification",
         "token-classification", {"tokens": "words", "tags": "ner_tags"}),
        ([{"query": f"q{i // 4}", "passage": f"text {i}", "relevance": i % 2} for i in range(40)], "ranking", "ranking",
         {"document": "passage", "label": "relevance"}),
        ([{"anchor": f"q{i}", "positive": f"text {i}", "negative": f"other {i}"} for i in range(40)],
         "text-classification", "retrieval", {"query": "anchor", "document": "positive", "negatives": "negative"}),
        ([{"question": f"what is {i}", "answer": f"it is {i}"} for i in range(40)], "text-classification", "retrieval",
         {"query": "question", "document": "answer"}),
        ([{"conversations": messages(f"Hello {i}", *turns[1:])} for i, turns in enumerate(DIALOGUES * 9)],
         "text-generation", "chat", {}),
        ([{"question": f"what is {i}", "answer": f"it is {i}"} for i in range(40)], "chat", "chat", {}),
        ([{"article": f"a long text {i}", "highlights": f"short {i}"} for i in range(40)], "summarization",
         "summarization", {"source": "article", "target": "highlights"}),
        ([{"content": f"text {i}"} for i in range(40)], "text-generation", "text-generation", {"text": "content"}),
    ],
)  # fmt: skip
def test_columns_of_other_names_are_recognised(
    rows: list[dict[str, Any]], configured: str, task: str, columns: dict[str, str], project: Project,
    init: Callable[..., dict[str, Any]],
) -> None:  # fmt: skip
    values = init(write_jsonl(project, "own.jsonl", rows), task=configured)
    assert values["task"]["type"] == task
    assert values["data"].get("columns", {}) == columns
    for name in PARTS:
        assert read_split(*opened("config.yaml"), [values["data"][name]])


@pytest.mark.skipif(not TokenClassification.text_targets, reason="the task reads no entities")
def test_texts_with_entities_are_recognised(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    rows = [{"sentence": f"Ada {i} left", "spans": [{"start": 0, "end": 3, "label": "PER"}] * (i % 2)}
            for i in range(40)]  # fmt: skip
    values = init(write_jsonl(project, "own.jsonl", rows), task="text-classification")
    assert values["task"]["type"] == "token-classification"
    assert values["data"]["columns"] == {"text": "sentence", "entities": "spans"}
    assert len(read_split(*opened("config.yaml"), [values["data"]["train"]])) == 32


def opened(config: str) -> tuple[Any, Any]:
    settings = load_config(Path(config))
    return settings, make_task(settings.task)


def test_two_classes_are_no_regression_and_labels_are_no_texts_to_generate(
    project: Project, init: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(40)]
    init(write_jsonl(project, "own.jsonl", rows))
    assert "could also be" not in capsys.readouterr().out
    rows = [{"source": f"text {i}", "target": "ab"[i % 2]} for i in range(40)]
    config = project.config("translation")
    assert main(["init-data", str(write_jsonl(project, "two.jsonl", rows)), "--config", str(config)]) == 2


def test_no_label_and_no_second_text_are_values(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    rows = [
        {"text": f"text {i}", "text_pair": None if i % 2 else "b", "labels": ["a", "b"][: i % 3]} for i in range(40)
    ]
    path = write_jsonl(project, "own.jsonl", [*rows, {"text": "last", "text_pair": None, "labels": None}])
    values = init(path, *ALL, task="multi-label-classification")
    assert len(read_rows(Path(values["data"]["train"]), Columns(()))) == 40


def test_a_dialogue_is_told_from_a_question_with_its_answer(
    project: Project, init: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"what is {i}", "answer": f"it is {i}"} for i in range(40)]
    for task in ("chat", "text-generation"):
        name = f"{task}.jsonl"
        assert init(write_jsonl(project, name, rows), task=task)["task"]["type"] == task
        assert "read as questions and answers" in capsys.readouterr().out


def test_options_choose_columns_and_task(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    rows = [{**row, "title": f"title {row['id']}", "mark": row["id"] % 7} for row in reviews()]
    path = write_csv(project, "own.csv", rows)
    values = init(path, "--text", "title", "--text", "review", "--label", "mark", "--task", "regression")
    assert values["task"]["type"] == "regression"
    assert values["data"]["columns"] == {"text": "title", "text_pair": "review", "label": "mark"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".conll", ".txt"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_rows_are_written_unchanged_in_the_format_of_the_file(suffix: str, ending: str, project: Project) -> None:
    rows = reviews()
    path, task = Path(f"own{suffix}"), "text-classification"
    if suffix == ".csv":
        rows[5]["review"] += "\r"
        write_csv(project, path.name, rows)
        project.write(path.name, path.read_bytes().decode().replace("\r\n", ending).removesuffix(ending))
    elif suffix == ".tsv":
        flat = [f"{row['stars']}\t{row['review']}".replace("\n", " ") for row in rows]
        project.write(path.name, "\ufeff" + ending.join(["stars\treview", *flat]))
    elif suffix == ".jsonl":
        project.write(path.name, ending.join(json.dumps(row, indent=None) for row in rows))
    elif suffix == ".json":
        project.write(path.name, json.dumps(rows, indent=2).replace("\n", ending))
    elif suffix == ".parquet":
        table = pyarrow.Table.from_pylist(rows)
        table = table.set_column(2, "stars", table["stars"].cast(pyarrow.int8()))
        pyarrow.parquet.write_table(table, path)
    elif suffix == ".conll":
        task = "token-classification"
        named = [(f"{words} number{i}", f"{tags} O") for i, (words, tags) in enumerate(SENTENCES * 6)]
        text = "-DOCSTART- O\n\n" + conll(named).replace("\n\n", "\n\n-DOCSTART- O\n")
        project.write(path.name, text.rstrip("\n").replace("\n", ending))
    else:
        task = "text-generation"
        project.write(path.name, ending.join(f"paragraph {i}{ending * 2 if i % 3 else ''}" for i in range(90)))

    config = project.config(task)
    assert main(["init-data", str(path), "--config", str(config)]) == 0
    parts = [Path("data/own", f"{name}{suffix}") for name in PARTS]
    if suffix == ".txt":
        assert b"".join(part.read_bytes() for part in parts) == path.read_bytes()
        return
    columns = Columns(("tokens", "tags") if suffix == ".conll" else ())
    found = [[as_written(row) for row in read_rows(part, columns)] for part in parts]
    originals = [as_written(row) for row in read_rows(path, columns)]
    assert sorted(map(str, originals)) == sorted(str(row) for part in found for row in part)
    for part in found:  # in the order of the file
        assert part == [row for row in originals if row in part]
    if suffix == ".csv":
        lines = path.read_bytes().decode().split(ending)
        assert all(line in lines for part in parts for line in part.read_bytes().decode().split(ending) if line)
    if suffix == ".conll":
        blocks, *written = [
            [block.strip() for block in file.read_bytes().decode().split(ending * 2) if block]
            for file in (path, *parts)
        ]
        assert all(block in blocks for part in written for block in part)
    if suffix == ".parquet":
        assert pyarrow.parquet.read_schema(parts[0]) == pyarrow.parquet.read_schema(path)


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
@pytest.mark.parametrize("name", ["own.xlsx", "own.csv.gz", "gbk.csv", "own.tsv", "within.json"])
def test_other_forms_of_files_are_split_as_well(
    name: str, project: Project, init: Callable[..., dict[str, Any]]
) -> None:
    rows = [{"review": f"“好”的产品，很好 {i}", "stars": str(i % 5 + 1)} for i in range(60)]
    path = project.folder / name
    if name == "own.xlsx":
        book = Workbook()
        for cells in [[*rows[0]], *(list(row.values()) for row in rows)]:
            book.active.append(cells)
        book.save(path)
    elif name == "within.json":
        path.write_text(json.dumps({"version": 1, "data": rows}))
    elif name == "own.tsv":  # with quotes that are characters
        rows = [{**row, "review": f'"this" is {i}' if i % 9 else f'"all {i}"'} for i, row in enumerate(rows)]
        path.write_text("review\tstars\n" + "".join(f"{row['review']}\t{row['stars']}\n" for row in rows))
    else:
        text = "review;stars\r\n" + "".join(f"{row['review']};{row['stars']}\r\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode("utf-16")) if name.endswith(".gz") else text.encode("gb18030"))
    values = init(path)
    assert values["data"]["train"] == f"data/{name.split('.')[0]}/train{name[name.index('.') :]}"
    parts = [read_rows(Path(values["data"][part]), Columns(())) for part in PARTS]
    assert sorted(str(row.original) for part in parts for row in part) == sorted(map(str, rows))


def groups(labels: list[tuple[str, ...]], keys: list[list[Any]] | None = None) -> list[Group]:
    return groups_of(keys or [[i] for i in range(len(labels))], labels)


def test_the_split_is_stratified() -> None:
    """Each label has its share of each split, up to one row."""
    labels = [("often",)] * 700 + [("seldom",)] * 250 + [("rarely",)] * 50
    parts = split(groups(labels), SHARES, seed=1)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(1000))
    for name, rows in parts.items():
        for (label,), total in Counter(labels).items():
            assert sum(labels[row] == (label,) for row in rows) == pytest.approx(SHARES[name] * total, abs=1)


def test_several_labels_are_stratified() -> None:
    labels = [tuple("abc"[k] for k in range(3) if i % (2 + 3 * k) == 0) for i in range(1000)]
    parts = split(groups(labels), SHARES, seed=1)
    for name, rows in parts.items():
        for label in "abc":
            total = sum(label in some for some in labels)
            assert sum(label in labels[row] for row in rows) == pytest.approx(SHARES[name] * total, rel=0.1)


def test_numbers_are_stratified() -> None:
    summaries = [Summary((str(i),), number=float(i)) for i in range(1000)]
    parts = split(groups(strata(summaries)), SHARES, seed=1)
    for rows in parts.values():
        assert sum(row < 500 for row in rows) == pytest.approx(len(rows) / 2, rel=0.1)
    assert len(set(strata([Summary(("",), number=float(i % 100)) for i in range(1000)]))) == 10
    assert {some for (some,) in strata([Summary(("",), number=n) for n in (1.0, 2.0, 5.0) * 3])} == {"1", "2", "5"}


def test_groups_are_not_split_and_join_by_any_key() -> None:
    keys = [[("text", i // 2), ("author", (i + 1) // 2 % 40)] for i in range(400)]
    keys += [[("text", "alone", i)] for i in range(100)]
    parts = split(groups([("a",), ("b",)] * 250, keys), SHARES, seed=3)
    where = {row: name for name, rows in parts.items() for row in rows}
    for key in {key for some in keys for key in some}:
        assert len({where[row] for row, some in enumerate(keys) if key in some}) == 1
    assert all(parts.values())


def test_large_groups_leave_room_for_the_other_splits() -> None:
    for seed in range(9):
        parts = split(groups([()] * 100, [[min(i, 40)] for i in range(100)]), SHARES, seed)
        assert [len(rows) for rows in parts.values()] == [80, 10, 10]


def test_every_label_is_in_train_whatever_the_shares() -> None:
    """The training refuses a label that train does not have."""
    for seed in range(50):
        draw = random.Random(seed)
        labels = [tuple(draw.sample("abcdefgh", 3)) for _ in range(12)]
        parts = split(groups(labels), {"train": 0.2, "validation": 0.4, "test": 0.4}, seed)
        assert {label for row in parts["train"] for label in labels[row]} == {
            label for some in labels for label in some
        }


def test_rare_labels_are_in_train_alone() -> None:
    for seed in range(20):
        labels = [("a", "x")] * 3 + [("b", "x")] * 3 + [("c",)] + [("d",)] * 2 + [("e",)] * 40
        parts = split(groups(labels), {"train": 0.5, "validation": 0.25, "test": 0.25}, seed)
        assert sum(labels[row][0] in "cd" for row in parts["train"]) == 3


def test_labels_that_a_split_lacks_are_named(
    project: Project, init: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rare labels, and frequent ones of rows that must stay together; the bins of numbers are no labels."""
    rows = [{"text": f"text {i}", "label": "usual"} for i in range(30)] + [{"text": "other", "label": "rare"}]
    rows += [{"text": f"same {i % 2}", "label": "copied"} for i in range(8)]
    init(write_jsonl(project, "own.jsonl", rows))
    assert "not in validation and test: copied (8 rows), rare (1 row)\n" in capsys.readouterr().out
    init(write_jsonl(project, "number.jsonl", [{"text": f"text {i}", "label": i / 7} for i in range(40)]))
    shown = capsys.readouterr().out
    assert "from 0 " in shown
    assert "not in" not in shown


def test_the_seed_decides() -> None:
    labels = [("ab"[i % 2],) for i in range(100)]
    one, again, other = (split(groups(labels), SHARES, seed) for seed in (1, 1, 2))
    assert one == again != other


def test_equal_texts_and_authors_stay_together(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    """White space and composed characters make no other text; without --group, authors are split."""
    texts = [("caf\u00e9 {}", "cafe\u0301  {}")[i % 2].format(i // 2) for i in range(200)]
    rows = [{"text": text, "label": "ab"[i % 2], "author": i // 2 % 25} for i, text in enumerate(texts)]
    path = write_jsonl(project, "own.jsonl", rows)
    for options, split_authors in (([], True), (["--group", "author", "--output", "grouped"], False)):
        values = init(path, *options)
        parts = [read_rows(Path(values["data"][name]), Columns(())) for name in PARTS]
        numbers = [{row.original["text"].split()[1] for row in part} for part in parts]
        authors = [{row.original["author"] for row in part} for part in parts]
        assert len(set.union(*numbers)) == sum(map(len, numbers)) == 100
        assert bool(authors[0] & authors[1]) == split_authors


def test_queries_of_a_ranking_are_not_split(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    rows = [{"query": f"q{i % 30}", "document": f"text {i}", "label": i % 2} for i in range(150)]
    values = init(write_jsonl(project, "own.jsonl", rows), task="ranking")
    parts = [read_rows(Path(values["data"][name]), Columns(())) for name in PARTS]
    queries = [{row.original["query"] for row in part} for part in parts]
    assert sum(map(len, queries)) == 30


def test_a_second_time_nothing_changes_and_other_content_is_kept(
    project: Project, init: Callable[..., dict[str, Any]], refused: Callable[..., str]
) -> None:
    path = write_csv(project, "reviews.csv", reviews())
    first = init(path)
    assert main(["init-data", str(path), "--config", "config.yaml"]) == 0
    assert yaml.safe_load(Path("config.yaml").read_text()) == first
    before, config = Path("data/reviews/train.csv").read_bytes(), Path("config.yaml").read_bytes()
    sentence = refused("init-data", path, "--config", "config.yaml", "--seed", "1", "--label", "id", "--test", "0")
    assert "data/reviews/train.csv: exists with other content: name another folder with --output" in sentence
    assert Path("data/reviews/train.csv").read_bytes() == before
    assert Path("config.yaml").read_bytes() == config


CONFIG = """# Mine.
task: {{type: regression}}   # the task
model: {{name: "tiny:bert"}}

data:   # files
  train: a.jsonl        # to learn from
  validation:
{columns}  # the end
train: {{epochs: 1}}
"""


@pytest.mark.parametrize(
    "columns", ["", "  columns: {text: old}   # names\n", "  columns:\n    text: old\n    label: o\n"]
)
def test_comments_and_other_lines_of_the_config_stay(columns: str, project: Project) -> None:
    config = project.write("config.yaml", CONFIG.format(columns=columns).replace("\n", "\r\n"))
    path = write_csv(project, "reviews.csv", [{**row, "stars": "ab"[row["stars"] % 2]} for row in reviews()])
    assert main(["init-data", str(path), "--config", "config.yaml", "--test", "0"]) == 0
    new = '  columns: {text: "review", label: "stars"}' + ("   # names" if "names" in columns else "") + "\n"
    expected = (
        CONFIG.format(columns=new)
        .replace("type: regression", 'type: "text-classification"')
        .replace("a.jsonl", '"data/reviews/train.csv"')
        .replace("validation:", 'validation: "data/reviews/validation.csv"')
    )
    assert config.read_bytes().decode() == expected.replace("\n", "\r\n")


def test_a_layout_that_cannot_be_changed_is_told_before_anything_is_written(
    project: Project, refused: Callable[..., str]
) -> None:
    project.write("config.yaml", CONFIG.format(columns="  columns:\n    # why\n    text: old\n"))
    path = write_csv(project, "reviews.csv", reviews())
    sentence = refused("init-data", path, "--config", "config.yaml")
    assert "its layout is too unusual to be changed" in sentence
    assert not Path("data").exists()


def test_other_keys_that_contradict_are_told_before_anything_is_written(
    project: Project, refused: Callable[..., str]
) -> None:
    config = project.config("text-classification")
    project.write("config.yaml", config.read_text().replace("task:\n", "task:\n  class_weights: balanced\n"))
    before = config.read_bytes()
    path = write_csv(project, "reviews.csv", reviews())
    assert "unknown key 'task.class_weights'" in refused("init-data", path, "--config", config, "--task", "regression")
    assert config.read_bytes() == before
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("name", "text", "options", "sentence"),
    [
        ("none.csv", None, [], "none.csv: there is no such file"),
        ("own.docx", "x", [], "unknown format '.docx'"),
        ("own.csv", "text,label\na,b,c\n", [], "own.csv:2: 3 columns where the first line has 2"),
        ("own.csv", "a1,b1\nx y,z w\nq r,s t\n", [], "does not fit text-classification: name its columns"),
        ("own.csv", "text,label\na,x\nb,x\n", [], "it has text (2 distinct strings in 2 rows), label (1 distinct str"),
        ("own.csv", "text,label\na,x\nb,x\n", ["--task", "text-classification", *ALL], "every label is 'x'"),
        ("own.csv", "text,label\na,x\nb,y\n", [], "too few for a validation split of 0.1, for no label has 3 r"),
        ("own.csv", "text,label\n" + "a,x\n" * 9 + "b,y\nc,y\n", [], "in 3 groups that must stay t"),
        ("own.csv", "text,label\na,x\nb,x\nc,x\nd,y\n", [], "too few for a validation split of 0.1: raise --valid"),
        ("own.csv", "text,label\na,x\nb,y\n", ["--label", "stars"], "--label is 'stars', but its columns are text, la"),
        ("own.csv", "text,label\na,x\nb,y\n", ["--task", "chat"], "--task is chat, for which tiny:bert is no model"),
        ("own.csv", "text,label\na,x\nb,y\n", ["--task", "poetry"], "--task is 'poetry': choose one of"),
        ("own.csv", "text,label\na,x\nb,y\n", ["--group", "author"], "which --group names; it has text, label"),
        ("own.csv", "text,label\na,\n,y\n", ["--task", "regression"], "no row has a value in all of text, label"),
        ("own.csv", "text,label\na,1\nb,2\nc,x\n", ["--task", "regression"], "own.csv:4: the label is 'x'"),
        ("own.csv", "a day,good\n" + "".join(f"day {i},{('good', 'bad')[i % 2]}\n" for i in range(9)),
         [], "own.csv:1: the first line looks"),
        ("own.csv", "text,label\na,x\nb,y\n", ["--validation", "0.6", "--test", "0.4"], "leave no rows for training"),
        ("own.jsonl", '{"question": "a b", "answer": "c d"}\n', [], "for chat or summarization or translation or text"),
        ("own.conll", "a O\nb B-X\n", ["--text", "a"], "--text: the columns of a .conll file have no names"),
        ("own.txt", "a text\n", [], "own.txt: is for text-generation, but task.type is text-classification"),
    ],
)  # fmt: skip
def test_what_is_refused(
    name: str, text: str | None, options: list[str], sentence: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with one sentence, and nothing written."""
    if text is not None:
        project.write(name, text)
    config = project.config("text-classification")
    before = config.read_bytes()
    assert main(["init-data", name, "--config", str(config), *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error.replace("\n", " ")
    assert "Traceback" not in error
    assert config.read_bytes() == before
    assert not Path("data").exists()


def test_a_file_without_a_header_goes_by_numbers(project: Project) -> None:
    project.write("own.csv", "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)))
    config = project.config("text-classification", data={"header": False})
    assert main(["init-data", "own.csv", "--config", str(config), "--text", "0", "--label", "1"]) == 0
    settings, task = opened("config.yaml")
    assert len(read_split(settings, task, ["data/own/train.csv"])) == 32


def as_written(row: Row) -> Any:
    """A row as it stands in the file, of .conll its words."""
    return row.original if isinstance(row.original, dict) else row.values


def test_cells_that_are_empty() -> None:
    assert all(map(is_missing, [None, "", " \n", [], float("nan"), "nan"]))
    assert not any(map(is_missing, [0, False, "0", "none", "null", ["a"]]))


def test_tasks_that_write_need_a_model_that_writes(project: Project, refused: Callable[..., str]) -> None:
    for task in WRITING:
        sentence = refused("init-data", FILES[task][0], "--config", project.config("regression"), "--task", task)
        assert "is no model" in sentence
