"""Look at the data before a training does: what is in them, what is amiss, and which rows are strange.

Nothing is changed. What is found is written to `<run.dir>/<run.name>-data/`, from where the report of the run takes it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from .balance import balance, balance_findings
from .checkpoint import write_atomic
from .config import Config
from .data import Row, fingerprint, read_rows
from .duplicates import duplicate_findings, find_twins
from .findings import Entry, Finding, by_gravity
from .model import load_tokenizer
from .oddities import oddity_findings
from .splits import columns_of
from .strangest import strangest
from .tag_schemes import tag_findings
from .tasks import Task, make_task
from .wording import share

FORMAT = 1
"""Version of the keys in data-check.json."""
PLACES = 1000
"""Places of a finding that are written."""
EXCERPT = 120
"""Characters of a strange row that are."""
BINS = 30
"""Bars of the histogram of lengths."""
UNCUT = 10**9
"""A length that cuts nothing."""
WORTH_A_WARNING = 0.01
"""Share of texts that are cut from which on the score suffers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A split as it was read."""

    name: str
    path: Path
    rows: list[Row]
    examples: list[Any]
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of each row of a split, and how many rows max_length cuts."""

    tokens: list[int]
    cut: int


def check_data(config: Config) -> dict[str, Any]:
    """Check all splits of a config; returns what is written as JSON.

    Raises UserError for what a training would refuse, but for a label that only the other splits have: that is found.
    """
    task = make_task(config.task)
    parts = [_read(config, task, name, path) for name, path in _files(config).items()]
    entries = [entry for part in parts for entry in part.entries]
    lengths = _lengths(config, task, parts)
    twins = find_twins(entries)
    findings = [
        *duplicate_findings(entries, twins),
        *balance_findings(entries),
        *_cut_findings(config, parts, lengths),
        *(finding for part in parts if "tags" in task.learns for finding in tag_findings(part.name, part.rows)),
        *oddity_findings(entries, task.splits_into_words),
    ]
    tokens = [count for length in lengths.values() for count in length.tokens]
    edges = _edges(tokens)
    return {
        "format": FORMAT,
        "task": config.task.type,
        "model": config.model.name,
        "max_length": config.model.max_length,
        "data": {part.path.as_posix(): fingerprint(part.path) for part in parts},
        "token_edges": edges,
        "splits": {part.name: _described(part, lengths[part.name], edges) for part in parts},
        "findings": [_written(finding) for finding in by_gravity(findings)],
        "strangest": [
            {
                **{"split": strange.entry.split, "place": strange.entry.place, "score": round(strange.score, 2)},
                **{"reasons": strange.reasons, "text": " ".join(strange.entry.text.split())[:EXCERPT]},
            }
            for strange in strangest(entries, tokens, twins)
        ],
    }


def write_check(document: dict[str, Any], folder: Path) -> Path:
    """Write `data-check.json` and `data-check.png`; returns the picture."""
    from .data_picture import draw_data

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "data-check.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return draw_data(document, folder / "data-check.png")


def _files(config: Config) -> dict[str, Path]:
    files = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    return {name: path for name, path in files.items() if path is not None}


def _read(config: Config, task: Task[Any, Any], name: str, path: Path) -> Part:
    """The rows of a file as examples of their own; the task knows no labels yet, so it refuses none."""
    found = read_rows(path, columns_of(task, config.data))
    examples = [task.example(row) for row in found]
    pairs = zip(found, examples, strict=True)
    return Part(name, path, found, examples, [Entry(name, row.place, task.summary(one)) for row, one in pairs])


def _lengths(config: Config, task: Task[Any, Any], parts: Sequence[Part]) -> dict[str, Lengths]:
    """Lengths by the tokenizer that the training would use."""
    task.fit([example for part in parts for example in part.examples])
    tokenizer = load_tokenizer(config.model, task, parts[0].examples)
    found = {}
    for part in parts:
        tokens = [0] * len(part.examples)
        for feature in task.encode(part.examples, tokenizer, UNCUT).features:
            tokens[feature.example] = max(tokens[feature.example], feature.length)
        found[part.name] = Lengths(tokens, task.encode(part.examples, tokenizer, config.model.max_length).truncated)
    return found


def _cut_findings(config: Config, parts: Sequence[Part], lengths: dict[str, Lengths]) -> Iterator[Finding]:
    limit = config.model.max_length
    shares = {part.name: lengths[part.name].cut / len(part.rows) for part in parts}
    cut = [f"{share(lengths[part.name].cut, len(part.rows))} of {part.name}" for part in parts if shares[part.name]]
    if not cut:
        return
    enough = int(np.quantile([count for length in lengths.values() for count in length.tokens], 0.99))
    yield Finding(
        "cut",
        "warning" if max(shares.values()) >= WORTH_A_WARNING else "note",
        max(shares, key=lambda name: shares[name]),
        f"model.max_length, {limit} tokens, cuts {', '.join(cut)}: the rest of these rows is not read",
        f"raise it to {enough}, into which 99 % fit" if enough > limit else "fine where the end says little",
        [
            f"{row.place} ({count:,} tokens)"
            for part in parts
            for row, count in zip(part.rows, lengths[part.name].tokens, strict=True)
            if count > limit
        ],
    )


def _edges(tokens: Sequence[int]) -> list[int]:
    """Limits of the bars of the histogram, up to where nearly all are; the last takes the others."""
    step = max(1, ceil(float(np.quantile(tokens, 0.995)) / BINS))
    return list(range(0, (BINS + 1) * step + 1, step))


def _described(part: Part, lengths: Lengths, edges: Sequence[int]) -> dict[str, Any]:
    counts, _ = np.histogram(np.minimum(lengths.tokens, edges[-1]), edges)
    quantiles = np.quantile(lengths.tokens, (0, 0.5, 0.95, 0.99, 1)).round().astype(int).tolist()
    return {
        "file": part.path.as_posix(),
        "rows": len(part.rows),
        "tokens": dict(zip(("min", "median", "p95", "p99", "max"), quantiles, strict=True)),
        "token_histogram": counts.tolist(),
        "cut": lengths.cut,
        **balance(part.entries),
    }


def _written(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "count": len(finding.places), "places": finding.places[:PLACES]}
