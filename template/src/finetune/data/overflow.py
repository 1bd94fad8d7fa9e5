"""Texts that are longer than the model reads: which of their tokens each input has.

Nothing is imported: an ONNX export copies this file beside its script.
"""

HEAD = 4
"""Head and tail: the head has one of so many tokens, as 128 of 510 were best in Sun et al. 2019 (arXiv 1905.05583)."""
OVERLAP = 4
"""Windows: each repeats at least one of so many tokens of the last, so that no phrase is read only in two halves."""


def split_tokens(special: list[int], first: int, max_length: int, overflow: str) -> tuple[list[list[int]], bool]:
    """The positions of each input of at most `max_length` tokens, and whether there are tokens that none of them has.

    `special` is the special tokens mask of the whole text or pair, whose first text has `first` other tokens. Special
    tokens stay in every input. `overflow`: head_tail keeps the first and the last tokens, windows makes several inputs
    of equal length, evenly spaced. Of a pair only the longer text is split; the shorter one stays whole where it fills
    at most half of an input, else its first and last tokens do.
    """
    if len(special) <= max_length:
        return [[*range(len(special))]], False
    frame = [position for position, is_special in enumerate(special) if is_special]
    content = [position for position, is_special in enumerate(special) if not is_special]
    room = max_length - len(frame)
    shorter, longer = sorted((content[:first], content[first:]), key=len)
    kept = _ends(shorter, room // 2)
    width = room - len(kept)
    if overflow == "head_tail":
        return [sorted(frame + kept + _ends(longer, width))], True
    inputs = [sorted(frame + kept + longer[start : start + width]) for start in _starts(len(longer), width)]
    return inputs, len(kept) < len(shorter)


def _ends(positions: list[int], count: int) -> list[int]:
    """The first and the last ones, `count` in all."""
    if len(positions) <= count:
        return positions
    head = -(-count // HEAD)
    return positions[:head] + positions[len(positions) - count + head :]


def _starts(length: int, width: int) -> list[int]:
    """Of evenly spaced windows: each is full, so that none with few tokens counts as much as the others."""
    step = width - width // OVERLAP
    gaps = -(-(length - width) // step)
    return [number * (length - width) // gaps for number in range(gaps + 1)] if gaps else [0]
