"""Vectors of texts, for all conventions of embeddings: what a bi-encoder's server computes."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import Columns, row_from_object
from ..data.rows import Row
from ..embedding import Role
from ..errors import UserError
from ..tasks.texts import text_of
from .engine import Job
from .service import Service, invalid_row

Vector = NDArray[np.float32]
TextInRole = tuple[str, Role | None]
"""A text and its role, whose prefix it gets; without a role it gets none."""


async def embed(
    service: Service, texts: Sequence[TextInRole], place: str = "inputs", *, truncate: bool | None = None
) -> list[Vector]:
    """The vector of each text, of Euclidean norm 1, as `finetune.embedding.embed` computes it. Raises Problem."""
    rows = [Row(f"{place}[{number}]", {"text": text}, {"text": text}) for number, (text, _) in enumerate(texts)]
    roles = [role for _, role in texts]
    encoding = await service.encode(rows, truncate, lambda rows: ([], service.model.encode_texts(rows, roles)))
    return await service.submit(Job(encoding.encoded.features))


def texts_of_rows(service: Service, objects: Sequence[Any]) -> list[TextInRole]:
    """The query of each row, or of one that has no query, its document. Raises Problem."""
    columns = service.columns(labelled=False)
    try:
        return [_text_in_role(value, f"rows[{number}]", columns) for number, value in enumerate(objects)]
    except UserError as error:
        raise invalid_row(error) from error


def _text_in_role(value: Any, place: str, columns: Columns) -> TextInRole:
    role: Role = "query"
    if isinstance(value, dict):
        if columns.source("query") not in value and columns.source("document") in value:
            role = "document"
            columns = replace(columns, required=("document",), targets=(), template=None)
        columns = columns.resolved(list(value))
    return text_of(row_from_object(value, place, columns), role), role


def base64_of(vector: Vector) -> str:
    """Its numbers as little-endian float32 in base64, as OpenAI has it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
