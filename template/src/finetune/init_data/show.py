"""Tell what a file was recognised as, what was left out, how it is split, and what was written."""

import json
from collections import Counter
from difflib import ndiff
from itertools import chain
from typing import Any

from rich.console import Console
from rich.markup import escape

from .. import optional
from ..console import Cell, counted, print_line, print_table
from ..data.usual_names import USUAL, usual_name
from .columns import are_numbers
from .dataset import Dataset, Written

PLACES = 3
LABELS = 20
EXAMPLES = 3
EXCERPT = 60
"""Most characters of a cell."""


def show_dataset(dataset: Dataset, console: Console) -> None:
    """Print task, columns, rows left out, the label distribution of the splits, and the first examples."""
    _show_recognised(dataset, console)
    for column, rows in dataset.left_out.items():
        places = ", ".join(row.place for row in rows[:PLACES]) + (", ..." if len(rows) > PLACES else "")
        message = f"{counted(len(rows), 'row')} without a value in column {column} ({places})"
        print_line(console, f"[yellow]left out:[/] {escape(message)}")
    _show_split(dataset, console)
    _show_examples(dataset, console)


def show_changes(written: Written, console: Console) -> None:
    """Print the files, the changed lines of the config, and the next command."""
    for path in written.files.values():
        print_line(console, f"written: {escape(str(path))}")
    changes = [line for line in ndiff(written.before.splitlines(), written.after.splitlines()) if line[0] in "+-"]
    print_line(console, f"{'changed' if changes else 'unchanged'}: {escape(str(written.config))}")
    for line in changes:
        print_line(console, f"  [{'green' if line[0] == '+' else 'red'}]{escape(line)}[/]")
    for verb in ("check-data", "train"):
        if verb == "train" or optional.is_there("check_data"):
            print_line(console, f"next: python -m finetune {verb} {escape(str(written.config))}")


def _show_recognised(dataset: Dataset, console: Console) -> None:
    found, request = dataset.recognised, dataset.request
    others = " or ".join(f"{name} (--task {name})" for name in found.others)
    also = f"; it could also be {others}" if others else ""
    print_line(console, f"{escape(str(request.file))}: [bold]{found.task.settings.type}[/]{also}")
    if found.form:
        print_line(console, f"  read as {escape(found.form.name)}")
        return
    for name, source in found.sources.items():
        given = source in (*request.texts, request.label)
        reason = "as told" if given else "a usual name" if usual_name(source) in USUAL else "by its values"
        print_line(console, f"  {name}: column {escape(source)} ({reason}), {dataset.columns[source].described()}")
    if dataset.config.task.type == "chat" != found.task.settings.type:
        print_line(console, "  chat needs a column messages: a list of {role, content} for each dialogue")
    used = (*found.sources.values(), request.group)
    unused = [name or "a column without a name" for name in dataset.columns if name not in used]
    if unused:
        print_line(console, f"  not used: {escape(', '.join(unused))}; --text and --label choose other columns")


def _show_split(dataset: Dataset, console: Console) -> None:
    counts = {
        name: Counter(label for row in rows for label in dataset.strata[row]) for name, rows in dataset.parts.items()
    }
    total: Counter[str] = sum(counts.values(), Counter())
    numbers = {label.removeprefix("from "): label for label in total}
    by_number = sorted(numbers, key=float) if are_numbers(numbers) else []
    labels = [numbers[number] for number in by_number] or [label for label, _ in total.most_common()]
    lines: list[list[Cell]] = [["all rows", *(len(rows) for rows in dataset.parts.values())]]
    lines += [[label, *(some[label] for some in counts.values())] for label in labels[:LABELS]]
    if len(labels) > LABELS:
        lines.append([f"and {len(labels) - LABELS} more", *("" for _ in counts)])
    print_table(console, ["", *dataset.parts], lines, text_columns=1)
    if not (by_number and labels[0].startswith("from ")):  # a bin of numbers is no label
        _show_absent(labels, total, counts, console)


def _show_absent(labels: list[str], total: Counter[str], counts: dict[str, Counter[str]], console: Console) -> None:
    """Print which labels a split lacks: they are rare, or their rows must stay together."""
    lacking: dict[str, list[str]] = {}
    for label in labels:
        if names := " and ".join(name for name, some in counts.items() if not some[label]):
            lacking.setdefault(names, []).append(f"{label} ({counted(total[label], 'row')})")
    for names, absent in lacking.items():
        message = f"{', '.join(absent[:LABELS])}{', ...' if len(absent) > LABELS else ''}"
        print_line(console, f"[yellow]not in {names}:[/] {escape(message)}")


def _show_examples(dataset: Dataset, console: Console) -> None:
    """The first examples of train in the columns of the task, as it reads them."""
    rows = [dataset.recognised.task.to_rows(dataset.examples[row])[0] for row in dataset.parts["train"][:EXAMPLES]]
    names = [name for name in dict.fromkeys(chain(*rows)) if any(row.get(name) is not None for row in rows)]
    print_table(console, names, [[_excerpt(row.get(name)) for name in names] for row in rows], text_columns=len(names))


def _excerpt(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 3]}..."
