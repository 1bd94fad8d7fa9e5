"""The monitor: rows → predictions → windows → alarms; each batch is committed as a whole."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..data.columns import Row
from ..errors import UserError
from ..predict import Predictor
from .alarms import Alarms, Event, iso
from .formats import Item
from .journal import ALARMS, PREDICTIONS, SKIPPED, TREND, Journal
from .notify import Deliveries
from .outcomes import Outcomes, Record
from .sources import Source
from .windows import MEAN, Entry, Windows

ARRIVED = "monitored_at"
"""Column of the predictions: when a text arrived. Only windows of time without a column of times need it."""
TOPIC = "topic"
"""The column that is taken for the topic if it is there."""
FUTURE = 86_400.0
"""Seconds by which a time may be ahead of the clock; windows would wait for one that is further."""
POINTS_IN_WINDOW = 10
"""Points of the trend in each window."""
MOST_TOPICS = 12
"""The most frequent topics of a window, which the trend records."""
SHOWN = 10_000
"""Bytes of a record that cannot be read, which are kept."""
KEPT = 2000
"""Points of the trend, and alarms, that are kept for the picture."""


@dataclass(frozen=True, slots=True)
class ColumnsOf:
    """Which columns of a row hold its topic and its time."""

    topic: str | None
    """None: the column `topic`, if the row has it."""
    time: str | None
    """None: the time at which a text arrives."""

    def topic_of(self, row: Row) -> str | None:
        """Raises UserError if the row lacks a column that was named."""
        topic = _cell(row, self.topic) if self.topic else row.original.get(TOPIC)
        return None if topic is None or not str(topic).strip() else str(topic).strip()

    def time_of(self, row: Row) -> float | None:
        """Seconds since 1970; None if it is that of the arrival. Raises UserError for what is no time."""
        return None if self.time is None else parse_time(_cell(row, self.time), f"{row.place}: {self.time}")


def _cell(row: Row, column: str) -> Any:
    if column not in row.original:
        found = ", ".join(map(str, row.original))
        raise UserError(f"{row.place}: no column '{column}' (found: {found}): add it, or name another one")
    return row.original[column]


def parse_time(value: Any, place: str) -> float:
    """A time as seconds since 1970: ISO 8601, in UTC unless it says otherwise, or such a number. Raises UserError."""
    try:
        seconds = _seconds(value)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise UserError(f"{place} is {value!r}: write ISO 8601 or seconds since 1970") from error
    if seconds > time.time() + FUTURE:
        raise UserError(f"{place} is {value!r}, which lies in the future: write it in seconds, not in milliseconds")
    return seconds


def _seconds(value: Any) -> float:
    """Raises ValueError, TypeError, OverflowError or OSError."""
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value)
    except ValueError:
        moment = datetime.fromisoformat(str(value).strip())
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    iso(min(seconds, time.time()))  # there is no year 0
    return seconds


class Monitor:
    """The state of a monitored stream."""

    def __init__(
        self,
        predictor: Predictor,
        outcomes: Outcomes,
        windows: Windows,
        alarms: Alarms,
        columns: ColumnsOf,
        journal: Journal,
        deliveries: Deliveries,
    ) -> None:
        self._predictor, self.outcomes, self.windows, self.alarms = predictor, outcomes, windows, alarms
        self._columns, self._journal, self._deliveries = columns, journal, deliveries
        self._arrives = columns.time is None and windows.span.seconds is not None
        self._clock = 0.0
        self._step: int | None = None
        """Which point of the trend was recorded last; None before the first text, which alone is no trend."""
        self.texts = self.skipped = 0
        self.points: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.events: deque[Event] = deque(maxlen=KEPT)
        self._restore(journal.state)

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from the last commit: the windows are filled again from the predictions that were in them."""
        self.points.extend(point for _, point in self._journal.lines(TREND))
        self.events.extend(event for _, event in self._journal.lines(ALARMS))
        if "texts" not in state:
            return
        self.texts, self.skipped = state["texts"], state["skipped"]
        if window := state["window"]:
            self._clock = window["time"]
            for offset, record in self._journal.lines(PREDICTIONS, window["offset"]):
                row = Row(str(self._journal.folder.path / PREDICTIONS), {}, record)
                self.windows.add(self._entry(row, record, offset, self._clock))
        self._clock, self._step = state["clock"], state["step"]
        self.windows.advance(self._clock)
        self.alarms.load_state(state["alarms"])
        self._deliveries.send(state["undelivered"])

    def take(self, items: Sequence[Item], source: Source) -> tuple[list[Event], list[Item]]:
        """Predict a batch and commit it. Returns the alarms that were raised or cleared, and what cannot be read."""
        arrived = iso(time.time())
        rows, skipped = self._readable(items)
        events: list[Event] = []
        for row, record in zip(rows, self._predictor.predict(rows) if rows else [], strict=True):
            events += self._count(row, {**record, **({ARRIVED: arrived} if self._arrives else {})})
        for item in skipped:
            content = item.content[:SHOWN].decode(errors="replace").rstrip("\r\n")
            self._journal.append(SKIPPED, {"place": item.place, "reason": item.reason, "content": content})
        self.skipped += len(skipped)
        self._commit(events, source)
        return events, skipped

    def tick(self, source: Source) -> list[Event]:
        """Where windows are times of arrival, let texts leave that are too old; returns the alarms that turned."""
        events: list[Event] = []
        if self._arrives and self.texts:
            self._clock = max(self._clock, time.time())
            for event in self.alarms.judge(self.windows, self.windows.advance(self._clock), self._clock):
                events.append(self._raise(event, ""))
            self._record()
        undelivered = [list(one) for one in self._deliveries.undelivered()]
        if self._journal.is_behind or undelivered != self._journal.state.get("undelivered", []):
            self._commit(events, source)
        return events

    def _readable(self, items: Sequence[Item]) -> tuple[list[Row], list[Item]]:
        """The rows that the task can read, and the items that have none."""
        rows, skipped = [], []
        for item in items:
            if item.row is None:
                skipped.append(item)
                continue
            try:
                self._predictor.task.parse([item.row], labelled=False)
                self._columns.topic_of(item.row)
                self._columns.time_of(item.row)
            except UserError as error:
                reason = str(error).removeprefix(f"{item.place}: ")
                skipped.append(Item(item.place, None, reason, item.content))
            else:
                rows.append(item.row)
        return rows, skipped

    def _count(self, row: Row, record: Record) -> list[Event]:
        """Write a prediction, let it enter the windows, and judge the alarms."""
        line = {**row.original, **record}
        offset = self._journal.append(PREDICTIONS, line)
        self.texts += 1
        entry = self._entry(row, record, offset, time.time())
        changed = self.windows.add(entry)
        events = [self._raise(event, row.place) for event in self.alarms.judge(self.windows, changed, entry.time)]
        self._record()
        return events

    def _raise(self, event: Event, place: str) -> Event:
        """Write an alarm, with the number and the place of the text that turned it."""
        event = {**event, "number": self.texts, "place": place}
        self.events.append(event)
        self._journal.append(ALARMS, event)
        return event

    def _entry(self, row: Row, record: Record, offset: int, now: float) -> Entry:
        """What the windows keep of a prediction; `now` is its time if neither the row nor its prediction has one.

        The time is never less than that of the text before: texts leave the windows in the order of their arrival.
        """
        moment = self._columns.time_of(row)
        if moment is None:
            moment = parse_time(record[ARRIVED], ARRIVED) if self._arrives and ARRIVED in record else now
        self._clock = max(self._clock, moment)
        labels, number = self.outcomes.of(record)
        return Entry(self._clock, self._columns.topic_of(row), labels, number, offset)

    def _record(self) -> None:
        """Record a point of the trend, where one is due: the levels of all labels, and of those in each topic."""
        span = self.windows.span
        if span.texts is not None:
            step = self.texts // max(1, span.texts // POINTS_IN_WINDOW)
        else:
            step = int(self._clock // ((span.seconds or 0.0) / POINTS_IN_WINDOW))
        before, self._step = self._step, step
        if before in (None, step) or not self.windows.texts():
            return
        topics = self.windows.topics()[:MOST_TOPICS]
        point = {
            "time": iso(self._clock),
            "number": self.texts,
            "window": self.windows.texts(),
            "levels": self._levels(None),
            "topics": {topic: self._levels(topic) for topic in topics},
        }
        self.points.append(point)
        self._journal.append(TREND, point)

    def _levels(self, topic: str | None) -> dict[str, float]:
        """The labels that occur, or the mean."""
        levels = {label: self.windows.reading(label, topic).now or 0.0 for label in self.outcomes.labels}
        return {label: round(level, 6) for label, level in levels.items() if level or label == MEAN}

    def _commit(self, events: Sequence[Event], source: Source) -> None:
        """Alarms are handed over once they are written; those whose delivery has not ended are part of the state."""
        fresh = [one for event in events if event["state"] == "raised" for one in self._deliveries.all_of(event)]
        oldest = self.windows.oldest
        self._journal.commit(
            {
                "source": source.state(),
                "texts": self.texts,
                "skipped": self.skipped,
                "clock": self._clock,
                "step": self._step,
                "window": {"offset": oldest.offset, "time": oldest.time} if oldest else None,
                "alarms": self.alarms.state(),
                "undelivered": [list(one) for one in [*self._deliveries.undelivered(), *fresh]],
            }
        )
        self._deliveries.send(fresh)

    def finish(self, source: Source, seconds: float) -> int:
        """Wait for what alarms set off, at most so many seconds. Returns how many deliveries the next start makes."""
        left = self._deliveries.finish(seconds)
        self.tick(source)
        return left
