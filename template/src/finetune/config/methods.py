"""Fine-tuning methods: which parameters are trainable, and which are added (parameter-efficient fine-tuning)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..section import Section


class Full(Section):
    """Full fine-tuning: all parameters are trainable."""

    type: Literal["full"] = "full"
    """Full fine-tuning: all parameters are trainable."""


class Head(Section):
    """Linear probing: only the head is trainable; the pretrained body is frozen."""

    type: Literal["head"]
    """Linear probing: only the head is trainable; the frozen body computes each text once, without dropout."""


class LowRank(Section):
    """What LoRA and its variants share: the product of two low-rank matrices is added to each matrix of the body."""

    alpha: float = Field(default=16, gt=0, le=4096)
    """LoRA alpha: scale of the update, which is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """LoRA dropout: fraction of the inputs of the added matrices that is set to 0 in training."""
    targets: list[str] | None = Field(default=None, min_length=1)
    """LoRA target modules: linear layers by the end of their names, such as [query, value]; null takes all."""


class Lora(LowRank):
    """LoRA (Hu et al. 2021): low-rank updates of the body's matrices, and the head."""

    type: Literal["lora"]
    """LoRA: low-rank updates of the body's matrices, and the head; nearly as good as full, with small checkpoints."""
    r: int = Field(default=8, ge=1, le=1024)
    """LoRA rank: a matrix of n by m gets r * (n + m) trainable parameters."""
    rank_stabilized: bool = False
    """rsLoRA (Kalajdzievski 2023): scale by alpha / sqrt(rank), so that large ranks (64 and more) learn as fast."""


class QLora(LowRank):
    """QLoRA (Dettmers et al. 2023): LoRA on a body that is quantized to 4 bits."""

    type: Literal["qlora"]
    """QLoRA: LoRA on a body quantized to 4 bits, an eighth of the memory. Needs an NVIDIA GPU and bitsandbytes."""
    r: int = Field(default=8, ge=1, le=1024)
    """LoRA rank: a matrix of n by m gets r * (n + m) trainable parameters."""
    rank_stabilized: bool = False
    """rsLoRA (Kalajdzievski 2023): scale by alpha / sqrt(rank), so that large ranks (64 and more) learn as fast."""
    quantization: Literal["nf4", "fp4"] = "nf4"
    """Quantization type: the 16 values of a weight; nf4 spaces them for normally distributed weights, fp4 as floats."""
    compute: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Compute type of the quantized layers; GPUs before NVIDIA's Ampere have no fast bf16."""


class AdaLora(LowRank):
    """AdaLoRA (Zhang et al. 2023): LoRA whose ranks are allocated to the matrices that need them; and the head."""

    type: Literal["adalora"]
    """AdaLoRA: LoRA that starts with a large rank everywhere and keeps it only where it helps; and the head."""
    init_r: int = Field(default=12, ge=1, le=1024)
    """Initial LoRA rank of every matrix."""
    target_r: int = Field(default=8, ge=1, le=1024)
    """Target LoRA rank: the mean over all matrices at the end."""
    begin: float = Field(default=0.1, ge=0, lt=1)
    """Rank pruning begins after this fraction of all steps."""
    end: float = Field(default=0.7, gt=0, le=1)
    """Rank pruning ends after this fraction of all steps; the rest recovers from the last one."""
    orthogonality: float = Field(default=0.5, ge=0, le=100)
    """Orthogonal regularization: weight of the penalty that keeps the directions of an update apart."""

    @model_validator(mode="after")
    def _ranks_shrink(self) -> "AdaLora":
        if self.target_r >= self.init_r:
            raise ValueError(
                f"method.target_r is {self.target_r} and method.init_r {self.init_r}: adalora reduces ranks, "
                "so let target_r be the smaller one, or use lora"
            )
        if self.begin >= self.end:
            raise ValueError(f"method.begin is {self.begin} and method.end {self.end}: let begin come before end")
        return self


class Ia3(Section):
    """IA3 (Liu et al. 2022): trainable vectors that scale keys, values and MLP activations, and the head."""

    type: Literal["ia3"]
    """IA3: trainable vectors that scale keys, values and MLP activations, and the head; the fewest parameters."""


class Prefix(Section):
    """Prefix tuning (Li and Liang 2021): trainable keys and values before the text in every layer, and the head."""

    type: Literal["prefix"]
    """Prefix tuning: trainable keys and values before the text in every layer, and the head; not for all models."""
    tokens: int = Field(default=20, ge=1, le=1000)
    """Prefix length in virtual tokens; the model must have room for them beside model.max_length."""


class Prompt(Section):
    """Prompt tuning (Lester et al. 2021): trainable embeddings before those of the text, and the head."""

    type: Literal["prompt"]
    """Prompt tuning: trainable embeddings before those of the text, and the head. For large models; not for tags."""
    tokens: int = Field(default=20, ge=1, le=1000)
    """Prompt length in virtual tokens; the model must have room for them beside model.max_length."""


class Adapter(Section):
    """Bottleneck adapters (Houlsby et al. 2019) after attention and MLP of every layer, layer norms and the head."""

    type: Literal["adapter"]
    """Adapters: bottleneck networks after attention and MLP of every layer, with the layer norms and the head."""
    width: int = Field(default=64, ge=1, le=8192)
    """Bottleneck width of an adapter: a layer gets 4 * width * hidden size parameters."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Adapter dropout: fraction of the bottleneck's activations that is set to 0 in training."""


AnyMethod = Annotated[
    Full | Head | Lora | QLora | AdaLora | Ia3 | Prefix | Prompt | Adapter,
    Field(discriminator="type"),
]


def soft_prompt_tokens(method: AnyMethod) -> int:
    """Virtual tokens that the method puts before each text."""
    return method.tokens if isinstance(method, Prefix | Prompt) else 0
