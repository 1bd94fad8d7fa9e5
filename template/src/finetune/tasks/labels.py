"""Labels: as options of a model's config, and refused where the training data do not have them."""

from collections.abc import Sequence
from typing import Any

from ..errors import UserError


def label_options(labels: list[str], **options: Any) -> dict[str, Any]:
    """A model config that knows the labels by name."""
    names = dict(enumerate(labels))
    return {"num_labels": len(labels), "id2label": names, "label2id": {v: k for k, v in names.items()}, **options}


def require_known(kind: str, name: str, known: Sequence[str], place: str) -> None:
    """Refuse a label that the training data do not have, once their labels are known."""
    if known and name not in known:
        raise UserError(
            f"{place}: {kind} '{name}' does not occur in the training data ({', '.join(known)}): correct it, "
            f"or add examples of it to data.train"
        )
