"""The task shape of Hugging Face: `POST /` with inputs and parameters, as `huggingface_hub.InferenceClient` sends it.

A list of texts is a batch here, and its answer a list with an entry for each.
"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ...tasks.settings import Generation
from ..examples import rows_of, text_of
from ..limits import Problem
from ..model import Record
from ..service import Service, Text, Written
from .scores import SCORED, adjusted, in_body, labels_of, unsupported
from .sse import events

GENERATED = {"translation": "translation_text", "summarization": "summary_text"}
"""What a generated text is called; generated_text where nothing is named."""
FUNCTIONS = {"text-classification": "softmax", "multi-label-classification": "sigmoid", "regression": "none"}
GENERATION = {
    *("max_new_tokens", "do_sample", "temperature", "top_p", "seed", "stop", "return_full_text", "details"),
    "generate_parameters",
}
SUPPORTED = {
    "text-classification": {"top_k", "function_to_apply"},
    "multi-label-classification": {"top_k", "function_to_apply"},
    "regression": {"function_to_apply"},
    "token-classification": {"aggregation_strategy"},
    "ranking": set[str](),
}
"""The parameters of each task; those that are not named here have the parameters of generation."""


class Pair(BaseModel):
    """A pair of texts."""

    model_config = ConfigDict(extra="forbid")
    text: str
    text_pair: str


class Sentences(BaseModel):
    """A query and documents, as the task sentence similarity has them."""

    model_config = ConfigDict(extra="forbid")
    source_sentence: str
    sentences: list[str]


class Parameters(BaseModel):
    """Settings of the answer. One that the task does not have is refused, for it would be ignored."""

    model_config = ConfigDict(extra="allow")
    top_k: int | None = Field(None, ge=1)
    function_to_apply: str | None = None
    aggregation_strategy: str | None = None
    max_new_tokens: int | None = Field(None, ge=1)
    do_sample: bool | None = None
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: list[str] = []
    return_full_text: bool | None = None
    details: bool | None = None
    generate_parameters: dict[str, Any] | None = None


class Request(BaseModel):
    """A text, a pair, or a list of them."""

    model_config = ConfigDict(extra="forbid")
    inputs: str | Pair | Sentences | list[str | Pair]
    parameters: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))
    stream: bool | None = None


def make_router(service: Service) -> APIRouter:
    """`POST /`, and `/invocations` for tasks that Text Embeddings Inference does not have."""
    router, settings = APIRouter(tags=["Hugging Face"]), service.config.task
    example: Any = text_of(settings)
    if settings.type == "ranking":
        example = {"source_sentence": example, "sentences": [row["document"] for row in rows_of(settings)]}

    async def infer(body: Request) -> Any:
        """The answer in the shape of the task."""
        return await answer(service, body)

    for path in ("/",) if settings.type in SCORED else ("/", "/invocations"):
        router.post(path, openapi_extra=in_body({"inputs": example}))(infer)
    return router


async def answer(service: Service, body: Request) -> Any:
    """The answer to a request, in the shape of the task."""
    task, parameters = service.config.task, body.parameters
    _require_supported(parameters, task.type)
    if isinstance(body.inputs, Sentences):
        if task.type != "ranking":
            raise Problem(422, "invalid-row", "inputs: a source_sentence is for a ranking: send a text")
        pairs: list[Text] = [(body.inputs.source_sentence, sentence) for sentence in body.inputs.sentences]
        return [record["score"] for record in await service.predict(service.rows_of_texts(pairs))]
    inputs = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    texts: list[Text] = [(one, None) if isinstance(one, str) else (one.text, one.text_pair) for one in inputs]
    generation: Generation | None = getattr(task, "generation", None)
    if generation:
        body.parameters = _flat(parameters)
        return await _generated(service, body, texts, _adjusted(generation, body.parameters))
    if body.stream:
        raise unsupported("stream")
    shaped = [_shaped(record, parameters) for record in await service.predict(service.rows_of_texts(texts))]
    return shaped[0] if task.type == "token-classification" and not isinstance(body.inputs, list) else shaped


def _require_supported(parameters: Parameters, task: str) -> None:
    supported = SUPPORTED.get(task, GENERATION)
    for name, value in parameters.model_dump(exclude_none=True, exclude_unset=True).items():
        if name not in supported and value is not False:  # false asks for nothing
            raise unsupported(f"parameters.{name}", f"{task} has {', '.join(sorted(supported)) or 'none'}")
    if parameters.function_to_apply not in (None, FUNCTIONS.get(task)):
        raise unsupported(f"parameters.function_to_apply {parameters.function_to_apply}", f"take {FUNCTIONS[task]}")
    if parameters.aggregation_strategy == "none":
        raise unsupported("parameters.aggregation_strategy none", "entities are answered, not tokens")


def _shaped(record: Record, parameters: Parameters) -> list[dict[str, Any]]:
    if "probabilities" in record or not isinstance(record.get("prediction"), list):
        return labels_of(record)[: parameters.top_k]
    names = {"entity_group": "label", "score": "probability", "word": "text", "start": "start", "end": "end"}
    return [{name: entity[ours] for name, ours in names.items()} for entity in record["prediction"]]


def _flat(parameters: Parameters) -> Parameters:
    """With those that translation and summarization have one level deeper."""
    nested = parameters.generate_parameters or {}
    for name in nested:
        if name not in GENERATION - {"generate_parameters"}:
            raise unsupported(f"parameters.generate_parameters.{name}")
    try:
        return Parameters.model_validate({**parameters.model_dump(exclude_unset=True), **nested})
    except ValueError as error:
        raise Problem(422, "invalid-body", "parameters.generate_parameters: has a value of another type") from error


def _adjusted(generation: Generation, parameters: Parameters) -> Generation:
    temperature = parameters.temperature
    if parameters.do_sample is not None:
        temperature = (temperature or 1.0) if parameters.do_sample else 0.0
    return adjusted(generation, parameters.max_new_tokens, temperature, parameters.top_p)


async def _generated(service: Service, body: Request, texts: list[Text], generation: Generation) -> Any:
    rows, parameters = service.rows_of_texts(texts), body.parameters
    stop, seed, details = parameters.stop, parameters.seed, parameters.details
    before = [text if parameters.return_full_text else "" for text, _ in texts]
    name = GENERATED.get(service.config.task.type, "generated_text")
    if not (body.stream or stop or details):
        records = await service.predict(rows, generation=generation, seed=seed)
        return [{name: start + (record["prediction"] or "")} for start, record in zip(before, records, strict=True)]
    if len(rows) > 1:
        raise unsupported("parameters.stop, details or stream with a batch", "send one text at a time")
    if body.stream:
        pieces = service.write(rows[0], generation, stop=stop, seed=seed)
        return StreamingResponse(await events(_tokens(pieces, before[0]), "/"))
    written = await service.written(rows[0], generation, stop=stop, seed=seed)
    shown = {"details": {**_details(written), "prefill": [], "tokens": [], "seed": seed}} if details else {}
    return [{name: before[0] + written.text, **shown}]


def _details(written: Written) -> dict[str, Any]:
    return {"finish_reason": "eos_token" if written.ended else "length", "generated_tokens": written.tokens}


async def _tokens(pieces: AsyncIterator[str | Written], before: str) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the text as the messages of Text Generation Inference; the last one has all of it."""
    number = 0
    async for piece in pieces:
        number += 1
        last = isinstance(piece, Written)
        token = {"id": 0, "text": "" if isinstance(piece, Written) else piece, "logprob": 0.0, "special": last}
        whole, details = None, None
        if isinstance(piece, Written):
            whole = before + piece.text
            details = {**_details(piece), "input_length": piece.prompt_tokens}
        yield {"index": number, "token": token, "generated_text": whole, "details": details}
