"""Errors of tags by kind: of entities as type, boundary, missed and invented; of plain tags as confusions."""

from collections.abc import Iterator, Sequence

from .results import ErrorKind

Span = tuple[int, int, str]
"""First word, last word and type of an entity."""


def span_errors(true: Sequence[Span], predicted: Sequence[Span]) -> Iterator[ErrorKind]:
    """The errors of a sentence, each entity in one of them at most.

    The kinds are those of Nejadgholi et al. (2020), which refine the incorrect, partial, missing and spurious ones of
    MUC-5 (Chinchor and Sundheim 1993) and SemEval-2013 task 9. Entities that are predicted exactly are taken out. The
    others that share a word are paired one to one: first those with the same words (`type`: another type), then those
    of the same type (`boundary`: other words), then the rest (`type and boundary`); among equals, those that share
    more words, then those that come first. True entities without a pair are `missed`, predicted ones `invented`.
    """
    exact = {*true} & {*predicted}
    lost, new = ([span for span in spans if span not in exact] for spans in (true, predicted))
    pairs = [(one, other) for one in lost for other in new if _shared(one, other) > 0]
    for one, other in sorted(pairs, key=_preference):
        if one in lost and other in new:
            lost.remove(one)
            new.remove(other)
            kind = "type" if one[:2] == other[:2] else "boundary" if one[2] == other[2] else "type and boundary"
            yield ErrorKind(kind, one[2] if one[2] == other[2] else f"{one[2]} → {other[2]}")
    yield from (ErrorKind("missed", name) for _, _, name in lost)
    yield from (ErrorKind("invented", name) for _, _, name in new)


def word_errors(true: Sequence[str], predicted: Sequence[str]) -> Iterator[ErrorKind]:
    """The confusions of plain tags, word by word."""
    for one, other in zip(true, predicted, strict=True):
        if one != other:
            yield ErrorKind("confusion", f"{one} → {other}")


def _shared(one: Span, other: Span) -> int:
    """Words that two entities share; less than 1 if there are none."""
    return min(one[1], other[1]) - max(one[0], other[0]) + 1


def _preference(pair: tuple[Span, Span]) -> tuple[bool, bool, int, Span, Span]:
    one, other = pair
    return one[:2] != other[:2], one[2] != other[2], -_shared(one, other), one, other
