"""Output to the terminal: consoles, lines, tables, counts and shares in words."""

import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from time import monotonic
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

Cell = str | int | float | Text
"""Floats are shown with four digits (and -0.00001 as 0.0000); strings are shown as they are, without rich markup."""


LONGEST_PLACE = 40
"""Characters of file:line that a column `place` shows on one line."""
PATIENCE, REFRESH = 2.0, 0.1
"""Seconds after which a progress bar is shown, and after which it shows what has been done since."""


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A rich console without emoji codes, which would turn the line number in `data.jsonl:100:` into an emoji."""
    return Console(stderr=stderr, quiet=quiet, emoji=False)


def notebook_console(width: int = 100) -> Console:
    """A console for Jupyter, `width` characters wide: coloured text, so that a cell has one output and not one a line.

    It is no terminal, because Jupyter cannot redraw the live line of a training.
    """
    return Console(width=width, emoji=False, force_jupyter=False, force_terminal=False, color_system="standard")


def replace_unencodable() -> None:
    """Let standard output replace what its encoding lacks, such as → in cp1252, instead of failing.

    Python's standard error escapes it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def print_json(value: Any, indent: int | None = None) -> None:
    """Print JSON on standard output; what its encoding lacks is escaped, so that nothing is lost."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    click.echo(text)


def print_line(console: Console, markup: str) -> None:
    """Print a line of rich markup without wrapping or highlighting, so that a path in it can be copied."""
    console.print(markup, highlight=False, soft_wrap=True)


def print_indented(console: Console, markup: str) -> None:
    """Print a line of rich markup under a heading; where a terminal wraps it, the rest is indented as well."""
    if console.is_terminal:
        console.print(Padding(Text.from_markup(markup, emoji=False), (0, 0, 0, 2), expand=False))
    else:
        print_line(console, f"  {markup}")


def print_table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[Cell]], text_columns: int | None = None
) -> None:
    """Print a table. The first `text_columns` columns are left-aligned; by default those without any number."""
    rows = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        if text_columns is None:
            is_text = not any(isinstance(row[number], int | float) for row in rows)
        else:
            is_text = number < text_columns
        # Folded: a Chinese sentence has no blanks, and would be cut as one word that is too long.
        justify: JustifyMethod = "left" if is_text else "right"
        is_whole = column == "place" and all(len(str(row[number])) <= LONGEST_PLACE for row in rows)  # a link to click
        table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=is_whole)
    for row in rows:
        table.add_row(*map(_as_text, row))
    console.print(table, highlight=False)


def _as_text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(f"{cell:z.4f}" if isinstance(cell, float) else str(cell))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error for a block that takes longer than PATIENCE; only on a terminal, and not from a
    thread in the background.

    The block calls what it gets with how much more is done; `total` is all that is to be done, if that is known.
    """
    bar: Progress | None = None
    done, due = 0, monotonic() + PATIENCE

    def advance(count: int) -> None:
        nonlocal bar, done, due
        done += count
        if monotonic() < due:  # it may be called for every row
            return
        due = monotonic() + REFRESH
        if bar is None:
            hidden = os.environ.get("RANK", "0") != "0" or current_thread() is not main_thread()
            console = make_console(stderr=True, quiet=hidden)
            amount = TextColumn("{task.completed:,}") if total is None else TaskProgressColumn()
            columns = (TextColumn("{task.description}"), BarColumn(30), amount, TimeRemainingColumn())
            bar = Progress(*columns, console=console, transient=True, disable=console.quiet or not console.is_terminal)
            bar.add_task(escape(what), total=total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield advance
    finally:
        if bar:
            bar.stop()


class Notice(UserWarning):
    """What the program has decided by itself about the user's files, with the key that decides otherwise."""


def notice(text: str) -> None:
    """Tell once, as a warning, what was decided; the command line shows it as a line on standard error."""
    warnings.warn(text, Notice, stacklevel=2)


def show_notices() -> None:
    """Show each notice as one plain line on standard error, on the main rank only."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if not issubclass(category, Notice):
            others(message, category, *where)
        elif os.environ.get("RANK", "0") == "0":
            print_line(make_console(stderr=True), f"[yellow]{escape(str(message))}[/]")

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.simplefilter("once", Notice)


def quiet_libraries() -> None:
    """Silence progress bars and warnings of transformers, torch and peft that do not concern the user."""
    # In Jupyter, for its progress bars: they are turned off.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # What an .xlsx file holds besides cells, such as rules for what may be typed, is not read.
    warnings.filterwarnings("ignore", module="openpyxl")
    # peft reads every attribute of a model, also those that transformers is about to rename.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    # FSDP2 warns of views that are changed in place; none of the models does that (see proofs/test_distributed.py).
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", module="torch")
    # model/soft_prompts.py numbers the positions after a prompt itself.
    warnings.filterwarnings("ignore", message="Position ids are not supported", module="peft")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things; the plural of the noun ends in s, unless another one is given."""
    return f"1 {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"


def share(part: int, whole: int) -> str:
    """A percentage that rounds neither to 0 % nor, below the whole, to 100 %."""
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    return "under 0.1 %" if 0 < percent < 0.1 else f"{min(percent, 99.9):.1f} %"
