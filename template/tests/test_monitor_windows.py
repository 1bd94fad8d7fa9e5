"""Sliding windows, z-scores and alarm rules, with numbers that were computed by hand."""

import math
import random
from collections.abc import Iterable

import pytest

from finetune.errors import UserError
from finetune.monitor.alarms import Alarms, Event, parse_rule
from finetune.monitor.windows import MEAN, Entry, Span, Windows, seconds_of

LABELS = ["good", "bad", "a: b"]


def entries(labels: str, topic: str | None = None) -> list[Entry]:
    """One for each letter, a second apart: g is good, b is bad, - is neither."""
    names = {"g": ("good",), "b": ("bad",), "-": ()}
    return [Entry(float(second), topic, names[letter]) for second, letter in enumerate(labels)]


def windows_of(span: str, some: Iterable[Entry], reference: int = 1) -> Windows:
    windows = Windows(Span.parse(span), reference)
    for entry in some:
        windows.add(entry)
    return windows


def events_of(rules: list[str], some: Iterable[Entry], span: str = "10", **options: float) -> list[Event]:
    """Alarms of a stream, with the number of the text at which each turned."""
    alarms = Alarms(
        [parse_rule(rule, LABELS) for rule in rules],
        min_count=int(options.get("min_count", 10)),
        clear=options.get("clear", 0.9),
        cooldown=options.get("cooldown", 0.0),
    )
    windows = Windows(Span.parse(span), int(options.get("reference", 5)))
    found = []
    for number, entry in enumerate(some, start=1):
        found += [{**event, "number": number} for event in alarms.judge(windows, windows.add(entry), entry.time)]
    return found


def turns(found: list[Event]) -> list[tuple[str, int]]:
    return [(event["state"], event["number"]) for event in found]


def test_shares_of_the_last_texts() -> None:
    windows = windows_of("4", entries("gggbbb-b"))
    reading = windows.reading("bad")
    assert (reading.now, reading.count, reading.texts) == (0.75, 3, 4)
    assert (reading.before, reading.texts_before) == (0.25, 4)
    assert windows.reading("good").now == 0.0
    assert windows.oldest == entries("g")[0]


def test_shares_of_the_last_seconds() -> None:
    windows = windows_of("3s", entries("bggbbb"))
    assert windows.reading("bad").texts == 3, "a text that is exactly as old as the window has left"
    assert windows.reading("bad").now == 1.0
    assert windows.reading("bad").before == pytest.approx(1 / 3)
    assert windows.advance(7.0) == {None}
    assert windows.reading("bad").texts == 1
    windows.advance(100.0)
    assert windows.reading("bad").now is None
    assert windows.oldest is None


def test_two_proportion_z_test() -> None:
    """30 of 50 against 20 of 50: p = 0.5, so z = 0.2 / sqrt(0.25 * 2/50) = 2."""
    some = entries("b" * 20 + "g" * 30 + "b" * 30 + "g" * 20)
    reading = windows_of("50", some).reading("bad")
    assert reading.z == pytest.approx(2.0, abs=1e-12)
    assert windows_of("50", some).reading("good").z == pytest.approx(-2.0, abs=1e-12)
    assert windows_of("50", entries("b" * 100)).reading("bad").z == 0.0, "nothing varies"
    assert windows_of("50", entries("b" * 50)).reading("bad").z is None, "there is no past"


def test_mean_of_numbers() -> None:
    """1, 2, 3 and then 4, 6, 8: variances 1 and 4, so z = 4 / sqrt(1/3 + 4/3)."""
    some = [Entry(0.0, None, (MEAN,), number) for number in (100.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)]
    reading = windows_of("3", some).reading(MEAN)
    assert (reading.now, reading.before) == (6.0, 2.0)
    assert reading.z == pytest.approx(4 / math.sqrt(5 / 3), abs=1e-9)


def test_sums_do_not_drift() -> None:
    rng = random.Random(0)
    numbers = [rng.uniform(-1e6, 1e6) for _ in range(5000)] + [0.1, 0.2, 0.3]
    windows = windows_of("3", [Entry(0.0, None, (MEAN,), number) for number in numbers])
    assert windows.reading(MEAN).now == pytest.approx(0.2, abs=1e-9)


def test_topics_have_windows_of_their_own() -> None:
    mixed = [Entry(float(n), "xy"[n % 2], ("bad",) if n % 2 else ("good",)) for n in range(8)]
    windows = windows_of("4", mixed)
    assert windows.topics() == ["x", "y"]
    assert windows.reading("bad", "y").now == 1.0
    assert windows.reading("bad", "x").now == 0.0
    assert windows.reading("bad").now == 0.5
    assert windows.texts("x") == 2
    for _ in range(8):
        windows.add(Entry(9.0, None, ()))
    assert windows.topics() == []
    assert windows.reading("bad", "y").texts_before == 0, "a topic that is gone takes no memory"
    assert not [topic for topic in windows._tallies if topic]


def test_an_alarm_is_raised_once_and_cleared_once() -> None:
    """0.4 of 10 is crossed by the fifth bad text of ten; 0.36 is left when there are three."""
    found = events_of(["bad > 0.4"], entries("g" * 20 + "b" * 10 + "g" * 20))
    assert turns(found) == [("raised", 25), ("cleared", 37)]
    assert found[0]["share"] == 0.5
    assert found[1]["share"] == 0.3
    assert found[0]["text"] == "alarm raised: bad > 0.4: bad is 50.0 % of the last 10 texts (5 of 10; before: 0.0 %)"


def test_noise_at_the_threshold_does_not_flap() -> None:
    """A share of exactly the threshold, in a window of 500: the standard error is 0.022, the band 0.08 or 0.04."""
    rng = random.Random(3)
    some = entries("".join("b" if rng.random() < 0.4 else "g" for _ in range(6_000)))
    wide, default, none = (len(events_of(["bad > 0.4"], some, "500", clear=c, min_count=500)) for c in (0.8, 0.9, 1.0))
    assert (wide, default) == (1, 1)
    assert none > 20, "without hysteresis it flaps"


def test_too_few_texts_raise_nothing() -> None:
    assert events_of(["bad > 0.4"], entries("b" * 9)) == []
    assert turns(events_of(["bad > 0.4"], entries("b" * 10))) == [("raised", 10)]


def test_an_alarm_of_a_topic_that_falls_silent_is_cleared() -> None:
    some = [*entries("b" * 10, "x"), *(Entry(10.0 + n, "y", ("good",)) for n in range(20))]
    found = events_of(["x: bad > 0.5"], some)
    assert turns(found) == [("raised", 10), ("cleared", 16)], "with 4 texts, less than half of 10, nothing can be said"


def test_a_cooldown_delays_the_next_alarm() -> None:
    waves = ("b" * 10 + "g" * 10) * 3
    assert len(events_of(["bad > 0.5"], entries(waves))) == 6
    assert turns(events_of(["bad > 0.5"], entries(waves), cooldown=36.0)) == [
        *(("raised", 10), ("cleared", 16)),
        *(("raised", 46), ("cleared", 56)),
    ]


def test_a_rule_for_each_topic() -> None:
    some = [Entry(float(n), "xyz"[n % 3], ("bad",) if n % 3 else ("good",)) for n in range(60)]
    found = events_of(["*: bad > 0.5"], some, "30")
    assert [(event["topic"], event["state"]) for event in found] == [("y", "raised"), ("z", "raised")]


def test_below_and_drops() -> None:
    some = entries("g" * 100 + "b" * 10 + "g" * 10)
    assert turns(events_of(["good < 0.5"], some)) == [("raised", 106), ("cleared", 116)]
    assert [event["state"] for event in events_of(["good drops 4"], some)] == ["raised", "cleared"]
    assert events_of(["good jumps 4"], some[:110]) == []


def test_a_jump_is_found_and_a_steady_share_is_none() -> None:
    """The burst raises the share from 0.2 to 0.6: with windows of 100 and 500, z = 4 at a share of 0.38."""
    rng = random.Random(5)
    steady = "".join("b" if rng.random() < 0.2 else "g" for _ in range(2000))
    burst = "".join("b" if rng.random() < 0.6 else "g" for _ in range(200))
    found = events_of(["bad jumps 4"], entries(steady + burst + steady), "100", min_count=30)
    assert [event["state"] for event in found] == ["raised", "cleared"]
    assert 2000 < found[0]["number"] <= 2060
    assert found[0]["z"] > 4


@pytest.mark.parametrize("text", ["bad > 0.4", "bad>0.4", "  bad  >  40% ", "bad > 40 %"])
def test_rules_are_read(text: str) -> None:
    rule = parse_rule(text, LABELS)
    assert (rule.topic, rule.label, rule.kind, rule.threshold) == (None, "bad", ">", 0.4)


def test_topics_and_labels_may_have_colons() -> None:
    assert (parse_rule("a: b > 1", LABELS).topic, parse_rule("a: b > 1", LABELS).label) == (None, "a: b")
    assert (parse_rule("t: u: bad jumps 3", LABELS).topic, parse_rule("*:bad < 0", LABELS).topic) == ("t: u", "*")
    assert parse_rule("x > y: bad > 0.5", LABELS).topic == "x > y"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bad", "is not a rule"),
        ("bad > much", "is not a rule"),
        ("bad > 1.2.3", "1.2.3 is not a number"),
        ("ugly > 0.4", "'ugly' is no label of the model: use one of good, bad"),
        ("bad > 4", "a share is between 0 and 1"),
        ("bad jumps 0", "a number above 0"),
        ("", "is not a rule"),
    ],
)
def test_wrong_rules_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        parse_rule(text, LABELS)


@pytest.mark.parametrize("text", ["", "0", "0s", "ten", "10x", "-5", "1.2.3m"])
def test_wrong_windows_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--window"):
        Span.parse(text)


def test_durations() -> None:
    assert [seconds_of(text, "--window") for text in ("90s", "1.5m", "2h", "1d")] == [90.0, 90.0, 7200.0, 86400.0]
