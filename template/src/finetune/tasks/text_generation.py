"""Go on with a text, or with the completion of a prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..data.features import IGNORE, Encoded, Feature
from ..data.rows import Row
from .causal_lm import CausalLMSettings, CausalLMTask
from .generative import end_token
from .results import Summary
from .texts import text_of

OPENING = 60
"""Characters of a text without a prompt after which the model writes a sample."""


class TextGeneration(CausalLMSettings):
    """Texts like those of the data. Columns: text, or prompt and completion; or a .txt file, which is one text."""

    type: Literal["text-generation"]
    """Texts like those of the data, or completions of prompts."""
    separator: str = "\n"
    """What stands between a prompt and its completion."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, which may be empty, and what follows it where that is known."""

    prompt: str
    completion: str | None


class TextGenerationTask(CausalLMTask[Example]):
    """All tokens of a text count, of a prompt with a completion those of the completion.

    A text that is longer than the model reads goes through windows, in which each token counts once.
    """

    settings = TextGeneration
    inputs = ("prompt",)
    target_columns = ("completion",)
    whole = "text"
    trains_on_windows = True

    def __init__(self, config: TextGeneration) -> None:
        super().__init__(config.generation)
        self.separator = config.separator

    def example(self, row: Row) -> Example:
        if row.values.get("text") is not None:
            return Example("", text_of(row, "text"))
        completion = text_of(row, "completion") if row.values.get("completion") is not None else None
        return Example(text_of(row, "prompt"), completion)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        return {"prompt": text}

    def columns(self, example: Example) -> list[dict[str, Any]]:
        return super().columns(example) if example.prompt else [{"text": example.completion}]

    def fit(self, examples: Sequence[Example]) -> None:
        """There are no labels; but where texts have no prompts, what follows a prompt follows without a separator."""
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
        return Summary((example.prompt,), text, writes=True) if example.prompt else Summary((text,))

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        self.vocabulary, self.ends = len(tokenizer), [end_token(tokenizer)]
        encoded = Encoded([])
        for number, example in enumerate(examples):
            if example.prompt:
                encoded.features.append(self._completion(number, example, tokenizer, max_length, encoded))
            else:
                encoded.features += self._windows(number, example, tokenizer, max_length)
        return encoded

    def _completion(self, number: int, example: Example, tokenizer: Any, max_length: int, encoded: Encoded) -> Feature:
        """Where both are too long for the model, the prompt loses its beginning, and at last the completion its end."""
        prompt = tokenizer(example.prompt + self.separator, verbose=False)["input_ids"]
        if example.completion is None:
            return self.feature(number, prompt, [IGNORE] * len(prompt), prompt[-self.room(max_length) :])
        completion = [*tokenizer(example.completion, add_special_tokens=False, verbose=False)["input_ids"], *self.ends]
        encoded.truncated += len(prompt) + len(completion) > max_length
        completion = completion[: max_length - 1]
        read = prompt[-(max_length - len(completion)) :]
        labels = [IGNORE] * len(read) + completion
        return self.feature(number, read + completion, labels, prompt[-self.room(max_length) :])

    def _windows(self, number: int, example: Example, tokenizer: Any, max_length: int) -> Iterable[Feature]:
        """Neighbours share a token: the last one of a window is the first one of the next, where it does not count."""
        ids = [*tokenizer(str(example.completion), verbose=False)["input_ids"], *self.ends]
        opening = tokenizer(_opening(str(example.completion)), verbose=False)["input_ids"][: self.room(max_length)]
        for start in range(0, max(1, len(ids) - 1), max_length - 1):
            window = ids[start : start + max_length]
            yield self.feature(number, window, window, [] if start else opening)

    def shown(self, example: Example) -> tuple[str, str]:
        text = str(example.completion)
        opening = _opening(text)
        return (example.prompt, text) if example.prompt else (opening, text[len(opening) :])


def _opening(text: str) -> str:
    """The first words of a text, at most half of them."""
    start = text[: min(OPENING, len(text) // 2)]
    words, _, rest = start.rpartition(" ")
    return words or rest
