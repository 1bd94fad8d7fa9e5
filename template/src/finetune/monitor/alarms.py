"""Alarm rules and their state: on above a threshold, off below a lower one (hysteresis).

A rule is `[TOPIC:] LABEL > SHARE`, `< SHARE`, `jumps Z` or `drops Z`; the topic * stands for each one. An alarm is
raised once when its window holds enough texts and the level crosses the threshold. It is cleared when the level is back
beyond `clear` times the threshold (as a distance: |threshold| (1 - clear)), or the window holds less than half of the
texts that it takes to raise it. A z-score has a standard deviation of 1 without any change, so a jump is cleared at
half of its threshold: at 0.9 of it, it would be raised again and again.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ..errors import UserError
from .windows import MEAN, Reading, Windows

EACH = "*"
"""A rule for each topic."""
CLEAR_JUMP = 0.5
RULE = re.compile(r"(?P<subject>.+?)\s*(?P<kind>>|<|\bjumps\b|\bdrops\b)\s*(?P<number>-?[\d.]+)\s*(?P<percent>%?)")

Event = dict[str, Any]
"""An alarm that was raised or cleared, as JSON."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What raises an alarm."""

    text: str
    """As it was written."""
    topic: str | None
    """None for the whole stream, * for each topic."""
    label: str
    kind: str
    threshold: float

    @property
    def is_jump(self) -> bool:
        """Whether it compares with the past."""
        return self.kind in ("jumps", "drops")

    def excess(self, reading: Reading) -> float | None:
        """By how much the reading is beyond the threshold, negative below it; None where nothing can be compared."""
        value = reading.z if self.is_jump else reading.now
        if value is None:
            return None
        if self.kind == "<":
            return self.threshold - value
        return (-value if self.kind == "drops" else value) - self.threshold

    def band(self, clear: float) -> float:
        """Width of the hysteresis: how far below the threshold the level has to fall."""
        return abs(self.threshold) * (1 - (CLEAR_JUMP if self.is_jump else clear))


def parse_rule(text: str, labels: Sequence[str]) -> Rule:
    """A rule for a model with these labels. Raises UserError for another form, label or threshold."""
    match = RULE.fullmatch(text.strip())
    if not match:
        raise UserError(
            f"--alarm: '{text}' is not a rule: write LABEL > 0.4, LABEL < 0.1, LABEL jumps 4 or LABEL drops 4; "
            f"TOPIC: before it, or *: for each topic"
        )
    topic, label = _subject(match["subject"], labels, text)
    try:
        threshold = float(match["number"]) / (100 if match["percent"] else 1)
    except ValueError as error:
        raise UserError(f"--alarm: '{text}': {match['number']} is not a number: write one such as 0.4") from error
    rule = Rule(" ".join(text.split()), topic, label, match["kind"], threshold)
    if rule.is_jump and threshold <= 0:
        raise UserError(f"--alarm: '{text}': a jump is so many standard errors: write a number above 0, such as 4")
    if not rule.is_jump and label != MEAN and not 0 <= threshold <= 1:
        raise UserError(f"--alarm: '{text}': a share is between 0 and 1: write 0.4 or 40%")
    return rule


def _subject(subject: str, labels: Sequence[str], text: str) -> tuple[str | None, str]:
    """Topic and label. Either may have a colon, so the longest label that is known wins."""
    if subject in labels:
        return None, subject
    for colon in re.finditer(r"\s*:\s*", subject):
        topic, label = subject[: colon.start()], subject[colon.end() :]
        if topic and label in labels:
            return topic, label
    raise UserError(f"--alarm: '{text}': '{subject}' is no label of the model: use one of {', '.join(labels)}")


@dataclass(slots=True)
class Status:
    """The state of a rule for a topic."""

    on: bool
    raised: float
    """When it was raised last, in seconds since 1970."""


class Alarms:
    """The alarms of a stream; they are judged after each text, so that batches do not matter."""

    def __init__(self, rules: Sequence[Rule], *, min_count: int, clear: float, cooldown: float) -> None:
        """`min_count`: texts that a window holds at least; `cooldown`: seconds between two alarms of a rule."""
        self.rules = rules
        self._min_count, self._clear, self._cooldown = min_count, clear, cooldown
        self._states: dict[tuple[str, str | None], Status] = {}

    def judge(self, windows: Windows, topics: Iterable[str | None], time: float) -> Iterator[Event]:
        """Judge the rules of the topics whose windows have changed; yields the alarms that were raised or cleared."""
        topics = sorted(topics, key=lambda topic: (topic is not None, topic))
        for rule in self.rules:
            for topic in topics:
                if rule.topic == topic or (rule.topic == EACH and topic is not None):
                    reading = windows.reading(rule.label, topic)
                    if turned := self._turn(rule, topic, reading, time):
                        yield _event(rule, topic, reading, turned, time, windows)

    def _turn(
        self, rule: Rule, topic: str | None, reading: Reading, time: float
    ) -> Literal["raised", "cleared"] | None:
        key, excess = (rule.text, topic), rule.excess(reading)
        state = self._states.get(key)
        texts = min(reading.texts, reading.texts_before) if rule.is_jump else reading.texts
        if state and state.on:
            if texts < self._min_count / 2 or (excess is not None and excess < -rule.band(self._clear)):
                state.on = False
                return "cleared"
        elif texts >= self._min_count and excess is not None and excess > 0:
            if not state or time - state.raised >= self._cooldown:
                self._states[key] = Status(True, time)
                return "raised"
        elif state and time - state.raised >= self._cooldown:
            del self._states[key]
        return None

    def is_on(self, label: str, topic: str | None = None) -> bool:
        """Whether an alarm of that label is on."""
        return any(self._is_on(rule, topic) for rule in self.rules if rule.label == label)

    def _is_on(self, rule: Rule, topic: str | None) -> bool:
        state = self._states.get((rule.text, topic))
        return state is not None and state.on

    def on(self) -> list[str]:
        """The alarms that are on, in words."""
        topics = {rule.text: rule.topic for rule in self.rules}
        return [_named(name, topics[name], topic) for (name, topic), state in self._states.items() if state.on]

    def state(self) -> list[Any]:
        """As JSON."""
        return [[*key, asdict(status)] for key, status in self._states.items()]

    def load_state(self, states: list[Any]) -> None:
        """The inverse of `state`; rules that are not asked for any more are forgotten."""
        rules = {rule.text for rule in self.rules}
        self._states = {(text, topic): Status(**status) for text, topic, status in states if text in rules}


def iso(time: float) -> str:
    """A time in seconds since 1970 as ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(level: float | None, label: str) -> str:
    """A share in percent, or a mean, in words."""
    return "-" if level is None else f"{level:.4g}" if label == MEAN else f"{100 * level:.1f} %"


def _named(rule: str, of_topic: str | None, topic: str | None) -> str:
    """A rule in words; one for each topic with the topic that it was raised for."""
    return f"{rule} ({topic})" if of_topic == EACH else rule


def _event(rule: Rule, topic: str | None, reading: Reading, turned: str, time: float, windows: Windows) -> Event:
    named = _named(rule.text, rule.topic, topic)
    if rule.label == MEAN:
        level = f"the mean is {shown(reading.now, MEAN)} in the {windows.span} ({reading.texts:,} texts"
    else:
        level = (
            f"{rule.label} is {shown(reading.now, rule.label)} of the {windows.span} "
            f"({reading.count:,} of {reading.texts:,}"
        )
    return {
        "alarm": rule.text,
        "state": turned,
        "time": iso(time),
        "topic": topic,
        "label": rule.label,
        "mean" if rule.label == MEAN else "share": reading.now,
        "before": reading.before,
        "z": reading.z,
        "count": reading.count,
        "texts": reading.texts,
        "threshold": rule.threshold,
        "text": f"alarm {turned}: {named}: {level}; before: {shown(reading.before, rule.label)})",
    }
