"""Text generation: continue a text, or complete a prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.features import IGNORE, Encoded, Feature
from ..data.rows import Row
from . import generative
from .causal_lm import CausalLMTask
from .results import Summary
from .settings import TextGeneration
from .texts import text_of, token_ids

OPENING = 60
"""Characters at the beginning of a text without a prompt that serve as the prompt of a sample."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, which may be empty, and what follows it where that is known."""

    prompt: str
    completion: str | None


class Fitted(generative.Fitted):
    """Also what separates a prompt from its completion."""

    separator: str


class TextGenerationTask(CausalLMTask[Example]):
    """All tokens of a text are scored; of a prompt with a completion, those of the completion.

    A text that is longer than the model's sequence length goes through windows; each token is scored once.
    """

    trains_on_windows = True
    fitted = Fitted

    def __init__(self, settings: TextGeneration) -> None:
        super().__init__(settings)
        self.separator = settings.separator

    def example(self, row: Row) -> Example:
        if row.values.get("text") is not None:
            return Example("", text_of(row, "text"))
        completion = text_of(row, "completion") if row.values.get("completion") is not None else None
        return Example(text_of(row, "prompt"), completion)

    def unlabelled_example(self, row: Row) -> Example:
        """A text without a prompt is itself the beginning to continue."""
        return Example(text_of(row, "text" if row.values.get("prompt") is None else "prompt"), None)

    def to_rows(self, example: Example) -> list[dict[str, Any]]:
        return super().to_rows(example) if example.prompt else [{"text": example.completion}]

    def fit(self, examples: Sequence[Example]) -> None:
        """There are no labels; but where no text has a prompt, nothing separates a prompt from its completion."""
        if not any(example.prompt for example in examples):
            self.separator = ""

    def state(self) -> dict[str, Any]:
        return {**super().state(), "separator": self.separator}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.separator = state["separator"]

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield f"{example.prompt}{self.separator}{example.completion}" if example.prompt else str(example.completion)

    def summary(self, example: Example) -> Summary:
        text = str(example.completion)
        return Summary((example.prompt,), text, generates=True) if example.prompt else Summary((text,))

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        self.read_tokenizer(tokenizer)
        whole = [str(example.completion) for example in examples if not example.prompt]
        completions = [example.completion or "" for example in examples if example.prompt]
        # All texts of a kind are tokenized in one call, which uses the tokenizer's threads.
        prompts = iter(token_ids(tokenizer, [one.prompt + self.separator for one in examples if one.prompt]))
        completed = iter(token_ids(tokenizer, completions, add_special_tokens=False))
        texts, openings = iter(token_ids(tokenizer, whole)), iter(token_ids(tokenizer, [*map(_opening, whole)]))
        encoded = Encoded([])
        for number, example in enumerate(examples):
            if not example.prompt:
                encoded.features += self._windows(number, next(texts), next(openings), max_length)
                continue
            prompt, completion = next(prompts), [*next(completed), *self.stop_tokens]
            if example.completion is None:
                feature = self.feature(number, prompt, [IGNORE] * len(prompt), self._read_prompt(prompt, max_length))
            else:
                feature = self._completion(number, prompt, completion, max_length)
                encoded.truncated += len(prompt) + len(completion) > max_length
            encoded.features.append(feature)
        return encoded

    def _read_prompt(self, prompt: list[int], max_length: int) -> list[int]:
        return prompt[-self.prompt_limit(max_length) :]

    def _completion(self, number: int, prompt: list[int], completion: list[int], max_length: int) -> Feature:
        """Truncation: first the prompt loses its beginning, then the completion its end."""
        completion = completion[: max_length - 1]
        read = prompt[-(max_length - len(completion)) :]
        labels = [IGNORE] * len(read) + completion
        return self.feature(number, read + completion, labels, self._read_prompt(prompt, max_length))

    def _windows(self, number: int, text: list[int], opening: list[int], max_length: int) -> Iterable[Feature]:
        """Neighbours share a token: the last one of a window is the first one of the next, where it is not scored."""
        ids = [*text, *self.stop_tokens]
        for start in range(0, max(1, len(ids) - 1), max_length - 1):
            window = ids[start : start + max_length]
            yield self.feature(number, window, window, [] if start else opening[: self.prompt_limit(max_length)])

    def prompt_and_reference(self, example: Example) -> tuple[str, str]:
        text = str(example.completion)
        opening = _opening(text)
        return (example.prompt, text) if example.prompt else (opening, text[len(opening) :])


def _opening(text: str) -> str:
    """The first words of a text, at most half of them."""
    start = text[: min(OPENING, len(text) // 2)]
    words, _, rest = start.rpartition(" ")
    return words or rest
