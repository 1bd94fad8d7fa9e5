"""Writes ``template/data/demo`` and ``template/data/customer-service``. The same bytes every time, on every platform.

Usage: python -m tools.demo_data [FOLDER]
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from . import (
    chinese_news,
    chinese_reviews,
    chinese_service,
    customer_service,
    german_phrases,
    holiday_stays,
    news_entities,
    news_sentiment,
    product_descriptions,
    review_scores,
    shop_help,
    shop_talk,
    support_tickets,
    town_notices,
)
from .grammar import Grammar

FOLDER = Path(__file__).resolve().parents[2] / "template" / "data"


@dataclass(frozen=True)
class Theme:
    """Demo data of one task."""

    task: str
    ending: str
    sizes: tuple[int, int, int]  # examples in train, validation, test
    module: ModuleType  # its RULES, DRAWS, example and line
    key: Callable[[Any], str]  # what no two examples may share
    language: str = "en"


THEMES = [
    Theme("text-classification", "jsonl", (2800, 300, 400), news_sentiment, itemgetter("text")),
    Theme("multi-label-classification", "jsonl", (2400, 300, 400), support_tickets, itemgetter("text")),
    Theme("regression", "jsonl", (2400, 300, 400), review_scores, itemgetter("text")),
    Theme("token-classification", "conll", (2800, 300, 400), news_entities, news_entities.line),
    Theme("ranking", "jsonl", (375, 40, 60), holiday_stays, lambda rows: rows[0]["query"]),
    Theme("retrieval", "jsonl", (2000, 300, 400), shop_help, itemgetter("query")),
    Theme("text-generation", "jsonl", (2400, 300, 400), product_descriptions, itemgetter("prompt")),
    Theme("chat", "jsonl", (2400, 300, 400), shop_talk, shop_talk.key),
    Theme("translation", "jsonl", (3000, 300, 400), german_phrases, itemgetter("source")),
    Theme("summarization", "jsonl", (2400, 300, 400), town_notices, itemgetter("source")),
    Theme("text-classification", "jsonl", (2800, 300, 400), chinese_reviews, itemgetter("text"), "zh"),
    Theme("token-classification", "jsonl", (2800, 300, 400), chinese_news, itemgetter("text"), "zh"),
    Theme("chat", "jsonl", (2400, 300, 400), chinese_service, chinese_service.key, "zh"),
]
CHINESE = {theme.task for theme in THEMES if theme.language == "zh"}


def splits(theme: Theme) -> Iterator[tuple[str, str]]:
    """(split, content) of a theme; no example comes twice, not even with other numbers."""
    seen: set[str] = set()
    for split, size in zip(("train", "validation", "test"), theme.sizes, strict=True):
        seed = theme.task if theme.language == "en" else f"{theme.task} {theme.language}"
        grammar = Grammar(f"{seed} {split}", theme.module.RULES, theme.module.DRAWS, unseen=split != "train")
        lines: list[str] = []
        while len(lines) < size:
            example = theme.module.example(grammar)
            key = re.sub(r"\d+", "0", theme.key(example)).lower()
            if key not in seen:
                seen.add(key)
                lines.append(theme.module.line(example))
        yield split, "".join(lines)


def file_name(theme: Theme, split: str) -> str:
    """The name in the template: cookiecutter writes a file only where its name is not empty."""
    language = f" and cookiecutter.language == '{theme.language}'" if theme.task in CHINESE else ""
    return f"{{% if cookiecutter.task == '{theme.task}'{language} %}}{split}.{theme.ending}{{% endif %}}"


def contents() -> Iterator[tuple[str, str]]:
    """(path below the folder of the data, content) of each file."""
    for theme in THEMES:
        for split, content in splits(theme):
            yield f"demo/{file_name(theme, split)}", content
    for name, content in customer_service.files():
        yield f"customer-service/{{% if cookiecutter.task == 'retrieval' %}}{name}.jsonl{{% endif %}}", content


def main(folder: Path = FOLDER) -> None:
    for name, content in contents():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
