"""Writes ``template/data/demo``. The same bytes every time, on every platform.

Usage: python -m tools.demo_data [FOLDER]
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from . import (
    german_phrases,
    holiday_stays,
    news_entities,
    news_sentiment,
    product_descriptions,
    review_scores,
    shop_talk,
    support_tickets,
    town_notices,
)
from .grammar import Draw, Grammar, Rules

FOLDER = Path(__file__).resolve().parents[2] / "template" / "data" / "demo"


@dataclass(frozen=True)
class Theme:
    """Demo data of one task."""

    task: str
    ending: str
    sizes: tuple[int, int, int]  # examples in train, validation, test
    rules: Rules
    draws: dict[str, Draw]
    example: Callable[[Grammar], Any]
    line: Callable[[Any], str]
    key: Callable[[Any], str]  # what no two examples may share
    language: str | None = None  # for the answer `language`; None: the task has demo data in one language only


THEMES = [
    Theme(
        "text-classification",
        "jsonl",
        (2800, 300, 400),
        news_sentiment.RULES,
        news_sentiment.DRAWS,
        news_sentiment.example,
        news_sentiment.line,
        itemgetter("text"),
        "en",
    ),
    Theme(
        "multi-label-classification",
        "jsonl",
        (2400, 300, 400),
        support_tickets.RULES,
        support_tickets.DRAWS,
        support_tickets.example,
        support_tickets.line,
        itemgetter("text"),
    ),
    Theme(
        "regression",
        "jsonl",
        (2400, 300, 400),
        review_scores.RULES,
        review_scores.DRAWS,
        review_scores.example,
        review_scores.line,
        itemgetter("text"),
    ),
    Theme(
        "token-classification",
        "conll",
        (2800, 300, 400),
        news_entities.RULES,
        news_entities.DRAWS,
        news_entities.example,
        news_entities.line,
        news_entities.line,
        "en",
    ),
    Theme(
        "ranking",
        "jsonl",
        (375, 40, 60),
        holiday_stays.RULES,
        holiday_stays.DRAWS,
        holiday_stays.example,
        holiday_stays.line,
        lambda rows: rows[0]["query"],
    ),
    Theme(
        "text-generation",
        "jsonl",
        (2400, 300, 400),
        product_descriptions.RULES,
        product_descriptions.DRAWS,
        product_descriptions.example,
        product_descriptions.line,
        itemgetter("prompt"),
    ),
    Theme(
        "chat",
        "jsonl",
        (2400, 300, 400),
        shop_talk.RULES,
        shop_talk.DRAWS,
        shop_talk.example,
        shop_talk.line,
        shop_talk.key,
        "en",
    ),
    Theme(
        "translation",
        "jsonl",
        (3000, 300, 400),
        german_phrases.RULES,
        german_phrases.DRAWS,
        german_phrases.example,
        german_phrases.line,
        itemgetter("source"),
    ),
    Theme(
        "summarization",
        "jsonl",
        (2400, 300, 400),
        town_notices.RULES,
        town_notices.DRAWS,
        town_notices.example,
        town_notices.line,
        itemgetter("source"),
    ),
]
# Until there are texts in Chinese, their files hold the English ones.
THEMES += [replace(theme, language="zh") for theme in THEMES if theme.language == "en"]


def splits(theme: Theme) -> Iterator[tuple[str, str]]:
    """(split, content) of a theme; no example comes twice, not even with other numbers."""
    seen: set[str] = set()
    for split, size in zip(("train", "validation", "test"), theme.sizes, strict=True):
        grammar = Grammar(f"{theme.task} {split}", theme.rules, theme.draws, unseen=split != "train")
        lines: list[str] = []
        while len(lines) < size:
            example = theme.example(grammar)
            key = re.sub(r"\d+", "0", theme.key(example)).lower()
            if key not in seen:
                seen.add(key)
                lines.append(theme.line(example))
        yield split, "".join(lines)


def file_name(theme: Theme, split: str) -> str:
    """The name in the template: cookiecutter writes a file only where its name is not empty."""
    condition = f"cookiecutter.task == '{theme.task}'"
    if theme.language:
        condition += f" and cookiecutter.language == '{theme.language}'"
    return f"{{% if {condition} %}}{split}.{theme.ending}{{% endif %}}"


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for split, content in splits(theme):
            (folder / file_name(theme, split)).write_bytes(content.encode())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
