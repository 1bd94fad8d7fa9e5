"""The pages for beginners, taken apart: what they tell people to type, and what they say will be seen."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

from ft_template.create.bake import REPOSITORY

DOCS = REPOSITORY / "docs"
ENGLISH, CHINESE = PAGES = DOCS / "from-zero.md", DOCS / "from-zero.zh-CN.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the content of each fenced block."""
    return [(block[1], block[2]) for block in FENCE.finditer(text)]


def steps(page: Path) -> Iterator[tuple[str, list[str], str]]:
    """What is to be typed in a row and the output that is shown for it, with the heading above them."""
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        commands: list[str] = []
        for language, content in blocks(section):
            if language == "sh":
                commands.extend(content.splitlines())
            elif language == "text":
                yield section.partition("\n")[0], commands, content
                commands = []
        yield section.partition("\n")[0], commands, ""


def breakpoint_text(page: Path) -> str:
    """What the reader searches for in train/loop.py: the block of Python that is no dialogue with an interpreter."""
    code = [content for language, content in blocks(page.read_text("utf-8")) if language == "python"]
    (text,) = (content for content in code if ">>>" not in content)
    return text.strip()


def examples(page: Path) -> list[tuple[str, str]]:
    """The expressions to evaluate where the program stands still, with their values."""
    found = doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8").replace("```", ""))
    return [(example.source.strip(), " ".join(example.want.split())) for example in found]
