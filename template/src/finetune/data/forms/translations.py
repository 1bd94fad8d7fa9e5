"""Parallel texts as WMT, OPUS and other sets hold them: `{"translation": {"en": ..., "de": ...}}`."""

from dataclasses import replace
from typing import Any

from .form import Form, Object


def _matches(value: Object) -> bool:
    texts = value.get("translation")
    return isinstance(texts, dict) and bool(texts) and all(isinstance(text, str) for text in texts.values())


def _of_languages(first: Object) -> Form:
    """The first object decides on the source and the target: its first and its second language, if there are two."""
    languages = [*first["translation"]]
    pair = languages if len(languages) == 2 else []

    def convert(value: Object, place: str) -> dict[str, Any]:
        texts = value.get("translation")
        texts = texts if isinstance(texts, dict) else {}
        by_name = {f"translation.{language}": text for language, text in texts.items()}
        return {
            **value,
            **by_name,
            **{name: texts.get(of) for name, of in zip(("source", "target"), pair, strict=False)},
        }

    return replace(TRANSLATIONS, name=_name(pair or languages), convert=convert)


def _name(languages: list[str]) -> str:
    source, target = languages[0], languages[-1]
    read = (
        f"translations from {source} to {target}; the other direction is"
        if len(languages) == 2
        else "translations; name them in"
    )
    return f"{read} data.columns={{source: translation.{target}, target: translation.{source}}}"


TRANSLATIONS = Form("translations", _matches, lambda value, place: dict(value), bound=_of_languages, leaves_choice=True)
