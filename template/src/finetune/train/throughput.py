"""Statistics of the steps between two lines of the log: loss, gradient norm, throughput, padding."""

import time
from dataclasses import dataclass


@dataclass(slots=True)
class StepStats:
    """Sums over the steps since the last line; part of a checkpoint, so that a resumed run logs the same numbers."""

    loss: float = 0.0
    """Summed over scored labels."""
    count: int = 0
    """Scored labels."""
    lr: float = 0.0
    """The learning rate of the last step."""
    grad_norm: float = 0.0
    """The largest gradient norm, before clipping."""
    skipped: int = 0
    """Steps without an update, because gradients overflowed in fp16."""
    examples: int = 0
    tokens: int = 0
    """Tokens without padding."""
    padded: int = 0
    """Tokens with padding."""
    seconds: float = 0.0
    """Time that the steps took, without validations and checkpoints."""
    stop: bool = False
    """Of one step: whether a rank wants to stop after it."""

    def add(self, step: "StepStats") -> None:
        """Add one more step."""
        self.loss += step.loss
        self.count += step.count
        self.lr = step.lr
        self.grad_norm = max(self.grad_norm, step.grad_norm)
        self.skipped += step.skipped
        self.examples += step.examples
        self.tokens += step.tokens
        self.padded += step.padded
        self.seconds += step.seconds


class Stopwatch:
    """Training time in seconds: in total over all resumptions, and since the last lap."""

    def __init__(self, seconds: float) -> None:
        self._began = time.perf_counter() - seconds
        self._lap = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return time.perf_counter() - self._began

    def lap(self) -> float:
        """Time since the last lap."""
        before, self._lap = self._lap, time.perf_counter()
        return self._lap - before


def log_values(window: StepStats) -> dict[str, float]:
    """Values for the log of some steps: mean loss, throughput, share of padding, ..."""
    return {
        "loss": window.loss / max(1, window.count),
        "lr": window.lr,
        "grad_norm": window.grad_norm,
        **({"skipped_steps": window.skipped} if window.skipped else {}),
        "examples_per_second": round(window.examples / window.seconds, 2),
        "tokens_per_second": round(window.tokens / window.seconds, 1),
        "padding": round(1 - window.tokens / window.padded, 4),
    }
