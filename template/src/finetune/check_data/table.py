"""Print a data check: a summary table, the findings with their places, the outliers."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from ..console import print_line, print_table, share

COLOURS = {"alarm": "bold red", "warning": "yellow", "note": "cyan"}
PLACES = 3
LABELS = 20


def show_check(document: dict[str, Any], console: Console, stage: str = "") -> None:
    """Print the summary, the findings by severity and the outliers; above them the name of the stage, if any."""
    if stage:
        print_line(console, f"\n[bold]stage {escape(stage)}[/]")
    _print_summary(document, console)
    for finding in document["findings"]:
        colour = COLOURS[finding["severity"]]
        print_line(console, f"[{colour}]{finding['severity']}[/] {escape(finding['message'])}")
        for place in finding["places"][:PLACES]:
            print_line(console, f"    {escape(place)}")
        if finding["count"] > PLACES:
            print_line(console, f"    … and {finding['count'] - PLACES:,} more in data-check.json")
        print_line(console, f"    [dim]→ {escape(finding['remedy'])}[/]")
    if not document["findings"]:
        print_line(console, "[green]no problems found[/]")
    if document["strangest"]:
        print_line(console, "\n[bold]Outliers[/], worth reading")
    for row in document["strangest"]:
        print_line(console, f"{escape(row['place'])}: {escape('; '.join(row['reasons']))}")
        print_line(console, f"    [dim]{escape(row['text'])}[/]")


def _print_summary(document: dict[str, Any], console: Console) -> None:
    splits = document["splits"]
    rows = [[name, *cells] for name, cells in _lines(list(splits.values())).items()]
    print_table(console, ["", *splits], rows, text_columns=1)


def _lines(splits: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The rows of the summary table by name, with a cell for each split."""
    quantiles = [split["tokens"] for split in splits]
    lines = {
        "rows": [f"{split['rows']:,}" for split in splits],
        "tokens: median": [f"{tokens['median']:,}" for tokens in quantiles],
        "tokens: 99th percentile": [f"{tokens['p99']:,}" for tokens in quantiles],
        "tokens: maximum": [f"{tokens['max']:,}" for tokens in quantiles],
        "truncated to max_length": [_truncated(split, "cut") for split in splits],
    }
    if "cut_targets" in splits[0]:
        lines["truncated targets"] = [_truncated(split, "cut_targets") for split in splits]
    if "labels" in splits[0]:
        names = list(dict.fromkeys(name for split in splits for name in split["labels"]))
        lines |= {name: [_part(split["labels"], name) for split in splits] for name in names[:LABELS]}
        if len(names) > LABELS:
            lines[f"and {len(names) - LABELS} more labels"] = [""] * len(splits)
    elif "numbers" in splits[0]:
        for name, key in (("number: minimum", "min"), ("median", "median"), ("mean", "mean"), ("maximum", "max")):
            lines[name] = [f"{split['numbers'][key]:.4g}" for split in splits]
        counts = [split["numbers"]["counts"] for split in splits]
        values = list(dict.fromkeys(value for some in counts for value in some))
        lines |= {f"rows with {value}": [_part(some, value) for some in counts] for value in values}
    else:
        lines["words of the target: median"] = [f"{split['answer_words']['median']:,.0f}" for split in splits]
        lines["words of the target: maximum"] = [f"{split['answer_words']['max']:,.0f}" for split in splits]
    return lines


def _truncated(split: dict[str, Any], key: str) -> str:
    return share(split[key], split["rows"]) if split.get(key) else "none"


def _part(counts: dict[str, int], name: str) -> str:
    count = counts.get(name, 0)
    return f"{count:,}  {count / max(1, sum(counts.values())):6.1%}"
