"""`finetune serve --corpus`: passages, a second stage, and an answer that quotes them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from conftest import needs
from test_serving import Running, assert_close, serving

from finetune import optional
from finetune.cli import main
from finetune.predict import Predictor
from finetune.retrieval_prompt import question_with_passages
from finetune.run.folder import RunFolder
from finetune.serving import server as server_module
from finetune.serving.model import Source
from finetune.serving.search import Corpus, Passage
from finetune.serving.service import Service

__all__ = ["serving"]
pytestmark = needs("search")
QUERY = "something with horses"
DOCUMENTS = ["a loud bar", "a farm with horses and more", "green tea", "rooms with a view of the sea", "a harbour"]
ANSWERED = "We have it [2], see [1, 9]."


def source_of(project: Path) -> Source:
    run = RunFolder(project / "runs" / "config")
    return Source(run, run.config())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of documents with other columns."""
    path = tmp_path_factory.mktemp("corpus") / "shop.jsonl"
    rows = [{"document": text, "sku": number} for number, text in enumerate(DOCUMENTS)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def shop(serving: Any, _finished_projects: Callable[[str], Path], corpus: Path) -> Iterator[Running]:
    """A server with all three stages."""
    stages = {name: source_of(_finished_projects(task)) for name, task in (("rerank", "ranking"), ("answer", "chat"))}
    with Running(serving("retrieval").run, corpus=Corpus(corpus, **stages, top=3, candidates=4)) as server:
        yield server


def test_passages_are_those_of_finetune_search(shop: Running, corpus: Path) -> None:
    from finetune.search.searcher import Searcher

    ranking = shop.server.search.corpus.rerank.run
    searcher = Searcher(shop.run, corpus, ranking)
    answer = shop.ask("/v1/search", {"query": QUERY})
    assert answer["query"] == QUERY
    hits = searcher.search([QUERY, "tea"], 3, 4)
    expected = [
        {
            "rank": hit.rank,
            "score": pytest.approx(hit.score, abs=1e-5),
            "rerank_score": pytest.approx(hit.rerank_score, abs=1e-4),
            "document": hit.document.text,
            "place": hit.document.place,
            "columns": {"sku": DOCUMENTS.index(hit.document.text)},
        }
        for hit in hits[0]
    ]
    assert answer["results"] == expected
    assert [one["rank"] for one in answer["results"]] == [1, 2, 3]
    assert answer["results"][0]["place"].startswith(f"{corpus}:")
    several = shop.ask("/v1/search", {"queries": [QUERY, "tea"], "top_n": 5})["queries"]
    assert_close(several[0]["results"][:3], answer["results"])
    assert [one["query"] for one in several] == [QUERY, "tea"]
    assert [len(one["results"]) for one in several] == [5, 5]
    assert ["rerank_score" in one for one in several[1]["results"]] == [True] * 4 + [False]


def test_columns_that_json_cannot_hold() -> None:
    """A .parquet file may have them."""
    columns = {"weight": float("nan"), "half": "\ud800", "more": [float("inf"), 1.5]}
    shown = Passage(1, 0.5, None, "tea", "shop.parquet:1", columns).shown()
    assert json.dumps(shown["columns"], allow_nan=False).encode()
    assert shown["columns"] == {"weight": None, "half": "?", "more": [None, 1.5]}


def test_passages_without_a_second_stage(serving: Any, corpus: Path) -> None:
    with Running(serving("retrieval").run, corpus=Corpus(corpus)) as server:
        results = server.ask("/v1/search", {"query": "tea", "top_n": 9})["results"]
        assert sorted(one["document"] for one in results) == sorted(DOCUMENTS)
        scores = [one["score"] for one in results]
        assert scores == sorted(scores, reverse=True)
        vectors = [server.ask("/v1/predict", {"rows": [{name: text}]})["predictions"][0]["embedding"]
                   for name, text in (("query", "tea"), ("document", results[0]["document"]))]  # fmt: skip
        assert scores[0] == pytest.approx(sum(a * b for a, b in zip(*vectors, strict=True)), abs=1e-3)
        assert all("rerank_score" not in one for one in results)
        assert server.ask("/info")["search"] == {
            "corpus": "shop.jsonl", "documents": 5, "top_n": 5, "reranks": False, "answers": False,
        }  # fmt: skip
        assert server.refused("/v1/search", {"query": "tea", "answer": True}) == (422, "unsupported-parameter")


def test_an_answer_is_what_the_chat_run_says_to_the_prompt(shop: Running) -> None:
    found = shop.ask("/v1/search", {"query": QUERY, "answer": True, "top_n": 1})
    prompt = question_with_passages(QUERY, [one["document"] for one in found["results"]])
    writer = shop.server.search.writer
    task = writer.task
    row = {"messages": [{"role": "user", "content": prompt}]}
    assert not writer.model.encode([_row(row)])[1].truncated or len(found["results"]) == 1
    [record] = Predictor(shop.server.search.corpus.answer.run).predict_rows([row])
    assert found["answer"]["text"] == record["prediction"]
    assert found["answer"]["passages"] == 1
    assert task.generation
    assert shop.ask("/info")["search"]["answers"]


def _row(values: dict[str, Any]) -> Any:
    from finetune.data.rows import Row

    return Row("row", values, values)


def test_the_answer_reads_the_passages_that_its_context_has_room_for(
    shop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def fits(self: Service, row: Any) -> bool:
        asked.append(row.values["messages"][0]["content"])
        return len(asked) == 2

    async def written(self: Service, row: Any, generation: Any) -> Any:
        asked.append(row.values["messages"][0]["content"])
        return type("Written", (), {"text": ANSWERED})()

    monkeypatch.setattr(Service, "fits", fits)
    monkeypatch.setattr(Service, "written", written)
    found = shop.ask("/v1/search", {"query": QUERY, "answer": True})
    documents = [one["document"] for one in found["results"]]
    assert asked == [question_with_passages(QUERY, documents[:count]) for count in (3, 2, 2)]
    assert found["answer"] == {"text": ANSWERED, "citations": [2, 1], "passages": 2}


def test_whether_a_prompt_fits(shop: Running) -> None:
    import asyncio

    writer = shop.server.search.writer
    for text, expected in (("a", True), ("a b c " * 50, False)):
        row = _row({"messages": [{"role": "user", "content": text}]})
        assert asyncio.run(writer.fits(row)) is expected


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid-body"),
        ({"query": "a", "queries": ["a"]}, 422, "invalid-body"),
        ({"query": "a", "top_n": 0}, 422, "invalid-body"),
        ({"query": "a", "top_n": 10**6}, 422, "invalid-body"),
        ({"query": "a", "min_score": 0}, 422, "invalid-body"),
        ({"query": " "}, 422, "invalid-row"),
        ({"query": "\ud800"}, 422, "invalid-text"),
        ({"queries": []}, 400, "empty"),
        ({"queries": ["a"] * 33}, 413, "too-many-inputs"),
        ({"queries": ["a"], "answer": True}, 422, "unsupported-parameter"),
    ],
)
def test_requests_that_do_not_fit(body: Any, status: int, code: str, shop: Running) -> None:
    assert shop.refused("/v1/search", body) == (status, code)


def test_openapi_has_an_example_that_works(shop: Running) -> None:
    operation = shop.ask("/openapi.json")["paths"]["/v1/search"]["post"]
    assert shop.ask("/v1/search", operation["requestBody"]["content"]["application/json"]["example"])["results"]


def test_without_a_corpus_there_is_no_route(serving: Any) -> None:
    assert serving("retrieval").refused("/v1/search", {"query": "a"}) == (404, "not-found")
    assert "search" not in serving("retrieval").ask("/info")


def test_options_of_the_command(finished: Any, monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    given: list[Any] = []

    class Recorded:
        stopped_by = None

        def __init__(self, *arguments: Any) -> None:
            given.extend(arguments)

        def run(self, sockets: list[Any]) -> None:
            sockets[0].close()

    monkeypatch.delenv("API_KEY", raising=False)
    monkeypatch.setattr(server_module, "Server", Recorded)
    runs = {}
    for task in ("ranking", "chat", "retrieval"):
        finished(task)
        runs[task] = Path("runs/config").rename(f"runs/{task}")
    serve = ["serve", str(runs["retrieval"]), "--port", "0", "--corpus", str(corpus), "--precision", "bf16"]
    assert main([*serve, "--rerank", str(runs["ranking"]), "--answer", str(runs["chat"]), "--candidates", "7"]) == 0
    found = given[-1]
    assert (found.path, found.top, found.candidates) == (corpus, 5, 7)
    assert (found.rerank.run.path, found.answer.run.path) == (runs["ranking"], runs["chat"])
    assert found.answer.config.train.precision == "bf16"
    assert main([*serve, "--top", "2"]) == 0
    assert given[-1] == Corpus(corpus, None, None, 2, 50)
    assert main(serve[:4]) == 0
    assert given[-1] is None


def test_options_that_do_not_fit(
    finished: Any, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, corpus: Path
) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    finished("retrieval")
    serve = ["serve", "runs/config"]
    for option, value in (("--rerank", "latest"), ("--answer", "latest"), ("--top", "3")):
        assert "goes with --corpus" in refused(*serve, option, value)
    assert "goes with --rerank" in refused(*serve, "--corpus", corpus, "--candidates", "3")
    assert "is a run of retrieval: name one of ranking" in refused(
        *serve, "--corpus", corpus, "--rerank", "runs/config"
    )
    assert "is a run of retrieval: name one of chat" in refused(*serve, "--corpus", corpus, "--answer", "runs/config")
    assert "there is no such file" in refused(*serve, "--corpus", "nothing.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(optional, "is_there", lambda folder: folder != "search")
        assert "has no folder src/finetune/search" in refused(*serve, "--corpus", corpus)
    empty = Path("empty.jsonl")
    empty.write_text("")
    assert "holds no examples" in refused(*serve, "--port", "0", "--corpus", empty)
    finished("chat")
    assert "has no vectors to search with: serve one of retrieval" in refused(*serve, "--corpus", corpus)
