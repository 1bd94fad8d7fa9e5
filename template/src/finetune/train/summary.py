"""What a training prints and records before its first step."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from .. import optional
from ..config.config import Config
from ..console import counted, print_indented, print_line
from ..model.activation_checkpointing import checkpoints_activations
from ..model.compile import is_compiled
from ..model.size import memory, parameter_counts, weight_formats
from .build import Setup
from .optim import state_bytes

UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
TRUNCATION = {
    "cut": "",
    "head_tail": ": their middle is not read",
    "windows": ", as is each text of their pair: the middle of the shorter one is not read",
}
"""What else is said of truncated texts, by `model.overflow`."""


def describe_setup(setup: Setup) -> dict[str, Any]:
    """For environment.json: what defaults have chosen, and the size of the training and its data."""
    trainable, total = parameter_counts(setup.model)
    return {
        "precision": setup.precision,
        "compile": is_compiled(setup.model),
        "metric": setup.selection.metric,
        "revision": setup.base.model.revision,
        "total_steps": setup.total_steps,
        "parameters": {"trainable": trainable, "total": total},
        "examples": {
            "train": setup.new_examples,
            **({"validation": len(setup.validation)} if setup.validation else {}),
        },
        "tokens": int(setup.train.tokens[: setup.train.starts[setup.new_examples]].sum()),
    }


def print_summary(config: Config, setup: Setup, console: Console) -> None:
    """Print model, method, trainable parameters, memory, dataset and number of steps."""
    trained, total = parameter_counts(setup.model)
    validation = f"{setup.validation.size} for validation" if setup.validation else "no validation"
    earlier = f", continuing {config.continue_from}" if config.continue_from else ""
    title = f"{config.task.type} with {config.model.name}, method {config.method.type}{earlier}"
    print_line(console, f"[bold]{escape(str(config.run_folder))}[/]: {escape(title)}")
    for line in (
        f"trainable parameters: {trained:,} of {total:,}, on {setup.model.device} in {setup.precision}, "
        f"attention {setup.model.config._attn_implementation}",
        describe_memory(memory(setup.model, state_bytes(config.optim, setup.model))),
        *describe_weights(weight_formats(setup.model)),
        f"{setup.train.size}, {validation}; "
        f"{counted(setup.total_steps, 'step')} of up to {counted(config.train.batch_size, 'example')}",
        *setup.start.notes,
    ):
        print_indented(console, escape(line))
    if (plan := optional.find("plan", "at_start")) and (fit := plan.describe_fit(config, setup)):
        print_indented(console, fit)
    if setup.validation:
        print_selection(config, setup, console)
    if setup.world.size > 1:
        how = "the model is sharded among them" if config.train.parallel == "fsdp" else "each has a replica"
        print_indented(console, f"data parallelism: {setup.world.size} processes, {how}")
    if checkpoints_activations(config):
        print_indented(console, "activation checkpointing: the activations of a layer are recomputed")
    if is_compiled(setup.model):
        print_indented(console, "the layers are compiled: the first steps take a while")
    if config.train.packing:
        print_indented(console, "packing: texts share rows, and attention has no dropout")
    if setup.replay:
        replay = f"{setup.replay.per_step} examples of a step are of {setup.replay.stored:,} stored ones"
        print_indented(console, f"replay: {replay}")
    windows = np.diff(setup.train.starts)
    if setup.task.overflow == "windows" and windows.max() > 1:
        share = (windows > 1).mean()
        print_indented(console, f"windows: {share:.1%} of the texts have several, up to {windows.max():,}")
    if setup.train.truncated:
        share = setup.train.truncated / len(setup.train.examples)
        told = f"{share:.1%} of the texts are longer than model.max_length"
        print_indented(console, f"[yellow]truncation: {told}{TRUNCATION[setup.task.overflow]}[/]")


def describe_memory(needs: dict[str, int]) -> str:
    """The memory that does not depend on the batch: the total, and what it consists of."""
    total = sum(needs.values())
    unit, divisor = _unit(total)
    parts = ", ".join(f"{name} {size / divisor:,.1f}" for name, size in needs.items())
    return f"memory: {total / divisor:,.1f} {unit} plus activations ({parts})"


def describe_weights(formats: dict[tuple[str, str], int]) -> list[str]:
    """What is kept in which number format: "weights: 7.2 GB frozen in bf16, 12.0 MB trained in fp32".

    Nothing where all weights are trained, for these are in fp32.
    """
    parts = []
    for (state, name), size in formats.items():
        unit, divisor = _unit(size)
        parts.append(f"{size / divisor:,.1f} {unit} {state} in {name}")
    return [f"weights: {', '.join(parts)}"] if len(parts) > 1 else []


def _unit(size: int) -> tuple[str, int]:
    return next(((unit, least) for unit, least in UNITS if size >= least), UNITS[-1])


def print_selection(config: Config, setup: Setup, console: Console) -> None:
    """Print what chooses the best step, and when the training stops early."""
    metric, baseline, patience = setup.selection.logged, setup.selection.baseline, config.train.patience
    highest = "lowest" if setup.selection.lower_is_better else "highest"
    print_indented(console, f"best step: that of the {highest} {metric}; where it ties, of the lower loss")
    if patience:
        start = (
            "" if baseline is None else f", counted once {metric} is better than the {baseline:z.4f} of the baseline"
        )
        without = f"{counted(patience, 'validation')} without improvement"
        print_indented(console, f"early stopping: after {without}{start}")
