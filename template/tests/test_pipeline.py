"""`finetune pipeline`: stages that are ordinary runs, going on where it stopped, figures, answers that quote."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Project

from finetune import optional
from finetune.cli import main
from finetune.errors import INTERRUPTED, OK, WRONG_INPUT
from finetune.pipeline import stages
from finetune.pipeline.answers import Answer, answer_figures
from finetune.pipeline.json_schema import json_schema
from finetune.pipeline.settings import read_pipeline
from finetune.predict import Predictor
from finetune.retrieval_prompt import question_with_passages

THINGS = ("lamp", "chair", "rug", "mug")
MATTERS = {"return": "send back", "repair": "fix", "size": "wide", "gift": "wrap"}
ARTICLES = {(thing, matter): f"{matter} of a {thing}" for thing in THINGS for matter in MATTERS}

needs_search = pytest.mark.skipif(not optional.is_there("search"), reason="the project has deleted search")


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def pipeline(project: Project) -> Path:
    """A pipeline of few and quick steps."""
    articles = [*ARTICLES.items()]
    rows = [{"query": f"{MATTERS[matter]} my {thing}", "document": text} for (thing, matter), text in articles]
    chat = []
    for number, row in enumerate(rows):
        passages = [row["document"], articles[number - 1][1]]
        content = question_with_passages(row["query"], passages)
        answer = f'"{passages[0]}" [1]'
        turns = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
        chat.append({"messages": turns})
    project.write("questions.jsonl", lines(rows))
    project.write("chat.jsonl", lines(chat))
    project.write("corpus.jsonl", lines([{"document": text} for text in ARTICLES.values()]))
    data = {"train": "questions.jsonl", "validation": "questions.jsonl"}
    model, train = {"name": "tiny:bert", "max_length": 24}, {"max_steps": 2, "batch_size": 4}
    values = {
        "corpus": "corpus.jsonl",
        "questions": "questions.jsonl",
        "mining": {"count": 2, "first": 1, "last": 5},
        "retrieval": {"task": {"type": "retrieval"}, "model": model, "data": data, "train": train},
        "ranking": {
            "task": {"type": "ranking"},
            "model": {"name": "runs/service/retrieval/best", "max_length": 24},
            "train": train,
        },
        "chat": {
            "task": {"type": "chat", "generation": {"max_new_tokens": 4}},
            "model": {"name": "tiny:gpt2", "max_length": 128},
            "data": {"train": "chat.jsonl", "validation": "chat.jsonl"},
            "train": train,
        },
        "answers": 4,
        "show": 2,
    }
    return project.write("service.yaml", yaml.safe_dump(values, sort_keys=False))


def written(run: str) -> int:
    """When a run was last started."""
    return Path("runs/service", run, "config.json").stat().st_mtime_ns


@needs_search
def test_it_trains_each_stage_once_and_again_what_has_changed(
    pipeline: Path, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pipeline", str(pipeline)]) == OK

    record = json.loads(Path("runs/service/pipeline.json").read_text())
    assert {*record["search"]} == {"BM25", "encoder before the training", "bi-encoder", "re-ranked"}
    assert all({*scores} >= {"recall@1", "mrr@10", "ndcg@10"} for scores in record["search"].values())
    assert (record["questions"], record["documents"], record["answered"]) == (16, 16, 4)
    assert all(len(example["passages"]) == 3 for example in record["examples"])
    mined = [json.loads(line) for line in Path("runs/service/ranking-train.jsonl").read_text().splitlines()]
    assert sum(row["label"] for row in mined) == 16
    assert len(mined) == 16 * 3
    assert "re-ranked" in capsys.readouterr().out
    stage = json.loads(Path("runs/service/second-stage.json").read_text())
    assert record["reranks"] == (stage["re-ranked"] > stage["bi-encoder"])

    runs = ("retrieval", "ranking", "chat")
    before = {run: written(run) for run in runs}
    assert main(["pipeline", str(pipeline), "--ask", "send back my mug"]) == OK
    shown = capsys.readouterr().out
    assert {run: written(run) for run in runs} == before
    assert "send back my mug" in shown
    assert "[3]" in shown
    assert json.loads(Path("runs/service/pipeline.json").read_text()) == record

    project.write("chat.jsonl", Path("chat.jsonl").read_text() * 2)
    assert main(["pipeline", str(pipeline), "ranking.optim.lr=0.002"]) == OK
    after = {run: written(run) for run in runs}
    assert after["retrieval"] == before["retrieval"]
    assert after["ranking"] != before["ranking"]
    assert after["chat"] != before["chat"]


@needs_search
def test_stopped_in_a_stage_it_goes_on_there(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def stops_in_chat(arguments: list[str]) -> int:
        asked.append(arguments)
        return INTERRUPTED if "chat.yaml" in arguments[1] else main(arguments)

    monkeypatch.setattr(stages, "main", stops_in_chat)
    assert main(["pipeline", str(pipeline)]) == INTERRUPTED
    assert f"to continue: python -m finetune pipeline {pipeline}" in capsys.readouterr().out
    trained = [Path(arguments[1]).stem for arguments in asked]
    assert trained == ["retrieval", "ranking", "chat"]

    asked.clear()
    assert main(["pipeline", str(pipeline)]) == INTERRUPTED
    assert [Path(arguments[1]).stem for arguments in asked] == ["chat"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("chat.train.epocs=3", "unknown key 'train.epocs': did you mean 'epochs'?"),
        ("ranking.task.type=retrieval", "'ranking.task.type' is 'retrieval': write ranking"),
        ("retrieval.run.name=x", "'retrieval.run' is named by the pipeline: remove it, or set name and dir"),
        ("mining.last=0", "'mining.last' is 0: input should be greater than or equal to 1"),
        ("mining.first=9", "last is 5, before first, 9: write a higher rank"),
        ("corpus=none.jsonl", "service.yaml: there is no file none.jsonl: correct its path"),
        ("name=a/b", "'name' is"),
        ("retrieval.data.train=[a.jsonl, b.jsonl]", "retrieval.data.train names 2 files"),
        ("passages=0", "'passages' is 0"),
        ("candidate=3", "unknown key 'candidate': did you mean 'candidates'?"),
    ],
)
@needs_search
def test_wrong_settings_get_a_sentence_before_anything_is_written(
    pipeline: Path, override: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pipeline", str(pipeline), override]) == WRONG_INPUT
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not Path("runs").exists()


def test_the_search_may_be_deleted(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(optional, "find", lambda folder, module: None)
    assert main(["pipeline", str(pipeline)]) == WRONG_INPUT
    assert "pipeline needs src/finetune/search" in " ".join(capsys.readouterr().err.split())


@needs_search
@pytest.mark.parametrize("helps", [True, False])
def test_the_ranking_is_used_where_it_helps_on_the_validation_questions(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], helps: bool
) -> None:
    """A ranking whose scores are those of the right documents, or of all others."""
    right = dict(zip([f"{MATTERS[matter]} my {thing}" for thing, matter in ARTICLES], ARTICLES.values(), strict=True))

    plain = Predictor.predict

    def predict(self: Predictor, rows: Any) -> list[dict[str, Any]]:
        if "document" not in rows[0].values:  # the chat run
            return plain(self, rows)
        is_right = [row.values["document"] == right[row.values["query"]] for row in rows]
        return [{"score": float(one == helps)} for one in is_right]

    monkeypatch.setattr(Predictor, "predict", predict)
    assert main(["pipeline", str(pipeline), "candidates=16", "passages=1"]) == OK
    record = json.loads(Path("runs/service/pipeline.json").read_text())
    assert record["reranks"] == helps
    assert (record["search"]["re-ranked"]["recall@1"] == 1) == helps
    if helps:
        assert record["answers"]["the right passage was read"] == 1
    capsys.readouterr()
    assert main(["pipeline", str(pipeline), "candidates=16", "passages=1", "--ask", "fix my rug"]) == OK
    shown = capsys.readouterr().out
    assert ("the ranking is left out" in shown) == (not helps)
    assert ("[1] repair of a rug" in shown) or not helps


def test_what_counts_as_a_quotation() -> None:
    known = {"a": {"one"}, "b": {"two"}, "c": {"three"}}
    answers = [
        Answer("a", ["one", "two"], '"one" [1]', "one"),
        Answer("b", ["one", "two"], '"one" [1]', "one"),
        Answer("c", ["one", "two"], "thr", None),
    ]
    assert answer_figures(answers, known) == {
        "the right passage was read": 2 / 3,
        "a passage is quoted word for word": 2 / 3,
        "the right passage is quoted": 1 / 3,
    }


def test_ranking_with_data_of_its_own_is_not_mined(pipeline: Path) -> None:
    assert read_pipeline(pipeline).mines
    plan = read_pipeline(pipeline, ["ranking.data.train=pairs.jsonl"])
    assert not plan.mines
    assert [str(path) for path in plan.configs["ranking"].data.train] == ["pairs.jsonl"]


def test_schema_is_up_to_date() -> None:
    written = (ROOT / "schemas/pipeline.schema.json").read_text(encoding="utf-8")
    assert written == json_schema(), "python -m finetune pipeline --schema > schemas/pipeline.schema.json"
