"""Theme of ranking: which place to stay fits what a traveller writes.

A query says where, and one or two wishes more. A place there that fits all of them has grade 2, a place there that
misses one wish grade 1, a place elsewhere 0. Shared words do not say it: wishes and descriptions are worded differently
("by the sea", "behind the dunes"), and a place that misses a wish often names it ("an hour from the sea"). Places are
invented.
"""

import json

from .grammar import Draw, Grammar, Rules, with_articles
from .names import NAMES

Row = dict[str, str | int]

# What a place can be like, one of each group; the first is wished for most. Unequal on purpose: where all are equally
# likely, neither query nor document alone hints at the grade, and a small model takes long to find their interplay.
GROUPS: dict[str, tuple[str, ...]] = {
    "where": ("sea", "mountains", "city"),
    "mood": ("quiet", "lively"),
    "price": ("cheap", "luxury"),
}

RULES: Rules = {
    **NAMES,
    "name": "Hotel {both} | {both} House | {both} Lodge | {both} Inn | Pension {both} | Villa {both}",
    "ask": """a place | a place | looking for a place | we need a place | please suggest a place | any place
        | can you recommend a place | ~do you know a place""",
    # Of each trait: how travellers wish for it, how a place claims it, how a place owns up to lacking it
    "sea_wish": """by the sea | close to the sea | with a view of the sea | near the beach | at the beach
        | not far from the beach | ~at the sea, by the beach""",
    "sea_has": """right on the sand | steps from the sand | golden sand at the door | behind the dunes | among the dunes
        | a path through the dunes | ~sand right at the door""",
    "sea_lacks": "an hour from the sea | no beach nearby | far from the beach",
    "mountains_wish": """in the mountains | up in the mountains | with a view of the mountains | for a ski trip | to ski
        | near the ski slopes | ~near the mountains""",
    "mountains_has": """below the glacier | facing the glacier | glacier tours from the door | close to the summit
        | summit trails at the door | a lift to the summit | ~glacier and summit at the door""",
    "mountains_lacks": "no mountains in sight | far from the ski slopes | no skiing in the mountains here",
    "city_wish": """in the city | in the middle of the city | in the city centre | in the old town | in town
        | in the middle of town | ~near the city centre""",
    "city_has": """opposite the cathedral | next to the cathedral | a view of the cathedral | beside the opera
        | two streets from the opera | on the square by the opera | ~between opera and cathedral""",
    "city_lacks": "far from the city | no town nearby | a long way from the old town",
    "quiet_wish": """quiet | quiet at night | where it is quiet | peaceful | really peaceful | peaceful at night
        | ~quiet in the evening""",
    "quiet_has": """silent after nine | silent nights | silent as a church | hushed gardens | hushed rooms
        | a hushed courtyard | ~silent rooms""",
    "quiet_lacks": "not quiet at night | rarely peaceful | nobody comes here to be quiet",
    "lively_wish": """with nightlife | with a lot of nightlife | some nightlife | lively | something lively
        | lively in the evening | ~something lively at night""",
    "lively_has": """dancing until two | dancing every night | dancing on the roof | live band every evening
        | a band in the bar | a band at weekends | ~a band every evening""",
    "lively_lacks": "no nightlife | not lively | nightlife is elsewhere",
    "cheap_wish": """not too expensive | not expensive | nothing expensive | cheap | as cheap as possible
        | something cheap | ~as cheap as can be""",
    "cheap_has": """simple rooms | simple but clean | plain and simple | bargain rates | a bargain | a bargain all year
        | ~plain rooms""",
    "cheap_lacks": "not cheap | rather expensive | more expensive than most",
    "luxury_wish": """luxurious | something luxurious | as luxurious as possible | elegant | something elegant
        | really elegant | ~really luxurious""",
    "luxury_has": """marble baths | marble halls | marble and silk | a butler | butler and limousine
        | a butler for each floor | ~marble rooms""",
    "luxury_lacks": "not luxurious | not elegant | nothing luxurious here",
}

DRAWS: dict[str, Draw] = {}


def example(grammar: Grammar) -> list[Row]:
    """One query with its six to eight candidates in random order, ``[{"query", "document", "label"}, ...]``."""
    wished = ["where", *grammar.sample(list(GROUPS)[1:], grammar.pick([1, 2]))]
    wishes = {group: _popular(grammar, GROUPS[group]) for group in wished}
    query = f"{grammar.sentence('ask')} " + ", ".join(grammar.sentence(f"{wish}_wish") for wish in wishes.values())
    grades = [2, 1, 1, 0, 0, 0, *grammar.sample([2, 0, 0], grammar.pick([0, 1, 2]))]
    return [
        {"query": query, "document": _document(grammar, wishes, grade), "label": grade}
        for grade in grammar.sample(grades, len(grades))
    ]


def _popular(grammar: Grammar, traits: tuple[str, ...]) -> str:
    """One of the traits, the earlier the likelier."""
    return next((trait for trait in traits[:-1] if grammar.chance(0.7)), traits[-1])


def _document(grammar: Grammar, wishes: dict[str, str], grade: int) -> str:
    """Describes a place that fits the wishes (grade 2), misses one other than where (1), or lies elsewhere (0)."""
    where, *others = wishes
    missed = [] if grade == 2 else [grammar.pick(others)] if grade == 1 else [where]
    if grade == 0 and grammar.chance(0.7):
        missed.append(grammar.pick(others))
    traits = {group: _unlike(grammar, group, wish) if group in missed else wish for group, wish in wishes.items()}
    phrases = [grammar.sentence(f"{trait}_has") for trait in traits.values()]
    if grammar.chance(0.7):
        lacked = wishes[grammar.pick(missed)] if missed else _unlike(grammar, *grammar.pick(list(traits.items())))
        phrases.insert(int(grammar.between(0, len(phrases) + 1)), grammar.sentence(f"{lacked}_lacks"))
    return with_articles(f"{grammar.sentence('name')}: {', '.join(phrases)}")


def _unlike(grammar: Grammar, group: str, trait: str) -> str:
    return grammar.pick([other for other in GROUPS[group] if other != trait])


def line(example: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in example)
