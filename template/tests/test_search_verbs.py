"""`finetune search`, as a user meets it: results, files, metrics, the second stage, errors. The runs are tiny."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ANSWERED, Project

from finetune.cli import main
from finetune.data.rows import Columns, read_rows
from finetune.embedding import embed
from finetune.files import write_manifest
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.search.documents import Document
from finetune.search.quality import bm25_metrics, mean_metrics
from finetune.search.searcher import Hit, Searcher
from finetune.tasks.bm25 import BM25, corpus_score, words
from finetune.tasks.nearest import metrics

RUN, SECOND = "runs/config", "runs/second"
DOCUMENTS = sorted({document for _, document, _ in ANSWERED})


@pytest.fixture
def searched(project: Project, finished: Callable[[str], None]) -> None:
    """A run of ranking, one of retrieval, and a corpus with another column."""
    finished("ranking")
    Path(RUN).rename(SECOND)
    finished("retrieval")
    project.write("corpus.csv", "document,topic\n" + "".join(f'"{text}",{i}\n' for i, text in enumerate(DOCUMENTS)))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["search", RUN, "corpus.csv", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def similarities(queries: list[str]) -> Any:
    """In fp64, of the vectors before rounding."""
    run = RunFolder(Path(RUN))
    saved = load_saved_model(run.model, run.config().train)
    one, two = (
        embed(saved, texts, role, precision="fp32", budget=1000).astype(np.float64)
        for texts, role in ((queries, "query"), (DOCUMENTS, "document"))
    )
    return one @ two.T


@pytest.mark.usefixtures("searched")
def test_the_documents_of_a_query_are_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    queries = ["tea", "a room by the sea"]
    found = printed(capsys, "--query", queries[0], "--query", queries[1], "--top", "3")
    assert found["index"] == {"folder": f"{RUN}/index/corpus.csv", "documents": len(DOCUMENTS)}
    assert [one["query"] for one in found["queries"]] == queries
    for one, scores in zip(found["queries"], similarities(queries), strict=True):
        assert [hit["rank"] for hit in one["results"]] == [1, 2, 3]
        for hit, number in zip(one["results"], np.argsort(-scores), strict=False):
            assert hit["document"] == DOCUMENTS[number]
            assert hit["place"] == f"corpus.csv:{number + 2}"
            assert hit["columns"] == {"topic": str(number)}
            assert hit["score"] == pytest.approx(scores[number], abs=5e-4)


@pytest.mark.usefixtures("searched")
def test_without_a_query_the_corpus_is_indexed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", RUN, "corpus.csv"]) == 0
    said = capsys.readouterr().out.replace("\\", "/")
    assert said == "index: runs/config/index/corpus.csv, 4 documents (4 new, 0 removed, 0 kept)\n"
    assert main(["search", RUN, "corpus.csv", "--query", "tea"]) == 0
    said = capsys.readouterr().out
    assert "(0 new, 0 removed, 4 kept)" in said
    assert "green tea" in said
    assert "corpus.csv:" in said


@pytest.mark.usefixtures("searched")
def test_another_model_makes_another_index(capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "--query", "tea")
    description = Path(RUN, "best/finetune.json")
    changed = json.loads(description.read_text())
    changed["task"]["prefixes"]["query"] = "query: "
    description.write_text(json.dumps(changed))
    write_manifest(description.parent)
    assert main(["search", RUN, "corpus.csv"]) == 0
    assert "is that of another model: it is built again" in capsys.readouterr().out


@pytest.mark.usefixtures("searched")
def test_the_second_stage_puts_the_candidates_into_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    query = "quiet room by the sea"
    first = printed(capsys, "--query", query)["queries"][0]["results"]
    both = printed(capsys, "--query", query, "--rerank", SECOND, "--candidates", "3")["queries"][0]["results"]
    rows = [{"query": query, "document": hit["document"]} for hit in first[:3]]
    scores = [record["score"] for record in Predictor(RunFolder(Path(SECOND))).predict_rows(rows)]
    order = np.argsort(-np.array(scores))
    assert order.tolist() != [0, 1, 2]
    assert [hit["document"] for hit in both[:3]] == [first[number]["document"] for number in order]
    assert [hit["rerank_score"] for hit in both[:3]] == pytest.approx([scores[number] for number in order], abs=1e-6)
    assert [hit["score"] for hit in both[:3]] == [first[number]["score"] for number in order]
    assert both[3:] == first[3:]
    assert [hit["rank"] for hit in both] == [1, 2, 3, 4]


@pytest.mark.usefixtures("searched")
def test_a_file_of_queries_gets_a_row_for_each_document(project: Project) -> None:
    project.write("queries.csv", 'query,id\n"tea, hot",1\nhorses,2\n')
    arguments = ["search", RUN, "corpus.csv", "--input", "queries.csv", "--output", "out/found.csv", "--top", "2"]
    assert main([*arguments, "--rerank", SECOND]) == 0
    written = [row.original for row in read_rows(Path("out/found.csv"), Columns(("query",)))]
    assert [(row["query"], row["id"], row["rank"]) for row in written] == [
        *(("tea, hot", "1", "1"), ("tea, hot", "1", "2"), ("horses", "2", "1"), ("horses", "2", "2"))
    ]
    assert {row["found"] for row in written} <= {*DOCUMENTS}
    assert all(json.loads(row["columns"])["topic"] == str(DOCUMENTS.index(row["found"])) for row in written)
    assert all(float(row["rerank_score"]) for row in written)


@pytest.mark.usefixtures("searched")
def test_a_query_without_a_document_keeps_its_row() -> None:
    arguments = ["search", RUN, "corpus.csv", "--query", "tea", "--output", "found.jsonl", "--min-score", "1"]
    assert main(arguments) == 0
    empty = dict.fromkeys(("rank", "score", "found", "place", "columns"))
    assert json.loads(Path("found.jsonl").read_text()) == {"query": "tea", **empty}


@pytest.mark.usefixtures("searched")
def test_known_answers_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Documents of equal queries answer each of them, and one that the corpus lacks is missed."""
    with Path("answered.jsonl").open("a") as file:
        file.write(json.dumps({"query": "tea", "document": "is in no corpus"}) + "\n")
    found = printed(capsys, "--input", "answered.jsonl", "--rerank", SECOND, "--top", "1")
    assert all(len(one["results"]) == 1 for one in found["queries"])
    assert [*found["metrics"]] == ["bi-encoder", "re-ranked", "BM25"]
    queries = list(dict.fromkeys(query for query, _, _ in ANSWERED))
    ranks = []
    for query, scores in zip(queries, similarities(queries), strict=True):
        order = [DOCUMENTS[number] for number in np.argsort(-scores)]
        known = sorted(order.index(document) + 1 for one, document, _ in ANSWERED if one == query)
        ranks.append([*known, *([99] if query == "tea" else [])])
    wanted = [metrics(one) for one in ranks]
    assert found["metrics"]["bi-encoder"] == pytest.approx(
        {name: np.mean([one[name] for one in wanted]) for name in wanted[0]}
    )


def test_what_was_not_found_is_missed() -> None:
    hits = [Hit(rank, 0.5, None, rank, Document(text, "x:1", {})) for rank, text in enumerate("abc", 1)]
    found = mean_metrics({"q": {"b"}, "r": {"z"}}, {"q": hits, "r": hits})
    assert found["recall@1"] == 0
    assert found["recall@5"] == 0.5
    assert found["mrr@10"] == pytest.approx(0.25)
    assert found["ndcg@10"] == pytest.approx(0.5 / np.log2(3))


def test_bm25_of_a_corpus_has_the_scores_of_its_formula() -> None:
    corpus, queries = ["red tea and tea", "a red house", "green", "绿茶"], ["tea, red tea", "house of glass", "?"]
    one_by_one = BM25(corpus, words)
    scores = corpus_score(queries, corpus)(slice(0, 3))
    assert scores == pytest.approx(np.array([[one_by_one.score(q, d) for d in corpus] for q in queries]))
    assert scores[0, 0] > scores[0, 1] > 0


@pytest.mark.usefixtures("searched")
def test_bm25_is_left_out_of_a_large_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = Searcher(RunFolder(Path(RUN)), Path("corpus.csv"))
    answers = {"green tea": {"green tea"}}
    assert bm25_metrics(answers, searcher.index) == pytest.approx(dict.fromkeys(
        ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"), 1.0))  # fmt: skip
    monkeypatch.setattr("finetune.search.quality.MOST_DOCUMENTS", 3)
    assert bm25_metrics(answers, searcher.index) is None


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("name", ["text", "answer", "passage"])
def test_usual_names_of_documents_are_known(name: str, project: Project) -> None:
    project.write("named.jsonl", json.dumps({"id": 7, name: "a text"}) + "\n")
    with pytest.warns(UserWarning, match="is read as document"):
        searcher = Searcher(RunFolder(Path(RUN)), Path("named.jsonl"))
    document = searcher.index.document(0)
    assert (document.text, document.columns) == ("a text", {"id": 7})


ERRORS = {
    "no query": (["corpus.csv", "--query", " "], "the query is empty"),
    "two kinds": (["corpus.csv", "--query", "a", "--input", "answered.jsonl"], "one of the two"),
    "no corpus": (["missing.jsonl"], "missing.jsonl: there is no such file"),
    "no document": (["completed.jsonl", "--query", "a"], "completed.jsonl:1: no value in column 'document'"),
    "empty": (["empty.jsonl"], "empty.jsonl:1: the file holds no examples"),
    "no queries": (["corpus.csv", "--input", "corpus.csv"], "no column 'query'"),
    "two files": (["*.jsonl"], "put them into one"),
    "second stage": (["corpus.csv", "--rerank", RUN], "is a run of retrieval, and --rerank takes a cross-encoder"),
    "second is no run": (["corpus.csv", "--rerank", "missing"], "missing: is not the folder of a run"),
    "other format": (["corpus.csv", "--input", "answered.jsonl", "--output", "x.csv"], "are .jsonl"),
    "the input": (["corpus.csv", "--input", "answered.jsonl", "--output", "answered.jsonl"], "is the input itself"),
    "no results": (["corpus.csv", "--output", "x.jsonl"], "without a query there are no results"),
    "results of a query": (["corpus.csv", "--query", "a", "--output", "x.csv"], "are .jsonl"),
}


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_sentence(case: str, project: Project, refused: Callable[..., str]) -> None:
    project.write("empty.jsonl", "")
    arguments, sentence = ERRORS[case]
    assert sentence in refused("search", RUN, *arguments)
    assert not Path("x.csv").exists()


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("verb", ["search", "mine"])
def test_a_run_of_another_task_is_refused(verb: str, refused: Callable[..., str]) -> None:
    assert refused(verb, SECOND, "corpus.csv") == (
        f"{Path(SECOND)}: is a run of ranking, and {verb} needs a bi-encoder, a run of retrieval: name another run, or "
        f"train one with task: {{type: retrieval}}"
    )
    assert not Path(SECOND, "index").exists()
