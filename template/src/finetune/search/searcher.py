"""Search in two stages: the nearest documents by a bi-encoder, and their order by a cross-encoder that reads both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from ..data.rows import Row
from ..errors import UserError
from ..predict import Predictor
from ..run.folder import RunFolder
from ..tasks.settings import Ranking
from .documents import Document
from .encoder import Encoder, require_task
from .index import open_index

TOGETHER = 64
"""Queries that are embedded, and whose candidates are scored, together."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found for a query."""

    rank: int
    score: float
    """Similarity of the vectors, the cosine: of an order within one query, no probability."""
    rerank_score: float | None
    """What the cross-encoder gives, where it has scored the document."""
    number: int
    """The row of the document in the index."""
    document: Document


class Searcher:
    """A run of retrieval, the index of a corpus, and perhaps a run of ranking. Threads may share it.

    The index is opened, or brought up to date, when it is made; `say` gets lines on that.
    """

    def __init__(
        self,
        run: RunFolder,
        corpus: Path,
        rerank: RunFolder | None = None,
        *,
        verb: str = "search",
        trust_remote_code: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Raises UserError for runs of other tasks, a wrong corpus, or an index that cannot be written."""
        self.encoder = Encoder(run, verb, trust_remote_code=trust_remote_code)
        if rerank:
            require_task(rerank, rerank.config().task, Ranking, "--rerank takes a cross-encoder, a run of ranking")
        self._predictor = Predictor(rerank, trust_remote_code=trust_remote_code) if rerank else None
        self._model = Lock()
        self.index, self.change = open_index(corpus, self.encoder, say)

    @property
    def reranks(self) -> bool:
        """Whether there is a second stage."""
        return self._predictor is not None

    def search(
        self, queries: Sequence[str], top: int = 10, candidates: int = 50, min_score: float | None = None
    ) -> list[list[Hit]]:
        """The documents of each query, the best first, at most `top`.

        With a second stage, the first `candidates` are scored by the cross-encoder and put into its order. Documents
        whose similarity is below `min_score` are left out before. Raises UserError for a query without a text.
        """
        return [hits[:top] for hits in self.stages(queries, top, candidates, min_score)]

    def stages(
        self, queries: Sequence[str], top: int, candidates: int, min_score: float | None = None
    ) -> Iterator[list[Hit]]:
        """The same, one query after the other, with the candidates beyond `top`."""
        require_texts(queries)
        depth = max(top, candidates) if self.reranks else top
        for start in range(0, len(queries), TOGETHER):
            some = queries[start : start + TOGETHER]
            with self._model:
                vectors = self.encoder.embed(some, "query")
            found = [
                [
                    Hit(rank, score, None, number, self.index.document(number))
                    for rank, (score, number) in enumerate(zip(scores, numbers, strict=True), 1)
                    if min_score is None or score >= min_score
                ]
                for scores, numbers in zip(*(part.tolist() for part in self.index.search(vectors, depth)), strict=True)
            ]
            yield from self._reranked(some, found, candidates)

    def _reranked(self, queries: Sequence[str], found: list[list[Hit]], candidates: int) -> list[list[Hit]]:
        """The hits of each query, the first of them in the order of the cross-encoder."""
        if not self._predictor:
            return found
        rows = [
            Row(hit.document.place, self._values(query, hit.document), hit.document.columns)
            for query, hits in zip(queries, found, strict=True)
            for hit in hits[:candidates]
        ]
        with self._model:
            scores = iter([record["score"] for record in self._predictor.predict(rows)] if rows else [])
        ordered = []
        for hits in found:
            scored = [replace(hit, rerank_score=next(scores)) for hit in hits[:candidates]]
            scored.sort(key=lambda hit: -hit.rerank_score if hit.rerank_score is not None else 0.0)
            ordered.append([replace(hit, rank=rank) for rank, hit in enumerate([*scored, *hits[candidates:]], 1)])
        return ordered

    def _values(self, query: str, document: Document) -> dict[str, Any]:
        """The columns of a row of ranking; tabular features are those of the document."""
        assert self._predictor
        sources = {name: self._predictor.columns.source(name) for name in self._predictor.task.tabular.names}
        features = {name: document.columns.get(str(source)) for name, source in sources.items()}
        return {"query": query, "document": document.text, **features}


def require_texts(queries: Sequence[str]) -> None:
    """Raise UserError for a query without a text."""
    if any(not query.strip() for query in queries):
        raise UserError("the query is empty: write what to look for")
