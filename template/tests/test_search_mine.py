"""`finetune mine`: which documents become hard negatives, and that what is written is trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project

from finetune.cli import main
from finetune.search.index import text_key
from finetune.search.mining import Request, mined
from finetune.tasks.retrieval import Example

RUN = "runs/config"
COSINES = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5, "f": 0.4}
"""Of the documents and the query."""


class Near:
    """An index and an encoder in one: each document has its cosine to every query."""

    def __init__(self) -> None:
        self.texts = [*COSINES]
        self.vectors = torch.tensor([on_circle(value) for value in COSINES.values()])

    def numbers(self) -> dict[bytes, int]:
        return {text_key(text): number for number, text in enumerate(self.texts)}

    def document(self, number: int) -> Any:
        return SimpleNamespace(text=self.texts[number])

    def search(self, vectors: Any, top: int) -> Any:
        scores = vectors @ self.vectors.numpy().T
        order = np.argsort(-scores, axis=1)[:, :top]
        return np.take_along_axis(scores, order, 1), order

    def embed(self, texts: Any, role: str) -> Any:
        return np.array([on_circle(1.0 if role == "query" else 0.65) for _ in texts], np.float32)


def on_circle(cosine: float) -> list[float]:
    return [cosine, (1 - cosine**2) ** 0.5]


def negatives(examples: list[Example], **changes: Any) -> list[list[str]]:
    near: Any = Near()
    return mined(examples, near, near, replace(Request(count=9, first=1, last=9), **changes))


ONE = [Example("q", "c")]


def test_all_but_the_answer_by_rank() -> None:
    assert negatives(ONE) == [["a", "b", "d", "e", "f"]]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(1, 1, ["a"]), (2, 4, ["b", "d", "e"]), (3, 99, ["d", "e", "f"]), (6, 9, [])],
)
def test_ranks_are_those_without_the_answers(first: int, last: int, found: list[str]) -> None:
    assert negatives(ONE, first=first, last=last) == [found]


def test_the_nearest_are_taken() -> None:
    assert negatives(ONE, count=2) == [["a", "b"]]


def test_answers_of_equal_queries_are_no_negatives() -> None:
    examples = [Example("q", "c"), Example("other", "e"), Example("q", "a")]
    assert negatives(examples) == [["b", "d", "e", "f"], ["a", "b", "c", "d", "f"], ["b", "d", "e", "f"]]
    assert negatives(examples, first=4, last=4) == [["f"], ["d"], ["f"]]


def test_known_negatives_are_not_found_again() -> None:
    assert negatives([Example("q", "c", ("a",))]) == [["b", "d", "e", "f"]]


def test_a_margin_leaves_out_what_is_near_the_answer() -> None:
    """The answer has 0.7."""
    assert negatives(ONE, margin=0.0) == [["d", "e", "f"]]
    assert negatives(ONE, margin=0.15) == [["e", "f"]]
    assert negatives(ONE, relative_margin=0.2) == [["e", "f"]]  # at most 0.56
    assert negatives(ONE, margin=0.05, relative_margin=0.4) == [["f"]]  # at most 0.42


def test_an_answer_that_is_in_no_corpus_has_a_similarity() -> None:
    assert negatives([Example("q", "elsewhere")], margin=0.0) == [["d", "e", "f"]]  # of 0.65


@pytest.fixture
def questions(project: Project, finished: Callable[[str], None]) -> list[dict[str, Any]]:
    """A run, and rows to mine for, with a column that training does not read."""
    finished("retrieval")
    rows: list[dict[str, Any]] = [
        {"query": f"question {i // 2}", "document": f"answer {i} of the shop", "id": i} for i in range(12)
    ]
    rows[0]["negatives"] = ["not this"]
    project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    return rows


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_rows_get_their_negatives(questions: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", RUN, "rows.jsonl", "--first", "2", "--count", "3"]) == 0
    said = capsys.readouterr().out
    assert "36 negatives for 12 rows" in said
    assert "fewer" not in said
    written = lines(f"{RUN}/mined/rows.jsonl")
    assert [{**row, "negatives": None} for row in written] == [{**row, "negatives": None} for row in questions]
    assert written[0]["negatives"][0] == "not this"
    assert [len(row["negatives"]) for row in written] == [4, *[3] * 11]
    for row in written:
        answers = {one["document"] for one in questions if one["query"] == row["query"]}
        assert not answers & {*row["negatives"]}
        assert len({*row["negatives"]}) == len(row["negatives"])
    before = Path(f"{RUN}/mined/rows.jsonl").read_bytes()
    assert main(["mine", RUN, "rows.jsonl", "--first", "2", "--count", "3", "--output", "again.jsonl"]) == 0
    assert Path("again.jsonl").read_bytes() == before


def test_what_is_written_is_trained_on(project: Project, questions: list[dict[str, Any]]) -> None:
    assert main(["mine", RUN, "rows.jsonl", "--first", "1", "--output", "a.jsonl"]) == 0
    project.train(project.config("retrieval", data={"train": "a.jsonl"}, train={"max_steps": 1}), "run.name=a")
    assert main(["mine", RUN, "rows.jsonl", "--first", "1", "--as", "ranking", "--output", "b.jsonl"]) == 0
    project.train(project.config("ranking", data={"train": "b.jsonl"}, train={"max_steps": 1}), "run.name=b")
    pairs = [(row["query"], row["document"]) for row in lines("b.jsonl")]
    assert len({*pairs}) == len(pairs)
    labels = {(row["query"], row["document"]): row["label"] for row in lines("b.jsonl")}
    assert all(labels[row["query"], row["document"]] == 1 for row in questions)
    assert labels["question 0", "not this"] == 0
    assert sum(labels.values()) == 12
    first = {row["query"]: row["label"] for row in reversed(lines("b.jsonl"))}
    assert {*first.values()} == {0, 1}, "the order of the file does not tell which document answers"


def test_too_few_are_told(questions: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", RUN, "rows.jsonl", "--first", "9", "--last", "10"]) == 0
    assert "12 rows have fewer than 4" in capsys.readouterr().out
    assert main(["mine", RUN, "rows.jsonl"]) == 0
    assert "of them none" not in capsys.readouterr().out  # rank 10 is the last of the 12 documents but two


def test_another_corpus(project: Project, questions: list[dict[str, Any]]) -> None:
    project.write("more.csv", "text\nsomething else\nand this\n")
    assert main(["mine", RUN, "rows.jsonl", "--corpus", "more.csv", "--first", "1", "--margin", "0"]) == 0
    found = {text for row in lines(f"{RUN}/mined/rows.jsonl") for text in row["negatives"]}
    assert found <= {"something else", "and this", "not this"}


@pytest.mark.usefixtures("questions")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--first", "9", "--last", "8"], "--last 8: is before --first 9: name a higher rank"),
        (["--output", "x.csv"], "x.csv: the rows are written as .jsonl"),
        (["--output", "rows.jsonl"], "rows.jsonl: is the input itself"),
        (["--corpus", "missing.csv"], "missing.csv: there is no such file"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], sentence: str, refused: Callable[..., str]) -> None:
    assert sentence in refused("mine", RUN, "rows.jsonl", *arguments)
