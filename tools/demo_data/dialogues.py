"""Dialogues of customers with the assistant of a chain of shops, in any language.

What the assistant says follows from what was said before and from a few rules of the house, which never change. So a
model can learn every answer, and a test can check it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from .grammar import Grammar, Rules

Message = dict[str, str]

# What a dialogue opens with, and what may follow
TOPICS: dict[str, tuple[str, ...]] = {
    "order": ("address", "gift", "cancel"),
    "damaged": ("replace", "money"),
    "opening": ("closing", "days"),
    "visit": ("closing",),
    "return": ("bring",),
    "stock": ("basket",),
}
LAST = ("cancel", "replace", "money")  # of a topic nothing can follow these
FACTS = ("item", "colour", "town", "day", "payment", "post", "brand", "ago")


@dataclass(frozen=True)
class Shop:
    """The rules of a house, and the sentences of a language."""

    rules: Rules
    hours: dict[str, tuple[str, str, str]]  # of the shop in a town: it opens, closes, and its day of rest
    colours: dict[str, tuple[str, str]]  # in which an article comes
    refunds: dict[str, str]  # how long it takes until money is back, by means of payment
    arrivals: dict[str, str]  # when a parcel arrives, by its post
    returns: int  # days for which an article can be returned
    limits: tuple[int, ...]  # what the system message may say instead
    conjunction: str  # between two colours
    space: str  # between two sentences
    finish: Callable[[str], str]  # what is done to a message at its end
    formalities: re.Pattern[str]  # greetings and openings, which make a dialogue no other one

    def example(self, grammar: Grammar) -> list[Message]:
        """A dialogue of one to three exchanges, ``[{"role", "content"}, ...]``; some begin with a system message."""
        topic = grammar.pick(list(TOPICS))
        with_system = grammar.chance(0.3)  # they repeat each other less, so that four in ten are left
        facts = self._facts(grammar, grammar.pick(self.limits) if with_system else self.returns)
        messages: list[Message] = []
        if with_system:
            rules = [grammar.sentence(rule, facts) for rule in ("system", f"{topic}_system") if rule in self.rules]
            messages.append(self._message("system", self.space.join(rules)))
        for exchange in _exchanges(grammar, topic, facts):
            rule = f"{exchange}_here" if with_system and f"{exchange}_here" in self.rules else exchange
            question, answer = grammar.sentence(rule, facts).split(" / ")
            if exchange == topic:
                question = f"{grammar.sentence('hello')}{self.space}{question}".strip()
                answer = f"{grammar.sentence('welcome', facts)}{self.space}{answer}" if with_system else answer
            messages += [self._message("user", question), self._message("assistant", answer)]
        return messages

    def key(self, example: list[Message]) -> str:
        """A dialogue without its formalities."""
        return self.formalities.sub("", line(example))

    def _facts(self, grammar: Grammar, limit: int) -> dict[str, str]:
        """What one dialogue is about, and what follows from it by the rules of the house."""
        facts = {fact: grammar.sentence(fact) for fact in FACTS}
        opens, closes, rest = self.hours[facts["town"]]
        colours = self.colours[facts["item"]]
        return facts | {
            "number": str(int(grammar.between(10, 100))),  # of the order
            "opens": opens,
            "closes": closes,
            "rest": rest,
            "visit_answer": "{visit_no}" if facts["day"] == rest else "{visit_yes}",
            "refund_days": self.refunds[facts["payment"]],
            "arrival": self.arrivals[facts["post"]],
            "limit": str(limit),
            "return_answer": "{return_yes}" if int(facts["ago"]) <= limit else "{return_no}",
            "two_colours": self.conjunction.join(colours),
            "stock_answer": "{stock_yes}" if facts["colour"] in colours else "{stock_no}",
            "choice": grammar.pick(colours),
        }

    def _message(self, role: str, text: str) -> Message:
        return {"role": role, "content": self.finish(text)}


def line(example: list[Message]) -> str:
    return json.dumps({"messages": example}, ensure_ascii=False) + "\n"


def _exchanges(grammar: Grammar, topic: str, facts: Rules) -> list[str]:
    """The exchanges of a dialogue in order, by name; facts decide which can follow."""
    refused = facts.get(f"{topic}_answer") in ("{visit_no}", "{return_no}")
    follow = [] if refused else list(TOPICS[topic])
    chosen = grammar.sample(follow, min(len(follow), grammar.pick([0, 0, 1, 1, 2])))
    chosen.sort(key=LAST.__contains__)
    while sum(exchange in LAST for exchange in chosen) > 1:
        chosen.pop()
    if len(chosen) < 2 and [topic, *chosen] != ["damaged"] and grammar.chance(0.25):
        chosen.append("thanks")
    return [topic, *chosen]
