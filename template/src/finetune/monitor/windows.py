"""Sliding windows: the share of each label now and before, of the whole stream and of each topic.

The present window holds the last texts, by number or by time; the reference window holds those before it, by default
five times as many or as long. A jump is a z-score of the present window against the reference window, which do not
overlap. Of shares: the two-proportion z-test with the pooled binomial standard error (NIST/SEMATECH e-Handbook of
Statistical Methods, 7.3.3). Of means (regression): the difference by its standard error (Welch 1947).
"""

import math
import re
from collections import Counter, deque
from dataclasses import dataclass, field

from ..errors import UserError

MEAN = "mean"
"""What stands in place of a label where predictions are numbers."""
SCALE = 10**9
"""Numbers are summed as whole multiples of 1 / SCALE: sums that texts enter and leave do not drift."""
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, option: str) -> float:
    """The seconds of a duration such as 90s, 10m, 2h or 1d. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not match:
        raise UserError(f"{option}: '{text}' is not a duration: write a number with s, m, h or d, such as 10m")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Span:
    """The length of a window: a number of texts, or seconds; the other one is None."""

    name: str
    texts: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Such as 10m (s, m, h, d), or 500 for a number of texts. Raises UserError."""
        if re.fullmatch(r"\s*\d+\s*", text):
            span = cls(text.strip(), texts=int(text))
        elif re.fullmatch(r"\s*[\d.]+\s*[smhd]\s*", text):
            span = cls(text.strip(), seconds=seconds_of(text, "--window"))
        else:
            raise UserError(
                f"--window: '{text}' is neither a time such as 10m (s, m, h, d) nor a number of texts such as 500"
            )
        if not (span.texts or span.seconds):
            raise UserError("--window: a window of 0 holds no text: make it longer")
        return span

    def __str__(self) -> str:
        return f"last {self.texts:,} texts" if self.texts else f"last {self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a window keeps of a text."""

    time: float
    """Seconds since 1970; never less than that of the text before it."""
    topic: str | None
    labels: tuple[str, ...]
    """The labels that it counts for, each once; (MEAN,) for a number."""
    number: float = 0.0
    """The prediction, where it is a number."""
    offset: int = 0
    """Where its line begins in the file of predictions, in bytes."""


@dataclass(slots=True)
class Tally:
    """Counts over the texts of a window."""

    texts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Texts of each label."""
    total: int = 0
    """Sum of the numbers, times SCALE."""
    squares: int = 0
    """Sum of their squares, times SCALE squared."""

    def add(self, entry: Entry, sign: int) -> None:
        """Let a text enter (1) or leave (-1)."""
        number = round(entry.number * SCALE)
        self.texts += sign
        self.total += sign * number
        self.squares += sign * number * number
        for label in entry.labels:
            self.counts[label] += sign
            if not self.counts[label]:
                del self.counts[label]

    def level(self, label: str) -> float | None:
        """Share of the texts that have the label, or mean of the numbers; None without texts."""
        if not self.texts:
            return None
        return self.total / SCALE / self.texts if label == MEAN else self.counts[label] / self.texts

    @property
    def variance(self) -> float:
        """Of the numbers, unbiased; needs two texts."""
        return (self.squares - self.total**2 / self.texts) / SCALE**2 / (self.texts - 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """A label in the present window, and in the reference window before it."""

    now: float | None
    """Share, or mean; None without texts."""
    count: int
    """Texts with the label."""
    texts: int
    before: float | None
    texts_before: int
    z: float | None
    """The z-score of the difference; None where it is not defined."""


class Windows:
    """The present window and the reference window, for the whole stream (topic None) and for each topic."""

    def __init__(self, span: Span, reference: int) -> None:
        """`reference`: length of the reference window, in windows."""
        self.span = span
        self._reference = reference
        self._now: deque[Entry] = deque()
        self._before: deque[Entry] = deque()
        self._tallies: dict[str | None, tuple[Tally, Tally]] = {}

    def add(self, entry: Entry) -> set[str | None]:
        """Let a text enter; returns the topics, None among them, whose windows have changed."""
        self._now.append(entry)
        return self._count(entry, 0, 1) | self.advance(entry.time)

    def advance(self, time: float) -> set[str | None]:
        """Let texts leave that are too old at that time; returns the topics whose windows have changed."""
        changed: set[str | None] = set()
        while self._now and self._is_beyond(self._now, 1, time):
            entry = self._now.popleft()
            self._before.append(entry)
            changed |= self._count(entry, 0, -1) | self._count(entry, 1, 1)
        while self._before and self._is_beyond(self._before, self._reference, time):
            changed |= self._count(self._before.popleft(), 1, -1)
        return changed

    def _is_beyond(self, entries: deque[Entry], windows: int, time: float) -> bool:
        """Whether the oldest text leaves the present window or, `windows` windows long, the reference window."""
        if self.span.texts is not None:
            return len(entries) > windows * self.span.texts
        seconds = self.span.seconds or 0.0
        return entries[0].time <= time - seconds * (1 if entries is self._now else 1 + windows)

    def _count(self, entry: Entry, window: int, sign: int) -> set[str | None]:
        topics: set[str | None] = {None, entry.topic}
        for topic in topics:
            tallies = self._tallies.setdefault(topic, (Tally(), Tally()))
            tallies[window].add(entry, sign)
            if topic is not None and not (tallies[0].texts or tallies[1].texts):
                del self._tallies[topic]
        return topics

    @property
    def oldest(self) -> Entry | None:
        """The oldest text that either window holds."""
        return (self._before or self._now or [None])[0]

    def texts(self, topic: str | None = None) -> int:
        """Number of texts in the present window."""
        return self._of(topic)[0].texts

    def topics(self) -> list[str]:
        """Topics in the present window, the most frequent first."""
        present = {topic: now.texts for topic, (now, _) in self._tallies.items() if topic is not None and now.texts}
        return sorted(present, key=lambda topic: (-present[topic], topic))

    def reading(self, label: str, topic: str | None = None) -> Reading:
        """A label of the whole stream or of a topic."""
        now, before = self._of(topic)
        z = _z_of_means(now, before) if label == MEAN else _z_of_shares(label, now, before)
        return Reading(now.level(label), now.counts[label], now.texts, before.level(label), before.texts, z)

    def _of(self, topic: str | None) -> tuple[Tally, Tally]:
        return self._tallies.get(topic) or (Tally(), Tally())


def _z_of_shares(label: str, now: Tally, before: Tally) -> float | None:
    """(p1 - p0) / sqrt(p (1 - p) (1/n1 + 1/n0)) with the pooled share p."""
    if not (now.texts and before.texts):
        return None
    pooled = (now.counts[label] + before.counts[label]) / (now.texts + before.texts)
    variance = pooled * (1 - pooled) * (1 / now.texts + 1 / before.texts)
    difference = now.counts[label] / now.texts - before.counts[label] / before.texts
    return difference / math.sqrt(variance) if variance else 0.0


def _z_of_means(now: Tally, before: Tally) -> float | None:
    """(m1 - m0) / sqrt(s1²/n1 + s0²/n0)."""
    if now.texts < 2 or before.texts < 2:
        return None
    variance = now.variance / now.texts + before.variance / before.texts
    difference = (now.total / now.texts - before.total / before.texts) / SCALE
    return difference / math.sqrt(variance) if variance > 0 else None
