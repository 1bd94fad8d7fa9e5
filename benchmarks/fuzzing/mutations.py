"""Mutations of a valid input: a few places are changed, as damage and attackers change them."""

import random
from collections.abc import Sequence
from typing import Any

FEWEST, MOST = 1, 4
"""Mutations of an input."""


def mutated(content: bytes, pieces: Sequence[bytes], random_: random.Random) -> bytes:
    """The content with a few mutations; `pieces` is what the grammar of the format gives a meaning to."""
    changed = bytearray(content)
    for _ in range(random_.randint(FEWEST, MOST)):
        at = random_.randint(0, len(changed))
        length = random_.randint(1, 12)
        match random_.randrange(6):
            case 0:
                del changed[at : at + length]
            case 1:
                changed[at:at] = random_.choice(pieces)
            case 2:
                changed[at : at + length] = random_.choice(pieces)
            case 3 if at < len(changed):
                changed[at] = random_.randrange(256)
            case 4:
                start = random_.randint(0, len(changed))
                changed[at:at] = changed[start : start + random_.randint(1, 80)]
            case _:
                del changed[at + random_.randint(0, 60) :]
    return bytes(changed)


def random_place(document: Any, random_: random.Random, stop: float) -> tuple[Any, Any]:
    """A list or mapping in a document that is not empty, and a key of it; `stop`: the chance to go no deeper."""
    place = document
    while True:
        key = random_.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or random_.random() < stop:
            return place, key
        place = place[key]
