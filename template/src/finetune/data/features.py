"""An example as the model reads it: token ids and labels."""

from dataclasses import dataclass, field

IGNORE = -100
"""Label of a position that is not scored, as in torch's cross-entropy."""


@dataclass(slots=True)
class Feature:
    """One row of a batch: an example, or one window of a long one."""

    example: int
    """Index of the example that it comes from."""
    inputs: dict[str, list[int]]
    """Model inputs without padding: input_ids and, where the model has them, token_type_ids."""
    labels: list[int] | list[float]
    """One label for the row, or one for each token with IGNORE where none is scored, or one for each class."""
    scored_labels: int = 1
    """Scored labels: the summed loss of a step is divided by their number."""
    words: list[int] = field(default_factory=list)
    """For tasks on words: the word of each scored position."""
    target_length: int = 0
    """Tokens that a decoder of its own reads, beside those of the inputs."""
    prompt: list[int] = field(default_factory=list)
    """For tasks that write: the tokens after which the model is to write; empty if it is not."""
    end_tokens: int = 0
    """How many there are in the inputs: an encoder-decoder that classifies wants as many in every row of a batch."""

    extra: list[float] = field(default_factory=list)
    """Tabular features that are joined to the text, in the order of `data.features`."""

    @property
    def length(self) -> int:
        """Tokens of the inputs."""
        return len(self.inputs["input_ids"])

    @property
    def tokens(self) -> int:
        """All tokens that pass through the model."""
        return self.length + self.target_length


@dataclass(slots=True)
class Encoded:
    """All features of a split, and how many examples `max_length` has cut."""

    features: list[Feature]
    truncated: int = 0
