"""What a contender of the speed benchmark can do, and how it is timed."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(slots=True)
class Timing:
    """Seconds of this thread's processor time, which other programs disturb less, and of the clock."""

    processor: float = 0.0
    wall: float = 0.0

    @property
    def seconds(self) -> float:
        """What is compared: on a GPU, which works while the thread waits, the clock."""
        return self.wall if torch.cuda.is_available() else self.processor


@contextmanager
def timed(timing: Timing) -> Iterator[None]:
    """Add the time of the block."""
    _finish()
    processor, wall = time.thread_time(), time.perf_counter()
    yield
    _finish()
    timing.processor += time.thread_time() - processor
    timing.wall += time.perf_counter() - wall


def _finish() -> None:
    """Wait for the work that a GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """A copy of the weights that training changes, on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True) for name, value in model.named_parameters() if value.requires_grad
    }


class Contender(ABC):
    """Trains a model on the workload's examples; every pass starts from the same weights."""

    model: Any
    initial: dict[str, Any]
    """The weights that training changes, before it."""
    predicts = True
    """Whether it has predictions and a metric, as tasks other than those that write have."""

    def reset(self) -> None:
        """Back to the initial weights."""
        self.model.load_state_dict(self.initial, strict=False)

    @abstractmethod
    def train(self, steps: int | None = None) -> Timing:
        """One pass over the training examples, or the first `steps` steps of one, by an optimizer without state."""

    @abstractmethod
    def evaluate(self) -> tuple[Timing, float, float]:
        """The time, the mean loss and the main metric (if it predicts) on the validation examples."""

    @abstractmethod
    def predict(self) -> Timing:
        """The time of predicting the validation examples."""
