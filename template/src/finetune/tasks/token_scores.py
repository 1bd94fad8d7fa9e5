"""Cross-entropy of single tokens: what loss, perplexity and token accuracy of a generative task need of the logits."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .objective import at_least_fp32


@dataclass(frozen=True, slots=True)
class TokenScores:
    """The scored tokens of a batch, row by row."""

    loss: Tensor
    """Sum of their cross-entropies (a scalar, at least fp32), which a backward pass can start from."""
    losses: Tensor
    """Cross-entropy of each token, (scored tokens,); empty in training, where nothing asks for it."""
    correct: Tensor
    """Whether the token has the highest logit, (scored tokens,); empty in training."""


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum over (tokens, vocabulary) and (tokens,), with label smoothing."""
    return F.cross_entropy(at_least_fp32(logits), labels, reduction="sum", label_smoothing=smoothing)


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each token, (tokens,)."""
    return F.cross_entropy(at_least_fp32(logits), labels, reduction="none")


def score_tokens(logits: Tensor, labels: Tensor) -> TokenScores:
    """From whole logits, (tokens, vocabulary)."""
    losses = token_losses(logits, labels)
    return TokenScores(losses.sum(), losses, logits.argmax(-1) == labels)


def join(parts: list[TokenScores]) -> TokenScores:
    """The scores of several sequences of tokens."""
    losses, correct = torch.cat([part.losses for part in parts]), torch.cat([part.correct for part in parts])
    return TokenScores(losses.sum(), losses, correct)
