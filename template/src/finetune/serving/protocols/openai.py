"""OpenAI: `/v1/chat/completions` for chat, `/v1/completions` for text generation, and `/v1/models`."""

from collections.abc import AsyncIterator
from time import time
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ...data.rows import Row
from ...tasks.settings import Chat, Generation
from ..examples import rows_of, text_of
from ..limits import Problem
from ..service import Service, Written
from .models import add_models
from .scores import adjusted, in_body, unsupported
from .sse import events

IGNORED = {
    *("model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"),
    "parallel_tool_calls",
}
"""Members that do not change the text of an answer here: there is one model, and its tool calls are text."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "echo": (False,),
    "suffix": ("",),
}
"""Members that are accepted with these values only."""


def _is_neutral(name: str, value: Any) -> bool:
    """Whether it changes nothing; false is not 0: `logprobs: 0` asks for those of the chosen tokens."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in NEUTRAL.get(name, ()))


class StreamOptions(BaseModel):
    """Whether the last event of a stream has the counts of tokens."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class Sampling(BaseModel):
    """What both routes have; null is the setting of the run."""

    model_config = ConfigDict(extra="allow")
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def adjust(self, generation: Generation) -> Generation:
        """The run's settings with those of the request. Raises Problem for a member that would be ignored."""
        for name, value in (self.model_extra or {}).items():
            if value is not None and name not in IGNORED and not _is_neutral(name, value):
                raise unsupported(name)
        longest = getattr(self, "max_completion_tokens", None) or self.max_tokens
        return adjusted(generation, longest, self.temperature, self.top_p)

    @property
    def stops(self) -> list[str]:
        """The stop strings that are not empty."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [string for string in given if string]


class Part(BaseModel):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of the dialogue; the task checks the members that are not named here, such as `tool_calls`."""

    model_config = ConfigDict(extra="allow")
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None


class ChatCompletion(Sampling):
    """A dialogue that the assistant continues; `tools` are shown to the model as its chat template has them."""

    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    max_completion_tokens: int | None = Field(None, ge=1)


class Completion(Sampling):
    """A prompt, or several, to complete."""

    prompt: str | list[str]


def make_router(service: Service) -> APIRouter:
    """The routes for the task: of chat, or of text generation."""
    router, settings = APIRouter(tags=["OpenAI"]), service.config.task
    generation: Generation = settings.generation  # type: ignore[union-attr]
    add_models(router, service)

    async def chat(body: ChatCompletion) -> Any:
        """The assistant's reply; with `stream`, piece by piece as server-sent events."""
        if body.messages[-1].role == "assistant":
            raise Problem(422, "invalid-row", "messages: the last one is the assistant's: end with what it replies to")
        tools = None if (body.model_extra or {}).get("tool_choice") == "none" else body.tools
        values = {"messages": [message.model_dump() for message in body.messages], "tools": tools}
        row = Row("messages", values, values)
        answer = _Answer(service, "chat.completion", "chatcmpl")
        if body.stream:
            return await answer.stream([row], body, generation)
        return await answer.complete([row], body, generation)

    async def complete(body: Completion) -> Any:
        """The completion of each prompt; with `stream`, piece by piece as server-sent events."""
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        rows = service.rows_of_texts([(prompt, None) for prompt in prompts], "prompt")
        answer = _Answer(service, "text_completion", "cmpl")
        if body.stream:
            return await answer.stream(rows, body, generation)
        return await answer.complete(rows, body, generation)

    if isinstance(settings, Chat):
        example = in_body({"model": service.name, **rows_of(settings)[0], "stream": False})
        router.post("/v1/chat/completions", openapi_extra=example)(chat)
    else:
        router.post("/v1/completions", openapi_extra=in_body({"model": service.name, "prompt": text_of(settings)}))(
            complete
        )
    return router


class _Answer:
    """One answer of either route."""

    def __init__(self, service: Service, kind: str, prefix: str) -> None:
        self.service, self.is_chat = service, kind == "chat.completion"
        self.kind = kind
        self.head = {"id": f"{prefix}-{uuid4().hex}", "created": int(time()), "model": service.name}

    async def complete(self, rows: list[Row], body: Sampling, generation: Generation) -> dict[str, Any]:
        settings = body.adjust(generation)
        written = [await self.service.written(row, settings, stop=body.stops, seed=body.seed) for row in rows]
        choices = [self._choice(i, one.text, _reason(one)) for i, one in enumerate(written)]
        return {**self.head, "object": self.kind, "choices": choices, "usage": _usage(written)}

    async def stream(self, rows: list[Row], body: Sampling, generation: Generation) -> StreamingResponse:
        if len(rows) > 1:
            raise unsupported("stream with several prompts", "send one at a time")
        pieces = self.service.write(rows[0], body.adjust(generation), stop=body.stops, seed=body.seed)
        counts = bool(body.stream_options and body.stream_options.include_usage)
        path = "/v1/chat/completions" if self.is_chat else "/v1/completions"
        lines = await events(self._chunks(pieces, counts), path, "data: [DONE]\n\n")
        return StreamingResponse(lines, media_type="text/event-stream")

    async def _chunks(self, pieces: AsyncIterator[str | Written], counts: bool) -> AsyncIterator[dict[str, Any]]:
        head = {**self.head, "object": "chat.completion.chunk" if self.is_chat else self.kind}
        begun = False
        async for piece in pieces:
            if self.is_chat and not begun:
                begun = True
                yield {**head, "choices": [self._delta({"role": "assistant", "content": ""}, None)]}
            if not isinstance(piece, Written):
                yield {**head, "choices": [self._delta({"content": piece}, None, piece)]}
                continue
            yield {**head, "choices": [self._delta({}, _reason(piece))]}
            if counts:
                yield {**head, "choices": [], "usage": _usage([piece])}

    def _choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self.is_chat else {"text": text}
        return {"index": index, **said, "logprobs": None, "finish_reason": reason}

    def _delta(self, delta: dict[str, str], reason: str | None, text: str = "") -> dict[str, Any]:
        said = {"delta": delta} if self.is_chat else {"text": text}
        return {"index": 0, **said, "logprobs": None, "finish_reason": reason}


def _reason(written: Written) -> str:
    return "stop" if written.ended else "length"


def _usage(written: list[Written]) -> dict[str, int]:
    prompt, completion = sum(one.prompt_tokens for one in written), sum(one.tokens for one in written)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
