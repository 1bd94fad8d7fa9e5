"""A check of the data as people read it on a terminal: a table, findings with their places, strange rows."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..console import share

COLOURS = {"alarm": "bold red", "warning": "yellow", "note": "cyan"}
PLACES = 3
LABELS = 20


def show_check(document: dict[str, Any], console: Console, stage: str = "") -> None:
    """Print it, the summary first and what is gravest next; above it the name of a stage."""
    if stage:
        _line(console, f"\n[bold]stage {escape(stage)}[/]")
    console.print(_summary(document), highlight=False)
    for finding in document["findings"]:
        colour = COLOURS[finding["severity"]]
        _line(console, f"[{colour}]{finding['severity']}[/] {escape(finding['message'])}")
        for place in finding["places"][:PLACES]:
            _line(console, f"    {escape(place)}")
        if finding["count"] > PLACES:
            _line(console, f"    … and {finding['count'] - PLACES:,} more in data-check.json")
        _line(console, f"    [dim]→ {escape(finding['remedy'])}[/]")
    if not document["findings"]:
        _line(console, "[green]nothing amiss was found[/]")
    if document["strangest"]:
        _line(console, "\n[bold]The strangest rows[/], worth reading")
    for row in document["strangest"]:
        _line(console, f"{escape(row['place'])}: {escape('; '.join(row['reasons']))}")
        _line(console, f"    [dim]{escape(row['text'])}[/]")


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _summary(document: dict[str, Any]) -> Table:
    splits = document["splits"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in splits:
        table.add_column(name, justify="right")
    for name, cells in _lines(list(splits.values())).items():
        table.add_row(escape(name), *cells)
    return table


def _lines(splits: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The rows of the summary by their names: a cell for each split."""
    quantiles = [split["tokens"] for split in splits]
    lines = {
        "rows": [f"{split['rows']:,}" for split in splits],
        "tokens: half have up to": [f"{tokens['median']:,}" for tokens in quantiles],
        "99 % have up to": [f"{tokens['p99']:,}" for tokens in quantiles],
        "the longest": [f"{tokens['max']:,}" for tokens in quantiles],
        "cut by max_length": [_cut(split, "cut") for split in splits],
    }
    if "cut_targets" in splits[0]:
        lines["targets cut"] = [_cut(split, "cut_targets") for split in splits]
    if "labels" in splits[0]:
        names = list(dict.fromkeys(name for split in splits for name in split["labels"]))
        lines |= {name: [_part(split["labels"], name) for split in splits] for name in names[:LABELS]}
        if len(names) > LABELS:
            lines[f"and {len(names) - LABELS} labels more"] = [""] * len(splits)
    elif "numbers" in splits[0]:
        for name, key in (("number: smallest", "min"), ("median", "median"), ("mean", "mean"), ("largest", "max")):
            lines[name] = [f"{split['numbers'][key]:.4g}" for split in splits]
        counts = [split["numbers"]["counts"] for split in splits]
        values = list(dict.fromkeys(value for some in counts for value in some))
        lines |= {f"rows with {value}": [_part(some, value) for some in counts] for value in values}
    else:
        lines["words to write: half up to"] = [f"{split['answer_words']['median']:,.0f}" for split in splits]
        lines["the most"] = [f"{split['answer_words']['max']:,.0f}" for split in splits]
    return lines


def _cut(split: dict[str, Any], key: str) -> str:
    return share(split[key], split["rows"]) if split.get(key) else "none"


def _part(counts: dict[str, int], name: str) -> str:
    count = counts.get(name, 0)
    return f"{count:,}  {count / max(1, sum(counts.values())):6.1%}"
