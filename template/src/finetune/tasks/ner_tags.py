"""Tags of words: schemes of named entities (IOB1, IOB2, IOBES, BILOU, BMES), plain tags, and metrics of both.

Plain tags, such as parts of speech, have no prefix: each word has a class of its own, and no spans are meant.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import UserError
from .results import ConfusionMatrix, Table, macro_note

ENTITY_TAG = re.compile(r"([BIESLUMW])[-_](.+)", re.DOTALL)
"""A tag of an entity: prefix and type."""
# IOBES, BILOU and BMES mark the last, the middle or the only word of an entity; IOB2 does not.
IOB2_PREFIX = {"B": "B", "I": "I", "M": "I", "E": "I", "L": "I", "S": "B", "U": "B", "W": "B"}


def is_plain(tags: Iterable[str]) -> bool:
    """Whether there are tags other than O, and none of them has the prefix of an entity's tag, such as B-."""
    others = [tag for tag in tags if tag != "O"]
    return bool(others) and not any(map(ENTITY_TAG.fullmatch, others))


def read_tags(tags: list[str], place: str) -> list[str]:
    """Plain tags as they are, others as IOB2. Raises UserError where they are mixed."""
    return list(tags) if is_plain(tags) else to_iob2(tags, place)


def to_iob2(tags: list[str], place: str) -> list[str]:
    """IOB1, IOB2, IOBES, BILOU or BMES tags as IOB2: every entity begins with B-.

    Raises UserError for a tag of none of these schemes.
    """
    result: list[str] = []
    previous = "O"
    for tag in tags:
        found = ENTITY_TAG.fullmatch(tag)
        if tag != "O" and not found:
            raise UserError(f"{place}: '{tag}' is not a tag: write O, or B- and I- with a type, such as B-PER")
        prefix, name = found.groups() if found else ("O", "")
        if prefix == "O":
            previous = "O"
        elif IOB2_PREFIX[prefix] == "B" or previous[2:] != name:
            previous = f"B-{name}"
        else:
            previous = f"I-{name}"
        result.append(previous)
    return result


def chunks(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First word, last word and type of each entity, from IOB2 tags; a plain tag other than O stands for its word."""
    found: list[tuple[int, int, str]] = []
    for position, tag in enumerate(tags):
        if tag.startswith("I-"):
            found[-1] = (found[-1][0], position, tag[2:])
        elif tag != "O":
            found.append((position, position, tag.removeprefix("B-")))
    return found


def entity_level(true: list[list[str]], predicted: list[list[str]]) -> tuple[Table, dict[str, float]]:
    """Exact spans with their type, counted as conlleval does (seqeval, Ramshaw and Marcus 1995 chunks)."""
    import warnings

    from seqeval.metrics import classification_report, f1_score
    from seqeval.scheme import IOB2

    with warnings.catch_warnings():
        # A type that is never predicted has no precision; seqeval says so on every call, the table shows the 0.
        warnings.simplefilter("ignore")
        report = classification_report(true, predicted, output_dict=True, zero_division=0)
        strict = f1_score(true, predicted, mode="strict", scheme=IOB2, zero_division=0)
    micro = report["micro avg"]
    *types, _, _, _ = report  # the averages come last
    present = [name for name in types if report[name]["support"]]
    for key in ("precision", "recall", "f1-score"):
        report["macro avg"][key] = sum(report[name][key] for name in present) / max(1, len(present))
    rows: list[list[str | int | float]] = [
        [name, *(float(row[key]) for key in ("precision", "recall", "f1-score")), int(row["support"])]
        for name, row in report.items()
    ]
    table = Table(
        "Entities",
        ["type", "precision", "recall", "f1", "support"],
        rows,
        note=macro_note(
            types,
            present,
            "An entity counts only with its exact span and type. This is the figure that papers call NER F1.",
        ),
    )
    return table, {
        "f1": float(micro["f1-score"]),
        "precision": float(micro["precision"]),
        "recall": float(micro["recall"]),
        "f1_macro": float(report["macro avg"]["f1-score"]),
        "f1_strict": float(strict),
    }


def confusion(title: str, labels: list[str], true: list[list[str]], predicted: list[list[str]]) -> ConfusionMatrix:
    """Confusion of plain tags or of types, word by word."""
    from sklearn.metrics import confusion_matrix

    sides = ([tag.removeprefix("B-").removeprefix("I-") for tags in side for tag in tags] for side in (true, predicted))
    return ConfusionMatrix(title, labels, confusion_matrix(*sides, labels=labels).tolist())


def token_level(
    title: str, note: str, labels: list[str], true: list[list[str]], predicted: list[list[str]]
) -> tuple[Table, dict[str, float]]:
    """Every word on its own, in the layout of scikit-learn's report; the first label, such as O, comes last."""
    from sklearn.metrics import precision_recall_fscore_support

    flat_true = [tag for tags in true for tag in tags]
    flat_predicted = [tag for tags in predicted for tag in tags]

    def scores(average: str | None) -> Any:
        return precision_recall_fscore_support(
            flat_true,
            flat_predicted,
            labels=present if average == "macro" else shown,
            average=average,
            zero_division=0,
        )

    true_tags, occurring = {*flat_true}, {*flat_true, *flat_predicted}
    shown = [*(label for label in labels[1:] if label in occurring), labels[0]]
    present = [label for label in shown if label in true_tags]
    rows: list[list[str | int | float]] = [
        [label, float(p), float(r), float(f), int(n)] for label, p, r, f, n in zip(shown, *scores(None), strict=True)
    ]
    averages = {kind: [float(value) for value in scores(kind)[:3]] for kind in ("micro", "macro", "weighted")}
    rows += [[f"{kind} avg", *values, len(flat_true)] for kind, values in averages.items()]
    table = Table(title, ["tag", "precision", "recall", "f1", "support"], rows, note=macro_note(shown, present, note))
    return table, {"accuracy": averages["micro"][2], **{f"f1_{kind}": averages[kind][2] for kind in averages}}
