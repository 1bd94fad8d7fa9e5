"""Writes ``template/data/demo``. The same bytes every time, on every platform.

Usage: python -m tools.demo_data [FOLDER]
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import news_entities, news_sentiment
from .grammar import Draw, Grammar, Rules

FOLDER = Path(__file__).resolve().parents[2] / "template" / "data" / "demo"
SIZES = {"train": 2800, "validation": 300, "test": 400}


@dataclass(frozen=True)
class Theme:
    """Demo data of one task."""

    task: str
    ending: str
    rules: Rules
    draws: dict[str, Draw]
    example: Callable[[Grammar], Any]
    line: Callable[[Any], str]


THEMES = [
    Theme(
        "text-classification",
        "jsonl",
        news_sentiment.RULES,
        news_sentiment.DRAWS,
        news_sentiment.example,
        news_sentiment.line,
    ),
    Theme(
        "token-classification",
        "conll",
        news_entities.RULES,
        news_entities.DRAWS,
        news_entities.example,
        news_entities.line,
    ),
]


def splits(theme: Theme) -> Iterator[tuple[str, str]]:
    """(split, content) of a theme; no sentence comes twice, not even with other numbers."""
    seen: set[str] = set()
    for split, size in SIZES.items():
        grammar = Grammar(f"{theme.task} {split}", theme.rules, theme.draws, unseen=split != "train")
        lines: list[str] = []
        while len(lines) < size:
            line = theme.line(theme.example(grammar))
            key = re.sub(r"\d+", "0", line).lower()
            if key not in seen:
                seen.add(key)
                lines.append(line)
        yield split, "".join(lines)


def file_name(theme: Theme, split: str) -> str:
    """The name in the template: cookiecutter writes a file only where its name is not empty."""
    return f"{{% if cookiecutter.task == '{theme.task}' %}}{split}.{theme.ending}{{% endif %}}"


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for split, content in splits(theme):
            (folder / file_name(theme, split)).write_bytes(content.encode())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
