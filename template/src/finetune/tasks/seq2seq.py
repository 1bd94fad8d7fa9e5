"""Tasks of an encoder-decoder: it reads one text and writes another."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from torch import Tensor

from ..data.features import Encoded, Feature
from ..data.rows import Row
from .generative import Generated, GenerativeTask, end_token, sample_table
from .results import Scores, Summary
from .settings import Generation, Settings
from .texts import text_of, tokenize


class Seq2SeqSettings(Settings):
    """What tasks of an encoder-decoder have in common. Columns: source, target."""

    prefix: str = ""
    """What the model expects before each source, such as "translate English to German: " for T5."""
    max_target_length: int = Field(default=128, ge=2, le=1_000_000)
    """Longest target in tokens; longer ones are cut."""
    generation: Generation = Generation()
    """How the model writes."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text to read, and the one to write where it is known."""

    source: str
    target: str | None


class Seq2SeqTask(GenerativeTask[Example]):
    """Cross-entropy of the target's tokens; what the model writes is compared with the target."""

    inputs = ("source",)
    target_columns = ("target",)
    auto_model = "AutoModelForSeq2SeqLM"
    scores_texts = True

    def __init__(self, config: Seq2SeqSettings) -> None:
        super().__init__(config.generation)
        self.prefix, self.max_target_length = config.prefix, config.max_target_length

    def example(self, row: Row) -> Example:
        return Example(text_of(row, "source"), text_of(row, "target") if row.values.get("target") is not None else None)

    def fit(self, examples: Sequence[Example]) -> None:
        """There are no labels."""

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield self.prefix + example.source
            yield str(example.target)

    def summary(self, example: Example) -> Summary:
        return Summary((example.source,), str(example.target), writes=True)

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        self.vocabulary, self.ends = len(tokenizer), [end_token(tokenizer)]
        sources, cut = tokenize([(self.prefix + example.source, None) for example in examples], tokenizer, max_length)
        known = [example.target or "" for example in examples]
        targets = tokenizer(text_target=known, truncation=True, max_length=self.max_target_length)["input_ids"]
        return Encoded(
            [
                Feature(i, {"input_ids": row["input_ids"]}, target, len(target), [], len(target), row["input_ids"])
                for i, (row, target) in enumerate(zip(sources, targets, strict=True))
            ],
            truncated=cut,
        )

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        return {**inputs, "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels), "use_cache": False}

    @abstractmethod
    def compared(self, truths: list[str], written: list[str]) -> dict[str, float]:
        """Metrics of texts, the headline first."""

    def score(self, examples: Sequence[Example], predictions: Sequence[Generated]) -> Scores:
        pairs = [(e, a.text) for e, a in zip(examples, predictions, strict=True) if a.text is not None]
        metrics = self.compared([str(example.target) for example, _ in pairs], [text for _, text in pairs])
        if any(answer.count for answer in predictions):
            metrics |= self.foreseen(predictions)
        assert self.generation
        shown = [[e.source, str(e.target), text] for e, text in pairs[: self.generation.samples]]
        return Scores(metrics, sample_table(["source", "true", "written"], shown))
