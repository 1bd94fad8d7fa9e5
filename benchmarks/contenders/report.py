"""The tables of the speed benchmark and their picture, made of docs/speed.json."""

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .workloads import ARMS, OURS, WORKLOADS

DOCS = Path(__file__).resolve().parents[2] / "docs"
DATA, PAGE, PICTURE = DOCS / "speed.json", DOCS / "benchmarks.md", DOCS / "images" / "speed.png"
MARKS = ("<!-- speed -->", "<!-- /speed -->")
STARTUP = "startup"

Measured = dict[str, Any]
"""Of a workload: `command`, `machine`, `on_gpu`, and `arms`, the fields of `Figures` by arm; of startup: `commands`."""


def write(name: str, found: Measured) -> None:
    """Add a workload to the file, in place of what it says of it, and write the section of the page and the picture."""
    every = (json.loads(DATA.read_text("utf-8")) if DATA.is_file() else {}) | {name: found}
    every = {name: every[name] for name in (*WORKLOADS, STARTUP) if name in every}
    DATA.write_text(json.dumps(every, indent=1) + "\n", "utf-8")
    page = PAGE.read_text("utf-8")
    lines = [MARKS[0], *section(every), MARKS[1]]
    pattern = re.compile(f"{MARKS[0]}.*{MARKS[1]}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE} lacks the lines {MARKS[0]} and {MARKS[1]}: put them where the tables belong")
    PAGE.write_text(pattern.sub(lambda _: "\n".join(lines), page), "utf-8")
    draw(every)


def section(every: dict[str, Measured]) -> Iterator[str]:
    """The tables of all workloads, and what was not measured."""
    for name, found in every.items():
        yield from show(name, found)
        yield ""
    if left := [load.title for name, load in WORKLOADS.items() if name not in every]:
        yield f"Not measured, for want of a GPU or of time: {'; '.join(left)}."


def show(name: str, found: Measured) -> Iterator[str]:
    """Heading, command and table of a workload."""
    yield f"### {WORKLOADS[name].title if name in WORKLOADS else 'Start of a command'}"
    yield ""
    yield f"`python dev.py bench speed {found['command']}`; {found['machine']}"
    yield ""
    yield from _commands(found["commands"]) if name == STARTUP else _arms(found["arms"], found["on_gpu"])


def _arms(arms: dict[str, Any], on_gpu: bool) -> Iterator[str]:
    unit = "s" if on_gpu else "s of processor"
    yield (f"| | training, {unit} | by the clock | of finetune | evaluation, {unit} | of finetune | prediction, {unit} "
           "| of finetune | peak MB | loss, metric after it |")  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for kind, found in arms.items():
        cells = [ARMS[kind]]
        for what in ("training", "evaluation", "prediction"):
            ratio = ratio_to_ours(arms, kind, what)
            cells += [spread(found[what]), f"{ratio:.2f}"] if ratio else ["", ""]
        cells.insert(2, f"{statistics.median(found['wall']):.2f}" if found["wall"] else "")
        learned = [statistics.median(values) for values in (found["losses"], found["metrics"]) if values]
        cells += (
            [f"{found['peak']:,.0f}" if found["peak"] else "", ", ".join(f"{value:.3f}" for value in learned)]
            if learned
            else ["", ""]
        )
        yield f"| {' | '.join(cells)} |"


def _commands(times: dict[str, Any]) -> Iterator[str]:
    yield "| command | s of processor | s |"
    yield "| --- | --- | --- |"
    for name, found in times.items():
        yield f"| `{name}` | {spread(found['processor'])} | {spread(found['wall'])} |"


def ratio_to_ours(arms: dict[str, Any], kind: str, what: str) -> float | None:
    """How many times as long an arm takes as finetune, by medians; None if it was not measured."""
    times, ours = arms[kind][what], arms[OURS][what]
    return statistics.median(times) / statistics.median(ours) if times and ours else None


def spread(values: list[float]) -> str:
    """Median, and the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def draw(every: dict[str, Measured]) -> None:
    """Bars of the time that each arm takes, as a multiple of that of finetune."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {name: found["arms"] for name, found in every.items() if name != STARTUP}
    heights = [len(arms) for arms in shown.values()]
    figure, axes = pyplot.subplots(
        len(shown), 1, figsize=(9, 0.5 * sum(heights) + 0.9 * len(shown)), height_ratios=heights, squeeze=False
    )
    for axis, (name, arms) in zip(axes[:, 0], shown.items(), strict=True):
        for place, kind in enumerate(arms):
            for what, shift, colour in (("training", -0.19, "#2f6db5"), ("evaluation", 0.19, "#a9c6e8")):
                if (ratio := ratio_to_ours(arms, kind, what)) is None:
                    continue
                axis.barh(place + shift, ratio, 0.36, color=colour, label=what if place == 0 else None)
                axis.text(ratio, place + shift, f" {ratio:.2f}", va="center", fontsize=8)
        axis.set_yticks(range(len(arms)), [ARMS[kind].split(":")[0] for kind in arms], fontsize=9)
        axis.invert_yaxis()
        axis.axvline(1, color="0.3", linewidth=0.8)
        axis.set_title(WORKLOADS[name].title, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.08)
    axes[0, 0].legend(fontsize=8, frameon=False, loc="lower right")
    axes[-1, 0].set_xlabel("time as a multiple of finetune's; longer is slower", fontsize=9)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})
