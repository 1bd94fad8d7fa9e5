"""Print a comparison."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from ..console import print_table
from ..tasks.results import INTERVAL, interval_text

TESTS = {
    "mcnemar": "McNemar's exact test",
    "bootstrap": "paired bootstrap",
}


def show_comparison(found: dict[str, Any], console: Console) -> None:
    """Settings, metrics, differences, spread over seeds, and last the result in a sentence for each run."""
    first, *others = found["names"]
    _heading(console, "Settings that differ")
    if settings := found["settings"]:
        rows = [[key, *("" if value is None else str(value) for value in row)] for key, row in settings.items()]
        print_table(console, ["", *found["names"]], rows)
    else:
        console.print("none", highlight=False)
    _heading(console, f"{found['split']}: {found['runs'][0]['size']} of {found['runs'][0]['data']}")
    print_table(console, ["", *found["names"]], _metrics(found))
    _heading(console, f"Difference of {found['headline']} to {first}")
    print_table(console, ["", "difference", INTERVAL, "p", ""], [
        [one["run"], f"{one['difference']:+z.4f}", interval_text(one["interval"]), _p(one["p"]), one["verdict"]]
        for one in found["differences"]
    ])  # fmt: skip
    corrected = f", corrected for {len(others)} comparisons (Holm)" if found["correction"] else ""
    note = f"Interval: paired bootstrap over the same examples. p: {TESTS[found['test']]}{corrected}."
    console.print(f"[dim]{escape(note)}[/]", highlight=False)
    for group in found["seeds"]:
        _heading(console, f"Over seeds: {', '.join(group['runs'])}")
        row = [found["headline"], group["mean"], group["deviation"], interval_text(group["interval"])]
        print_table(console, ["", "mean", "standard deviation", f"{INTERVAL} of the mean"], [row])
    for one in found["differences"]:
        console.print(f"[bold]Result:[/] {escape(_sentence(one, first, found))}", highlight=False)


def _metrics(found: dict[str, Any]) -> list[list[str | int | float]]:
    runs, main = found["runs"], found["headline"]
    names = sorted(dict.fromkeys(name for run in runs for name in run["metrics"]), key=lambda name: name != main)
    rows: list[list[str | int | float]] = [[name, *(run["metrics"].get(name, "") for run in runs)] for name in names]
    rows.insert(1, [INTERVAL, *(interval_text(run["interval"]) for run in runs)])
    return [*rows, ["loss", *(run["loss"] for run in runs)]]


def _sentence(one: dict[str, Any], first: str, found: dict[str, Any]) -> str:
    figures = (
        f"{found['headline']} {one['difference']:+z.4f}, {INTERVAL} {interval_text(one['interval'])}, p {_p(one['p'])}"
    )
    if one["verdict"] == "not significant":
        return f"{one['run']} and {first} do not differ significantly ({figures})."
    return f"{one['run']} is {one['verdict']} than {first} ({figures})."


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/]", highlight=False)
