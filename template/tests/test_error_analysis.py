"""`finetune errors`: mistakes and training rows with the highest loss; what it writes is trained on."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import FILES, TASKS, WRITING, Project, build

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.rows import Row
from finetune.dataset import columns_of, new_task, stream_chosen
from finetune.error_analysis.corrections import Said, correctable
from finetune.error_analysis.tables import Scored, by_metric, kinds_of_errors
from finetune.error_analysis.training_rows import sampled
from finetune.optional import is_there
from finetune.tasks.intervals import bootstrap
from finetune.tasks.results import ErrorKind, WrongPrediction
from finetune.tasks.text_classification import Prediction as Labelled

RUN = "runs/config"


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def written(name: str) -> list[dict[str, Any]]:
    return lines(f"{RUN}/errors-{name}.jsonl")


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_is_trained_on(
    task: str, project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every task: mistakes of the test data and training rows, each with its columns, in a training of both files."""
    finished(task)
    project.config(task)
    assert main(["errors", RUN, "--count", "2"]) == 0
    shown = capsys.readouterr().out
    assert "written: runs/config/errors-test.jsonl" in shown.replace("\\", "/")
    assert "Training rows with the highest loss" in shown
    rows = written("train")
    assert {file for row in rows if (file := row["place"].rpartition(":")[0])} == {FILES[task][0]}
    assert all(isinstance(row["loss"], float) for row in rows)
    assert ("prediction" in rows[0]) == (task not in WRITING)
    files = [FILES[task][0], f"{RUN}/errors-train.jsonl", f"{RUN}/errors-test.jsonl"]
    original, *both = ([*_examples(project, task, [file])] for file in files)
    assert both[0]
    assert all(example in original for example in both[0]) or task == "ranking"  # whose lists are put together
    config = load_config(project.config(task, data={"train": files}, train={"device": "cpu"}))
    if task == "ranking":
        assert sum(len(example.documents) for example in build(config).train.examples) > 9
    else:
        assert len(build(config).train.examples) == sum(map(len, (original, *both)))


def _examples(project: Project, task: str, files: list[str]) -> list[Any]:
    config = load_config(project.config(task))
    fresh = new_task(config)
    examples = fresh.parse([*stream_chosen(config.data, fresh, files)])
    return [_without_place(example) for example in examples]


def _without_place(example: Any) -> Any:
    """Dialogues know their place."""
    return example.messages if hasattr(example, "messages") else example


def test_a_corrected_label_is_the_one_that_is_trained_on(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    assert main(["errors", RUN, "--split", "train", "--count", "1"]) == 0
    (row,) = written("train")
    row["label"] = {"good": "bad", "bad": "good"}[row["label"]]
    project.write("corrected.jsonl", json.dumps(row) + "\n")
    (example,) = _examples(project, "text-classification", ["corrected.jsonl"])
    assert (example.text, example.label) == (row["text"], row["label"])


# -------------------------------------------------------------------------------- the rows in the columns of their file


TABLE = "text;mood;id\na fine day;good;7\na grim day;bad;8\n"
WORDS = "Sentence #,Word,Tag\n1,Ada,B-PER\n,lives,O\n2,Turin,B-LOC\n2,sleeps,O\n"
CONLL = "Ada NNP x B-PER\nlives VBZ x O\n\nTurin NNP x B-LOC\n"
SHARE_GPT = [{"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Good day"}]}] * 2
DOCCANO = [{"id": 1, "text": "Ada lives", "label": [[0, 3, "PER"]], "Comments": []}]
ENTITIES = [{"text": "Ada lives in Turin", "entities": [{"start": 0, "end": 3, "label": "PER"}]}]
TAGGED = [{"text": "invoice", "labels": ["billing", "login"]}, {"text": "hello", "labels": []}]
POSITIONS, NAMES = {"text": 2, "label": 1}, {"tokens": "Word", "tags": "Tag"}
ONE_HOT = "text,toxic,spam\nyou fool,1,0\nbuy now,0,1\n"


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
@pytest.mark.parametrize(
    ("task", "name", "content", "data"),
    [
        ("text-classification", "a.csv", TABLE, {"columns": {"label": "mood"}}),
        ("text-classification", "a.csv", TABLE, {"columns": {"label": 1, "text": 0}}),
        ("text-classification", "a.csv", "review,stars\nfine,5\ngrim,1\n", {}),
        ("text-classification", "a.csv", "a fine day,good\na grim day,bad\n", {"header": False}),
        ("text-classification", "a.csv", "7,good,fine\n8,bad,grim\n", {"header": False, "columns": POSITIONS}),
        ("text-classification", "a.csv", "text,label\nfine,1\ngrim,0\n", {"labels": {0: "bad", 1: "good"}}),
        ("text-classification", "a.csv", TABLE, {"columns": {"label": "mood"}, "template": "{text} ({id})"}),
        ("multi-label-classification", "a.csv", ONE_HOT, {"columns": {"labels": ["toxic", "spam"]}}),
        ("multi-label-classification", "a.jsonl", TAGGED, {}),
        ("token-classification", "a.csv", WORDS, {"columns": {**NAMES, "sentence": "Sentence #"}}),
        ("token-classification", "a.csv", WORDS.replace("Sentence #", "sentence_id"), {}),
        ("token-classification", "a.conll", CONLL, {}),
        ("token-classification", "a.conll", CONLL, {"columns": {"tokens": 0, "tags": 1}}),
        ("token-classification", "a.jsonl", ENTITIES, {}),
        ("token-classification", "a.jsonl", DOCCANO, {}),
        ("chat", "a.jsonl", SHARE_GPT, {}),
        ("ranking", "a.tsv", "query\tdocument\tlabel\nq\ta\t1\nr\tb\t0\nq\tc\t0\n", {}),
        ("translation", "a.{en,de}", "", {}),
        ("text-generation", "a.txt", "Once upon a time.\n", {}),
        ("text-generation", "a.jsonl", [{"instruction": "Add", "input": "1, 2", "output": "3"}], {}),
    ],
)  # fmt: skip
def test_a_row_is_read_again_as_the_same_example(
    task: str, name: str, content: Any, data: dict[str, Any], project: Project
) -> None:
    """Whatever the format of the file and the columns of the config; the columns that are added are not read."""
    text = content if isinstance(content, str) else "".join(f"{json.dumps(one)}\n" for one in content)
    if text:
        project.write(name, text)
    for side, sentence in (("en", "a day\n\nnight\n"), ("de", "ein Tag\n\nNacht\n")):
        project.write(f"a.{side}", sentence)
    config = load_config(project.config(task, data={"train": name, "validation": None, "test": None, **data}))
    columns = columns_of(new_task(config), config.data)
    rows = [*stream_chosen(config.data, new_task(config), config.data.train)]
    said: list[Said] = [{"prediction": "good", "probability": 0.5} for _ in rows]
    Path("again.jsonl").write_bytes(correctable(columns, rows, said))
    again = [*stream_chosen(config.data, new_task(config), ["again.jsonl"])]
    parsed = [[_without_place(one) for one in new_task(config).parse(some)] for some in (rows, again)]
    assert parsed[0] == parsed[1]
    assert [row.original["place"] for row in again] == [row.place for row in rows]


def test_a_column_of_the_file_keeps_its_name(project: Project) -> None:
    project.write("a.jsonl", '{"text": "fine", "label": "good", "prediction": "mine"}\n')
    config = load_config(project.config("text-classification", data={"train": "a.jsonl"}))
    rows = [*stream_chosen(config.data, new_task(config), ["a.jsonl"])]
    with pytest.warns(Notice, match="has a column 'prediction'"):
        content = correctable(columns_of(new_task(config), config.data), rows, [{"prediction": "bad"}])
    (line,) = content.decode().splitlines()
    assert json.loads(line) == {
        "text": "fine", "label": "good", "prediction": "mine", "place": "a.jsonl:1", "prediction_2": "bad",
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------- kinds and samples


def test_kinds_of_errors_are_counted_with_examples(project: Project) -> None:
    task = new_task(load_config(project.config("token-classification")))
    rows = [Row(f"a.conll:{line}", {}, {}) for line in (1, 5, 9)]
    missed, wrong = ErrorKind("missed", "PER"), ErrorKind("type", "PER → LOC")
    errors = [WrongPrediction(row, text, "", "", 0.9 - row / 10, kinds) for row, (text, kinds) in enumerate(
        [("Ada", (missed, missed)), ("Turin  and Ada", (missed, wrong)), ("Acme", (missed,))])]  # fmt: skip
    by_kind, pairs = kinds_of_errors(task, rows, errors, 10)
    assert by_kind.rows == [["missed", 4, 0.8], ["type", 1, 0.2]]
    assert pairs.rows == [
        ["missed", "PER", 4, "a.conll:1: Ada; a.conll:5: Turin and Ada"],
        ["type", "PER → LOC", 1, "a.conll:5: Turin and Ada"],
    ]
    assert kinds_of_errors(task, rows, errors, 1)[1].rows == pairs.rows[:1]


def test_confusions_need_no_kind(project: Project) -> None:
    task = new_task(load_config(project.config("text-classification")))
    errors = [WrongPrediction(0, "a", "x", "y", 0.9, (ErrorKind("confusion", "x → y"),))]
    (pairs,) = kinds_of_errors(task, [Row("a.csv:2", {}, {})], errors, 10)
    assert (pairs.columns, pairs.rows) == (["true → predicted", "count", "for example"], [["x → y", 1, "a.csv:2: a"]])


def test_of_a_large_file_a_sample_is_looked_at_in_its_order(project: Project) -> None:
    config = load_config(project.config("text-classification"))
    task: Any = SimpleNamespace(task=new_task(config))
    rows = [Row(f"a:{number}", {"text": "a", "label": "b"}, {}) for number in range(100)]
    seen = [sampled(task, iter(rows), 10, seed) for seed in range(400)]
    numbers = [[int(row.place[2:]) for row in one.rows] for one in seen]
    pairs = zip(seen, numbers, strict=True)
    assert all(len(one.examples) == len({*some}) == 10 and some == sorted(some) for one, some in pairs)
    assert {one.total for one in seen} == {100}
    counts = Counter(number for some in numbers for number in some)  # each 40 times, give or take 6 (binomial)
    assert {*counts} == {*range(100)}
    assert min(counts.values()) > 15
    assert max(counts.values()) < 65
    assert sampled(task, iter(rows), 100).rows == rows
    assert sampled(task, iter(rows), 10, 3) == sampled(task, iter(rows), 10, 3)


def test_of_a_ranking_whole_queries_are_sampled(project: Project) -> None:
    config = load_config(project.config("ranking"))
    task: Any = SimpleNamespace(task=new_task(config))
    rows = [*stream_chosen(config.data, task.task, ["lists.jsonl"])]  # 3, 2 and 4 documents
    for seed in range(9):
        one = sampled(task, rows, 5, seed)
        assert one.total == 9
        assert sum(len(example.documents) for example in one.examples) in (2, 3, 4, 5)
        assert all(rows[row].values["document"] == document for example in one.examples
                   for row, document in zip(example.rows, example.documents, strict=True))  # fmt: skip


def test_a_sample_is_said(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    assert main(["errors", RUN, "--split", "train", "--sample", "4"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Of 10 rows, a random sample of 4: --sample takes more." in shown
    assert len(written("train")) == 4


# --------------------------------------------------------------------------------------------------------------- slices


def scored(project: Project, task: str, rows: list[dict[str, Any]], right: list[bool], **data: Any) -> Scored:
    """A model that predicts `right` of the texts rightly; for text classification with labels x and y."""
    config = load_config(project.config(task, data={"slices": [], **data}))
    fresh: Any = new_task(config)
    places = [Row(f"a.csv:{number}", row, row) for number, row in enumerate(rows, start=2)]
    examples = fresh.parse(places)
    fresh.labels = ["x", "y"]
    other = {"x": "y", "y": "x"}
    predictions = [
        Labelled(one.label if is_right else other[one.label], [0.5, 0.5])
        for one, is_right in zip(examples, right, strict=True)
    ]
    return Scored(fresh, places, examples, predictions, config.data.slices)


def test_slices_are_listed_from_the_worst(project: Project) -> None:
    rows = [{"text": "a" * (number + 1), "label": "x", "domain": "abc"[number % 3]} for number in range(12)]
    right = [number % 3 != 1 and number != 0 for number in range(12)]  # of b none, of a all but the shortest
    (table,) = by_metric(scored(project, "text-classification", rows, right, slices=["domain", "length"]), 5)
    assert table.columns == ["slice", "examples", "accuracy", "95 % from", "to"]
    assert [line[:3] for line in table.rows] == [
        ["all", 12, pytest.approx(7 / 12)],
        ["domain: b", 4, 0.0],
        ["length: 1 to 3 characters", 3, pytest.approx(1 / 3)],
        ["length: 4 to 6 characters", 3, pytest.approx(2 / 3)],
        ["length: 7 to 9 characters", 3, pytest.approx(2 / 3)],
        ["length: 10 to 12 characters", 3, pytest.approx(2 / 3)],
        ["domain: a", 4, 0.75],
        ["domain: c", 4, 1.0],
    ]
    contributions = np.array([[float(one), 1.0] for one in right])
    low, high = bootstrap(contributions, lambda sums: sums[..., 0] / sums[..., 1])
    assert table.rows[0][3:] == [low, high]
    assert table.rows[1][3:] == ["", ""]  # all are wrong: resamples cannot tell how far that may be off


def test_of_a_column_with_many_values_the_most_frequent_ones_are_slices(project: Project) -> None:
    names = [*"aabbccddeeffgghh", "i", "j", "", "nan"]
    rows = [{"text": "t", "label": "x", "domain": name} for name in names]
    (table,) = by_metric(scored(project, "text-classification", rows, [True] * len(rows), slices=["domain"]), 5)
    assert [line[:2] for line in table.rows] == [
        ["all", 20],
        *([f"domain: {name}", 2] for name in "abcdefgh"),
        ["domain: 3 other values", 4],
    ]


def test_a_metric_that_no_sums_give_has_no_slices(project: Project) -> None:
    """As that of a task of one's own, which inherits the sums of another one."""
    found = scored(project, "text-classification", [{"text": "ab", "label": one} for one in "xxy"], [True, True, False],
                   slices=["length"])  # fmt: skip
    own: Any = type("Own", (type(found.task),), {"main_metric": "f1_macro"})
    found.task.__class__ = own
    with pytest.warns(Notice, match="f1_macro is no function of sums over examples"):
        assert by_metric(found, 5) == []


def test_equal_lengths_are_one_slice(project: Project) -> None:
    (table,) = by_metric(scored(project, "text-classification", [{"text": "ab", "label": "x"}] * 3, [True] * 3,
                                slices=["length"]), 5)  # fmt: skip
    assert [line[:2] for line in table.rows] == [["all", 3], ["length: 2 characters", 3]]


def test_the_worst_queries_of_a_ranking_are_shown(project: Project) -> None:
    config = load_config(project.config("ranking", data={"slices": ["length"]}))
    task = new_task(config)
    rows = [*stream_chosen(config.data, task, ["lists.jsonl"])]
    examples = task.parse(rows)
    scores = [[1.0, 3.0, 2.0], [0.0, 1.0], [2.0, 1.0, 0.0, 3.0]]
    slices, worst = by_metric(Scored(task, rows, examples, scores, ("length",)), 2)
    assert slices.rows[0][0] == "all"
    assert [line[:2] for line in worst.rows] == [
        ["lists.jsonl:4", "tea"], ["lists.jsonl:1", "quiet room by the sea"],
    ]  # fmt: skip
    assert worst.rows[0][2] == pytest.approx(1 / math.log2(3))


@pytest.mark.parametrize("task", TASKS)
def test_slices_of_every_task_are_in_its_evaluation(
    task: str, project: Project, finished: Callable[[str], None]
) -> None:
    """With the main metric of the whole split in the first line; the words of all tables have their Chinese."""
    finished(task)
    edit(data={"slices": ["length"]})
    assert main(["evaluate", RUN, "--split", "test"]) == 0
    evaluation = json.loads(Path(RUN, "evaluation-test.json").read_text())
    (table,) = [table for table in evaluation["tables"] if table["title"] == "Slices"]
    whole, *parts = table["rows"]
    assert whole[2] == pytest.approx(evaluation["metrics"][evaluation["headline"]])
    assert sum(part[1] for part in parts) == whole[1] == evaluation["examples"]
    assert whole[3:] == (evaluation["interval"] or ["", ""])
    if is_there("report"):
        require_chinese(evaluation)


def require_chinese(evaluation: dict[str, Any]) -> None:
    """The page translates titles, columns and kinds of errors, not the names of metrics."""
    from finetune.report.words import CHINESE

    tables = evaluation["tables"]
    words = {word for table in tables for word in (table["title"], *table["columns"])}
    words |= {row[0] for table in tables if table["columns"][0] == "kind" for row in table["rows"]}
    words |= {table["note"] for table in tables if table["title"] == "Errors by kind" and table["note"]}
    assert words - CHINESE.keys() - {*evaluation["metrics"], "f1", "1 - chrF", "1 - ROUGE-L"} == set()


def test_a_column_of_slices_that_is_not_there_is_refused(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    edit(data={"slices": ["mood"]})
    sentence = "validation.jsonl:1: no column 'mood', which data.slices names (found: text, label): name a column"
    assert sentence in refused("errors", RUN)
    assert sentence in refused("evaluate", RUN)


# ---------------------------------------------------------------------------------------------------- what is asked for


def test_without_test_data_the_validation_data_are_taken(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    edit(data={"test": None})
    assert main(["errors", RUN]) == 0
    assert {path.name for path in Path(RUN).glob("errors-*")} == {"errors-validation.jsonl", "errors-train.jsonl"}
    edit(data={"validation": None})
    assert main(["errors", RUN, "--output", "mine.jsonl"]) == 0  # one split is left
    assert len(lines("mine.jsonl")) == 10


def test_another_file_is_looked_at_whatever_the_config_chooses(
    project: Project, finished: Callable[[str], None]
) -> None:
    finished("text-classification")
    edit(data={"where": {"text": "fine"}})
    project.write("other.jsonl", '{"text": "a grim day", "label": "good"}\n{"text": "a grim day", "label": "bad"}\n')
    assert main(["errors", RUN, "--data", "other.jsonl"]) == 0
    assert len(written("data")) == 1


def edit(**sections: dict[str, Any]) -> None:
    """Change sections of the config of the run."""
    path = Path(RUN, "config.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **{name: content[name] | new for name, new in sections.items()}}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split", "other"], "config.json: data.other is not set: name a file with --data, or take --split test"),
        (["--split", "../x", "--data", "train.jsonl"], "'errors-../x.jsonl' is no plain name"),
        (["--output", "a.jsonl"], "--output a.jsonl: takes the rows of one split: name it with --split"),
        (["--split", "test", "--output", "a.csv"], "a.csv: the rows are written as .jsonl: let its name end in .jsonl"),
        (["--split", "train", "--output", "train.jsonl"], "train.jsonl: is an input itself: choose another --output"),
        (["--split", "test", "--output", "train.jsonl/a.jsonl"], "cannot be written"),
        (["--data", "absent.jsonl"], "absent.jsonl: there is no such file"),
        (["--data", "train.jsonl", "--split", "a", "--split", "b"], "leave out the others"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    options: list[str], said: str, project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    before = Path("train.jsonl").read_bytes()
    assert said in refused("errors", RUN, *options)
    assert Path("train.jsonl").read_bytes() == before


@pytest.mark.parametrize("option", ["--count", "--sample"])
def test_no_rows_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors", RUN, option, "0"]) == 2
    assert f"Invalid value for '{option}': 0 is not in the range x>=1" in capsys.readouterr().err


def test_a_run_without_a_model_is_refused(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    shutil.rmtree(Path(RUN, "best"))
    assert "best: there is no finetuned model yet: let the training reach its first validation" in refused(
        "errors", RUN
    )


def test_a_run_does_not_name_files_outside_of_the_project(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str], tmp_path_factory: Any
) -> None:
    finished("text-classification")
    secret = tmp_path_factory.mktemp("outside") / "secret.jsonl"
    secret.write_text('{"text": "topsecret", "label": "good"}\n')
    edit(data={"train": str(secret)})
    assert "lies outside of the current folder" in refused("errors", RUN)
    assert not any(b"topsecret" in path.read_bytes() for path in Path(RUN).glob("errors-*"))


def test_the_report_has_the_errors(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    assert main(["evaluate", RUN, "--split", "test"]) == 0
    tables = {table["title"]: table for table in json.loads(Path(RUN, "evaluation-test.json").read_text())["tables"]}
    mistakes = tables["Most confident mistakes"]
    assert mistakes["note"] == "To see more, run: python -m finetune errors runs/config --split test"
    assert mistakes["rows"][0][0].startswith("validation.jsonl:")
    if is_there("report"):
        assert "Most confident mistakes" in Path(RUN, "report/index.html").read_text(encoding="utf-8")
