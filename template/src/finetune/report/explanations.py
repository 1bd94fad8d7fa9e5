"""Explanations of an evaluation: the texts in pieces, each with its weight."""

from typing import Any

METHODS = ("gradients", "occlusion")


def explained(explanation: dict[str, Any]) -> dict[str, Any]:
    """An explanation with `pieces` for each target: of each text, pairs of a piece and the weight of its word.

    A weight is from -1 to 1, relative to the largest of the target; between words it is None.
    """
    targets = [
        {**target, "pieces": _pieces(explanation["texts"], target["words"])} for target in explanation["targets"]
    ]
    return {**explanation, "targets": targets}


def _pieces(texts: dict[str, str], words: list[dict[str, Any]]) -> list[list[tuple[str, float | None]]]:
    method = next((name for name in METHODS if any(word.get(name) is not None for word in words)), METHODS[0])
    weights = [float(word.get(method) or 0.0) for word in words]
    most = max(map(abs, weights), default=0.0) or 1.0
    found = []
    for part, text in texts.items():
        pieces: list[tuple[str, float | None]] = []
        end = 0
        for word, weight in zip(words, weights, strict=True):
            if word["part"] == part and end <= word["start"] < word["end"]:
                pieces += [(text[end : word["start"]], None), (text[word["start"] : word["end"]], weight / most)]
                end = word["end"]
        found.append([*pieces, (text[end:], None)])
    return found
