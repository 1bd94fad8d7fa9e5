"""How well documents are found whose relevance is known: metrics of each stage, and of BM25 in the same corpus."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..console import Cell
from ..data.rows import Row
from ..tasks.bm25 import corpus_score
from ..tasks.nearest import Retrieved, metrics, nearest
from .index import Index
from .searcher import Hit

METRICS = ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")
DEPTH = 10
"""Documents of a query that the metrics look at."""
MOST_DOCUMENTS = 100_000
"""Documents of a corpus up to which BM25 is computed: it takes words apart in Python."""

Answers = dict[str, set[str]]
"""The texts that answer each query."""
Find = Callable[[list[str], list[str], list[list[int]]], list[Retrieved]]
"""Of queries, a corpus, and for each query the numbers of the documents that answer it, what is found."""


def answers_of(rows: Sequence[Row]) -> Answers:
    """What is known of the queries; documents of equal queries answer each of them."""
    answers: Answers = {}
    for row in rows:
        if isinstance(document := row.values.get("document"), str) and document.strip():
            answers.setdefault(row.values["query"], set()).add(document)
    return answers


def mean_metrics(answers: Answers, found: dict[str, list[Hit]]) -> dict[str, float]:
    """Means over the queries with known answers; a document that is not among what was found counts as missed."""
    per_query = []
    for query, texts in answers.items():
        ranks = sorted(hit.rank for hit in found[query] if hit.document.text in texts)
        missed = [len(found[query]) + DEPTH + 1] * (len(texts) - len(ranks))
        per_query.append(metrics([*ranks, *missed]))
    return _means(per_query)


def first_stage(found: dict[str, list[Hit]]) -> dict[str, list[Hit]]:
    """The hits in the order of the bi-encoder; their ranks are those before."""
    return {
        query: [replace(hit, rank=rank) for rank, hit in enumerate(sorted(hits, key=_by_similarity), 1)]
        for query, hits in found.items()
    }


def _by_similarity(hit: Hit) -> tuple[float, int]:
    return -hit.score, hit.number


def bm25_metrics(answers: Answers, index: Index) -> dict[str, float] | None:
    """The same metrics of BM25; None for a corpus that is too large for it."""
    if len(index) > MOST_DOCUMENTS:
        return None
    return corpus_metrics(answers, index, lambda *asked: nearest(corpus_score(*asked[:2]), *asked[1:]))


def corpus_metrics(answers: Answers, index: Index, find: Find) -> dict[str, float]:
    """The same metrics of another search in all documents of an index."""
    corpus = [index.document(number).text for number in range(len(index))]
    number_of = {text: number for number, text in enumerate(corpus)}
    known = [[number_of[text] for text in texts if text in number_of] for texts in answers.values()]
    per_query = []
    for one, texts in zip(find([*answers], corpus, known), answers.values(), strict=True):
        missed = [len(corpus) + DEPTH + 1] * (len(texts) - len(one.ranks))
        per_query.append(metrics([*one.ranks, *missed]))
    return _means(per_query)


def _means(per_query: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in per_query])) for name in METRICS}


def quality_rows(stages: dict[str, dict[str, float]]) -> tuple[list[str], list[list[Cell]]]:
    """Columns and rows of a table: a column for each stage."""
    return ["", *stages], [[name, *(stage[name] for stage in stages.values())] for name in METRICS]
