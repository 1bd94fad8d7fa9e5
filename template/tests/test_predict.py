"""Prediction: what is to be predicted is not read, and the output keeps the cells of the input."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FILES, TASKS, Project, messages
from pyarrow import Table
from pyarrow.parquet import read_table, write_table

from finetune import inference
from finetune.cli import main
from finetune.data.rows import Row
from finetune.files import write_manifest
from finetune.predict import Predictor
from finetune.run.folder import RunFolder

TARGETS = {
    "text-classification": "label",
    "multi-label-classification": "labels",
    "regression": "label",
    "token-classification": "tags",
    "ranking": "label",
    "text-generation": "completion",
    "translation": "target",
    "summarization": "target",
}
INPUTS: dict[str, dict[str, Any]] = {
    "text-classification": {"text": "a fine day"},
    "multi-label-classification": {"text": "a fine day"},
    "regression": {"text": "a fine day"},
    "token-classification": {"tokens": ["Ada", "lives", "here"]},
    "ranking": {"query": "tea", "document": "green tea"},
    "text-generation": {"prompt": "mug"},
    "translation": {"source": "thank you"},
    "summarization": {"source": "thank you"},
}
UNREADABLE = [-1, "", "?", "never seen", None, ["O"], {"a": {"b": 1}}, 2.5, True, "nan"]
"""What stands where a label is not known."""


def predicted(rows: list[dict[str, Any]], name: str = "unlabelled.jsonl") -> list[dict[str, Any]]:
    """The rows that `predict` writes for these."""
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["predict", "runs/config", name]) == 0
    return [json.loads(line) for line in Path("runs/config/predictions", name).read_text().splitlines()]


def rounded(value: Any) -> Any:
    """Equal rows may differ in the last digits, for they have other places in their batch."""
    return json.loads(json.dumps(value), parse_float=lambda digits: round(float(digits), 4))


@pytest.mark.parametrize("task", TARGETS)
def test_what_is_to_be_predicted_is_not_read(task: str, finished: Callable[[str], None]) -> None:
    finished(task)
    rows = [INPUTS[task] | {"id": n, TARGETS[task]: value} for n, value in enumerate(UNREADABLE)] + [INPUTS[task]]
    results = predicted(rows)
    added = results[-1].keys() - rows[-1].keys()
    assert added
    for row, result in zip(rows, results, strict=True):
        assert {name: value for name, value in result.items() if name not in added} == row
    if task != "ranking":  # where the rows of a query have a rank each
        assert len({json.dumps([rounded(result[name]) for name in sorted(added)]) for result in results}) == 1


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".parquet"])
def test_every_format_keeps_the_cells_of_the_target(ending: str, finished: Callable[[str], None]) -> None:
    finished("regression")
    path, rows = Path(f"unlabelled{ending}"), [{"text": "so so", "label": "?"}, {"text": "good", "label": ""}]
    match ending:
        case ".json":
            path.write_text(json.dumps(rows))
        case ".parquet":
            write_table(Table.from_pylist(rows), path)
        case _:
            separator = {".csv": ",", ".tsv": "\t"}[ending]
            path.write_text(
                "".join(f"{separator.join(row)}\n" for row in [["text", "label"], *(r.values() for r in rows)])
            )
    assert main(["predict", "runs/config", str(path)]) == 0
    written = Path("runs/config/predictions", path.name)
    match ending:
        case ".json":
            results = json.loads(written.read_text())
        case ".parquet":
            results = read_table(written).to_pylist()
        case _:
            results = list(csv.DictReader(written.read_text().splitlines(), delimiter=separator))
    assert [{name: result[name] for name in row} for row, result in zip(rows, results, strict=True)] == rows
    assert all(float(result["prediction"]) for result in results)


def test_conll_without_tags_or_with_other_ones(finished: Callable[[str], None]) -> None:
    finished("token-classification")
    for text in ("Ada\nran\n", "Ada NOUN\nran VERB\n", "Ada _\nran B-NEW\n"):
        Path("x.conll").write_text(text)
        assert main(["predict", "runs/config", "x.conll"]) == 0
        written = Path("runs/config/predictions/x.conll").read_text().splitlines()
        assert [line.rsplit(" ", 2)[0] for line in written] == text.splitlines()


def test_columns_by_position_leave_room_for_the_label(project: Project) -> None:
    project.write("x.tsv", "a fine day\tgood\na grim day\tbad\n")
    project.write("pairs.tsv", "one\tone\tsame\none\ttwo\tother\n")
    for name, labelled, texts in (("x", "a fine day\t-1\n", "a fine day\n"), ("pairs", "one\ttwo\t-1\n", "one\ttwo\n")):
        data = {"train": f"{name}.tsv", "validation": None, "test": None, "header": False}
        project.train(project.config("text-classification", name=name, data=data, train={"max_steps": 1}))
        results = []
        for text in (labelled, texts):
            project.write("rows.tsv", text)
            assert main(["predict", f"runs/{name}", "rows.tsv"]) == 0
            lines = Path(f"runs/{name}/predictions/rows.tsv").read_text().splitlines()
            assert lines[0].startswith(text.strip())
            results.append(lines[0].removeprefix(text.strip()))
        assert results[0] == results[1]


def test_a_text_without_a_prompt_is_continued(finished: Callable[[str], None]) -> None:
    finished("text-generation")
    first, second = predicted([{"text": "mug"}, {"prompt": "mug", "text": "chair", "completion": 3}])
    assert first["prediction"] == second["prediction"]


@pytest.mark.parametrize("beginning", [[], messages("Hello", "Hello , how can I help ?")])
def test_the_reply_to_predict_is_the_last_or_the_next(
    beginning: list[dict[str, str]], finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished("chat")
    prompts: list[str] = []

    def generate(model: Any, tokenizer: Any, given: list[list[int]], *arguments: Any, **options: Any) -> list[str]:
        prompts.extend(tokenizer.decode(prompt) for prompt in given)
        return ["generated"] * len(given)

    monkeypatch.setattr(inference, "generate", generate)
    question, reply = [*beginning, *messages("When ?")], {"role": "assistant", "content": "At nine ."}
    unread: list[Any] = [{"role": "assistant", "content": None, "tool_calls": [{"x": 1}]}, {"role": "assistant"}]
    dialogues = [question, [*question, reply], [*question, *unread], [*question, reply, reply]]
    results = predicted([{"messages": dialogue} for dialogue in dialogues])
    assert [row["prediction"] for row in results] == ["generated"] * 4
    assert len(set(prompts)) == 1
    assert prompts[0].endswith("User: When ?Assistant:"), "the tokenizer knows no line breaks"
    prompts.clear()
    predicted([{"messages": [reply]}])
    assert prompts == ["Assistant:"], "the assistant may begin"


def test_ranking_of_a_query_with_some_labels(finished: Callable[[str], None]) -> None:
    finished("ranking")
    documents = [("green tea", 2), ("coffee", None), ("black tea", "x")]
    rows = predicted([{"query": "tea", "document": text, "label": label} for text, label in documents])
    assert sorted(row["rank"] for row in rows) == [1, 2, 3]


@pytest.mark.parametrize("task", TASKS)
def test_an_input_that_is_missing_is_one_sentence(
    task: str, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(task)
    Path("x.jsonl").write_text('{"id": 1, "label": "good", "tags": ["O"]}\n')
    sentence = refused("predict", "runs/config", "x.jsonl")
    assert sentence.startswith("x.jsonl:1: no value in column '")
    assert "(found: id, label, tags)" in sentence
    assert not Path("runs/config/predictions").exists()


def pairs(project: Project, **data: Any) -> None:
    """A run on pairs of texts."""
    rows = [{"first": a, "second": b, "label": a == b} for a in ("one", "two") for b in ("one", "two")]
    project.write("pairs.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = {"train": "pairs.jsonl", "validation": "pairs.jsonl", "test": None}
    columns = {"text": "first", "text_pair": "second"}
    project.train(
        project.config("text-classification", data={**files, "columns": columns, **data}, train={"max_steps": 1})
    )


def test_a_pair_that_the_model_was_trained_with_must_be_there(project: Project, refused: Callable[..., str]) -> None:
    pairs(project)
    project.write("x.csv", "first,label\none,True\n")
    for command in (["predict", "runs/config", "x.csv"], ["evaluate", "runs/config", "--data", "x.csv"]):
        sentence = refused(*command)
        assert "no column 'second', with which the model was trained (found: first, label)" in sentence
    assert len(predicted([{"first": "one", "second": "two"}, {"first": "one", "second": None}])) == 2
    assert "give the text_pair with --text-pair" in refused("predict", "runs/config", "--text", "one")
    assert main(["predict", "runs/config", "--text", "one", "--text-pair", "two"]) == 0


def test_a_pair_that_the_model_was_trained_without_is_refused(
    finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    Path("x.jsonl").write_text('{"text": "a"}\n{"text": "a", "text_pair": "b"}\n')
    sentence = refused("predict", "runs/config", "x.jsonl")
    assert sentence.startswith("x.jsonl:2: column 'text_pair' has a value, but the model was trained without")
    assert "reads single texts" in refused("predict", "runs/config", "--text", "one", "--text-pair", "two")
    finished("chat")
    assert "reads single texts" in refused("predict", "runs/config", "--text", "one", "--text-pair", "two")


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_an_optional_column_that_is_named_must_exist(
    ending: str, project: Project, refused: Callable[..., str]
) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "label": "x"}, {"sentence1": "a", "sentence2": "c", "label": "y"}]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    project.write("x.jsonl", text)
    project.write("x.csv", "sentence1,sentence2,label\na,b,x\na,c,y\n")
    path = project.config("text-classification", data={"train": f"x{ending}", "validation": None, "test": None})
    for column, columns in (
        ("sentence_2", "{text: sentence1, text_pair: sentence_2}"),
        ("sentence_1", "{text: sentence_1, text_pair: sentence2}"),
        ("7", "{text: sentence1, text_pair: 7}"),
    ):
        sentence = refused("train", path, f"data.columns={columns}")
        assert f"column '{column}'" in sentence
        assert "(found: sentence1, sentence2, label)" in sentence
    assert not Path("runs").exists() or not list(Path("runs").glob("*/config.json"))


def test_models_of_earlier_versions_do_not_say_whether_they_read_pairs(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    file = Path("runs/config/best/finetune.json")
    description = json.loads(file.read_text())
    del description["state"]["paired"]
    file.write_text(json.dumps(description))
    write_manifest(file.parent)
    predicted([{"text": "a", "text_pair": "b"}, {"text": "a"}])


@pytest.mark.parametrize("task", TASKS)
def test_labelled_files_are_predicted_as_before(task: str, finished: Callable[[str], None]) -> None:
    """Whether the target is there changes no prediction."""
    finished(task)
    predictor = Predictor(RunFolder(Path("runs/config")))
    rows, records = predictor.predict_file(Path(FILES[task][1]))
    bare = [
        Row(row.place, {n: v for n, v in row.values.items() if n != TARGETS.get(task)}, row.original) for row in rows
    ]
    assert predictor.predict(bare) == records
