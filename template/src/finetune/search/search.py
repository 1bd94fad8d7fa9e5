"""The verb `search`: bring the index up to date, find the documents of queries, show them or write them to a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ..console import counted, print_json, print_line, print_table
from ..data.columns import Columns
from ..data.output_file import OutputFile
from ..data.rows import Row
from ..data.writers import content_of, json_lines
from ..errors import UserError
from ..run.folder import RunFolder
from .documents import one_file, read_queries
from .quality import DEPTH, answers_of, bm25_metrics, first_stage, mean_metrics, quality_rows
from .searcher import Hit, Searcher, require_texts

SHOWN = 10
"""Queries of a file whose documents are shown."""
NARROWEST = 20
"""Characters of a document that are shown at least."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    queries: tuple[str, ...] = ()
    input: Path | None = None
    """A file of queries."""
    output: Path | None = None
    top: int = 10
    candidates: int = 50
    min_score: float | None = None
    as_json: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The documents of each query, and how good they are where that is known."""

    results: dict[str, list[Hit]]
    metrics: dict[str, dict[str, float]]
    """Of each stage, and of BM25; empty where no answers are known."""


def show_search(run: RunFolder, corpus: Path, rerank: RunFolder | None, request: Request, console: Console) -> None:
    """Do what is asked for. Raises UserError before anything is written where the input is wrong."""
    output = _output(request, run)
    require_texts(request.queries)
    searcher = Searcher(
        run,
        corpus,
        rerank,
        trust_remote_code=request.trust_remote_code,
        say=lambda line: print_line(console, escape(line)),
    )
    count = counted(len(searcher.index), "document")
    print_line(console, escape(f"index: {searcher.index.folder}, {count} ({searcher.change})"))
    columns, rows = _rows(searcher, request)
    if not rows:
        return
    found = _found(searcher, rows, request)
    if output:
        output.write(_content(output, columns, rows, found.results))
        print_line(console, f"written: {escape(str(output.path))}")
    if request.as_json:
        print_json(_document(searcher, corpus, found), indent=1)
        return
    if not output:
        for query, hits in [*found.results.items()][:SHOWN]:
            _show(query, hits, console)
        if len(found.results) > SHOWN:
            print_line(console, f"and {len(found.results) - SHOWN:,} more queries: --output FILE writes all of them")
    if found.metrics:
        console.print("\n[bold]Known answers[/]", highlight=False)
        print_table(console, *quality_rows(found.metrics))


def _output(request: Request, run: RunFolder) -> OutputFile | None:
    """Where the results are written. Raises UserError for an output that does not go with the input."""
    output = request.output
    if output is None:
        return None
    if request.input:
        return OutputFile.of(request.input, output, "results", lambda name: run.at("results", name))
    if not request.queries:
        raise UserError(f"--output {output}: without a query there are no results: add --query or --input")
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: the documents of a --query are .jsonl: let its name end in .jsonl")
    return OutputFile(output, output, ".jsonl")


def _rows(searcher: Searcher, request: Request) -> tuple[Columns, list[Row]]:
    """The queries as rows."""
    if request.input:
        return read_queries(one_file(request.input), searcher.encoder.config.data)
    rows = [Row("--query", {"query": query}, {"query": query}) for query in request.queries]
    return Columns(("query",)), rows


def _found(searcher: Searcher, rows: Sequence[Row], request: Request) -> Found:
    answers = answers_of(rows)
    queries = list(dict.fromkeys(row.values["query"] for row in rows))
    depth = max(request.top, DEPTH) if answers else request.top
    every = dict(zip(queries, searcher.stages(queries, depth, request.candidates, request.min_score), strict=True))
    metrics = {}
    if answers:
        metrics["bi-encoder"] = mean_metrics(answers, first_stage(every))
        if searcher.reranks:
            metrics["re-ranked"] = mean_metrics(answers, every)
        if plain := bm25_metrics(answers, searcher.index):
            metrics["BM25"] = plain
    return Found({query: hits[: request.top] for query, hits in every.items()}, metrics)


def _show(query: str, hits: Sequence[Hit], console: Console) -> None:
    console.print(Text(f"\n{query}", style="bold"), highlight=False)
    if not hits:
        print_line(console, "  no document")
        return
    reranked = any(hit.rerank_score is not None for hit in hits)
    places = [Path(hit.document.place).name for hit in hits]  # the folder stands above, with the index
    width = max(NARROWEST, console.width - max(map(len, places)) - (40 if reranked else 28))
    rows = []
    for hit, place in zip(hits, places, strict=True):
        text = Text(" ".join(hit.document.text.split()))
        text.truncate(width, overflow="ellipsis")
        second = [_cell(hit.rerank_score)] if reranked else []
        rows.append([hit.rank, *second, hit.score, text, place])
    scores = ["re-ranked", "similarity"] if reranked else ["similarity"]
    print_table(console, ["rank", *scores, "document", "place"], rows)


def _cell(score: float | None) -> str | float:
    return "" if score is None else score


def _record(hit: Hit) -> dict[str, Any]:
    second = {} if hit.rerank_score is None else {"rerank_score": hit.rerank_score}
    return {"rank": hit.rank, "score": hit.score, **second}


def _document(searcher: Searcher, corpus: Path, found: Found) -> dict[str, Any]:
    """What --json prints."""
    results = [
        {
            "query": query,
            "results": [
                {
                    **_record(hit),
                    "document": hit.document.text,
                    "place": hit.document.place,
                    "columns": hit.document.columns,
                }
                for hit in hits
            ],
        }
        for query, hits in found.results.items()
    ]
    described = {"folder": searcher.index.folder.as_posix(), "documents": len(searcher.index)}
    metrics = {"metrics": found.metrics} if found.metrics else {}
    return {"corpus": corpus.as_posix(), "index": described, "queries": results, **metrics}


def _content(output: OutputFile, columns: Columns, rows: Sequence[Row], results: dict[str, list[Hit]]) -> bytes:
    """A row for each document that was found, behind the columns of its query; one for a query without any."""
    pairs: list[tuple[Row, Hit | None]] = []
    for row in rows:
        found = results[row.values["query"]]
        pairs += [(row, hit) for hit in found] or [(row, None)]
    reranked = any(hit and hit.rerank_score is not None for _, hit in pairs)
    added = [*_added([hit for _, hit in pairs], reranked, flat=output.suffix not in (".jsonl", ".json"))]
    if output.source == output.path:  # there is no file of queries
        return json_lines({**row.original, **record} for (row, _), record in zip(pairs, added, strict=True))
    return content_of(output.source, columns, [row for row, _ in pairs], added)


def _added(hits: Sequence[Hit | None], reranked: bool, *, flat: bool) -> Iterator[Mapping[str, Any]]:
    """The columns of the results; `flat`: for formats whose cells hold no objects."""
    names = ["rank", "score", *(["rerank_score"] if reranked else []), "found", "place", "columns"]
    for hit in hits:
        if hit is None:
            yield dict.fromkeys(names)
            continue
        columns: Any = hit.document.columns
        if flat:
            columns = json.dumps(columns, ensure_ascii=False, default=str)
        found = {**_record(hit), "found": hit.document.text, "place": hit.document.place, "columns": columns}
        yield {name: found.get(name) for name in names}
