"""Search in a corpus: the nearest passages by the server's bi-encoder, their order by a run of ranking, and an answer
that quotes them by a run of chat. Each model has an engine of its own.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from .. import optional
from ..data.rows import Row
from ..errors import UserError
from ..retrieval_prompt import cited, question_with_passages
from ..tasks.settings import Chat, Ranking, Retrieval, Settings
from .engine import Engine
from .limits import CANDIDATES, TOP, Limits, Problem
from .metrics import Metrics
from .model import ServedModel, Source
from .service import Service
from .vectors import Vector, embed

MOST = 1000
"""Passages of a query."""
LOADING = Lock()
"""transformers changes the initialization of torch while it loads a model, so that two at a time lack weights."""
DAMAGED = Problem(500, "index-damaged", "the index of the corpus is damaged: restart the server, which builds it again")


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is searched, and how."""

    path: Path
    """A data file with the column document."""
    rerank: Source | None = None
    """A run of ranking."""
    answer: Source | None = None
    """A run of chat."""
    top: int = TOP
    """Passages of a query, unless a request names another number."""
    candidates: int = CANDIDATES
    """Passages that the run of ranking scores."""

    def check(self, settings: Settings) -> None:
        """Raises UserError for a server of another task, runs of other tasks, or a project without `search/`."""
        if not isinstance(settings, Retrieval):
            raise UserError(f"--corpus: a run of {settings.type} has no vectors to search with: serve one of retrieval")
        if not optional.is_there("search"):
            raise UserError(
                "--corpus: this project has no folder src/finetune/search: take it back, or leave out --corpus"
            )
        for option, source, wanted in (("--rerank", self.rerank, Ranking), ("--answer", self.answer, Chat)):
            if source and not isinstance(source.config.task, wanted):
                kind = "ranking" if wanted is Ranking else "chat"
                raise UserError(
                    f"{option} {source.run.path}: is a run of {source.config.task.type}: name one of {kind}"
                )
            if source:
                source.check()
        if not self.path.exists():
            raise UserError(f"--corpus {self.path}: there is no such file: correct the path")


@dataclass(frozen=True, slots=True)
class Passage:
    """A document that was found."""

    rank: int
    score: float
    """Cosine similarity."""
    rerank_score: float | None
    """Of the run of ranking, where it has read the document."""
    document: str
    place: str
    """`file:line`."""
    columns: dict[str, Any]
    """The other columns of its row."""

    def shown(self) -> dict[str, Any]:
        """As JSON, by the names of `finetune search --json`."""
        second = {} if self.rerank_score is None else {"rerank_score": self.rerank_score}
        rest = {"document": self.document, "place": self.place, "columns": self.columns}
        return {"rank": self.rank, "score": self.score, **second, **_plain(rest)}


class Search:
    """A corpus, with the server's model and those of the other stages."""

    def __init__(self, service: Service, source: Source, corpus: Corpus) -> None:
        self.service, self.corpus = service, corpus
        self._source = source
        self._index: Any = None
        self.ranker = _service(corpus.rerank, service.limits, corpus.candidates)
        self.writer = _service(corpus.answer, service.limits, 1)

    @property
    def engines(self) -> list[Engine]:
        """Those of the other stages."""
        return [stage.engine for stage in (self.ranker, self.writer) if stage]

    def open(self) -> None:
        """Open the index, or bring it up to date. Raises UserError for a corpus that cannot be read."""
        index, encoder = optional.find("search", "index"), optional.find("search", "encoder")
        assert index
        assert encoder
        run, trust = self._source.run, self._source.trust_remote_code
        with LOADING:  # the encoder loads the model once more where there is something to embed
            self._index, _ = index.open_index(
                self.corpus.path, encoder.Encoder(run, "serve --corpus", trust_remote_code=trust), lambda _: None
            )

    def describe(self) -> dict[str, Any]:
        """What `/info` answers."""
        return {
            "corpus": self.corpus.path.name,
            "documents": len(self._index),
            "top_n": self.corpus.top,
            "reranks": self.ranker is not None,
            "answers": self.writer is not None,
        }

    async def find(self, queries: Sequence[str], top: int | None = None) -> list[list[Passage]]:
        """The passages of each query, the best first. Raises Problem."""
        top = top or self.corpus.top
        vectors = await embed(self.service, [(query, "query") for query in queries], "queries")
        depth = max(top, self.corpus.candidates) if self.ranker else top
        try:
            found = await asyncio.to_thread(self._nearest, vectors, depth)
        except UserError:
            raise replace(DAMAGED) from None
        if self.ranker:
            found = await asyncio.gather(*map(self._reordered, queries, found))
        return [passages[:top] for passages in found]

    def _nearest(self, vectors: Sequence[Vector], depth: int) -> list[list[Passage]]:
        scores, numbers = self._index.search(np.stack(vectors), depth)
        found = []
        for of_query in zip(scores.tolist(), numbers.tolist(), strict=True):
            passages = []
            for rank, (score, number) in enumerate(zip(*of_query, strict=True), start=1):
                document = self._index.document(number)
                passages.append(Passage(rank, score, None, document.text, document.place, document.columns))
            found.append(passages)
        return found

    async def _reordered(self, query: str, passages: list[Passage]) -> list[Passage]:
        """The first passages in the order of the run of ranking, then the others."""
        assert self.ranker
        first, others = passages[: self.corpus.candidates], passages[self.corpus.candidates :]
        columns, names = self.ranker.columns(labelled=False), self.ranker.task.tabular.names
        rows = []
        for passage in first:
            features = {name: passage.columns.get(str(columns.source(name))) for name in names}
            values = {"query": query, "document": passage.document, **features}
            rows.append(Row(passage.place, values, values))
        scores = [record["score"] for record in await self.ranker.predict(rows)]
        scored = [replace(one, rerank_score=score) for one, score in zip(first, scores, strict=True)]
        ordered = sorted(scored, key=lambda one: -(one.rerank_score or 0.0))
        return [replace(one, rank=rank) for rank, one in enumerate([*ordered, *others], start=1)]

    async def answer(self, question: str, passages: Sequence[Passage]) -> dict[str, Any]:
        """What the run of chat says to the question with its passages: the best ones that its context has room for.

        `citations` are the ranks of the passages that it quotes, `passages` is how many it has read. Raises Problem.
        """
        assert self.writer
        settings: Any = self.writer.config.task
        texts = [passage.document for passage in passages]
        while not await self.writer.fits(row := _question(question, texts)) and len(texts) > 1:
            texts.pop()
        written = await self.writer.written(row, settings.generation)
        return {"text": written.text, "citations": cited(written.text, len(texts)), "passages": len(texts)}


def load_model(source: Source, limits: Limits) -> ServedModel:
    """A model that has computed an example. Raises UserError where it cannot be loaded."""
    with LOADING:
        model = ServedModel(source, limits.max_batch_tokens)
        model.warm_up()
    return model


def _service(source: Source | None, limits: Limits, inputs: int) -> Service | None:
    """A stage; the documents that it reads are the server's own, so that long ones are truncated."""
    if source is None:
        return None
    limits = replace(limits, max_client_batch_size=inputs, auto_truncate=True)
    metrics = Metrics()
    return Service(
        source.run.path.name, source.config, Engine(lambda: load_model(source, limits), metrics), limits, metrics
    )


def _question(question: str, passages: Sequence[str]) -> Row:
    values = {"messages": [{"role": "user", "content": question_with_passages(question, passages)}]}
    return Row("query", values, values)


def _plain(value: Any) -> Any:
    """A value of a data file as JSON can hold it: no NaN, no half of a surrogate pair."""
    if isinstance(value, dict):
        return {_plain(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
