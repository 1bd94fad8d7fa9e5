"""The example customer-service: all help articles, and questions with passages that an answer quotes.

A row of chat has three passages, numbered, and the question of a customer, as `finetune pipeline` and `finetune serve`
give them to the model (`finetune/retrieval_prompt.py`): the article that answers, most often first, and articles of the
same thing or the same matter. The answer quotes the one that fits, with its number.
"""

import json
from collections.abc import Iterator

from .grammar import Grammar
from .shop_help import DRAWS, MATTERS, RULES, THINGS, Article, document, draw_article, question, similar

SIZES = {"train": 1600, "validation": 150, "test": 150}
INSTRUCTION = "Answer the question from these passages, and cite the number of each one that you use, such as [1]."
FIRST = 0.6
"""How often the passage that answers is the first of the three."""


def files() -> Iterator[tuple[str, str]]:
    """(name, content) of each file."""
    articles = [(thing, matter) for thing in THINGS for matter in MATTERS]
    yield "corpus", "".join(_line({"document": document(one), "thing": one[0], "matter": one[1]}) for one in articles)
    seen: set[str] = set()
    for split, size in SIZES.items():
        grammar = Grammar(f"customer-service {split}", RULES, DRAWS, unseen=split != "train")
        rows: list[str] = []
        while len(rows) < size:
            article = draw_article(grammar)
            asked = question(grammar, article)
            if asked.lower() not in seen:
                seen.add(asked.lower())
                rows.append(_line({"messages": dialogue(grammar, article, asked)}))
        yield f"chat-{split}", "".join(rows)


def dialogue(grammar: Grammar, article: Article, asked: str) -> list[dict[str, str]]:
    """The question with three passages, and the answer."""
    others = grammar.sample(similar(grammar, article), 2)
    place = 0 if grammar.chance(FIRST) else grammar.pick([1, 2])
    passages = [document(one) for one in (*others[:place], article, *others[place:])]
    numbered = "\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, 1))
    return [
        {"role": "user", "content": f"{INSTRUCTION}\n\n{numbered}\n\nQuestion: {asked}"},
        {"role": "assistant", "content": f'"{passages[place]}" [{place + 1}]'},
    ]


def _line(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
