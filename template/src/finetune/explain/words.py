"""What a model reads of an example: its words, and the tokens that each of them stands in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..data.features import Feature
from ..data.overflow import split_tokens
from ..errors import UserError
from ..tasks.base import Task
from ..tasks.entities import Offsets, split_words
from ..tasks.retrieval import RetrievalTask
from ..tasks.texts import TextTask
from ..tasks.token_classification import TokenClassificationTask, text_and_words

Place = tuple[int, int]
"""A token: its feature, of which a text with windows has several, and its position in it."""
Token = tuple[int, int, list[Place]]
"""Start and end in the text, and where the model reads it; windows overlap."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word that the model reads; several words where one token stands in all of them."""

    part: int
    """0, or 1 in the second text of a pair, or in the document of a query."""
    start: int
    end: int
    places: list[Place]


@dataclass(frozen=True, slots=True)
class Reading:
    """An example as the model reads it. Tokens of no word, such as [CLS], belong to the frame and stay as they are."""

    texts: list[str]
    features: list[Feature]
    words: list[Word]
    truncated: bool


def read(task: Task[Any, Any], example: Any, tokenizer: Any, max_length: int) -> Reading:
    """An example with one text or pair. Raises UserError for a tokenizer that does not tell where its tokens stand."""
    if not tokenizer.is_fast:
        raise UserError(
            "explain: this model has no fast tokenizer, which tells where tokens stand in a text: train one that has "
            "a tokenizer.json"
        )
    encoded = task.encode([example], tokenizer, max_length)
    if isinstance(task, TokenClassificationTask):
        text, offsets = text_and_words(example)
        windows = task.windows([example], tokenizer, max_length)
        places: dict[int, list[Place]] = defaultdict(list)
        for feature in range(len(encoded.features)):
            for position, word in enumerate(windows.word_ids(feature)):
                if word is not None:
                    places[word].append((feature, position))
        words = [Word(0, *offsets[word], places[word]) for word in sorted(places)]
        return Reading([text], encoded.features, words, truncated=False)
    if isinstance(task, RetrievalTask):
        sides = (example.query, "query"), (example.document, "document")
        words = [
            word
            for part, (text, role) in enumerate(sides)
            for word in _words_after_prefix(part, text, task.with_prefix("", role), tokenizer, max_length)
        ]
        return Reading([text for text, _ in sides], encoded.features, words, bool(encoded.truncated))
    texts = [*task.texts([example])][:1] if task.generation else [*task.texts([example])]
    overflow = task.overflow if isinstance(task, TextTask) else "cut"
    encoding, chosen = _tokenize(texts, tokenizer, max_length, overflow)
    return Reading(texts, encoded.features, _words(texts, encoding, chosen, tokenizer), bool(encoded.truncated))


def read_prompt(feature: Feature, tokenizer: Any) -> Reading:
    """The prompt of a decoder, whose text is what the tokenizer decodes it to, with the marks of a chat template."""
    ids = feature.prompt
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    [encoding] = tokenizer([text], add_special_tokens=False, verbose=False).encodings
    if encoding.ids != ids:  # the text has other tokens by itself: each token is a word
        pieces = [tokenizer.decode([token]) for token in ids]
        ends = [*accumulate(map(len, pieces))]
        spans = zip([0, *ends], ends, strict=False)
        words = [Word(0, *span, [(0, position)]) for position, span in enumerate(spans)]
        return Reading(["".join(pieces)], [feature], words, len(ids) < feature.length)
    return Reading([text], [feature], _words([text], encoding, [range(len(ids))], tokenizer), len(ids) < feature.length)


def _words(texts: Sequence[str], encoding: Any, chosen: Sequence[Sequence[int]], tokenizer: Any) -> list[Word]:
    """The words of a text or pair; `chosen` has the tokens of each feature."""
    special = {*tokenizer.all_special_ids}
    read_at: dict[int, list[Place]] = defaultdict(list)
    for feature, tokens in enumerate(chosen):
        for position, token in enumerate(tokens):
            read_at[token].append((feature, position))
    words = []
    for part, text in enumerate(texts):
        found = [
            (*encoding.offsets[token], places)
            for token, places in read_at.items()
            if encoding.sequence_ids[token] == part and encoding.ids[token] not in special
        ]
        words += [Word(part, *word) for word in merge_tokens(found, split_words(text))]
    return words


def _words_after_prefix(part: int, text: str, prefix: str, tokenizer: Any, max_length: int) -> list[Word]:
    """The words of a text that is a feature of its own; the tokens of its prefix belong to the frame."""
    [encoding] = tokenizer([prefix + text], truncation=True, max_length=max_length).encodings
    special, before = {*tokenizer.all_special_ids}, len(prefix)
    found = [
        (max(0, start - before), end - before, [(part, position)])
        for position, (start, end) in enumerate(encoding.offsets)
        if encoding.sequence_ids[position] == 0
        and encoding.ids[position] not in special
        and (end > before or start == end == before)
    ]
    return [Word(part, *word) for word in merge_tokens(found, split_words(text))]


def _tokenize(
    texts: Sequence[str], tokenizer: Any, max_length: int, overflow: Any
) -> tuple[Any, Sequence[Sequence[int]]]:
    """The encoding of a text or pair, and which of its tokens each feature has, as `tokenize_all` chooses them."""
    if overflow == "cut":
        [encoding] = tokenizer(*texts, truncation=True, max_length=max_length).encodings
        return encoding, [range(len(encoding.ids))]
    [encoding] = tokenizer(*texts, verbose=False).encodings
    first = encoding.sequence_ids.count(0)
    return encoding, split_tokens(encoding.special_tokens_mask, first, max_length, overflow)[0]


def merge_tokens(tokens: Iterable[Token], words: Sequence[Offsets]) -> list[Token]:
    """Start, end and places of each word: sub-words are merged, and so are words that share a token.

    White space with a token of its own is a word. A token without a character belongs to the word after it.
    """
    merged: list[Token] = []
    waiting: list[Place] = []
    for start, end, places in sorted(tokens, key=lambda token: token[:2]):
        if start == end:
            waiting += places
            continue
        touched = [word for word in words if word[0] < end and start < word[1]]
        if touched:
            start, end = touched[0][0], touched[-1][1]
        if merged and start < merged[-1][1]:
            start, before, earlier = merged[-1][0], merged[-1][1], merged.pop()[2]
            end, places = max(before, end), [*earlier, *places]
        merged.append((start, end, [*waiting, *places]))
        waiting = []
    if waiting:
        start, end, places = merged.pop() if merged else (0, 0, [])
        merged.append((start, end, [*places, *waiting]))
    return merged
