"""A seeded grammar: rules are alternatives, ``{name}`` in an alternative is replaced by that rule.

Notation, chosen so that a theme reads like its sentences:

- ``a | b | c``        one of these, each as likely as the others
- ``~a``               kept out of the training split, so that the test also asks about the unseen
- ``{rule}``           an alternative of the rule, drawn anew each time
- ``{key:rule}``       the same, remembered for this sentence; ``{key}`` repeats it
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Rules = Mapping[str, str]
Draw = Callable[["Grammar"], str]

T = TypeVar("T")
SLOT = re.compile(r"\{(?:(\w+):)?(\w+)\}")


class Grammar:
    """Expands rules with one stream of random numbers; ``unseen`` admits the alternatives marked ``~``."""

    def __init__(self, seed: str, rules: Rules, draws: Mapping[str, Draw] | None = None, *, unseen: bool) -> None:
        # Of the methods of random.Random, only random() promises the same numbers in every version of Python.
        self._random = random.Random(seed).random
        self._rules = rules
        self._draws = draws or {}
        self._unseen = unseen
        self._choices: dict[str, list[str]] = {}
        self._remembered: dict[str, str] = {}

    def sentence(self, rule: str, scope: Rules | None = None) -> str:
        """One sentence; ``scope`` gives rules for this sentence alone (an industry, a country)."""
        self._remembered = {}
        return self._expand(f"{{{rule}}}", scope or {})

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` different items in random order."""
        rest = list(items)
        return [rest.pop(int(self._random() * len(rest))) for _ in range(count)]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._random()

    def _expand(self, text: str, scope: Rules) -> str:
        def fill(slot: re.Match[str]) -> str:
            key, name = slot.groups()
            if key is None and name in self._remembered:
                return self._remembered[name]
            if name in self._draws:
                value = self._draws[name](self)
            else:
                value = self.pick(self._alternatives(scope.get(name) or self._rules[name]))
            value = self._expand(value, scope)
            if key is not None:
                self._remembered[key] = value
            return value

        return SLOT.sub(fill, text)

    def _alternatives(self, rule: str) -> list[str]:
        if rule not in self._choices:
            every = [" ".join(choice.split()) for choice in rule.split("|")]
            self._choices[rule] = [choice.lstrip("~") for choice in every if self._unseen or not choice.startswith("~")]
        return self._choices[rule]


def with_articles(text: str) -> str:
    """Turns ``a`` into ``an`` where the next word starts with the sound of a vowel."""
    vowel = r"(?!eu|uni|use|one)(?:[aeiou]|8|1[18]\b)"
    return re.sub(rf"\b([Aa]) (?=(?:\[\w+ )?(?i:{vowel}))", r"\1n ", text)
