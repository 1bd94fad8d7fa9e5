"""Look at the data before a training does: what is in them, what is amiss, and which rows are strange.

Nothing is changed. What is found is written to `<run.dir>/<run.name>-data/`, from where the report of the run takes it.
Stages are checked one by one, a .txt file by its paragraphs.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import optional
from ..config.config import Config
from ..console import share
from ..data.rows import Row
from ..dataset import read_chosen
from ..files import sha256_of, write_atomic
from ..model.load import load_tokenizer
from ..tasks import make_task
from ..tasks.base import Task
from ..tasks.seq2seq import Seq2SeqSettings
from ..tasks.settings import Settings
from .duplicates import duplicate_findings, find_duplicates
from .findings import Entry, Finding, by_severity
from .labels import balance, balance_findings
from .outliers import find_outliers
from .tag_problems import tag_findings
from .text_problems import text_problem_findings

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
    """Tokens of each row of a split, and how many rows are cut."""

    tokens: list[int]
    cut: int
    targets: list[int]
    """Tokens of what a decoder of its own is to write; zeros where there is none."""
    cut_targets: int


def trainings_of(config: Config) -> list[Config]:
    """The trainings of a config: each stage as a config of its own, or without stages the config itself."""
    stages = optional.find("continual", "stages") if config.stages else None
    if stages is None:
        return [config]
    return [stages.stage_config(config, number) for number in range(len(config.stages))]


def check_data(config: Config) -> dict[str, Any]:
    """Check all splits of one training; returns what is written as JSON.

    Raises UserError for what a training would refuse, but for a label that only the other splits have: that is found.
    """
    task = make_task(_with_whole_targets(config.task))
    parts = [_read(config, task, name, path) for name, path in _files(config).items()]
    entries = [entry for part in parts for entry in part.entries]
    lengths = _lengths(config, task, parts)
    twins = find_duplicates(entries)
    findings = [
        *duplicate_findings(entries, twins),
        *balance_findings(entries),
        *_cut_findings("cut", "model.max_length", config.model.max_length, parts, lengths),
        *_cut_findings("cut-target", "task.max_target_length", _target_limit(config.task), parts, lengths),
        *(finding for part in parts if "tags" in task.target_columns for finding in tag_findings(part.name, part.rows)),
        *text_problem_findings(entries, task.splits_into_words),
    ]
    tokens = [count for length in lengths.values() for count in length.tokens]
    edges = _edges(tokens)
    return {
        "format": FORMAT,
        "task": config.task.type,
        "model": config.model.name,
        "max_length": config.model.max_length,
        "where": config.data.where,
        "data": {part.path.as_posix(): sha256_of(part.path) for part in parts},
        "token_edges": edges,
        "splits": {part.name: _described(part, lengths[part.name], edges) for part in parts},
        "findings": [_written(finding) for finding in by_severity(findings)],
        "strangest": [
            {
                **{"split": strange.entry.split, "place": strange.entry.place, "score": round(strange.score, 2)},
                **{"reasons": strange.reasons, "text": " ".join(strange.entry.text.split())[:EXCERPT]},
            }
            for strange in find_outliers(entries, tokens, twins)
        ],
    }


def write_check(document: dict[str, Any], folder: Path) -> Path:
    """Write `data-check.json` and `data-check.png`; returns the picture."""
    from .plot import draw_data

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "data-check.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return draw_data(document, folder / "data-check.png")


def _files(config: Config) -> dict[str, Path]:
    files = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    return {name: path for name, path in files.items() if path is not None}


def _read(config: Config, task: Task[Any, Any], name: str, path: Path) -> Part:
    """The rows of a file as examples of their own; the task knows no labels yet, so it refuses none."""
    found = read_chosen(config.data, task, path)
    if path.suffix.lower() == ".txt":
        found = paragraphs(path, found[0].values["text"])
    examples = [task.example(row) for row in found]
    pairs = zip(found, examples, strict=True)
    return Part(name, path, found, examples, [Entry(name, row.place, task.summary(one)) for row, one in pairs])


def paragraphs(path: Path, text: str) -> list[Row]:
    """What stands between blank lines; each line, where there are none."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    blocks = [list(block) for has_words, block in groupby(lines, lambda pair: bool(pair[1])) if has_words]
    if len(blocks) == 1:
        blocks = [[line] for line in blocks[0]]
    texts = {block[0][0]: "\n".join(line for _, line in block) for block in blocks}
    return [Row(f"{path}:{start}", {"text": block}, {"text": block}) for start, block in texts.items()]


def _target_limit(settings: Settings) -> int:
    return settings.max_target_length if isinstance(settings, Seq2SeqSettings) else UNCUT


def _with_whole_targets(settings: Settings) -> Settings:
    if not isinstance(settings, Seq2SeqSettings):
        return settings
    return settings.model_copy(update={"max_target_length": UNCUT})


def _lengths(config: Config, task: Task[Any, Any], parts: Sequence[Part]) -> dict[str, Lengths]:
    """Lengths by the tokenizer that the training would use."""
    task.fit([example for part in parts for example in part.examples])
    tokenizer = load_tokenizer(config.model, task, parts[0].examples)
    found = {}
    for part in parts:
        tokens, targets = [0] * len(part.examples), [0] * len(part.examples)
        for feature in task.encode(part.examples, tokenizer, UNCUT).features:
            tokens[feature.example] = max(tokens[feature.example], feature.length)
            targets[feature.example] = max(targets[feature.example], feature.target_length)
        # What becomes of a long row the task knows: it may go through windows.
        long = [one for one, count in zip(part.examples, tokens, strict=True) if count > config.model.max_length]
        cut = task.encode(long, tokenizer, config.model.max_length).truncated if long else 0
        cut_targets = sum(count > _target_limit(config.task) for count in targets)
        found[part.name] = Lengths(tokens, cut, targets, cut_targets)
    return found


def _cut_findings(
    kind: Literal["cut", "cut-target"], key: str, limit: int, parts: Sequence[Part], lengths: dict[str, Lengths]
) -> Iterator[Finding]:
    """Rows of which the end is not read, or not learnt to be written."""
    of_targets = kind == "cut-target"
    cut = {name: some.cut_targets if of_targets else some.cut for name, some in lengths.items()}
    tokens = {name: some.targets if of_targets else some.tokens for name, some in lengths.items()}
    shares = {part.name: cut[part.name] / len(part.rows) for part in parts}
    if not any(shares.values()):
        return
    told = [f"{share(cut[part.name], len(part.rows))} of {part.name}" for part in parts if shares[part.name]]
    enough = int(np.quantile([count for some in tokens.values() for count in some], 0.99))
    effect = "the end of these targets is never learnt" if of_targets else "the rest of these rows is not read"
    yield Finding(
        kind,
        "warning" if max(shares.values()) >= WORTH_A_WARNING else "note",
        max(shares, key=lambda name: shares[name]),
        f"{key}, {limit} tokens, cuts {', '.join(told)}: {effect}",
        f"raise it to {enough}, into which 99 % fit" if enough > limit else "fine where the end says little",
        [
            f"{row.place} ({count:,} tokens)"
            for part in parts
            for row, count in zip(part.rows, tokens[part.name], strict=True)
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
        **({"cut_targets": lengths.cut_targets} if any(lengths.targets) else {}),
        **balance(part.entries),
    }


def _written(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "count": len(finding.places), "places": finding.places[:PLACES]}
