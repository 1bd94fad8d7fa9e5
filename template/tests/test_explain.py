"""Explanations: words with offsets, targets, input that does not fit (exactness: proofs/test_explain_exactness.py)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, needs
from scipy.special import logit

from finetune.cli import main
from finetune.errors import UserError
from finetune.explain.words import merge_tokens
from finetune.tasks.entities import split_words

TEXT = "a fine day and a grim day"
ENTITIES = "Ada Byron lives in Turin ."
INPUTS = {
    "text-classification": ["--text", TEXT],
    "multi-label-classification": ["--text", "the invoice is wrong"],
    "regression": ["--text", "very good indeed"],
    "ranking": ["--text", "tea", "--text-pair", "green tea"],
    "retrieval": ["--text", "something with horses", "--text-pair", "a farm with horses"],
    "token-classification": ["--text", ENTITIES, "--word", "1"],
    "text-generation": ["--text", "lamp , small and green"],
    "chat": ["--text", "When do you open ?"],
    "translation": ["--text", "the red house"],
}


@pytest.fixture
def explained(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Any]]:
    """Train a run of the task and return what `explain --json` prints."""

    def run(task: str, *arguments: str) -> list[Any]:
        finished(task)
        capsys.readouterr()
        assert main(["explain", "runs/config", "--json", *arguments]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.mark.parametrize("task", INPUTS)
def test_each_task_is_explained_by_both_methods(task: str, explained: Callable[..., list[Any]]) -> None:
    [record] = explained(task, *INPUTS[task], "--method", "both")
    assert record["targets"]
    for target in record["targets"]:
        words = target["words"]
        assert [word["text"] for word in words] == [record["texts"][w["part"]][w["start"] : w["end"]] for w in words]
        assert {word["text"] for word in words} >= {word for word in INPUTS[task][1].split() if word.isalpha()}
        difference = target["value"] - target["baseline"]
        assert sum(word["gradients"] for word in words) - difference == pytest.approx(target["error"], abs=1e-6)
        assert abs(target["error"]) <= max(1e-3, 0.01 * abs(difference))
        assert any(word["occlusion"] for word in words)
    part = {"ranking": "query", "retrieval": "query", "translation": "source"}.get(task, "text")
    assert record["targets"][0]["words"][0]["part"] == part


def test_a_label_can_be_chosen(explained: Callable[..., list[Any]]) -> None:
    values = [explained("text-classification", "--text", TEXT, "--label", label)[0]["targets"][0] for label in
              ("good", "bad")]  # fmt: skip
    assert [value["target"] for value in values] == ["good", "bad"]
    assert values[0]["value"] == pytest.approx(-values[1]["value"], abs=1e-5)  # log-odds of two labels
    assert values[0]["value"] == pytest.approx(logit(values[0]["probability"]), abs=1e-4), "that of predict"


def test_several_texts(explained: Callable[..., list[Any]]) -> None:
    records = explained("text-classification", "--text", "a fine day", "--text", "sad")
    assert [record["texts"] for record in records] == [{"text": "a fine day"}, {"text": "sad"}]


def test_rows_of_a_file(explained: Callable[..., list[Any]]) -> None:
    records = explained("text-classification", "--input", "validation.jsonl", "--count", "3")
    assert len(records) == 3


def test_a_query_is_explained_with_its_document(
    explained: Callable[..., list[Any]], project: Project, refused: Callable[..., str]
) -> None:
    records = explained("retrieval", "--input", "answered-validation.jsonl", "--count", "2")
    rows = [json.loads(line) for line in Path("answered-validation.jsonl").read_text().splitlines()]
    assert [one["texts"] for one in records] == [
        {name: row[name] for name in ("query", "document")} for row in rows[:2]
    ]
    records = explained("retrieval", "--split", "validation", "--count", "2")[:2]
    assert [one["targets"][0]["target"] for one in records] == ["cosine similarity"] * 2
    assert "give the document, too, on the command line with --text-pair" in refused(
        "explain", "runs/config", "--text", "When?"
    )
    project.write("queries.jsonl", '{"query": "When?"}\n')
    assert "document" in refused("explain", "runs/config", "--input", "queries.jsonl")


def test_entities_are_targets(explained: Callable[..., list[Any]]) -> None:
    [record] = explained("token-classification", "--text", ENTITIES)
    assert all(": " in target["target"] for target in record["targets"])


def test_the_split_of_an_evaluation_is_explained_in_the_report(explained: Callable[..., list[Any]]) -> None:
    records = explained("text-classification", "--split", "validation", "--count", "3")[:3]
    evaluation = json.loads(Path("runs/config/evaluation-validation.json").read_text())
    assert evaluation["explanations"] == records
    assert all(one["place"].startswith("validation.jsonl:") for one in records)


@needs("report")
def test_the_report_highlights_and_escapes(explained: Callable[..., list[Any]]) -> None:
    [record, *_] = explained("text-classification", "--split", "validation", "--count", "1")
    from finetune.report.report import write_report

    path, end = Path("runs/config/evaluation-validation.json"), len(record["texts"]["text"])
    evaluation = json.loads(path.read_text())
    evaluation["explanations"][0]["texts"]["text"] += "<script>"
    word = {"part": "text", "start": end, "end": end + 8, "text": "<script>", "gradients": -9.0}
    evaluation["explanations"][0]["targets"][0]["words"].append(word)
    path.write_text(json.dumps(evaluation))
    page = write_report(Path("runs/config")).read_text()
    assert '<mark class="lowers" style="--share: 1.000" title="-1.0000">&lt;script&gt;</mark>' in page
    assert "<script>" not in page
    evaluation["explanations"][0]["texts"]["text"] = 3
    path.write_text(json.dumps(evaluation))
    with pytest.raises(UserError, match="explanations"):
        write_report(Path("runs/config"))


def test_on_a_terminal_or_not(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("text-classification")
    capsys.readouterr()
    assert main(["explain", "runs/config", "--text", TEXT, "--method", "both"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "completeness error" in shown
    assert "occlusion" in shown


def test_input_that_does_not_fit(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    explain = ["explain", "runs/config"]
    assert "one of the three" in refused(*explain)
    assert "--text-pair goes with --text" in refused(*explain, "--split", "test", "--text-pair", "x")
    assert "the model knows no 'ugly' (bad, good)" in refused(*explain, "--text", TEXT, "--label", "ugly")
    assert "predicts no tag of a word" in refused(*explain, "--text", TEXT, "--word", "1")
    assert "is empty" in refused(*explain, "--text", " ")
    assert "leave out --text-pair" in refused(*explain, "--text", TEXT, "--text-pair", "x")
    assert "run `python -m finetune evaluate runs/config --split train`" in refused(*explain, "--split", "train")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--text", ENTITIES, "--word", "9"), "--word 9: the text has 6 words: choose one from 1 to 6"),
        (("--text", ENTITIES, "--word", "0"), "--word 0: the text has 6 words"),
        (("--text", ENTITIES, "--label", "B-PER"), "choose the word with --word"),
    ],
)
def test_words_that_there_are_not(
    arguments: tuple[str, ...], sentence: str, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("token-classification")
    assert sentence in refused("explain", "runs/config", *arguments)


def test_subwords_and_words_that_share_a_token_are_merged() -> None:
    text = "我们 unbe\u0301lievable 👩‍🚀!"  # a token of two characters, a combining mark, an emoji of three code points
    tokens = [(0, 2), (2, 3), (3, 7), (7, 16), (16, 17), (17, 18), (17, 18), (18, 19), (19, 20), (20, 21)]
    merged = merge_tokens([(*offsets, [(0, n)]) for n, offsets in enumerate(tokens)], split_words(text))
    assert [text[start:end] for start, end, _ in merged] == ["我们", " ", "unbe\u0301lievable", " ", "👩‍🚀", "!"]
    assert sorted(place for *_, places in merged for place in places) == [(0, n) for n in range(len(tokens))]


def test_a_token_without_a_character_belongs_to_the_next_word() -> None:
    merged = merge_tokens([(0, 0, [(0, 0)]), (0, 2, [(0, 1)]), (2, 2, [(0, 2)])], [(0, 2)])
    assert merged == [(0, 2, [(0, 0), (0, 1), (0, 2)])]


def test_an_encoder_decoder_that_classifies_reads_the_text_twice(
    project: Project, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    project.train(project.config("text-classification", model={"name": "tiny:t5"}, train={"max_steps": 1}))
    explain = ["explain", "runs/config", "--text", TEXT]
    assert refused(*explain).endswith("by one lookup of token embeddings: use --method occlusion")
    assert main([*explain, "--method", "occlusion", "--json"]) == 0
    words = json.loads(capsys.readouterr().out)["targets"][0]["words"]
    assert any(word["occlusion"] for word in words)
