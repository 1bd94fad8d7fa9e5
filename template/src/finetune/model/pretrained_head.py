"""The head of a checkpoint: its labels are matched by name, because their order and number are its own.

Rows of the output layer are taken where the checkpoint has all labels of the data; otherwise the layer starts anew.
The layers of the head below it are taken either way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .head import output_layer, renew, set_labels, take_rows
from .layers import head_modules

UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls labels without a name."""
SHOWN = 5
"""Labels that a message shows."""


@dataclass(frozen=True, slots=True)
class PretrainedHead:
    """Whether the output layer is the checkpoint's, and a line that says so."""

    taken: bool
    said: str


def matching_rows(checkpoint: Any, options: dict[str, Any]) -> list[int] | None:
    """For each label of a task's model options, its row in the checkpoint's output layer.

    None unless the checkpoint's config has all of them, exactly or but for case and blanks around, and none twice. None
    also if the checkpoint is known to solve another problem (single label, multi-label, regression).
    """
    if "id2label" not in options or not _fits(checkpoint, options):
        return None
    theirs, ours = _names(checkpoint.id2label), _names(options["id2label"])
    for form in (str, lambda name: name.strip().casefold()):
        rows = {form(name): row for row, name in enumerate(theirs)}
        wanted = [form(name) for name in ours]
        if len(rows) == len(theirs) and len({*wanted}) == len(wanted) and rows.keys() >= {*wanted}:
            return [rows[name] for name in wanted]
    return None


def fit_head(
    model: Any, info: dict[str, Any], checkpoint: Any, options: dict[str, Any], rows: list[int] | None
) -> PretrainedHead:
    """Let a loaded model have the labels of the task's model options.

    `info` is the loading info, `checkpoint` the checkpoint's own config, `rows` what `matching_rows` found; with it the
    model was loaded with the checkpoint's labels, without it with those of the options.
    """
    name, layers = output_layer(model, head_modules(model))
    if not layers:
        return _require_same_labels(model, checkpoint, options, rows)
    [layer] = layers
    missing = f"{name}.weight" in info["missing_keys"]
    mismatched = any(f"{name}.weight" == key for key, *_ in info["mismatched_keys"])
    if rows is not None:
        take_rows(layer, rows)
        set_labels(model, options)
    if missing:
        return PretrainedHead(False, "new, the checkpoint has none for this task")
    if rows is not None and not mismatched:
        number = f"{len(rows)} of the {len(checkpoint.id2label)}" if len(rows) < len(checkpoint.id2label) else len(rows)
        return PretrainedHead(True, f"{number} labels of the checkpoint, matched by name")
    if "id2label" not in options and not mismatched and _fits(checkpoint, options):
        return PretrainedHead(True, "the output of the checkpoint")
    if not mismatched:
        renew(model, layer)
    return PretrainedHead(False, f"new, {_why_new(checkpoint, options)}")


def _require_same_labels(
    model: Any, checkpoint: Any, options: dict[str, Any], rows: list[int] | None
) -> PretrainedHead:
    """Of a head without a linear layer, which cannot be changed. Raises UserError if it would have to be."""
    unnamed = all(map(UNNAMED.fullmatch, _names(checkpoint.id2label)))  # those of a checkpoint without a head
    if not unnamed and rows != [*range(len(checkpoint.id2label))]:
        raise UserError(
            f"model.name: {_why_new(checkpoint, options)}, and the head of a {model.config.model_type} model cannot be "
            f"changed: choose a checkpoint without a head, or of another architecture"
        )
    if rows is not None:
        set_labels(model, options)
    return PretrainedHead(rows is not None, "that of the checkpoint" if rows else "new")


def _fits(checkpoint: Any, options: dict[str, Any]) -> bool:
    """Whether the checkpoint may solve the problem of the task; few configs say which one they solve."""
    return options.get("problem_type") in (None, checkpoint.problem_type) or checkpoint.problem_type is None


def _why_new(checkpoint: Any, options: dict[str, Any]) -> str:
    if not _fits(checkpoint, options):
        return f"that of the checkpoint was trained for {checkpoint.problem_type}"
    names = _names(checkpoint.id2label)
    if all(map(UNNAMED.fullmatch, names)):
        return f"the {len(names)} labels of the checkpoint have no names"
    more = ", ..." if len(names) > SHOWN else ""
    return f"the checkpoint has other labels ({', '.join(names[:SHOWN])}{more})"


def _names(id2label: dict[int, Any]) -> Sequence[str]:
    return [str(id2label[row]) for row in sorted(id2label)]
