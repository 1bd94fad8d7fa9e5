"""Mutations of a valid input: a few places are changed, as damage and attackers change them."""

import random
from collections.abc import Sequence

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
