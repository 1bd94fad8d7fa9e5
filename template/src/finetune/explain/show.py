"""Explanations in the terminal: the text highlighted in two colours, and the words that contribute most."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..console import Cell, print_table

FOR, AGAINST = (70, 140, 235), (235, 120, 60)
"""Colours of words that raise the target, and of words that lower it: blue and orange, for the colour-blind, too."""
MOST_WORDS = 10
METHODS = ("gradients", "occlusion")


def show_explanation(console: Console, record: dict[str, Any]) -> None:
    """Print each target of a text: a line on it, the highlighted text on a terminal, a table of words."""
    if "place" in record:
        truth = f", true: {record['truth']}" if "truth" in record else ""
        console.print(Text(f"{record['place']}{truth}", style="dim"))
    if not record["targets"]:
        console.print(Text(f"{' '.join(record['texts'].values())}\nno entity is predicted: choose a word with --word"))
    for target in record["targets"]:
        console.print(Text(headline(target), style="bold"))
        if console.is_terminal:
            for part, text in record["texts"].items():
                words = [word for word in target["words"] if word["part"] == part]
                console.print(highlighted(text, words, method_of(target)))
            legend = (
                (" raises it ", _style(1.0)),
                " ",
                (" lowers it ", _style(-1.0)),
                (f"  by {method_of(target)}", "dim"),
            )
            console.print(Text.assemble(*legend))
        methods = [method for method in METHODS if any(method in word for word in target["words"])]
        words = sorted(target["words"], key=lambda word: -abs(word[methods[0]]))[:MOST_WORDS]
        rows: list[list[Cell]] = [[word["text"], *(float(word[method]) for method in methods)] for word in words]
        print_table(console, ["word", *methods], rows, text_columns=1)
        if "error" in target:
            console.print(Text(completeness(target), style="dim"))
    if record.get("truncated"):
        console.print(Text("The end of the text is not read: it is longer than model.max_length.", style="dim"))


def headline(target: dict[str, Any]) -> str:
    """The target in a line."""
    probability = f", probability {target['probability']:.4f}" if "probability" in target else ""
    value = f", {target['unit'] or 'value'} {target['value']:z.4f}" if "value" in target else ""
    return f"{target['target']}{probability}{value}"


def completeness(target: dict[str, Any]) -> str:
    """How good the integral is: the sum over the words should be the difference to the baseline."""
    value, baseline = target["value"], target["baseline"]
    return (
        f"{value:z.4f} - {baseline:z.4f} with {target['baseline_token']} in place of each word = "
        f"{value - baseline:z.4f}; the words sum to {value - baseline + target['error']:z.4f} "
        f"(completeness error {abs(target['error']):.4f}, {target['steps']} steps)."
    )


def method_of(target: dict[str, Any]) -> str:
    """The method that the text is highlighted by."""
    return next((method for method in METHODS if any(method in word for word in target["words"])), METHODS[0])


def highlighted(text: str, words: Sequence[dict[str, Any]], method: str) -> Text:
    """A text with a background behind each word: blue raises the target, orange lowers it."""
    shown, most = Text(text), max((abs(word[method]) for word in words), default=0.0)
    for word in words:
        if most and (style := _style(word[method] / most)):
            shown.stylize(style, word["start"], word["end"])
    return shown


def _style(strength: float) -> str:
    """From -1 to 1: paler towards 0."""
    if abs(strength) < 0.05:
        return ""
    colour = FOR if strength > 0 else AGAINST
    red, green, blue = (round(255 - abs(strength) * (255 - part)) for part in colour)
    return f"black on rgb({red},{green},{blue})"
