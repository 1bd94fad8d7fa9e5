"""Tasks of a decoder: the model foresees each token of a text from those before it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..data.features import IGNORE, Feature
from .base import E
from .generative import Generated, GenerativeTask, sample_table
from .results import Scores
from .settings import Generation, Settings


class CausalLMSettings(Settings):
    """What tasks of a decoder have in common."""

    generation: Generation = Generation()
    """How the model writes samples and predictions."""

    def require_fit(self, max_length: int) -> None:
        if self.generation.max_new_tokens >= max_length:
            raise ValueError(
                f"task.generation.max_new_tokens is {self.generation.max_new_tokens}, which leaves no room for a "
                f"prompt in model.max_length, {max_length}: lower the one or raise the other"
            )


class CausalLMTask(GenerativeTask[E]):
    """A causal language model, whose headline is the perplexity of a token."""

    auto_model = "AutoModelForCausalLM"
    main_metric = "perplexity"
    lower_is_better = True
    scores_texts = False

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        return {**inputs, "use_cache": False}

    def aligned(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits[:, :-1], labels[:, 1:]

    def scored(self, feature: Feature) -> list[int]:
        return [int(label) for label in feature.labels[1:] if label != IGNORE]

    def feature(self, example: int, ids: list[int], labels: list[int], prompt: list[int]) -> Feature:
        """`labels` stand at the positions of their tokens; the first one has nothing before it to be foreseen from."""
        count = sum(label != IGNORE for label in labels[1:])
        return Feature(example, {"input_ids": ids}, labels, count, prompt=prompt)

    def room(self, max_length: int) -> int:
        """Tokens that a prompt may have."""
        assert self.generation
        return max_length - self.generation.max_new_tokens

    def score(self, examples: Sequence[E], predictions: Sequence[Generated]) -> Scores:
        rows = [
            [*self.shown(example), answer.text]
            for example, answer in zip(examples, predictions, strict=True)
            if answer.text is not None
        ]
        return Scores(self.foreseen(predictions), sample_table(["after", "true", "written"], rows))

    @abstractmethod
    def shown(self, example: E) -> tuple[str, str]:
        """The end of the prompt, and the true text after it."""

    def baselines(self, examples: Sequence[E], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"frequency of each token": self.by_frequency(examples, features)}
