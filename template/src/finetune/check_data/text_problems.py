"""Text problems: wrong encoding, HTML, control characters, rows without words, very long rows."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..console import counted, progress, share
from .findings import WORD, Entry, Finding, splits_of

# Control characters other than tab and line feed, the replacement character, byte order marks.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufeff]")
# The bytes of UTF-8 for Latin letters, punctuation and emoji, read as Windows-1252: "Ã¼" for "ü".
MOJIBAKE = re.compile(r"[ÂÃâïð][\x80-\xbfŒœŠšŽžŸƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]{1,3}")  # noqa: RUF001
TAG = re.compile(
    r"</?(?:a|b|br|body|code|div|em|font|h[1-6]|head|hr|html|i|img|li|ol|p|pre|script|span|strong|style|table|td|tr|u|ul)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
ENTITY = re.compile(
    r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|amp|lt|gt|quot|apos|nbsp|[a-zA-Z]{1,5}(?:uml|acute|grave|circ|tilde|dash|quo));"
)
REPEATED = re.compile(r"([^\W_]|[!?])\1{14,}")
LONG = 20
"""Times the median length from which on a text is very long ..."""
LONG_WORDS = 1000
"""... if it also has more words than this."""

WINDOWS_BYTES = {bytes([b]).decode("cp1252", "ignore") or chr(b): b for b in range(256)}


def is_mojibake(text: str) -> bool:
    """Whether a part of the text, encoded as Windows-1252, is valid UTF-8."""
    return any(_decodes(match[0]) for match in MOJIBAKE.finditer(text))


def is_without_words(text: str) -> bool:
    """Whether there is nothing but punctuation and white space; an emoji may carry meaning."""
    return not WORD.search(text) and all(unicodedata.category(character)[0] in "PZC" for character in text)


def has_html(text: str) -> bool:
    """Whether the text has an HTML tag or entity."""
    return bool(TAG.search(text) or ENTITY.search(text))


class Check(NamedTuple):
    """A text problem."""

    kind: str
    applies: Callable[[str], object]
    what: str
    remedy: str


CHECKS = (
    Check(
        "control-characters",
        CONTROL.search,
        "control characters or U+FFFD, which replaces undecodable bytes",
        "remove them, or read the source in its own encoding",
    ),
    Check(
        "mojibake",
        is_mojibake,
        "mojibake (letters in a wrong encoding), such as Ã¼ for ü",
        "read the source as UTF-8 and write it again",
    ),
    Check(
        "html",
        has_html,
        "remains of HTML, such as <br> or &amp;",
        "remove the tags and decode the entities, here and in real use",
    ),
    Check("no-words", is_without_words, "nothing but punctuation", "remove the rows, or fill them in"),
    Check(
        "repeated-character", REPEATED.search, "one character 15 times or more in a row", "check whether it is noise"
    ),
)


def text_problem_findings(entries: Sequence[Entry], in_words: bool) -> Iterator[Finding]:
    """Text problems of each split. `in_words`: rows are tokenized sentences, where "..." alone may be one."""
    checks = [check for check in CHECKS if not (check.kind == "no-words" and in_words)]
    for split, some in splits_of(entries).items():
        with progress(f"checking the texts of {split}", len(checks)) as advance:
            for check in checks:
                if places := [entry.place for entry in some if any(map(check.applies, _texts(entry)))]:
                    found = f"{counted(len(places), 'row')} of {split} ({share(len(places), len(some))})"
                    verb = "has" if len(places) == 1 else "have"
                    yield Finding(check.kind, "warning", split, f"{found} {verb} {check.what}", check.remedy, places)
                advance(1)
        yield from _very_long(some, split)


def _very_long(entries: Sequence[Entry], split: str) -> Iterator[Finding]:
    words = [len(entry.text.split()) for entry in entries]
    median = sorted(words)[len(words) // 2]
    long = [(n, entry) for n, entry in zip(words, entries, strict=True) if n > max(LONG * median, LONG_WORDS)]
    if long:
        yield Finding(
            "very-long",
            "warning",
            split,
            f"{counted(len(long), 'row')} of {split} of over {LONG} times the median length, {median} words",
            "check for a missing quote that joins rows",
            [entry.place for _, entry in long],
        )


def _texts(entry: Entry) -> tuple[str, ...]:
    return (*entry.summary.texts, entry.summary.answer) if entry.summary.generates else entry.summary.texts


def _decodes(text: str) -> bool:
    """Whether the text begins with a misread UTF-8 character, whose first byte determines its length."""
    size = {"Â": 2, "Ã": 2, "â": 3, "ï": 3, "ð": 4}[text[0]]
    try:
        bytes(WINDOWS_BYTES[character] for character in text[:size]).decode()
    except UnicodeDecodeError:
        return False
    return True
