"""Output layer and cross-entropy in chunks of the scored tokens, so that the whole logits are never in memory.

The logits of a large vocabulary, (tokens, vocabulary), and their gradient would be the largest tensors of a training:
4,096 tokens with the 152,000 of Qwen2 take 2.5 GB each. A chunk's gradient is computed right after its loss, so that
no chunk is kept for the backward pass, nor computed twice: the fused linear cross-entropy of Liger Kernel (Hsu et al.
2024), without its kernels. Loss and gradients are exact.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..tasks.base import Task
from ..tasks.token_scores import TokenScores, cross_entropy, join, score_tokens, token_losses
from .layers import unwrap_model

CHUNK = 512
"""Scored tokens whose logits are in memory at once."""
LARGE = 2**24
"""Number of logits from which on they are computed in chunks: 64 MiB in fp32. Fewer gain nothing in memory or time."""
ARCHITECTURES = (
    *("bart", "blenderbot", "bloom", "cohere", "cohere2", "ernie4_5", "exaone4", "falcon", "gemma", "gemma2"),
    *("gemma3_text", "gemma4_text", "glm", "glm4", "gpt2", "gpt_neo", "gpt_neox", "gptj", "granite", "lfm2", "llama"),
    *("longt5", "m2m_100", "marian", "mbart", "ministral3", "mistral", "mt5", "nanochat", "olmo", "olmo2", "olmo3"),
    *("opt", "pegasus", "phi", "phi3", "plbart", "qwen2", "qwen3", "qwen3_5_text", "seed_oss", "smollm3", "stablelm"),
    *("starcoder2", "t5", "umt5"),
)
"""Model types for which tests/proofs/test_output_layer.py proves that loss and gradients are those of whole logits."""

ScoredOf = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of (rows, tokens, width), what predicts a scored token, (scored tokens, width), and these tokens' labels."""
LossOf = Callable[[Tensor], Tensor] | None
"""Of the cross-entropies of the scored tokens, (scored tokens,), the loss (a scalar); None for their sum."""


def in_chunks(model: Any, task: Task[Any, Any], labels: Tensor) -> bool:
    """Whether to compute the scores of the tokens in chunks, instead of the logits of a batch."""
    if not task.scores_tokens:
        return False
    body = unwrap_model(model)
    if not isinstance(body, PreTrainedModel) or body.config.model_type not in ARCHITECTURES:  # an ONNX graph is none
        return False
    return labels.numel() * vocabulary(body) >= LARGE


def vocabulary(model: Any) -> int:
    """Logits of a token."""
    return int(model.get_output_embeddings().weight.shape[0])


def chunk_bytes(model: Any, tokens: int) -> int:
    """Memory that the chunks need beside the gradients of hidden states and parameters, for so many scored tokens.

    Of one chunk in fp32: the log-probabilities, their gradient and that of the logits; and, where the output layer is
    trained, its gradient from this chunk.
    """
    weight = model.get_output_embeddings().weight
    logits = 3 * min(CHUNK, tokens) * vocabulary(model)
    return torch.float32.itemsize * (logits + (weight.numel() if weight.requires_grad else 0))


def token_scores(
    model: Any,
    inputs: dict[str, Any],
    labels: Tensor,
    scored_of: ScoredOf,
    smoothing: float = 0.0,
    loss_of: LossOf = None,
) -> TokenScores:
    """A forward pass, with the scores of tokens in place of logits.

    A loss that is no sum over the tokens, `loss_of`, costs a second computation of the logits.

    `labels` are (rows, tokens); soft prompts may stand before these tokens. A model that is sharded (FSDP2) has the
    whole weights of its output layer only inside of its forward pass, and gathers them for the backward pass of what
    it returns: so the scores are computed there, and their loss is returned.
    """
    body, found = unwrap_model(model), []

    def score(layer: Any, arguments: tuple[Tensor]) -> Tensor:
        states, truth = scored_of(arguments[0][:, -labels.shape[1] :])
        found.append(_score(partial(_logits, body, layer), states, truth, layer, smoothing, loss_of))
        return arguments[0][:, :0]  # the model itself goes on with the logits of no token

    def add_loss(_: Any, __: Any, output: Any) -> None:
        output.loss = found[0].loss

    with ExitStack() as hooks:
        hooks.callback(body.get_output_embeddings().register_forward_pre_hook(score).remove)
        hooks.callback(body.register_forward_hook(add_loss, prepend=True).remove)
        model(**inputs)
    return found[0]


def _logits(model: Any, layer: Any, states: Tensor) -> Tensor:
    """The logits of hidden states, (tokens, vocabulary), and what some architectures do with them."""
    logits: Tensor = layer.forward(states)  # without its hooks
    config = model.config
    if (bias := getattr(model, "final_logits_bias", None)) is not None:  # BART
        logits = logits + bias
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
        logits = torch.tanh(logits / cap) * cap
    return logits


def _score(
    logits_of: Callable[[Tensor], Tensor],
    states: Tensor,
    labels: Tensor,
    layer: Any,
    smoothing: float,
    loss_of: LossOf,
) -> TokenScores:
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    if torch.is_grad_enabled() and (states.requires_grad or parameters):
        loss: Tensor = _ChunkedLoss.apply(logits_of, labels, smoothing, loss_of, states, *parameters)  # type: ignore[no-untyped-call]
        return TokenScores(loss, labels.new_empty(0), labels.new_empty(0))
    chunks = zip(states.split(CHUNK), labels.split(CHUNK), strict=True)
    return join([score_tokens(logits_of(part), truth) for part, truth in chunks])


class _ChunkedLoss(torch.autograd.Function):
    """Summed cross-entropy, with its gradient by the hidden states and by the parameters of the output layer.

    The gradient of another loss of the cross-entropies is that of their sum, weighted by its derivative by each.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits_of: Callable[[Tensor], Tensor],
        labels: Tensor,
        smoothing: float,
        loss_of: LossOf,
        states: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        whole, weights = _weights(logits_of, labels, loss_of, states) if loss_of else (None, None)
        losses: list[Tensor] = []
        by_states: list[Tensor] = []
        by_parameters: list[Tensor] = []
        for number, (part, truth) in enumerate(zip(states.split(CHUNK), labels.split(CHUNK), strict=True)):
            with torch.enable_grad():
                part = part.detach().requires_grad_(states.requires_grad)
                if weights is None:
                    loss = cross_entropy(logits_of(part), truth, smoothing)
                else:
                    loss = token_losses(logits_of(part), truth) @ weights[number * CHUNK :][: len(truth)]
            wanted = [part, *parameters] if states.requires_grad else [*parameters]
            gradients = [*torch.autograd.grad(loss, wanted)]
            if states.requires_grad:
                by_states.append(gradients.pop(0))
            by_parameters = by_parameters or gradients
            for total, more in zip(by_parameters, gradients, strict=True) if losses else ():
                total.add_(more)
            losses.append(loss.detach())
        ctx.save_for_backward(torch.cat(by_states) if by_states else None, *by_parameters)
        return torch.stack(losses).sum() if whole is None else whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        # In place: they are as large as the weights, and no second backward pass can ask for them.
        return None, None, None, None, *(None if saved is None else saved.mul_(gradient) for saved in ctx.saved_tensors)


def _weights(
    logits_of: Callable[[Tensor], Tensor], labels: Tensor, loss_of: Callable[[Tensor], Tensor], states: Tensor
) -> tuple[Tensor, Tensor]:
    """A loss, and its derivative by the cross-entropy of each scored token."""
    chunks = zip(states.split(CHUNK), labels.split(CHUNK), strict=True)
    losses = torch.cat([token_losses(logits_of(part), truth) for part, truth in chunks])
    with torch.enable_grad():
        losses.requires_grad_()
        loss = loss_of(losses)
        [weights] = torch.autograd.grad(loss, losses)
    return loss.detach(), weights
