"""The verb `mine`: hard negatives for training, the documents that a model puts near a query and that do not answer it.

Of the documents of a corpus by their rank for a query, without those that answer it, a range of ranks is taken: the
first may be answers that nobody has noted, the last are easy. A margin to the score of the positive leaves out more of
what may be an answer (NV-Retriever, Moreira et al. 2024, "positive-aware" mining). sentence-transformers has the same
settings: `range_min`, `range_max`, `absolute_margin`, `relative_margin`, `num_negatives`, with sampling "top".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from ..console import counted, print_line
from ..data.columns import Columns
from ..data.output_file import write_output
from ..data.rows import Row, read_rows
from ..data.writers import json_lines
from ..dataset import columns_of, new_task
from ..errors import UserError
from ..run.folder import RunFolder
from ..tasks.retrieval import Example
from .documents import one_file
from .encoder import Encoder
from .index import Index, open_index, text_key

TOGETHER = 1024
"""Queries that are searched together."""
Form = Literal["retrieval", "ranking"]
Vectors = dict[str, NDArray[np.float32]]
"""Of queries, by their text."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    output: Path | None = None
    corpus: Path | None = None
    """By default the documents of the file itself."""
    count: int = 4
    """Negatives of a row."""
    first: int = 10
    last: int = 50
    """Ranks among the documents that do not answer the query; both are taken."""
    margin: float | None = None
    """By how much the similarity of a negative has to be below that of the positive."""
    relative_margin: float | None = None
    """The same as a share of the similarity of the positive."""
    form: Form = "retrieval"
    trust_remote_code: bool = False


def mine_negatives(run: RunFolder, file: Path, request: Request, console: Console) -> Path:
    """Write the rows of a file with hard negatives as .jsonl; returns its path.

    Raises UserError for ranks that are no range, for an output that is the input, and as `search` does.
    """
    if request.last < request.first:
        raise UserError(f"--last {request.last}: is before --first {request.first}: name a higher rank")
    path = one_file(file)
    output = request.output or run.at("mined", f"{path.name.split('.')[0]}.jsonl")
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: the rows are written as .jsonl: let its name end in .jsonl")
    if output.exists() and output.samefile(path):
        raise UserError(f"{output}: is the input itself: choose another --output")
    encoder = Encoder(run, "mine", trust_remote_code=request.trust_remote_code)
    task, data = new_task(encoder.config), encoder.config.data
    columns = columns_of(task, data)
    rows = read_rows(path, columns)
    examples: list[Example] = task.parse(rows)
    index, change = open_index(request.corpus or path, encoder, lambda line: print_line(console, escape(line)))
    print_line(console, escape(f"index: {index.folder}, {counted(len(index), 'document')} ({change})"))
    negatives = mined(examples, index, encoder, request)
    write = _ranking_rows if request.form == "ranking" else _training_rows
    write_output(output, json_lines(write(rows, examples, negatives, columns)))
    _tell(negatives, request, output, console)
    return output


def mined(examples: Sequence[Example], index: Index, encoder: Encoder, request: Request) -> list[list[str]]:
    """The negatives of each example, the nearest first."""
    answers: dict[str, set[int]] = {}
    number_of = index.numbers()
    positives = [number_of.get(text_key(example.document or "")) for example in examples]
    for example, number in zip(examples, positives, strict=True):
        known = answers.setdefault(example.query, set())
        known |= {number} if number is not None else set()
    queries = [*answers]
    depth = request.last + max(map(len, answers.values()))
    found: dict[str, list[tuple[float, int]]] = {}
    of_queries: Vectors = {}
    for start in range(0, len(queries), TOGETHER):
        some = queries[start : start + TOGETHER]
        vectors = encoder.embed(some, "query")
        for query, vector, scores, numbers in zip(some, vectors, *index.search(vectors, depth), strict=True):
            others = [
                (score, number)
                for score, number in zip(scores.tolist(), numbers.tolist(), strict=True)
                if number not in answers[query]
            ]
            found[query], of_queries[query] = others[request.first - 1 : request.last], vector
    limits = _limits(examples, positives, of_queries, index, encoder, request)
    return [
        [
            index.document(number).text
            for score, number in found[example.query]
            if score <= limit and index.document(number).text not in example.negatives
        ][: request.count]
        for example, limit in zip(examples, limits, strict=True)
    ]


def _limits(
    examples: Sequence[Example],
    positives: Sequence[int | None],
    vectors: Vectors,
    index: Index,
    encoder: Encoder,
    request: Request,
) -> list[float]:
    """The highest similarity that a negative of each example may have."""
    if request.margin is None and request.relative_margin is None:
        return [np.inf] * len(examples)
    lacking = list(
        dict.fromkeys(e.document or "" for e, number in zip(examples, positives, strict=True) if number is None)
    )
    embedded = dict(zip(lacking, encoder.embed(lacking, "document"), strict=True))
    limits = []
    for example, number in zip(examples, positives, strict=True):
        positive = embedded[example.document or ""] if number is None else index.vectors[number].float().numpy()
        score = float(vectors[example.query] @ positive)
        limits.append(min(score - (request.margin or 0.0), score - abs(score) * (request.relative_margin or 0.0)))
    return limits


def _training_rows(
    rows: Sequence[Row], examples: Sequence[Example], negatives: Sequence[list[str]], columns: Columns
) -> list[dict[str, Any]]:
    """The rows of the file, with what they have and what was found in the column of the negatives."""
    name = str(columns.source("negatives"))
    return [
        {**row.original, name: [*example.negatives, *found]}
        for row, example, found in zip(rows, examples, negatives, strict=True)
    ]


def _ranking_rows(
    rows: Sequence[Row], examples: Sequence[Example], negatives: Sequence[list[str]], columns: Columns
) -> list[dict[str, Any]]:
    """A row for each query and document: label 1 for one that answers it, 0 for a negative; each pair once.

    The documents of a query are in the order of their hashes, which tells nothing about them.
    """
    labels: dict[tuple[str, str], int] = {}
    for example in examples:
        labels[example.query, example.document or ""] = 1
    for example, found in zip(examples, negatives, strict=True):
        for document in (*example.negatives, *found):
            labels.setdefault((example.query, document), 0)
    order = {example.query: place for place, example in reversed([*enumerate(examples)])}
    pairs = sorted(labels.items(), key=lambda item: (order[item[0][0]], text_key(item[0][1])))
    return [{"query": query, "document": document, "label": label} for (query, document), label in pairs]


def _tell(negatives: Sequence[list[str]], request: Request, output: Path, console: Console) -> None:
    fewer = sum(len(found) < request.count for found in negatives)
    none = sum(not found for found in negatives)
    total = sum(map(len, negatives))
    print_line(console, f"{counted(total, 'negative')} for {counted(len(negatives), 'row')}")
    if fewer:
        without = f", {none:,} of them none" if none else ""
        print_line(
            console,
            f"{counted(fewer, 'row has', 'rows have')} fewer than {request.count}{without}: lower --first or the "
            f"margin, raise --last, or name a larger --corpus",
        )
    print_line(console, f"written: {escape(str(output))}")
