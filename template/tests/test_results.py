"""What a task returns for files, reports and `check-data`: names that programs rely on, and what an example says."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FILES, METRICS, TASKS, WRITING, Project, build
from rich.console import Console

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import print_table
from finetune.tasks.generative import LONGEST_SHOWN, Generated, sample_table
from finetune.tasks.settings import TextClassification
from finetune.tasks.text_classification import TextClassificationTask

SCORES = ["precision", "recall", "f1", "support"]
SAMPLES = {"Samples": ["source", "reference", "generated"]}
TABLES = {
    "text-classification": {"Per label": ["label", *SCORES]},
    "multi-label-classification": {"Per label": ["label", *SCORES]},
    "regression": {},
    "token-classification": {"Entities": ["type", *SCORES], "Tokens, O included": ["tag", *SCORES]},
    "retrieval": {
        "Scored": ["queries", "documents of the corpus"],
        "Rank of the first relevant document": ["rank", "queries", "share"],
    },
    "ranking": {
        "Scored": ["queries with a relevant document", "their documents"],
        "Rank of the first relevant document": ["rank", "queries", "share"],
    },
    "text-generation": {"Samples": ["prompt", "reference", "generated"]},
    "chat": {"Samples": ["prompt", "reference", "generated"]},
    "translation": SAMPLES,
    "summarization": SAMPLES,
}
SUMMARIES = {
    "text-classification": (("a fine day",), "good", ("good",), None, False),
    "multi-label-classification": (("the invoice is wrong",), "billing", ("billing",), None, False),
    "regression": (("dreadful",), "1", (), 1.0, False),
    "token-classification": (
        ("Ada Byron lives in Turin .",), "Ada Byron (PER), Turin (LOC)", ("PER", "LOC"), None, False,
    ),
    "text-generation": (("scarf , red",), "A red scarf of wool .", (), None, True),
    "chat": (("When do you open ?",), "At nine .", (), None, True),
    "translation": (("good day",), "guten Tag", (), None, True),
}  # fmt: skip
"""What `check-data` knows of the first example: texts, answer, labels, number, and whether the answer is generated."""
RECORDS = {
    "text-classification": {"prediction", "probability", "probabilities"},
    "multi-label-classification": {"prediction", "probabilities"},
    "regression": {"prediction"},
    "token-classification": {"prediction", "probability"},
    "ranking": {"score", "rank"},
    "retrieval": {"embedding"},
    **{name: {"prediction"} for name in WRITING},
}
"""What `predict` adds to a row."""


@pytest.mark.parametrize("name", TASKS)
def test_names_of_metrics_and_tables(name: str, project: Project) -> None:
    setup = build(load_config(project.config(name, train={"device": "cpu"})))
    task, examples = setup.task, setup.train.examples
    predictions: list[Any] = [Generated(1.0, 2, 1, "a text")] * len(examples)
    if name not in WRITING:
        predictions = next(iter(task.baselines(examples, setup.train.features).values()))
    scores = task.score(examples, predictions)
    assert [*scores.metrics] == [*task.settings.metrics] == METRICS[name]
    assert task.settings.main_metric == METRICS[name][0]
    assert {table.title: table.columns for table in scores.tables} == TABLES[name]
    assert all(len(row) == len(table.columns) for table in scores.tables for row in table.rows)


@pytest.mark.parametrize("name", SUMMARIES)
def test_what_check_data_knows_of_an_example(name: str, project: Project) -> None:
    setup = build(load_config(project.config(name, train={"device": "cpu"})))
    found = setup.task.summary(setup.train.examples[0])
    assert (found.texts, found.answer, found.labels, found.number, found.generates) == SUMMARIES[name]


TARGETS = {"label", "labels", "tags", "completion", "target"}


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("chat", "token-classification")])
def test_rows_without_a_target_are_predicted(name: str, project: Project) -> None:
    path = project.config(name, train={"max_steps": 1})
    project.train(path)
    rows = [json.loads(line) for line in Path(FILES[name][1]).read_text().splitlines()]
    targets = TARGETS | ({"document"} if name == "retrieval" else set())
    unlabelled = [{key: value for key, value in row.items() if key not in targets} for row in rows]
    assert unlabelled != rows
    project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in unlabelled))
    assert main(["predict", "latest", "rows.jsonl", "--output", "out.jsonl"]) == 0
    predicted = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in row.keys() - RECORDS[name]} for row in predicted] == unlabelled
    assert all(row.keys() >= RECORDS[name] for row in predicted)


@pytest.mark.parametrize("name", ["text-classification", "multi-label-classification", "regression"])
def test_both_texts_of_a_pair_are_read(name: str, project: Project) -> None:
    train, validation = FILES[name]
    for file in (train, validation):
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        project.write(file, "".join(f"{json.dumps({**row, 'text_pair': 'and a partner'})}\n" for row in rows))
    setup = build(load_config(project.config(name, train={"device": "cpu"})))
    for example, feature in zip(setup.train.examples, setup.train.features, strict=True):
        expected = setup.tokenizer(example.text, "and a partner")
        assert feature.inputs["input_ids"] == expected["input_ids"]
        assert feature.inputs["token_type_ids"] == expected["token_type_ids"]


def test_a_constant_correlates_with_nothing(project: Project) -> None:
    setup = build(load_config(project.config("regression", train={"device": "cpu"})))
    metrics = setup.task.score(setup.train.examples, [2.0] * len(setup.train.examples)).metrics
    assert (metrics["pearson"], metrics["spearman"]) == (0, 0)


def test_a_long_sample_is_shortened() -> None:
    exact, long = "x" * LONGEST_SHOWN, "x" * (LONGEST_SHOWN + 1)
    [table] = sample_table(["source", "generated"], [[exact, long], ["two  words\n", ""]])
    assert table.rows == [[exact, f"{'x' * (LONGEST_SHOWN - 3)}..."], ["two words", ""]]


def test_names_of_baselines(project: Project) -> None:
    names = {
        "text-classification": ["always 'bad'"],
        "multi-label-classification": ["always billing"],
        "token-classification": ["always O", "each word's most frequent tag"],
    }
    for name, expected in names.items():
        setup = build(load_config(project.config(name, train={"device": "cpu"})))
        assert [*setup.task.baselines(setup.train.examples, setup.train.features)] == expected
    task = setup_task(project)
    task.frequent = ["billing", "login"]
    assert [*task.baselines([], [])] == ["always billing, login"]


def setup_task(project: Project) -> Any:
    return build(load_config(project.config("multi-label-classification", train={"device": "cpu"}))).task


def test_words_are_joined_by_spaces_for_a_tokenizer(project: Project) -> None:
    setup = build(load_config(project.config("token-classification", train={"device": "cpu"})))
    assert next(iter(setup.task.texts(setup.train.examples))) == "Ada Byron lives in Turin ."


@pytest.mark.parametrize("name", WRITING)
def test_training_uses_no_cache_of_keys_and_values(name: str, project: Project) -> None:
    setup = build(load_config(project.config(name, train={"device": "cpu"})))
    batch = setup.batching.make_batch(setup.train.features, [0, 1])
    inputs = setup.task.model_inputs(setup.model, batch.inputs, batch.labels)
    assert inputs["use_cache"] is False
    assert inputs["input_ids"] is batch.inputs["input_ids"]


def test_a_single_text_becomes_a_row() -> None:
    task = TextClassificationTask(TextClassification(type="text-classification"))
    assert task.row_of("a", None) == {"text": "a"}
    assert task.row_of("a", "b") == {"text": "a", "text_pair": "b"}


def test_a_small_negative_number_is_shown_without_its_sign() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(console, ["metric", "value"], [["r2", -0.00001], ["r2", -0.5]])
    shown = console.export_text()
    assert "-0.0000" not in shown
    assert "0.0000" in shown
    assert "-0.5000" in shown


def test_an_evaluation_of_a_ranking_counts_queries_and_documents(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("ranking")
    assert main(["evaluate", "runs/config", "--split", "train"]) == 0
    assert "train: 3 queries with 9 documents of lists.jsonl" in capsys.readouterr().out
    evaluation = json.loads(Path("runs/config/evaluation-train.json").read_text())
    assert (evaluation["examples"], evaluation["size"]) == (3, "3 queries with 9 documents")
    project.write("one.jsonl", json.dumps({"query": "tea", "document": "green tea", "label": 1}) + "\n")
    assert main(["evaluate", "runs/config", "--data", "one.jsonl"]) == 0
    assert "1 query with 1 document of one.jsonl" in capsys.readouterr().out
