"""Check a dataset before training: distributions, problems and outliers. The data are not changed.

The result is written to `<run.dir>/<run.name>-data/`, where the report of the run finds it. Each stage is checked by
itself, a .txt file by its paragraphs.
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
from ..config.config import Config, Files
from ..console import progress, share
from ..data.files import checksum, files_of, shown
from ..data.invalid import InvalidRows
from ..data.rows import Row
from ..dataset import CHUNK_ROWS, new_task, stream_chosen
from ..errors import UserError
from ..feature_cache import without_gc
from ..files import make_folders, write_atomic
from ..model.load import load_model_config, load_tokenizer
from ..model.requirements import position_limit
from ..model.tiny import is_tiny
from ..tasks.base import Task
from ..tasks.entities import EntityError
from ..tasks.settings import Seq2SeqSettings, Settings
from .duplicates import duplicate_findings, find_duplicates
from .features import feature_findings
from .findings import Entry, Finding, by_severity
from .invalid import invalid_findings
from .labels import balance, balance_findings
from .outliers import find_outliers
from .pairs import pair_findings
from .tag_problems import entity_findings, tag_findings
from .text_problems import text_problem_findings

FORMAT = 1
"""Version of the keys in data-check.json."""
PLACES = 1000
"""Most places of a finding that are written."""
EXCERPT = 120
"""Most characters of an outlier's text that are written."""
BINS = 30
"""Bins of the histogram of lengths, and one for longer rows."""
NO_LIMIT = 10**9
"""A length to which nothing is truncated."""
WORTH_A_WARNING = 0.01
"""Share of truncated texts from which on the score suffers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A split: its rows as examples of the task and as entries of the check."""

    name: str
    paths: list[Path]
    examples: list[Any]
    entries: list[Entry]
    tagged: list[Row]
    """The rows themselves, of a task with tags."""
    invalid: list[tuple[str, UserError]]
    """The errors of the rows that the task cannot read, each with its place; the other fields lack these rows."""

    @property
    def misplaced(self) -> list[str]:
        """Entities that do not fit the text of their row, each with its place."""
        return [place for _, error in self.invalid if isinstance(error, EntityError) for place in error.places]

    @property
    def unreadable(self) -> list[str]:
        """What else is wrong with rows, each with its place."""
        return [str(error) for _, error in self.invalid if not isinstance(error, EntityError)]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of each row of a split, and how many rows are truncated."""

    tokens: list[int]
    truncated: int
    targets: list[int]
    """Tokens of the target of an encoder-decoder model; zeros for other models."""
    truncated_targets: int


def trainings_of(config: Config) -> list[Config]:
    """The trainings of a config: each stage as a config of its own, or without stages the config itself."""
    stages = optional.find("continual", "stage_config") if config.stages else None
    if stages is None:
        return [config]
    return [stages.stage_config(config, number) for number in range(len(config.stages))]


@without_gc()
def check_data(config: Config) -> dict[str, Any]:
    """Check all splits of one training; returns the content of data-check.json.

    Raises UserError for what a training would refuse, except for rows that the task cannot read, such as those without
    a text, and for labels that train lacks: these are findings.
    """
    task = new_task(config.model_copy(update={"task": _without_target_limit(config.task)}))
    parts = [_read(config, task, name, files) for name, files in _files(config).items()]
    entries = [entry for part in parts for entry in part.entries]
    task.fit([example for part in parts for example in part.examples])
    tokenizer = load_tokenizer(config.model, task, parts[0].examples)
    lengths = _lengths(config, task, parts, tokenizer)
    most, ways = longest_input(config, tokenizer), other_ways(config)
    duplicates = find_duplicates(entries)
    findings = [
        *invalid_findings({part.name: part.unreadable for part in parts}, config.data.skip_invalid),
        *duplicate_findings(entries, duplicates),
        *balance_findings(entries),
        *feature_findings(config.data.features, entries),
        *_truncation_findings("cut", "model.max_length", config.model.max_length, parts, lengths, most, ways),
        *_truncation_findings("cut-target", "task.max_target_length", _target_limit(config.task), parts, lengths),
        *(
            found
            for part in parts
            if "tags" in config.task.target_columns
            for found in (*entity_findings(part.name, part.misplaced), *tag_findings(part.name, part.tagged))
        ),
        *pair_findings(entries),
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
        "data": {path.as_posix(): checksum(path) for part in parts for path in part.paths},
        "token_edges": edges,
        "splits": {part.name: _described(part, lengths[part.name], edges) for part in parts},
        "findings": [_written(finding) for finding in by_severity(findings)],
        "strangest": [
            {
                **{"split": outlier.entry.split, "place": outlier.entry.place, "score": round(outlier.score, 2)},
                **{"reasons": outlier.reasons, "text": " ".join(outlier.entry.text.split())[:EXCERPT]},
            }
            for outlier in find_outliers(entries, tokens, duplicates)
        ],
    }


def write_check(document: dict[str, Any], folder: Path) -> Path:
    """Write `data-check.json` and `data-check.svg`; returns the path of the plot."""
    from .plot import draw_data

    make_folders(folder)
    write_atomic(folder / "data-check.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return draw_data(document, folder / "data-check.svg")


def _files(config: Config) -> dict[str, Files]:
    files = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    return {name: found for name, found in files.items() if found is not None}


def _read(config: Config, task: Task[Any, Any], name: str, files: Files) -> Part:
    """Read a split. The task has not been fitted yet, so it accepts every label."""
    invalid, paths = InvalidRows.all_kept(), files_of(files)
    rows = stream_chosen(config.data, task, files, invalid)
    if all(path.suffix.lower() == ".txt" for path in paths):
        texts = zip(paths, rows, strict=True)
        rows = (row for path, whole in texts for row in paragraphs(path, whole.values["text"]))
    part = Part(name, paths, [], [], [], invalid.errors)
    with progress(f"reading {shown(files)}") as advance:
        for row in rows:
            example = task.example(row)
            part.examples.append(example)
            part.entries.append(Entry(name, row.place, task.summary(example)))
            if "tags" in config.task.target_columns:
                part.tagged.append(row)
            advance(1)
    if not part.entries:
        raise invalid.errors[0][1]
    return part


def paragraphs(path: Path, text: str) -> list[Row]:
    """The paragraphs of a text, separated by blank lines; its lines, if there are no blank ones."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    blocks = [list(block) for has_words, block in groupby(lines, lambda pair: bool(pair[1])) if has_words]
    if len(blocks) == 1:
        blocks = [[line] for line in blocks[0]]
    texts = {block[0][0]: "\n".join(line for _, line in block) for block in blocks}
    return [Row(f"{path}:{start}", {"text": block}, {"text": block}) for start, block in texts.items()]


def _target_limit(settings: Settings) -> int:
    return settings.max_target_length if isinstance(settings, Seq2SeqSettings) else NO_LIMIT


def _without_target_limit(settings: Settings) -> Settings:
    if not isinstance(settings, Seq2SeqSettings):
        return settings
    return settings.model_copy(update={"max_target_length": NO_LIMIT})


def _lengths(config: Config, task: Task[Any, Any], parts: Sequence[Part], tokenizer: Any) -> dict[str, Lengths]:
    """Lengths in tokens, by the tokenizer of the training."""
    found, limit = {}, config.model.max_length
    for part in parts:
        tokens, targets = np.zeros((2, len(part.examples)), np.int64)
        truncated = 0
        with progress(f"tokenizing {part.name}", len(part.examples)) as advance:
            for start in range(0, len(part.examples), CHUNK_ROWS):
                chunk = part.examples[start : start + CHUNK_ROWS]
                for feature in task.encode(chunk, tokenizer, NO_LIMIT).features:
                    number = start + feature.example
                    tokens[number] = max(tokens[number], feature.length)
                    targets[number] = max(targets[number], feature.target_length)
                long = [chunk[number] for number in np.flatnonzero(tokens[start:][: len(chunk)] > limit)]
                truncated += len(long) if task.truncates or not long else task.encode(long, tokenizer, limit).truncated
                advance(len(chunk))
        truncated_targets = int((targets > _target_limit(config.task)).sum())
        found[part.name] = Lengths(tokens.tolist(), truncated, targets.tolist(), truncated_targets)
    return found


def other_ways(config: Config) -> list[str]:
    """Values of model.overflow that read more of a long text than the config's."""
    more = {"cut": ["windows", "head_tail"], "head_tail": ["windows"], "windows": []}
    return more[config.model.overflow] if config.task.reads_long_texts else []


def longest_input(config: Config, tokenizer: Any) -> int:
    """Tokens that the model can read at most."""
    if is_tiny(config.model.name):  # made for the length of the config
        return NO_LIMIT
    return min(position_limit(load_model_config(config.model)) or NO_LIMIT, int(tokenizer.model_max_length))


def _remedy(enough: int, limit: int, most: int, ways: Sequence[str]) -> str:
    """What to do about rows of which 99 % have up to `enough` tokens, where a model reads up to `most`."""
    otherwise = f"set model.overflow to {' or '.join(ways)}" if ways else ""
    if enough <= limit:
        return "fine if the end of a text matters little" + f", else {otherwise}" * bool(ways)
    if enough <= most:
        return f"raise it to {enough}, the 99th percentile" + f", or {otherwise}" * bool(ways)
    return f"{otherwise or 'choose a model that reads longer texts'}: this model reads at most {most} tokens"


def _truncation_findings(
    kind: Literal["cut", "cut-target"],
    key: str,
    limit: int,
    parts: Sequence[Part],
    lengths: dict[str, Lengths],
    most: int = NO_LIMIT,
    ways: Sequence[str] = (),
) -> Iterator[Finding]:
    """Rows or targets that are truncated."""
    of_targets = kind == "cut-target"
    truncated = {name: some.truncated_targets if of_targets else some.truncated for name, some in lengths.items()}
    tokens = {name: some.targets if of_targets else some.tokens for name, some in lengths.items()}
    shares = {part.name: truncated[part.name] / len(part.entries) for part in parts}
    if not any(shares.values()):
        return
    told = [f"{share(truncated[part.name], len(part.entries))} of {part.name}" for part in parts if shares[part.name]]
    enough = int(np.quantile([count for some in tokens.values() for count in some], 0.99))
    effect = (
        "the model does not learn the end of these targets"
        if of_targets
        else "the model does not read the rest of these rows"
    )
    yield Finding(
        kind,
        "warning" if max(shares.values()) >= WORTH_A_WARNING else "note",
        max(shares, key=lambda name: shares[name]),
        f"{key}, {limit} tokens, truncates {', '.join(told)}: {effect}",
        _remedy(enough, limit, most, ways),
        [
            f"{row.place} ({count:,} tokens)"
            for part in parts
            for row, count in zip(part.entries, tokens[part.name], strict=True)
            if count > limit
        ],
    )


def _edges(tokens: Sequence[int]) -> list[int]:
    """Bin edges of the histogram, up to the 99.5th percentile; the last bin takes longer rows."""
    step = max(1, ceil(float(np.quantile(tokens, 0.995)) / BINS))
    return list(range(0, (BINS + 1) * step + 1, step))


def _described(part: Part, lengths: Lengths, edges: Sequence[int]) -> dict[str, Any]:
    counts, _ = np.histogram(np.minimum(lengths.tokens, edges[-1]), edges)
    quantiles = np.quantile(lengths.tokens, (0, 0.5, 0.95, 0.99, 1)).round().astype(int).tolist()
    return {
        "file": shown(part.paths),
        "rows": len(part.entries),
        "tokens": dict(zip(("min", "median", "p95", "p99", "max"), quantiles, strict=True)),
        "token_histogram": counts.tolist(),
        "cut": lengths.truncated,
        **({"cut_targets": lengths.truncated_targets} if any(lengths.targets) else {}),
        **balance(part.entries),
    }


def _written(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "count": len(finding.places), "places": finding.places[:PLACES]}
