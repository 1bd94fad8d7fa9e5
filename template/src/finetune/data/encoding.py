"""Recognise the encoding of a text that is not UTF-8; only where the text is typical of exactly one encoding."""

import re
from collections.abc import Callable, Mapping

ENOUGH = 8
"""Characters outside of ASCII below which nothing is recognised."""
MIXED = 0.2
"""Share of lines that are UTF-8 from which a file is a damaged UTF-8 file, or a mixture, and no other encoding."""
WESTERN = (*("äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúüªº", "áâãàçéêíóôõúüªº", "àèéìíîòóùú", "åäöæøéü", "ëïéèöüáó"),)
"""Letters outside of ASCII in German, French, Spanish, Portuguese, Italian, the Nordic languages and Dutch."""
OTHERS = ("cp1250", "cp1253", "cp1254", "cp1255", "cp1256")
"""Encodings that are named in a message, but not taken: Central European, Greek, Turkish, Hebrew, Arabic."""
TYPOGRAPHY = "‘’‚“”„–—…€£§©®°«»¡¿·•™´\xa0"  # noqa: RUF001
"""Signs of Windows-1252 in texts of any language."""
UNUSUAL = re.compile(r"[^\W\d_][‚“”„…€£§©®°«»¡¿·•™´][^\W\d_]|õ(?!e)|ã(?![oes]|\b)")  # noqa: RUF001
"""Signs inside of words, and Portuguese letters where Portuguese has none: letters of another encoding."""
KANA = re.compile("[\u3041-\u30ff]")
LATIN_BEFORE = re.compile("[A-Za-z][^\x00-\x7f\u2000-\u206f]")


def recognise(sample: bytes) -> tuple[str | None, str]:
    """The encoding of a sample of lines that are not ASCII, or None; and the likeliest one for a message.

    charset-normalizer leaves out encodings whose text would be a mess. Of the others one is taken if its text is
    typical of it, and every other one that is typical reads the same.
    """
    from charset_normalizer import from_bytes

    matches = from_bytes(
        sample, cp_isolation=[*TYPICAL, "cp1250", "cp1253", "cp1254", "cp1255", "cp1256"], threshold=0.3
    )
    likeliest = matches[0].encoding if len(matches) else ""
    typical = {codec: str(match) for match in matches for codec in [match.encoding, *match.could_be_from_charset]
               if codec in TYPICAL and TYPICAL[codec](str(match))}  # fmt: skip
    sure = len(set(typical.values())) == 1 and not _is_damaged_utf8(sample)
    return (next(codec for codec in TYPICAL if codec in typical) if sure else None), likeliest


def _is_damaged_utf8(sample: bytes) -> bool:
    lines = sample.split(b"\n")
    return sum(_is_utf8(line) for line in lines) > MIXED * len(lines)


def _is_utf8(line: bytes) -> bool:
    try:
        return not line.decode().isascii()
    except UnicodeDecodeError:
        return False


def _foreign(text: str) -> str:
    """The characters outside of ASCII, without punctuation and full-width forms of East Asian texts.

    Empty where many follow a Latin letter: then they stand for the accented letters of a Latin alphabet.
    """
    foreign = "".join(char for char in text if char > "\x7f" and not "\u3000" <= char <= "\u303f" and char < "\uff00")
    return "" if len(LATIN_BEFORE.findall(text)) > 0.2 * len(foreign) else foreign


def _consists(letters: str, least: float, frequent: str = "", at_least: float = 0) -> Callable[[str], bool]:
    """Whether at least a share of the characters outside of ASCII are such letters, and a share are frequent ones."""

    def check(text: str) -> bool:
        foreign = _foreign(text)
        return (
            len(foreign) >= ENOUGH
            and len(re.findall(letters, foreign)) >= least * len(foreign)
            and sum(map(foreign.count, frequent)) >= at_least * len(foreign)
        )

    return check


def _common_hanzi(codec: str, last: int, at_least: float) -> Callable[[str], bool]:
    """Whether the characters are of the first level of a standard, by first byte, and a share of them very frequent."""

    def is_common(char: str) -> bool:
        code = char.encode(codec, errors="ignore")
        return len(code) == 2 and code[0] <= last

    def check(text: str) -> bool:
        hanzi = [char for char in _foreign(text) if char > "\u2fff"]
        return (
            len(hanzi) >= ENOUGH
            and sum(map(is_common, hanzi)) >= 0.9 * len(hanzi)
            and sum(map(hanzi.count, CHINESE)) >= at_least * len(hanzi)
            and not KANA.search(text)
        )

    return check


def _is_western(text: str) -> bool:
    letters = {char for char in text.lower() if char > "\x7f"} - set(TYPOGRAPHY)
    foreign = sum(char > "\x7f" for char in text)
    fits = any(letters <= set(alphabet) for alphabet in WESTERN)
    return ENOUGH <= foreign <= 0.3 * len(text) and fits and not UNUSUAL.search(text)


CYRILLIC, RUSSIAN = "[\u0430-\u044f\u0451-\u045f]", "\u0430\u0435\u0438\u043e\u043d\u0442\u0441\u0440\u0432\u043b"
"""Small letters, and the ten that are the most frequent ones in Russian."""
HANGUL, KOREAN = "[\uac00-\ud7a3]", "이다는에을가고의지하은도어로나기사리시한를서해자아인대그라있보들게요정수것"
"""Syllables, and the most frequent ones in Korean."""
CHINESE = (
    "的一是不了人我在有他这中大来上个到说们为子和你地出也时得就要下以生会家可里后小么"
    "心多能好都没很还這來個們為時會裡後沒還買"
)
"""The most frequent characters of Chinese."""
TYPICAL: Mapping[str, Callable[[str], bool]] = {
    "gb18030": _common_hanzi("gb2312", 0xD7, 0.1),
    "big5": _common_hanzi("big5", 0xC6, 0.15),
    "cp932": _consists(KANA.pattern, 0.3),
    "euc_jis_2004": _consists(KANA.pattern, 0.3),
    "cp949": _consists(HANGUL, 0.95, KOREAN, 0.2),
    "cp1251": _consists(CYRILLIC, 0.8, RUSSIAN, 0.55),
    "koi8_r": _consists(CYRILLIC, 0.8, RUSSIAN, 0.55),
    "cp1252": _is_western,
}
"""The encodings that are recognised, the usual ones first, and whether a text is typical of them."""
