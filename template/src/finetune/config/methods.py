"""The part of the config that says which weights are trained, and which are added to be trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..section import Section


class Full(Section):
    """Train every weight."""

    type: Literal["full"] = "full"
    """Train every weight."""


class Head(Section):
    """Train the head only; the pretrained body stays as it is."""

    type: Literal["head"]
    """Train the head only; the pretrained body stays as it is."""


class LowRank(Section):
    """What LoRA and its kin share: a product of two thin matrices is added to each matrix of the body."""

    alpha: float = Field(default=16, gt=0, le=4096)
    """Strength of what is added; it is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the inputs of the added matrices that is set to 0 in training."""
    targets: list[str] | None = Field(default=None, min_length=1)
    """Linear layers of the body by the end of their names, such as [query, value]; null takes all of them."""


class Lora(LowRank):
    """Low-rank updates of the body's matrices (Hu et al. 2021), and the head."""

    type: Literal["lora"]
    """Low-rank updates of the body's matrices, and the head: nearly as good as full, with a small file for each run."""
    r: int = Field(default=8, ge=1, le=1024)
    """Rank of an update: weights added to a matrix of n by m are r * (n + m)."""


class QLora(LowRank):
    """LoRA on a body that is kept in 4 bits (Dettmers et al. 2023)."""

    type: Literal["qlora"]
    """LoRA on a body in 4 bits: its layers take an eighth of the memory. Needs an NVIDIA GPU and bitsandbytes."""
    r: int = Field(default=8, ge=1, le=1024)
    """Rank of an update: weights added to a matrix of n by m are r * (n + m)."""
    quantization: Literal["nf4", "fp4"] = "nf4"
    """The 16 values that a weight may take: nf4 spaces them as normally distributed weights are, fp4 as floats are."""
    compute: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Arithmetic of the layers in 4 bits; GPUs before NVIDIA's Ampere have no fast bf16."""


class AdaLora(LowRank):
    """Low-rank updates whose ranks are allotted to the matrices that need them (Zhang et al. 2023), and the head."""

    type: Literal["adalora"]
    """LoRA that starts with a large rank everywhere and keeps it only where it helps; and the head."""
    init_r: int = Field(default=12, ge=1, le=1024)
    """Rank of every update at the start."""
    target_r: int = Field(default=8, ge=1, le=1024)
    """Mean rank of an update at the end."""
    begin: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps after which ranks begin to shrink."""
    end: float = Field(default=0.7, gt=0, le=1)
    """Share of all steps after which ranks are settled; it takes training to recover from the last cut."""
    orthogonality: float = Field(default=0.5, ge=0, le=100)
    """Weight of the penalty that keeps the directions of an update apart, so that single ones can be cut."""

    @model_validator(mode="after")
    def _ranks_shrink(self) -> "AdaLora":
        if self.target_r >= self.init_r:
            raise ValueError(
                f"method.target_r is {self.target_r} and method.init_r {self.init_r}: adalora cuts ranks, "
                "so let target_r be the smaller one, or use lora"
            )
        if self.begin >= self.end:
            raise ValueError(f"method.begin is {self.begin} and method.end {self.end}: let begin come before end")
        return self


class Ia3(Section):
    """Vectors that scale keys, values and the inside of the MLP (Liu et al. 2022), and the head."""

    type: Literal["ia3"]
    """Vectors that scale keys, values and the inside of the MLP, and the head: the fewest weights of all."""


class Prefix(Section):
    """Trained keys and values before those of the text, in every layer (Li and Liang 2021), and the head."""

    type: Literal["prefix"]
    """Trained keys and values before those of the text, in every layer, and the head. Not for every architecture."""
    tokens: int = Field(default=20, ge=1, le=1000)
    """Length of the prefix; the text may be shorter by as much."""


class Prompt(Section):
    """Trained embeddings before those of the text (Lester et al. 2021), and the head."""

    type: Literal["prompt"]
    """Trained embeddings before those of the text, and the head. Made for very large models; not for token tasks."""
    tokens: int = Field(default=20, ge=1, le=1000)
    """Length of the prompt; the text may be shorter by as much."""


class Adapter(Section):
    """A narrow network after attention and MLP of every layer (Houlsby et al. 2019), norms and the head."""

    type: Literal["adapter"]
    """A narrow network after attention and MLP of every layer, the layer norms, and the head."""
    width: int = Field(default=64, ge=1, le=8192)
    """Width of the narrow network: weights added to a layer are 4 * width * hidden size."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the narrow network's inner values that is set to 0 in training."""


AnyMethod = Annotated[
    Full | Head | Lora | QLora | AdaLora | Ia3 | Prefix | Prompt | Adapter,
    Field(discriminator="type"),
]


def soft_prompt_tokens(method: AnyMethod) -> int:
    """Positions that the method takes from the text."""
    return method.tokens if isinstance(method, Prefix | Prompt) else 0
