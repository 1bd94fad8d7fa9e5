"""`train.compile`: compile the layers, or with auto decide by an estimate whether that pays.

The estimate depends on the config, the data and the model alone, so that all processes decide the same; a resumed run
keeps what was decided at its start.
"""

from typing import Any

import torch

from ..config.config import Config
from ..errors import UserError
from ..model.compile import compile_layers
from ..model.device import Precision
from ..model.size import parameter_counts

COMPILING = 60
"""Seconds that compiling takes, at the start and for other shapes."""
SAVED = 0.1
"""Share of the time of a step that it saves at least where a GPU is busy."""
RATES: dict[Precision, float] = {"bf16": 1e14, "fp16": 2e13, "fp32": 1e13}
"""FLOPs a second of a GPU in a training: about 30 % of what an A100 (bf16, fp32) or a T4 (fp16) has."""


def compile_if_wanted(
    config: Config, model: Any, tokens: float, device: torch.device, precision: Precision, processes: int
) -> list[str]:
    """Compile the layers in place if `train.compile` says so; `tokens` are those of the whole training.

    Returns what auto has decided, as a line for the summary. Raises UserError if the machine cannot compile.
    """
    if config.train.compile != "auto":
        if config.train.compile:
            compile_layers(model, device)
        return []
    reason = config.uncompilable(config.train) if device.type == "cuda" else "only a CUDA GPU gains"
    if reason:
        return [f"compile: off, as {reason}"]
    seconds = seconds_of_steps(model, tokens, precision, processes)
    estimate = f"it saves about {SAVED * seconds:,.0f} of {seconds:,.0f} seconds, and takes {COMPILING} (estimates)"
    if SAVED * seconds <= COMPILING:
        return [f"compile: off, as {estimate}"]
    try:
        compile_layers(model, device)
    except UserError as error:
        return [f"compile: off, although {estimate}: {error}"]
    return [f"compile: on, as {estimate}"]


def seconds_of_steps(model: Any, tokens: float, precision: Precision, processes: int) -> float:
    """Estimate of the time of all steps: a token takes 2 FLOPs a parameter in the forward pass, 2 for the gradient of
    the activations, and 2 for that of the weight, if it is trained (Kaplan et al. 2020)."""
    trainable, total = parameter_counts(model)
    return tokens * (4 * total + 2 * trainable) / RATES[precision] / processes
