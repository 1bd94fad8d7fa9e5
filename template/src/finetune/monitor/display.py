"""What a monitor shows: a live table on a terminal, otherwise a line from time to time."""

import time
from collections import deque
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..console import counted, print_line
from .alarms import Event, shown
from .formats import Item
from .monitor import Monitor
from .windows import MEAN

MOST_LABELS, MOST_TOPICS = 15, 8
REFRESH_SECONDS = 0.5
SPEED_SECONDS = 10.0
"""Texts per second are those of the last so many seconds."""


class Display:
    """Lines of alarms above a table that is drawn anew, or above nothing where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._counts: deque[tuple[float, int]] = deque()
        self._skipped_before = False

    def start(self, monitor: Monitor) -> None:
        """Begin to count, and with the table."""
        self._counts.append((time.monotonic(), monitor.texts))
        if self._live:
            self._live.start()

    def stop(self) -> None:
        """Leave the table as it stands."""
        if self._live:
            self._live.stop()

    def note(self, line: str) -> None:
        """A line for the user."""
        print_line(self.console, escape(line))

    def events(self, events: Sequence[Event]) -> None:
        """Alarms that were raised or cleared."""
        for event in events:
            colour = "bold red" if event["state"] == "raised" else "green"
            place = f" [{event['place']}]" if event["place"] else ""
            print_line(self.console, f"[{colour}]{escape(event['text'] + place)}[/]")

    def skipped(self, items: Sequence[Item], file: str) -> None:
        """The first of the records that cannot be read; all are in a file."""
        if items and not self._skipped_before:
            self._skipped_before = True
            self.note(f"{items[0].place}: {items[0].reason}; skipped, as all that cannot be read: see {file}")

    def update(self, monitor: Monitor, *, at_once: bool = False) -> None:
        """Take note of the number of texts, and draw the table anew, if there is a terminal."""
        now = time.monotonic()
        if now - self._counts[-1][0] < REFRESH_SECONDS and not at_once:
            return
        self._counts.append((now, monitor.texts))
        while self._counts[0][0] < now - SPEED_SECONDS:
            self._counts.popleft()
        if self._live:
            self._live.update(Group(*self._tables(monitor), Text(self._summary(monitor))), refresh=True)

    def line(self, monitor: Monitor) -> None:
        """A line in place of the table."""
        if not self._live:
            levels = ", ".join(
                f"{label} {shown(reading.now, label)} (before: {shown(reading.before, label)})"
                for label in self._labels(monitor)
                if (reading := monitor.windows.reading(label))
            )
            self.note(f"{self._summary(monitor)}; {monitor.windows.span}: {levels}")

    def _summary(self, monitor: Monitor) -> str:
        (start, first), (end, last) = self._counts[0], self._counts[-1]
        speed = (last - first) / (end - start) if end > start else 0.0
        parts = [counted(monitor.texts, "text"), f"{speed:.0f}/s"]
        if monitor.skipped:
            parts.append(f"{monitor.skipped:,} skipped")
        on = monitor.alarms.on()
        return ", ".join(parts) + (f"; {counted(len(on), 'alarm')} on: {', '.join(on)}" if on else "")

    def _labels(self, monitor: Monitor) -> list[str]:
        """Those with an alarm rule, and the most frequent of the others."""
        ruled = {rule.label for rule in monitor.alarms.rules}
        order = sorted(
            monitor.outcomes.labels, key=lambda name: (name not in ruled, -monitor.windows.reading(name).count)
        )
        return [label for label in monitor.outcomes.labels if label in order[:MOST_LABELS]]

    def _tables(self, monitor: Monitor) -> list[Table]:
        labels = self._labels(monitor)
        table = _table("mean" if MEAN in labels else "label", str(monitor.windows.span), "before", "texts", "alarm")
        for label in labels:
            reading = monitor.windows.reading(label)
            on = monitor.alarms.is_on(label)
            texts = f"{reading.texts if label == MEAN else reading.count:,}"
            cells = [label, shown(reading.now, label), shown(reading.before, label), texts, "ALARM" if on else ""]
            table.add_row(*map(Text, cells), style="bold red" if on else None)
        topics = sorted(monitor.windows.topics()[:MOST_TOPICS])
        return [table, _topic_table(monitor, topics, labels)] if topics else [table]


def _topic_table(monitor: Monitor, topics: Sequence[str], labels: Sequence[str]) -> Table:
    """The levels of labels (columns) in topics (rows); where an alarm is on, in red."""
    table = _table("topic", "texts", *labels)
    for topic in topics:
        cells = [Text(topic), Text(f"{monitor.windows.texts(topic):,}")]
        for label in labels:
            on = monitor.alarms.is_on(label, topic)
            level = shown(monitor.windows.reading(label, topic).now, label)
            cells.append(Text(level, style="bold red" if on else ""))
        table.add_row(*cells)
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(first), overflow="fold")
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table
