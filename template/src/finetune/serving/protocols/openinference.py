"""The Open Inference Protocol, version 2, of KServe and Triton: tensors in, tensors out.

Inputs are BYTES tensors of the task's columns (text, and text_pair or query, document), with an entry for each row;
their data are JSON, or, as Triton's clients send them by default, follow the JSON as bytes (its binary data extension).
"""

import math
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from ...tasks.settings import Ranking, Regression, Settings
from ..examples import rows_of
from ..limits import Problem
from ..model import Record
from ..service import Service
from .scores import in_body


class Tensor(BaseModel):
    """A tensor of texts."""

    model_config = ConfigDict(extra="forbid")
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class Output(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Infer(BaseModel):
    """An inference request."""

    model_config = ConfigDict(extra="forbid")
    id: str | None = None
    inputs: list[Tensor]
    outputs: list[Output] = []
    parameters: dict[str, Any] = {}


def make_router(service: Service) -> APIRouter:
    """Metadata, and `/v2/models/NAME/infer`; the health of the server stands with the other probes."""
    router, settings = APIRouter(tags=["Open Inference Protocol"]), service.config.task

    @router.get("/v2")
    async def server() -> Any:
        """The server."""
        return {"name": "finetune", "version": "1", "extensions": []}

    @router.get("/v2/models/{name}")
    async def model(name: str) -> Any:
        """Names and types of the tensors."""
        _require(name, service)
        columns = settings.input_columns + settings.optional_columns
        return {
            "name": name,
            "versions": ["1"],
            "platform": "finetune",
            "inputs": [{"name": column, "datatype": "BYTES", "shape": [-1]} for column in columns],
            "outputs": [{"name": one, "datatype": kind, "shape": shape} for one, kind, shape in _outputs(settings)],
        }

    @router.get("/v2/models/{name}/ready")
    async def ready(name: str) -> Any:
        """Whether the model can be asked: it is, once the server is ready."""
        _require(name, service)
        return {"name": name, "ready": service.engine.model is not None}

    rows = rows_of(settings)[:1]
    inputs = [_tensor(column, "BYTES", [1], [rows[0][column]]) for column in rows[0]]

    @router.post("/v2/models/{name}/infer", openapi_extra=in_body({"inputs": inputs}))
    async def infer(name: str, body: Annotated[Infer, Depends(_read)]) -> Any:
        """An entry of each output for each entry of the inputs."""
        _require(name, service)
        records = await service.predict(service.rows_of_texts(_pairs(body.inputs, settings)))
        tensors = _answer(records, settings)
        wanted = [output.name for output in body.outputs] or [tensor["name"] for tensor in tensors]
        if unknown := set(wanted) - {tensor["name"] for tensor in tensors}:
            raise Problem(422, "invalid-body", f"outputs: there is no {unknown.pop()}")
        identity = {"id": body.id} if body.id is not None else {}
        chosen = [tensor for tensor in tensors if tensor["name"] in wanted]
        return {"model_name": name, "model_version": "1", **identity, "outputs": chosen}

    return router


async def _read(request: Request) -> Infer:
    """The request; `Inference-Header-Content-Length` says where its JSON ends, and the data of the tensors begin."""
    body, header = await request.body(), "inference-header-content-length"
    length = request.headers.get(header, str(len(body)))
    if not re.fullmatch("[0-9]{1,18}", length) or int(length) > len(body):
        raise Problem(422, "invalid-body", f"{header}: must be a number of bytes up to {len(body)}, those of the body")
    end = int(length)
    try:
        infer = Infer.model_validate_json(body[:end])
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    for tensor in infer.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(body) - end:
                detail = f"inputs: binary_data_size of {tensor.name} must be a number of bytes that the body has left"
                raise Problem(422, "invalid-body", detail)
            tensor.data = _strings(body[end : end + size], tensor.name)
            end += size
    return infer


def _strings(data: bytes, name: str) -> list[str]:
    """The strings of a BYTES tensor, before each its length as 4 bytes, the lowest first."""
    strings, start = [], 0
    try:
        while start < len(data):
            end = start + 4 + int.from_bytes(data[start : start + 4], "little")
            if end > len(data):
                raise ValueError
            strings.append(data[start + 4 : end].decode())
            start = end
    except ValueError as error:
        raise Problem(422, "invalid-body", f"inputs: the bytes of {name} are no strings in UTF-8") from error
    return strings


def _require(name: str, service: Service) -> None:
    if name != service.name:
        raise Problem(404, "not-found", f"there is no model of this name: take {service.name}")


def _pairs(tensors: list[Tensor], settings: Settings) -> list[tuple[str, str | None]]:
    columns = settings.input_columns + settings.optional_columns
    columns_of = {tensor.name: _texts(tensor) for tensor in tensors}
    if unknown := set(columns_of) - set(columns[:2]):
        raise Problem(422, "invalid-body", f"inputs: there is no {unknown.pop()}: send {' and '.join(columns[:2])}")
    first, second = (columns_of.get(column) for column in columns[:2])
    if first is None:
        raise Problem(422, "invalid-body", f"inputs: {columns[0]} is missing")
    if second is not None and len(second) != len(first):
        raise Problem(422, "invalid-body", f"inputs: {columns[0]} and {columns[1]} differ in length")
    return [(text, second[number] if second else None) for number, text in enumerate(first)]


def _texts(tensor: Tensor) -> list[str]:
    """The data of a tensor, which JSON may hold nested or flat."""
    flat: list[Any] = tensor.data
    while flat and isinstance(flat[0], list):
        flat = [value for part in flat for value in (part if isinstance(part, list) else [part])]
    of_texts = tensor.datatype == "BYTES" and all(isinstance(value, str) for value in flat)
    if not of_texts or math.prod(tensor.shape) != len(flat):
        raise Problem(
            422, "invalid-body", f"inputs: {tensor.name} must have the datatype BYTES and as many strings as its shape"
        )
    return flat


def _outputs(settings: Settings) -> list[tuple[str, str, list[int]]]:
    if isinstance(settings, Ranking | Regression):
        return [("score", "FP32", [-1])]
    return [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("probabilities", "FP32", [-1, -1])]


def _answer(records: list[Record], settings: Settings) -> list[dict[str, Any]]:
    count = len(records)
    if isinstance(settings, Ranking | Regression):
        numbers = [record["score"] if "score" in record else record["prediction"] for record in records]
        return [_tensor("score", "FP32", [count], numbers)]
    labels = [_label(record) for record in records]
    tables = [list(record["probabilities"].values()) for record in records]
    names = list(records[0]["probabilities"])
    return [
        _tensor("label", "BYTES", [count], labels),
        _tensor("score", "FP32", [count], [max(row) for row in tables]),
        {
            **_tensor("probabilities", "FP32", [count, len(names)], [p for row in tables for p in row]),
            "parameters": {"labels": names},
        },
    ]


def _label(record: Record) -> str:
    """Several labels are joined by commas; a withheld one is empty."""
    found = record["prediction"]
    return ",".join(found) if isinstance(found, list) else found or ""


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}
